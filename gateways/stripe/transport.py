"""The official library's HTTP, on our own client: our timeouts, no retries, the failure as it was.

Its own retry loop only knows its own connection error, so what `httpx` raises comes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import stripe

CONNECTIONS = 200


class Transport(stripe.HTTPClient):
    name = "httpx"

    def __init__(self, connect_timeout_ms: int, read_timeout_ms: int) -> None:
        super().__init__()
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        timeout = httpx.Timeout(read_timeout_ms / 1000, connect=connect_timeout_ms / 1000, pool=None)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        sent = await self._http.request(method, url, headers=dict(headers), content=post_data or None)
        return sent.content, sent.status_code, sent.headers

    async def close_async(self) -> None:
        await self._http.aclose()
