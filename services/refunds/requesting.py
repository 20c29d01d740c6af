"""Requesting refunds: an amount is reserved on its source, and its way back is planned.

Invariant: reservation, refund and gateway call are recorded in one decision.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from events.credit_memo import CreditMemoRefundReserved, LineAmount
from events.money import Money
from events.payment import RefundReservedOnPayment
from events.refund import RefundRequested
from services.accounts import account, payment_method
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.calls import calling
from services.calls.calling import GatewayCall
from services.calls.gateway import Gateway, check_accepts
from services.credits import credit_memo
from services.credits.credit_memo import CreditMemo
from services.decision import Context, Draft, Need, Needs, States
from services.disputes import dispute as disputes
from services.disputes.dispute import Dispute
from services.errors import Rejected
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.orchestrations import orchestration as orchestrations
from services.orchestrations.orchestration import RefundOrchestration
from services.payments import payment
from services.payments.payment import Payment
from services.refunds import refund as refunds
from services.refunds.refund import Refund

EVOLVE = {
    Payment: payment.evolve,
    Invoice: invoices.evolve,
    CreditMemo: credit_memo.evolve,
    Refund: refunds.evolve,
    RefundOrchestration: orchestrations.evolve,
    GatewayCall: calling.evolve,
    Dispute: disputes.evolve,
}


def check_refundable_there(gateway: Gateway, source: Payment, now: datetime) -> None:
    """Whether the gateway would know what is to be refunded, and still take it.

    Raises `PAYMENT_NOT_GATEWAY_LINKED` where only others told of the payment, without the gateway's
    reference of it, and `REFUND_WINDOW_EXPIRED` when the payment is too old.
    """
    if source.gateway_ref is None:
        raise Rejected("PAYMENT_NOT_GATEWAY_LINKED", "the gateway's reference of the payment is not known")
    days = (gateway.capabilities.refund_window_days or {}).get(source.method.type if source.method else "")
    taken = source.gateway_date
    if days is not None and taken is not None and now > taken + timedelta(days=days):
        raise Rejected("REFUND_WINDOW_EXPIRED", f"the gateway refunds only within {days} days")


def request(
    draft: Draft,
    source: Payment,
    refund_id: str,
    amount: Money,
    reason: str,
    context: Context,
    *,
    attempt_no: int = 1,
    origin: str | None = None,
    orchestration_id: str | None = None,
    leg_no: int | None = None,
    notes: str | None = None,
    new: bool = True,
    approved: Refund | None = None,
) -> None:
    """Reserve an amount on a payment, and plan its way back to the payment's own instrument.

    One that was `approved` has its number, and what it shall take is free by now.
    """
    assert source.method is not None
    assert source.gateway_id is not None
    number = approved.number if approved else context.number("REF")
    key, planned = calling.plan(
        context,
        origin=origin or refund_id,
        operation="REFUND",
        attempt_no=attempt_no,
        target_kind="refund",
        target_id=refund_id,
        gateway_id=source.gateway_id,
        amount=amount,
        merchant_reference=number,
        method=source.method,
        payment_ref=source.gateway_ref,
        original_amount=Money(source.amount, source.currency),
        already_refunded=Money(source.refunded, source.currency),
    )
    reserved = RefundReservedOnPayment(refund_id, amount, orchestration_id, leg_no)
    draft.record(Payment, source.payment_id, reserved)
    requested = RefundRequested(
        refund_id=refund_id,
        number=number,
        type="REFERENCED",
        account_id=context.account_id,
        amount=amount,
        reason_code=reason,
        gateway_id=source.gateway_id,
        method=source.method,
        attempt_no=attempt_no,
        gateway_idempotency_key=key,
        requested_at=context.now,
        payment_id=source.payment_id,
        orchestration_id=orchestration_id,
        leg_no=leg_no,
        requested_by=approved.requested_by if approved else context.actor.id,
        notes=notes,
        payment_group_id=source.payment_group_id,
    )
    draft.record(Refund, refund_id, requested, new)
    draft.record(*planned)


def payout_needs(
    states: States, method_id: str | None, memo: CreditMemo | None, owner: Account | None
) -> Needs:
    """The method that a memo is paid out to, and its gateway."""
    id = payout_method(method_id, memo, owner)
    if id:
        yield Need(SavedMethod, id)
        method = states.find(SavedMethod, id)
        if method and method.gateway_id:
            yield Need(Gateway, method.gateway_id)


def payout_method(method_id: str | None, memo: CreditMemo | None, owner: Account | None) -> str | None:
    """The request's, then the one stamped on the memo, then the billing account's."""
    return (
        method_id
        or (memo.saved_payment_method_id if memo else None)
        or (account.method_for(owner, memo.billing_profile_id if memo else None) if owner else None)
    )


def check_payout(states: States, method_id: str | None, amount: Money, context: Context) -> SavedMethod:
    """The method to pay out to.  Raises `NO_REFUND_METHOD` and what `check_usable` and the gateway say."""
    if method_id is None:
        raise Rejected("NO_REFUND_METHOD", "there is no method to pay out to")
    method = states.get(SavedMethod, method_id)
    payment_method.check_usable(method, method_id, context)
    gateway = states.get(Gateway, method.gateway_id)
    check_accepts(gateway, method.gateway_id, "UNREFERENCED_REFUND", amount, method.type)
    return method


def request_unreferenced(
    draft: Draft,
    memo: CreditMemo,
    method: SavedMethod,
    refund_id: str,
    amount: Money,
    reason: str,
    context: Context,
    *,
    attempt_no: int = 1,
    origin: str | None = None,
    orchestration_id: str | None = None,
    leg_no: int | None = None,
    lines: tuple[LineAmount, ...] | None = None,
    notes: str | None = None,
    payment_group_id: str | None = None,
    new: bool = True,
    approved: Refund | None = None,
) -> None:
    """Reserve an amount on a credit memo, on the largest open lines if none are named, and pay it out."""
    number = approved.number if approved else context.number("REF")
    snapshot = payment_method.snapshot(method)
    key, planned = calling.plan(
        context,
        origin=origin or refund_id,
        operation="UNREFERENCED_REFUND",
        attempt_no=attempt_no,
        target_kind="refund",
        target_id=refund_id,
        gateway_id=method.gateway_id,
        amount=amount,
        merchant_reference=number,
        method=snapshot,
    )
    lines = lines or largest_first(memo, amount)
    reserved = CreditMemoRefundReserved(refund_id, amount, lines, orchestration_id, leg_no)
    draft.record(CreditMemo, memo.credit_memo_id, reserved)
    requested = RefundRequested(
        refund_id=refund_id,
        number=number,
        type="UNREFERENCED",
        account_id=context.account_id,
        amount=amount,
        reason_code=reason,
        gateway_id=method.gateway_id,
        method=snapshot,
        attempt_no=attempt_no,
        gateway_idempotency_key=key,
        requested_at=context.now,
        credit_memo_id=memo.credit_memo_id,
        orchestration_id=orchestration_id,
        leg_no=leg_no,
        requested_by=approved.requested_by if approved else context.actor.id,
        notes=approved.notes if approved else notes,
        payment_group_id=approved.payment_group_id if approved else payment_group_id,
    )
    draft.record(Refund, refund_id, requested, new)
    draft.record(*planned)


def reserved_on_memo(
    memo: CreditMemo, refund_id: str, amount: Money, orchestration_id: str | None, leg_no: int | None
) -> CreditMemoRefundReserved:
    """A reservation on a memo's lines, largest open line first."""
    return CreditMemoRefundReserved(refund_id, amount, largest_first(memo, amount), orchestration_id, leg_no)


def largest_first(memo: CreditMemo, amount: Money) -> tuple[LineAmount, ...]:
    left, taken = amount.amount_minor, list[LineAmount]()
    for line in sorted(memo.lines.values(), key=lambda line: (-line.balance, line.position)):
        part = min(line.balance, left)
        if part > 0:
            left -= part
            taken.append(LineAmount(line.line.line_id, Money(part, amount.currency)))
    assert left == 0, "the memo's lines hold its balance"
    return tuple(taken)
