"""Credit memos made by hand: standalone, drafted and posted, voided, given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from events.credit_memo import (
    CreditMemoCanceled,
    CreditMemoDrafted,
    CreditMemoLine,
    CreditMemoPosted,
    CreditMemoVoided,
)
from events.debit_memo import DebitMemoPosted
from events.frozen import frozen
from events.invoice import Product, Tax
from events.money import Money
from services.accounts import account
from services.applications import guards
from services.commands import Amount, Currency, FreeText, Id, Text, command
from services.credits.credit_memo import CreditMemo
from services.credits.debit_memo import DebitMemo
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch
from services.tenants import periods, rates, tenant_settings

LINES_MAX = 300

TaxStrategy = Literal["IGNORE", "MANUAL_OVERRIDE", "CALCULATE", "COPY_FROM_INVOICE_LINE"]
"""Where a memo's tax comes from."""


@frozen
class MemoTax:
    amount: Amount
    """How much of it."""
    name: Text = ""
    """What the tax is called, such as `VAT`."""
    code: Text | None = None
    """Its code where it was calculated; only kept."""


@frozen
class NewLine:
    line_id: Id
    """An id of the caller's own, unique within the memo."""
    charge: Amount
    """The amount of the line without its taxes, above 0."""
    product: Product
    """What it is for: at least the `id` or the `name`."""
    taxes: tuple[MemoTax, ...] = ()
    """The taxes on the charge; they are calculated upstream, and added to it."""


@command("payments.credit_memo.create.v1")
class CreateCreditMemo:
    """A standalone credit memo: posted at once, or kept as a draft."""

    currency: Currency
    """ISO 4217, such as `EUR`: the currency of the memo and of all amounts in it."""
    lines: tuple[NewLine, ...]
    """What is credited, at least one line and at most 300; the memo's total is the sum of charges and
    taxes."""
    reason_code: Text
    credit_memo_id: Id | None = None
    """An id of the caller's own for it; without it, one is made."""
    draft: bool = False
    """True: it is kept as a draft, and gives nothing until it is posted."""
    saved_payment_method_id: Id | None = None
    """The saved payment method that its balance is paid out to, where nothing else is said then."""
    billing_profile_id: Id | None = None
    """The billing profile that it goes to."""
    legal_entity_id: Id | None = None
    tax_strategy: TaxStrategy = "MANUAL_OVERRIDE"
    """IGNORE: it has no tax; MANUAL_OVERRIDE: each line says its own.  It has no invoice's tax to copy, and
    nothing here calculates tax: the others are refused."""
    effective_date: date | None = None
    """When it takes effect, in an accounting period that is open; without one, the day of its posting."""


@command("payments.credit_memo.post.v1")
class PostCreditMemo:
    """Post a draft: the customer is owed its total."""

    credit_memo_id: Id


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
    yield from worth_needed(states, context)
    yield from periods.needed(command.legal_entity_id, command.effective_date, context)


def worth_needed(states: States, context: Context) -> Needs:
    """What says what a memo is worth in the reporting currency."""
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)


def check_strategy(strategy: TaxStrategy, *possible: TaxStrategy) -> None:
    """Raises `TAX_STRATEGY_UNSUPPORTED`: whoever bills knows the tax, and says it."""
    if strategy not in possible:
        why = "tax is calculated upstream, and said" if strategy == "CALCULATE" else "it has no invoice's tax"
        message = f"{why}: ask for {' or '.join(possible)}, not for {strategy}"
        raise Rejected(
            "TAX_STRATEGY_UNSUPPORTED", message, field="data.tax_strategy", possible=list(possible)
        )


def create(states: States, command: CreateCreditMemo, context: Context) -> Changes:
    account.of(states, context)
    if command.credit_memo_id and states.get(CreditMemo, command.credit_memo_id).status:
        raise Rejected("CREDIT_MEMO_EXISTS", f"the credit memo {command.credit_memo_id} exists already")
    check_strategy(command.tax_strategy, "IGNORE", "MANUAL_OVERRIDE")
    if command.tax_strategy == "IGNORE" and any(line.taxes for line in command.lines):
        raise Rejected("MALFORMED_REQUEST", "a memo that ignores tax has none", field="data.lines")
    lines = lines_of(command.lines, command.currency)
    periods.check_open(states, command.legal_entity_id, command.effective_date, context)
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
            **head_of(command),
        )
        return [Change(CreditMemo, id, drafted, new)]
    posted = fact_of(
        states,
        id,
        number,
        command.currency,
        lines,
        command.reason_code,
        "STANDALONE",
        context,
        **head_of(command),
    )
    return [Change(CreditMemo, id, posted, new)]


