"""Questions: read models, and what is told of them."""

from __future__ import annotations

from typing import Any

from projections.asking import LIMIT_MAX, TEXT_MAX, Query
from projections.recovery import BY, FILTERS
from projections.statement import DOCUMENTS
from services.http.openapi.parts import (
    ID,
    MIN_POSITION,
    REFERENCE,
    TENANT,
    listing,
    ok,
    parameter,
    problem,
    put_schema,
)
from services.http.retries import BASES, CATEGORIES, HARD
from services.retries.drafting import DRAFTED
from services.schedulers.preview import COUNT_MAX

_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "bigint": {"$ref": "#/components/schemas/Money"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamptz": {"type": "string", "format": "date-time"},
    "json": {},
}


_NEXT_RUNS = "/v1/{tenant}/payment-schedulers/{id}/next-runs"


WHYS = {
    _NEXT_RUNS: "When a scheduler fires next; one that rests, if it was activated now",
    "/v1/{tenant}/invoices/{id}/why-balance": "Why an invoice's balance is what it is",
    "/v1/{tenant}/refund-orchestrations/{id}/why-this-payment": "Why a refund comes from these payments",
    "/v1/{tenant}/schedule-items/{id}/why-next-attempt": "When and why an item is tried again, or is not",
    "/v1/{tenant}/explain/{id}": "Every fact about whatever the id names",
}


def asked_with(path: str) -> list[dict[str, Any]]:
    if path == _NEXT_RUNS:
        schema = {"type": "integer", "minimum": 1, "maximum": COUNT_MAX, "default": 10}
        return [parameter("count", schema, "How many.")]
    related = [parameter("related", {"type": "boolean"}, "And of what it touched.")]
    return related if "explain" in path else []


def list_path(query: Query) -> dict[str, Any]:
    parameters = [_filter(query, name) for name in query.parameters]
    sorts = [f"{sign}{name}" for name in query.sorts for sign in ("", "-")]
    if sorts:
        about = f"Joined with commas: {', '.join(sorts)}. Ties are broken by the id."
        parameters.append(parameter("sort", {"type": "string"}, about))
    parameters += [_fields(query), *([_AS_OF_LIST] if query.timed_lists else [])]
    return listing(query.about, parameters, {"$ref": f"#/components/schemas/{query.name}"})


def _filter(query: Query, name: str) -> dict[str, Any]:
    base, _, end = name.rpartition("_")
    if name in query.filters:
        schema = _FILTERED[query.types[name]]
        return parameter(name, {"type": "array", "items": schema}, "Any of these.", explode=False)
    if name in query.inside:
        return parameter(name, {"type": "array", "items": {"type": "string"}}, "Any of these.", explode=False)
    if name == "text":
        return parameter(name, {"type": "string"}, f"Somewhere in {' or '.join(query.text)}.")
    about = "From this on." if end == "from" else "Up to this."
    return parameter(name, _FILTERED[query.types[base]], about)


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
    return parameter("fields", {"type": "array", "items": items}, "Only these.", explode=False)


_AS_OF = parameter("as_of", {"type": "string", "format": "date-time"}, "As it stood at this instant.")


_AS_OF_LIST = {
    **_AS_OF,
    "description": "As it stood at this instant; needs one account_id, else AS_OF_SCOPE_REQUIRED.",
}


def timeline_path() -> dict[str, Any]:
    parameters = [
        parameter("account_id", {"type": "string"}, "Whose.", required=True),
        parameter("type", {"type": "string"}, "Joined with commas: any of these."),
        parameter("stream", {"type": "string"}, "Joined with commas: any of these."),
        parameter("actor", {"type": "string"}, "Who caused it."),
        parameter("text", {"type": "string"}, "Somewhere in the names and sentences."),
        parameter("at_from", _FILTERED["timestamptz"], "From this on."),
        parameter("at_to", _FILTERED["timestamptz"], "Up to this."),
        parameter("sort", {"type": "string", "enum": ["position", "-position"]}, "Oldest or newest first."),
    ]
    return listing("What happened on an account, in words", parameters, {"type": "object"})


