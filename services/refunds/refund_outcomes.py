"""What became of a refund, whoever tells it: a gateway, the reconciler, or a person.

Invariant: a failed refund releases its money in the same decision, or passes it on to
its orchestration's leg; a success that comes late or comes back is shown to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from events.credit_memo import (
    CreditMemoRefundReleased,
    CreditMemoUnlocked,
    LineAmount,
    RefundAppliedToCreditMemo,
    RefundReversedOnCreditMemo,
)
from events.money import Money
from events.payment import RefundAppliedToPayment, RefundReservationReleased, RefundReversedOnPayment
from events.refund import (
    RefundApplied,
    RefundFailed,
    RefundHeldForReview,
    RefundOutcomeUnknown,
    RefundPending,
    RefundProcessed,
    RefundReversed,
)
from events.shapes import Outcome
from services.calls import calling
from services.calls.calling import GatewayCall, Report, Settled
from services.calls.seconding import awaits_second
from services.commands import FreeText, Id, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found
from services.invoices.invoice import Invoice
from services.orchestrations import legs
from services.orchestrations.orchestration import RefundOrchestration
from services.payments import returning
from services.payments.payment import Payment
from services.refunds import refund as refunds
from services.refunds import requesting
from services.refunds.refund import Refund
from services.tenants import exceptions, rates, tenant_settings


@command("payments.refund.record_outcome.v1")
class RecordRefundOutcome(Report):
    """What became of a refund; `Reversed` when its money came back from the customer's bank."""


@command("payments.refund.resolve_outcome.v1")
class ResolveRefundOutcome:
    """A person's word on a refund whose outcome nobody could find out, with evidence."""

    refund_id: Id
    outcome: Literal["PROCESSED", "FAILED"]
    """PROCESSED: the money went back; FAILED: it did not."""
    evidence: FreeText


