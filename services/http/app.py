"""The HTTP application: commands in, answers out, all errors as problem details."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections import queries
from projections.explain import explain, why_balance, why_this_payment
from projections.notifications import notifications as NOTIFICATIONS
from projections.queries import QUERIES, BadQuery, Query
from projections.rows import PostgresRows
from projections.timeline import timeline
from services.commands import Command
from services.door import Door
from services.errors import ReadModelBehind, Rejected, Undecodable, not_found
from services.http.notifications import Notifications
from services.http.openapi import openapi
from services.http.problems import from_error, problem
from services.http.sending import Sending, verdict_json
from services.store.postgres import PostgresStore
from services.store.protocol import StoreUnavailable

MIN_POSITION_SECONDS = 2.0

REQUESTS = Counter("tender_http_requests_total", "HTTP requests", ("route", "status"))
SECONDS = Histogram("tender_http_request_seconds", "Time to answer", ("route",))
LOG_POSITION = Gauge("tender_log_position", "The last position of the log")
INBOX = Gauge("tender_notifications_kept", "Gateways' notifications by what became of them", ("status",))
READ_POSITION = Gauge("tender_read_models_position", "The position that the read models have reached")

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    store: PostgresStore,
    rows: PostgresRows,
    door: Door,
    dry_run: Callable[[Command], Awaitable[Mapping[str, Any]]],
    notifications: Notifications,
    *,
    wait_seconds: float,
) -> Starlette:
    reads = Reads(store, rows)
    sending = Sending(door, dry_run, wait_seconds)
    operations = Operations(store, rows)
    routes = [
        Route("/v1/commands/{type}", _counted("commands", sending.post), methods=["POST"]),
        Route("/v1/commands/{command_id:uuid}", _counted("verdict", reads.verdict)),
        Route(
            "/v1/{tenant}/gateways/{gateway_id}/notifications",
            _counted("notify", notifications.post),
            methods=["POST"],
        ),
        Route("/v1/{tenant}/invoices/{id}/why-balance", _counted("why-balance", reads.why_balance)),
        Route(
            "/v1/{tenant}/refund-orchestrations/{id}/why-this-payment",
            _counted("why-payment", reads.why_payment),
        ),
        Route("/v1/{tenant}/timeline", _counted("timeline", reads.timeline)),
        Route("/v1/{tenant}/explain/{id:path}", _counted("explain", reads.explain)),
        *(
            Route(f"/v1/{{tenant}}/{name}", _counted(name, reads.page(query)))
            for name, query in QUERIES.items()
        ),
        *(
            Route(f"/v1/{{tenant}}/{name}/{{id:path}}", _counted(name, reads.one(query)))
            for name, query in QUERIES.items()
            if len(query.table.key) == 2
        ),
        Route("/health", operations.health),
        Route("/ready", operations.ready),
        Route("/metrics", operations.metrics),
        Route("/openapi.json", operations.openapi),
    ]
    handlers: dict[Any, Any] = dict.fromkeys(
        (Rejected, Undecodable, ReadModelBehind, StoreUnavailable), from_error
    )
    handlers |= {BadQuery: _bad_query, HTTPException: _http_error}
    return Starlette(routes=routes, exception_handlers=handlers)


class Reads:
    """Questions to the read models and to the log."""

    def __init__(self, store: PostgresStore, rows: PostgresRows) -> None:
        self._store, self._rows = store, rows

    def one(self, query: Query) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            await self._wait(request)
            id = request.path_params["id"]
            found = await queries.one(self._rows, query, request.path_params["tenant"], id)
            if found is None:
                raise not_found_in(query, id)
            (shown,) = await queries.opened(self._store, query, request.path_params["tenant"], [found])
            return _json(shown)

        return endpoint

    def page(self, query: Query) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            await self._wait(request)
            tenant = request.path_params["tenant"]
            found = await queries.page(self._rows, query, tenant, _asked(request))
            await queries.opened(self._store, query, tenant, found["items"])
            return _json(found)

        return endpoint

    async def timeline(self, request: Request) -> Response:
        return _json(await timeline(self._store, request.path_params["tenant"], _asked(request)))

    async def verdict(self, request: Request) -> Response:
        command_id: UUID = request.path_params["command_id"]
        known = (await self._store.verdicts([command_id])).get(command_id)
        if known is None:
            raise Rejected("COMMAND_NOT_FOUND", f"no command {command_id} has a verdict yet")
        return _json(verdict_json(known))

    async def explain(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        facts = await explain(self._store, tenant, id)
        if not facts:
            raise Rejected("NOT_FOUND", f"nothing is called {id}")
        return _json({"id": id, "facts": facts})

    async def why_balance(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        answer = await why_balance(self._store, tenant, id)
        if answer is None:
            raise not_found("INVOICE", id)
        return _json(answer)

    async def why_payment(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        answer = await why_this_payment(self._store, tenant, id)
        if answer is None:
            raise not_found("ORCHESTRATION", id)
        return _json(answer)

    async def _wait(self, request: Request) -> None:
        """Read your own writes: wait until the read models have reached the caller's position."""
        text = request.query_params.get("min_position")
        if text is None:
            return
        if not text.isdigit():
            raise BadQuery("min_position", "a position is a whole number")
        if not await self._rows.wait_for(int(text), MIN_POSITION_SECONDS):
            raise ReadModelBehind(f"the read models have not reached position {text} yet")


def _asked(request: Request) -> dict[str, list[str]]:
    return {name: request.query_params.getlist(name) for name in request.query_params}


_NOT_FOUND = {
    "invoices": "INVOICE",
    "payments": "PAYMENT",
    "authorizations": "AUTHORIZATION",
    "credit-memos": "CREDIT_MEMO",
    "refunds": "REFUND",
    "refund-orchestrations": "ORCHESTRATION",
    "payment-methods": "METHOD",
    "accounts": "ACCOUNT",
    "gateways": "GATEWAY",
    "exceptions": "EXCEPTION",
    "notifications": "NOTIFICATION",
}


def not_found_in(query: Query, id: str) -> Rejected:
    if query.name in _NOT_FOUND:
        return not_found(_NOT_FOUND[query.name], id)
    return Rejected("NOT_FOUND", f"there is no {id} in {query.name}")


class Operations:
    """Health, readiness, metrics, and the description of it all."""

    def __init__(self, store: PostgresStore, rows: PostgresRows) -> None:
        self._store, self._rows = store, rows

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        position, _ = await self._store.head()
        read = await self._rows.position(await self._rows.active())
        return _json({"status": "ready", "position": position, "read_models_position": read})

    async def metrics(self, request: Request) -> Response:
        position, _ = await self._store.head()
        LOG_POSITION.set(position)
        for status, count in await queries.counted(self._rows, NOTIFICATIONS, "status"):
            INBOX.labels(status).set(count)
        READ_POSITION.set(await self._rows.position(await self._rows.active()))
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        return _json(openapi())


def _counted(route: str, endpoint: Endpoint) -> Endpoint:
    seconds = SECONDS.labels(route)

    async def counted(request: Request) -> Response:
        with seconds.time():
            response = await endpoint(request)
        REQUESTS.labels(route, response.status_code).inc()
        return response

    return counted


async def _bad_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadQuery)
    code = "UNKNOWN_FIELD" if "no filter" in str(error) else "MALFORMED_REQUEST"
    return problem(code, str(error), field=error.field)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "NOT_FOUND" if error.status_code == 404 else "MALFORMED_REQUEST"
    return problem(code, f"{request.method} {request.url.path}: {error.detail}", status=error.status_code)


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content, default=str), media_type="application/json")
