"""A credit memo: what the customer owes less; applied, refunded, reserved for a refund, or open.

Invariant: total = applied + refunded + refund_reserved + balance, every
term at least 0, for the memo and for each of its lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar

from events.credit_memo import (
    CreditMemoApplied,
    CreditMemoCanceled,
    CreditMemoDrafted,
    CreditMemoEvent,
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
from events.shapes import Applied


@dataclass(slots=True)
class MemoLine:
    line: CreditMemoLine
    position: int
    balance: int
    applied: int = 0
    refunded: int = 0
    refund_reserved: int = 0


@dataclass(slots=True)
class MemoApplication:
    application_id: str
    invoice_id: str
    line_id: str | None
    source_line_id: str | None
    amount: int
    applied_at: datetime


@dataclass(slots=True)
class CreditMemo:
    KIND: ClassVar[str] = "cm"

    version: int = 0
    credit_memo_id: str = ""
    number: str = ""
    account_id: str = ""
    currency: str = ""
    category: str = ""
    source_action: str = ""
    reason_code: str = ""
    status: str = ""
    """Empty, DRAFT, POSTED, VOIDED, CANCELED."""
    total: int = 0
    applied: int = 0
    refunded: int = 0
    refund_reserved: int = 0
    lines: dict[str, MemoLine] = field(default_factory=dict[str, MemoLine])
    applications: dict[str, MemoApplication] = field(default_factory=dict[str, MemoApplication])
    unapplied_ids: set[str] = field(default_factory=set[str])
    reservations: dict[str, tuple[LineAmount, ...]] = field(default_factory=dict[str, tuple[LineAmount, ...]])
    reference_invoice_id: str | None = None
    source_invoice_id: str | None = None
    saved_payment_method_id: str | None = None
    billing_profile_id: str | None = None
    legal_entity_id: str | None = None
    tax_strategy: str | None = None
    effective_date: date | None = None
    """Of a draft that says when it takes effect, and of what is posted."""
    locked_by: str | None = None
    posted_at: datetime | None = None

    @property
    def balance(self) -> int:
        if self.status != "POSTED":
            return 0
        return self.total - self.applied - self.refunded - self.refund_reserved

    @property
    def tax(self) -> int:
        return self.total - sum(line.line.charge.amount_minor for line in self.lines.values())

    @property
    def open(self) -> bool:
        return self.status == "POSTED" and (
            self.balance != 0 or self.refund_reserved != 0 or self.locked_by is not None
        )

    def applied_to(self, invoice_id: str) -> int:
        return sum(a.amount for a in self.applications.values() if a.invoice_id == invoice_id)


def evolve(memo: CreditMemo, event: CreditMemoEvent) -> None:
    match event:
        case CreditMemoPosted() | CreditMemoDrafted():
            _post(memo, event)
        case CreditMemoApplied():
            _apply(memo, event)
        case CreditMemoUnapplied():
            _unapply(memo, event)
        case CreditMemoRefundReserved():
            memo.reservations[event.refund_id] = event.lines
            memo.refund_reserved += event.amount.amount_minor
            _move(memo, event.lines, "balance", "refund_reserved")
        case CreditMemoRefundReleased():
            del memo.reservations[event.refund_id]
            memo.refund_reserved -= event.amount.amount_minor
            _move(memo, event.lines, "refund_reserved", "balance")
        case RefundAppliedToCreditMemo():
            reserved = memo.reservations.pop(event.refund_id, None) is not None
            memo.refunded += event.amount.amount_minor
            memo.refund_reserved -= event.amount.amount_minor if reserved else 0
            _move(memo, event.lines, "refund_reserved" if reserved else "balance", "refunded")
        case RefundReversedOnCreditMemo():
            memo.refunded -= event.amount.amount_minor
            _move(memo, event.lines, "refunded", "balance")
        case CreditMemoLocked():
            memo.locked_by = event.by
        case CreditMemoUnlocked():
            memo.locked_by = None
        case CreditMemoVoided():
            memo.status = "VOIDED"
        case CreditMemoCanceled():
            memo.status = "CANCELED"


def _post(memo: CreditMemo, event: CreditMemoPosted | CreditMemoDrafted) -> None:
    memo.credit_memo_id, memo.number, memo.account_id = event.credit_memo_id, event.number, event.account_id
    memo.currency, memo.category, memo.source_action = event.currency, event.category, event.source_action
    memo.reason_code, memo.total = event.reason_code, event.total.amount_minor
    memo.reference_invoice_id = event.reference_invoice_id
    memo.lines = {
        line.line_id: MemoLine(line, position, line.line_total.amount_minor)
        for position, line in enumerate(event.lines)
    }
    memo.saved_payment_method_id, memo.tax_strategy = event.saved_payment_method_id, event.tax_strategy
    memo.billing_profile_id, memo.legal_entity_id = event.billing_profile_id, event.legal_entity_id
    memo.status, memo.effective_date = "DRAFT", event.effective_date
    if isinstance(event, CreditMemoPosted):
        memo.status, memo.posted_at = "POSTED", event.posted_at
        memo.source_invoice_id = event.source_invoice_id


def _apply(memo: CreditMemo, event: CreditMemoApplied) -> None:
    for applied in event.applications:
        amount = applied.amount.amount_minor
        memo.applications[applied.application_id] = MemoApplication(
            applied.application_id,
            event.invoice_id,
            applied.line_id,
            applied.source_line_id,
            amount,
            event.effective_at,
        )
        _settle_line(memo, applied, amount)
    memo.applied += event.total.amount_minor


def _unapply(memo: CreditMemo, event: CreditMemoUnapplied) -> None:
    for taken_back in event.applications:
        assert taken_back.related_application_id is not None
        memo.applications.pop(taken_back.related_application_id)
        memo.unapplied_ids.add(taken_back.related_application_id)
        _settle_line(memo, taken_back, -taken_back.amount.amount_minor)
    memo.applied -= event.total.amount_minor


def _settle_line(memo: CreditMemo, applied: Applied, amount: int) -> None:
    assert applied.source_line_id is not None, "a memo's money always comes from one of its lines"
    line = memo.lines[applied.source_line_id]
    line.applied += amount
    line.balance -= amount


def _move(memo: CreditMemo, amounts: tuple[LineAmount, ...], source: str, target: str) -> None:
    for part in amounts:
        line = memo.lines[part.line_id]
        setattr(line, source, getattr(line, source) - part.amount.amount_minor)
        setattr(line, target, getattr(line, target) + part.amount.amount_minor)
