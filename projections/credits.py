"""Credit memos: how much of each is applied, refunded, on its way, or open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.credit_memo import (
    CreditMemoApplied,
    CreditMemoCanceled,
    CreditMemoDrafted,
    CreditMemoLine,
    CreditMemoLocked,
    CreditMemoPosted,
    CreditMemoRefundReleased,
    CreditMemoRefundReserved,
    CreditMemoUnapplied,
    CreditMemoUnlocked,
    CreditMemoVoided,
    RefundAppliedToCreditMemo,
    RefundReversedOnCreditMemo,
)
from events.debit_memo import DebitMemoInvoiced, DebitMemoPosted, DebitMemoVoided
from projections.rates import CORPORATE, corporate
from projections.table import DAY, INSTANT, JSON, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

credit_memos = Table(
    "credit_memos",
    key=(TENANT, Column("credit_memo_id", TEXT)),
    columns=(
        *text("number", "account_id", "currency", "status", "category", "source_action", "reason_code"),
        *text("reference_invoice_id", "source_invoice_id", "locked_by", "debit_memo_id"),
        *text("billing_profile_id", "legal_entity_id", "tax_strategy"),
        *money("total", "applied", "refunded", "refund_reserved", "balance"),
        Column("lines", JSON),
        Column("posted_at", INSTANT),
        Column("effective_date", DAY),
        *CORPORATE,
        Column("version", "int", 0),
    ),
    kind="cm",
    indexes=(("tenant_id", "account_id"),),
)

debit_memos = Table(
    "debit_memos",
    key=(TENANT, Column("debit_memo_id", TEXT)),
    columns=(
        *text("number", "account_id", "currency", "status", "kind", "invoicing", "reason_code"),
        *text("credit_memo_id", "invoice_id"),
        *money("total"),
        Column("lines", JSON),
        Column("posted_at", INSTANT),
        *CORPORATE,
        Column("version", "int", 0),
    ),
    kind="dm",
    indexes=(("tenant_id", "account_id"),),
)
"""`invoicing`: NOT_APPLICABLE for an offset, else PENDING until an invoice carries it, then INVOICED; that
invoice tells what of it is paid."""


@credit_memos.on(CreditMemoPosted, CreditMemoDrafted)
def posted(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    is_posted = isinstance(fact, CreditMemoPosted)
    lines = [_line(line) for line in fact.lines]
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "currency": fact.currency,
            "status": "POSTED" if is_posted else "DRAFT",
            "category": fact.category,
            "source_action": fact.source_action,
            "reason_code": fact.reason_code,
            "reference_invoice_id": fact.reference_invoice_id,
            "billing_profile_id": fact.billing_profile_id,
            "legal_entity_id": fact.legal_entity_id,
            "tax_strategy": fact.tax_strategy,
            "source_invoice_id": fact.source_invoice_id if is_posted else None,
            "total": fact.total.amount_minor,
            "balance": fact.total.amount_minor if is_posted else 0,
            "lines": lines,
            "posted_at": fact.posted_at if is_posted else None,
            "effective_date": fact.effective_date if is_posted else None,
            **(corporate(fact.corporate) if is_posted else {}),
        },
    )


def _line(line: CreditMemoLine) -> dict[str, Any]:
    return {
        "line_id": line.line_id,
        "line_total_minor": line.line_total.amount_minor,
        "reference_invoice_line_id": line.reference_invoice_line_id,
    }


@credit_memos.on(CreditMemoApplied, CreditMemoUnapplied)
def applied(fact: CreditMemoApplied | CreditMemoUnapplied, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.total.amount_minor if isinstance(fact, CreditMemoApplied) else -fact.total.amount_minor
    changes = {"applied": Add(amount), "balance": fact.balance.amount_minor}
    yield Row((at.tenant, at.id), changes)


@credit_memos.on(CreditMemoRefundReserved, CreditMemoRefundReleased)
def reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, CreditMemoRefundReserved) else -fact.amount.amount_minor
    )
    moved = {"refund_reserved": Add(amount), "balance": Add(-amount)}
    yield Row((at.tenant, at.id), moved)


@credit_memos.on(RefundAppliedToCreditMemo)
def refunded(fact: RefundAppliedToCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    source = "refund_reserved" if fact.reserved else "balance"
    yield Row((at.tenant, at.id), {"refunded": Add(amount), source: Add(-amount)})


@credit_memos.on(RefundReversedOnCreditMemo)
def refund_reversed(fact: RefundReversedOnCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    yield Row((at.tenant, at.id), {"refunded": Add(-amount), "balance": Add(amount)})


@credit_memos.on(CreditMemoLocked, CreditMemoUnlocked)
def locked(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    by = fact.by if isinstance(fact, CreditMemoLocked) else None
    yield Row((at.tenant, at.id), {"locked_by": by})


@credit_memos.on(CreditMemoVoided, CreditMemoCanceled)
def ended(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    voided = isinstance(fact, CreditMemoVoided)
    changes = {"status": "VOIDED" if voided else "CANCELED", "balance": 0}
    yield Row((at.tenant, at.id), {**changes, "debit_memo_id": fact.debit_memo_id} if voided else changes)


@debit_memos.on(DebitMemoPosted)
def debit_posted(fact: DebitMemoPosted, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "currency": fact.currency,
            "status": "POSTED",
            "kind": fact.kind,
            "invoicing": "PENDING" if fact.kind == "STANDALONE" else "NOT_APPLICABLE",
            "reason_code": fact.reason_code,
            "credit_memo_id": fact.credit_memo_id,
            "total": fact.total.amount_minor,
            "lines": [_line(line) for line in fact.lines],
            "posted_at": fact.posted_at,
            **corporate(fact.corporate),
        },
    )


@debit_memos.on(DebitMemoInvoiced)
def debit_invoiced(fact: DebitMemoInvoiced, at: Place, own: Own) -> Iterable[Row]:
    carried = {"invoicing": "INVOICED", "invoice_id": fact.invoice_id}
    yield Row((at.tenant, at.id), carried)


@debit_memos.on(DebitMemoVoided)
def debit_voided(fact: DebitMemoVoided, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "VOIDED"})


TABLES = (credit_memos, debit_memos)
