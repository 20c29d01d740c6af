"""What gateways have told of their own, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events import notification as news
from events.shapes import Outcome
from projections.operations import gateway_log
from projections.table import INSTANT, TENANT, TEXT, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

notifications = Table(
    "notifications",
    key=(TENANT, Column("notification_id", TEXT)),
    columns=(
        *text("gateway_id", "provider_event_id", "type", "status", "reason", "raw_ref", "digest"),
        *text("gateway_ref", "merchant_reference", "operation_key", "result_code", "category", "raw_code"),
        *text("account_id", "operation", "target_kind", "target_id", "matched_by", "currency"),
        *money("amount"),
        Column("tries", "int", 0),
        Column("replays", "int", 0),
        Column("received_at", INSTANT),
        Column("matched_at", INSTANT),
        Column("next_match_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="inbox",
    indexes=(("tenant_id", "status"), ("tenant_id", "target_id")),
)


@notifications.on(news.NotificationReceived)
def received(fact: news.NotificationReceived, at: Place, own: Own) -> Iterable[Row]:
    names = ("gateway_id", "provider_event_id", "type", "digest", "raw_ref", "received_at")
    known = {
        **{name: getattr(fact, name) for name in names},
        **_told(fact),
        "operation_key": fact.operation_key,
    }
    yield Row((at.tenant, at.id), {**known, "status": "WAITING"})


@notifications.on(news.NotificationDeferred)
def deferred(fact: news.NotificationDeferred, at: Place, own: Own) -> Iterable[Row]:
    known = {"tries": fact.tries, "next_match_at": fact.next_match_at}
    yield Row((at.tenant, at.id), known)


@notifications.on(news.NotificationMatched)
def matched(fact: news.NotificationMatched, at: Place, own: Own) -> Iterable[Row]:
    names = ("account_id", "operation", "operation_key", "target_kind", "target_id")
    known = {**{name: getattr(fact, name) for name in names}, "matched_by": fact.by, "matched_at": at.time}
    more = {"status": "MATCHED", "reason": None, "next_match_at": None}
    yield Row((at.tenant, at.id), {**known, **more})


@notifications.on(news.NotificationUnmatched)
def unmatched(fact: news.NotificationUnmatched, at: Place, own: Own) -> Iterable[Row]:
    known = {"status": "UNMATCHED", "reason": fact.reason, "next_match_at": None}
    yield Row((at.tenant, at.id), known)


@notifications.on(news.NotificationReplayed)
def replayed(fact: news.NotificationReplayed, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"replays": fact.replay_no})


@notifications.on(news.NotificationRejected)
def rejected(fact: news.NotificationRejected, at: Place, own: Own) -> Iterable[Row]:
    names = ("gateway_id", "digest", "raw_ref", "received_at")
    known = {**{name: getattr(fact, name) for name in names}, "reason": f"{fact.reason}: {fact.detail}"}
    yield Row((at.tenant, at.id), {**known, "status": "REJECTED"})


# -- the gateway log has a row of each notification, beside those of our own calls


@gateway_log.on(news.NotificationReceived)
def heard(fact: news.NotificationReceived, at: Place, own: Own) -> Iterable[Row]:
    known = {
        **_told(fact),
        "gateway_id": fact.gateway_id,
        "operation": "NOTIFICATION",
        "interaction_status": "Success",
        "is_notification": True,
        "raw_message": fact.outcome.raw_message,
        "auth_code": fact.outcome.auth_code,
        "hard": fact.outcome.hard,
        "source": "NOTIFICATION",
        "answered_at": fact.received_at,
    }
    yield Row(_logged(at), {**known, "planned_at": fact.received_at, "version": at.event.version})


@gateway_log.on(news.NotificationMatched)
def heard_of(fact: news.NotificationMatched, at: Place, own: Own) -> Iterable[Row]:
    names = ("account_id", "target_kind", "target_id")
    known = {name: getattr(fact, name) for name in names}
    yield Row(_logged(at), {**known, "interaction_status": "Success", "version": at.event.version})


@gateway_log.on(news.NotificationUnmatched)
def heard_in_vain(fact: news.NotificationUnmatched, at: Place, own: Own) -> Iterable[Row]:
    yield Row(_logged(at), {"interaction_status": "NoOp", "version": at.event.version})


def _logged(at: Place) -> tuple[str, str]:
    """No operation's key has a slash."""
    return at.tenant, f"notification/{at.id}"


def _told(fact: news.NotificationReceived) -> dict[str, Any]:
    outcome: Outcome = fact.outcome
    amount = outcome.processed_amount
    return {
        "gateway_ref": fact.gateway_ref,
        "merchant_reference": fact.merchant_reference,
        "result_code": outcome.result_code,
        "category": outcome.category,
        "raw_code": outcome.raw_code,
        "currency": amount.currency if amount else None,
        "amount": amount.amount_minor if amount else 0,
    }


TABLES = (notifications,)
