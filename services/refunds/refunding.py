"""Refunding: giving money back, reserved on its source from the request to the outcome.

Invariant: money in flight back to the customer can be taken by nothing else.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from events.credit_memo import (
    CreditMemoLocked,
    CreditMemoRefundReserved,
    LineAmount,
    RefundAppliedToCreditMemo,
)
from events.money import Money
from events.payment import RefundAppliedToPayment, RefundReservedOnPayment
from events.refund import ExternalRefundRecorded, RefundApplied, RefundApprovalRequested
from services.accounts import account
from services.accounts.account import Account
from services.applications import freeing, guards
from services.applications.application import Why
from services.calls.gateway import Gateway, check_accepts
from services.commands import Amount, FreeText, Id, Text, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, not_found
from services.payments import payment_group
from services.payments.payment import Payment
from services.refunds import deciding_alone, payout_limits, requesting
from services.refunds.refund import Refund
from services.tenants import periods, rates, tenant_settings


@command("payments.refund.issue.v1")
class IssueRefund:
    """Give money of a payment back to the instrument that it came from.

    From `UNAPPLIED` money; or `REOPEN_INVOICES`: whole applications are taken back, newest first,
    until enough is unapplied, and what was too much is applied again to the same invoice.
    """

    payment_id: Id
    amount: Amount
    """How much is given back: no more than may still be refunded of the payment."""
    reason: Text
    """Why, as a code of the tenant's own; it is told as `reason_code`."""
    source: Literal["UNAPPLIED", "REOPEN_INVOICES"] = "UNAPPLIED"
    """UNAPPLIED: only money that settles nothing; REOPEN_INVOICES: also money that settles invoices, which
    then owe it again."""
    refund_id: Id | None = None
    """An id of the caller's own for the refund; without it, one is made."""
    notes: FreeText | None = None


@command("payments.refund.issue_unreferenced.v1")
class IssueUnreferencedRefund:
    """Pay a credit memo's balance, or one line's, out to a saved method."""

    credit_memo_id: Id
    amount: Amount
    """How much is paid out: no more than the memo's open balance."""
    reason: Text
    """Why, as a code of the tenant's own; it is told as `reason_code`."""
    payment_method_id: Id | None = None
    """The saved payment method that it goes to; without one, the memo's, its billing profile's, or the
    account's default."""
    refund_id: Id | None = None
    """An id of the caller's own for the refund; without it, one is made."""
    notes: FreeText | None = None
    memo_line_id: Id | None = None
    """One line of the memo that is paid out; without it, the largest open line first."""
    payment_group_id: Id | None = None
    """The group that it joins; a refund of a payment is in its payment's."""


@command("payments.refund.record_external.v1")
class RecordExternalRefund:
    """Money that was given back outside any gateway: of a payment, of a credit memo, or to be said later."""

    amount: Amount
    """How much was given back: above 0."""
    instrument: Literal["CASH", "CHECK", "WIRE", "OTHER"]
    reference: Text
    """What the money is known by outside, such as the number of the cheque or the bank's reference."""
    paid_on: date
    reason: Text
    """Why, as a code of the tenant's own; it is told as `reason_code`."""
    payment_id: Id | None = None
    """The payment that it gives back; either this or `credit_memo_id`, or neither, to be said later."""
    credit_memo_id: Id | None = None
    """The credit memo that it pays out."""
    refund_id: Id | None = None
    """An id of the caller's own for the refund; without it, one is made."""
    payment_group_id: Id | None = None
    """The group that it belongs to; without one, its payment's."""


