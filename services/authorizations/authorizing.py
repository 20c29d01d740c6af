"""Authorizing: holding money at a gateway, capturing it, and letting it go.

A capture is a payment of its own, in flight on the authorization until its outcome is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from events.authorization import (
    AuthorizationActionRequired,
    AuthorizationCanceled,
    AuthorizationCaptureRequested,
    AuthorizationDeclined,
    AuthorizationExpired,
    AuthorizationHeldForReview,
    AuthorizationOutcomeUnknown,
    AuthorizationPending,
    AuthorizationRecorded,
    AuthorizationRequested,
    AuthorizationReversalFailed,
    AuthorizationReversalPending,
    AuthorizationReversalRequested,
    AuthorizationReversed,
    PaymentAuthorized,
)
from events.money import Money
from events.payment import PaymentRequested
from events.shapes import Intended, Method, Outcome
from services.accounts import account, payment_method
from services.accounts.payment_method import MethodType, SavedMethod
from services.authorizations import authorization
from services.authorizations.authorization import IN_FLIGHT, Authorization
from services.calls import calling
from services.calls.accompanying import AdditionalData, Payer, accompanying, remembered
from services.calls.calling import GatewayCall, Report, Settled
from services.calls.gateway import Gateway, check_accepts
from services.calls.seconding import awaits_second
from services.commands import Amount, FreeText, Id, Text, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state, not_found
from services.payments import payment_group
from services.payments.asking import OneTimeMethod
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from services.tenants import exceptions


@command("payments.authorization.authorize.v1")
class AuthorizePayment:
    """Hold an amount on a saved method, or on a token used once: one of the two is mandatory (domain 2.5)."""

    amount: Amount
    gateway_id: Id
    effective_at: datetime
    method_id: Id | None = None
    method: OneTimeMethod | None = None
    authorization_id: Id | None = None
    payment_group_id: Id | None = None
    new_payment_group: NewGroup | None = None
    fraud_context: Payer | None = None
    client_context: FreeText | None = None
    """Kept and sent as it is; nothing here reads it."""
    comments: FreeText | None = None
    additional_data: AdditionalData | None = None


@dataclass(frozen=True)
class Obtained:
    """An authorization that exists at the gateway already."""

    amount: Amount
    gateway_id: Id
    type: MethodType
    token_ref: Token
    gateway_ref: Token
    effective_at: datetime
    authorization_id: Id | None = None
    expires_at: datetime | None = None
    gateway_auth_code: Text | None = None
    payment_group_id: Id | None = None


@command("payments.authorization.post_authorize.v1")
class PostAuthorize(Obtained):
    """Record an authorization that a client-side component obtained."""


@command("payments.authorization.record_external.v1")
class RecordExternalAuthorization(Obtained):
    """Record an authorization that was obtained outside Tender."""


@command("payments.authorization.record_outcome.v1")
class RecordAuthorizationOutcome(Report):
    """What became of the request to hold the money."""


@command("payments.authorization.record_reversal_outcome.v1")
class RecordReversalOutcome(Report):
    """What became of a reversal."""


@command("payments.authorization.capture.v1")
class CapturePayment:
    """Take some or all of what is held; `final` lets the rest go at the gateway."""

    authorization_id: Id
    amount: Amount
    payment_id: Id | None = None
    final: bool = False
    apply_to: tuple[Id, ...] = ()
    """Invoices that the money is for, in turn."""


@command("payments.authorization.reverse.v1")
class ReverseAuthorization:
    authorization_id: Id
    amount: Amount


@command("payments.authorization.cancel.v1")
class CancelAuthorization:
    """Reverse all of an authorization of which nothing was captured."""

    authorization_id: Id
    reason: FreeText | None = None


@command("payments.authorization.expire.v1")
class ExpireAuthorization:
    """Its time is over: what was not captured is let go."""

    authorization_id: Id


@command("payments.authorization.resolve_review.v1")
class ResolveReview:
    """A person's word on an authorization whose outcome is not known, with evidence."""

    authorization_id: Id
    outcome: Literal["PROCESSED", "FAILED"]
    evidence: FreeText
    gateway_ref: Token | None = None


# -- holding


def _authorize_needs(states: States, command: AuthorizePayment, context: Context) -> Needs:
    if command.authorization_id:
        yield Need(Authorization, command.authorization_id)
    yield account.needed(context)
    if command.method_id:
        yield Need(SavedMethod, command.method_id)
    yield Need(Gateway, command.gateway_id)
    yield from payment_group.needed(command.payment_group_id, command.new_payment_group)


