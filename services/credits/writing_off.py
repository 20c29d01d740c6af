"""Writing off: what nobody will pay is settled by a credit memo that books bad debt, by hand or by policy.

Invariant: the memo is what is open, to the cent, in charge and tax of each line; and it
belongs to its invoice: it is taken back whole, and never settles anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.credit_memo import CreditMemoLine
from events.invoice import (
    InvoiceCreditApplied,
    InvoicePaymentApplied,
    InvoiceWriteOffReversed,
    InvoiceWrittenOff,
    Tax,
)
from events.money import Money
from services.applications import application, guards, spreading
from services.applications.application import Why
from services.commands import FreeText, Id, Text, command
from services.credits import credit_memo, crediting
from services.credits.credit_memo import CreditMemo
from services.credits.debit_memo import DebitMemo
from services.credits.debit_memo import evolve as evolve_debit_memo
from services.decision import Change, Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments.payment import Payment
from services.tenants import rates, tenant_settings
from services.tenants.tenant_settings import TenantSettings

EVOLVE = {
    Invoice: invoices.evolve,
    CreditMemo: credit_memo.evolve,
    Payment: payments.evolve,
    DebitMemo: evolve_debit_memo,
}
SMALL_BALANCE = "SMALL_BALANCE"


@command("payments.invoice.write_off.v1")
class WriteOffInvoice:
    """Give up what is open of an invoice."""

    invoice_id: Id
    reason_code: Text
    """Why, as a code of the tenant's own; the credit memo that settles the invoice has it, too."""
    comments: FreeText | None = None


@command("payments.invoice.reverse_write_off.v1")
class ReverseWriteOff:
    """The invoice is owed again: every write-off of it is taken back, or the one that is named."""

    invoice_id: Id
    credit_memo_id: Id | None = None
    """One write-off, by its credit memo; without it, all of them."""
    reason: FreeText | None = None


# -- what mirrors an invoice


def credit_all(
    draft: Draft,
    invoice_id: str,
    category: str | None,
    source_action: str,
    reason_code: str,
    why: Why,
    context: Context,
) -> str:
    """Post a memo of all that is open on a draft's invoice, and settle it with that; the memo's id."""
    invoice, id = draft.get(Invoice, invoice_id), context.new_id(f"memo/{source_action}/{invoice_id}")
    level = invoice.level or "INVOICE_LINE"
    shares = [
        share._replace(source_line_id=share.line_id or "1")
        for share in spreading.spread_payment(invoice, invoice.balance, level)
    ]
    lines = [
        _mirror(invoice, share.line_id, charge, tax)
        for share, (charge, tax) in zip(shares, application.portions(invoice, shares), strict=True)
    ]
    number, currency = context.number("CM"), invoice.currency
    posted = crediting.fact_of(
        draft,
        id,
        number,
        currency,
        lines,
        reason_code,
        source_action,
        context,
        invoice_id,
        category,
        billing_profile_id=invoice.profile_id,
        legal_entity_id=invoice.legal_entity_id,
    )
    draft.record(CreditMemo, id, posted, new=True)
    draft.extend(application.place(draft.get(CreditMemo, id), invoice, shares, why, context))
    return id


def _mirror(invoice: Invoice, line_id: str | None, charge: int, tax: int) -> CreditMemoLine:
    money, taxes = Money(charge + tax, invoice.currency), Money(tax, invoice.currency)
    product = invoice.lines[line_id].line.product if line_id else None
    return CreditMemoLine(
        line_id or "1",
        Money(charge, invoice.currency),
        money,
        (Tax(taxes),) if tax else (),
        product,
        reference_invoice_line_id=line_id,
    )


def on_their_way(states: States, seen: States | Draft, invoice_id: str, context: Context) -> list[str]:
    """Payments aimed at an invoice whose outcome is not known, as far as somebody has come."""
    return [
        id
        for id in states.documents(context.account_id, Payment)
        if (payment := seen.get(Payment, id)).in_flight
        and any(intended.invoice_id == invoice_id for intended in payment.intended)
    ]


def check_nothing_comes(states: States, invoice_id: str, context: Context) -> None:
    if coming := on_their_way(states, states, invoice_id, context):
        raise Rejected(
            "OPERATION_IN_FLIGHT", "a payment of it is on its way: wait for its outcome", payments=coming
        )


def payments_needed(states: States, context: Context) -> Needs:
    """The account's payments, of which some may be on their way."""
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, Payment):
        yield Need(Payment, id)


# -- by hand


