"""The simulator's adapter: HTTP to its process, and every way that a network can fail."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.credentials import Credential
from gateways.outcomes import not_sent, seconds, unknown
from gateways.protocol import InvalidSignature, Notification
from gateways.simulator.translation import CAPABILITIES, to_outcome, to_request

SIGNATURE = "x-simulator-signature"
SECRET = b"simulator"
"""Signs notifications of a gateway that only pretends: no secret."""


class SimulatorAdapter:
    """`settings["base_url"]` is where the simulator listens."""

    def __init__(
        self,
        settings: Mapping[str, str],
        connect_timeout_ms: int,
        read_timeout_ms: int,
        credential: Credential | None = None,
    ) -> None:
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=200)
        timeout = httpx.Timeout(read_timeout_ms / 1000, connect=connect_timeout_ms / 1000, pool=None)
        self._http = httpx.AsyncClient(base_url=settings["base_url"], timeout=timeout, limits=limits)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        try:
            response = await self._http.post("/v1/operations", content=orjson.dumps(to_request(request)))
        except (httpx.ConnectError, httpx.ConnectTimeout) as unreachable:
            return not_sent(f"not reached: {unreachable}")
        except httpx.HTTPError as lost:
            return unknown(f"{type(lost).__name__}: {lost}")
        return _of(response)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        try:
            response = await self._http.get(f"/v1/operations/{request.idempotency_key}")
        except httpx.HTTPError as lost:
            return unknown(f"{type(lost).__name__}: {lost}")
        return None if response.status_code == 404 else _of(response)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        if not hmac.compare_digest(headers.get(SIGNATURE, ""), sign(body)):
            raise InvalidSignature("the signature is not the simulator's")
        news: dict[str, Any] = orjson.loads(body)
        outcome = to_outcome(news["answer"])
        return [Notification(news["event_id"], news["operation"], news["key"], outcome.gateway_ref, outcome)]

    async def close(self) -> None:
        await self._http.aclose()


def sign(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def _of(response: httpx.Response) -> Outcome:
    """429 and 503 are documented as "not processed"; any other failure says nothing about the money."""
    if response.status_code in (429, 503):
        return not_sent("busy", seconds(response.headers.get("retry-after")))
    if response.status_code != 200:
        return unknown(f"HTTP {response.status_code}")
    return to_outcome(response.json())
