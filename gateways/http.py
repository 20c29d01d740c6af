"""HTTP as adapters speak it: our time-outs, no redirections, no retries, and no answer without end.

Whatever goes wrong is raised as `httpx` has it; `failed` says what that tells about the money.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import httpx

from events.shapes import Outcome
from gateways.outcomes import not_sent, unknown

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""A longer answer is cut off: the lists of the largest pages are a tenth of it."""


POOL_CONNECTIONS = 50


class AnswerTooLong(httpx.ReadError):
    def __init__(self) -> None:
        super().__init__(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")


class Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


class Client:
    """Connections of one gateway's own, in pools of `POOL_CONNECTIONS`: a pool looks through all of its
    connections at each request, so that one pool of a thousand would spend its time with that."""

    def __init__(self, make: Callable[[], httpx.AsyncClient], pools_max: int) -> None:
        self._make, self._pools_max = make, pools_max
        self._pools: list[httpx.AsyncClient] = []
        self._in_air: list[int] = []

    async def ask(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, content: Any = None
    ) -> Answer:
        """One request, and its whole answer.  Raises `httpx.HTTPError`."""
        place = self._place()
        self._in_air[place] += 1
        try:
            async with self._pools[place].stream(method, url, headers=headers, content=content) as response:
                return await _whole(response)
        finally:
            self._in_air[place] -= 1

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()

    def _place(self) -> int:
        """The first pool with room, so that few connections stay open; else the least busy one."""
        for place, in_air in enumerate(self._in_air):
            if in_air < POOL_CONNECTIONS:
                return place
        if len(self._pools) < self._pools_max:
            self._pools.append(self._make())
            self._in_air.append(0)
            return len(self._pools) - 1
        return self._in_air.index(min(self._in_air))


def client(
    connect_timeout_ms: int,
    read_timeout_ms: int,
    *,
    base_url: str = "",
    connections_max: int = 1000,
    headers: dict[str, str] | None = None,
    follow_redirects: bool = False,
) -> Client:
    """Who waits for a connection has sent nothing."""
    timeout = httpx.Timeout(read_timeout_ms / 1000, connect=connect_timeout_ms / 1000, pool=None)
    of_a_pool = min(connections_max, POOL_CONNECTIONS)
    limits = httpx.Limits(max_connections=of_a_pool, max_keepalive_connections=of_a_pool)

    def make() -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            verify=trusted(),
            follow_redirects=follow_redirects,
            timeout=timeout,
            limits=limits,
        )

    return Client(make, -(-connections_max // POOL_CONNECTIONS))


async def _whole(response: httpx.Response) -> Answer:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            raise AnswerTooLong
    return Answer(response.status_code, response.headers, bytes(body))


def failed(error: httpx.HTTPError) -> Outcome:
    """What a failure tells: not sent only where no connection ever stood."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return not_sent(f"not reached: {type(error).__name__}")
    return unknown(type(error).__name__)


@cache
def trusted() -> ssl.SSLContext:
    """The certificates of the system, read once for all adapters."""
    return httpx.create_ssl_context()
