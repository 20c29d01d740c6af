"""Arriving: what became of money that was asked for, whoever says so.

Invariant: one outcome, whatever its source; what arrives is applied as far as it fits, and
the rest stays unapplied, never lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from events.authorization import AuthorizationCaptureFailed
from events.money import Money
from events.payment import (
    PaymentActionRequired,
    PaymentEnhancedDataRejected,
    PaymentFailed,
    PaymentHeldForReview,
    PaymentOutcomeUnknown,
    PaymentPending,
    PaymentProcessed,
)
from events.shapes import Outcome
from services.accounts import account, card, method_health
from services.accounts.payment_method import SavedMethod
from services.applications import guards
from services.authorizations import authorization
from services.authorizations.authorization import Authorization
from services.calls import calling, resending
from services.calls.calling import GatewayCall, Report, Settled
from services.calls.seconding import awaits_second
from services.commands import FreeText, Id, Token, command
from services.credits import writing_off
from services.decision import Change, Changes, Claiming, Context, Need, Needs, Releasing, Rule, States
from services.errors import invalid_state
from services.invoices.invoice import Invoice
from services.payments import duplicates, linking
from services.payments import payment as payments
from services.payments.payment import Payment
from services.payments.payment_link import PaymentLink
from services.payments.placing import apply_intended
from services.payments.taking_back import voided
from services.schedules import outcomes
from services.tenants import exceptions, rates


@command("payments.payment.record_outcome.v1")
class RecordPaymentOutcome(Report):
    """What became of a sale, a capture or a void: from the gateway, a notification, an inquiry, a person."""


@command("payments.payment.resolve_outcome.v1")
class ResolvePaymentOutcome:
    """A person's word on a payment whose outcome nobody could find out, with evidence."""

    payment_id: Id
    outcome: Literal["PROCESSED", "FAILED"]
    """PROCESSED: the money arrived; FAILED: it did not."""
    evidence: FreeText
    gateway_ref: Token | None = None
    """The gateway's own id of the payment, where it was processed."""


