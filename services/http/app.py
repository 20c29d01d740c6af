"""The HTTP application: commands in, answers out, all errors as problem details."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.asking import BadQuery
from projections.queries import QUERIES
from projections.rows import PostgresRows
from services.commands import Command
from services.door import Door
from services.errors import ReadModelBehind, Rejected, Undecodable
from services.http.clock import ClockFace
from services.http.gate import Gate
from services.http.migrations import Migrations
from services.http.notifications import Notifications
from services.http.operations import Cluster, Operations
from services.http.problems import from_error, problem
from services.http.reads import Besides, Endpoint, Reads
from services.http.retries import Retries
from services.http.sending import Sending
from services.store.postgres import PostgresStore, availability
from services.store.protocol import StoreUnavailable
from services.watching.metrics import REQUEST_SECONDS, REQUESTS


def create_app(
    store: PostgresStore,
    rows: PostgresRows,
    door: Door,
    dry_run: Callable[[Command, int], Any],
    notifications: Notifications,
    migrations: Migrations,
    *,
    now: Callable[[], datetime],
    wait_seconds: float,
    broker: Cluster,
    gate: Gate,
    clock: ClockFace,
) -> Starlette:
    reads, operations = Reads(store, rows, now, gate), Operations(rows, broker, now, clock)
    retries = Retries(store, rows, now)
    besides: Mapping[str, Besides] = {"retry-queue": retries.with_caps}
    sending = Sending(door, dry_run, wait_seconds, gate)
    read_models: Mapping[str, tuple[str, Endpoint]] = {
        "/v1/{tenant}/invoices/{id}/why-balance": ("why-balance", reads.why_balance),
        "/v1/{tenant}/refund-orchestrations/{id}/why-this-payment": ("why-payment", reads.why_payment),
        "/v1/{tenant}/collections-forecast": ("collections-forecast", reads.forecast),
        "/v1/{tenant}/payment-schedulers/{id}/next-runs": ("next-runs", reads.next_runs),
        "/v1/{tenant}/schedule-items/{id}/why-next-attempt": ("why-next-attempt", retries.why_next),
        "/v1/{tenant}/retry-rule-sets/{id}/match": ("rule-match", retries.match),
        "/v1/{tenant}/network-caps": ("network-caps", retries.caps),
        "/v1/{tenant}/retry-simulation": ("retry-simulation", retries.simulation),
        "/v1/{tenant}/recovery": ("recovery", retries.recovery),
        "/v1/{tenant}/timeline": ("timeline", reads.timeline),
        "/v1/{tenant}/events": ("events", reads.events),
        "/v1/{tenant}/tenant-settings": ("tenant-settings", reads.settings),
        "/v1/{tenant}/accounts/{id}/statement": ("statement", reads.statement),
        "/v1/{tenant}/explain/{id:path}": ("explain", reads.explain),
        **{
            f"/v1/{{tenant}}/{name}": (name, reads.page(query, besides.get(name)))
            for name, query in QUERIES.items()
        },
        **{
            f"/v1/{{tenant}}/{name}/{{id:path}}": (name, reads.one(query, besides.get(name)))
            for name, query in QUERIES.items()
            if len(query.table.key) == 2
        },
    }
    counted = {
        "/v1/commands/{command_id:uuid}": ("verdict", reads.verdict),
        **{path: (name, gate.reads(name, endpoint)) for path, (name, endpoint) in read_models.items()},
    }
    routes = [
        Route("/v1/commands/{type}", _counted("commands", sending.post), methods=["POST"]),
        Route(
            "/v1/{tenant}/gateways/{gateway_id}/notifications",
            _counted("notify", notifications.post),
            methods=["POST"],
        ),
        Route(
            "/v1/{tenant}/token-migrations",
            _counted("migrate", migrations.post),
            methods=["POST"],
        ),
        Route(
            "/v1/{tenant}/retry-simulation",
            _counted("retry-simulation", gate.reads("retry-simulation", retries.draft_simulation)),
            methods=["POST"],
        ),
        *(Route(path, _counted(name, endpoint)) for path, (name, endpoint) in counted.items()),
        Route("/v1/clock", _counted("clock", gate.operators(clock.show))),
        Route("/v1/clock/advance", _counted("clock", gate.operators(clock.advance)), methods=["POST"]),
        Route("/v1/clock/stop", _counted("clock", gate.operators(clock.stop)), methods=["POST"]),
        Route("/health", operations.health),
        Route("/ready", operations.ready),
        Route("/metrics", operations.metrics),
        Route("/openapi.json", operations.openapi),
        Route("/", _counted("page", gate.operators(operations.page))),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _bug})


def _counted(route: str, endpoint: Endpoint) -> Endpoint:
    seconds = REQUEST_SECONDS.labels(route)

    async def counted(request: Request) -> Response:
        with seconds.time():
            response = await _answered(endpoint, request)
        REQUESTS.labels(route, response.status_code).inc()
        return response

    return counted


async def _answered(endpoint: Endpoint, request: Request) -> Response:
    """With what the endpoint says, or with the problem that it raises."""
    try:
        with availability():
            return await endpoint(request)
    except BadQuery as error:
        return problem(error.code, str(error), field=error.field)
    except (Rejected, Undecodable, ReadModelBehind, StoreUnavailable) as error:
        return from_error(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "NOT_FOUND" if error.status_code == 404 else "MALFORMED_REQUEST"
    return problem(code, f"{request.method} {request.url.path}: {error.detail}", status=error.status_code)


async def _bug(request: Request, error: Exception) -> Response:
    """Ours: it is in the log of this process, and nothing of it is told."""
    return problem("INTERNAL_ERROR", "this is a mistake of Tender's; its log says more", status=500)
