"""Capturing: some or all of what is held is taken.

A capture is a payment of its own, in flight on the authorization until its outcome is known.
"""

from __future__ import annotations

from events.authorization import (
    AuthorizationCaptureRequested,
)
from events.money import Money
from events.payment import PaymentRequested
from events.shapes import Intended
from services.authorizations.authorization import Authorization
from services.authorizations.guards import check_amount, usable
from services.calls import calling
from services.calls.gateway import Gateway, check_accepts
from services.commands import Amount, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, exceeded
from services.invoices.invoice import Invoice
from services.payments import asking
from services.payments import payment as payments
from services.payments.asking import ApplyTo
from services.payments.payment import Payment


@command("payments.authorization.capture.v1")
class CapturePayment:
    """Take some or all of what is held; `final` lets the rest go at the gateway."""

    authorization_id: Id
    amount: Amount
    payment_id: Id | None = None
    final: bool = False
    apply_to: tuple[Id, ...] = ()
    """Invoices that the money is for, in turn."""


def _capture_needs(states: States, command: CapturePayment, context: Context) -> Needs:
    yield Need(Authorization, command.authorization_id)
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    auth = states.find(Authorization, command.authorization_id)
    if auth and auth.gateway_id:
        yield Need(Gateway, auth.gateway_id)
    for invoice_id in command.apply_to[:1]:
        yield Need(Invoice, invoice_id)


def capture(states: States, command: CapturePayment, context: Context) -> Changes:
    auth = usable(states, command.authorization_id, context)
    payments.check_new(states, command.payment_id)
    gateway = states.get(Gateway, auth.gateway_id)
    if auth.captures and not gateway.capabilities.multi_capture:
        raise Rejected("OPERATION_IN_FLIGHT", "a capture is on its way")
    check_amount(command.amount, auth)
    _check_capturable(command.amount, auth, gateway.capabilities.overcapture_percent)
    check_accepts(gateway, auth.gateway_id, "CAPTURE", command.amount, None)
    if command.amount.amount_minor < auth.balance and not gateway.capabilities.partial_capture:
        raise Rejected(
            "GATEWAY_CAPABILITY_MISSING", "the gateway captures only all of it", operation="partial_capture"
        )
    return _captured(states, auth, command, context)


def _check_capturable(amount: Money, auth: Authorization, tolerance_percent: int) -> None:
    tolerance = auth.amount * tolerance_percent // 100
    most = max(auth.amount + tolerance - auth.captured - auth.reversed - auth.moving, 0)
    if amount.amount_minor > most:
        available = Money(most, auth.currency)
        raise exceeded("CAPTURE_EXCEEDS_AUTHORIZATION", amount, available, f"authorization {auth.number}")


def _captured(states: States, auth: Authorization, command: CapturePayment, context: Context) -> Changes:
    payment_id, number = command.payment_id or context.new_id("payment"), context.number("PAY")
    begun_for = command.apply_to[0] if command.apply_to else None
    key, planned = calling.plan(
        context,
        origin=payment_id,
        operation="CAPTURE",
        attempt_no=1,
        target_kind="payment",
        target_id=payment_id,
        gateway_id=auth.gateway_id,
        amount=command.amount,
        merchant_reference=number,
        method=auth.method,
        authorization_ref=auth.gateway_ref,
        final_capture=command.final,
        initiation_source_id=begun_for,
    )
    assert auth.method is not None
    requested = PaymentRequested(
        payment_id=payment_id,
        number=number,
        type="CAPTURE",
        account_id=context.account_id,
        amount=command.amount,
        gateway_id=auth.gateway_id,
        method=auth.method,
        initiation="AD_HOC",
        attempt_no=1,
        gateway_idempotency_key=key,
        requested_at=context.now,
        intended_applications=tuple(Intended(invoice_id) for invoice_id in command.apply_to),
        authorization_id=auth.authorization_id,
        payment_group_id=auth.payment_group_id,
        legal_entity_id=asking.entity_of(states, [ApplyTo(id) for id in command.apply_to], context),
        initiation_source_id=begun_for,
    )
    in_flight = AuthorizationCaptureRequested(payment_id, command.amount, command.final)
    return [
        Change(Authorization, auth.authorization_id, in_flight),
        Change(Payment, payment_id, requested, new=command.payment_id is None),
        planned,
    ]


RULES = (Rule(CapturePayment, _capture_needs, capture),)
