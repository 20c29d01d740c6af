"""What became of holding money, and of letting it go, whoever says so."""

from __future__ import annotations

from typing import Literal

from events.authorization import (
    AuthorizationActionRequired,
    AuthorizationCanceled,
    AuthorizationDeclined,
    AuthorizationEnhancedDataRejected,
    AuthorizationHeldForReview,
    AuthorizationOutcomeUnknown,
    AuthorizationPending,
    AuthorizationReversalFailed,
    AuthorizationReversalPending,
    AuthorizationReversalRequested,
    AuthorizationReversed,
    PaymentAuthorized,
)
from events.money import Money
from events.shapes import Outcome
from services.accounts import account, card, method_health
from services.accounts.payment_method import SavedMethod
from services.authorizations.authorization import IN_FLIGHT, Authorization
from services.authorizations.guards import of
from services.calls import calling, resending
from services.calls.calling import GatewayCall, Report, Settled
from services.calls.seconding import awaits_second
from services.commands import FreeText, Id, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import invalid_state
from services.tenants import exceptions, rates


@command("payments.authorization.record_outcome.v1")
class RecordAuthorizationOutcome(Report):
    """What became of the request to hold the money."""


@command("payments.authorization.record_reversal_outcome.v1")
class RecordReversalOutcome(Report):
    """What became of a reversal."""


@command("payments.authorization.resolve_review.v1")
class ResolveReview:
    """A person's word on an authorization whose outcome is not known, with evidence."""

    authorization_id: Id
    outcome: Literal["PROCESSED", "FAILED"]
    """PROCESSED: the amount is held; FAILED: it is not."""
    evidence: FreeText
    gateway_ref: Token | None = None


def _outcome_needs(states: States, command: Report, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
    yield from rates.needed(states, context)
    yield account.needed(context)
    call = states.find(GatewayCall, command.operation_key)
    if call and call.planned:
        yield Need(Authorization, call.planned.target_id)
        if call.planned.method and call.planned.method.method_id:
            yield Need(SavedMethod, call.planned.method.method_id)
            yield from card.needed(states, call.planned.method.method_id, context)


def record_outcome(states: States, command: Report, context: Context) -> Changes:
    planned, settled = calling.settle(states, command, context)
    auth = of(states, planned.target_id, context)
    if planned.operation == "REVERSE":
        return [*settled.changes, *_reversed(auth, settled, command, context)]
    if resending.is_due(planned, settled, auth.operation_key):
        rejected = AuthorizationEnhancedDataRejected
        again = resending.without_data(states, Authorization, rejected, planned, settled, context)
        return [*settled.changes, *again]
    if auth.was_held and settled.verdict != "CONTRADICTED":
        message = "it is held under another key already: reverse this one at the gateway"
        told = planned, settled, Money(auth.amount, auth.currency)
        return [*settled.changes, *resending.by_another_key(*told, "LATE_SUCCESS", message, context)]
    return [*settled.changes, *_authorized(states, auth, settled, command, context)]


def _of_instrument(
    states: States, auth: Authorization, outcome: Outcome, succeeded: bool, context: Context
) -> list[Change]:
    """What it means for the saved method, and for the card."""
    used = auth.method, auth.authorization_id, Money(auth.amount, auth.currency)
    return [
        *method_health.after_use(states, auth.method, outcome, succeeded, context),
        *card.after_outcome(states, *used, outcome, succeeded, context),
    ]


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
                corporate=rates.snapshot(states, Money(auth.amount, auth.currency), context.now, context),
            )
            return [
                Change(Authorization, id, fact),
                *_of_instrument(states, auth, outcome, True, context),
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
                *_of_instrument(states, auth, outcome, False, context),
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
    auth = of(states, command.authorization_id, context)
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
    Rule(RecordAuthorizationOutcome, _outcome_needs, record_outcome),
    Rule(RecordReversalOutcome, _outcome_needs, record_outcome),
    Rule(ResolveReview, _review_needs, resolve_review),
)
