"""Posting invoices: what is owed becomes a fact, with its due date, and its negative lines turned to credit.

Invariant (domain 3.5, step 0): conversion is decided with the posting, so that no payment can land
between the two.
"""

from __future__ import annotations

import calendar
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from events import ids
from events.frozen import frozen
from events.invoice import (
    InvoiceExcludedFromPayments,
    InvoiceLine,
    InvoicePosted,
    LineReference,
    Product,
    Tax,
)
from events.money import Money
from services.accounts import account
from services.applications import auto_applying, guards
from services.commands import Amount, Currency, Decimal6, FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, not_found
from services.invoices import subscription
from services.invoices.converting import convert, evolve_posting
from services.invoices.invoice import Invoice
from services.schedules import cutting
from services.tenants import tenant_settings

LINES_MAX = 2000


@frozen
class Term:
    """When an invoice is due: `period_days` after its date, or after the end of its posting month."""

    type: Literal["PERIOD_BASED", "EOM_PLUS_X"] = "PERIOD_BASED"
    period_days: Annotated[int, Field(ge=0, le=3650)] = 30


@frozen
class Original:
    """The line that a negative line takes back; its invoice by id, or by its issuer's id."""

    invoice_id: Id | None = None
    external_id: Id | None = None
    line_id: Id | None = None


@frozen
class TaxLine:
    amount: Amount
    name: Text = ""
    code: Text | None = None
    rate: Decimal6 | None = None


@frozen
class Line:
    line_id: Id
    charge: Amount
    taxes: tuple[TaxLine, ...] = ()
    type: Literal["CHARGE", "ADJUSTMENT"] = "CHARGE"
    product: Product | None = None
    quantity: Decimal6 | None = None
    uom: Text | None = None
    unit_price: Decimal6 | None = None
    reference: Original | None = None


@command("payments.invoice.post.v1")
class PostInvoice:
    """Post a whole invoice in one step.  Posting an `external_id` again is `INVOICE_DUPLICATE`."""

    external_id: Id
    currency: Currency
    lines: tuple[Line, ...]
    number: Id | None = None
    """Without one, the external id."""
    invoice_date: date | None = None
    posted_at: datetime | None = None
    payment_term: Term = Term()
    original_invoice_id: Id | None = None
    original_external_id: Id | None = None
    profile_id: Id | None = None
    legal_entity_id: Id | None = None
    reference_type: Literal["ORDER", "CREDIT_MEMO", "DEBIT_MEMO", "SUBSCRIPTION"] | None = None
    reference_id: Id | None = None
    saved_payment_method_id: Id | None = None
    exclude_from_payments: bool = False


@command("payments.invoice.exclude_from_payments.v1")
class ExcludeInvoiceFromPayments:
    invoice_id: Id
    reason: FreeText


def due_date(term: Term, invoice_date: date, posted: date) -> date:
    """Invoice date + period; or the last day of the posting month + period (domain 2.4)."""
    if term.type == "PERIOD_BASED":
        return invoice_date + timedelta(days=term.period_days)
    last = calendar.monthrange(posted.year, posted.month)[1]
    return posted.replace(day=last) + timedelta(days=term.period_days)


def _post_needs(states: States, command: PostInvoice, context: Context) -> Needs:
    yield Need(Invoice, ids.invoice_id(context.tenant, command.external_id))
    yield account.needed(context)
    yield tenant_settings.needed(context)
    if reference_id := _subscription(command):
        yield subscription.needed(reference_id, context)
    settings = states.find(tenant_settings.TenantSettings, context.tenant)
    if settings:
        yield from auto_applying.needed_on_posting(states, settings, context)
        yield from cutting.needed_on_posting(states, settings, context)


def post(states: States, command: PostInvoice, context: Context) -> Changes:
    invoice_id = ids.invoice_id(context.tenant, command.external_id)
    account.of(states, context)
    if states.get(Invoice, invoice_id).status:
        raise Rejected(
            "INVOICE_DUPLICATE", f"the invoice {command.external_id} is posted", invoice_id=invoice_id
        )
    _check_lines(command)
    posted = _posted(command, invoice_id, context)
    if posted.has_negative_lines and posted.original_invoice_id is None:
        posted = replace(posted, original_invoice_id=_invoiced_before(states, command, context))
    settings = tenant_settings.of(states, context)
    converts = settings["convert_negative_lines"] and posted.has_negative_lines
    settles = posted.total.amount_minor > 0 and auto_applying.applies(settings)
    schedules = settings["create_payment_schedules"]
    mark = _mark(command, posted, context)
    if not converts and not settles and not schedules:
        return [Change(Invoice, invoice_id, posted), *mark]
    draft = evolve_posting(states)
    draft.record(Invoice, invoice_id, posted)
    draft.changes += mark
    if converts:
        convert(draft, invoice_id, None, context, settings)
    if settles:
        auto_applying.on_posting(draft, states, invoice_id, settings, context)
    if schedules:
        cutting.on_posting(draft, states, invoice_id, settings, context)
    return draft.changes