def _needs(states: States, command: WriteOffInvoice, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield from crediting.worth_needed(states, context)
    yield from payments_needed(states, context)


def write_off(states: States, command: WriteOffInvoice, context: Context) -> Changes:
    invoice = states.get(Invoice, command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    if invoice.status != "POSTED":
        raise invalid_state("invoice", invoice.status, ["POSTED"])
    if invoice.balance <= 0:
        raise Rejected("NOTHING_TO_CHANGE", "nothing of the invoice is open")
    guards.check_unlocked(invoice)
    if invoice.disputes:
        raise Rejected("PAYMENT_DISPUTED", "a payment of it is disputed: wait for its end")
    check_nothing_comes(states, command.invoice_id, context)
    draft = Draft(states, EVOLVE)
    why = Why(context.now, "WRITE_OFF", command.comments)
    _give_up(draft, command.invoice_id, command.reason_code, "MANUAL", why, context)
    return draft.changes


def _give_up(draft: Draft, invoice_id: str, reason_code: str, cause: str, why: Why, context: Context) -> None:
    invoice = draft.get(Invoice, invoice_id)
    amount = Money(invoice.balance, invoice.currency)
    category, action = "INVOICE_WRITE_OFF", "WRITE_OFF_POSTED_INVOICE"
    memo_id = credit_all(draft, invoice_id, category, action, reason_code, why, context)
    draft.record(Invoice, invoice_id, InvoiceWrittenOff(memo_id, amount, reason_code, cause))


def _reverse_needs(states: States, command: ReverseWriteOff, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield from crediting.worth_needed(states, context)
    invoice = states.find(Invoice, command.invoice_id)
    for memo_id in invoice.written_off if invoice else ():
        yield Need(CreditMemo, memo_id)


def reverse(states: States, command: ReverseWriteOff, context: Context) -> Changes:
    invoice = states.get(Invoice, command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    guards.check_unlocked(invoice)
    wanted = [id for id in invoice.written_off if command.credit_memo_id in (None, id)]
    if not wanted:
        raise Rejected("NOTHING_TO_CHANGE", "nothing of the invoice is written off, or not by that memo")
    draft = Draft(states, EVOLVE)
    for memo_id in wanted:
        _take_back(draft, command.invoice_id, memo_id, command.reason, context)
    return draft.changes


def _take_back(draft: Draft, invoice_id: str, memo_id: str, reason: str | None, context: Context) -> None:
    """Off the invoice, and void: nobody ever holds its credit."""
    memo, invoice = draft.get(CreditMemo, memo_id), draft.get(Invoice, invoice_id)
    amount, why = Money(invoice.written_off[memo_id], invoice.currency), Why(context.now, "WRITE_OFF", reason)
    draft.extend(application.take_back(memo, invoice, list(memo.applications), why, context))
    draft.record(Invoice, invoice_id, InvoiceWriteOffReversed(memo_id, amount, reason))
    draft.extend(crediting.voided(draft, draft.get(CreditMemo, memo_id), reason, context))


# -- by policy


def small_needed(states: States, context: Context) -> Needs:
    """What the policy must see, where the tenant has one."""
    settings = states.find(TenantSettings, context.tenant)
    if settings and settings["small_balance_write_off"]:
        yield from rates.needed(states, context)
        yield from payments_needed(states, context)


def with_small_balances(states: States, changes: Changes, context: Context) -> Changes:
    """The same, and a rest that an application has left below the tenant's threshold is written off.

    Not while a process holds the invoice, its payment is disputed, or another is on its way.
    """
    if not tenant_settings.of(states, context)["small_balance_write_off"]:
        return changes
    draft = Draft(states, EVOLVE)
    draft.extend(changes)
    small_balances(draft, states, context)
    return draft.changes


def small_balances(draft: Draft, states: States, context: Context) -> None:
    """Write off what the changes of a draft have left below the tenant's thresholds."""
    thresholds = tenant_settings.of(states, context)["small_balance_write_off"]
    below = {one.currency: one.amount_minor for one in thresholds}
    for invoice_id in _settled_by(draft.changes) if below else ():
        invoice = draft.get(Invoice, invoice_id)
        is_small = 0 < invoice.balance < below.get(invoice.currency, 0)
        held = invoice.locked_by is not None or bool(invoice.disputes)
        if is_small and not held and not on_their_way(states, draft, invoice_id, context):
            why = Why(context.now, SMALL_BALANCE)
            _give_up(draft, invoice_id, SMALL_BALANCE, SMALL_BALANCE, why, context)


def _settled_by(changes: Iterable[Any]) -> list[str]:
    """The invoices that something was applied to, each once."""
    applied = InvoicePaymentApplied, InvoiceCreditApplied
    made = [change for change in changes if isinstance(change, Change)]
    return list(dict.fromkeys(change.id for change in made if isinstance(change.fact, applied)))


RULES = (
    Rule(WriteOffInvoice, _needs, write_off),
    Rule(ReverseWriteOff, _reverse_needs, reverse),
)
