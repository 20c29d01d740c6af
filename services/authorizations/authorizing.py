"""Authorizing: money is held at a gateway, or was held already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from events.authorization import (
    AuthorizationEnhancedDataReduced,
    AuthorizationRecorded,
    AuthorizationRequested,
)
from events.shapes import Method
from services.accounts import account, payment_method
from services.accounts.payment_method import SavedMethod
from services.authorizations.authorization import Authorization
from services.authorizations.guards import check_positive, meant_for
from services.calls import calling
from services.calls.accompanying import AdditionalData, Payer, PurchaseDetail, accompanying, remembered
from services.calls.gateway import Gateway, check_accepts
from services.calls.provider import MethodType
from services.commands import Amount, FreeText, Id, Text, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected
from services.payments import asking, enhancing, payment_group
from services.payments.asking import OneTimeMethod
from services.payments.enhancing import Purchase
from services.payments.payment_group import NewGroup
from services.tenants import rates, tenant_settings


@command("payments.authorization.authorize.v1")
class AuthorizePayment:
    """Hold an amount on a saved method, or on a token used once: one of the two is mandatory."""

    amount: Amount
    """How much is held: above 0."""
    gateway_id: Id
    """The gateway that holds it: a saved method's own, unless the method is portable."""
    effective_at: datetime
    """When it takes effect, as the caller sees it; kept with it, and nothing is decided by it."""
    method_id: Id | None = None
    """The saved payment method; either this or `method`."""
    method: OneTimeMethod | None = None
    """A token that is used once; either this or `method_id`."""
    authorization_id: Id | None = None
    """An id of the caller's own for it; without it, one is made."""
    payment_group_id: Id | None = None
    new_payment_group: NewGroup | None = None
    fraud_context: Payer | None = None
    client_context: FreeText | None = None
    """Kept and sent as it is; nothing here reads it."""
    comments: FreeText | None = None
    additional_data: AdditionalData | None = None
    apply_to: tuple[Id, ...] = ()
    """Invoices that it is held for, in turn: captures that name none are applied to them."""
    enhanced_data: PurchaseDetail | None = None
    initiation: Literal["AD_HOC", "PORTAL", "CHECKOUT"] = "AD_HOC"
    """PORTAL and CHECKOUT: its customer is there, and can answer his bank; else the merchant begins it."""
    initiation_source_id: Id | None = None
    """What it is begun for, such as an order: told to the gateway.  Without one: its first invoice."""


@dataclass(frozen=True)
class Obtained:
    """An authorization that exists at the gateway already."""

    amount: Amount
    """How much is held."""
    gateway_id: Id
    type: MethodType
    token_ref: Token
    gateway_ref: Token
    """The gateway's own id of the authorization, by which it is captured and reversed."""
    effective_at: datetime
    """When it took effect: the rate of its worth in the reporting currency is of that day."""
    authorization_id: Id | None = None
    """An id of the caller's own for it; without it, one is made."""
    expires_at: datetime | None = None
    """Until when the gateway holds it; without it, nothing here ends it."""
    gateway_auth_code: Text | None = None
    payment_group_id: Id | None = None


@command("payments.authorization.post_authorize.v1")
class PostAuthorize(Obtained):
    """Record an authorization that a client-side component obtained."""


@command("payments.authorization.record_external.v1")
class RecordExternalAuthorization(Obtained):
    """Record an authorization that was obtained outside Tender."""


def _authorize_needs(states: States, command: AuthorizePayment, context: Context) -> Needs:
    if command.authorization_id:
        yield Need(Authorization, command.authorization_id)
    yield account.needed(context)
    if command.method_id:
        yield Need(SavedMethod, command.method_id)
    yield Need(Gateway, command.gateway_id)
    yield from enhancing.needed(states, command.apply_to, context)
    yield from payment_group.needed(command.payment_group_id, command.new_payment_group)