def lines_of(lines: Sequence[NewLine], currency: str) -> tuple[CreditMemoLine, ...]:
    """What a memo is made of: each line above 0, and tied to a product."""
    if len(lines) > LINES_MAX:
        raise Rejected("TOO_MANY_LINES", f"a memo has at most {LINES_MAX} lines", field="data.lines")
    if not lines or len({line.line_id for line in lines}) != len(lines):
        raise Rejected(
            "MALFORMED_REQUEST", "at least one line, each with its own line_id", field="data.lines"
        )
    return tuple(_line(line, currency) for line in lines)


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


def fact_of(
    seen: States | Draft,
    id: str,
    number: str,
    currency: str,
    lines: Sequence[CreditMemoLine],
    reason_code: str,
    source_action: str,
    context: Context,
    reference_invoice_id: str | None = None,
    category: str | None = None,
    effective_date: date | None = None,
    **head: str | None,
) -> CreditMemoPosted:
    charge = sum(line.charge.amount_minor for line in lines)
    total = Money(sum(line.line_total.amount_minor for line in lines), currency)
    effective = effective_date or context.now.date()
    return CreditMemoPosted(
        credit_memo_id=id,
        number=number,
        account_id=context.account_id,
        currency=currency,
        category=category or ("REFERENCED" if reference_invoice_id else "STANDALONE"),
        source_action=source_action,
        lines=tuple(lines),
        total_charge=Money(charge, currency),
        total_tax=Money(total.amount_minor - charge, currency),
        total=total,
        reason_code=reason_code,
        posted_at=context.now,
        effective_date=effective,
        reference_invoice_id=reference_invoice_id,
        corporate=rates.snapshot(seen, total, effective, context),
        **head,
    )


def head_of(source: CreateCreditMemo | CreditMemo) -> dict[str, Any]:
    """What a memo keeps of who asked for it: whom it pays how, in which books, taxed how, from when."""
    return {
        "saved_payment_method_id": source.saved_payment_method_id,
        "billing_profile_id": source.billing_profile_id,
        "legal_entity_id": source.legal_entity_id,
        "tax_strategy": source.tax_strategy,
        "effective_date": source.effective_date,
    }


def _memo_needs(
    states: States, command: PostCreditMemo | VoidCreditMemo | RecoverCreditMemo, context: Context
) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)
    yield from worth_needed(states, context)
    memo = states.find(CreditMemo, command.credit_memo_id)
    if memo and memo.status == "DRAFT":
        yield from periods.needed(memo.legal_entity_id, memo.effective_date, context)


def _of(states: States, id: str, context: Context, *allowed: str) -> CreditMemo:
    memo = states.get(CreditMemo, id)
    guards.check_memo(memo, id, context, *allowed)
    return memo


def post(states: States, command: PostCreditMemo, context: Context) -> Changes:
    memo = _of(states, command.credit_memo_id, context, "DRAFT")
    periods.check_open(states, memo.legal_entity_id, memo.effective_date, context)
    lines = [line.line for line in memo.lines.values()]
    posted = fact_of(
        states,
        memo.credit_memo_id,
        memo.number,
        memo.currency,
        lines,
        memo.reason_code,
        memo.source_action,
        context,
        **head_of(memo),
    )
    return [Change(CreditMemo, command.credit_memo_id, posted)]


def void(states: States, command: VoidCreditMemo, context: Context) -> Changes:
    memo = _of(states, command.credit_memo_id, context, "POSTED")
    if memo.applied or memo.refunded or memo.refund_reserved:
        raise Rejected("CREDIT_MEMO_HAS_SETTLEMENTS", "some of it was applied or refunded")
    return voided(states, memo, command.reason, context)


def voided(seen: States | Draft, memo: CreditMemo, reason: str | None, context: Context) -> list[Change]:
    """A memo of which nothing is used is undone; a debit memo offsets it in the ledger."""
    total, tax = Money(memo.total, memo.currency), Money(memo.tax, memo.currency)
    debit_id = context.new_id(f"debit_memo/{memo.credit_memo_id}")
    debit = DebitMemoPosted(
        debit_id,
        context.number("DM"),
        context.account_id,
        memo.currency,
        total,
        context.now,
        "OFFSET",
        credit_memo_id=memo.credit_memo_id,
        corporate=rates.snapshot(seen, total, context.now, context),
    )
    return [
        Change(CreditMemo, memo.credit_memo_id, CreditMemoVoided(debit_id, total, tax, reason)),
        Change(DebitMemo, debit_id, debit, new=True),
    ]


def recover(states: States, command: RecoverCreditMemo, context: Context) -> Changes:
    _of(states, command.credit_memo_id, context, "DRAFT")
    return [Change(CreditMemo, command.credit_memo_id, CreditMemoCanceled(command.reason))]


RULES = (
    Rule(CreateCreditMemo, _create_needs, create),
    Rule(PostCreditMemo, _memo_needs, post),
    Rule(VoidCreditMemo, _memo_needs, void),
    Rule(RecoverCreditMemo, _memo_needs, recover),
)
