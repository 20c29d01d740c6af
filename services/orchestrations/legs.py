"""The legs of a refund orchestration: what each asks for, and what its refund reports.

Invariant: a leg's money stays reserved until it is refunded or placed otherwise; when
every leg is settled, the orchestration lets go of the invoice and the memo in the same decision.
"""

from __future__ import annotations

from datetime import timedelta

from events.credit_memo import CreditMemoLocked, CreditMemoRefundReleased, CreditMemoUnlocked
from events.invoice import InvoiceLocked, InvoiceUnlocked
from events.money import Money
from events.orchestration import (
    RefundLegFailed,
    RefundLegFellBack,
    RefundLegPending,
    RefundLegRequested,
    RefundLegSucceeded,
    RefundOrchestrationCompleted,
    RefundOrchestrationReopened,
)
from events.payment import RefundReservationReleased, RefundReservedOnPayment
from events.shapes import Outcome
from services.accounts.payment_method import SavedMethod
from services.applications import application
from services.applications.application import Source, Why
from services.credits.credit_memo import CreditMemo
from services.decision import Context, Draft
from services.invoices.invoice import Application, Invoice
from services.orchestrations.orchestration import Leg, RefundOrchestration, holder
from services.orchestrations.planning import Pick, Plan
from services.payments.payment import Payment
from services.refunds import requesting
from services.refunds.refund import Refund

RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 10, 60, 360, 1440))
"""A soft failure is tried again so long after the leg's first; then its fallbacks begin."""


REASON = "CREDIT_MEMO"


def why(context: Context) -> Why:
    return Why(context.now, "ORCHESTRATION")


def newest(invoice: Invoice, source_id: str, enough: int) -> list[Application]:
    """A source's applications to an invoice, newest first, until they reach an amount."""
    on_it = [a for a in invoice.applications.values() if a.source_id == source_id]
    taken, off = list[Application](), 0
    for whole in sorted(on_it, key=lambda a: -a.order):
        if off >= enough:
            break
        off += whole.amount
        taken.append(whole)
    return taken


def take_off(draft: Draft, payment_id: str, invoice_id: str, amount: int, context: Context) -> None:
    """Take a payment's applications off an invoice, newest first, until they reach an amount."""
    payment, invoice = draft.get(Payment, payment_id), draft.get(Invoice, invoice_id)
    ids = [whole.application_id for whole in newest(invoice, payment_id, amount)]
    draft.extend(application.take_back(payment, invoice, ids, why(context), context))


def taking_off_less(draft: Draft, invoice_id: str, plan: Plan) -> Plan:
    """The same refunds with no more applications taken off than each needs; an application stays whole."""
    invoice, picks = draft.get(Invoice, invoice_id), list[Pick]()
    for pick in plan.picks:
        off = sum(whole.amount for whole in newest(invoice, pick.payment_id, pick.refund))
        picks.append(pick._replace(unapply=off, reapply=off - pick.refund))
    return plan._replace(picks=tuple(picks))


def apply(
    draft: Draft,
    kind: type[Source],
    source_id: str,
    invoice_id: str,
    amount: int,
    level: str,
    context: Context,
    part: str = "",
) -> None:
    application.apply(draft, kind, source_id, invoice_id, amount, level, why(context), context, part)


def request(
    draft: Draft,
    ro: RefundOrchestration,
    leg_no: int,
    payment_id: str,
    refund_id: str,
    amount: Money,
    attempt_no: int,
    option: str,
    context: Context,
) -> None:
    requesting.request(
        draft,
        draft.get(Payment, payment_id),
        refund_id,
        amount,
        REASON,
        context,
        attempt_no=attempt_no,
        origin=f"{ro.orchestration_id}.{leg_no}",
        orchestration_id=ro.orchestration_id,
        leg_no=leg_no,
    )
    requested = RefundLegRequested(leg_no, attempt_no, refund_id, amount, "payment", payment_id, option)
    draft.record(RefundOrchestration, ro.orchestration_id, requested)


def request_payout(
    draft: Draft,
    ro: RefundOrchestration,
    method: SavedMethod,
    leg_no: int,
    refund_id: str,
    amount: Money,
    attempt_no: int,
    option: str,
    context: Context,
) -> None:
    requesting.request_unreferenced(
        draft,
        draft.get(CreditMemo, ro.credit_memo_id),
        method,
        refund_id,
        amount,
        REASON,
        context,
        attempt_no=attempt_no,
        origin=f"{ro.orchestration_id}.{leg_no}",
        orchestration_id=ro.orchestration_id,
        leg_no=leg_no,
    )
    requested = RefundLegRequested(leg_no, attempt_no, refund_id, amount, "cm", ro.credit_memo_id, option)
    draft.record(RefundOrchestration, ro.orchestration_id, requested)


def release(draft: Draft, ro: RefundOrchestration, leg: Leg) -> None:
    """Let go of a leg's reservation; whatever follows in the same decision takes the money on."""
    if leg.source_kind == "payment":
        reserved = draft.get(Payment, leg.source_id).reservations[leg.refund_id]
        released = RefundReservationReleased(
            leg.refund_id, Money(reserved, ro.currency), ro.orchestration_id, leg.no
        )
        draft.record(Payment, leg.source_id, released)
    else:
        lines = draft.get(CreditMemo, leg.source_id).reservations[leg.refund_id]
        total = Money(sum(line.amount.amount_minor for line in lines), ro.currency)
        draft.record(CreditMemo, leg.source_id, CreditMemoRefundReleased(leg.refund_id, total, lines))


