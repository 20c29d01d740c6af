"""What the descriptions of all paths share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.money import Money
from projections.asking import LIMIT_MAX
from services.documents.schemas import said

REFERENCE = "#/components/schemas/{name}.{{model}}"


def put_schema(schemas: dict[str, Any], name: str, body: dict[str, Any]) -> None:
    """Of what is sent, with the schemas of its parts."""
    for part, nested in body.pop("$defs", {}).items():
        schemas[f"{name}.{part}"] = nested
    schemas[name] = body


SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Of the OpenID provider that this deployment believes.",
    },
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tender.{tenant}.{key id}.{secret}",
        "description": "An API key, as `tender keys create` shows it once.",
    },
    "api_key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


NO_SIGN_IN: list[Any] = []
"""For what tells nothing of anybody, and for gateways, who sign what they tell."""


MONEY = {
    "type": "object",
    "required": ["amount_minor", "currency"],
    "properties": {
        "amount_minor": {"type": "integer", "description": said(Money)["amount_minor"]},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "description": said(Money)["currency"]},
    },
}


PROBLEM = {
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


VERDICT = {
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


TENANT = {"name": "tenant", "in": "path", "required": True, "schema": {"type": "string"}}


ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


MIN_POSITION = {
    "name": "min_position",
    "in": "query",
    "description": "Wait up to 2 s until the read models have reached this position; else READ_MODEL_BEHIND.",
    "schema": {"type": "integer"},
}


def problem(about: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": about, "content": content}


def ok(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": {"description": "Found", "content": {"application/json": {"schema": schema}}},
        "401": problem("UNAUTHENTICATED"),
        "403": problem("FORBIDDEN or ACCOUNT_NOT_VISIBLE"),
        "default": problem("An error with a stable code"),
    }


def parameter(name: str, schema: dict[str, Any], about: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema, **more}


def listing(about: str, parameters: Iterable[dict[str, Any]], item: dict[str, Any]) -> dict[str, Any]:
    limit = parameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}, "Rows of a page.")
    cursor = parameter("cursor", {"type": "string"}, "The next_cursor of the page before.")
    listed = {
        "type": "object",
        "required": ["items", "has_more", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": item},
            "has_more": {"type": "boolean"},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
    return {
        "get": {
            "summary": about,
            "parameters": [TENANT, *parameters, limit, cursor, MIN_POSITION],
            "responses": ok(listed),
        }
    }
