"""Debit memos made by hand: what the customer owes more, carried by an invoice at once or by a later one.

Invariant: what is owed, paid and credited is the invoice that carries it; so whatever can
be done to an invoice can be done to a debit memo, and no cent is in two documents.
"""

from __future__ import annotations

from datetime import date

from events import ids
from events.credit_memo import CreditMemoLine
from events.debit_memo import DebitMemoPosted, DebitMemoVoided
from events.money import Money
from services.accounts import account
from services.commands import Currency, FreeText, Id, Text, command
from services.credits import crediting, writing_off
from services.credits.crediting import NewLine
from services.credits.debit_memo import DebitMemo, evolve
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found
from services.invoices import posting, voiding
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, PostInvoice, TaxLine, Term
from services.tenants import rates


@command("payments.debit_memo.create.v1")
class CreateDebitMemo:
    """Charge the customer more: an invoice of the memo's number carries it and is paid like any other.

    With `invoice_later`, nothing is owed until an invoice is posted with its id as reference (DEBIT_MEMO).
    """

    currency: Currency
    lines: tuple[NewLine, ...]
    """What is charged, at least one line and at most 300."""
    reason_code: Text
    debit_memo_id: Id | None = None
    """An id of the caller's own for it; without it, one is made."""
    payment_term: Term | None = None
    """When the invoice that carries it is due; without one, as of any invoice."""
    invoice_date: date | None = None
    """The date of the invoice that carries it; without one, today."""
    original_invoice_id: Id | None = None
    """The invoice that it adds to."""
    legal_entity_id: Id | None = None
    profile_id: Id | None = None
    """The billing profile of the account that it goes to."""
    invoice_later: bool = False
    """True: nothing is owed until an invoice is posted that names its id as reference (DEBIT_MEMO)."""


@command("payments.debit_memo.void.v1")
class VoidDebitMemo:
    """Undo a debit memo, and with it the invoice that carries it, of which nothing may be settled."""

    debit_memo_id: Id
    reason: FreeText | None = None


def _id(command: CreateDebitMemo, context: Context) -> str:
    return command.debit_memo_id or context.new_id("debit_memo")


def _invoice(command: CreateDebitMemo, id: str, number: str) -> PostInvoice:
    """The invoice that carries it."""
    lines = tuple(
        Line(
            line.line_id,
            line.charge,
            tuple(TaxLine(tax.amount, tax.name, tax.code) for tax in line.taxes),
            product=line.product,
        )
        for line in command.lines
    )
    return PostInvoice(
        external_id=f"dm:{ids.part_id(id, 'invoice')}",
        currency=command.currency,
        lines=lines,
        number=number,
        invoice_date=command.invoice_date,
        payment_term=command.payment_term,
        original_invoice_id=command.original_invoice_id,
        profile_id=command.profile_id,
        legal_entity_id=command.legal_entity_id,
        reference_type="DEBIT_MEMO",
        reference_id=id,
    )


def _create_needs(states: States, command: CreateDebitMemo, context: Context) -> Needs:
    id = _id(command, context)
    yield Need(DebitMemo, id)
    if command.invoice_later:
        yield account.needed(context)
        yield from crediting.worth_needed(states, context)
        return
    invoice = _invoice(command, id, id)
    yield Need(Invoice, ids.invoice_id(context.tenant, invoice.external_id))
    yield from posting.needed(states, invoice, None, context)


def create(states: States, command: CreateDebitMemo, context: Context) -> Changes:
    account.of(states, context)
    id = _id(command, context)
    if states.get(DebitMemo, id).status:
        raise Rejected("DEBIT_MEMO_EXISTS", f"the debit memo {id} exists already")
    lines = crediting.lines_of(command.lines, command.currency)
    fact = _fact(states, command, id, context.number("DM"), lines, context)
    draft = Draft(states, {**writing_off.EVOLVE, DebitMemo: evolve})
    draft.record(DebitMemo, id, fact)
    if not command.invoice_later:
        invoice = _invoice(command, id, fact.number)
        draft.changes += posting.post_carrying(states, draft.get(DebitMemo, id), invoice, context)
    return draft.changes


def _fact(
    states: States,
    command: CreateDebitMemo,
    id: str,
    number: str,
    lines: tuple[CreditMemoLine, ...],
    context: Context,
) -> DebitMemoPosted:
    total = Money(sum(line.line_total.amount_minor for line in lines), command.currency)
    return DebitMemoPosted(
        id,
        number,
        context.account_id,
        command.currency,
        total,
        context.now,
        "STANDALONE",
        lines,
        command.reason_code,
        corporate=rates.snapshot(states, total, context.now, context),
    )


def _void_needs(states: States, command: VoidDebitMemo, context: Context) -> Needs:
    yield Need(DebitMemo, command.debit_memo_id)
    memo = states.find(DebitMemo, command.debit_memo_id)
    if memo and memo.invoice_id:
        yield from voiding.needed(states, memo.invoice_id, context)


def void(states: States, command: VoidDebitMemo, context: Context) -> Changes:
    memo = states.get(DebitMemo, command.debit_memo_id)
    if not memo.status:
        raise not_found("DEBIT_MEMO", command.debit_memo_id)
    if memo.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the debit memo {memo.number} belongs to another account")
    if memo.status != "POSTED":
        raise invalid_state("debit memo", memo.status, ["POSTED"])
    if memo.kind != "STANDALONE":
        raise Rejected("REFERENCE_MISMATCH", "it offsets a voided credit memo: nothing is owed by it")
    if memo.invoice_id is None:
        return [Change(DebitMemo, command.debit_memo_id, DebitMemoVoided(command.reason))]
    draft = Draft(states, writing_off.EVOLVE)
    voiding.void_in(draft, states, memo.invoice_id, "VOID", command.reason, context)
    return draft.changes


SUBJECT = Subject(
    DebitMemo,
    evolve,
    (Rule(CreateDebitMemo, _create_needs, create), Rule(VoidDebitMemo, _void_needs, void)),
)