def told_paths() -> dict[str, Any]:
    """What is told from the log itself: the feed of events, an account's statement, the settings."""
    several = "Joined with commas: any of these."
    feed = [
        parameter("after", {"type": "integer"}, "The next_cursor of the page before; 0: from the beginning."),
        *(parameter(name, {"type": "string"}, several) for name in ("type", "account_id", "stream")),
        parameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}, "How many at most."),
    ]
    period = [
        parameter("from", _FILTERED["timestamptz"], "Where it begins; without it, with the account."),
        parameter("to", _FILTERED["timestamptz"], "Where it ends; without it, now."),
        parameter("currency", {"type": "string"}, "Only this."),
        parameter("documents", {"type": "string"}, f"Only lines of these: {', '.join(DOCUMENTS)}."),
        parameter("sort", {"type": "string", "enum": ["at", "-at"]}, "Oldest or newest line first."),
        parameter("also", {"type": "string"}, "Other accounts to put on it."),
        parameter("related", {"type": "boolean"}, "With the accounts whose parent it is."),
        parameter(
            "format",
            {"type": "string", "enum": ["json", "csv", "pdf"]},
            "As JSON, for a spreadsheet, or to print; without it, as the header Accept says.",
        ),
    ]
    ahead = [
        parameter("until", _FILTERED["date"], "The last day; without it, in 90 days, at most in 366."),
        parameter("currency", {"type": "string"}, "Only this."),
        parameter("account_id", {"type": "string"}, "Only of this account."),
    ]
    told = {
        "events": ("Every event, one after another, from any place on", [TENANT, *feed]),
        "accounts/{id}/statement": (
            "What an account owed, did, and owes, by currency",
            [TENANT, ID, *period],
        ),
        "tenant-settings": ("Every setting of the tenant", [TENANT]),
        "collections-forecast": ("What will be collected, day by day", [TENANT, *ahead]),
        **_retries(),
    }
    return {
        f"/v1/{{tenant}}/{path}": {
            "get": {"summary": about, "parameters": parameters, "responses": ok({"type": "object"})}
        }
        for path, (about, parameters) in told.items()
    }


def _retries() -> dict[str, Any]:
    text, version = {"type": "string"}, parameter("version", {"type": "integer"}, "Of the set; the latest.")
    categories = {"type": "string", "enum": list(CATEGORIES)}
    failure = [
        parameter("category", categories, "Of the failure.", required=True),
        parameter("gateway_id", text, "Where it failed."),
        parameter("raw_code", text, "What the gateway calls it."),
    ]
    policy = [
        parameter("rule_set_id", text, "Drafts too; without one, what was in force decides again."),
        version,
        parameter("stagger_basis", {"type": "string", "enum": list(BASES)}, "Instead of the setting."),
        parameter("hard_decline_policy", {"type": "string", "enum": list(HARD)}, "Instead of the setting."),
        parameter("network_caps", {"type": "string", "enum": ["KEEP", "IGNORE"]}, "IGNORE counts breaches."),
        parameter("account_id", text, "Of this account only."),
    ]
    sums = [
        parameter("by", {"type": "string", "enum": list(BY), "default": "attempt"}, "What it is summed by."),
        *(parameter(name, text, "Of this only.") for name in FILTERS),
    ]
    return {
        "recovery": (
            "What retries have recovered, by currency and by one thing: attempts, money, rate",
            [TENANT, *sums],
        ),
        "retry-rule-sets/{id}/match": (
            "Which rule a failure meets, level by level, and why",
            [TENANT, ID, *failure, version],
        ),
        "network-caps": ("How often card networks let one amount be tried, as in effect", [TENANT]),
        "retry-simulation": (
            "Recorded declines under another rule set, beside what became of them, with the assumptions",
            [TENANT, *policy],
        ),
    }


def drafted_simulation(schemas: dict[str, Any]) -> dict[str, Any]:
    body = DRAFTED.json_schema(ref_template=REFERENCE.format(name="retry-simulation"))
    put_schema(schemas, "retry-simulation", body)
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/retry-simulation"}}}
    return {
        "post": {
            "summary": "Recorded declines under the rule set in the body, which is kept nowhere",
            "description": "A question: it changes nothing. `rule_set` is what makes a rule set.",
            "parameters": [TENANT],
            "requestBody": {"required": True, "content": body},
            "responses": ok({"type": "object"}) | {"413": problem("BODY_TOO_LARGE")},
        }
    }


def one_path(query: Query) -> dict[str, Any]:
    row = {"$ref": f"#/components/schemas/{query.name}"}
    parameters = [TENANT, ID, _fields(query), *([_AS_OF] if query.timed else []), MIN_POSITION]
    return {"get": {"summary": query.about, "parameters": parameters, "responses": ok(row)}}


def row_schema(query: Query) -> dict[str, Any]:
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
