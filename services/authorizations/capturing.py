"""Capturing: some or all of what is held is taken.

A capture is a payment of its own, in flight on the authorization until its outcome is known.
"""

from __future__ import annotations

from events.authorization import (
    AuthorizationCaptureRequested,
)
from events.money import Money
from events.payment import PaymentEnhancedDataReduced, PaymentRequested
from services.accounts import account
from services.accounts.account import Account
from services.authorizations.authorization import Authorization
from services.authorizations.guards import check_amount, meant_for, usable
from services.calls import calling
from services.calls.accompanying import PurchaseDetail
from services.calls.calling import GatewayCall
from services.calls.gateway import Gateway, check_accepts
from services.commands import Amount, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, exceeded
from services.invoices.invoice import Invoice
from services.payments import asking, enhancing
from services.payments import payment as payments
from services.payments.asking import ApplyTo
from services.payments.enhancing import Purchase
from services.payments.payment import Payment


@command("payments.authorization.capture.v1")
class CapturePayment:
    """Take some or all of what is held; `final` lets the rest go at the gateway."""

    authorization_id: Id
    amount: Amount
    """How much is taken: no more than is held, unless the gateway allows an over-capture."""
    payment_id: Id | None = None
    """An id of the caller's own for the payment; without it, one is made."""
    final: bool = False
    apply_to: tuple[Id, ...] = ()
    """Invoices that the money is for, in turn; without any, those that the authorization is held for."""
    enhanced_data: PurchaseDetail | None = None
    """What is said of the purchase to corporate cards (Level 2 data); without it, what was said when it was
    authorized."""


def _capture_needs(states: States, command: CapturePayment, context: Context) -> Needs:
    yield Need(Authorization, command.authorization_id)
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    yield account.needed(context)
    auth = states.find(Authorization, command.authorization_id)
    if auth and auth.gateway_id:
        yield Need(Gateway, auth.gateway_id)
    if auth and auth.operation_key:
        yield Need(GatewayCall, auth.operation_key)
    invoice_ids = command.apply_to or (auth.invoice_ids if auth else ())
    for invoice_id in invoice_ids[:1]:
        yield Need(Invoice, invoice_id)
    yield from enhancing.needed(states, invoice_ids, context)


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
    invoice_ids = command.apply_to or auth.invoice_ids
    begun_for = invoice_ids[0] if invoice_ids else auth.initiation_source_id
    assert auth.method is not None
    targets, detail = meant_for(invoice_ids), _detail(states, auth, command)
    purchase = Purchase(command.amount, auth.method.type, number, targets, detail=detail)
    enhanced = enhancing.enhanced(states, purchase, states.get(Gateway, auth.gateway_id), context)
    if auth.data_refused and not command.apply_to and command.enhanced_data is None:
        enhanced = enhancing.withheld(enhanced)  # they are those of the hold
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
        enhanced=enhanced.sent,
    )
    requested = PaymentRequested(
        payment_id=payment_id,
        number=number,
        type="CAPTURE",
        account_id=context.account_id,
        amount=command.amount,
        gateway_id=auth.gateway_id,
        method=auth.method,
        initiation=auth.initiation or "AD_HOC",
        attempt_no=1,
        gateway_idempotency_key=key,
        requested_at=context.now,
        intended_applications=targets,
        authorization_id=auth.authorization_id,
        payment_group_id=auth.payment_group_id,
        legal_entity_id=asking.entity_of(states, [ApplyTo(id) for id in invoice_ids], context),
        initiation_source_id=begun_for,
        level_requested=enhanced.level,
    )
    in_flight = AuthorizationCaptureRequested(payment_id, command.amount, command.final)
    changes = [
        Change(Authorization, auth.authorization_id, in_flight),
        Change(Payment, payment_id, requested, new=command.payment_id is None),
    ]
    if enhanced.reduced:
        changes.append(Change(Payment, payment_id, PaymentEnhancedDataReduced(*enhanced.reduced)))
    return [*changes, planned]


def _detail(states: States, auth: Authorization, command: CapturePayment) -> PurchaseDetail | None:
    """What is said of the purchase now, else what was said, and sent, when it was authorized."""
    held = states.get(GatewayCall, auth.operation_key).planned if auth.operation_key else None
    if command.enhanced_data or held is None or held.enhanced is None:
        return command.enhanced_data
    told = held.enhanced
    own_number, erased = told.reference_id == auth.number, states.get(Account, auth.account_id).erased
    return PurchaseDetail(
        customer_code=told.customer_code,
        reference_id=None if own_number else told.reference_id,
        ship_from_postal_code=told.ship_from_postal_code,
        ship_to_postal_code=None if erased else told.ship_to_postal_code,
        ship_to_country=told.ship_to_country,
    )


RULES = (Rule(CapturePayment, _capture_needs, capture),)
