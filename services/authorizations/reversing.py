"""Reversing: what is held is let go, in part or whole, by hand or when its time is over."""

from __future__ import annotations

from events.authorization import (
    AuthorizationExpired,
    AuthorizationReversalRequested,
)
from events.money import Money
from services.authorizations.authorization import Authorization
from services.authorizations.guards import check_amount, of, usable
from services.calls import calling
from services.calls.gateway import Gateway, check_accepts
from services.commands import Amount, FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, exceeded, invalid_state


@command("payments.authorization.reverse.v1")
class ReverseAuthorization:
    """Let go of some or all of what is held."""

    authorization_id: Id
    amount: Amount
    """How much is let go: no more than is still held."""


@command("payments.authorization.cancel.v1")
class CancelAuthorization:
    """Reverse all of an authorization of which nothing was captured."""

    authorization_id: Id
    reason: FreeText | None = None


@command("payments.authorization.expire.v1")
class ExpireAuthorization:
    """Its time is over: what was not captured is let go."""

    authorization_id: Id


def _auth_needs(
    states: States,
    command: ReverseAuthorization | CancelAuthorization | ExpireAuthorization,
    context: Context,
) -> Needs:
    yield Need(Authorization, command.authorization_id)
    auth = states.find(Authorization, command.authorization_id)
    if auth and auth.gateway_id:
        yield Need(Gateway, auth.gateway_id)


def reverse(states: States, command: ReverseAuthorization, context: Context) -> Changes:
    auth = usable(states, command.authorization_id, context)
    check_amount(command.amount, auth)
    if command.amount.amount_minor > auth.balance:
        available = Money(auth.balance, auth.currency)
        raise exceeded(
            "REVERSAL_EXCEEDS_AUTHORIZATION", command.amount, available, f"authorization {auth.number}"
        )
    gateway = states.get(Gateway, auth.gateway_id)
    if command.amount.amount_minor < auth.amount and not gateway.capabilities.partial_reversal:
        raise Rejected(
            "GATEWAY_CAPABILITY_MISSING", "the gateway reverses only all of it", operation="partial_reversal"
        )
    return _reversal(states, auth, command.amount, False, context)


def cancel(states: States, command: CancelAuthorization, context: Context) -> Changes:
    auth = of(states, command.authorization_id, context)
    if auth.status != "PROCESSED" or auth.captured:
        state = "PARTLY_CAPTURED" if auth.status == "PROCESSED" else auth.status
        raise invalid_state("authorization", state, ["PROCESSED with nothing captured"])
    if auth.moving:
        raise Rejected("OPERATION_IN_FLIGHT", "a capture or a reversal is on its way")
    return _reversal(states, auth, Money(auth.balance, auth.currency), True, context)


def _reversal(states: States, auth: Authorization, amount: Money, cancels: bool, context: Context) -> Changes:
    gateway = states.get(Gateway, auth.gateway_id)
    check_accepts(gateway, auth.gateway_id, "REVERSE", amount, None)
    attempt, adjustment_id = auth.reversal_attempts + 1, context.new_id("adjustment")
    number = context.number("PAA")
    key, planned = calling.plan(
        context,
        origin=auth.authorization_id,
        operation="REVERSE",
        attempt_no=attempt,
        target_kind="auth",
        target_id=auth.authorization_id,
        gateway_id=auth.gateway_id,
        amount=amount,
        merchant_reference=number,
        method=auth.method,
        authorization_ref=auth.gateway_ref,
    )
    requested = AuthorizationReversalRequested(adjustment_id, number, amount, attempt, key, cancels)
    return [Change(Authorization, auth.authorization_id, requested), planned]


def expire(states: States, command: ExpireAuthorization, context: Context) -> Changes:
    auth = of(states, command.authorization_id, context)
    if auth.status != "PROCESSED" or auth.expires_at is None or context.now < auth.expires_at:
        return []
    released = Money(auth.balance, auth.currency)
    return [Change(Authorization, command.authorization_id, AuthorizationExpired(released))]


RULES = (
    Rule(ReverseAuthorization, _auth_needs, reverse),
    Rule(CancelAuthorization, _auth_needs, cancel),
    Rule(ExpireAuthorization, _auth_needs, expire),
)
