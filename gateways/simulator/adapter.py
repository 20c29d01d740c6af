"""The simulator's adapter: HTTP to its process, and every way that a network can fail."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

import httpx
import orjson

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.credentials import Credential
from gateways.direct import Answer, Direct
from gateways.http import failed
from gateways.outcomes import UNREADABLE, not_sent, seconds, unknown, unreadable, unsupported
from gateways.protocol import RESULT_CODES, InvalidSignature, Notification, StaleNotification
from gateways.simulator.translation import CAPABILITIES, to_notification, to_outcome, to_request

SIGNATURE = "x-simulator-signature"
"""`t={seconds},v1={HMAC-SHA256 of "{seconds}.{body}" in hex}`: an old one cannot pass for one of now."""
NOTIFY_URL = "x-simulator-notify-url"
"""Where the simulator shall tell of an operation."""
TOLERANCE_SECONDS = 300
SAID = frozenset({*RESULT_CODES, "Reversed"})
SECRET = b"anybody may sign as the simulator"
"""Signs notifications of a gateway that only pretends: no secret."""


class SimulatorAdapter:
    """`settings["base_url"]` is where the simulator listens; `notify_url` where it tells its news."""

    def __init__(
        self,
        settings: Mapping[str, str],
        connect_timeout_ms: int,
        read_timeout_ms: int,
        credential: Credential | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        told = {NOTIFY_URL: settings["notify_url"]} if settings.get("notify_url") else {}
        told |= {"content-type": "application/json"}
        self._http = Direct(settings["base_url"], connect_timeout_ms, read_timeout_ms, headers=told)

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
        at = given.partition(",")[0].removeprefix("t=")
        if not at.isdigit() or not hmac.compare_digest(given.encode(), sign(body, int(at)).encode()):
            raise InvalidSignature("the signature is not the simulator's")
        if abs(self._now() - int(at)) > TOLERANCE_SECONDS:
            raise StaleNotification("the simulator signed it more than five minutes ago")
        news = orjson.loads(body)
        return [to_notification(news)] if news["operation"] in CAPABILITIES.operations else []

    async def close(self) -> None:
        await self._http.aclose()


def sign(body: bytes, at: int) -> str:
    """The header of a body that is signed at an instant, in seconds."""
    return f"t={at},v1={hmac.new(SECRET, f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def _of(answer: Answer) -> Outcome:
    """429 and 503 are documented as "not processed"; any other failure says nothing about the money."""
    if answer.status in (429, 503):
        return not_sent("busy", seconds(answer.headers.get("retry-after")))
    if answer.status != 200:
        return unknown(f"HTTP {answer.status}")
    told = to_outcome(orjson.loads(answer.body))
    return told if str(told.result_code) in SAID else unknown(f"no result that is known: {told.result_code}")