def _outcome_needs(states: States, command: RecordPaymentOutcome, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
    yield from rates.needed(states, context)
    yield account.needed(context)
    call = states.find(GatewayCall, command.operation_key)
    if call and call.planned:
        yield from _target_needs(states, call.planned.target_id, command.result, context)


def _target_needs(states: States, payment_id: str, outcome: Outcome | None, context: Context) -> Needs:
    yield Need(Payment, payment_id)
    payment = states.find(Payment, payment_id)
    if payment is None:
        return
    yield from outcomes.needed(states, payment, outcome, context)
    if payment.payment_link_id:
        yield Need(PaymentLink, payment.payment_link_id)
    if payment.authorization_id:
        yield Need(Authorization, payment.authorization_id)
    if payment.method and payment.method.method_id:
        yield Need(SavedMethod, payment.method.method_id)
        yield from card.needed(states, payment.method.method_id, context)
    for intended in payment.intended:
        yield Need(Invoice, intended.invoice_id)
    if payment.intended:
        yield from writing_off.small_needed(states, context)


def record_outcome(states: States, command: RecordPaymentOutcome, context: Context) -> Changes:
    planned, settled = calling.settle(states, command, context)
    payment = states.get(Payment, planned.target_id)
    guards.check_payment(payment, planned.target_id, context)
    if planned.operation == "VOID":
        return [*settled.changes, *voided(states, payment, settled, context)]
    if resending.is_due(planned, settled, payment.operation_key):
        rejected = PaymentEnhancedDataRejected
        again = resending.without_data(states, Payment, rejected, planned, settled, context)
        return [*settled.changes, *again]
    if payment.has_arrived and settled.verdict != "CONTRADICTED":
        message = "its money came under another key already: give it back at the gateway"
        told = planned, settled, Money(payment.amount, payment.currency)
        return [*settled.changes, *resending.by_another_key(*told, "DUPLICATE_CHARGE", message, context)]
    received = _received(states, payment, settled, command, context)
    heard = settled.verdict, settled.outcome, received, context
    of_item = outcomes.heard(states, payment, *heard)
    return [*settled.changes, *received, *of_item, *linking.heard(states, payment, *heard)]


def _received(
    states: States, payment: Payment, settled: Settled, report: Report, context: Context
) -> Changes:
    outcome, id = settled.outcome, payment.payment_id
    match settled.verdict:
        case "PROCESSED" | "LATE_SUCCESS":
            return _succeeded(
                states, payment, outcome, report.source, settled.verdict == "LATE_SUCCESS", context
            )
        case "FAILED":
            return _failed(states, payment, outcome, report.source, context)
        case "UNKNOWN":
            assert settled.next_query_at is not None
            reason = outcome.raw_message or outcome.result_code
            fact = PaymentOutcomeUnknown(report.sent_at, reason, settled.next_query_at)
            return [Change(Payment, id, fact)]
        case "PENDING":
            return [Change(Payment, id, PaymentPending(outcome.gateway_ref, report.source))]
        case "REQUIRES_ACTION":
            return [
                Change(Payment, id, PaymentActionRequired(outcome.gateway_ref, report.source, outcome.action))
            ]
        case "REQUIRES_REVIEW":
            held = PaymentHeldForReview(
                outcome.raw_message or outcome.result_code, report.source, outcome.gateway_ref
            )
            if outcome.result_code == "RequiresReview":
                return [Change(Payment, id, held)]
            message = "nobody could find out whether the gateway executed it"
            amount = Money(payment.amount, payment.currency)
            case = exceptions.raised(context, "UNKNOWN_OUTCOME_EXPIRED", "payment", id, message, amount)
            return [Change(Payment, id, held), case]
        case "CONTRADICTED":
            message = f"{report.source} says {outcome.result_code} after success"
            return [exceptions.raised(context, "CONTRADICTED_OUTCOME", "payment", id, message)]
        case _:
            return []


def _succeeded(
    states: States, payment: Payment, outcome: Outcome, source: str, late: bool, context: Context
) -> Changes:
    asked = Money(payment.amount, payment.currency)
    received = outcome.processed_amount or asked
    processed = PaymentProcessed(
        processed_amount=received if received.currency == payment.currency else asked,
        gateway_ref=outcome.gateway_ref,
        gateway_date=outcome.gateway_date,
        source=source,
        auth_code=outcome.auth_code,
        network_transaction_id=outcome.network_transaction_id,
        late=late,
        level_sent=outcome.level_sent,
        corporate=rates.snapshot(states, received, context.now, context),
    )
    changes = list[Change | Claiming | Releasing]([Change(Payment, payment.payment_id, processed)])
    if payment.authorization_id:
        held = states.get(Authorization, payment.authorization_id)
        facts = authorization.captured(held, payment.payment_id, processed.processed_amount)
        changes += [Change(Authorization, payment.authorization_id, fact) for fact in facts]
    changes += _of_instrument(states, payment, outcome, True, context)
    if late:
        message = "it had been taken for failed: see whether the customer paid twice"
        changes.append(
            exceptions.raised(context, "LATE_SUCCESS", "payment", payment.payment_id, message, received)
        )
    if received != asked:
        message = f"asked for {asked}, the gateway took {received}; nothing was applied"
        changes.append(
            exceptions.raised(context, "AMOUNT_MISMATCH", "payment", payment.payment_id, message, received)
        )
    elif late and _is_collected(states, payment):
        back = duplicates.given_back(states, payment, processed, context)
        what = "it goes back" if back else "refund it"
        message = f"what it was meant for was paid otherwise meanwhile: {what}"
        changes.append(
            exceptions.raised(context, "DUPLICATE_CHARGE", "payment", payment.payment_id, message, received)
        )
        changes += back
    elif payment.intended:
        changes += apply_intended(states, payment, changes[0].fact, context)  # type: ignore[union-attr]
        return writing_off.with_small_balances(states, changes, context)
    return changes


def _of_instrument(
    states: States, payment: Payment, outcome: Outcome, succeeded: bool, context: Context
) -> list[Change]:
    """What it means for the saved method; and for the card, where it was asked for the money itself."""
    of_method = list(method_health.after_use(states, payment.method, outcome, succeeded, context))
    if payment.authorization_id:
        return of_method
    amount = Money(payment.amount, payment.currency)
    used = payment.method, payment.payment_id, amount
    return [*of_method, *card.after_outcome(states, *used, outcome, succeeded, context)]


def _is_collected(states: States, payment: Payment) -> bool:
    """Whether every invoice that the money was meant for was settled without it."""
    meant = [states.get(Invoice, intended.invoice_id) for intended in payment.intended]
    return bool(meant) and all(invoice.settlement_status == "SETTLED" for invoice in meant)


def _failed(states: States, payment: Payment, outcome: Outcome, source: str, context: Context) -> Changes:
    failed = PaymentFailed(
        result_code=outcome.result_code,
        category=outcome.category or "Unknown",
        raw_code=outcome.raw_code,
        raw_message=outcome.raw_message,
        hard=outcome.hard,
        never_retry=outcome.never_retry,
        source=source,
        code_map_version=outcome.code_map_version,
        gateway_ref=outcome.gateway_ref,
        retry_after_seconds=outcome.retry_after_seconds,
        network_advice=outcome.network_advice,
    )
    changes = [Change(Payment, payment.payment_id, failed)]
    if payment.authorization_id:
        back = AuthorizationCaptureFailed(payment.payment_id, Money(payment.amount, payment.currency))
        changes.append(Change(Authorization, payment.authorization_id, back))
    changes += _of_instrument(states, payment, outcome, False, context)
    changes += exceptions.unmapped(context, "payment", payment.payment_id, outcome)
    return changes


def _resolve_needs(states: States, command: ResolvePaymentOutcome, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield account.needed(context)
    yield from _target_needs(states, command.payment_id, None, context)
    payment = states.find(Payment, command.payment_id)
    if payment and payment.operation_key:
        yield from calling.needed(states, payment.operation_key, context)
        yield from rates.needed(states, context)


def resolve_outcome(states: States, command: ResolvePaymentOutcome, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if not payment.in_flight or payment.status == "REQUESTED":
        raise invalid_state("payment", payment.status, payments.IN_FLIGHT - {"REQUESTED"})
    calling.check_evidence(command.evidence)
    key, said = payment.operation_key, (command.outcome, command.evidence)
    if (waiting := awaits_second(states, command, key, *said, context)) is not None:
        return waiting
    known = Outcome("Success", gateway_ref=command.gateway_ref, raw_message=command.evidence)
    if command.outcome == "FAILED":
        known = replace(known, result_code="Decline", category="PaymentProcessing")
    report = RecordPaymentOutcome(key, "OPERATOR", known, evidence=command.evidence)
    return record_outcome(states, report, context)


RULES = (
    Rule(RecordPaymentOutcome, _outcome_needs, record_outcome),
    Rule(ResolvePaymentOutcome, _resolve_needs, resolve_outcome),
)