def _issue_needs(states: States, command: IssueRefund, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    if command.refund_id:
        yield Need(Refund, command.refund_id)
    yield tenant_settings.needed(context)
    source = states.find(Payment, command.payment_id)
    if source and source.gateway_id:
        yield Need(Gateway, source.gateway_id)
    if command.source == "REOPEN_INVOICES":
        yield from freeing.needed(states, command.payment_id, context)


def issue(states: States, command: IssueRefund, context: Context) -> Changes:
    source = states.get(Payment, command.payment_id)
    guards.check_payment(source, command.payment_id, context)
    _check_new(states, command.refund_id)
    check_source(source)
    if source.gateway_id is None:
        raise Rejected("PAYMENT_NOT_GATEWAY_LINKED", "it came from outside: record an external refund")
    _check_amount(command.amount, source.currency)
    _check_refundable(source, command)
    check_gateway(states, source, command.amount, context)
    draft, refund_id = Draft(states, requesting.EVOLVE), command.refund_id or context.new_id("refund")
    threshold = tenant_settings.threshold_below(states, command.amount, context)
    if threshold is not None:
        _ask(draft, command, refund_id, threshold, context)
        return draft.changes
    if command.source == "REOPEN_INVOICES":
        reopen(draft, command.payment_id, command.amount, context)
    requesting.request(
        draft,
        source,
        refund_id,
        command.amount,
        command.reason,
        context,
        notes=command.notes,
        new=not command.refund_id,
    )
    return draft.changes


def _check_new(states: States, refund_id: str | None) -> None:
    if refund_id and states.get(Refund, refund_id).status:
        raise Rejected("REFUND_EXISTS", f"the refund {refund_id} exists already")


def _check_amount(amount: Money, currency: str) -> None:
    if amount.currency != currency:
        raise currency_mismatch(currency, amount.currency, "the source")
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a refund must be above 0", field="data.amount")


def check_source(source: Payment) -> None:
    """Whether a payment can give anything back now.

    Raises `PAYMENT_NOT_PROCESSED`, `OPERATION_IN_FLIGHT`, and `PAYMENT_DISPUTED`: its bank may take it back,
    and who refunds it too pays twice.
    """
    guards.check_processed(source)
    if source.disputes:
        raise Rejected(
            "PAYMENT_DISPUTED", "the payment is disputed: wait for its end", disputes=sorted(source.disputes)
        )


def check_gateway(states: States, source: Payment, amount: Money, context: Context) -> None:
    assert source.gateway_id is not None
    gateway = states.get(Gateway, source.gateway_id)
    check_accepts(gateway, source.gateway_id, "REFUND", amount, None)
    requesting.check_refundable_there(gateway, source, context.now)


def reopen(draft: Draft, payment_id: str, amount: Money, context: Context) -> None:
    """Have an amount unapplied, from invoices that nobody holds."""
    freeing.check_unlocked(draft, payment_id, amount.amount_minor)
    freeing.free(draft, payment_id, amount.amount_minor, Why(context.now, "REFUND"), context)


def _ask(
    draft: Draft,
    command: IssueRefund | IssueUnreferencedRefund,
    refund_id: str,
    threshold: Money,
    context: Context,
) -> None:
    """A second person must agree; until then the money is held where it is."""
    memo_id = command.credit_memo_id if isinstance(command, IssueUnreferencedRefund) else None
    payment_id = command.payment_id if isinstance(command, IssueRefund) else None
    asked = RefundApprovalRequested(
        refund_id=refund_id,
        number=context.number("REF"),
        type="UNREFERENCED" if memo_id else "REFERENCED",
        account_id=context.account_id,
        amount=command.amount,
        reason_code=command.reason,
        source=command.source if isinstance(command, IssueRefund) else "CREDIT_MEMO",
        threshold=threshold,
        requested_by=context.actor.id,
        requested_at=context.now,
        payment_id=payment_id,
        credit_memo_id=memo_id,
        payment_method_id=command.payment_method_id if isinstance(command, IssueUnreferencedRefund) else None,
        notes=command.notes,
        payment_group_id=_group_of(draft, command),
    )
    draft.record(Refund, refund_id, asked, new=not command.refund_id)
    if memo_id:
        lines = _lines(draft.get(CreditMemo, memo_id), command)
        draft.record(CreditMemo, memo_id, CreditMemoRefundReserved(refund_id, command.amount, lines))
    elif asked.source == "UNAPPLIED":
        draft.record(Payment, payment_id or "", RefundReservedOnPayment(refund_id, command.amount))


def _group_of(draft: Draft, command: IssueRefund | IssueUnreferencedRefund) -> str | None:
    if isinstance(command, IssueUnreferencedRefund):
        return command.payment_group_id
    return draft.get(Payment, command.payment_id).payment_group_id


def _check_refundable(source: Payment, command: IssueRefund) -> None:
    what = f"payment {source.number}"
    refundable, unapplied = (
        Money(source.refundable, source.currency),
        Money(source.unapplied, source.currency),
    )
    if command.amount.amount_minor > source.refundable:
        raise exceeded("REFUND_EXCEEDS_REFUNDABLE", command.amount, refundable, what)
    if command.source == "UNAPPLIED" and command.amount.amount_minor > source.unapplied:
        raise exceeded("REFUND_EXCEEDS_UNAPPLIED", command.amount, unapplied, what)


def _unreferenced_needs(states: States, command: IssueUnreferencedRefund, context: Context) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)
    if command.refund_id:
        yield Need(Refund, command.refund_id)
    yield from payment_group.needed(command.payment_group_id, None)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    memo, owner = states.find(CreditMemo, command.credit_memo_id), states.find(Account, context.account_id)
    yield from requesting.payout_needs(states, command.payment_method_id, memo, owner)


