"""API keys, without what they are known by; and what people and programs were not let do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from events.access import AccessDenied, ApiKeyCreated, ApiKeyRevoked, ApiKeyUsed
from projections.table import INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

api_keys = Table(
    "api_keys",
    key=(TENANT, Column("key_id", TEXT)),
    columns=(
        *text("name", "actor_type", "actor_id", "created_by", "revoked_reason"),
        Column("roles", JSON),
        Column("accounts", JSON),
        Column("commands", JSON),
        Column("created_at", INSTANT),
        Column("expires_at", INSTANT),
        Column("revoked_at", INSTANT),
        Column("last_used_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="apikey",
)

denials = Table(
    "denials",
    key=(TENANT, Column("denial_id", TEXT)),
    columns=(
        *text("code", "action", "actor_type", "actor_id", "message", "account_id", "command_id"),
        Column("roles", JSON),
        Column("denied_at", INSTANT),
    ),
    kind="denial",
    indexes=(("tenant_id", "actor_id"), ("tenant_id", "denied_at")),
)


@api_keys.on(ApiKeyCreated)
def created(fact: ApiKeyCreated, at: Place, own: Own) -> Iterable[Row]:
    known = {name: getattr(fact, name) for name in ("name", "actor_type", "actor_id", "expires_at")}
    lists = {
        "roles": list(fact.roles),
        "accounts": None if fact.accounts is None else list(fact.accounts),
        "commands": None if fact.commands is None else list(fact.commands),
    }
    yield Row((at.tenant, at.id), {**known, **lists, "created_at": at.time, **_by(at)})


@api_keys.on(ApiKeyRevoked)
def revoked(fact: ApiKeyRevoked, at: Place, own: Own) -> Iterable[Row]:
    changes = {"revoked_at": at.time, "revoked_reason": fact.reason}
    yield Row((at.tenant, at.id), changes)


@api_keys.on(ApiKeyUsed)
def used(fact: ApiKeyUsed, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"last_used_at": fact.used_at})


@denials.on(AccessDenied)
def denied(fact: AccessDenied, at: Place, own: Own) -> Iterable[Row]:
    names = ("code", "action", "actor_type", "actor_id", "message", "account_id", "command_id")
    known = {name: getattr(fact, name) for name in names}
    yield Row((at.tenant, at.id), {**known, "roles": list(fact.roles), "denied_at": at.time})


def _by(at: Place) -> Mapping[str, Any]:
    return {"created_by": orjson.loads(at.event.meta).get("actor", {}).get("id")}


TABLES = (api_keys, denials)
