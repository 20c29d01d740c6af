"""Applying money to invoices by command, and taking it back: payments and credit memos alike.

Invariant: nothing is applied that is not free at its source and open at its target.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from events.frozen import frozen
from events.money import Money
from services.applications import application, guards, spreading
from services.applications.application import Why
from services.applications.spreading import HIGHEST_FIRST, LineOrder, Share
from services.commands import Amount, FreeText, Id, command
from services.credits import credit_memo, writing_off
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, not_found
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.tenants import tenant_settings
from services.transfers import transfer

_EVOLVE = {CreditMemo: credit_memo.evolve, Invoice: invoices.evolve}


@command("payments.payment.apply.v1")
class ApplyPayment:
    """Settle an invoice, or one line of it, with a payment's unapplied money."""

    payment_id: Id
    """A payment that is processed and has unapplied money."""
    invoice_id: Id
    """The invoice that it settles."""
    amount: Amount
    """How much of the payment's unapplied money; no more than the invoice, or the line, owes."""
    line_id: Id | None = None
    """One line of the invoice; without it, it goes over all of them by `line_order`."""
    effective_at: datetime | None = None
    comments: FreeText | None = None
    associated_account_id: Id | None = None
    """Whose invoice it is, where it is another account's (tenant setting `allow_cross_account`)."""
    line_order: LineOrder = HIGHEST_FIRST


@command("payments.payment.unapply.v1")
class UnapplyPayment:
    """Take one whole application back; `amount`, if given, must be all of it.

    What was applied for another account is asked back by the id of its transfer.
    """

    payment_id: Id
    application_id: Id
    amount: Amount | None = None
    """As a check: all of the application, which is never taken back in part."""
    effective_at: datetime | None = None
    comments: FreeText | None = None


@frozen
class Target:
    invoice_id: Id
    amount: Amount
    """How much of the memo's open balance; no more than the invoice owes."""


@command("payments.credit_memo.apply.v1")
class ApplyCreditMemo:
    """Settle invoices with a credit memo's open balance."""

    credit_memo_id: Id
    applications: tuple[Target, ...]
    """Which invoices it settles, and how much of each."""
    effective_at: datetime | None = None
    comments: FreeText | None = None
    line_order: LineOrder = HIGHEST_FIRST


@frozen
class LineTarget:
    invoice_id: Id
    line_id: Id
    """The line of the invoice."""
    amount: Amount
    """How much of the memo line's open balance; no more than the invoice's line owes."""


@command("payments.credit_memo.apply_line.v1")
class ApplyCreditMemoLine:
    """Settle invoices with the open balance of one line of a credit memo."""

    credit_memo_id: Id
    memo_line_id: Id
    targets: tuple[LineTarget, ...]
    """Which lines of which invoices it settles, and how much of each."""
    effective_at: datetime | None = None
    comments: FreeText | None = None


@command("payments.credit_memo.unapply.v1")
class UnapplyCreditMemo:
    """Take one application of a credit memo back: the invoice owes it again."""

    credit_memo_id: Id
    application_id: Id
    """The application that is taken back, whole."""
    effective_at: datetime | None = None
    comments: FreeText | None = None


@command("payments.credit_memo.unapply_line.v1")
class UnapplyCreditMemoLine:
    """Take back what a certain line of the memo has settled."""

    credit_memo_id: Id
    memo_line_id: Id
    application_id: Id
    """The application that is taken back, whole; it must be that line's."""
    effective_at: datetime | None = None
    comments: FreeText | None = None


_Unapply = UnapplyCreditMemo | UnapplyCreditMemoLine