def shrink_reservation(draft: Draft, ro: RefundOrchestration, leg: Leg, amount: int) -> None:
    """Free a part of what a failed leg has reserved; the rest stays reserved for the next option."""
    release(draft, ro, leg)
    rest = leg.amount - amount
    if rest > 0:
        kept = RefundReservedOnPayment(leg.refund_id, Money(rest, ro.currency), ro.orchestration_id, leg.no)
        draft.record(Payment, leg.source_id, kept)


def fell_back(
    draft: Draft,
    ro: RefundOrchestration,
    leg: Leg,
    option: str,
    amount: int,
    reason: str,
    new_leg_no: int | None = None,
    payment_id: str | None = None,
) -> None:
    fact = RefundLegFellBack(
        leg.no,
        leg.tried[-1] if leg.tried else "ORIGINAL",
        option,
        reason,
        Money(amount, ro.currency),
        Money(leg.amount - amount, ro.currency),
        new_leg_no,
        payment_id,
    )
    draft.record(RefundOrchestration, ro.orchestration_id, fact)


def leg_succeeded(draft: Draft, refund: Refund, context: Context) -> None:
    ro_id, leg_no = _leg_of(refund)
    succeeded = RefundLegSucceeded(leg_no, refund.refund_id, Money(refund.amount, refund.currency))
    draft.record(RefundOrchestration, ro_id, succeeded)
    finish(draft, ro_id)


def leg_pending(draft: Draft, refund: Refund) -> None:
    """The gateway has it: other legs go on, this one waits for its word."""
    ro_id, leg_no = _leg_of(refund)
    reason = draft.get(Refund, refund.refund_id).status
    draft.record(RefundOrchestration, ro_id, RefundLegPending(leg_no, refund.refund_id, reason))


def leg_failed(draft: Draft, refund: Refund, outcome: Outcome, context: Context, retries: bool) -> None:
    """The leg keeps its reservation; a soft failure is tried again, a hard one goes to the fallbacks."""
    ro_id, leg_no = _leg_of(refund)
    leg = draft.get(RefundOrchestration, ro_id).legs[leg_no]
    first = leg.first_failed_at or context.now
    again = retries and not outcome.hard and refund.attempt_no <= len(RETRY_AFTER)
    retry_at = max(context.now, first + RETRY_AFTER[refund.attempt_no - 1]) if again else None
    failed = RefundLegFailed(
        leg_no,
        refund.attempt_no,
        refund.refund_id,
        Money(refund.amount, refund.currency),
        outcome.hard,
        outcome.category or "Unknown",
        outcome.raw_code,
        context.now,
        retry_at,
    )
    draft.record(RefundOrchestration, ro_id, failed)


def leg_reversed(draft: Draft, refund: Refund, raw_code: str | None, context: Context) -> None:
    """A refund came back: the leg's money is reserved again, and goes the way of the fallbacks."""
    ro_id, leg_no = _leg_of(refund)
    ro, amount = draft.get(RefundOrchestration, ro_id), Money(refund.amount, refund.currency)
    if draft.get(Invoice, ro.original_invoice_id).locked_by is None:
        draft.record(Invoice, ro.original_invoice_id, InvoiceLocked(holder(ro_id)))
    if draft.get(CreditMemo, ro.credit_memo_id).locked_by is None:
        draft.record(CreditMemo, ro.credit_memo_id, CreditMemoLocked(holder(ro_id)))
    if refund.payment_id:
        reserved = RefundReservedOnPayment(refund.refund_id, amount, ro_id, leg_no)
        draft.record(Payment, refund.payment_id, reserved)
    else:
        memo = draft.get(CreditMemo, ro.credit_memo_id)
        draft.record(
            CreditMemo,
            ro.credit_memo_id,
            requesting.reserved_on_memo(memo, refund.refund_id, amount, ro_id, leg_no),
        )
    draft.record(RefundOrchestration, ro_id, RefundOrchestrationReopened(leg_no, amount))
    failed = RefundLegFailed(
        leg_no,
        refund.attempt_no,
        refund.refund_id,
        amount,
        True,
        "PaymentProcessing",
        raw_code,
        context.now,
        None,
        reversed=True,
    )
    draft.record(RefundOrchestration, ro_id, failed)


def _leg_of(refund: Refund) -> tuple[str, int]:
    assert refund.orchestration_id is not None
    assert refund.leg_no is not None
    return refund.orchestration_id, refund.leg_no


def finish(draft: Draft, ro_id: str) -> None:
    ro = draft.get(RefundOrchestration, ro_id)
    if all(leg.settled for leg in ro.legs.values()):
        credit_left = draft.get(CreditMemo, ro.credit_memo_id).balance > 0
        complete(draft, ro_id, "COMPLETED_WITH_OPEN_CREDIT" if credit_left else "COMPLETED")


def complete(draft: Draft, ro_id: str, status: str, reason: str | None = None) -> None:
    """Unlock what this orchestration held, and say how it ended."""
    ro, by = draft.get(RefundOrchestration, ro_id), holder(ro_id)
    if draft.get(Invoice, ro.original_invoice_id).locked_by == by:
        draft.record(Invoice, ro.original_invoice_id, InvoiceUnlocked(by))
    memo = draft.get(CreditMemo, ro.credit_memo_id)
    if memo.locked_by == by:
        draft.record(CreditMemo, ro.credit_memo_id, CreditMemoUnlocked(by))
    refunded, left = Money(ro.refunded, ro.currency), Money(memo.balance, ro.currency)
    draft.record(RefundOrchestration, ro_id, RefundOrchestrationCompleted(status, refunded, left, reason))
