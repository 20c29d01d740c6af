"""`POST /v1/{tenant}/gateways/{gateway_id}/notifications`: where a gateway tells what it has to tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response

from gateways.protocol import Gateway
from services.errors import not_found
from services.hearing import Heard, Hearing
from services.http.bodies import bounded
from services.http.problems import problem

HEARD = Counter(
    "tender_notifications_total",
    "Deliveries of gateways' news: VERIFIED, or rejected for SIGNATURE, STALE, UNREADABLE, UNKNOWN_GATEWAY",
    ("gateway", "standing"),
)

GatewayOf = Callable[[str, str], Awaitable[Gateway | None]]
"""(tenant, gateway id) -> the adapter that reads its notifications; None where there is no such gateway."""


class Notifications:
    def __init__(self, hearing: Hearing, gateway_of: GatewayOf, bytes_max: int) -> None:
        self._hearing, self._gateway_of, self._bytes_max = hearing, gateway_of, bytes_max

    async def post(self, request: Request) -> Response:
        """200 once it is kept, whatever becomes of it; 401 for what the gateway did not sign."""
        tenant, gateway_id = request.path_params["tenant"], request.path_params["gateway_id"]
        body = await bounded(request, self._bytes_max)
        gateway = await self._gateway_of(tenant, gateway_id)
        if gateway is None:
            HEARD.labels("", "UNKNOWN_GATEWAY").inc()
            raise not_found("GATEWAY", gateway_id)
        heard = await self._hearing.take(tenant, gateway_id, gateway, request.headers, body)
        HEARD.labels(gateway_id, heard.standing).inc()
        return _answer(heard)


def _answer(heard: Heard) -> Response:
    if heard.standing in ("SIGNATURE", "STALE"):
        return problem("SIGNATURE_INVALID", heard.detail)
    if not heard.kept:
        return problem("STORE_UNAVAILABLE", "too many deliveries that cannot be read: try again later")
    return Response(orjson.dumps({"notifications": heard.news}), media_type="application/json")
