"""HTTP/1.1 straight to one gateway: a call costs a twentieth of what a client for everything takes.

Each call has a connection of its own, kept for the next; nothing is redirected, tried again, or sent through
a proxy.  Failures have the names of `httpx`, and `gateways.http.failed` says what they tell about the money.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit

import httptools
import httpx

from gateways.http import ANSWER_BYTES_MAX, AnswerTooLong, trusted

IDLE_SECONDS = 5.0
"""A connection that was not used for longer is not used again: its other end may be closing it just now."""
CONTINUES = 200
"""Statuses below it announce an answer, and are none."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes


class Line(asyncio.Protocol):
    """One connection: one request at a time, and its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._read_seconds = 0.0
        self.closed, self.idle_since = False, 0.0
        self._keeps = True
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size, self._in_body, self._ends_with_line = 0, False, False

    async def ask(self, request: bytes, read_seconds: float) -> Answer:
        """Raises `httpx.HTTPError`; whoever gives up waiting leaves a line that is closed."""
        loop = asyncio.get_running_loop()
        self._begin()
        waiter = self._waiter = loop.create_future()
        self._read_seconds = read_seconds
        self._timer = loop.call_later(read_seconds, self._timed_out)
        assert self._transport is not None
        self._transport.write(request)
        try:
            return await waiter
        finally:
            self._waiter = None
            if self._timer is not None:
                self._timer.cancel()
            if not waiter.done() or waiter.cancelled():
                self.abort()

    def abort(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # -- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # nobody asked: it is no answer of ours
            self.abort()
            return
        self._size += len(data)
        if self._size > ANSWER_BYTES_MAX:
            self._fail(AnswerTooLong())
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(str(error)))
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if self._waiter is not None and not self._waiter.done():
                self._timer = asyncio.get_running_loop().call_later(self._read_seconds, self._timed_out)

    def eof_received(self) -> None:
        self._keeps = False
        if self._in_body and self._ends_with_line:
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if exc is None and self._in_body and self._ends_with_line:
            self._complete()
        else:
            self._fail(
                httpx.ReadError(str(exc) if exc else "the line was closed before the answer was whole")
            )

    def _timed_out(self) -> None:
        self._fail(httpx.ReadTimeout("no answer in time"))

    def _fail(self, error: httpx.HTTPError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()

    # -- the answer

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():  # one answer is one answer
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_body = True
        named = self._headers
        self._ends_with_line = "content-length" not in named and "transfer-encoding" not in named

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < CONTINUES:
            self._headers, self._in_body = {}, False
            return
        self._keeps = self._keeps and self._parser.should_keep_alive()
        self._complete()

    def _complete(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            answer = Answer(self._parser.get_status_code(), self._headers, b"".join(self._parts))
            self._waiter.set_result(answer)
        if not self._keeps:
            self.abort()


class Direct:
    """The lines to one gateway, at most `connections_max`; who waits for one has sent nothing."""

    def __init__(
        self,
        base_url: str,
        connect_timeout_ms: int,
        read_timeout_ms: int,
        *,
        connections_max: int = 1000,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = urlsplit(base_url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ValueError(f"{base_url!r} is no address of a gateway")
        self._connect_seconds, self._read_seconds = connect_timeout_ms / 1000, read_timeout_ms / 1000
        self._head = _lines({"host": _host(self._url), "user-agent": "tender", **(headers or {})})
        self._idle: list[Line] = []
        self._left = connections_max
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
    ) -> Answer:
        """One request, and its whole answer.  Raises `httpx.HTTPError`."""
        request = self._written(method, path, headers, content)
        line = await self._line()
        try:
            return await line.ask(request, self._read_seconds)
        finally:
            self._give_back(line)

    async def aclose(self) -> None:
        for line in self._idle:
            line.abort()
        self._idle.clear()

    async def __aenter__(self) -> Direct:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _written(
        self, method: str, path: str, headers: Mapping[str, str] | None, content: bytes | str | None
    ) -> bytes:
        body = content.encode() if isinstance(content, str) else content or b""
        target = f"{self._url.path.rstrip('/')}{path}"
        if any(sign in target for sign in " \r\n"):
            raise httpx.UnsupportedProtocol(f"{path!r} is no path")
        more = _lines(headers) if headers else ""
        length = f"content-length: {len(body)}\r\n" if content is not None else ""
        return f"{method} {target} HTTP/1.1\r\n{self._head}{more}{length}\r\n".encode("latin-1") + body

    async def _line(self) -> Line:
        """The one that was used last, so that few stay open; else a new one, once there may be one more."""
        while True:
            since = asyncio.get_running_loop().time() - IDLE_SECONDS
            while self._idle:
                line = self._idle.pop()
                if not line.closed and line.idle_since >= since:
                    return line
                line.abort()
                self._left += 1
            if self._left > 0:
                return await self._opened()
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            try:
                await room
            except asyncio.CancelledError:
                if room.done() and not room.cancelled():
                    self._next()  # what was given to one who has gone is for the next
                raise

    async def _opened(self) -> Line:
        self._left -= 1
        try:
            return await self._connected()
        except BaseException:
            self._left += 1
            self._next()
            raise

    async def _connected(self) -> Line:
        secure = self._url.scheme == "https"
        host, port = self._url.hostname or "", self._url.port or (443 if secure else 80)
        context: Any = trusted() if secure else None
        try:
            async with asyncio.timeout(self._connect_seconds):
                loop = asyncio.get_running_loop()
                _, line = await loop.create_connection(Line, host, port, ssl=context)
                return line
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error

    def _give_back(self, line: Line) -> None:
        if line.closed:
            self._left += 1
        else:
            line.idle_since = asyncio.get_running_loop().time()
            self._idle.append(line)
        self._next()

    def _next(self) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
                return


def _lines(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if any(sign in f"{name}{value}" for sign in "\r\n"):
            raise httpx.LocalProtocolError(f"the header {name!r} has a line break")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]
