"""Crediting lines of an invoice: a memo that takes them back, applied to it in the same step."""

from __future__ import annotations

from datetime import date

from events.credit_memo import CreditMemoLine
from events.frozen import frozen
from events.invoice import InvoiceLine, Tax
from events.money import Money, allocate
from services.applications import application, guards, spreading
from services.applications.application import Why
from services.applications.spreading import Share
from services.commands import Amount, FreeText, Id, Text, command
from services.credits import credit_memo, crediting, writing_off
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import TaxStrategy
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, not_found
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.tenants import periods, rates, tenant_settings


@frozen
class CreditedLine:
    line_id: Id
    """The line of the invoice."""
    amount: Amount
    """How much of its charge, without tax: no more than the line was charged with, and is open of it."""
    tax: Amount | None = None
    """The tax that is credited besides, with MANUAL_OVERRIDE; without it, none."""


@command("payments.invoice.credit.v1")
class CreditInvoice:
    """Credit lines of an invoice, and apply the credit to it, in one step."""

    invoice_id: Id
    lines: tuple[CreditedLine, ...]
    """How much of which line of the invoice."""
    reason_code: Text
    comments: FreeText | None = None
    tax_strategy: TaxStrategy = "MANUAL_OVERRIDE"
    """COPY_FROM_INVOICE_LINE: as much of the line's taxes as is credited of its charge.  Nothing here
    calculates tax: CALCULATE is refused."""
    effective_date: date | None = None
    """When the memo takes effect, in an accounting period that is open; without one, today."""


def _credit_needs(states: States, command: CreditInvoice, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    yield from writing_off.small_needed(states, context)
    invoice = states.find(Invoice, command.invoice_id)
    yield from periods.needed(invoice.legal_entity_id if invoice else None, command.effective_date, context)


def credit(states: States, command: CreditInvoice, context: Context) -> Changes:
    invoice = states.get(Invoice, command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    guards.check_posted(invoice)
    guards.check_unlocked(invoice)
    periods.check_open(states, invoice.legal_entity_id, command.effective_date, context)
    crediting.check_strategy(command.tax_strategy, "IGNORE", "MANUAL_OVERRIDE", "COPY_FROM_INVOICE_LINE")
    if len(command.lines) > crediting.LINES_MAX:
        raise Rejected("TOO_MANY_LINES", f"at most {crediting.LINES_MAX} lines", field="data.lines")
    if not command.lines or len({line.line_id for line in command.lines}) != len(command.lines):
        raise Rejected("MALFORMED_REQUEST", "at least one line, each once", field="data.lines")
    lines = [_credited(invoice, line, command.tax_strategy) for line in command.lines]
    total = Money(sum(line.line_total.amount_minor for line in lines), invoice.currency)
    guards.check_room(invoice, total, None)
    for line in lines:
        _check_credited(invoice, line)
    level = invoice.level or tenant_settings.of(states, context)["application_level"]
    draft = Draft(states, {CreditMemo: credit_memo.evolve, Invoice: invoices.evolve})
    id = context.new_id("memo")
    posted = crediting.fact_of(
        draft,
        id,
        context.number("CM"),
        invoice.currency,
        lines,
        command.reason_code,
        "INVOICE",
        context,
        command.invoice_id,
        effective_date=command.effective_date,
        billing_profile_id=invoice.profile_id,
        legal_entity_id=invoice.legal_entity_id,
        tax_strategy=command.tax_strategy,
    )
    draft.record(CreditMemo, id, posted, new=True)
    memo = draft.get(CreditMemo, id)
    if level == "INVOICE":
        shares = spreading.spread_memo(memo, invoice, total.amount_minor, level)
    else:
        shares = [Share(line.line_total.amount_minor, line.line_id, line.line_id) for line in lines]
    draft.extend(
        application.place(memo, invoice, shares, Why(context.now, comments=command.comments), context)
    )
    return writing_off.with_small_balances(states, draft.changes, context)


def _credited(invoice: Invoice, credited: CreditedLine, strategy: str) -> CreditMemoLine:
    line = invoice.lines.get(credited.line_id)
    if line is None:
        raise not_found("INVOICE_LINE", credited.line_id)
    taxes = _taxes(line.line, credited, strategy)
    for money in (credited.amount, *(one.amount for one in taxes)):
        if money.currency != invoice.currency:
            raise currency_mismatch(invoice.currency, money.currency, f"invoice {invoice.number}")
        if money.amount_minor < 0:
            raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.lines")
    total = sum((one.amount for one in taxes), credited.amount)
    if total.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.lines")
    return CreditMemoLine(
        credited.line_id,
        credited.amount,
        total,
        taxes,
        line.line.product,
        reference_invoice_line_id=credited.line_id,
    )


def _taxes(line: InvoiceLine, credited: CreditedLine, strategy: str) -> tuple[Tax, ...]:
    """What is credited besides the charge: as the command says, or in proportion to the line's own taxes."""
    if strategy == "MANUAL_OVERRIDE":
        return (Tax(credited.tax),) if credited.tax and credited.tax.amount_minor else ()
    if credited.tax is not None:
        message = f"line {credited.line_id}: a tax of its own is MANUAL_OVERRIDE, not {strategy}"
        raise Rejected("MALFORMED_REQUEST", message, field="data.lines")
    charge, part = line.charge.amount_minor, credited.amount.amount_minor
    if strategy == "IGNORE" or not 0 < part <= charge:
        return ()
    shares = [allocate(tax.amount.amount_minor, (part, charge - part))[0] for tax in line.taxes]
    return tuple(
        Tax(Money(share, tax.amount.currency), tax.name, tax.code, tax.rate)
        for share, tax in zip(shares, line.taxes, strict=True)
        if share
    )


def _check_credited(invoice: Invoice, credited: CreditMemoLine) -> None:
    """No more than the line was charged with, and no more than is open of it."""
    line = invoice.lines[credited.line_id]
    left = Money(max(min(line.balance, line.line.line_total.amount_minor), 0), invoice.currency)
    charge = Money(max(line.line.charge.amount_minor, 0), invoice.currency)
    if credited.line_total > left:
        raise exceeded(
            "LINE_BALANCE_EXCEEDED", credited.line_total, left, f"line {credited.line_id}", "data.lines"
        )
    if credited.charge > charge:
        raise exceeded(
            "LINE_BALANCE_EXCEEDED",
            credited.charge,
            charge,
            f"the charge of line {credited.line_id}",
            "data.lines",
        )


RULES = (Rule(CreditInvoice, _credit_needs, credit),)
