"""Refunding: giving money back, reserved on its source from the request to the outcome.

Invariant (domain 2.7): money in flight back to the customer can be taken by nothing else; a failed
refund releases it in the same decision, or passes it back to its orchestration's leg.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from events.credit_memo import (
    CreditMemoLocked,
    CreditMemoRefundReleased,
    CreditMemoRefundReserved,
    CreditMemoUnlocked,
    LineAmount,
    RefundAppliedToCreditMemo,
    RefundReversedOnCreditMemo,
)
from events.money import Money
from events.payment import (
    RefundAppliedToPayment,
    RefundReservationReleased,
    RefundReservedOnPayment,
    RefundReversedOnPayment,
)
from events.refund import (
    ExternalRefundRecorded,
    RefundApplied,
    RefundFailed,
    RefundHeldForReview,
    RefundOutcomeUnknown,
    RefundPending,
    RefundProcessed,
    RefundRequested,
    RefundReversed,
)
from events.shapes import Outcome
from services import (
    account,
    applying,
    calling,
    credit_memo,
    exceptions,
    payment,
    payment_method,
    tenant_settings,
)
from services import invoice as invoices
from services import orchestration as orchestrations
from services import refund as refunds
from services.account import Account
from services.applying import Why
from services.calling import GatewayCall, Report, Settled
from services.commands import Amount, FreeText, Id, Text, command
from services.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state, not_found
from services.gateway import Gateway, check_accepts
from services.invoice import Invoice
from services.orchestration import RefundOrchestration
from services.payment import Payment
from services.payment_method import SavedMethod
from services.refund import Refund

EVOLVE = {
    Payment: payment.evolve,
    Invoice: invoices.evolve,
    CreditMemo: credit_memo.evolve,
    Refund: refunds.evolve,
    RefundOrchestration: orchestrations.evolve,
    GatewayCall: calling.evolve,
}


@command("payments.refund.issue.v1")
class IssueRefund:
    """Give money of a payment back to the instrument that it came from.

    From `UNAPPLIED` money; or `REOPEN_INVOICES`: whole applications are taken back, newest first,
    until enough is unapplied, and what was too much is applied again to the same invoice.
    """

    payment_id: Id
    amount: Amount
    reason: Text
    source: Literal["UNAPPLIED", "REOPEN_INVOICES"] = "UNAPPLIED"
    refund_id: Id | None = None
    notes: FreeText | None = None


@command("payments.refund.issue_unreferenced.v1")
class IssueUnreferencedRefund:
    """Pay a credit memo's balance out to a saved method."""

    credit_memo_id: Id
    amount: Amount
    reason: Text
    payment_method_id: Id | None = None
    refund_id: Id | None = None
    notes: FreeText | None = None


@command("payments.refund.record_external.v1")
class RecordExternalRefund:
    """Money that was given back outside any gateway, from a payment or from a credit memo."""

    amount: Amount
    instrument: Literal["CASH", "CHECK", "WIRE", "OTHER"]
    reference: Text
    paid_on: date
    reason: Text
    payment_id: Id | None = None
    credit_memo_id: Id | None = None
    refund_id: Id | None = None


@command("payments.refund.record_outcome.v1")
class RecordRefundOutcome(Report):
    """What became of a refund; `Reversed` when its money came back from the customer's bank."""


@command("payments.refund.resolve_outcome.v1")
class ResolveRefundOutcome:
    """A person's word on a refund whose outcome nobody could find out, with evidence."""

    refund_id: Id
    outcome: Literal["PROCESSED", "FAILED"]
    evidence: FreeText


# -- asking


