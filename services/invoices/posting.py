"""Posting invoices: what is owed becomes a fact, with its due date, and its negative lines turned to credit.

Invariant: conversion is decided with the posting, so that no payment can land
between the two.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from events import ids
from events.frozen import frozen
from events.invoice import (
    DraftContent,
    InvoiceCustomFieldsSet,
    InvoiceLine,
    InvoicePosted,
    LineReference,
    Product,
    Tax,
)
from events.money import Money
from services import custom_fields
from services.accounts import account
from services.accounts.account import Account
from services.applications import auto_applying
from services.commands import Amount, Currency, Decimal6, FreeText, Id, Text, command
from services.credits import debit_memo, writing_off
from services.credits.debit_memo import DebitMemo
from services.custom_fields import GivenFields
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch
from services.invoices import subscription
from services.invoices.converting import convert, evolve_posting
from services.invoices.invoice import Invoice
from services.schedules import collected, cutting
from services.schedules.dates import month_end
from services.tenants import periods, rates, tenant_settings

LINES_MAX = 2000


@frozen
class Term:
    """When an invoice is due: `period_days` after its date, or after the end of its posting month."""

    type: Literal["PERIOD_BASED", "EOM_PLUS_X"] = "PERIOD_BASED"
    """PERIOD_BASED: so many days after the date of the invoice; EOM_PLUS_X: after the end of the month in
    which it is posted."""
    period_days: Annotated[int, Field(ge=0, le=tenant_settings.TERM_DAYS_MAX)] = 30
    """How many days; with EOM_PLUS_X and 0 it is due on the last day of the month."""

    def __str__(self) -> str:
        return f"{self.type}+{self.period_days}"

    @classmethod
    def of(cls, text: str) -> Term:
        """`PERIOD_BASED+30`."""
        type, _, days = text.partition("+")
        return cls("EOM_PLUS_X" if type == "EOM_PLUS_X" else "PERIOD_BASED", int(days))


@frozen
class Original:
    """The line that a negative line takes back; its invoice by id, or by its issuer's id."""

    invoice_id: Id | None = None
    """The original invoice; either this or `external_id`."""
    external_id: Id | None = None
    """The original invoice by the id that its issuer gave it."""
    line_id: Id | None = None
    """Which line of it; without it, the invoice as a whole."""


@frozen
class TaxLine:
    amount: Amount
    """How much of it: with the sign of the line's charge."""
    name: Text = ""
    """What the tax is called, such as `VAT`."""
    code: Text | None = None
    """Its code where it was calculated; only kept."""
    rate: Decimal6 | None = None
    """Percent, as a decimal string with at most 6 places; only kept: `amount` is what counts."""


@frozen
class Line:
    line_id: Id
    """An id of the caller's own, unique within the invoice: applications and credits name it."""
    charge: Amount
    """The amount of the line without its taxes; negative, where it takes something back."""
    taxes: tuple[TaxLine, ...] = ()
    """The taxes on the charge; they are calculated upstream, and added to it."""
    type: Literal["CHARGE", "ADJUSTMENT"] = "CHARGE"
    """CHARGE, or ADJUSTMENT of what was charged before; both count alike."""
    product: Product | None = None
    quantity: Decimal6 | None = None
    """How much of it, as a decimal string; only kept, and told to corporate cards."""
    uom: Text | None = None
    """The unit of measure of the quantity, such as `hour`."""
    unit_price: Decimal6 | None = None
    """The price of one, as a decimal string in major units, such as `19.99`; only kept: `charge` is what
    counts."""
    reference: Original | None = None
    """Of a negative line: the line that it takes back."""
    service_start: date | None = None
    """The first day of the service that it charges for."""
    service_end: date | None = None
    """The last day of the service; not before `service_start`."""
    reference_item: Id | None = None
    """The item of the order, or of the subscription, that it charges for."""


