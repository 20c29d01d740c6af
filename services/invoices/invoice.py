"""An invoice: what is owed, line by line, and what has settled it.

Invariant: a line's balance is its total, less what was converted, paid and credited; the invoice's
balance is the sum of its lines, at either settlement level.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar

from events.custom import CustomFields
from events.invoice import (
    DraftContent,
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    InvoiceCustomFieldsSet,
    InvoiceDisputed,
    InvoiceDisputeEnded,
    InvoiceDraftCanceled,
    InvoiceDrafted,
    InvoiceDueDateExtended,
    InvoiceEvent,
    InvoiceExcludedFromPayments,
    InvoiceLine,
    InvoiceLocked,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoicePosted,
    InvoiceReopened,
    InvoiceRevised,
    InvoiceScheduled,
    InvoiceScheduledBalanceChanged,
    InvoiceScheduleDeferred,
    InvoiceSettled,
    InvoiceSettlementStatusChanged,
    InvoiceUnlocked,
    InvoiceUnscheduled,
    InvoiceVoided,
    InvoiceWriteOffReversed,
    InvoiceWrittenOff,
    NegativeInvoiceLinesConverted,
    ScheduleCreationFailed,
    ScheduleCreationSkipped,
)


@dataclass(slots=True)
class LineState:
    """One line's money, in minor units of the invoice's currency."""

    line: InvoiceLine
    position: int
    balance: int
    converted: int = 0
    """At most 0."""
    payments_applied: int = 0
    credits_applied: int = 0
    tax_covered: int = 0
    """How much of its tax the live applications cover."""

    @property
    def tax(self) -> int:
        return self.line.line_total.amount_minor - self.line.charge.amount_minor

    @property
    def tax_left(self) -> int:
        """Of its balance."""
        return self.tax - self.tax_covered


@dataclass(slots=True)
class Application:
    """One live application of a payment or a credit memo to this invoice."""

    application_id: str
    source_kind: str
    """payment or cm."""
    source_id: str
    line_id: str | None
    """None at level INVOICE."""
    amount: int
    charge_portion: int
    tax_portion: int
    source_line_id: str | None
    order: int
    """Grows with each application to this invoice: newest first is highest first."""
    applied_at: datetime


@dataclass(slots=True)
class Invoice:
    KIND: ClassVar[str] = "invoice"

    version: int = 0
    invoice_id: str = ""
    external_id: str = ""
    number: str = ""
    account_id: str = ""
    currency: str = ""
    status: str = ""
    """Empty, DRAFT, CANCELED (a draft that was given up), POSTED, VOIDED."""
    draft: DraftContent | None = None
    """What it says while nothing is owed yet."""
    invoice_date: date | None = None
    settlement_status: str = ""
    total: int = 0
    balance: int = 0
    tax: int = 0
    """Of its lines that were not converted."""
    tax_covered: int = 0
    level: str | None = None
    """INVOICE or INVOICE_LINE while anything is applied; None again at zero."""
    lines: dict[str, LineState] = field(default_factory=dict[str, LineState])
    applications: dict[str, Application] = field(default_factory=dict[str, Application])
    """Live ones only."""
    unapplied: set[str] = field(default_factory=set[str])
    """Ids of applications that were taken back."""
    orders: int = 0
    posted_at: datetime | None = None
    due_date: date | None = None
    has_negative_lines: bool = False
    original_invoice_id: str | None = None
    legal_entity_id: str | None = None
    reference_type: str | None = None
    reference_id: str | None = None
    written_off: dict[str, int] = field(default_factory=dict[str, int])
    """Credit memo to what it has written off and still does."""
    locked_by: str | None = None
    excluded: bool = False
    custom_fields: CustomFields = field(default_factory=CustomFields)
    disputes: dict[str, int] = field(default_factory=dict[str, int])
    """Open dispute's id to what it has reopened of this invoice: not to be collected meanwhile."""
    saved_payment_method_id: str | None = None
    profile_id: str | None = None
    """The billing profile that it was sent to."""
    posted_date: date | None = None
    schedule_ids: set[str] = field(default_factory=set[str])
    """The payment schedules that collect it."""
    cut_at: datetime | None = None
    """When a schedule is cut for it together with the account's others; None once it is, or if alone."""

    @property
    def tax_left(self) -> int:
        """Of its balance."""
        return self.tax - self.tax_covered

    @property
    def open(self) -> bool:
        return self.status == "POSTED" and (self.balance != 0 or self.locked_by is not None)


