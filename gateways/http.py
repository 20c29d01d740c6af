"""HTTP as adapters speak it: our time-outs, no redirections, no retries, and no answer without end.

Whatever goes wrong is raised as `httpx` has it; `failed` says what that tells about the money.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any, NamedTuple

import httpx

from events.shapes import Outcome
from gateways.outcomes import not_sent, unknown

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""A longer answer is cut off: the lists of the largest pages are a tenth of it."""


class AnswerTooLong(httpx.ReadError):
    def __init__(self) -> None:
        super().__init__(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")


class Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


def client(
    connect_timeout_ms: int,
    read_timeout_ms: int,
    *,
    base_url: str = "",
    connections_max: int = 1000,
    headers: dict[str, str] | None = None,
) -> httpx.AsyncClient:
    """A connection pool of one gateway's own; who waits for a connection has sent nothing."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers=headers,
        verify=_trusted(),
        follow_redirects=False,
        timeout=httpx.Timeout(read_timeout_ms / 1000, connect=connect_timeout_ms / 1000, pool=None),
        limits=httpx.Limits(max_connections=connections_max, max_keepalive_connections=connections_max),
    )


async def ask(
    through: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    content: Any = None,
) -> Answer:
    """One request, and its whole answer.  Raises `httpx.HTTPError`."""
    async with through.stream(method, url, headers=headers, content=content) as response:
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
def _trusted() -> ssl.SSLContext:
    """The certificates of the system, read once for all adapters."""
    return httpx.create_ssl_context()