def _subscription(command: PostInvoice) -> str | None:
    return command.reference_id if command.reference_type == "SUBSCRIPTION" else None


def _invoiced_before(states: States, command: PostInvoice, context: Context) -> str | None:
    """What negative lines take back that name nothing: the subscription's latest invoice (domain 3.5)."""
    reference_id = _subscription(command)
    return subscription.latest_invoice(states, reference_id, context) if reference_id else None


def _mark(command: PostInvoice, posted: InvoicePosted, context: Context) -> list[Change]:
    reference_id = _subscription(command)
    if reference_id is None or posted.total.amount_minor <= 0:
        return []
    return [subscription.invoiced(reference_id, posted.invoice_id, posted.posted_at, context)]


def _check_lines(command: PostInvoice) -> None:
    if not command.lines:
        raise Rejected("MALFORMED_REQUEST", "an invoice has at least one line", field="data.lines")
    if len(command.lines) > LINES_MAX:
        raise Rejected("TOO_MANY_LINES", f"an invoice has at most {LINES_MAX} lines", field="data.lines")
    if len({line.line_id for line in command.lines}) != len(command.lines):
        raise Rejected("MALFORMED_REQUEST", "two lines have the same line_id", field="data.lines")
    for line in command.lines:
        for money in (line.charge, *[tax.amount for tax in line.taxes]):
            if money.currency != command.currency:
                raise currency_mismatch(command.currency, money.currency, f"line {line.line_id}'s invoice")
            if money.amount_minor * line.charge.amount_minor < 0:
                raise Rejected(
                    "MALFORMED_REQUEST",
                    f"line {line.line_id}: its tax has the other sign",
                    field="data.lines",
                )


def _posted(command: PostInvoice, invoice_id: str, context: Context) -> InvoicePosted:
    currency, at = command.currency, command.posted_at or context.now
    lines = tuple([_line(line, currency, context) for line in command.lines])
    charge = sum([line.charge.amount_minor for line in lines])
    totals = [line.line_total.amount_minor for line in lines]
    total = sum(totals)
    invoice_date = command.invoice_date or at.date()
    return InvoicePosted(
        invoice_id=invoice_id,
        external_id=command.external_id,
        number=command.number or command.external_id,
        account_id=context.account_id,
        currency=currency,
        invoice_date=invoice_date,
        posted_date=at.date(),
        due_date=due_date(command.payment_term, invoice_date, at.date()),
        payment_term=f"{command.payment_term.type}+{command.payment_term.period_days}",
        lines=lines,
        total_charge=Money(charge, currency),
        total_tax=Money(total - charge, currency),
        total=Money(total, currency),
        is_negative=total < 0,
        has_negative_lines=min(totals) < 0,
        posted_at=at,
        profile_id=command.profile_id,
        legal_entity_id=command.legal_entity_id,
        original_invoice_id=_original_id(command.original_invoice_id, command.original_external_id, context),
        reference_type=command.reference_type,
        reference_id=command.reference_id,
        saved_payment_method_id=command.saved_payment_method_id,
        exclude_from_payments=command.exclude_from_payments,
    )


def _line(line: Line, currency: str, context: Context) -> InvoiceLine:
    total = line.charge.amount_minor + sum([tax.amount.amount_minor for tax in line.taxes])
    return InvoiceLine(
        line_id=line.line_id,
        charge=line.charge,
        line_total=Money(total, currency),
        type=line.type,
        taxes=tuple([Tax(tax.amount, tax.name, tax.code, tax.rate) for tax in line.taxes]),
        product=line.product,
        quantity=line.quantity,
        uom=line.uom,
        unit_price=line.unit_price,
        reference=_reference(line.reference, context),
    )


def _reference(original: Original | None, context: Context) -> LineReference | None:
    if original is None:
        return None
    invoice_id = _original_id(original.invoice_id, original.external_id, context)
    return LineReference(invoice_id, original.line_id) if invoice_id else None


def _original_id(invoice_id: str | None, external_id: str | None, context: Context) -> str | None:
    return invoice_id or (ids.invoice_id(context.tenant, external_id) if external_id else None)


def _exclude_needs(states: States, command: ExcludeInvoiceFromPayments, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)


def exclude(states: States, command: ExcludeInvoiceFromPayments, context: Context) -> Changes:
    invoice = states.get(Invoice, command.invoice_id)
    if not invoice.status:
        raise not_found("INVOICE", command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    if invoice.excluded:
        return []
    return [Change(Invoice, command.invoice_id, InvoiceExcludedFromPayments(command.reason))]


RULES = (Rule(PostInvoice, _post_needs, post), Rule(ExcludeInvoiceFromPayments, _exclude_needs, exclude))