def _apply_needs(states: States, command: ApplyPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    if not _is_across(command, context):
        yield Need(Invoice, command.invoice_id)
        yield from writing_off.small_needed(states, context)
        yield from _dated(states, [command.invoice_id], command.effective_at, context)
    yield tenant_settings.needed(context)


def _dated(
    states: States, invoice_ids: Iterable[str], effective_at: datetime | None, context: Context
) -> Needs:
    for id in invoice_ids:
        if effective_at and (invoice := states.find(Invoice, id)):
            yield from guards.dated(invoice, effective_at, context)


def _is_across(command: ApplyPayment, context: Context) -> bool:
    return command.associated_account_id not in (None, context.account_id)


def apply(states: States, command: ApplyPayment, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if _is_across(command, context):
        return _apply_across(states, payment, command, context)
    why = Why(command.effective_at or context.now, comments=command.comments)
    invoice, level = (
        states.get(Invoice, command.invoice_id),
        guards.level_of(states, context, command.line_id),
    )
    guards.check_period(states, invoice, command.effective_at, context)
    wanted = command.invoice_id, command.amount, command.line_id
    applied = apply_checked(payment, invoice, *wanted, level, why, context, command.line_order)
    return writing_off.with_small_balances(states, applied, context)


def _apply_across(states: States, payment: Payment, command: ApplyPayment, context: Context) -> Changes:
    """The money goes to the other account, whose own decision it is what its invoice takes."""
    if not tenant_settings.of(states, context)["allow_cross_account"]:
        raise Rejected(
            "ACCOUNT_MISMATCH", "payments are for their own account's invoices (allow_cross_account)"
        )
    guards.check_processed(payment)
    assert command.associated_account_id is not None
    return transfer.reserve(
        payment,
        command.associated_account_id,
        command.amount,
        context,
        invoice_id=command.invoice_id,
        line_id=command.line_id,
        effective_at=command.effective_at,
        comments=command.comments,
    )


def apply_checked(
    payment: Payment,
    invoice: Invoice,
    invoice_id: str,
    amount: Money,
    line_id: str | None,
    level: str,
    why: Why,
    context: Context,
    line_order: LineOrder = HIGHEST_FIRST,
) -> Changes:
    """Apply an account's payment to its own invoice; the first guard to fail names the code."""
    guards.check_invoice(invoice, invoice_id, context)
    guards.check_line(invoice, line_id)
    guards.check_processed(payment)
    guards.check_posted(invoice)
    guards.check_unlocked(invoice)
    guards.check_money(amount, payment.currency, invoice)
    guards.check_payment_balance(payment, amount)
    guards.check_room(invoice, amount, line_id)
    guards.check_level(invoice, level)
    shares = spreading.spread_payment(invoice, amount.amount_minor, level, line_id, line_order)
    return application.place(payment, invoice, shares, why, context)


def _unapply_needs(states: States, command: UnapplyPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    payment = states.find(Payment, command.payment_id)
    if payment and command.application_id in payment.applications:
        invoice_id = payment.applications[command.application_id].invoice_id
        yield Need(Invoice, invoice_id)
        yield from _dated(states, [invoice_id], command.effective_at, context)


def unapply(states: States, command: UnapplyPayment, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if command.application_id in payment.transfers:
        _check_whole(command, payment.transfers[command.application_id].amount, payment.currency)
        return transfer.recall(payment, command.application_id, command.comments)
    if command.application_id in payment.unapplied_ids:
        raise Rejected("ALREADY_UNAPPLIED", f"the application {command.application_id} was taken back")
    was = payment.applications.get(command.application_id)
    if was is None:
        raise not_found("APPLICATION", command.application_id)
    invoice = states.get(Invoice, was.invoice_id)
    guards.check_unlocked(invoice)
    guards.check_period(states, invoice, command.effective_at, context)
    _check_whole(command, was.amount, payment.currency)
    why = Why(command.effective_at or context.now, comments=command.comments)
    return application.take_back(payment, invoice, [command.application_id], why, context)


def _check_whole(command: UnapplyPayment, amount: int, currency: str) -> None:
    whole = Money(amount, currency)
    if command.amount not in (None, whole):
        raise Rejected("PARTIAL_UNAPPLY_UNSUPPORTED", f"an application is taken back whole: {whole}")


def _memo_needs(states: States, command: ApplyCreditMemo | ApplyCreditMemoLine, context: Context) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)
    targets = command.applications if isinstance(command, ApplyCreditMemo) else command.targets
    for target in targets:
        yield Need(Invoice, target.invoice_id)
    yield tenant_settings.needed(context)
    yield from _dated(states, [target.invoice_id for target in targets], command.effective_at, context)
    yield from writing_off.small_needed(states, context)


def apply_credit(states: States, command: ApplyCreditMemo, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    targets = {target.invoice_id: states.get(Invoice, target.invoice_id) for target in command.applications}
    guards.check_targets([target.invoice_id for target in command.applications])
    level = guards.level_of(states, context, None)
    guards.check_memo(memo, command.credit_memo_id, context)
    for target in command.applications:
        _check_target(states, targets[target.invoice_id], target, memo, command.effective_at, context)
    guards.check_memo_balance(memo, guards.total((x.amount for x in command.applications), memo.currency))
    for target in command.applications:
        guards.check_room(targets[target.invoice_id], target.amount, None)
        guards.check_level(targets[target.invoice_id], level)
    draft = Draft(states, _EVOLVE)
    for target in command.applications:
        application.apply(
            draft,
            CreditMemo,
            command.credit_memo_id,
            target.invoice_id,
            target.amount.amount_minor,
            level,
            _why(command, context),
            context,
            line_order=command.line_order,
        )
    return writing_off.with_small_balances(states, draft.changes, context)


def apply_credit_line(states: States, command: ApplyCreditMemoLine, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    guards.check_memo(memo, command.credit_memo_id, context)
    line = memo.lines.get(command.memo_line_id)
    if line is None:
        raise not_found("INVOICE_LINE", command.memo_line_id)
    guards.check_targets([(target.invoice_id, target.line_id) for target in command.targets])
    for target in command.targets:
        invoice = states.get(Invoice, target.invoice_id)
        _check_target(states, invoice, target, memo, command.effective_at, context)
        guards.check_line(invoice, target.line_id)
    asked = guards.total((target.amount for target in command.targets), memo.currency)
    guards.check_memo_balance(memo, asked, line.balance)
    draft = Draft(states, _EVOLVE)
    for target in command.targets:
        memo, invoice = (
            draft.get(CreditMemo, command.credit_memo_id),
            draft.get(Invoice, target.invoice_id),
        )
        guards.check_room(invoice, target.amount, target.line_id)
        guards.check_level(invoice, "INVOICE_LINE")
        share = Share(target.amount.amount_minor, target.line_id, command.memo_line_id)
        draft.extend(application.place(memo, invoice, [share], _why(command, context), context))
    return writing_off.with_small_balances(states, draft.changes, context)


def _check_target(
    states: States,
    invoice: Invoice,
    target: Target | LineTarget,
    memo: CreditMemo,
    effective_at: datetime | None,
    context: Context,
) -> None:
    guards.check_invoice(invoice, target.invoice_id, context)
    guards.check_posted(invoice)
    guards.check_unlocked(invoice)
    guards.check_period(states, invoice, effective_at, context)
    guards.check_money(target.amount, memo.currency, invoice)


def _why(command: ApplyCreditMemo | ApplyCreditMemoLine, context: Context) -> Why:
    return Why(command.effective_at or context.now, comments=command.comments)


def _unapply_credit_needs(states: States, command: _Unapply, context: Context) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)
    memo = states.find(CreditMemo, command.credit_memo_id)
    if memo and command.application_id in memo.applications:
        invoice_id = memo.applications[command.application_id].invoice_id
        yield Need(Invoice, invoice_id)
        yield from _dated(states, [invoice_id], command.effective_at, context)


def unapply_credit(states: States, command: _Unapply, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    guards.check_memo(memo, command.credit_memo_id, context)
    if command.application_id in memo.unapplied_ids:
        raise Rejected("ALREADY_UNAPPLIED", f"the application {command.application_id} was taken back")
    if command.application_id not in memo.applications:
        raise not_found("APPLICATION", command.application_id)
    was = memo.applications[command.application_id]
    if isinstance(command, UnapplyCreditMemoLine) and was.source_line_id != command.memo_line_id:
        raise not_found("APPLICATION", f"{command.application_id} of line {command.memo_line_id}")
    invoice = states.get(Invoice, was.invoice_id)
    guards.check_posted(invoice)
    guards.check_unlocked(invoice)
    guards.check_movable(memo)
    guards.check_period(states, invoice, command.effective_at, context)
    why = Why(command.effective_at or context.now, comments=command.comments)
    return application.take_back(memo, invoice, [command.application_id], why, context)


RULES = (
    Rule(ApplyPayment, _apply_needs, apply),
    Rule(UnapplyPayment, _unapply_needs, unapply),
    Rule(ApplyCreditMemo, _memo_needs, apply_credit),
    Rule(ApplyCreditMemoLine, _memo_needs, apply_credit_line),
    Rule(UnapplyCreditMemo, _unapply_credit_needs, unapply_credit),
    Rule(UnapplyCreditMemoLine, _unapply_credit_needs, unapply_credit),
)