def authorize(states: States, command: AuthorizePayment, context: Context) -> Changes:
    owner = account.chargeable(states, context)
    _check_new(states, command.authorization_id)
    method = _method(states, command, context)
    _check_positive(command.amount)
    gateway = states.get(Gateway, command.gateway_id)
    check_accepts(gateway, command.gateway_id, "AUTHORIZE", command.amount, method.type, context.now)
    groups = payment_group.joined(states, command.payment_group_id, command.new_payment_group, context)
    besides = accompanying(command, owner)
    id, number = command.authorization_id or context.new_id("authorization"), context.number("PA")
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
        **remembered(besides),
    )
    return [*groups, Change(Authorization, id, requested, new=command.authorization_id is None), planned]


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
    yield from payment_group.needed(command.payment_group_id, None)


def record_obtained(states: States, command: Obtained, context: Context) -> Changes:
    account.of(states, context)
    _check_new(states, command.authorization_id)
    _check_positive(command.amount)
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
    )
    return [Change(Authorization, id, recorded, new=command.authorization_id is None)]


def _check_new(states: States, authorization_id: str | None) -> None:
    if authorization_id and states.get(Authorization, authorization_id).status:
        raise Rejected("AUTHORIZATION_EXISTS", f"the authorization {authorization_id} exists already")


def _check_positive(amount: Money) -> None:
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.amount")


# -- capturing and letting go


def _of(states: States, id: str, context: Context) -> Authorization:
    auth = states.get(Authorization, id)
    if not auth.status:
        raise not_found("AUTHORIZATION", id)
    if auth.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the authorization {id} belongs to another account")
    return auth


def _usable(states: States, id: str, context: Context) -> Authorization:
    auth = _of(states, id, context)
    if auth.status not in ("PROCESSED", "EXPIRED"):
        raise invalid_state("authorization", auth.status, ["PROCESSED"])
    if auth.status == "EXPIRED" or (auth.expires_at is not None and context.now >= auth.expires_at):
        raise Rejected("AUTHORIZATION_EXPIRED", f"the authorization {id} has expired")
    return auth


def _capture_needs(states: States, command: CapturePayment, context: Context) -> Needs:
    yield Need(Authorization, command.authorization_id)
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    auth = states.find(Authorization, command.authorization_id)
    if auth and auth.gateway_id:
        yield Need(Gateway, auth.gateway_id)


def capture(states: States, command: CapturePayment, context: Context) -> Changes:
    auth = _usable(states, command.authorization_id, context)
    if command.payment_id and states.get(Payment, command.payment_id).status:
        raise Rejected("PAYMENT_EXISTS", f"the payment {command.payment_id} exists already")
    gateway = states.get(Gateway, auth.gateway_id)
    if auth.captures and not gateway.capabilities.multi_capture:
        raise Rejected("OPERATION_IN_FLIGHT", "a capture is on its way")
    _check_amount(command.amount, auth)
    _check_capturable(command.amount, auth, gateway.capabilities.overcapture_percent)
    check_accepts(gateway, auth.gateway_id, "CAPTURE", command.amount, None)
    if command.amount.amount_minor < auth.balance and not gateway.capabilities.partial_capture:
        raise Rejected(
            "GATEWAY_CAPABILITY_MISSING", "the gateway captures only all of it", operation="partial_capture"
        )
    return _captured(auth, command, context)


def _check_amount(amount: Money, auth: Authorization) -> None:
    if amount.currency != auth.currency:
        raise currency_mismatch(auth.currency, amount.currency, f"authorization {auth.number}")
    _check_positive(amount)


def _check_capturable(amount: Money, auth: Authorization, tolerance_percent: int) -> None:
    tolerance = auth.amount * tolerance_percent // 100
    most = max(auth.amount + tolerance - auth.captured - auth.reversed - auth.moving, 0)
    if amount.amount_minor > most:
        available = Money(most, auth.currency)
        raise exceeded("CAPTURE_EXCEEDS_AUTHORIZATION", amount, available, f"authorization {auth.number}")


