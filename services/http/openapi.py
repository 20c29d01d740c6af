"""The OpenAPI 3.1 document, made from the commands and the read models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from projections import timeline
from projections.queries import LIMIT_MAX, QUERIES, Query
from projections.table import Column
from services.commands import COMMANDS, Body

_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "bigint": {"$ref": "#/components/schemas/Money"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamptz": {"type": "string", "format": "date-time"},
    "json": {},
}


def openapi() -> dict[str, Any]:
    """Paths of every command and every read model; errors are problem details everywhere."""
    schemas: dict[str, Any] = {"Money": _MONEY, "Problem": _PROBLEM, "Verdict": _VERDICT}
    paths: dict[str, Any] = {"/v1/commands/{command_id}": _verdict_path()}
    for type, known in sorted(COMMANDS.items()):
        adapter = TypeAdapter(Body[known.cls], config={"extra": "forbid"})  # type: ignore[name-defined]
        body = adapter.json_schema(ref_template=f"#/components/schemas/{type}.{{model}}")
        for name, nested in body.pop("$defs", {}).items():
            schemas[f"{type}.{name}"] = nested
        schemas[type] = body
        paths[f"/v1/commands/{type}"] = _command_path(type, (known.cls.__doc__ or "").strip())
    paths["/v1/{tenant}/timeline"] = _timeline_path()
    for query in QUERIES.values():
        schemas[query.name] = _row_schema(query)
        paths[f"/v1/{{tenant}}/{query.name}"] = _list_path(query)
        if len(query.table.key) == 2:
            paths[f"/v1/{{tenant}}/{query.name}/{{id}}"] = _one_path(query)
    paths["/v1/{tenant}/gateways/{gateway_id}/notifications"] = _NOTIFICATIONS_PATH
    for path, about in _WHYS.items():
        paths[path] = {
            "get": {"summary": about, "parameters": [_TENANT, _ID], "responses": _ok({"type": "object"})}
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tender", "version": "1.0.0", "summary": "Payments and refunds"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


_MONEY = {
    "type": "object",
    "required": ["amount_minor", "currency"],
    "properties": {
        "amount_minor": {"type": "integer"},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "message", "details"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "field": {"type": "string"},
        "details": {"type": "object"},
        "correlation_id": {"type": "string"},
    },
}
_VERDICT = {
    "type": "object",
    "required": ["command_id", "status"],
    "properties": {
        "command_id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["ACCEPTED", "REJECTED", "PARKED", "PENDING"]},
        "position": {"type": "integer"},
        "streams": {"type": "object", "additionalProperties": {"type": "integer"}},
        "replayed": {"type": "boolean"},
    },
}
_TENANT = {"name": "tenant", "in": "path", "required": True, "schema": {"type": "string"}}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_MIN_POSITION = {
    "name": "min_position",
    "in": "query",
    "description": "Wait up to 2 s until the read models have reached this position; else READ_MODEL_BEHIND.",
    "schema": {"type": "integer"},
}
_WHYS = {
    "/v1/{tenant}/invoices/{id}/why-balance": "Why an invoice's balance is what it is",
    "/v1/{tenant}/refund-orchestrations/{id}/why-this-payment": "Why a refund comes from these payments",
    "/v1/{tenant}/explain/{id}": "Every fact about whatever the id names",
}


def _problem(about: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": about, "content": content}


def _ok(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": {"description": "Found", "content": {"application/json": {"schema": schema}}},
        "default": _problem("An error with a stable code"),
    }


_NOTIFICATIONS_PATH = {
    "post": {
        "summary": "What a gateway tells of its own (its webhook)",
        "description": "Kept as it came before anything is answered; told again, it changes nothing.",
        "parameters": [_TENANT, {**_ID, "name": "gateway_id"}],
        "requestBody": {
            "required": True,
            "description": "In the gateway's own words, signed as it signs them",
            "content": {"*/*": {}},
        },
        "responses": {
            "200": {
                "description": "Kept, whatever becomes of it",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["notifications"],
                            "properties": {"notifications": {"type": "integer"}},
                        }
                    }
                },
            },
            "401": _problem("SIGNATURE_INVALID: not the gateway's, or of more than five minutes ago"),
            "404": _problem("GATEWAY_NOT_FOUND"),
            "413": _problem("BODY_TOO_LARGE"),
            "503": _problem("Nothing was kept: send it again"),
        },
    }
}


def _command_path(type: str, about: str) -> dict[str, Any]:
    verdict = {"application/json": {"schema": {"$ref": "#/components/schemas/Verdict"}}}
    return {
        "post": {
            "summary": type,
            "description": about if "(" not in about[:40] else "",
            "parameters": [
                {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}},
                {"name": "Prefer", "in": "header", "description": "wait=N", "schema": {"type": "string"}},
                {"name": "dry_run", "in": "query", "schema": {"type": "boolean"}},
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{type}"}}},
            },
            "responses": {
                "200": {"description": "Accepted", "content": verdict},
                "202": {"description": "On its way; ask at Location", "content": verdict},
                "402": _problem("The gateway declined it"),
                "default": _problem("Rejected, with a stable code"),
            },
        }
    }


def _verdict_path() -> dict[str, Any]:
    parameter = {**_ID, "name": "command_id", "schema": {"type": "string", "format": "uuid"}}
    return {
        "get": {
            "summary": "What became of a command",
            "parameters": [parameter],
            "responses": _ok({"$ref": "#/components/schemas/Verdict"}),
        }
    }


def _list_path(query: Query) -> dict[str, Any]:
    return _listing(query.about, query.parameters, {"$ref": f"#/components/schemas/{query.name}"})


def _timeline_path() -> dict[str, Any]:
    return _listing("What happened on an account, in words", timeline.FILTERS, {"type": "object"})


def _listing(about: str, filters: Iterable[str], item: dict[str, Any]) -> dict[str, Any]:
    names = [*filters, "sort", "cursor"]
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    limit = {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
    }
    listed = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": item},
            "has_more": {"type": "boolean"},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
    return {
        "get": {
            "summary": about,
            "parameters": [_TENANT, *parameters, limit, _MIN_POSITION],
            "responses": _ok(listed),
        }
    }


def _one_path(query: Query) -> dict[str, Any]:
    row = {"$ref": f"#/components/schemas/{query.name}"}
    return {
        "get": {"summary": query.about, "parameters": [_TENANT, _ID, _MIN_POSITION], "responses": _ok(row)}
    }


def _row_schema(query: Query) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {c.name: _column(c) for c in query.table.all_columns if c.name != "tenant_id"},
    }


def _column(column: Column) -> dict[str, Any]:
    return {"type": "integer"} if column.name == "position" else _TYPES[column.type]
