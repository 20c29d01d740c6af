"""The official library's HTTP, on our own client: our timeouts, no retries, the failure as it was.

Its own retry loop only knows its own connection error, so what `httpx` raises comes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import stripe

from gateways.http import client

CONNECTIONS = 1000


class Transport(stripe.HTTPClient):
    name = "httpx"

    def __init__(self, connect_timeout_ms: int, read_timeout_ms: int) -> None:
        super().__init__()
        self._http = client(connect_timeout_ms, read_timeout_ms, connections_max=CONNECTIONS)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        answer = await self._http.ask(method, url, headers=dict(headers), content=post_data or None)
        return answer.body, answer.status, answer.headers

    async def close_async(self) -> None:
        await self._http.aclose()
