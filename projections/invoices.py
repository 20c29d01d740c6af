"""What an invoice still owes, line by line, and what has settled it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
    InvoiceExcludedFromPayments,
    InvoiceLine,
    InvoiceLocked,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoicePosted,
    InvoiceReopened,
    InvoiceRevised,
    InvoiceScheduled,
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
from events.payment import PaymentCanceled, PaymentFailed, PaymentProcessed, PaymentRequested
from events.shapes import Applied
from projections.rates import CORPORATE, corporate
from projections.table import (
    DAY,
    FLAG,
    INSTANT,
    JSON,
    TENANT,
    TEXT,
    Add,
    Column,
    Place,
    Row,
    Table,
    money,
    text,
)

Own = Mapping[str, Any]

invoices = Table(
    "invoices",
    key=(TENANT, Column("invoice_id", TEXT)),
    columns=(
        *text(
            "number",
            "external_id",
            "account_id",
            "currency",
            "status",
            "settlement_status",
            "settlement_level",
        ),
        Column("invoice_date", DAY),
        Column("posted_date", DAY),
        Column("due_date", DAY),
        Column("posted_at", INSTANT),
        *money("total", "total_tax", "converted_negative", "net_payments", "net_credits", "balance"),
        *money("pending_collection", "disputed", "written_off"),
        Column("lines", JSON),
        Column("full_settlement_date", DAY),
        *text("locked_by", "exclusion_reason", "original_invoice_id"),
        *text("payment_schedule_id", "schedule_skipped_reason"),
        *text("legal_entity_id", "reference_type", "reference_id", "voided_by", "profile_id"),
        *text("payment_term", "saved_payment_method_id"),
        Column("custom_fields", JSON),
        Column("locked_since", INSTANT),
        *CORPORATE,
        Column("is_negative", FLAG, False),
        Column("has_negative_lines", FLAG, False),
        Column("version", "int", 0),
    ),
    kind="invoice",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "number")),
)

invoice_settlements = Table(
    "invoice_settlements",
    key=(TENANT, Column("event_id", TEXT)),
    columns=(
        *text("invoice_id", "account_id", "type", "source_kind", "source_id", "currency", "cause"),
        *money("amount", "impact", "balance_before", "balance_after"),
        Column("applications", JSON),
        *text("comments"),
        Column("effective_at", INSTANT),
    ),
    append_only=True,
    indexes=(("tenant_id", "invoice_id"),),
)


@invoices.on(InvoicePosted)
def posted(fact: InvoicePosted, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "external_id": fact.external_id,
            "account_id": fact.account_id,
            "currency": fact.currency,
            "status": "POSTED",
            "settlement_status": "NOT_SETTLED" if fact.total.amount_minor > 0 else "NOT_APPLICABLE",
            "invoice_date": fact.invoice_date,
            "posted_date": fact.posted_date,
            "due_date": fact.due_date,
            "posted_at": fact.posted_at,
            "total": fact.total.amount_minor,
            "total_tax": fact.total_tax.amount_minor,
            "balance": fact.total.amount_minor,
            "lines": [_line(line_no, line) for line_no, line in enumerate(fact.lines, start=1)],
            **_references(fact),
            "exclusion_reason": _exclusion(fact),
            **corporate(fact.corporate),
            "is_negative": fact.is_negative,
            "has_negative_lines": fact.has_negative_lines,
        },
    )


@invoices.on(InvoiceDrafted, InvoiceRevised)
def drafted(fact: InvoiceDrafted | InvoiceRevised, at: Place, own: Own) -> Iterable[Row]:
    """Nothing of it is owed yet."""
    said = fact.content
    known = {"external_id": fact.external_id} if isinstance(fact, InvoiceDrafted) else {}
    yield Row(
        (at.tenant, at.id),
        {
            **known,
            **_references(said),
            "exclusion_reason": _exclusion(said),
            "number": said.number,
            "account_id": at.account_id,
            "currency": said.currency,
            "status": "DRAFT",
            "invoice_date": fact.invoice_date,
            "total": said.total.amount_minor,
            "total_tax": said.total_tax.amount_minor,
            "balance": 0,
            "lines": [_line(line_no, line, owed=False) for line_no, line in enumerate(said.lines, start=1)],
            "is_negative": said.total.amount_minor < 0,
            "has_negative_lines": any(line.line_total.amount_minor < 0 for line in said.lines),
        },
    )


def _references(said: DraftContent | InvoicePosted) -> dict[str, Any]:
    names = ("original_invoice_id", "profile_id", "legal_entity_id", "reference_type", "reference_id")
    return {name: getattr(said, name) for name in (*names, "payment_term", "saved_payment_method_id")}


def _exclusion(said: DraftContent | InvoicePosted) -> str | None:
    return (said.payment_exclusion_reason or "as it was posted") if said.exclude_from_payments else None


@invoices.on(InvoiceCustomFieldsSet)
def described(fact: InvoiceCustomFieldsSet, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"custom_fields": fact.custom_fields})


@invoices.on(InvoiceDraftCanceled)
def given_up(fact: InvoiceDraftCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "CANCELED"})


@invoices.on(InvoiceVoided)
def voided(fact: InvoiceVoided, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "VOIDED", "voided_by": fact.credit_memo_id}
    yield Row((at.tenant, at.id), changes)


@invoices.on(InvoiceDueDateExtended)
def due_later(fact: InvoiceDueDateExtended, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"due_date": fact.due_date})


@invoices.on(InvoiceWrittenOff, InvoiceWriteOffReversed)
def written_off(fact: InvoiceWrittenOff | InvoiceWriteOffReversed, at: Place, own: Own) -> Iterable[Row]:
    sign = 1 if isinstance(fact, InvoiceWrittenOff) else -1
    changes = {"written_off": Add(sign * fact.amount.amount_minor)}
    yield Row((at.tenant, at.id), changes)


def _line(line_no: int, line: InvoiceLine, owed: bool = True) -> dict[str, Any]:
    total, product, reference = line.line_total.amount_minor, line.product, line.reference
    return {
        "line_id": line.line_id,
        "line_no": line_no,
        "product": product.name or product.sku or product.id if product else None,
        "quantity": line.quantity,
        "uom": line.uom,
        "unit_price": line.unit_price,
        "type": line.type,
        "service_start": line.service_start.isoformat() if line.service_start else None,
        "service_end": line.service_end.isoformat() if line.service_end else None,
        "reference_item": line.reference_item,
        "charge_minor": line.charge.amount_minor,
        "tax_minor": total - line.charge.amount_minor,
        "line_total_minor": total,
        "converted_negative_minor": 0,
        "payments_applied_minor": 0,
        "credits_applied_minor": 0,
        "balance_minor": total if owed else 0,
        "reference": {"invoice_id": reference.invoice_id, "line_id": reference.line_id}
        if reference
        else None,
    }


def _lines_less(own: Own, column: str, amounts: Iterable[tuple[str | None, int]]) -> list[dict[str, Any]]:
    """The lines, each with its amount moved from the balance to a column; the old ones stay as they are."""
    moved: dict[str | None, int] = {}
    for line_id, amount in amounts:
        moved[line_id] = moved.get(line_id, 0) + amount
    return [
        {
            **line,
            column: line[column] + moved[line["line_id"]],
            "balance_minor": line["balance_minor"] - moved[line["line_id"]],
        }
        if line["line_id"] in moved
        else line
        for line in own["lines"]
    ]


@invoices.on(InvoicePaymentApplied, InvoicePaymentUnapplied, InvoiceCreditApplied, InvoiceCreditUnapplied)
def settled_by(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    is_payment = hasattr(fact, "payment_id")
    sign = -1 if isinstance(fact, InvoicePaymentUnapplied | InvoiceCreditUnapplied) else 1
    level = (
        None if own["net_payments"] + own["net_credits"] + sign * fact.total.amount_minor == 0 else fact.level
    )
    yield Row(
        (at.tenant, at.id),
        {
            "net_payments" if is_payment else "net_credits": Add(sign * fact.total.amount_minor),
            "balance": fact.balance.amount_minor,
            "lines": _lines_less(
                own,
                "payments_applied_minor" if is_payment else "credits_applied_minor",
                ((applied.line_id, sign * applied.amount.amount_minor) for applied in fact.applications),
            ),
            "settlement_level": level,
        },
    )


@invoices.on(NegativeInvoiceLinesConverted)
def converted(fact: NegativeInvoiceLinesConverted, at: Place, own: Own) -> Iterable[Row]:
    amounts = ((line.line_id, line.amount.amount_minor) for line in fact.lines)
    yield Row(
        (at.tenant, at.id),
        {
            "converted_negative": Add(fact.total.amount_minor),
            "balance": fact.balance.amount_minor,
            "lines": _lines_less(own, "converted_negative_minor", amounts),
        },
    )


@invoices.on(InvoiceSettlementStatusChanged)
def status_changed(fact: InvoiceSettlementStatusChanged, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"settlement_status": fact.status})


@invoices.on(InvoiceSettled)
def settled(fact: InvoiceSettled, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"full_settlement_date": fact.full_settlement_date})


@invoices.on(InvoiceReopened)
def reopened(fact: InvoiceReopened, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"full_settlement_date": None})


@invoices.on(InvoiceLocked, InvoiceUnlocked)
def locked(fact: InvoiceLocked | InvoiceUnlocked, at: Place, own: Own) -> Iterable[Row]:
    by, since = (fact.by, at.time) if isinstance(fact, InvoiceLocked) else (None, None)
    held = {"locked_by": by, "locked_since": since}
    yield Row((at.tenant, at.id), held)


@invoices.on(InvoiceDisputed, InvoiceDisputeEnded)
def disputed(fact: InvoiceDisputed | InvoiceDisputeEnded, at: Place, own: Own) -> Iterable[Row]:
    sign = 1 if isinstance(fact, InvoiceDisputed) else -1
    changes = {"disputed": Add(sign * fact.amount.amount_minor)}
    yield Row((at.tenant, at.id), changes)


@invoices.on(InvoiceExcludedFromPayments)
def excluded(fact: InvoiceExcludedFromPayments, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"exclusion_reason": fact.reason})


@invoices.on(InvoiceScheduled)
def scheduled(fact: InvoiceScheduled, at: Place, own: Own) -> Iterable[Row]:
    changes = {"payment_schedule_id": fact.payment_schedule_id, "schedule_skipped_reason": None}
    yield Row((at.tenant, at.id), changes)


@invoices.on(InvoiceUnscheduled)
def unscheduled(fact: InvoiceUnscheduled, at: Place, own: Own) -> Iterable[Row]:
    if own["payment_schedule_id"] == fact.payment_schedule_id:
        yield Row((at.tenant, at.id), {"payment_schedule_id": None})


@invoices.on(ScheduleCreationSkipped, ScheduleCreationFailed)
def not_scheduled(
    fact: ScheduleCreationSkipped | ScheduleCreationFailed, at: Place, own: Own
) -> Iterable[Row]:
    why = fact.reason if isinstance(fact, ScheduleCreationSkipped) else fact.code
    yield Row((at.tenant, at.id), {"schedule_skipped_reason": why})


@invoices.on(PaymentRequested)
def collection_pending(fact: PaymentRequested, at: Place, own: Own) -> Iterable[Row]:
    for intended in fact.intended_applications:
        amount = intended.amount or fact.amount
        yield Row((at.tenant, intended.invoice_id), {"pending_collection": Add(amount.amount_minor)})


@invoices.on(PaymentProcessed, PaymentFailed, PaymentCanceled)
def collection_known(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    if own.get("in_flight"):
        for intended in own["intended"] or ():
            yield Row(
                (at.tenant, intended["invoice_id"]), {"pending_collection": Add(-intended["amount_minor"])}
            )


@invoice_settlements.on(
    InvoicePaymentApplied, InvoicePaymentUnapplied, InvoiceCreditApplied, InvoiceCreditUnapplied
)
def settlement(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    """Impact on receivables: negative when applied, positive when taken back."""
    undone = isinstance(fact, InvoicePaymentUnapplied | InvoiceCreditUnapplied)
    is_payment = hasattr(fact, "payment_id")
    amount, balance = fact.total.amount_minor, fact.balance.amount_minor
    impact = amount if undone else -amount
    yield Row(
        (at.tenant, at.event.event_id),
        {
            "invoice_id": at.id,
            "account_id": at.account_id,
            "type": "UNAPPLIED" if undone else "APPLIED",
            "source_kind": "payment" if is_payment else "credit_memo",
            "source_id": fact.payment_id if is_payment else fact.credit_memo_id,
            "currency": fact.total.currency,
            "cause": fact.cause,
            "amount": amount,
            "impact": impact,
            "balance_before": balance - impact,
            "balance_after": balance,
            "applications": [_application(applied) for applied in fact.applications],
            "comments": fact.comments,
            "effective_at": fact.effective_at,
        },
    )


def _application(applied: Applied) -> dict[str, Any]:
    return {
        "application_id": applied.application_id,
        "line_id": applied.line_id,
        "amount_minor": applied.amount.amount_minor,
        "charge_portion_minor": applied.charge_portion.amount_minor,
        "tax_portion_minor": applied.tax_portion.amount_minor,
        "related_application_id": applied.related_application_id,
    }


TABLES = (invoices, invoice_settlements)
