"""The simulator's adapter: HTTP to its process, and every way that a network can fail."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.credentials import Credential
from gateways.http import Answer, client, failed
from gateways.outcomes import UNREADABLE, not_sent, seconds, unknown, unreadable, unsupported
from gateways.protocol import RESULT_CODES, InvalidSignature, Notification
from gateways.simulator.translation import CAPABILITIES, to_outcome, to_request

SIGNATURE = "x-simulator-signature"
SAID = frozenset({*RESULT_CODES, "Reversed"})
SECRET = b"anybody may sign as the simulator"
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
        self._http = client(connect_timeout_ms, read_timeout_ms, base_url=settings["base_url"])

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        if request.operation not in CAPABILITIES.operations:
            return unsupported(request.operation, "the simulator")
        try:
            return _of(
                await self._http.ask("POST", "/v1/operations", content=orjson.dumps(to_request(request)))
            )
        except httpx.HTTPError as error:
            return failed(error)
        except UNREADABLE as error:
            return unreadable(error)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        try:
            answer = await self._http.ask("GET", f"/v1/operations/{quote(request.idempotency_key, safe='')}")
            return None if answer.status == 404 else _of(answer)
        except httpx.HTTPError as error:
            return unknown(type(error).__name__)
        except UNREADABLE as error:
            return unreadable(error)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        given = {name.lower(): value for name, value in headers.items()}.get(SIGNATURE, "")
        if not hmac.compare_digest(given.encode(), sign(body).encode()):
            raise InvalidSignature("the signature is not the simulator's")
        news: dict[str, Any] = orjson.loads(body)
        if news["operation"] not in CAPABILITIES.operations:
            return []
        outcome = to_outcome(news["answer"])
        return [Notification(news["event_id"], news["operation"], news["key"], outcome.gateway_ref, outcome)]

    async def close(self) -> None:
        await self._http.aclose()


def sign(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def _of(answer: Answer) -> Outcome:
    """429 and 503 are documented as "not processed"; any other failure says nothing about the money."""
    if answer.status in (429, 503):
        return not_sent("busy", seconds(answer.headers.get("retry-after")))
    if answer.status != 200:
        return unknown(f"HTTP {answer.status}")
    told = to_outcome(orjson.loads(answer.body))
    return told if str(told.result_code) in SAID else unknown(f"no result that is known: {told.result_code}")
