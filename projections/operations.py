"""What operators look at: gateways, their log, exceptions; and every fact in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from events import gateway as gw
from events import gateway_call as call
from events.enhanced import EnhancedData
from events.operations import ExceptionRaised, ExceptionResolved
from projections.table import FLAG, INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

gateways = Table(
    "gateways",
    key=(TENANT, Column("gateway_id", TEXT)),
    columns=(
        *text("name", "provider_id", "adapter_key", "merchant_account_id", "mode", "status"),
        *text("external_reference", "status_reason"),
        Column("payments_enabled", FLAG, True),
        Column("payouts_enabled", FLAG, True),
        Column("operations", JSON),
        Column("currencies", JSON),
        Column("method_types", JSON),
        Column("minor_unit_overrides", JSON),
        Column("connect_timeout_ms", "int"),
        Column("read_timeout_ms", "int"),
        Column("rate_limit_per_second", "int"),
        Column("circuit_open_until", INSTANT),
        Column("circuit_reason", TEXT),
        Column("version", "int", 0),
    ),
    kind="gw",
)

gateway_log = Table(
    "gateway_log",
    key=(TENANT, Column("operation_key", TEXT)),
    columns=(
        *text("account_id", "gateway_id", "operation", "interaction_status", "target_kind", "target_id"),
        *text("currency", "merchant_reference", "method_display", "result_code", "category", "raw_code"),
        *text("raw_message", "gateway_ref", "auth_code", "source", "proposed_outcome", "proposed_by"),
        *text("avs_code", "cvc_code", "raw_sub_code", "network_code", "network_advice"),
        *text("initiation_source_id"),
        *money("amount"),
        Column("attempt_no", "int"),
        Column("sends", "int", 0),
        Column("queries", "int", 0),
        Column("level_sent", "int"),
        Column("enhanced", JSON),
        Column("code_map_version", "int"),
        Column("hard", FLAG, False),
        Column("never_retry", FLAG, False),
        Column("duplicate_suspected", FLAG, False),
        Column("is_notification", FLAG, False),
        Column("planned_at", INSTANT),
        Column("sent_at", INSTANT),
        Column("answered_at", INSTANT),
        Column("next_query_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="gwcall",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "target_id")),
)

exceptions = Table(
    "exceptions",
    key=(TENANT, Column("exception_id", TEXT)),
    columns=(
        *text(
            "account_id", "type", "subject_kind", "subject_id", "message", "currency", "status", "resolution"
        ),
        *money("amount"),
        Column("raised_at", INSTANT),
        Column("resolved_at", INSTANT),
    ),
    kind="exception",
    indexes=(("tenant_id", "status"),),
)


@gateways.on(gw.GatewayRegistered)
def registered(fact: gw.GatewayRegistered, at: Place, own: Own) -> Iterable[Row]:
    names = ("name", "provider_id", "adapter_key", "merchant_account_id", "mode")
    limits = ("connect_timeout_ms", "read_timeout_ms", "rate_limit_per_second", "minor_unit_overrides")
    kept = {name: getattr(fact, name) for name in (*names, *limits, "external_reference")}
    can = {n: list(getattr(fact.capabilities, n)) for n in ("operations", "currencies", "method_types")}
    yield Row((at.tenant, at.id), {**kept, **can, "status": "ACTIVE"})


@gateways.on(gw.GatewayActivated, gw.GatewayDeactivated, gw.GatewayRestricted)
def gateway_status(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    known: dict[type[Any], str] = {gw.GatewayActivated: "ACTIVE", gw.GatewayDeactivated: "INACTIVE"}
    status: str = known.get(fact.__class__) or fact.status
    yield Row((at.tenant, at.id), {"status": status, "status_reason": fact.reason})


@gateways.on(gw.GatewaySwitched)
def switched(fact: gw.GatewaySwitched, at: Place, own: Own) -> Iterable[Row]:
    may = {"payments_enabled": fact.payments_enabled, "payouts_enabled": fact.payouts_enabled}
    yield Row((at.tenant, at.id), {**may, "status_reason": fact.reason})


@gateways.on(gw.GatewayCircuitOpened)
def circuit_opened(fact: gw.GatewayCircuitOpened, at: Place, own: Own) -> Iterable[Row]:
    open = {"circuit_open_until": fact.until, "circuit_reason": fact.reason}
    yield Row((at.tenant, at.id), open)


@gateways.on(gw.GatewayCircuitClosed)
def circuit_closed(fact: gw.GatewayCircuitClosed, at: Place, own: Own) -> Iterable[Row]:
    closed = {"circuit_open_until": None, "circuit_reason": None}
    yield Row((at.tenant, at.id), closed)


@gateway_log.on(call.GatewayCallPlanned)
def planned(fact: call.GatewayCallPlanned, at: Place, own: Own) -> Iterable[Row]:
    names = (
        "account_id",
        "gateway_id",
        "operation",
        "target_kind",
        "target_id",
        "merchant_reference",
        "attempt_no",
        "initiation_source_id",
    )
    method = fact.method
    yield Row(
        (at.tenant, at.id),
        {
            **{name: getattr(fact, name) for name in names},
            "interaction_status": "Initiated",
            "currency": fact.amount.currency,
            "amount": fact.amount.amount_minor,
            "method_display": f"{method.network or method.type} {method.last4 or ''}".strip()
            if method
            else None,
            "planned_at": at.time,
            **({"enhanced": _detail(fact.enhanced)} if fact.enhanced else {}),
        },
    )


def _detail(sent: EnhancedData) -> dict[str, Any]:
    """The Level 2 and 3 data that went with it, but for what is personal."""
    told = orjson.loads(orjson.dumps(sent))
    told.pop("ship_to_postal_code", None)
    return told


_TOLD = (
    *("result_code", "category", "hard", "never_retry", "code_map_version"),
    *("raw_code", "raw_sub_code", "raw_message", "network_code", "network_advice"),
    *("gateway_ref", "auth_code", "avs_code", "cvc_code", "level_sent"),
)
"""Of an answer, what the log shows."""


def _answered(fact: Any, at: Place, status: str) -> dict[str, Any]:
    return {
        **{name: getattr(fact.outcome, name) for name in _TOLD},
        "interaction_status": status,
    }


@gateway_log.on(call.GatewayCallSucceeded, call.GatewayCallRejected)
def answered(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    status = "Success" if isinstance(fact, call.GatewayCallSucceeded) else "Failed"
    known = {
        "source": fact.source,
        "sent_at": fact.sent_at,
        "answered_at": at.time,
        "sends": own["sends"] + 1,
    }
    yield Row((at.tenant, at.id), {**_answered(fact, at, status), **known, "next_query_at": None})


@gateway_log.on(call.GatewayCallPending)
def acknowledged(fact: call.GatewayCallPending, at: Place, own: Own) -> Iterable[Row]:
    known = {
        "source": fact.source,
        "sent_at": own["sent_at"] or fact.sent_at,
        "next_query_at": fact.next_query_at,
    }
    yield Row((at.tenant, at.id), {**_answered(fact, at, "Initiated"), **known})


@gateway_log.on(call.GatewayCallTimedOut)
def timed_out(fact: call.GatewayCallTimedOut, at: Place, own: Own) -> Iterable[Row]:
    known = {"sent_at": fact.sent_at, "next_query_at": fact.next_query_at, "raw_message": fact.reason}
    more = {"interaction_status": "Timeout", "result_code": "Indeterminate", "sends": own["sends"] + 1}
    yield Row((at.tenant, at.id), {**known, **more})


@gateway_log.on(call.GatewayCallNotSent)
def not_sent(fact: call.GatewayCallNotSent, at: Place, own: Own) -> Iterable[Row]:
    status = "NoOp" if fact.retry_at else "Failed"
    yield Row(
        (at.tenant, at.id),
        {**_answered(fact, at, status), "next_query_at": fact.retry_at, "sends": fact.sends},
    )


@gateway_log.on(call.GatewayStatusQueried)
def queried(fact: call.GatewayStatusQueried, at: Place, own: Own) -> Iterable[Row]:
    known = {"queries": fact.queries, "next_query_at": fact.next_query_at}
    yield Row((at.tenant, at.id), known)


@gateway_log.on(call.GatewayReplayPlanned)
def replay_planned(fact: call.GatewayReplayPlanned, at: Place, own: Own) -> Iterable[Row]:
    known = {"queries": fact.queries, "next_query_at": fact.at, "duplicate_suspected": True}
    yield Row((at.tenant, at.id), known)


@gateway_log.on(call.GatewayResolutionProposed)
def resolution_proposed(fact: call.GatewayResolutionProposed, at: Place, own: Own) -> Iterable[Row]:
    known = {"proposed_outcome": fact.outcome, "proposed_by": fact.proposed_by}
    yield Row((at.tenant, at.id), known)


@gateway_log.on(call.GatewayOutcomeResolved)
def resolved(fact: call.GatewayOutcomeResolved, at: Place, own: Own) -> Iterable[Row]:
    status = "Success" if fact.outcome.result_code == "Success" else "Failed"
    known = {"source": fact.source, "answered_at": at.time, "next_query_at": None}
    yield Row((at.tenant, at.id), {**_answered(fact, at, status), **known})


@exceptions.on(ExceptionRaised)
def raised(fact: ExceptionRaised, at: Place, own: Own) -> Iterable[Row]:
    names = ("account_id", "type", "subject_kind", "subject_id", "message")
    amount = fact.amount
    yield Row(
        (at.tenant, at.id),
        {
            **{name: getattr(fact, name) for name in names},
            "status": "OPEN",
            "currency": amount.currency if amount else None,
            "amount": amount.amount_minor if amount else 0,
            "raised_at": at.time,
        },
    )


@exceptions.on(ExceptionResolved)
def exception_resolved(fact: ExceptionResolved, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "RESOLVED", "resolution": f"{fact.resolution}: {fact.note}", "resolved_at": at.time}
    yield Row((at.tenant, at.id), changes)


TABLES = (gateways, gateway_log, exceptions)
