"""Health, readiness, metrics, the description of it all, and the page that shows the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import events
from projections.rows import PostgresRows
from services.http.clock import ClockFace
from services.http.page import page
from services.http.reads import answer_json
from services.store.postgres import availability
from services.store.protocol import StoreUnavailable
from services.watching.metrics import exposition
from services.watching.observing import Status, observe

Cluster = Callable[[], str | None]


class Operations:
    """`cluster` says which broker answered last, if one does."""

    def __init__(
        self, rows: PostgresRows, cluster: Cluster, now: Callable[[], datetime], clock: ClockFace
    ) -> None:
        self._rows, self._cluster, self._now, self._clock = rows, cluster, now, clock

    async def health(self, request: Request) -> Response:
        """The process is alive; whether what it needs is there is another question."""
        return answer_json({"status": "ok", "clock": self._clock.told()})

    async def ready(self, request: Request) -> Response:
        """503 while the store or the broker is away."""
        status, cluster = await self._status(), self._cluster()
        checks = {"store": status is not None, "broker": cluster is not None}
        answer: dict[str, Any] = {
            "status": "ready" if all(checks.values()) else "not ready",
            "checks": checks,
        }
        if status is not None:
            answer |= {
                "position": status.events,
                "read_models_position": status.projected,
                "behind": status.behind,
            }
        return answer_json(answer, 200 if all(checks.values()) else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(exposition(await self._status()), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        """The document that this version was released with; a test compares it with the code."""
        return Response(_openapi(), media_type="application/json")

    async def page(self, request: Request) -> Response:
        status = await self._status()
        tenants = await self._tenants() if status else []
        return HTMLResponse(page(status, self._cluster(), tenants, self._clock.told()))

    async def _status(self) -> Status | None:
        try:
            with availability():
                return await observe(self._rows.pool, self._now(), self._cluster())
        except StoreUnavailable:
            return None

    async def _tenants(self) -> list[dict[str, Any]]:
        """The tenants that have accounts, the busiest first."""
        schema = await self._rows.active()
        found = await self._rows.pool.fetch(
            f"select tenant_id, count(*) as accounts, min(account_id) as account_id "
            f"from (select tenant_id, account_id from {schema}.accounts limit 10000) a "
            "group by tenant_id order by 2 desc limit 12"
        )
        return [dict(row) for row in found]


@cache
def _openapi() -> bytes:
    return (files(events) / "contracts" / "openapi.json").read_bytes()