def _issue_needs(states: States, command: IssueRefund, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    if command.refund_id:
        yield Need(Refund, command.refund_id)
    yield tenant_settings.needed(context)
    source = states.find(Payment, command.payment_id)
    if source and source.gateway_id:
        yield Need(Gateway, source.gateway_id)
    if source and command.source == "REOPEN_INVOICES":
        for application in source.applications.values():
            yield Need(Invoice, application.invoice_id)


def issue(states: States, command: IssueRefund, context: Context) -> Changes:
    source = states.get(Payment, command.payment_id)
    applying.check_payment(source, command.payment_id, context)
    _check_new(states, command.refund_id)
    if source.status != "PROCESSED":
        raise Rejected("PAYMENT_NOT_PROCESSED", f"the payment is {source.status}", state=source.status)
    if source.cancellation_key is not None:
        raise Rejected("OPERATION_IN_FLIGHT", "the payment is being canceled")
    if source.gateway_id is None:
        raise Rejected("PAYMENT_NOT_GATEWAY_LINKED", "it came from outside: record an external refund")
    _check_amount(command.amount, source.currency)
    _check_refundable(source, command)
    gateway = states.get(Gateway, source.gateway_id)
    check_accepts(gateway, source.gateway_id, "REFUND", command.amount, None)
    check_window(gateway, source, context.now)
    draft = Draft(states, EVOLVE)
    if command.source == "REOPEN_INVOICES":
        _reopen(draft, command, context)
    refund_id = command.refund_id or context.new_id("refund")
    request(
        draft,
        source,
        refund_id,
        command.amount,
        command.reason,
        context,
        notes=command.notes,
        new=not command.refund_id,
    )
    return draft.changes


def _check_new(states: States, refund_id: str | None) -> None:
    if refund_id and states.get(Refund, refund_id).status:
        raise Rejected("REFUND_EXISTS", f"the refund {refund_id} exists already")


def _check_amount(amount: Money, currency: str) -> None:
    if amount.currency != currency:
        raise currency_mismatch(currency, amount.currency, "the source")
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a refund must be above 0", field="data.amount")


def _check_refundable(source: Payment, command: IssueRefund) -> None:
    what = f"payment {source.number}"
    refundable, unapplied = (
        Money(source.refundable, source.currency),
        Money(source.unapplied, source.currency),
    )
    if command.amount.amount_minor > source.refundable:
        raise exceeded("REFUND_EXCEEDS_REFUNDABLE", command.amount, refundable, what)
    if command.source == "UNAPPLIED" and command.amount.amount_minor > source.unapplied:
        raise exceeded("REFUND_EXCEEDS_UNAPPLIED", command.amount, unapplied, what)


def check_window(gateway: Gateway, source: Payment, now: datetime) -> None:
    """Raises `REFUND_WINDOW_EXPIRED` when the gateway no longer takes a refund of so old a payment."""
    days = (gateway.capabilities.refund_window_days or {}).get(source.method.type if source.method else "")
    taken = source.gateway_date
    if days is not None and taken is not None and now > taken + timedelta(days=days):
        raise Rejected("REFUND_WINDOW_EXPIRED", f"the gateway refunds only within {days} days")


def _reopen(draft: Draft, command: IssueRefund, context: Context) -> None:
    """Take whole applications back, newest first, until enough is free; then apply the excess again."""
    source = draft.get(Payment, command.payment_id)
    newest = sorted(
        source.applications.values(), key=lambda a: (a.applied_at, a.application_id), reverse=True
    )
    why = Why(context.now, "REFUND")
    for application in newest:
        source = draft.get(Payment, command.payment_id)
        short = command.amount.amount_minor - source.unapplied
        if short <= 0:
            return
        invoice = draft.get(Invoice, application.invoice_id)
        if invoice.locked_by is not None:
            raise Rejected(
                "INVOICE_LOCKED", f"the invoice is held by {invoice.locked_by}", by=invoice.locked_by
            )
        level = invoice.level or "INVOICE"
        draft.extend(applying.unapply_payment(source, invoice, [application.application_id], why, context))
        excess = application.amount - short
        if excess > 0:
            source, invoice = (
                draft.get(Payment, command.payment_id),
                draft.get(Invoice, application.invoice_id),
            )
            shares = applying.spread_payment(invoice, excess, level, application.line_id)
            draft.extend(applying.apply_payment(source, invoice, shares, why, context, "reapply/"))


def request(
    draft: Draft,
    source: Payment,
    refund_id: str,
    amount: Money,
    reason: str,
    context: Context,
    *,
    attempt_no: int = 1,
    origin: str | None = None,
    orchestration_id: str | None = None,
    leg_no: int | None = None,
    notes: str | None = None,
    new: bool = True,
) -> None:
    """Reserve an amount on a payment, and plan its way back to the payment's own instrument."""
    assert source.method is not None
    assert source.gateway_id is not None
    number = context.number("REF")
    key, planned = calling.plan(
        context,
        origin=origin or refund_id,
        operation="REFUND",
        attempt_no=attempt_no,
        target_kind="refund",
        target_id=refund_id,
        gateway_id=source.gateway_id,
        amount=amount,
        merchant_reference=number,
        method=source.method,
        payment_ref=source.gateway_ref,
        original_amount=Money(source.amount, source.currency),
        already_refunded=Money(source.refunded, source.currency),
    )
    reserved = RefundReservedOnPayment(refund_id, amount, orchestration_id, leg_no)
    draft.record(Payment, source.payment_id, reserved)
    requested = RefundRequested(
        refund_id=refund_id,
        number=number,
        type="REFERENCED",
        account_id=context.account_id,
        amount=amount,
        reason_code=reason,
        gateway_id=source.gateway_id,
        method=source.method,
        attempt_no=attempt_no,
        gateway_idempotency_key=key,
        requested_at=context.now,
        payment_id=source.payment_id,
        orchestration_id=orchestration_id,
        leg_no=leg_no,
        requested_by=context.actor.id,
        notes=notes,
    )
    draft.record(Refund, refund_id, requested, new)
    draft.record(*planned)


def _unreferenced_needs(states: States, command: IssueUnreferencedRefund, context: Context) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)
    if command.refund_id:
        yield Need(Refund, command.refund_id)
    yield account.needed(context)
    memo, owner = states.find(CreditMemo, command.credit_memo_id), states.find(Account, context.account_id)
    yield from payout_needs(states, command.payment_method_id, memo, owner)


