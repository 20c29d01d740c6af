"""The OpenAPI 3.1 document, made from the commands and the read models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from projections.asking import LIMIT_MAX, TEXT_MAX, Query
from projections.queries import QUERIES
from projections.recovery import BY, FILTERS
from projections.statement import DOCUMENTS
from services.commands import COMMANDS, TYPES
from services.documents.schemas import of_command
from services.http.retries import BASES, CATEGORIES, HARD
from services.retries.drafting import DRAFTED
from services.runs.batch_run import StartPaymentBatchRun
from services.schedulers.preview import COUNT_MAX
from services.subjects import RULES

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
        body = of_command(known, _REFERENCE.format(name=type))
        if RULES[known.cls].home:
            body["required"].remove("account_id")
        _put_schema(schemas, type, body)
        paths[f"/v1/commands/{type}"] = _command_path(type, (known.cls.__doc__ or "").strip())
    paths["/v1/{tenant}/timeline"] = _timeline_path()
    paths |= _told_paths()
    paths["/v1/{tenant}/retry-simulation"] |= _drafted_simulation(schemas)
    for query in QUERIES.values():
        schemas[query.name] = _row_schema(query)
        paths[f"/v1/{{tenant}}/{query.name}"] = _list_path(query)
        if len(query.table.key) == 2:
            paths[f"/v1/{{tenant}}/{query.name}/{{id}}"] = _one_path(query)
    paths["/v1/{tenant}/gateways/{gateway_id}/notifications"] = _NOTIFICATIONS_PATH
    paths["/v1/{tenant}/token-migrations"] |= _MIGRATION
    for path, about in _WHYS.items():
        parameters = [_TENANT, _ID, *_asked_with(path)]
        paths[path] = {
            "get": {"summary": about, "parameters": parameters, "responses": _ok({"type": "object"})}
        }
    paths |= _operations() | _clock()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tender", "version": "1.0.0", "summary": "Payments and refunds"},
        "paths": paths,
        "security": [{"token": []}, {"api_key": []}, {"api_key_header": []}],
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


_REFERENCE = "#/components/schemas/{name}.{{model}}"


def _put_schema(schemas: dict[str, Any], name: str, body: dict[str, Any]) -> None:
    """Of what is sent, with the schemas of its parts."""
    for part, nested in body.pop("$defs", {}).items():
        schemas[f"{name}.{part}"] = nested
    schemas[name] = body


_SECURITY = {
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
_NO_SIGN_IN: list[Any] = []
"""For what tells nothing of anybody, and for gateways, who sign what they tell."""
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
_NEXT_RUNS = "/v1/{tenant}/payment-schedulers/{id}/next-runs"
_WHYS = {
    _NEXT_RUNS: "When a scheduler fires next; one that rests, if it was activated now",
    "/v1/{tenant}/invoices/{id}/why-balance": "Why an invoice's balance is what it is",
    "/v1/{tenant}/refund-orchestrations/{id}/why-this-payment": "Why a refund comes from these payments",
    "/v1/{tenant}/schedule-items/{id}/why-next-attempt": "When and why an item is tried again, or is not",
    "/v1/{tenant}/explain/{id}": "Every fact about whatever the id names",
}


def _asked_with(path: str) -> list[dict[str, Any]]:
    if path == _NEXT_RUNS:
        schema = {"type": "integer", "minimum": 1, "maximum": COUNT_MAX, "default": 10}
        return [_parameter("count", schema, "How many.")]
    related = [_parameter("related", {"type": "boolean"}, "And of what it touched.")]
    return related if "explain" in path else []


def _problem(about: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": about, "content": content}


def _ok(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": {"description": "Found", "content": {"application/json": {"schema": schema}}},
        "401": _problem("UNAUTHENTICATED"),
        "403": _problem("FORBIDDEN or ACCOUNT_NOT_VISIBLE"),
        "default": _problem("An error with a stable code"),
    }


_NOTIFICATIONS_PATH = {
    "post": {
        "summary": "What a gateway tells of its own (its webhook)",
        "security": _NO_SIGN_IN,
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
                *([_PLAN_AFTER] if type == TYPES[StartPaymentBatchRun] else []),
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{type}"}}},
            },
            "responses": {
                "200": {"description": "Accepted", "content": verdict},
                "202": {"description": "On its way; ask at Location", "content": verdict},
                "401": _problem("UNAUTHENTICATED"),
                "402": _problem("The gateway declined it"),
                "403": _problem("FORBIDDEN, ACCOUNT_NOT_VISIBLE or SELF_APPROVAL_FORBIDDEN"),
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
    parameters = [_filter(query, name) for name in query.parameters]
    sorts = [f"{sign}{name}" for name in query.sorts for sign in ("", "-")]
    if sorts:
        about = f"Joined with commas: {', '.join(sorts)}. Ties are broken by the id."
        parameters.append(_parameter("sort", {"type": "string"}, about))
    parameters += [_fields(query), *([_AS_OF_LIST] if query.timed_lists else [])]
    return _listing(query.about, parameters, {"$ref": f"#/components/schemas/{query.name}"})


def _filter(query: Query, name: str) -> dict[str, Any]:
    base, _, end = name.rpartition("_")
    if name in query.filters:
        schema = _FILTERED[query.types[name]]
        return _parameter(name, {"type": "array", "items": schema}, "Any of these.", explode=False)
    if name in query.inside:
        return _parameter(
            name, {"type": "array", "items": {"type": "string"}}, "Any of these.", explode=False
        )
    if name == "text":
        return _parameter(name, {"type": "string"}, f"Somewhere in {' or '.join(query.text)}.")
    about = "From this on." if end == "from" else "Up to this."
    return _parameter(name, _FILTERED[query.types[base]], about)


_FILTERED: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "maxLength": TEXT_MAX},
    "int": {"type": "integer", "minimum": -(2**31 - 1), "maximum": 2**31 - 1},
    "bigint": {"type": "integer", "description": "Minor units."},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamptz": {"type": "string", "format": "date-time"},
}


def _fields(query: Query) -> dict[str, Any]:
    items = {"type": "string", "enum": list(query.fields)}
    return _parameter("fields", {"type": "array", "items": items}, "Only these.", explode=False)


def _parameter(name: str, schema: dict[str, Any], about: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema, **more}


_PLAN_AFTER = _parameter(
    "plan_after",
    {"type": "integer", "minimum": 0, "default": 0},
    "Of a dry run: decide the items behind this place. `plan.next_after` is where the next begin, "
    "`plan.undecided` how many of the selected were not decided here.",
)
_AS_OF = _parameter("as_of", {"type": "string", "format": "date-time"}, "As it stood at this instant.")
_AS_OF_LIST = {
    **_AS_OF,
    "description": "As it stood at this instant; needs one account_id, else AS_OF_SCOPE_REQUIRED.",
}


def _timeline_path() -> dict[str, Any]:
    parameters = [
        _parameter("account_id", {"type": "string"}, "Whose.", required=True),
        _parameter("type", {"type": "string"}, "Joined with commas: any of these."),
        _parameter("stream", {"type": "string"}, "Joined with commas: any of these."),
        _parameter("actor", {"type": "string"}, "Who caused it."),
        _parameter("text", {"type": "string"}, "Somewhere in the names and sentences."),
        _parameter("at_from", _FILTERED["timestamptz"], "From this on."),
        _parameter("at_to", _FILTERED["timestamptz"], "Up to this."),
        _parameter("sort", {"type": "string", "enum": ["position", "-position"]}, "Oldest or newest first."),
    ]
    return _listing("What happened on an account, in words", parameters, {"type": "object"})


def _told_paths() -> dict[str, Any]:
    """What is told from the log itself: the feed of events, an account's statement, the settings."""
    several = "Joined with commas: any of these."
    feed = [
        _parameter(
            "after", {"type": "integer"}, "The next_cursor of the page before; 0: from the beginning."
        ),
        *(_parameter(name, {"type": "string"}, several) for name in ("type", "account_id", "stream")),
        _parameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}, "How many at most."),
    ]
    period = [
        _parameter("from", _FILTERED["timestamptz"], "Where it begins; without it, with the account."),
        _parameter("to", _FILTERED["timestamptz"], "Where it ends; without it, now."),
        _parameter("currency", {"type": "string"}, "Only this."),
        _parameter("documents", {"type": "string"}, f"Only lines of these: {', '.join(DOCUMENTS)}."),
        _parameter("sort", {"type": "string", "enum": ["at", "-at"]}, "Oldest or newest line first."),
        _parameter("also", {"type": "string"}, "Other accounts to put on it."),
        _parameter("related", {"type": "boolean"}, "With the accounts whose parent it is."),
        _parameter(
            "format",
            {"type": "string", "enum": ["json", "csv", "pdf"]},
            "As JSON, for a spreadsheet, or to print; without it, as the header Accept says.",
        ),
    ]
    ahead = [
        _parameter("until", _FILTERED["date"], "The last day; without it, in 90 days, at most in 366."),
        _parameter("currency", {"type": "string"}, "Only this."),
        _parameter("account_id", {"type": "string"}, "Only of this account."),
    ]
    told = {
        "events": ("Every event, one after another, from any place on", [_TENANT, *feed]),
        "accounts/{id}/statement": (
            "What an account owed, did, and owes, by currency",
            [_TENANT, _ID, *period],
        ),
        "tenant-settings": ("Every setting of the tenant", [_TENANT]),
        "collections-forecast": ("What will be collected, day by day", [_TENANT, *ahead]),
        **_retries(),
    }
    return {
        f"/v1/{{tenant}}/{path}": {
            "get": {"summary": about, "parameters": parameters, "responses": _ok({"type": "object"})}
        }
        for path, (about, parameters) in told.items()
    }


