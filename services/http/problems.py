"""Errors over HTTP: RFC 9457 problem details, each with a stable code."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from events.card_numbers import masked
from services.errors import STATUS, ReadModelBehind, Rejected, Undecodable
from services.store.protocol import StoreUnavailable


def problem(
    code: str,
    message: str,
    *,
    status: int | None = None,
    field: str | None = None,
    details: dict[str, Any] | None = None,
    correlation_id: str | None = None,
) -> Response:
    """`{type, title, status, code, message, field?, details, correlation_id}`; the status is the code's."""
    status = status or STATUS.get(code, 400)
    body: dict[str, Any] = {
        "type": f"urn:tender:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "message": masked(message),
        "details": details or {},
    }
    if field:
        body["field"] = field
    if correlation_id:
        body["correlation_id"] = correlation_id
    headers = {503: {"retry-after": "1"}, 401: {"www-authenticate": "Bearer"}}.get(status, {})
    return Response(orjson.dumps(body), status, headers, "application/problem+json")


def from_error(request: Request, error: Exception) -> Response:
    """The problem of an exception that a route let pass."""
    correlation_id = request.headers.get("x-correlation-id")
    match error:
        case Rejected():
            return problem(
                error.code,
                error.message,
                field=error.field,
                details=error.details,
                correlation_id=correlation_id,
            )
        case Undecodable():
            return problem(error.code, error.reason, correlation_id=correlation_id)
        case ReadModelBehind():
            return problem("READ_MODEL_BEHIND", str(error), correlation_id=correlation_id)
        case StoreUnavailable():
            return problem(
                "STORE_UNAVAILABLE", "the store cannot be reached now", correlation_id=correlation_id
            )
        case _:
            raise error
