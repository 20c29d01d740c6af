"""HTTP straight to a gateway: a line for each call, kept for the next; and every way that it can end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateways.direct import Direct
from gateways.http import ANSWER_BYTES_MAX, AnswerTooLong

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: 1\r\n\r\nok"


class Server:
    """Does one thing after another, one for each request; how many lines there were, and what was asked."""

    def __init__(self, *acts: Act | bytes) -> None:
        self._acts = list(acts)
        self.lines, self.asked = 0, list[bytes]()
        self._busy: set[asyncio.Task[None]] = set()

    def on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._busy.add(task)

    async def end(self) -> None:
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.asked.append(head + await reader.readexactly(length))
                act = self._acts.pop(0) if self._acts else OK
                if isinstance(act, bytes):
                    writer.write(act)
                    await writer.drain()
                else:
                    await act(reader, writer)


@asynccontextmanager
async def serving(
    *acts: Act | bytes, read_ms: int = 5_000, most: int = 10
) -> AsyncIterator[tuple[Server, Direct]]:
    served = Server(*acts)
    server = await asyncio.start_server(served.on, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base"
    async with server:
        async with Direct(url, 2_000, read_ms, connections_max=most, headers={"x-all": "yes"}) as direct:
            yield served, direct
        await served.end()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_an_answer_with_its_headers_and_the_line_is_used_again() -> None:
    async with serving() as (server, direct):
        for _ in range(3):
            answer = await direct.ask("POST", "/pay", headers={"x-one": "1"}, content=b'{"a":1}')
            assert (answer.status, answer.body, answer.headers["x-one"]) == (200, b"ok", "1")
    assert server.lines == 1
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/pay HTTP/1.1\r\nhost: 127.0.0.1:")
    assert {b"x-all: yes", b"x-one: 1", b"content-length: 7"} <= set(head.split(b"\r\n"))
    assert body == b'{"a":1}'


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_ways_to_write_an_answer(said: bytes, body: bytes) -> None:
    async with serving(said) as (server, direct):
        assert (await direct.ask("GET", "/")).body == body
        assert (await direct.ask("GET", "/")).body == b"ok"
    assert server.lines == 1


async def test_an_answer_that_ends_with_its_line() -> None:
    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async with serving(until_closed) as (server, direct):
        assert (await direct.ask("GET", "/")).body == b"all of it"
        assert (await direct.ask("GET", "/")).body == b"ok"
    assert server.lines == 2


async def test_a_line_that_the_gateway_will_close_is_not_used_again() -> None:
    said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with serving(said) as (server, direct):
        await direct.ask("GET", "/")
        await direct.ask("GET", "/")
    assert server.lines == 2


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (closes, httpx.ReadError),
        (never, httpx.ReadTimeout),
        (b"no answer at all\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", httpx.ReadTimeout),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (ANSWER_BYTES_MAX + 1),
            AnswerTooLong,
        ),
    ],
)
async def test_what_can_go_wrong_after_it_was_sent(act: Any, error: type[Exception]) -> None:
    async with serving(act, read_ms=600) as (server, direct):
        with pytest.raises(error):
            await direct.ask("POST", "/", content=b"x")
        assert (await direct.ask("GET", "/")).body == b"ok"
    assert server.lines == 2
    assert len(server.asked) == 2, "and nothing is sent again"


async def test_half_an_answer_on_a_line_that_ends_is_none() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        writer.close()

    async with serving(half) as (_, direct):
        with pytest.raises(httpx.ReadError):
            await direct.ask("GET", "/")


async def test_who_gives_up_waiting_leaves_no_line_on_which_an_old_answer_comes() -> None:
    heard = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")

    async with serving(late, most=1) as (_, direct):
        given_up = asyncio.create_task(direct.ask("GET", "/"))
        await heard.wait()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await direct.ask("GET", "/")).body == b"ok"


async def test_what_nobody_asked_for_is_no_answer() -> None:
    async with serving(OK + OK) as (_, direct):
        assert (await direct.ask("GET", "/")).body == b"ok"
        await asyncio.sleep(0.05)
        assert (await direct.ask("GET", "/")).body == b"ok"


async def test_no_more_lines_than_there_may_be_and_everybody_has_his_turn() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(OK)

    async with serving(*[slow] * 12, most=3) as (server, direct):
        answers = await asyncio.gather(*(direct.ask("GET", "/") for _ in range(12)))
        given_up = asyncio.create_task(direct.ask("GET", "/"))
        await asyncio.sleep(0)
        given_up.cancel()
        assert (await direct.ask("GET", "/")).status == 200
    assert {answer.body for answer in answers} == {b"ok"}
    assert server.lines <= 4


async def test_nobody_there() -> None:
    server = await asyncio.start_server(closes, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Direct(f"http://127.0.0.1:{port}", 500, 500, connections_max=1) as direct:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await direct.ask("GET", "/")


async def test_nothing_is_smuggled_into_a_request() -> None:
    async with serving() as (server, direct):
        with pytest.raises(httpx.LocalProtocolError):
            await direct.ask("GET", "/", headers={"x-one": "1\r\nx-two: 2"})
        with pytest.raises(httpx.UnsupportedProtocol):
            await direct.ask("GET", "/ HTTP/1.1\r\n")
    assert server.asked == []
    with pytest.raises(ValueError, match="is no address"):
        Direct("ftp://example.test", 1, 1)
