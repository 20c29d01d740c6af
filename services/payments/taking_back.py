"""Taking a payment back: voided at its gateway, or one from outside that was recorded by mistake."""

from __future__ import annotations

from events.money import Money
from events.payment import (
    PaymentCanceled,
    PaymentCancellationFailed,
    PaymentCancellationRequested,
)
from services.applications import guards
from services.calls import calling
from services.calls.calling import Settled
from services.calls.gateway import Gateway
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.payments.payment import Payment
from services.schedules import outcomes
from services.tenants import exceptions, rates, tenant_settings


@command("payments.payment.cancel.v1")
class CancelPayment:
    """Void a payment at its gateway, or take back an external one that was recorded by mistake."""

    payment_id: Id
    reason: FreeText | None = None


def _cancel_needs(states: States, command: CancelPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    payment = states.find(Payment, command.payment_id)
    if payment and payment.gateway_id:
        yield Need(Gateway, payment.gateway_id)


def cancel(states: States, command: CancelPayment, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if payment.status != "PROCESSED":
        raise invalid_state("payment", payment.status, ["PROCESSED"])
    if payment.type == "TRANSFER":
        raise Rejected("PAYMENT_NOT_VOIDABLE", "it is another account's money: transfer it back")
    if payment.cancellation_key is not None:
        raise Rejected("OPERATION_IN_FLIGHT", "the payment is being canceled")
    if payment.disputes:
        raise Rejected("PAYMENT_DISPUTED", "the payment is disputed: wait for its end")
    if payment.unapplied != payment.received:
        raise Rejected("PAYMENT_HAS_SETTLEMENTS", "unapply it first; what was refunded cannot be canceled")
    amount = Money(payment.amount, payment.currency)
    if payment.gateway_id is None:
        return [_canceled(states, payment, command.reason, context)]
    gateway = states.get(Gateway, payment.gateway_id)
    if "VOID" not in gateway.capabilities.operations:
        raise Rejected("PAYMENT_NOT_VOIDABLE", "its gateway knows no void: refund it")
    if payment.settled:
        raise Rejected("PAYMENT_NOT_VOIDABLE", "its gateway has paid it out: refund it")
    if payment.gateway_ref is None:
        raise Rejected("PAYMENT_NOT_VOIDABLE", "the gateway's reference of the payment is not known")
    return _void(payment, amount, command.reason, context)


def _void(payment: Payment, amount: Money, reason: str | None, context: Context) -> Changes:
    attempt = payment.cancellation_attempts + 1
    key, planned = calling.plan(
        context,
        origin=payment.payment_id,
        operation="VOID",
        attempt_no=attempt,
        target_kind="payment",
        target_id=payment.payment_id,
        gateway_id=payment.gateway_id,
        amount=amount,
        merchant_reference=payment.number,
        method=payment.method,
        payment_ref=payment.gateway_ref,
    )
    return [Change(Payment, payment.payment_id, PaymentCancellationRequested(attempt, key, reason)), planned]


def voided(states: States, payment: Payment, settled: Settled, context: Context) -> Changes:
    """Nothing could touch the money while the void was in flight, so all of it is gone now."""
    outcome, id = settled.outcome, payment.payment_id
    amount = Money(payment.amount, payment.currency)
    match settled.verdict:
        case "PROCESSED":
            canceled = _canceled(states, payment, outcome.raw_message, context)
            return [canceled, *outcomes.canceled(states, payment, context)]
        case "FAILED":
            failed = PaymentCancellationFailed(outcome.result_code, outcome.raw_code, outcome.raw_message)
            return [Change(Payment, id, failed)]
        case "LATE_SUCCESS":
            message = "its void had been taken for failed, and was carried out after all"
            return [exceptions.raised(context, "LATE_SUCCESS", "payment", id, message, amount)]
        case _:
            return []


def _canceled(states: States, payment: Payment, reason: str | None, context: Context) -> Change:
    amount = Money(payment.amount, payment.currency)
    worth = rates.snapshot(states, amount, context.now, context)
    return Change(Payment, payment.payment_id, PaymentCanceled(amount, reason, worth))


RULES = (Rule(CancelPayment, _cancel_needs, cancel),)