@frozen
class Content:
    """All that an invoice says but when it is posted."""

    external_id: Id
    """An id of the caller's own, unique in the tenant: the invoice is posted once under it."""
    currency: Currency
    """ISO 4217, such as `EUR`: the currency of the invoice and of all amounts in it."""
    lines: tuple[Line, ...]
    """What is charged, at least one line and at most 2,000; the invoice's total is the sum of charges and
    taxes."""
    number: Id | None = None
    """The number that customers read on it; without one, the external id."""
    invoice_date: date | None = None
    payment_term: Term | None = None
    """When it is due; without one, what its billing profile names, or the account's default profile, or the
    tenant's default (`payment_terms` of the settings); else 30 days after its date."""
    original_invoice_id: Id | None = None
    """Of an invoice with negative lines: whose charges they take back, by its id here."""
    original_external_id: Id | None = None
    """The same by the id that its issuer gave it; either this or `original_invoice_id`."""
    profile_id: Id | None = None
    """The billing profile of the account that it goes to; without one, the account's default counts."""
    legal_entity_id: Id | None = None
    """The company of the seller that issues it, in whose books it is; `default`, where nothing is said."""
    reference_type: (
        Literal["ORDER", "QUOTE", "CONTRACT", "CREDIT_MEMO", "DEBIT_MEMO", "SUBSCRIPTION"] | None
    ) = None
    """What it was issued for. SUBSCRIPTION: negative lines that name no original take back its latest
    invoice. DEBIT_MEMO: the invoice carries that memo."""
    reference_id: Id | None = None
    """The id of that order, subscription, or what it is. Money that a schedule has collected for an order, a
    quote or a contract settles the invoice."""
    saved_payment_method_id: Id | None = None
    exclude_from_payments: bool = False
    payment_exclusion_reason: FreeText | None = None
    """Why nothing is collected for it by itself; only kept and shown."""
    custom_fields: GivenFields | None = None
    """Names and values of the tenant's own, at most 20, to filter by and to show; without any, a draft's stay
    as they are.  No place for personal data."""


@command("payments.invoice.post.v1")
class PostInvoice(Content):
    """Post a whole invoice in one step, or a draft with what it shall say at last.

    Posting an `external_id` again is `INVOICE_DUPLICATE`.
    """

    posted_at: datetime | None = None
    """When it is posted, and takes effect for the books; now, where nothing is said."""


def due_date(term: Term, invoice_date: date, posted: date) -> date:
    """Invoice date + period; or the last day of the posting month + period."""
    if term.type == "PERIOD_BASED":
        return invoice_date + timedelta(days=term.period_days)
    return month_end(posted) + timedelta(days=term.period_days)


def _post_needs(states: States, command: PostInvoice, context: Context) -> Needs:
    yield Need(Invoice, ids.invoice_id(context.tenant, command.external_id))
    yield from needed(states, command, command.posted_at, context)


def needed(
    states: States, content: Content | DraftContent, posted_at: datetime | None, context: Context
) -> Needs:
    """What posting something must see, besides its own stream."""
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    yield from periods.needed(content.legal_entity_id, posted_at, context)
    if content.reference_id and content.reference_type == "SUBSCRIPTION":
        yield subscription.needed(content.reference_id, context)
    elif content.reference_id and content.reference_type == "DEBIT_MEMO":
        yield Need(DebitMemo, content.reference_id)
    yield from collected.needed(states, content.reference_type, content.reference_id, context)
    settings = states.find(tenant_settings.TenantSettings, context.tenant)
    if settings:
        yield from auto_applying.needed_on_posting(states, settings, context)
        yield from cutting.needed_on_posting(states, settings, context)
        if auto_applying.applies(settings) or settings["convert_negative_lines"]:
            yield from writing_off.small_needed(states, context)


def post(states: States, command: PostInvoice, context: Context) -> Changes:
    return post_carrying(states, None, command, context)


def post_carrying(states: States, memo: DebitMemo | None, command: PostInvoice, context: Context) -> Changes:
    """Post an invoice, one that carries a debit memo of this very decision perhaps."""
    invoice_id = ids.invoice_id(context.tenant, command.external_id)
    account.of(states, context)
    check_new(states.get(Invoice, invoice_id), command.external_id, "DRAFT")
    check_lines(command)
    at = command.posted_at or context.now
    said = _said(states, command, at, context)
    posted = _posted(invoice_id, command.external_id, context.account_id, at, **said)
    return [*carry_out(states, posted, context, memo), *with_fields(command, context)]


