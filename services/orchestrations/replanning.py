"""Re-planning: what becomes of legs that are not sent yet when a bank takes their payment's money.

Invariant: no refund is sent of money that a bank has taken or disputes.  The memo stands
on the invoice where that money was, so a plan made anew would put all of it there again: nothing is due
of the leg, and what it has reserved is the bank's, or held until the dispute has ended.
"""

from __future__ import annotations

from events.dispute import DisputeHoldRaised
from events.money import Money
from events.payment import ChargebackHoldRaised
from events.shapes import Outcome
from services.commands import Id, command
from services.decision import Changes, Context, Draft, Rule, States
from services.disputes.dispute import Dispute
from services.orchestrations import legs, refund_sources
from services.orchestrations.orchestration import Leg, RefundOrchestration
from services.payments import returning
from services.payments.payment import Payment
from services.refunds import requesting
from services.refunds.refund import Refund

UNSENT = frozenset({"FAILED", "MANUAL"})
"""States of a leg of which no gateway has, or may have, anything."""


@command("payments.refund_orchestration.replan.v1")
class ReplanRefund:
    """A bank has taken a payment, or disputes it: look at the legs that are not sent.  The process's own."""

    orchestration_id: Id


def replan(states: States, command: ReplanRefund, context: Context) -> Changes:
    ro = refund_sources.orchestration_of(states, command.orchestration_id, context)
    draft = Draft(states, requesting.EVOLVE)
    for leg in ro.legs.values() if ro.open else ():
        if leg.status in UNSENT and is_hit(draft, leg):
            settle(draft, ro, leg, context)
    return draft.changes


def is_hit(draft: Draft, leg: Leg) -> bool:
    if leg.source_kind != "payment":
        return False
    payment = draft.get(Payment, leg.source_id)
    return payment.overdrawn > 0 or bool(payment.disputes)


def settle(draft: Draft, ro: RefundOrchestration, leg: Leg, context: Context) -> bool:
    """Whether the leg cannot be tried again on its payment: the bank has its money, or disputes it."""
    if claim(draft, ro, leg):
        return True
    if leg.source_kind != "payment" or not draft.get(Payment, leg.source_id).disputes:
        return False
    left = draft.get(RefundOrchestration, ro.orchestration_id).legs[leg.no]
    if left.status != "MANUAL":
        refused = Outcome(
            "PermanentFail", category="ValidationFailure", raw_code="PAYMENT_DISPUTED", hard=True
        )
        legs.leg_failed(draft, draft.get(Refund, leg.refund_id), refused, context, retries=False)
    return True


def claim(draft: Draft, ro: RefundOrchestration, leg: Leg) -> bool:
    """Let the bank have what it claims of the leg's money; whether all of the leg is settled by that."""
    if not is_hit(draft, leg):
        return False
    _pay_overdraft(draft, ro, leg)
    _raise_holds(draft, ro, draft.get(RefundOrchestration, ro.orchestration_id).legs[leg.no])
    legs.finish(draft, ro.orchestration_id)
    return draft.get(RefundOrchestration, ro.orchestration_id).legs[leg.no].settled


def _pay_overdraft(draft: Draft, ro: RefundOrchestration, leg: Leg) -> None:
    payment = draft.get(Payment, leg.source_id)
    part = leg.amount if payment.status == "RETURNED" else min(leg.amount, payment.overdrawn)
    if payment.overdrawn and part:
        legs.shrink_reservation(draft, ro, leg, part)
        returning.reduce_overdraft(draft, leg.source_id)
        legs.fell_back(draft, ro, leg, "OVERDRAFT", part, "its bank took the payment back")


def _raise_holds(draft: Draft, ro: RefundOrchestration, leg: Leg) -> None:
    """A dispute that found less than it claims holds this too: if it is lost, the customer has it already."""
    for dispute_id in tuple(draft.get(Payment, leg.source_id).disputes):
        dispute = draft.get(Dispute, dispute_id)
        leg = draft.get(RefundOrchestration, ro.orchestration_id).legs[leg.no]
        part = min(leg.amount, dispute.amount - dispute.held)
        if part <= 0:
            continue
        money = Money(part, ro.currency)
        legs.shrink_reservation(draft, ro, leg, part)
        draft.record(Payment, leg.source_id, ChargebackHoldRaised(dispute_id, money))
        draft.record(Dispute, dispute_id, DisputeHoldRaised(money, ro.orchestration_id, leg.no))
        legs.fell_back(draft, ro, leg, "DISPUTE", part, "held until the dispute of its payment has ended")


RULES = (Rule(ReplanRefund, refund_sources.needs, replan),)