def payout_needs(
    states: States, method_id: str | None, memo: CreditMemo | None, owner: Account | None
) -> Needs:
    """The method that a memo is paid out to, and its gateway."""
    id = payout_method(method_id, memo, owner)
    if id:
        yield Need(SavedMethod, id)
        method = states.find(SavedMethod, id)
        if method and method.gateway_id:
            yield Need(Gateway, method.gateway_id)


def payout_method(method_id: str | None, memo: CreditMemo | None, owner: Account | None) -> str | None:
    """The request's, then the one stamped on the memo, then the account's default (domain 2.7)."""
    return (
        method_id
        or (memo.saved_payment_method_id if memo else None)
        or (owner.default_method_id if owner else None)
    )


def issue_unreferenced(states: States, command: IssueUnreferencedRefund, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    if not memo.status:
        raise not_found("CREDIT_MEMO", command.credit_memo_id)
    if memo.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", "the credit memo belongs to another account")
    _check_new(states, command.refund_id)
    if memo.status != "POSTED":
        raise invalid_state("credit memo", memo.status, ["POSTED"])
    if memo.locked_by is not None:
        raise Rejected(
            "CREDIT_MEMO_LOCKED", f"the credit memo is held by {memo.locked_by}", by=memo.locked_by
        )
    _check_amount(command.amount, memo.currency)
    if command.amount.amount_minor > memo.balance:
        available = Money(memo.balance, memo.currency)
        raise exceeded("CREDIT_BALANCE_EXCEEDED", command.amount, available, f"credit memo {memo.number}")
    owner = states.get(Account, context.account_id)
    method = check_payout(
        states, payout_method(command.payment_method_id, memo, owner), command.amount, context
    )
    draft, refund_id = Draft(states, EVOLVE), command.refund_id or context.new_id("refund")
    draft.record(CreditMemo, command.credit_memo_id, CreditMemoLocked(f"refund:{refund_id}"))
    request_unreferenced(
        draft, memo, method, refund_id, command.amount, command.reason, context, new=not command.refund_id
    )
    return draft.changes


def check_payout(states: States, method_id: str | None, amount: Money, context: Context) -> SavedMethod:
    """The method to pay out to.  Raises `NO_REFUND_METHOD` and what `check_usable` and the gateway say."""
    if method_id is None:
        raise Rejected("NO_REFUND_METHOD", "there is no method to pay out to")
    method = states.get(SavedMethod, method_id)
    payment_method.check_usable(method, method_id, context)
    gateway = states.get(Gateway, method.gateway_id)
    check_accepts(gateway, method.gateway_id, "UNREFERENCED_REFUND", amount, method.type)
    return method


def request_unreferenced(
    draft: Draft,
    memo: CreditMemo,
    method: SavedMethod,
    refund_id: str,
    amount: Money,
    reason: str,
    context: Context,
    *,
    attempt_no: int = 1,
    origin: str | None = None,
    orchestration_id: str | None = None,
    leg_no: int | None = None,
    new: bool = True,
) -> None:
    """Reserve an amount on a credit memo, largest open line first, and plan its payout."""
    number, snapshot = context.number("REF"), payment_method.snapshot(method)
    key, planned = calling.plan(
        context,
        origin=origin or refund_id,
        operation="UNREFERENCED_REFUND",
        attempt_no=attempt_no,
        target_kind="refund",
        target_id=refund_id,
        gateway_id=method.gateway_id,
        amount=amount,
        merchant_reference=number,
        method=snapshot,
    )
    reserved = reserved_on_memo(memo, refund_id, amount, orchestration_id, leg_no)
    draft.record(CreditMemo, memo.credit_memo_id, reserved)
    requested = RefundRequested(
        refund_id=refund_id,
        number=number,
        type="UNREFERENCED",
        account_id=context.account_id,
        amount=amount,
        reason_code=reason,
        gateway_id=method.gateway_id,
        method=snapshot,
        attempt_no=attempt_no,
        gateway_idempotency_key=key,
        requested_at=context.now,
        credit_memo_id=memo.credit_memo_id,
        orchestration_id=orchestration_id,
        leg_no=leg_no,
        requested_by=context.actor.id,
    )
    draft.record(Refund, refund_id, requested, new)
    draft.record(*planned)


def reserved_on_memo(
    memo: CreditMemo, refund_id: str, amount: Money, orchestration_id: str | None, leg_no: int | None
) -> CreditMemoRefundReserved:
    """A reservation on a memo's lines, largest open line first."""
    return CreditMemoRefundReserved(refund_id, amount, _largest_first(memo, amount), orchestration_id, leg_no)


def _largest_first(memo: CreditMemo, amount: Money) -> tuple[LineAmount, ...]:
    left, taken = amount.amount_minor, list[LineAmount]()
    for line in sorted(memo.lines.values(), key=lambda line: (-line.balance, line.position)):
        part = min(line.balance, left)
        if part > 0:
            left -= part
            taken.append(LineAmount(line.line.line_id, Money(part, amount.currency)))
    assert left == 0, "the memo's lines hold its balance"
    return tuple(taken)


def _external_needs(states: States, command: RecordExternalRefund, context: Context) -> Needs:
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    if command.credit_memo_id:
        yield Need(CreditMemo, command.credit_memo_id)
    if command.refund_id:
        yield Need(Refund, command.refund_id)
    yield account.needed(context)


def record_external(states: States, command: RecordExternalRefund, context: Context) -> Changes:
    account.of(states, context)
    _check_new(states, command.refund_id)
    if bool(command.payment_id) == bool(command.credit_memo_id):
        raise Rejected("MALFORMED_REQUEST", "name a payment or a credit memo", field="data.payment_id")
    refund_id = command.refund_id or context.new_id("refund")
    draft = Draft(states, EVOLVE)
    if command.payment_id:
        kind, id = "payment", command.payment_id
        _take_from_payment(draft, command.payment_id, refund_id, command.amount, context)
    else:
        kind, id = "cm", command.credit_memo_id or ""
        _take_from_memo(draft, id, refund_id, command.amount, context)
    recorded = ExternalRefundRecorded(
        refund_id,
        context.number("REF"),
        context.account_id,
        command.amount,
        command.instrument,
        command.reference,
        command.paid_on,
        command.reason,
        command.payment_id,
        command.credit_memo_id,
    )
    draft.record(Refund, refund_id, recorded, new=not command.refund_id)
    draft.record(Refund, refund_id, RefundApplied(kind, id, command.amount))
    return draft.changes


def _take_from_payment(
    draft: Draft, payment_id: str, refund_id: str, amount: Money, context: Context
) -> None:
    source = draft.get(Payment, payment_id)
    applying.check_payment(source, payment_id, context)
    if source.status != "PROCESSED":
        raise Rejected("PAYMENT_NOT_PROCESSED", f"the payment is {source.status}", state=source.status)
    _check_amount(amount, source.currency)
    if amount.amount_minor > source.unapplied:
        available = Money(source.unapplied, source.currency)
        raise exceeded("REFUND_EXCEEDS_UNAPPLIED", amount, available, f"payment {source.number}")
    draft.record(Payment, payment_id, RefundAppliedToPayment(refund_id, amount, reserved=False))


def _take_from_memo(draft: Draft, memo_id: str, refund_id: str, amount: Money, context: Context) -> None:
    memo = draft.get(CreditMemo, memo_id)
    if memo.account_id != context.account_id:
        raise not_found("CREDIT_MEMO", memo_id)
    if memo.status != "POSTED":
        raise invalid_state("credit memo", memo.status, ["POSTED"])
    if memo.locked_by is not None:
        raise Rejected(
            "CREDIT_MEMO_LOCKED", f"the credit memo is held by {memo.locked_by}", by=memo.locked_by
        )
    _check_amount(amount, memo.currency)
    if amount.amount_minor > memo.balance:
        available = Money(memo.balance, memo.currency)
        raise exceeded("CREDIT_BALANCE_EXCEEDED", amount, available, f"credit memo {memo.number}")
    lines = _largest_first(memo, amount)
    draft.record(CreditMemo, memo_id, RefundAppliedToCreditMemo(refund_id, amount, lines, reserved=False))


# -- the outcome


def _outcome_needs(states: States, command: Report, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
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
    draft = Draft(states, EVOLVE)
    draft.extend(settled.changes)
    _returned(draft, refund, settled, command, context, settings["refund_failure_fallback"])
    return draft.changes


def _returned(
    draft: Draft, refund: Refund, settled: Settled, report: Report, context: Context, fallbacks: Sequence[str]
) -> None:
    from services import orchestrating  # an orchestration's legs are refunds, and refunds are its legs

    outcome, id = settled.outcome, refund.refund_id
    match settled.verdict:
        case "PROCESSED":
            _processed(draft, refund, settled, report, late=False)
            if refund.orchestration_id:
                orchestrating.leg_succeeded(draft, refund, context)
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
            if refund.orchestration_id:
                orchestrating.leg_failed(draft, refund, outcome, context, "RETRY" in fallbacks)
            else:
                _release(draft, refund)
        case "UNKNOWN":
            assert settled.next_query_at is not None
            reason = outcome.raw_message or outcome.result_code
            draft.record(Refund, id, RefundOutcomeUnknown(report.sent_at, reason, settled.next_query_at))
        case "PENDING" | "REQUIRES_ACTION":
            draft.record(Refund, id, RefundPending(outcome.gateway_ref, report.source))
        case "REQUIRES_REVIEW":
            reason = outcome.raw_message or outcome.result_code
            draft.record(Refund, id, RefundHeldForReview(reason, report.source, outcome.gateway_ref))
            if outcome.result_code != "RequiresReview":
                message = "nobody could find out whether the gateway executed it"
                draft.record(*exceptions.raised(context, "UNKNOWN_OUTCOME_EXPIRED", "refund", id, message))
        case "CONTRADICTED":
            message = f"{report.source} says {outcome.result_code} after success"
            draft.record(*exceptions.raised(context, "CONTRADICTED_OUTCOME", "refund", id, message))
        case "REVERSED":
            _reversed(draft, refund, outcome.raw_code, context)
        case _:
            pass


def _processed(draft: Draft, refund: Refund, settled: Settled, report: Report, late: bool) -> None:
    amount, id = Money(refund.amount, refund.currency), refund.refund_id
    kind, source = ("payment", refund.payment_id) if refund.payment_id else ("cm", refund.credit_memo_id)
    assert source is not None
    outcome = settled.outcome
    processed = RefundProcessed(
        amount, refund.type, outcome.gateway_ref, outcome.gateway_date, report.source, late
    )
    draft.record(Refund, id, processed)
    draft.record(Refund, id, RefundApplied(kind, source, amount))
    if kind == "payment":
        draft.record(Payment, source, RefundAppliedToPayment(id, amount, reserved=not late))
        return
    memo = draft.get(CreditMemo, source)
    lines = memo.reservations.get(id) or _largest_first(memo, amount)
    draft.record(CreditMemo, source, RefundAppliedToCreditMemo(id, amount, lines, reserved=not late))
    _unlock_own(draft, source, id)


def _unlock_own(draft: Draft, memo_id: str, refund_id: str) -> None:
    if draft.get(CreditMemo, memo_id).locked_by == f"refund:{refund_id}":
        draft.record(CreditMemo, memo_id, CreditMemoUnlocked(f"refund:{refund_id}"))


def _release(draft: Draft, refund: Refund) -> None:
    amount = Money(refund.amount, refund.currency)
    if refund.payment_id:
        draft.record(Payment, refund.payment_id, RefundReservationReleased(refund.refund_id, amount))
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
        _processed(draft, refund, settled, report, late=True)
    draft.record(*exceptions.raised(context, "LATE_SUCCESS", "refund", id, message, amount))


def _free(draft: Draft, refund: Refund) -> int:
    if refund.payment_id:
        return draft.get(Payment, refund.payment_id).unapplied
    return draft.get(CreditMemo, refund.credit_memo_id or "").balance


def _reversed(draft: Draft, refund: Refund, raw_code: str | None, context: Context) -> None:
    """The customer's bank sent it back: the money is where it was before, and the leg is placed anew."""
    from services import orchestrating

    if refund.status != "PROCESSED":
        return
    amount, id = Money(refund.amount, refund.currency), refund.refund_id
    kind, source = ("payment", refund.payment_id) if refund.payment_id else ("cm", refund.credit_memo_id)
    assert source is not None
    draft.record(Refund, id, RefundReversed(amount, refund.type, kind, source, raw_code))
    if kind == "payment":
        draft.record(Payment, source, RefundReversedOnPayment(id, amount))
    else:
        draft.record(
            CreditMemo, source, RefundReversedOnCreditMemo(id, amount, _refunded_lines(draft, source, amount))
        )
    message = f"the refund came back: {raw_code or 'no reason given'}"
    draft.record(*exceptions.raised(context, "REFUND_REVERSED", "refund", id, message, amount))
    if refund.orchestration_id:
        orchestrating.leg_reversed(draft, refund, raw_code, context)


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


def resolve_outcome(states: States, command: ResolveRefundOutcome, context: Context) -> Changes:
    refund = states.get(Refund, command.refund_id)
    if not refund.status:
        raise not_found("REFUND", command.refund_id)
    if not refund.in_flight or refund.status == "REQUESTED":
        raise invalid_state("refund", refund.status, refunds.IN_FLIGHT - {"REQUESTED"})
    code = "Success" if command.outcome == "PROCESSED" else "PermanentFail"
    known = Outcome(
        code, category=None if code == "Success" else "PaymentProcessing", raw_message=command.evidence
    )
    report = RecordRefundOutcome(refund.operation_key, "OPERATOR", known, evidence=command.evidence)
    return record_outcome(states, report, context)


RULES = (
    Rule(IssueRefund, _issue_needs, issue),
    Rule(IssueUnreferencedRefund, _unreferenced_needs, issue_unreferenced),
    Rule(RecordExternalRefund, _external_needs, record_external),
    Rule(RecordRefundOutcome, _outcome_needs, record_outcome),
    Rule(ResolveRefundOutcome, _resolve_needs, resolve_outcome),
)