def with_fields(command: Content, context: Context) -> list[Change]:
    """The custom fields that it was given with."""
    id = ids.invoice_id(context.tenant, command.external_id)
    given = custom_fields.facts(InvoiceCustomFieldsSet, command.custom_fields)
    return [Change(Invoice, id, fact) for fact in given]


def carry_out(
    states: States, posted: InvoicePosted, context: Context, memo: DebitMemo | None = None
) -> Changes:
    """Post it; negative lines become credit, and what the account holds settles it, where that is wanted."""
    invoice_id = posted.invoice_id
    periods.check_open(states, posted.legal_entity_id, posted.posted_at, context)
    if posted.has_negative_lines and posted.original_invoice_id is None:
        posted = replace(posted, original_invoice_id=_invoiced_before(states, posted, context))
    if (worth := rates.snapshot(states, posted.total, posted.posted_date, context)) is not None:
        posted = replace(posted, corporate=worth)
    settings = tenant_settings.of(states, context)
    converts = settings["convert_negative_lines"] and posted.has_negative_lines
    settles = posted.total.amount_minor > 0 and auto_applying.applies(settings)
    schedules = settings["create_payment_schedules"]
    marks = _marks(states, posted, memo, context)
    waiting = collected.waiting(states, posted.reference_type, posted.reference_id, context)
    if not converts and not settles and not schedules and not waiting:
        return [Change(Invoice, invoice_id, posted), *marks]
    draft = evolve_posting(states)
    draft.record(Invoice, invoice_id, posted)
    draft.changes += marks
    if converts:
        convert(draft, invoice_id, None, context, settings)
    collected.apply(draft, waiting, invoice_id, settings["application_level"], context)
    if settles:
        auto_applying.on_posting(draft, states, invoice_id, settings, context)
    writing_off.small_balances(draft, states, context)
    if schedules:
        cutting.on_posting(draft, states, invoice_id, settings, context)
    return draft.changes


def check_new(known: Invoice, external_id: str, *but: str) -> None:
    if known.status and known.status not in but:
        raise Rejected(
            "INVOICE_DUPLICATE",
            f"the invoice {external_id} is {known.status}",
            invoice_id=known.invoice_id,
            state=known.status,
        )


def _invoiced_before(states: States, posted: InvoicePosted, context: Context) -> str | None:
    """What negative lines take back that name nothing: the subscription's latest invoice."""
    if posted.reference_type != "SUBSCRIPTION" or posted.reference_id is None:
        return None
    return subscription.latest_invoice(states, posted.reference_id, context)


def _marks(states: States, posted: InvoicePosted, memo: DebitMemo | None, context: Context) -> list[Change]:
    """What others must know of it: its subscription, or the debit memo that it carries."""
    id = posted.reference_id
    if id is None or posted.total.amount_minor <= 0:
        return []
    if posted.reference_type == "SUBSCRIPTION":
        return [subscription.invoiced(id, posted.invoice_id, posted.posted_at, context)]
    if posted.reference_type == "DEBIT_MEMO":
        return debit_memo.carried(memo or states.get(DebitMemo, id), posted, context)
    return []


def check_lines(command: Content) -> None:
    if not command.lines:
        raise Rejected("MALFORMED_REQUEST", "an invoice has at least one line", field="data.lines")
    if len(command.lines) > LINES_MAX:
        raise Rejected("TOO_MANY_LINES", f"an invoice has at most {LINES_MAX} lines", field="data.lines")
    if len({line.line_id for line in command.lines}) != len(command.lines):
        raise Rejected("MALFORMED_REQUEST", "two lines have the same line_id", field="data.lines")
    for line in command.lines:
        if line.service_start and line.service_end and line.service_end < line.service_start:
            message = f"line {line.line_id}: its service ends before it begins"
            raise Rejected("DATE_INVALID", message, field="data.lines")
        for money in (line.charge, *[tax.amount for tax in line.taxes]):
            if money.currency != command.currency:
                raise currency_mismatch(command.currency, money.currency, f"line {line.line_id}'s invoice")
            if money.amount_minor * line.charge.amount_minor < 0:
                raise Rejected(
                    "MALFORMED_REQUEST",
                    f"line {line.line_id}: its tax has the other sign",
                    field="data.lines",
                )


