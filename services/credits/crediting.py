"""Credit memos made by hand: standalone, drafted and posted, against an invoice, voided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from events.credit_memo import (
    CreditMemoCanceled,
    CreditMemoDrafted,
    CreditMemoLine,
    CreditMemoPosted,
    CreditMemoVoided,
    DebitMemoPosted,
)
from events.frozen import frozen
from events.invoice import Product, Tax
from events.money import Money
from services.accounts import account
from services.applications import application, guards, spreading
from services.applications.application import Why
from services.applications.spreading import Share
from services.commands import Amount, Currency, FreeText, Id, Text, command
from services.credits import credit_memo
from services.credits.credit_memo import CreditMemo
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States, Subject
from services.errors import Rejected, currency_mismatch, exceeded, not_found
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.tenants import tenant_settings

LINES_MAX = 300


@dataclass(slots=True)
class DebitMemo:
    KIND: ClassVar[str] = "dm"

    version: int = 0
    total: int = 0

    @property
    def open(self) -> bool:
        return False


def evolve_debit_memo(memo: DebitMemo, event: DebitMemoPosted) -> None:
    memo.total = event.total.amount_minor


@frozen
class MemoTax:
    amount: Amount
    name: Text = ""
    code: Text | None = None


@frozen
class NewLine:
    line_id: Id
    charge: Amount
    product: Product
    taxes: tuple[MemoTax, ...] = ()


@command("payments.credit_memo.create.v1")
class CreateCreditMemo:
    """A standalone credit memo: posted at once, or kept as a draft."""

    currency: Currency
    lines: tuple[NewLine, ...]
    reason_code: Text
    credit_memo_id: Id | None = None
    draft: bool = False
    saved_payment_method_id: Id | None = None


@command("payments.credit_memo.post.v1")
class PostCreditMemo:
    credit_memo_id: Id


@frozen
class CreditedLine:
    line_id: Id
    amount: Amount
    """Without tax."""
    tax: Amount | None = None


@command("payments.invoice.credit.v1")
class CreditInvoice:
    """Credit lines of an invoice, and apply the credit to it, in one step."""

    invoice_id: Id
    lines: tuple[CreditedLine, ...]
    reason_code: Text
    comments: FreeText | None = None


@command("payments.credit_memo.void.v1")
class VoidCreditMemo:
    """Undo a posted memo of which nothing was used; a debit memo offsets it in the ledger."""

    credit_memo_id: Id
    reason: FreeText | None = None


@command("payments.credit_memo.recover.v1")
class RecoverCreditMemo:
    """Give up a memo that was never posted."""

    credit_memo_id: Id
    reason: FreeText | None = None


def _create_needs(states: States, command: CreateCreditMemo, context: Context) -> Needs:
    if command.credit_memo_id:
        yield Need(CreditMemo, command.credit_memo_id)
    yield account.needed(context)


def create(states: States, command: CreateCreditMemo, context: Context) -> Changes:
    account.of(states, context)
    if command.credit_memo_id and states.get(CreditMemo, command.credit_memo_id).status:
        raise Rejected("CREDIT_MEMO_EXISTS", f"the credit memo {command.credit_memo_id} exists already")
    lines = _lines(command)
    id = command.credit_memo_id or context.new_id("memo")
    number, new = context.number("CM"), command.credit_memo_id is None
    if command.draft:
        total = Money(sum(line.line_total.amount_minor for line in lines), command.currency)
        head = (id, number, context.account_id, command.currency, "STANDALONE", "STANDALONE")
        drafted = CreditMemoDrafted(
            *head,
            lines,
            total,
            command.reason_code,
            saved_payment_method_id=command.saved_payment_method_id,
        )
        return [Change(CreditMemo, id, drafted, new)]
    posted = _posted(
        id,
        number,
        command.currency,
        lines,
        command.reason_code,
        "STANDALONE",
        context,
        saved_payment_method_id=command.saved_payment_method_id,
    )
    return [Change(CreditMemo, id, posted, new)]


def _lines(command: CreateCreditMemo) -> tuple[CreditMemoLine, ...]:
    if len(command.lines) > LINES_MAX:
        raise Rejected("TOO_MANY_LINES", f"a credit memo has at most {LINES_MAX} lines", field="data.lines")
    if not command.lines or len({line.line_id for line in command.lines}) != len(command.lines):
        raise Rejected(
            "MALFORMED_REQUEST", "at least one line, each with its own line_id", field="data.lines"
        )
    return tuple(_line(line, command.currency) for line in command.lines)


def _line(line: NewLine, currency: str) -> CreditMemoLine:
    for money in (line.charge, *(tax.amount for tax in line.taxes)):
        if money.currency != currency:
            raise currency_mismatch(currency, money.currency, "the credit memo")
        if money.amount_minor < 0:
            raise Rejected("AMOUNT_NOT_POSITIVE", f"line {line.line_id} must be above 0", field="data.lines")
    if not (line.product.id or line.product.name):
        raise Rejected(
            "MALFORMED_REQUEST", f"line {line.line_id} needs a product's id or name", field="data.lines"
        )
    total = line.charge.amount_minor + sum(tax.amount.amount_minor for tax in line.taxes)
    if total <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", f"line {line.line_id} must be above 0", field="data.lines")
    taxes = tuple(Tax(tax.amount, tax.name, tax.code) for tax in line.taxes)
    return CreditMemoLine(line.line_id, line.charge, Money(total, currency), taxes, line.product)


def _posted(
    id: str,
    number: str,
    currency: str,
    lines: Sequence[CreditMemoLine],
    reason_code: str,
    source_action: str,
    context: Context,
    reference_invoice_id: str | None = None,
    saved_payment_method_id: str | None = None,
) -> CreditMemoPosted:
    charge = sum(line.charge.amount_minor for line in lines)
    total = sum(line.line_total.amount_minor for line in lines)
    return CreditMemoPosted(
        credit_memo_id=id,
        number=number,
        account_id=context.account_id,
        currency=currency,
        category="REFERENCED" if reference_invoice_id else "STANDALONE",
        source_action=source_action,
        lines=tuple(lines),
        total_charge=Money(charge, currency),
        total_tax=Money(total - charge, currency),
        total=Money(total, currency),
        reason_code=reason_code,
        posted_at=context.now,
        effective_date=context.now.date(),
        reference_invoice_id=reference_invoice_id,
        saved_payment_method_id=saved_payment_method_id,
    )


def _memo_needs(
    states: States, command: PostCreditMemo | VoidCreditMemo | RecoverCreditMemo, context: Context
) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)


def _of(states: States, id: str, context: Context, *allowed: str) -> CreditMemo:
    memo = states.get(CreditMemo, id)
    guards.check_memo(memo, id, context, *allowed)
    return memo


def post(states: States, command: PostCreditMemo, context: Context) -> Changes:
    memo = _of(states, command.credit_memo_id, context, "DRAFT")
    lines = [line.line for line in memo.lines.values()]
    posted = _posted(
        memo.credit_memo_id,
        memo.number,
        memo.currency,
        lines,
        memo.reason_code,
        memo.source_action,
        context,
        saved_payment_method_id=memo.saved_payment_method_id,
    )
    return [Change(CreditMemo, command.credit_memo_id, posted)]


def _credit_needs(states: States, command: CreditInvoice, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield tenant_settings.needed(context)


def credit(states: States, command: CreditInvoice, context: Context) -> Changes:
    invoice = states.get(Invoice, command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    guards.check_unlocked(invoice)
    if len(command.lines) > LINES_MAX:
        raise Rejected("TOO_MANY_LINES", f"a credit memo has at most {LINES_MAX} lines", field="data.lines")
    if not command.lines or len({line.line_id for line in command.lines}) != len(command.lines):
        raise Rejected("MALFORMED_REQUEST", "at least one line, each once", field="data.lines")
    lines = [_credited(invoice, line) for line in command.lines]
    total = Money(sum(line.line_total.amount_minor for line in lines), invoice.currency)
    guards.check_room(invoice, total, None)
    for line in lines:
        _check_credited(invoice, line)
    level = invoice.level or tenant_settings.of(states, context)["application_level"]
    id = context.new_id("memo")
    posted = _posted(
        id,
        context.number("CM"),
        invoice.currency,
        lines,
        command.reason_code,
        "INVOICE",
        context,
        command.invoice_id,
    )
    draft = Draft(states, {CreditMemo: credit_memo.evolve, Invoice: invoices.evolve})
    draft.record(CreditMemo, id, posted, new=True)
    memo = draft.get(CreditMemo, id)
    if level == "INVOICE":
        shares = spreading.spread_memo(memo, invoice, total.amount_minor, level)
    else:
        shares = [Share(line.line_total.amount_minor, line.line_id, line.line_id) for line in lines]
    draft.extend(
        application.place(memo, invoice, shares, Why(context.now, comments=command.comments), context)
    )
    return draft.changes


def _credited(invoice: Invoice, credited: CreditedLine) -> CreditMemoLine:
    line = invoice.lines.get(credited.line_id)
    if line is None:
        raise not_found("INVOICE_LINE", credited.line_id)
    tax = credited.tax or Money(0, invoice.currency)
    for money in (credited.amount, tax):
        if money.currency != invoice.currency:
            raise currency_mismatch(invoice.currency, money.currency, f"invoice {invoice.number}")
        if money.amount_minor < 0:
            raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.lines")
    total = credited.amount + tax
    if total.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.lines")
    taxes = (Tax(tax),) if tax.amount_minor else ()
    return CreditMemoLine(
        credited.line_id,
        credited.amount,
        total,
        taxes,
        line.line.product,
        reference_invoice_line_id=credited.line_id,
    )


def _check_credited(invoice: Invoice, credited: CreditMemoLine) -> None:
    """No more than the line was charged with, and no more than is open of it (domain 2.8)."""
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


def void(states: States, command: VoidCreditMemo, context: Context) -> Changes:
    memo = _of(states, command.credit_memo_id, context, "POSTED")
    if memo.applied or memo.refunded or memo.refund_reserved:
        raise Rejected("CREDIT_MEMO_HAS_SETTLEMENTS", "some of it was applied or refunded")
    total, tax = Money(memo.total, memo.currency), Money(memo.tax, memo.currency)
    debit_id = context.new_id("debit_memo")
    debit = DebitMemoPosted(
        debit_id,
        context.number("DM"),
        context.account_id,
        memo.currency,
        total,
        command.credit_memo_id,
        context.now,
    )
    return [
        Change(CreditMemo, command.credit_memo_id, CreditMemoVoided(debit_id, total, tax, command.reason)),
        Change(DebitMemo, debit_id, debit, new=True),
    ]


def recover(states: States, command: RecoverCreditMemo, context: Context) -> Changes:
    _of(states, command.credit_memo_id, context, "DRAFT")
    return [Change(CreditMemo, command.credit_memo_id, CreditMemoCanceled(command.reason))]


DEBIT_MEMO = Subject(DebitMemo, evolve_debit_memo)
RULES = (
    Rule(CreateCreditMemo, _create_needs, create),
    Rule(PostCreditMemo, _memo_needs, post),
    Rule(CreditInvoice, _credit_needs, credit),
    Rule(VoidCreditMemo, _memo_needs, void),
    Rule(RecoverCreditMemo, _memo_needs, recover),
)
