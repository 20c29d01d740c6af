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
    LineAmount,
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
        *text("billing_profile_id", "legal_entity_id", "tax_strategy", "saved_payment_method_id"),
        *text("settlement_level"),
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
    lines = [_line(line, owed=is_posted) for line in fact.lines]
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
            "saved_payment_method_id": fact.saved_payment_method_id,
            "source_invoice_id": fact.source_invoice_id if is_posted else None,
            "total": fact.total.amount_minor,
            "balance": fact.total.amount_minor if is_posted else 0,
            "lines": lines,
            "posted_at": fact.posted_at if is_posted else None,
            "effective_date": fact.effective_date,
            **(corporate(fact.corporate) if is_posted else {}),
        },
    )


def _line(line: CreditMemoLine, *, owed: bool) -> dict[str, Any]:
    """What it is for, and where its money is; nothing is owed by a line of a draft."""
    total, product = line.line_total.amount_minor, line.product
    return {
        "line_id": line.line_id,
        "product": product.name or product.sku or product.id if product else None,
        "charge_minor": line.charge.amount_minor,
        "tax_minor": total - line.charge.amount_minor,
        "line_total_minor": total,
        "reference_invoice_line_id": line.reference_invoice_line_id,
        "applied_minor": 0,
        "refund_reserved_minor": 0,
        "refunded_minor": 0,
        "balance_minor": total if owed else 0,
    }


def _moved(own: Own, amounts: Iterable[tuple[str | None, int]], source: str, target: str) -> dict[str, Any]:
    """The lines, each with its amount moved from one column to another; the old ones stay as they are."""
    moved: dict[str | None, int] = {}
    for line_id, amount in amounts:
        moved[line_id] = moved.get(line_id, 0) + amount
    return {
        "lines": [
            {
                **line,
                source: line[source] - moved[line["line_id"]],
                target: line[target] + moved[line["line_id"]],
            }
            if line["line_id"] in moved
            else line
            for line in own["lines"]
        ]
    }


def _of_lines(amounts: Iterable[LineAmount]) -> list[tuple[str | None, int]]:
    return [(part.line_id, part.amount.amount_minor) for part in amounts]


@credit_memos.on(CreditMemoApplied, CreditMemoUnapplied)
def applied(fact: CreditMemoApplied | CreditMemoUnapplied, at: Place, own: Own) -> Iterable[Row]:
    sign = 1 if isinstance(fact, CreditMemoApplied) else -1
    parts = [(one.source_line_id, sign * one.amount.amount_minor) for one in fact.applications]
    amount = sign * fact.total.amount_minor
    changes = {"applied": Add(amount), "balance": fact.balance.amount_minor}
    level = fact.level if own["applied"] + amount else None
    lines = _moved(own, parts, "balance_minor", "applied_minor")
    yield Row((at.tenant, at.id), {**changes, **lines, "settlement_level": level})


@credit_memos.on(CreditMemoRefundReserved, CreditMemoRefundReleased)
def reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    sign = 1 if isinstance(fact, CreditMemoRefundReserved) else -1
    amount = sign * fact.amount.amount_minor
    parts = [(line_id, sign * part) for line_id, part in _of_lines(fact.lines)]
    moved = {"refund_reserved": Add(amount), "balance": Add(-amount)}
    lines = _moved(own, parts, "balance_minor", "refund_reserved_minor")
    yield Row((at.tenant, at.id), {**moved, **lines})


@credit_memos.on(RefundAppliedToCreditMemo)
def refunded(fact: RefundAppliedToCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    source = "refund_reserved" if fact.reserved else "balance"
    lines = _moved(own, _of_lines(fact.lines), f"{source}_minor", "refunded_minor")
    yield Row((at.tenant, at.id), {"refunded": Add(amount), source: Add(-amount), **lines})


@credit_memos.on(RefundReversedOnCreditMemo)
def refund_reversed(fact: RefundReversedOnCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    lines = _moved(own, _of_lines(fact.lines), "refunded_minor", "balance_minor")
    yield Row((at.tenant, at.id), {"refunded": Add(-amount), "balance": Add(amount), **lines})


@credit_memos.on(CreditMemoLocked, CreditMemoUnlocked)
def locked(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    by = fact.by if isinstance(fact, CreditMemoLocked) else None
    yield Row((at.tenant, at.id), {"locked_by": by})


@credit_memos.on(CreditMemoVoided, CreditMemoCanceled)
def ended(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    voided = isinstance(fact, CreditMemoVoided)
    lines = [{**line, "balance_minor": 0} for line in own["lines"]]
    changes = {"status": "VOIDED" if voided else "CANCELED", "balance": 0, "lines": lines}
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
            "lines": [_charged(line) for line in fact.lines],
            "posted_at": fact.posted_at,
            **corporate(fact.corporate),
        },
    )


def _charged(line: CreditMemoLine) -> dict[str, Any]:
    """What it is for; what of it is paid, the invoice tells that carries it."""
    told = _line(line, owed=False)
    kept = ("line_id", "product", "charge_minor", "tax_minor", "line_total_minor")
    return {name: told[name] for name in (*kept, "reference_invoice_line_id")}


@debit_memos.on(DebitMemoInvoiced)
def debit_invoiced(fact: DebitMemoInvoiced, at: Place, own: Own) -> Iterable[Row]:
    carried = {"invoicing": "INVOICED", "invoice_id": fact.invoice_id}
    yield Row((at.tenant, at.id), carried)


@debit_memos.on(DebitMemoVoided)
def debit_voided(fact: DebitMemoVoided, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "VOIDED"})


TABLES = (credit_memos, debit_memos)
