"""Lining refunds: money that was given back outside, and is only now said of what.

Invariant: a refund is lined with no more than it gave back, and takes only what is free.
"""

from __future__ import annotations

from events.money import Money
from events.refund import RefundApplied
from services.commands import Amount, Id, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state, not_found
from services.payments.payment import Payment
from services.refunds import requesting
from services.refunds.refund import Refund
from services.refunds.refunding import take_from_memo, take_from_payment


@command("payments.refund.apply.v1")
class ApplyRefund:
    """Say what an external refund gave back: a payment's unapplied money, or a credit memo's balance."""

    refund_id: Id
    amount: Amount
    """How much of the refund: no more than is not said of it yet."""
    payment_id: Id | None = None
    """The payment whose unapplied money it gave back; either this or `credit_memo_id`."""
    credit_memo_id: Id | None = None
    """The credit memo whose balance it paid out."""


def _needs(states: States, command: ApplyRefund, context: Context) -> Needs:
    yield Need(Refund, command.refund_id)
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    if command.credit_memo_id:
        yield Need(CreditMemo, command.credit_memo_id)


def apply(states: States, command: ApplyRefund, context: Context) -> Changes:
    refund = states.get(Refund, command.refund_id)
    if not refund.status:
        raise not_found("REFUND", command.refund_id)
    if refund.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the refund {command.refund_id} belongs to another account")
    if refund.status != "PROCESSED":
        raise invalid_state("refund", refund.status, ["PROCESSED"])
    if bool(command.payment_id) == bool(command.credit_memo_id):
        raise Rejected("MALFORMED_REQUEST", "name a payment or a credit memo", field="data.payment_id")
    if command.amount.currency != refund.currency:
        raise currency_mismatch(refund.currency, command.amount.currency, "the refund")
    if command.amount.amount_minor > refund.balance:
        available = Money(refund.balance, refund.currency)
        raise exceeded("REFUND_BALANCE_EXCEEDED", command.amount, available, f"refund {refund.number}")
    draft = Draft(states, requesting.EVOLVE)
    if command.payment_id:
        kind, id = "payment", command.payment_id
        take_from_payment(draft, id, command.refund_id, command.amount, context)
    else:
        kind, id = "cm", command.credit_memo_id or ""
        take_from_memo(draft, id, command.refund_id, command.amount, context)
    draft.record(Refund, command.refund_id, RefundApplied(kind, id, command.amount))
    return draft.changes


RULES = (Rule(ApplyRefund, _needs, apply),)
