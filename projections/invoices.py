"""What an invoice still owes, line by line, and what has settled it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.invoice import (
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    InvoiceExcludedFromPayments,
    InvoiceLocked,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoicePosted,
    InvoiceReopened,
    InvoiceSettled,
    InvoiceSettlementStatusChanged,
    InvoiceUnlocked,
    NegativeInvoiceLinesConverted,
)
from events.payment import PaymentCanceled, PaymentFailed, PaymentProcessed, PaymentRequested
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
        *money("pending_collection"),
        Column("full_settlement_date", DAY),
        *text("locked_by", "exclusion_reason", "original_invoice_id"),
        Column("is_negative", FLAG, False),
        Column("has_negative_lines", FLAG, False),
        Column("version", "int", 0),
    ),
    kind="invoice",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "number")),
)

invoice_lines = Table(
    "invoice_lines",
    key=(TENANT, Column("invoice_id", TEXT), Column("line_id", TEXT)),
    columns=(
        Column("line_no", "int"),
        *text("product", "quantity", "unit_price"),
        *money(
            "charge",
            "tax",
            "line_total",
            "converted_negative",
            "payments_applied",
            "credits_applied",
            "balance",
        ),
        Column("reference", JSON),
    ),
)

invoice_settlements = Table(
    "invoice_settlements",
    key=(TENANT, Column("application_id", TEXT)),
    columns=(
        *text("invoice_id", "account_id", "type", "source_kind", "source_id", "line_id", "currency", "cause"),
        *money("amount", "charge_portion", "tax_portion", "impact"),
        *text("related_application_id", "comments"),
        Column("effective_at", INSTANT),
        *money("balance_before", "balance_after"),
        Column("event_id", TEXT),
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
            "original_invoice_id": fact.original_invoice_id,
            "is_negative": fact.is_negative,
            "has_negative_lines": fact.has_negative_lines,
            "version": at.event.version,
        },
    )


@invoices.on(InvoicePaymentApplied, InvoicePaymentUnapplied, InvoiceCreditApplied, InvoiceCreditUnapplied)
def settled_by(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    column = "net_payments" if hasattr(fact, "payment_id") else "net_credits"
    sign = -1 if isinstance(fact, InvoicePaymentUnapplied | InvoiceCreditUnapplied) else 1
    level = (
        None if own["net_payments"] + own["net_credits"] + sign * fact.total.amount_minor == 0 else fact.level
    )
    yield Row(
        (at.tenant, at.id),
        {
            column: Add(sign * fact.total.amount_minor),
            "balance": fact.balance.amount_minor,
            "settlement_level": level,
            "version": at.event.version,
        },
    )


@invoices.on(NegativeInvoiceLinesConverted)
def converted(fact: NegativeInvoiceLinesConverted, at: Place, own: Own) -> Iterable[Row]:
    changes = {"converted_negative": Add(fact.total.amount_minor), "balance": fact.balance.amount_minor}
    yield Row((at.tenant, at.id), {**changes, "version": at.event.version})


@invoices.on(InvoiceSettlementStatusChanged)
def status_changed(fact: InvoiceSettlementStatusChanged, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"settlement_status": fact.status, "version": at.event.version})


@invoices.on(InvoiceSettled)
def settled(fact: InvoiceSettled, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id), {"full_settlement_date": fact.full_settlement_date, "version": at.event.version}
    )


@invoices.on(InvoiceReopened)
def reopened(fact: InvoiceReopened, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"full_settlement_date": None, "version": at.event.version})


@invoices.on(InvoiceLocked, InvoiceUnlocked)
def locked(fact: InvoiceLocked | InvoiceUnlocked, at: Place, own: Own) -> Iterable[Row]:
    by = fact.by if isinstance(fact, InvoiceLocked) else None
    yield Row((at.tenant, at.id), {"locked_by": by, "version": at.event.version})


@invoices.on(InvoiceExcludedFromPayments)
def excluded(fact: InvoiceExcludedFromPayments, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"exclusion_reason": fact.reason, "version": at.event.version})


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


@invoice_lines.on(InvoicePosted)
def lines_posted(fact: InvoicePosted, at: Place, own: Own) -> Iterable[Row]:
    for line_no, line in enumerate(fact.lines, start=1):
        total = line.line_total.amount_minor
        reference = line.reference
        yield Row(
            (at.tenant, at.id, line.line_id),
            {
                "line_no": line_no,
                "product": line.product.name or line.product.sku or line.product.id if line.product else None,
                "quantity": line.quantity,
                "unit_price": line.unit_price,
                "charge": line.charge.amount_minor,
                "tax": total - line.charge.amount_minor,
                "line_total": total,
                "balance": total,
                "reference": {"invoice_id": reference.invoice_id, "line_id": reference.line_id}
                if reference
                else None,
            },
        )


@invoice_lines.on(
    InvoicePaymentApplied, InvoicePaymentUnapplied, InvoiceCreditApplied, InvoiceCreditUnapplied
)
def lines_settled(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    column = "payments_applied" if hasattr(fact, "payment_id") else "credits_applied"
    sign = -1 if isinstance(fact, InvoicePaymentUnapplied | InvoiceCreditUnapplied) else 1
    for applied in fact.applications:
        if applied.line_id is not None:
            amount = sign * applied.amount.amount_minor
            yield Row((at.tenant, at.id, applied.line_id), {column: Add(amount), "balance": Add(-amount)})


@invoice_lines.on(NegativeInvoiceLinesConverted)
def lines_converted(fact: NegativeInvoiceLinesConverted, at: Place, own: Own) -> Iterable[Row]:
    for line in fact.lines:
        amount = line.amount.amount_minor
        yield Row(
            (at.tenant, at.id, line.line_id), {"converted_negative": Add(amount), "balance": Add(-amount)}
        )


@invoice_settlements.on(
    InvoicePaymentApplied, InvoicePaymentUnapplied, InvoiceCreditApplied, InvoiceCreditUnapplied
)
def settlement(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    """Impact on receivables: negative when applied, positive when taken back."""
    undone = isinstance(fact, InvoicePaymentUnapplied | InvoiceCreditUnapplied)
    sign, is_payment = (1 if undone else -1), hasattr(fact, "payment_id")
    balance = fact.balance.amount_minor - sign * fact.total.amount_minor
    for applied in fact.applications:
        impact = sign * applied.amount.amount_minor
        yield Row(
            (at.tenant, applied.application_id),
            {
                "invoice_id": at.id,
                "account_id": at.account_id,
                "type": "UNAPPLIED" if undone else "APPLIED",
                "source_kind": "payment" if is_payment else "credit_memo",
                "source_id": fact.payment_id if is_payment else fact.credit_memo_id,
                "line_id": applied.line_id,
                "currency": applied.amount.currency,
                "cause": fact.cause,
                "amount": applied.amount.amount_minor,
                "charge_portion": applied.charge_portion.amount_minor,
                "tax_portion": applied.tax_portion.amount_minor,
                "impact": impact,
                "related_application_id": applied.related_application_id,
                "comments": fact.comments,
                "effective_at": fact.effective_at,
                "balance_before": balance,
                "balance_after": balance + impact,
                "event_id": at.event.event_id,
            },
        )
        balance += impact


TABLES = (invoices, invoice_lines, invoice_settlements)