def _retries() -> dict[str, Any]:
    text, version = {"type": "string"}, _parameter("version", {"type": "integer"}, "Of the set; the latest.")
    categories = {"type": "string", "enum": list(CATEGORIES)}
    failure = [
        _parameter("category", categories, "Of the failure.", required=True),
        _parameter("gateway_id", text, "Where it failed."),
        _parameter("raw_code", text, "What the gateway calls it."),
    ]
    policy = [
        _parameter("rule_set_id", text, "Drafts too; without one, what was in force decides again."),
        version,
        _parameter("stagger_basis", {"type": "string", "enum": list(BASES)}, "Instead of the setting."),
        _parameter("hard_decline_policy", {"type": "string", "enum": list(HARD)}, "Instead of the setting."),
        _parameter("network_caps", {"type": "string", "enum": ["KEEP", "IGNORE"]}, "IGNORE counts breaches."),
        _parameter("account_id", text, "Of this account only."),
    ]
    sums = [
        _parameter("by", {"type": "string", "enum": list(BY), "default": "attempt"}, "What it is summed by."),
        *(_parameter(name, text, "Of this only.") for name in FILTERS),
    ]
    return {
        "recovery": (
            "What retries have recovered, by currency and by one thing: attempts, money, rate",
            [_TENANT, *sums],
        ),
        "retry-rule-sets/{id}/match": (
            "Which rule a failure meets, level by level, and why",
            [_TENANT, _ID, *failure, version],
        ),
        "network-caps": ("How often card networks let one amount be tried, as in effect", [_TENANT]),
        "retry-simulation": (
            "Recorded declines under another rule set, beside what became of them, with the assumptions",
            [_TENANT, *policy],
        ),
    }


