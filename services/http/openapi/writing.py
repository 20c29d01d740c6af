"""Commands, and whatever else is sent."""

from __future__ import annotations

from typing import Any

from services.commands import TYPES
from services.http.openapi.parts import ID, NO_SIGN_IN, TENANT, ok, parameter, problem
from services.runs.batch_run import StartPaymentBatchRun

NOTIFICATIONS_PATH = {
    "post": {
        "summary": "What a gateway tells of its own (its webhook)",
        "security": NO_SIGN_IN,
        "description": "Kept as it came before anything is answered; told again, it changes nothing.",
        "parameters": [TENANT, {**ID, "name": "gateway_id"}],
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
            "401": problem("SIGNATURE_INVALID: not the gateway's, or of more than five minutes ago"),
            "404": problem("GATEWAY_NOT_FOUND"),
            "413": problem("BODY_TOO_LARGE"),
            "503": problem("Nothing was kept: send it again"),
        },
    }
}


def command_path(type: str, about: str) -> dict[str, Any]:
    verdict = {"application/json": {"schema": {"$ref": "#/components/schemas/Verdict"}}}
    return {
        "post": {
            "summary": type,
            "description": about,
            "parameters": [
                {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}},
                {"name": "Prefer", "in": "header", "description": "wait=N", "schema": {"type": "string"}},
                {"name": "dry_run", "in": "query", "schema": {"type": "boolean"}},
                *([_PLAN_AFTER] if type == TYPES[StartPaymentBatchRun] else []),
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{type}"}}},
            },
            "responses": {
                "200": {"description": "Accepted", "content": verdict},
                "202": {"description": "On its way; ask at Location", "content": verdict},
                "401": problem("UNAUTHENTICATED"),
                "402": problem("The gateway declined it"),
                "403": problem("FORBIDDEN, ACCOUNT_NOT_VISIBLE or SELF_APPROVAL_FORBIDDEN"),
                "default": problem("Rejected, with a stable code"),
            },
        }
    }


def verdict_path() -> dict[str, Any]:
    parameter = {**ID, "name": "command_id", "schema": {"type": "string", "format": "uuid"}}
    return {
        "get": {
            "summary": "What became of a command",
            "parameters": [parameter],
            "responses": ok({"$ref": "#/components/schemas/Verdict"}),
        }
    }


_PLAN_AFTER = parameter(
    "plan_after",
    {"type": "integer", "minimum": 0, "default": 0},
    "Of a dry run: decide the items behind this place. `plan.next_after` is where the next begin, "
    "`plan.undecided` how many of the selected were not decided here.",
)


def operations() -> dict[str, Any]:
    plain = {"200": _so("application/json", "object")}
    away = {"503": {"description": "The store or the broker is away"}}
    return {
        "/health": {"get": {"summary": "The process is alive", "responses": plain, "security": NO_SIGN_IN}},
        "/ready": {
            "get": {"summary": "What it needs is there", "responses": plain | away, "security": NO_SIGN_IN}
        },
        "/metrics": {
            "get": {
                "summary": "What all roles count, and how far they are",
                "security": NO_SIGN_IN,
                "responses": {"200": _so("text/plain", "string")},
            }
        },
    }


def clock() -> dict[str, Any]:
    told = {"application/json": {"schema": _CLOCK}}
    ok = {"200": {"description": "So it is", "content": told}}
    refused = {"default": problem("CLOCK_NOT_MOVABLE, CLOCK_BACKWARDS, or it is no time at all")}
    moving = {"202": {"description": "It is on its way: ask where it has come to", "content": told}}
    body = {"required": True, "content": {"application/json": {"schema": _ADVANCE}}}
    return {
        "/v1/clock": {"get": {"summary": "What time it is here", "responses": ok}},
        "/v1/clock/advance": {
            "post": {
                "summary": "Move time ahead, from one due thing to the next: embedded servers only",
                "requestBody": body,
                "responses": moving | refused,
            }
        },
        "/v1/clock/stop": {"post": {"summary": "Stay where time has come to", "responses": ok | refused}},
    }


_INSTANT = {"type": "string", "format": "date-time"}


_CLOCK: dict[str, Any] = {
    "type": "object",
    "required": ["now", "ahead_seconds", "movable", "moving_to", "waits_for"],
    "properties": {
        "now": _INSTANT,
        "ahead_seconds": {"type": "integer", "description": "Of the machine's time."},
        "movable": {"type": "boolean"},
        "moving_to": {**_INSTANT, "type": ["string", "null"]},
        "waits_for": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


_ADVANCE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "by": {"type": "string", "examples": ["3d", "12h", "2w1d"]},
        "to": {"type": "string", "examples": ["2026-12-01", "2026-12-01T12:00:00Z"]},
    },
}


def _so(media_type: str, type: str) -> dict[str, Any]:
    return {"description": "So it is", "content": {media_type: {"schema": {"type": type}}}}


MIGRATION = {
    "post": {
        "summary": "Take over tokenized methods from elsewhere, a file at a time",
        "description": "Every row is decided on its own: ask token-migration-rows for its verdict.",
        "parameters": [
            TENANT,
            parameter("job_id", {"type": "string"}, "The same again resumes, and changes nothing."),
            parameter("mode", {"enum": ["UPSERT", "INSERT_ONLY"]}, "Whether what is there is updated."),
            parameter("strict", {"type": "boolean"}, "With INSERT_ONLY: what is there is an error."),
            parameter("dry_run", {"type": "boolean"}, "Decide every row, and import none."),
            parameter("verify", {"type": "boolean"}, "Have the gateway prove each card's token."),
            parameter("source", {"type": "string"}, "Where the rows come from, for people."),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["rows"],
                        "properties": {"rows": {"type": "array", "items": {"type": "object"}}},
                    }
                },
            },
        },
        "responses": {
            "202": {
                "description": "All rows were read and are durably on their way; ask at status_url",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["job_id", "rows", "valid", "rejected_by_code", "status_url"],
                            "properties": {
                                "job_id": {"type": "string"},
                                "rows": {"type": "integer"},
                                "valid": {"type": "integer"},
                                "rejected_by_code": {
                                    "type": "object",
                                    "additionalProperties": {"type": "integer"},
                                },
                                "warnings": {"type": "array", "items": {"type": "string"}},
                                "replayed": {"type": "boolean"},
                                "status_url": {"type": "string"},
                            },
                        }
                    }
                },
            },
            "409": problem("TOKEN_MIGRATION_EXISTS: the job was handed in with other content"),
            "413": problem("BODY_TOO_LARGE"),
            "default": problem("Rejected, with a stable code"),
        },
    }
}