def drafted(states: States, command: Content, context: Context) -> DraftContent:
    """What a draft keeps of it."""
    term = _term(states, command, context)
    return DraftContent(**_content(command, context), payment_term=str(term))


def _term(states: States, command: Content, context: Context) -> Term:
    """The invoice's own, its profile's, the account's default profile's, the tenant's; else 30 days."""
    if command.payment_term is not None:
        return command.payment_term
    owner, settings = states.get(Account, context.account_id), tenant_settings.of(states, context)
    terms = dict[str, str](text.split("=") for text in settings["payment_terms"])
    profiles = (command.profile_id, owner.default_profile_id)
    named = (owner.payment_terms.get(profile) for profile in profiles if profile)
    known = (terms[id] for id in (*named, "default") if id in terms)
    return Term.of(next(known, str(Term())))


def posted(content: DraftContent, draft: Invoice, at: datetime) -> InvoicePosted:
    """A draft, as it is posted."""
    day = draft.invoice_date or at.date()
    due = due_date(Term.of(content.payment_term), day, at.date())
    return _posted(
        draft.invoice_id,
        draft.external_id,
        draft.account_id,
        at,
        invoice_date=day,
        due_date=due,
        **vars(content),
    )


def _said(states: States, command: PostInvoice, at: datetime, context: Context) -> dict[str, Any]:
    day, term = command.invoice_date or at.date(), _term(states, command, context)
    return {
        **_content(command, context),
        "payment_term": str(term),
        "invoice_date": day,
        "due_date": due_date(term, day, at.date()),
    }


def _content(command: Content, context: Context) -> dict[str, Any]:
    currency = command.currency
    lines = tuple([_line(line, currency, context) for line in command.lines])
    charge = sum([line.charge.amount_minor for line in lines])
    total = sum([line.line_total.amount_minor for line in lines])
    return {
        "number": command.number or command.external_id,
        "currency": currency,
        "lines": lines,
        "total_charge": Money(charge, currency),
        "total_tax": Money(total - charge, currency),
        "total": Money(total, currency),
        "profile_id": command.profile_id,
        "legal_entity_id": command.legal_entity_id,
        "original_invoice_id": _original_id(
            command.original_invoice_id, command.original_external_id, context
        ),
        "reference_type": command.reference_type,
        "reference_id": command.reference_id,
        "saved_payment_method_id": command.saved_payment_method_id,
        "exclude_from_payments": command.exclude_from_payments,
        "payment_exclusion_reason": command.payment_exclusion_reason,
    }


def _posted(invoice_id: str, external_id: str, account_id: str, at: datetime, **said: Any) -> InvoicePosted:
    return InvoicePosted(
        invoice_id=invoice_id,
        external_id=external_id,
        account_id=account_id,
        posted_date=at.date(),
        posted_at=at,
        is_negative=said["total"].amount_minor < 0,
        has_negative_lines=min([line.line_total.amount_minor for line in said["lines"]]) < 0,
        **said,
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
        service_start=line.service_start,
        service_end=line.service_end,
        reference_item=line.reference_item,
    )


def _reference(original: Original | None, context: Context) -> LineReference | None:
    if original is None:
        return None
    invoice_id = _original_id(original.invoice_id, original.external_id, context)
    return LineReference(invoice_id, original.line_id) if invoice_id else None


def _original_id(invoice_id: str | None, external_id: str | None, context: Context) -> str | None:
    return invoice_id or (ids.invoice_id(context.tenant, external_id) if external_id else None)


RULES = (Rule(PostInvoice, _post_needs, post),)