def _drafted_simulation(schemas: dict[str, Any]) -> dict[str, Any]:
    body = DRAFTED.json_schema(ref_template=_REFERENCE.format(name="retry-simulation"))
    _put_schema(schemas, "retry-simulation", body)
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/retry-simulation"}}}
    return {
        "post": {
            "summary": "Recorded declines under the rule set in the body, which is kept nowhere",
            "description": "A question: it changes nothing. `rule_set` is what makes a rule set.",
            "parameters": [_TENANT],
            "requestBody": {"required": True, "content": body},
            "responses": _ok({"type": "object"}) | {"413": _problem("BODY_TOO_LARGE")},
        }
    }


def _listing(about: str, parameters: Iterable[dict[str, Any]], item: dict[str, Any]) -> dict[str, Any]:
    limit = _parameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}, "Rows of a page.")
    cursor = _parameter("cursor", {"type": "string"}, "The next_cursor of the page before.")
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
            "parameters": [_TENANT, *parameters, limit, cursor, _MIN_POSITION],
            "responses": _ok(listed),
        }
    }


def _one_path(query: Query) -> dict[str, Any]:
    row = {"$ref": f"#/components/schemas/{query.name}"}
    parameters = [_TENANT, _ID, _fields(query), *([_AS_OF] if query.timed else []), _MIN_POSITION]
    return {"get": {"summary": query.about, "parameters": parameters, "responses": _ok(row)}}