def authorize(states: States, command: AuthorizePayment, context: Context) -> Changes:
    owner = account.chargeable(states, context)
    _check_new(states, command.authorization_id)
    method = _method(states, command, context)
    check_positive(command.amount)
    gateway = states.get(Gateway, command.gateway_id)
    check_accepts(gateway, command.gateway_id, "AUTHORIZE", command.amount, method.type, context.now)
    groups = payment_group.joined(states, command.payment_group_id, command.new_payment_group, context)
    besides = accompanying(command, owner)
    id, number = command.authorization_id or context.new_id("authorization"), context.number("PA")
    purchase = Purchase(
        command.amount, method.type, number, meant_for(command.apply_to), detail=command.enhanced_data
    )
    enhanced = enhancing.enhanced(states, purchase, gateway, context)
    begun_for = command.initiation_source_id or next(iter(command.apply_to), None)
    key, planned = calling.plan(
        context,
        origin=id,
        operation="AUTHORIZE",
        attempt_no=1,
        target_kind="auth",
        target_id=id,
        gateway_id=command.gateway_id,
        amount=command.amount,
        merchant_reference=number,
        method=method,
        enhanced=enhanced.sent,
        initiation_source_id=begun_for,
        **asking.stored(command.initiation, _is_first(states, command)),
        **besides,
    )
    group_id = (
        command.new_payment_group.payment_group_id if command.new_payment_group else command.payment_group_id
    )
    requested = AuthorizationRequested(
        id,
        number,
        context.account_id,
        command.amount,
        command.gateway_id,
        method,
        1,
        key,
        command.effective_at,
        context.now,
        group_id,
        invoice_ids=command.apply_to,
        level_requested=enhanced.level,
        initiation=command.initiation,
        initiation_source_id=begun_for,
        **remembered(besides),
    )
    changes = [*groups, Change(Authorization, id, requested, new=command.authorization_id is None)]
    if enhanced.reduced:
        changes.append(Change(Authorization, id, AuthorizationEnhancedDataReduced(*enhanced.reduced)))
    return [*changes, planned]


def _is_first(states: States, command: AuthorizePayment) -> bool:
    method_id = command.method_id
    return method_id is not None and payment_method.is_first_use(states.get(SavedMethod, method_id))


def _method(states: States, command: AuthorizePayment, context: Context) -> Method:
    if (command.method_id is None) == (command.method is None):
        raise Rejected(
            "NO_PAYMENT_METHOD", "name a saved method, or one that is used once", field="data.method"
        )
    if command.method is not None:
        return Method(gateway_id=command.gateway_id, **vars(command.method))
    assert command.method_id is not None
    saved = states.get(SavedMethod, command.method_id)
    payment_method.check_chargeable(saved, command.method_id, context)
    payment_method.gateway_for(saved, command.gateway_id)
    return payment_method.snapshot(saved, command.gateway_id)


def _obtained_needs(states: States, command: Obtained, context: Context) -> Needs:
    if command.authorization_id:
        yield Need(Authorization, command.authorization_id)
    yield account.needed(context)
    yield Need(Gateway, command.gateway_id)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    yield from payment_group.needed(command.payment_group_id, None)


def record_obtained(states: States, command: Obtained, context: Context) -> Changes:
    account.of(states, context)
    _check_new(states, command.authorization_id)
    check_positive(command.amount)
    check_accepts(
        states.get(Gateway, command.gateway_id), command.gateway_id, "CAPTURE", command.amount, command.type
    )
    payment_group.joined(states, command.payment_group_id, None, context)
    id = command.authorization_id or context.new_id("authorization")
    recorded = AuthorizationRecorded(
        authorization_id=id,
        number=context.number("PA"),
        account_id=context.account_id,
        amount=command.amount,
        gateway_id=command.gateway_id,
        method=Method(command.type, command.token_ref, command.gateway_id),
        gateway_ref=command.gateway_ref,
        processing_mode="PLATFORM" if isinstance(command, PostAuthorize) else "EXTERNAL",
        effective_at=command.effective_at,
        expires_at=command.expires_at,
        gateway_auth_code=command.gateway_auth_code,
        payment_group_id=command.payment_group_id,
        corporate=rates.snapshot(states, command.amount, command.effective_at, context),
    )
    return [Change(Authorization, id, recorded, new=command.authorization_id is None)]


def _check_new(states: States, authorization_id: str | None) -> None:
    if authorization_id and states.get(Authorization, authorization_id).status:
        raise Rejected("AUTHORIZATION_EXISTS", f"the authorization {authorization_id} exists already")


RULES = (
    Rule(AuthorizePayment, _authorize_needs, authorize),
    Rule(PostAuthorize, _obtained_needs, record_obtained),
    Rule(RecordExternalAuthorization, _obtained_needs, record_obtained),
)
