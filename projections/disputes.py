"""Disputes: what payers' banks took back, until when an answer is due, and how each ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.dispute import (
    DisputeAccepted,
    DisputeEvidenceRequested,
    DisputeEvidenceSubmitted,
    DisputeHoldRaised,
    DisputeLost,
    DisputeOpened,
    DisputeWon,
)
from projections.rates import CORPORATE, corporate
from projections.table import INSTANT, JSON, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

disputes = Table(
    "disputes",
    key=(TENANT, Column("dispute_id", TEXT)),
    columns=(
        *text("payment_id", "account_id", "status", "currency", "reason", "gateway_ref", "evidence"),
        *money("amount", "held", "fee"),
        Column("taken_back", JSON),
        Column("opened_at", INSTANT),
        Column("evidence_due_at", INSTANT),
        Column("ended_at", INSTANT),
        *CORPORATE,
        Column("version", "int", 0),
    ),
    kind="dispute",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "status")),
)


@disputes.on(DisputeOpened)
def opened(fact: DisputeOpened, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "payment_id": fact.payment_id,
            "account_id": fact.account_id,
            "status": "OPENED",
            "currency": fact.amount.currency,
            "reason": fact.reason,
            "gateway_ref": fact.gateway_ref,
            "amount": fact.amount.amount_minor,
            "held": fact.held.amount_minor,
            "taken_back": [
                {"invoice_id": each.invoice_id, "amount_minor": each.amount.amount_minor}
                for each in fact.taken_back
            ],
            "opened_at": fact.opened_at or at.time,
        },
    )


@disputes.on(DisputeHoldRaised)
def hold_raised(fact: DisputeHoldRaised, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"held": Add(fact.held.amount_minor)})


@disputes.on(DisputeEvidenceRequested)
def evidence_requested(fact: DisputeEvidenceRequested, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "EVIDENCE_DUE", "evidence_due_at": fact.due_at}
    yield Row((at.tenant, at.id), changes)


@disputes.on(DisputeEvidenceSubmitted)
def evidence_submitted(fact: DisputeEvidenceSubmitted, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "SUBMITTED", "evidence": fact.evidence}
    yield Row((at.tenant, at.id), changes)


_ENDED = {DisputeWon: "WON", DisputeLost: "LOST", DisputeAccepted: "ACCEPTED"}


@disputes.on(*_ENDED)
def ended(fact: DisputeWon | DisputeLost | DisputeAccepted, at: Place, own: Own) -> Iterable[Row]:
    fee = None if isinstance(fact, DisputeWon) or fact.fee is None else fact.fee.amount_minor
    lost = {} if isinstance(fact, DisputeWon) else corporate(fact.corporate)
    changes = {"status": _ENDED[type(fact)], "fee": fee, "held": 0, "ended_at": at.time}
    yield Row((at.tenant, at.id), {**changes, **lost})


TABLES = (disputes,)