def _row_schema(query: Query) -> dict[str, Any]:
    keys = {column.name for column in query.table.key}
    types = {name: _field(type, name in keys) for name, type in query.types.items() if name != "tenant_id"}
    types["position"] = {"type": "integer", "description": "Of the last event in it, in the log."}
    if query.name == "retry-queue":
        types["network_caps"] = _CAPS_LEFT
    if query.table.kind:
        types["stream"] = {"type": "string", "description": "Of the aggregate: {tenant}/{kind}-{id}."}
    return {"type": "object", "properties": types}


_CAPS_LEFT = {
    "type": "array",
    "description": "What the network of the card that is next allows, and how much of it is used, for "
    "whatever item; not with `fields`.",
    "items": {
        "type": "object",
        "properties": {
            "words": {"type": "string"},
            "made": {"type": "integer"},
            "left": {"type": "integer"},
            "not_before": {"type": ["string", "null"], "format": "date-time"},
        },
    },
}


def _field(type: str, always: bool) -> dict[str, Any]:
    """Its schema; what is not part of the key may be null."""
    schema = _TYPES[type]
    if always or not schema:
        return schema
    if "$ref" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _operations() -> dict[str, Any]:
    plain = {"200": _so("application/json", "object")}
    away = {"503": {"description": "The store or the broker is away"}}
    return {
        "/health": {"get": {"summary": "The process is alive", "responses": plain, "security": _NO_SIGN_IN}},
        "/ready": {
            "get": {"summary": "What it needs is there", "responses": plain | away, "security": _NO_SIGN_IN}
        },
        "/metrics": {
            "get": {
                "summary": "What all roles count, and how far they are",
                "security": _NO_SIGN_IN,
                "responses": {"200": _so("text/plain", "string")},
            }
        },
    }


def _clock() -> dict[str, Any]:
    told = {"application/json": {"schema": _CLOCK}}
    ok = {"200": {"description": "So it is", "content": told}}
    refused = {"default": _problem("CLOCK_NOT_MOVABLE, CLOCK_BACKWARDS, or it is no time at all")}
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


_MIGRATION = {
    "post": {
        "summary": "Take over tokenized methods from elsewhere, a file at a time",
        "description": "Every row is decided on its own: ask token-migration-rows for its verdict.",
        "parameters": [
            _TENANT,
            _parameter("job_id", {"type": "string"}, "The same again resumes, and changes nothing."),
            _parameter("mode", {"enum": ["UPSERT", "INSERT_ONLY"]}, "Whether what is there is updated."),
            _parameter("strict", {"type": "boolean"}, "With INSERT_ONLY: what is there is an error."),
            _parameter("dry_run", {"type": "boolean"}, "Decide every row, and import none."),
            _parameter("verify", {"type": "boolean"}, "Have the gateway prove each card's token."),
            _parameter("source", {"type": "string"}, "Where the rows come from, for people."),
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
            "409": _problem("TOKEN_MIGRATION_EXISTS: the job was handed in with other content"),
            "413": _problem("BODY_TOO_LARGE"),
            "default": _problem("Rejected, with a stable code"),
        },
    }
}