def issue_unreferenced(states: States, command: IssueUnreferencedRefund, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    guards.check_memo_known(memo, command.credit_memo_id, context)
    _check_new(states, command.refund_id)
    payment_group.joined(states, command.payment_group_id, None, context)
    guards.check_memo_free(memo)
    _check_amount(command.amount, memo.currency)
    guards.check_memo_balance(memo, command.amount)
    if command.memo_line_id:
        _check_memo_line(memo, command.memo_line_id, command.amount)
    owner = states.get(Account, context.account_id)
    method = requesting.check_payout(
        states, requesting.payout_method(command.payment_method_id, memo, owner), command.amount, context
    )
    settings = tenant_settings.of(states, context)
    payout_limits.check(owner, command.amount, settings, context)
    draft, refund_id = Draft(states, requesting.EVOLVE), command.refund_id or context.new_id("refund")
    draft.record(CreditMemo, command.credit_memo_id, CreditMemoLocked(f"refund:{refund_id}"))
    draft.extend(payout_limits.counted(refund_id, command.amount, settings, context))
    threshold = tenant_settings.threshold_below(states, command.amount, context)
    if threshold is None and settings["unreferenced_refund_approval"]:
        threshold = Money(0, command.amount.currency)
    if threshold is not None:
        _ask(draft, command, refund_id, threshold, context)
        return draft.changes
    requesting.request_unreferenced(
        draft,
        memo,
        method,
        refund_id,
        command.amount,
        command.reason,
        context,
        lines=_lines(memo, command),
        notes=command.notes,
        payment_group_id=command.payment_group_id,
        new=not command.refund_id,
    )
    return draft.changes


def _lines(memo: CreditMemo, command: IssueRefund | IssueUnreferencedRefund) -> tuple[LineAmount, ...]:
    """The line that is named, or the largest open ones."""
    if isinstance(command, IssueUnreferencedRefund) and command.memo_line_id:
        return (LineAmount(command.memo_line_id, command.amount),)
    return requesting.largest_first(memo, command.amount)


def _check_memo_line(memo: CreditMemo, line_id: str, amount: Money) -> None:
    line = memo.lines.get(line_id)
    if line is None:
        raise not_found("INVOICE_LINE", line_id)
    if amount.amount_minor > line.balance:
        available = Money(line.balance, memo.currency)
        raise exceeded("CREDIT_BALANCE_EXCEEDED", amount, available, f"line {line_id}")


def _external_needs(states: States, command: RecordExternalRefund, context: Context) -> Needs:
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    if command.credit_memo_id:
        yield Need(CreditMemo, command.credit_memo_id)
    if command.refund_id:
        yield Need(Refund, command.refund_id)
    yield from payment_group.needed(command.payment_group_id, None)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    yield from periods.needed(_entity(states, command), command.paid_on, context)


def _entity(states: States, command: RecordExternalRefund) -> str | None:
    """In whose books what is given back was."""
    payment = states.find(Payment, command.payment_id) if command.payment_id else None
    memo = states.find(CreditMemo, command.credit_memo_id) if command.credit_memo_id else None
    source = payment or memo
    return source.legal_entity_id if source else None


def record_external(states: States, command: RecordExternalRefund, context: Context) -> Changes:
    account.of(states, context)
    _check_new(states, command.refund_id)
    payment_group.joined(states, command.payment_group_id, None, context)
    if command.payment_id and command.credit_memo_id:
        raise Rejected("MALFORMED_REQUEST", "name a payment or a credit memo", field="data.payment_id")
    if not command.reference.strip():
        raise Rejected("MALFORMED_REQUEST", "a refund outside needs a reference", field="data.reference")
    if command.amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a refund must be above 0", field="data.amount")
    deciding_alone.check(states, command.amount, context)
    periods.check_open(states, _entity(states, command), command.paid_on, context)
    refund_id = command.refund_id or context.new_id("refund")
    draft = Draft(states, requesting.EVOLVE)
    if command.payment_id:
        take_from_payment(draft, command.payment_id, refund_id, command.amount, context)
    if command.credit_memo_id:
        take_from_memo(draft, command.credit_memo_id, refund_id, command.amount, context)
    recorded = ExternalRefundRecorded(
        refund_id,
        context.number("REF"),
        context.account_id,
        command.amount,
        command.instrument,
        command.reference,
        command.paid_on,
        command.reason,
        command.payment_id,
        command.credit_memo_id,
        corporate=rates.snapshot(states, command.amount, command.paid_on, context),
        payment_group_id=_external_group(draft, command),
    )
    draft.record(Refund, refund_id, recorded, new=not command.refund_id)
    if command.payment_id or command.credit_memo_id:
        kind, id = ("payment", command.payment_id) if command.payment_id else ("cm", command.credit_memo_id)
        draft.record(Refund, refund_id, RefundApplied(kind, id or "", command.amount))
    return draft.changes


def _external_group(draft: Draft, command: RecordExternalRefund) -> str | None:
    source = draft.get(Payment, command.payment_id) if command.payment_id else None
    return command.payment_group_id or (source.payment_group_id if source else None)


def take_from_payment(draft: Draft, payment_id: str, refund_id: str, amount: Money, context: Context) -> None:
    source = draft.get(Payment, payment_id)
    guards.check_payment(source, payment_id, context)
    check_source(source)
    _check_amount(amount, source.currency)
    if amount.amount_minor > source.unapplied:
        available = Money(source.unapplied, source.currency)
        raise exceeded("REFUND_EXCEEDS_UNAPPLIED", amount, available, f"payment {source.number}")
    draft.record(Payment, payment_id, RefundAppliedToPayment(refund_id, amount, reserved=False))


def take_from_memo(draft: Draft, memo_id: str, refund_id: str, amount: Money, context: Context) -> None:
    memo = draft.get(CreditMemo, memo_id)
    guards.check_memo(memo, memo_id, context)
    _check_amount(amount, memo.currency)
    guards.check_memo_balance(memo, amount)
    lines = requesting.largest_first(memo, amount)
    draft.record(CreditMemo, memo_id, RefundAppliedToCreditMemo(refund_id, amount, lines, reserved=False))


RULES = (
    Rule(IssueRefund, _issue_needs, issue),
    Rule(IssueUnreferencedRefund, _unreferenced_needs, issue_unreferenced),
    Rule(RecordExternalRefund, _external_needs, record_external),
)