def _captured(auth: Authorization, command: CapturePayment, context: Context) -> Changes:
    payment_id, number = command.payment_id or context.new_id("payment"), context.number("PAY")
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
    )
    in_flight = AuthorizationCaptureRequested(payment_id, command.amount, command.final)
    return [
        Change(Authorization, auth.authorization_id, in_flight),
        Change(Payment, payment_id, requested, new=command.payment_id is None),
        planned,
    ]


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
    auth = _usable(states, command.authorization_id, context)
    _check_amount(command.amount, auth)
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
    auth = _of(states, command.authorization_id, context)
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
    auth = _of(states, command.authorization_id, context)
    if auth.status != "PROCESSED" or auth.expires_at is None or context.now < auth.expires_at:
        return []
    released = Money(auth.balance, auth.currency)
    return [Change(Authorization, command.authorization_id, AuthorizationExpired(released))]


# -- outcomes


def _outcome_needs(states: States, command: Report, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
    yield account.needed(context)
    call = states.find(GatewayCall, command.operation_key)
    if call and call.planned:
        yield Need(Authorization, call.planned.target_id)
        if call.planned.method and call.planned.method.method_id:
            yield Need(SavedMethod, call.planned.method.method_id)


def record_outcome(states: States, command: Report, context: Context) -> Changes:
    planned, settled = calling.settle(states, command, context)
    auth = _of(states, planned.target_id, context)
    if planned.operation == "REVERSE":
        return [*settled.changes, *_reversed(auth, settled, command, context)]
    return [*settled.changes, *_authorized(states, auth, settled, command, context)]


def _authorized(
    states: States, auth: Authorization, settled: Settled, report: Report, context: Context
) -> Changes:
    outcome, id = settled.outcome, auth.authorization_id
    match settled.verdict:
        case "PROCESSED" | "LATE_SUCCESS":
            fact = PaymentAuthorized(
                outcome.gateway_ref,
                outcome.auth_code,
                outcome.expires_at,
                report.source,
                outcome.network_transaction_id,
                late=settled.verdict == "LATE_SUCCESS",
                avs_code=outcome.avs_code,
                cvc_code=outcome.cvc_code,
                gateway_ref_details=outcome.reference_details,
            )
            health = _health(states, auth, outcome, True, context)
            return [
                Change(Authorization, id, fact),
                *health,
                *_doubts(auth, settled, Money(auth.amount, auth.currency), context),
            ]
        case "FAILED":
            declined = AuthorizationDeclined(
                outcome.result_code,
                outcome.category or "Unknown",
                outcome.raw_code,
                outcome.raw_message,
                outcome.hard,
                outcome.never_retry,
                report.source,
            )
            return [
                Change(Authorization, id, declined),
                *_health(states, auth, outcome, False, context),
                *exceptions.unmapped(context, "auth", id, outcome),
            ]
        case "UNKNOWN":
            assert settled.next_query_at is not None
            reason = outcome.raw_message or outcome.result_code
            unknown = AuthorizationOutcomeUnknown(report.sent_at, reason, settled.next_query_at)
            return [Change(Authorization, id, unknown)]
        case "PENDING":
            return [Change(Authorization, id, AuthorizationPending(outcome.gateway_ref, report.source))]
        case "REQUIRES_ACTION":
            action = AuthorizationActionRequired(outcome.gateway_ref, report.source, outcome.action)
            return [Change(Authorization, id, action)]
        case "REQUIRES_REVIEW":
            reason = outcome.raw_message or outcome.result_code
            held = AuthorizationHeldForReview(reason, report.source, outcome.gateway_ref)
            amount = Money(auth.amount, auth.currency)
            return [Change(Authorization, id, held), *_gave_up(auth, settled, amount, context)]
        case "CONTRADICTED":
            return [_contradicted(auth, report, context)]
        case _:
            return []


def _doubts(auth: Authorization, settled: Settled, asked: Money, context: Context) -> Changes:
    """What a person should know of a success: it came late, or with another amount."""
    id = auth.authorization_id
    doubts: list[Change] = []
    if settled.verdict == "LATE_SUCCESS":
        message = "it had been taken for failed: see what the customer's bank holds now"
        doubts.append(exceptions.raised(context, "LATE_SUCCESS", "auth", id, message, asked))
    done = settled.outcome.processed_amount or asked
    if done != asked:
        message = f"asked for {asked}, the gateway did {done}"
        doubts.append(exceptions.raised(context, "AMOUNT_MISMATCH", "auth", id, message, done))
    return doubts


def _gave_up(auth: Authorization, settled: Settled, amount: Money, context: Context) -> Changes:
    """Nobody could find out what became of it; a review that the gateway asked for is no such case."""
    if settled.outcome.result_code == "RequiresReview":
        return []
    message = "nobody could find out whether the gateway executed it"
    id = auth.authorization_id
    return [exceptions.raised(context, "UNKNOWN_OUTCOME_EXPIRED", "auth", id, message, amount)]


def _contradicted(auth: Authorization, report: Report, context: Context) -> Change:
    message = f"{report.source} says {report.result.result_code} after success"
    return exceptions.raised(context, "CONTRADICTED_OUTCOME", "auth", auth.authorization_id, message)


def _health(
    states: States, auth: Authorization, outcome: Outcome, succeeded: bool, context: Context
) -> Changes:
    if auth.method is None or auth.method.method_id is None:
        return []
    method = states.get(SavedMethod, auth.method.method_id)
    owner = states.get(account.Account, context.account_id)
    return payment_method.after_outcome(method, owner, outcome, succeeded, context)


def _reversed(auth: Authorization, settled: Settled, report: Report, context: Context) -> Changes:
    asked = _reversal_of(auth, report.operation_key)
    if asked is None:
        return [_contradicted(auth, report, context)] if settled.verdict == "CONTRADICTED" else []
    id, outcome = auth.authorization_id, settled.outcome
    match settled.verdict:
        case "PROCESSED" | "LATE_SUCCESS":
            held = None if asked.adjustment_id in auth.reversals else Money(0, auth.currency)
            done = Change(Authorization, id, AuthorizationReversed(asked.adjustment_id, asked.amount, held))
            canceled = [Change(Authorization, id, AuthorizationCanceled())] if asked.cancels else []
            return [done, *canceled, *_doubts(auth, settled, asked.amount, context)]
        case "FAILED":
            failed = AuthorizationReversalFailed(
                asked.adjustment_id, asked.amount, outcome.raw_code, outcome.raw_message
            )
            return [
                Change(Authorization, id, failed),
                *exceptions.unmapped(context, "auth", asked.adjustment_id, outcome),
            ]
        case "PENDING" | "UNKNOWN":
            return [Change(Authorization, id, AuthorizationReversalPending(asked.adjustment_id))]
        case "REQUIRES_REVIEW":
            return _gave_up(auth, settled, asked.amount, context)
        case _:
            return []


def _reversal_of(auth: Authorization, key: str) -> AuthorizationReversalRequested | None:
    """The reversal that has this key, as long as it has not succeeded."""
    requests = (*auth.reversals.values(), *auth.failed_reversals.values())
    return next((request for request in requests if request.gateway_idempotency_key == key), None)


def _review_needs(states: States, command: ResolveReview, context: Context) -> Needs:
    yield Need(Authorization, command.authorization_id)
    auth = states.find(Authorization, command.authorization_id)
    if auth and auth.operation_key:
        report = RecordAuthorizationOutcome(auth.operation_key, "OPERATOR", Outcome("Success"))
        yield from _outcome_needs(states, report, context)


def resolve_review(states: States, command: ResolveReview, context: Context) -> Changes:
    auth = _of(states, command.authorization_id, context)
    if auth.status not in IN_FLIGHT - {"REQUESTED"}:
        raise invalid_state("authorization", auth.status, IN_FLIGHT - {"REQUESTED"})
    key, said = auth.operation_key, (command.outcome, command.evidence)
    if (waiting := awaits_second(states, command, key, *said, context)) is not None:
        return waiting
    known = Outcome("Success", gateway_ref=command.gateway_ref, raw_message=command.evidence)
    if command.outcome == "FAILED":
        known = Outcome("Decline", category="Security", raw_message=command.evidence)
    report = RecordAuthorizationOutcome(key, "OPERATOR", known, evidence=command.evidence)
    return record_outcome(states, report, context)


RULES = (
    Rule(AuthorizePayment, _authorize_needs, authorize),
    Rule(PostAuthorize, _obtained_needs, record_obtained),
    Rule(RecordExternalAuthorization, _obtained_needs, record_obtained),
    Rule(CapturePayment, _capture_needs, capture),
    Rule(ReverseAuthorization, _auth_needs, reverse),
    Rule(CancelAuthorization, _auth_needs, cancel),
    Rule(ExpireAuthorization, _auth_needs, expire),
    Rule(RecordAuthorizationOutcome, _outcome_needs, record_outcome),
    Rule(RecordReversalOutcome, _outcome_needs, record_outcome),
    Rule(ResolveReview, _review_needs, resolve_review),
)
SUBJECT = Subject(Authorization, authorization.evolve, RULES)
