"""Approving: a refund above the tenant's threshold goes out once a second person has agreed.

Invariant: who asked for it never approves it; what it shall take is checked again when
it is approved, and whatever was held for it is free again when it is not.
"""

from __future__ import annotations

from events.credit_memo import CreditMemoRefundReleased
from events.money import Money
from events.payment import RefundReservationReleased
from events.refund import RefundApproved, RefundCanceled, RefundRejected
from services.accounts import account
from services.accounts.account import Account
from services.applications import freeing, guards
from services.calls.gateway import Gateway
from services.commands import FreeText, Id, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, exceeded, invalid_state, not_found
from services.payments.payment import Payment
from services.refunds import refund_outcomes, refunding, requesting
from services.refunds.refund import Refund


@command("payments.refund.approve.v1")
class ApproveRefund:
    """Agree to a refund that somebody else has asked for."""

    refund_id: Id


@command("payments.refund.reject.v1")
class RejectRefund:
    """Refuse a refund that awaits approval: its money is free again."""

    refund_id: Id
    reason: FreeText


@command("payments.refund.cancel.v1")
class CancelRefund:
    """Take back a refund that still awaits its approval."""

    refund_id: Id
    reason: FreeText | None = None


def _needs(states: States, command: ApproveRefund | RejectRefund | CancelRefund, context: Context) -> Needs:
    yield Need(Refund, command.refund_id)
    yield account.needed(context)
    refund = states.find(Refund, command.refund_id)
    if refund and refund.payment_id:
        yield from freeing.needed(states, refund.payment_id, context)
        payment = states.find(Payment, refund.payment_id)
        if payment and payment.gateway_id:
            yield Need(Gateway, payment.gateway_id)
    if refund and refund.credit_memo_id:
        yield Need(CreditMemo, refund.credit_memo_id)
        memo, owner = states.find(CreditMemo, refund.credit_memo_id), states.find(Account, context.account_id)
        yield from requesting.payout_needs(states, refund.payment_method_id, memo, owner)


def _awaiting(states: States, refund_id: str, context: Context) -> Refund:
    refund = states.get(Refund, refund_id)
    if not refund.status:
        raise not_found("REFUND", refund_id)
    if refund.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", "the refund belongs to another account")
    if not refund.awaits_approval:
        raise invalid_state("refund", refund.status, ["AWAITING_APPROVAL"])
    return refund


def approve(states: States, command: ApproveRefund, context: Context) -> Changes:
    refund = _awaiting(states, command.refund_id, context)
    if refund.requested_by == context.actor.id:
        raise Rejected("SELF_APPROVAL_FORBIDDEN", f"{context.actor.id} asked for it: somebody else approves")
    draft = Draft(states, requesting.EVOLVE)
    draft.record(Refund, command.refund_id, RefundApproved(context.actor.id))
    if refund.credit_memo_id:
        _pay_out(draft, states, refund, refund.credit_memo_id, context)
    else:
        _send_back(draft, states, refund, refund.payment_id or "", context)
    return draft.changes


def _send_back(draft: Draft, states: States, refund: Refund, payment_id: str, context: Context) -> None:
    amount, source = Money(refund.amount, refund.currency), states.get(Payment, payment_id)
    guards.check_payment(source, payment_id, context)
    refunding.check_source(source)
    refunding.check_gateway(states, source, amount, context)
    if refund.source == "UNAPPLIED":
        draft.record(Payment, payment_id, RefundReservationReleased(refund.refund_id, amount))
    elif amount.amount_minor > source.refundable:
        available = Money(source.refundable, source.currency)
        raise exceeded("REFUND_EXCEEDS_REFUNDABLE", amount, available, f"payment {source.number}")
    else:
        refunding.reopen(draft, payment_id, amount, context)
    requesting.request(
        draft,
        draft.get(Payment, payment_id),
        refund.refund_id,
        amount,
        refund.reason_code,
        context,
        notes=refund.notes,
        new=False,
        approved=refund,
    )


def _pay_out(draft: Draft, states: States, refund: Refund, memo_id: str, context: Context) -> None:
    amount, memo = Money(refund.amount, refund.currency), states.get(CreditMemo, memo_id)
    owner = states.get(Account, context.account_id)
    id = requesting.payout_method(refund.payment_method_id, memo, owner)
    method = requesting.check_payout(states, id, amount, context)
    lines = memo.reservations[refund.refund_id]
    draft.record(CreditMemo, memo_id, CreditMemoRefundReleased(refund.refund_id, amount, lines))
    requesting.request_unreferenced(
        draft,
        draft.get(CreditMemo, memo_id),
        method,
        refund.refund_id,
        amount,
        refund.reason_code,
        context,
        lines=lines,
        new=False,
        approved=refund,
    )


def reject(states: States, command: RejectRefund, context: Context) -> Changes:
    refund = _awaiting(states, command.refund_id, context)
    draft = Draft(states, requesting.EVOLVE)
    draft.record(Refund, command.refund_id, RefundRejected(context.actor.id, command.reason))
    _let_go(draft, refund)
    return draft.changes


def cancel(states: States, command: CancelRefund, context: Context) -> Changes:
    refund = _awaiting(states, command.refund_id, context)
    draft = Draft(states, requesting.EVOLVE)
    draft.record(Refund, command.refund_id, RefundCanceled(command.reason))
    _let_go(draft, refund)
    return draft.changes


def _let_go(draft: Draft, refund: Refund) -> None:
    if refund.source != "REOPEN_INVOICES":  # nothing was taken off the invoices yet
        refund_outcomes.release(draft, refund)


RULES = (
    Rule(ApproveRefund, _needs, approve),
    Rule(RejectRefund, _needs, reject),
    Rule(CancelRefund, _needs, cancel),
)