def _outcome_needs(states: States, command: Report, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
    yield from rates.needed(states, context)
    call = states.find(GatewayCall, command.operation_key)
    if call and call.planned:
        yield from _target_needs(states, call.planned.target_id)


def _target_needs(states: States, refund_id: str) -> Needs:
    yield Need(Refund, refund_id)
    refund = states.find(Refund, refund_id)
    if refund is None:
        return
    if refund.payment_id:
        yield Need(Payment, refund.payment_id)
    if refund.credit_memo_id:
        yield Need(CreditMemo, refund.credit_memo_id)
    if refund.orchestration_id:
        yield Need(RefundOrchestration, refund.orchestration_id)
        ro = states.find(RefundOrchestration, refund.orchestration_id)
        if ro and ro.credit_memo_id:
            yield Need(CreditMemo, ro.credit_memo_id)
            yield Need(Invoice, ro.original_invoice_id)


def record_outcome(states: States, command: Report, context: Context) -> Changes:
    planned, settled = calling.settle(states, command, context)
    settings = tenant_settings.of(states, context)
    refund = states.get(Refund, planned.target_id)
    if refund.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", "the refund belongs to another account")
    draft = Draft(states, requesting.EVOLVE)
    draft.extend(settled.changes)
    _returned(draft, refund, settled, command, context, settings["refund_failure_fallback"])
    return draft.changes


def _returned(
    draft: Draft, refund: Refund, settled: Settled, report: Report, context: Context, fallbacks: Sequence[str]
) -> None:
    outcome, id = settled.outcome, refund.refund_id
    match settled.verdict:
        case "PROCESSED":
            _went_out(draft, refund, settled, report, context)
        case "LATE_SUCCESS":
            _late(draft, refund, settled, report, context)
        case "FAILED":
            failed = RefundFailed(
                outcome.result_code,
                outcome.category or "Unknown",
                outcome.raw_code,
                outcome.raw_message,
                outcome.hard,
                report.source,
            )
            draft.record(Refund, id, failed)
            for change in exceptions.unmapped(context, "refund", id, outcome):
                draft.record(*change)
            if refund.orchestration_id:
                legs.leg_failed(draft, refund, outcome, context, "RETRY" in fallbacks)
            else:
                release(draft, refund)
        case "UNKNOWN":
            assert settled.next_query_at is not None
            reason = outcome.raw_message or outcome.result_code
            draft.record(Refund, id, RefundOutcomeUnknown(report.sent_at, reason, settled.next_query_at))
            _awaited(draft, refund)
        case "PENDING" | "REQUIRES_ACTION":
            draft.record(Refund, id, RefundPending(outcome.gateway_ref, report.source))
            _awaited(draft, refund)
        case "REQUIRES_REVIEW":
            reason = outcome.raw_message or outcome.result_code
            draft.record(Refund, id, RefundHeldForReview(reason, report.source, outcome.gateway_ref))
            _awaited(draft, refund)
            if outcome.result_code != "RequiresReview":
                message = "nobody could find out whether the gateway executed it"
                draft.record(*exceptions.raised(context, "UNKNOWN_OUTCOME_EXPIRED", "refund", id, message))
        case "CONTRADICTED":
            message = f"{report.source} says {outcome.result_code} after success"
            draft.record(*exceptions.raised(context, "CONTRADICTED_OUTCOME", "refund", id, message))
        case "REVERSED":
            if refund.in_flight:
                _went_out(draft, refund, settled, report, context)
            _reversed(draft, draft.get(Refund, id), outcome.raw_code, context)
        case _:
            pass


def _awaited(draft: Draft, refund: Refund) -> None:
    if refund.orchestration_id:
        legs.leg_pending(draft, refund)


def _went_out(draft: Draft, refund: Refund, settled: Settled, report: Report, context: Context) -> None:
    _processed(draft, refund, settled, report, context, late=False)
    _check_amount(draft, refund, settled.outcome, context)
    if refund.orchestration_id:
        legs.leg_succeeded(draft, refund, context)


def _processed(
    draft: Draft, refund: Refund, settled: Settled, report: Report, context: Context, late: bool
) -> None:
    amount, id = Money(refund.amount, refund.currency), refund.refund_id
    kind, source = ("payment", refund.payment_id) if refund.payment_id else ("cm", refund.credit_memo_id)
    assert source is not None
    outcome = settled.outcome
    worth = rates.snapshot(draft, amount, context.now, context)
    processed = RefundProcessed(
        amount, refund.type, outcome.gateway_ref, outcome.gateway_date, report.source, late, worth
    )
    draft.record(Refund, id, processed)
    draft.record(Refund, id, RefundApplied(kind, source, amount))
    if kind == "payment":
        draft.record(Payment, source, RefundAppliedToPayment(id, amount, reserved=not late))
        return
    memo = draft.get(CreditMemo, source)
    lines = memo.reservations.get(id) or requesting.largest_first(memo, amount)
    draft.record(CreditMemo, source, RefundAppliedToCreditMemo(id, amount, lines, reserved=not late))
    _unlock_own(draft, source, id)


def _check_amount(draft: Draft, refund: Refund, outcome: Outcome, context: Context) -> None:
    asked = Money(refund.amount, refund.currency)
    done = outcome.processed_amount or asked
    if done != asked:
        message = f"asked for {asked}, the gateway gave back {done}"
        id = refund.refund_id
        draft.record(*exceptions.raised(context, "AMOUNT_MISMATCH", "refund", id, message, done))


def _unlock_own(draft: Draft, memo_id: str, refund_id: str) -> None:
    if draft.get(CreditMemo, memo_id).locked_by == f"refund:{refund_id}":
        draft.record(CreditMemo, memo_id, CreditMemoUnlocked(f"refund:{refund_id}"))


def release(draft: Draft, refund: Refund) -> None:
    """What a refund has reserved is free again, and the memo that it held."""
    amount = Money(refund.amount, refund.currency)
    if refund.payment_id:
        draft.record(Payment, refund.payment_id, RefundReservationReleased(refund.refund_id, amount))
        returning.reduce_overdraft(draft, refund.payment_id)
    elif refund.credit_memo_id:
        lines = draft.get(CreditMemo, refund.credit_memo_id).reservations[refund.refund_id]
        draft.record(
            CreditMemo, refund.credit_memo_id, CreditMemoRefundReleased(refund.refund_id, amount, lines)
        )
        _unlock_own(draft, refund.credit_memo_id, refund.refund_id)


def _late(draft: Draft, refund: Refund, settled: Settled, report: Report, context: Context) -> None:
    """Taken for failed, it went out after all: taken from what is free, and shown to a person."""
    amount, id = Money(refund.amount, refund.currency), refund.refund_id
    message = "it had been taken for failed: see whether the customer was refunded twice"
    free = not refund.orchestration_id and _free(draft, refund) >= refund.amount
    if free:
        _processed(draft, refund, settled, report, context, late=True)
    draft.record(*exceptions.raised(context, "LATE_SUCCESS", "refund", id, message, amount))


def _free(draft: Draft, refund: Refund) -> int:
    if refund.payment_id:
        return draft.get(Payment, refund.payment_id).unapplied
    return draft.get(CreditMemo, refund.credit_memo_id or "").balance


def _reversed(draft: Draft, refund: Refund, raw_code: str | None, context: Context) -> None:
    """The customer's bank sent it back: the money is where it was before, and the leg is placed anew."""
    if refund.status != "PROCESSED":
        return
    amount, id = Money(refund.amount, refund.currency), refund.refund_id
    kind, source = ("payment", refund.payment_id) if refund.payment_id else ("cm", refund.credit_memo_id)
    assert source is not None
    worth = rates.snapshot(draft, amount, context.now, context)
    draft.record(Refund, id, RefundReversed(amount, refund.type, kind, source, raw_code, worth))
    if kind == "payment":
        draft.record(Payment, source, RefundReversedOnPayment(id, amount))
    else:
        draft.record(
            CreditMemo, source, RefundReversedOnCreditMemo(id, amount, _refunded_lines(draft, source, amount))
        )
    message = f"the refund came back: {raw_code or 'no reason given'}"
    draft.record(*exceptions.raised(context, "REFUND_REVERSED", "refund", id, message, amount))
    if refund.orchestration_id:
        legs.leg_reversed(draft, refund, raw_code, context)
    elif kind == "payment":
        returning.reduce_overdraft(draft, source)


def _refunded_lines(draft: Draft, memo_id: str, amount: Money) -> tuple[LineAmount, ...]:
    left, taken = amount.amount_minor, list[LineAmount]()
    for line in draft.get(CreditMemo, memo_id).lines.values():
        part = min(line.refunded, left)
        if part > 0:
            left -= part
            taken.append(LineAmount(line.line.line_id, Money(part, amount.currency)))
    return tuple(taken)


def _resolve_needs(states: States, command: ResolveRefundOutcome, context: Context) -> Needs:
    yield Need(Refund, command.refund_id)
    yield from _target_needs(states, command.refund_id)
    refund = states.find(Refund, command.refund_id)
    if refund and refund.operation_key:
        yield from calling.needed(states, refund.operation_key, context)
        yield from rates.needed(states, context)


def resolve_outcome(states: States, command: ResolveRefundOutcome, context: Context) -> Changes:
    refund = states.get(Refund, command.refund_id)
    if not refund.status:
        raise not_found("REFUND", command.refund_id)
    if not refund.in_flight or refund.status == "REQUESTED":
        raise invalid_state("refund", refund.status, refunds.IN_FLIGHT - {"REQUESTED"})
    calling.check_evidence(command.evidence)
    key, said = refund.operation_key, (command.outcome, command.evidence)
    if (waiting := awaits_second(states, command, key, *said, context)) is not None:
        return waiting
    code = "Success" if command.outcome == "PROCESSED" else "PermanentFail"
    known = Outcome(
        code, category=None if code == "Success" else "PaymentProcessing", raw_message=command.evidence
    )
    report = RecordRefundOutcome(key, "OPERATOR", known, evidence=command.evidence)
    return record_outcome(states, report, context)


RULES = (
    Rule(RecordRefundOutcome, _outcome_needs, record_outcome),
    Rule(ResolveRefundOutcome, _resolve_needs, resolve_outcome),
)
