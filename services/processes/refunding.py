"""Refunding: what an orchestration does next.

requested ------------------------------> execute the plan
waiting, and a payment became known ----> execute the plan
waiting behind another, and that ended -> execute the plan
a bank took, or disputes, a payment ----> look at its legs that are not sent
waiting for the invoice, and it is free -> execute the plan
leg failed, softly ---------------------> retry the leg, when it is due
no plan could be made ------------------> execute the plan again, later each time
leg failed for good, or only partly placed -> the next fallback
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from events.invoice import InvoiceUnlocked
from events.orchestration import (
    RefundLegFailed,
    RefundLegFellBack,
    RefundOrchestrationCanceled,
    RefundOrchestrationCompleted,
    RefundOrchestrationFailed,
    RefundOrchestrationRequested,
)
from events.payment import (
    ChargebackLost,
    ChargebackOpened,
    PaymentCanceled,
    PaymentFailed,
    PaymentProcessed,
    PaymentReturned,
)
from services.decision import Documents, Need, Needs, States
from services.orchestrations.falling_back import ChooseRefundFallback, RetryRefundLeg
from services.orchestrations.legs import RETRY_AFTER
from services.orchestrations.orchestrating import ExecuteRefundPlan
from services.orchestrations.orchestration import RefundOrchestration
from services.orchestrations.replanning import ReplanRefund
from services.payments.payment import Payment
from services.processes.process import Process, Send, Trigger
from services.tenants.tenant_settings import TenantSettings

_WAKING = (
    PaymentProcessed,
    PaymentFailed,
    PaymentCanceled,
    RefundOrchestrationCompleted,
    RefundOrchestrationCanceled,
    InvoiceUnlocked,
)
_OF_A_LEG = (RefundLegFailed, RefundLegFellBack)
_BANKS = (PaymentReturned, ChargebackOpened, ChargebackLost)


def needs(states: States, trigger: Trigger) -> Needs:
    if isinstance(trigger.fact, (*_WAKING, *_BANKS)):
        yield Documents(trigger.account_id)
        for id in states.find_documents(trigger.account_id, RefundOrchestration):
            yield Need(RefundOrchestration, id)
    elif isinstance(trigger.fact, RefundOrchestrationFailed):
        yield Need(RefundOrchestration, trigger.stream_id)
    elif isinstance(trigger.fact, _OF_A_LEG):
        yield Need(RefundOrchestration, trigger.stream_id)
        yield Need(TenantSettings, trigger.tenant)
        yield from _its_payment(states, trigger)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    fact = trigger.fact
    match fact:
        case RefundOrchestrationRequested():
            return [_plan(trigger, fact.orchestration_id, 1)]
        case RefundOrchestrationFailed():
            return _plan_again(states, trigger)
        case RefundLegFailed(retry_at=None):
            return _next_option(states, trigger, fact.leg_no)
        case RefundLegFailed():
            return list(_again(states, trigger))
        case RefundLegFellBack():
            return _next_option(states, trigger, fact.leg_no) if fact.remaining.amount_minor else []
        case PaymentReturned() | ChargebackOpened() | ChargebackLost():
            return list(_replans(states, trigger))
        case _:
            return list(_wake(states, trigger))


def _again(states: States, trigger: Trigger) -> Iterable[Send]:
    """A leg is tried again in its time; one that is hit is planned anew at once, unless that has passed."""
    fact = trigger.fact
    if _is_hit(states, trigger):
        yield _replan(trigger, trigger.stream_id)
    key = f"refunding:{trigger.stream_id}:retry-{fact.leg_no}:{fact.attempt_no + 1}"
    yield Send(RetryRefundLeg(trigger.stream_id, fact.leg_no), trigger.account_id, key, fact.retry_at)


def _its_payment(states: States, trigger: Trigger) -> Needs:
    ro = states.find(RefundOrchestration, trigger.stream_id)
    leg = ro.legs.get(trigger.fact.leg_no) if ro else None
    if leg and leg.source_kind == "payment":
        yield Need(Payment, leg.source_id)


def _is_hit(states: States, trigger: Trigger) -> bool:
    """Whether a bank has taken the payment of a leg back, or disputes it: then it waits for nothing."""
    leg = states.get(RefundOrchestration, trigger.stream_id).legs[trigger.fact.leg_no]
    if leg.source_kind != "payment":
        return False
    payment = states.get(Payment, leg.source_id)
    return payment.overdrawn > 0 or bool(payment.disputes)


def _replans(states: States, trigger: Trigger) -> Iterable[Send]:
    for id in states.documents(trigger.account_id, RefundOrchestration):
        legs = states.get(RefundOrchestration, id).legs.values()
        if any((leg.source_kind, leg.source_id) == ("payment", trigger.stream_id) for leg in legs):
            yield _replan(trigger, id)


def _replan(trigger: Trigger, orchestration_id: str) -> Send:
    key = f"refunding:{orchestration_id}:replan-{trigger.stream_id}:{trigger.version}"
    return Send(ReplanRefund(orchestration_id), trigger.account_id, key)


def _plan(trigger: Trigger, orchestration_id: str, attempt: int) -> Send:
    key = f"refunding:{orchestration_id}:plan:{attempt}"
    return Send(ExecuteRefundPlan(orchestration_id), trigger.account_id, key)


def _plan_again(states: States, trigger: Trigger) -> Iterable[Send]:
    """What could not be planned may be possible later: its original invoice may still be on its way."""
    ro = states.get(RefundOrchestration, trigger.stream_id)
    if trigger.fact.attempt < ro.attempt or not 0 < ro.failures <= len(RETRY_AFTER):
        return
    again = _plan(trigger, ro.orchestration_id, ro.attempt + 1)
    yield again._replace(due_at=trigger.occurred_at + RETRY_AFTER[ro.failures - 1])


def _wake(states: States, trigger: Trigger) -> Iterable[Send]:
    """Every waiting orchestration of the account looks again: whether it may go on is decided there."""
    for id in states.documents(trigger.account_id, RefundOrchestration):
        ro = states.get(RefundOrchestration, id)
        if ro.status == "WAITING_FOR_PAYMENT":
            yield _plan(trigger, id, ro.attempt + 1)


def _next_option(states: States, trigger: Trigger, leg_no: int) -> Iterable[Send]:
    """The first fallback of the tenant's list that this leg has not tried."""
    ro = states.get(RefundOrchestration, trigger.stream_id)
    leg = ro.legs[leg_no]
    options: Sequence[str] = states.get(TenantSettings, trigger.tenant)["refund_failure_fallback"]
    untried = [option for option in options if option != "RETRY" and option not in leg.tried]
    option = untried[0] if untried else "OPEN_CREDIT"
    if leg.status != "FAILED":
        return []
    command = ChooseRefundFallback(trigger.stream_id, leg_no, option)  # type: ignore[arg-type]
    key = f"refunding:{trigger.stream_id}:fallback-{leg_no}-{option}:{leg.attempt_no}-{ro.version}"
    return [Send(command, trigger.account_id, key)]


FACTS = (RefundOrchestrationRequested, RefundOrchestrationFailed, *_OF_A_LEG, *_WAKING, *_BANKS)
PROCESS = Process("refunding", FACTS, needs, react, documents=(RefundOrchestration,))