def evolve(invoice: Invoice, event: InvoiceEvent) -> None:
    match event:
        case InvoicePaymentApplied():
            _apply(invoice, event, "payment", event.payment_id)
        case InvoiceCreditApplied():
            _apply(invoice, event, "cm", event.credit_memo_id)
        case InvoiceSettlementStatusChanged():
            invoice.settlement_status = event.status
        case InvoiceSettled() | InvoiceReopened():
            pass
        case InvoicePosted():
            _post(invoice, event)
        case InvoicePaymentUnapplied() | InvoiceCreditUnapplied():
            _unapply(invoice, event)
        case NegativeInvoiceLinesConverted():
            for converted in event.lines:
                line = invoice.lines[converted.line_id]
                line.converted += converted.amount.amount_minor
                line.balance -= converted.amount.amount_minor
                invoice.tax -= line.tax
            invoice.balance = event.balance.amount_minor
        case InvoiceLocked():
            invoice.locked_by = event.by
        case InvoiceUnlocked():
            invoice.locked_by = None
        case InvoiceExcludedFromPayments():
            invoice.excluded = True
        case InvoiceCustomFieldsSet():
            invoice.custom_fields = event.custom_fields
        case InvoiceDisputed():
            invoice.disputes[event.dispute_id] = event.amount.amount_minor
        case InvoiceDisputeEnded():
            invoice.disputes.pop(event.dispute_id, None)
        case InvoiceScheduled():
            invoice.schedule_ids.add(event.payment_schedule_id)
            invoice.cut_at = None
        case InvoiceUnscheduled():
            invoice.schedule_ids.discard(event.payment_schedule_id)
        case InvoiceScheduleDeferred():
            invoice.cut_at = event.cut_at
        case ScheduleCreationSkipped() | ScheduleCreationFailed() | InvoiceScheduledBalanceChanged():
            pass
        case _:
            _write(invoice, event)


def _write(
    invoice: Invoice,
    event: InvoiceDrafted
    | InvoiceRevised
    | InvoiceDraftCanceled
    | InvoiceDueDateExtended
    | InvoiceWrittenOff
    | InvoiceWriteOffReversed
    | InvoiceVoided,
) -> None:
    """What seldom becomes of one."""
    match event:
        case InvoiceDrafted():
            invoice.invoice_id, invoice.external_id = event.invoice_id, event.external_id
            invoice.account_id, invoice.status = event.account_id, "DRAFT"
            _draft(invoice, event.content, event.invoice_date)
        case InvoiceRevised():
            _draft(invoice, event.content, event.invoice_date)
        case InvoiceDraftCanceled():
            invoice.status = "CANCELED"
        case InvoiceDueDateExtended():
            invoice.due_date = event.due_date
        case InvoiceWrittenOff():
            invoice.written_off[event.credit_memo_id] = event.amount.amount_minor
        case InvoiceWriteOffReversed():
            del invoice.written_off[event.credit_memo_id]
        case InvoiceVoided():
            invoice.status = "VOIDED"


def _draft(invoice: Invoice, content: DraftContent, invoice_date: date | None) -> None:
    invoice.draft, invoice.invoice_date = content, invoice_date
    invoice.number, invoice.currency = content.number, content.currency
    invoice.reference_type, invoice.reference_id = content.reference_type, content.reference_id
    invoice.legal_entity_id = content.legal_entity_id


def _post(invoice: Invoice, event: InvoicePosted) -> None:
    invoice.invoice_id, invoice.external_id, invoice.number = (
        event.invoice_id,
        event.external_id,
        event.number,
    )
    invoice.account_id, invoice.currency, invoice.status = event.account_id, event.currency, "POSTED"
    invoice.total = invoice.balance = event.total.amount_minor
    invoice.settlement_status = "NOT_SETTLED" if invoice.total > 0 else "NOT_APPLICABLE"
    invoice.tax = event.total_tax.amount_minor
    invoice.posted_at, invoice.due_date = event.posted_at, event.due_date
    invoice.has_negative_lines = event.has_negative_lines
    invoice.original_invoice_id, invoice.excluded = event.original_invoice_id, event.exclude_from_payments
    invoice.saved_payment_method_id, invoice.profile_id = event.saved_payment_method_id, event.profile_id
    invoice.posted_date, invoice.legal_entity_id = event.posted_date, event.legal_entity_id
    invoice.reference_type, invoice.reference_id = event.reference_type, event.reference_id
    invoice.draft, invoice.invoice_date = None, event.invoice_date
    invoice.lines = {
        line.line_id: LineState(line, position, line.line_total.amount_minor)
        for position, line in enumerate(event.lines)
    }


def _apply(
    invoice: Invoice, event: InvoicePaymentApplied | InvoiceCreditApplied, kind: str, source_id: str
) -> None:
    for applied in event.applications:
        amount = applied.amount.amount_minor
        invoice.orders += 1
        invoice.applications[applied.application_id] = Application(
            applied.application_id,
            kind,
            source_id,
            applied.line_id,
            amount,
            applied.charge_portion.amount_minor,
            applied.tax_portion.amount_minor,
            applied.source_line_id,
            invoice.orders,
            event.effective_at,
        )
        _settle_line(invoice, kind, applied.line_id, amount, applied.tax_portion.amount_minor)
    invoice.level, invoice.balance = event.level, event.balance.amount_minor


def _unapply(invoice: Invoice, event: InvoicePaymentUnapplied | InvoiceCreditUnapplied) -> None:
    for taken_back in event.applications:
        assert taken_back.related_application_id is not None
        was = invoice.applications.pop(taken_back.related_application_id)
        invoice.unapplied.add(was.application_id)
        _settle_line(invoice, was.source_kind, was.line_id, -was.amount, -was.tax_portion)
    invoice.balance = event.balance.amount_minor
    if not invoice.applications:
        invoice.level = None


def _settle_line(invoice: Invoice, kind: str, line_id: str | None, amount: int, tax: int) -> None:
    invoice.tax_covered += tax
    if line_id is None:
        return
    line = invoice.lines[line_id]
    line.balance -= amount
    line.tax_covered += tax
    if kind == "payment":
        line.payments_applied += amount
    else:
        line.credits_applied += amount
