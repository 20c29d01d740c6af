"""Orchestrating refunds: from a locked credit memo to money on its way back, in one decision.

Invariant (domain 3.5): unapplying, applying back, applying the memo, reserving and requesting every
leg happen together, so that no reader sees the invoice reopened and nobody else can take the money.
A leg's money stays reserved until it is refunded or placed otherwise; what cannot be sent back
becomes open credit, never nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from events.credit_memo import CreditMemoLocked, CreditMemoRefundReleased, CreditMemoUnlocked
from events.invoice import InvoiceLocked, InvoiceUnlocked
from events.money import Money
from events.orchestration import (
    Candidate,
    ManualActionRequested,
    ManualActionResolved,
    RefundLegFailed,
    RefundLegFellBack,
    RefundLegRequested,
    RefundLegSucceeded,
    RefundOrchestrationCanceled,
    RefundOrchestrationCompleted,
    RefundOrchestrationReopened,
    RefundOrchestrationWaitingForPayment,
    RefundPlanExecuted,
    RefundPlanMade,
    Selected,
)
from events.payment import RefundAppliedToPayment, RefundReservationReleased, RefundReservedOnPayment
from events.refund import ExternalRefundRecorded, RefundApplied
from events.shapes import Outcome
from services import account, applying, refunding, tenant_settings
from services.account import Account
from services.applying import Why
from services.commands import FreeText, Id, Text, command
from services.converting import request_refund
from services.credit_memo import CreditMemo
from services.decision import Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found
from services.gateway import Gateway
from services.invoice import Invoice
from services.orchestration import PLANNABLE, Leg, RefundOrchestration, holder
from services.payment import Payment
from services.payment_method import SavedMethod
from services.planning import Plan, Source, choose
from services.refund import Refund

RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 10, 60, 360, 1440))
"""A soft failure is tried again so long after the leg's first; then its fallbacks begin."""

REASON = "CREDIT_MEMO"

Option = Literal["OTHER_PAYMENT", "UNREFERENCED", "MANUAL", "OPEN_CREDIT"]


@command("payments.refund_orchestration.automate.v1")
class AutomateRefund:
    """Start the orchestration of a memo by hand; the invoice, when given, must be the memo's reference."""

    credit_memo_id: Id
    invoice_id: Id | None = None


@command("payments.refund_orchestration.execute_plan.v1")
class ExecuteRefundPlan:
    """Plan the refunds on the state of this moment, and carry the plan out.  The process's own."""

    orchestration_id: Id


@command("payments.refund_orchestration.retry_leg.v1")
class RetryRefundLeg:
    """Try a failed leg again on the same payment, under a new key."""

    orchestration_id: Id
    leg_no: int


@command("payments.refund_orchestration.choose_fallback.v1")
class ChooseRefundFallback:
    """Place a failed leg's money otherwise."""

    orchestration_id: Id
    leg_no: int
    option: Option


@command("payments.refund_orchestration.cancel.v1")
class CancelRefundOrchestration:
    orchestration_id: Id
    reason: FreeText | None = None


@command("payments.refund_orchestration.resolve_manual_action.v1")
class ResolveManualAction:
    """What a person did about a leg: paid it outside any gateway, or left it as open credit."""

    orchestration_id: Id
    leg_no: int
    resolution: Literal["REFUNDED_EXTERNALLY", "OPEN_CREDIT"]
    note: FreeText
    instrument: Literal["CASH", "CHECK", "WIRE", "OTHER"] = "OTHER"
    reference: Text | None = None


# -- what decisions about an orchestration see


def _needs(
    states: States, command: ExecuteRefundPlan | RetryRefundLeg | ChooseRefundFallback, context: Context
) -> Needs:
    """The memo, the original invoice with every payment on it, and all that is open on the account."""
    yield Need(RefundOrchestration, command.orchestration_id)
    yield tenant_settings.needed(context)
    yield account.needed(context)
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, RefundOrchestration):
        yield Need(RefundOrchestration, id)
    ro = states.find(RefundOrchestration, command.orchestration_id)
    if ro is None or not ro.status:
        return
    yield Need(CreditMemo, ro.credit_memo_id)
    yield Need(Invoice, ro.original_invoice_id)
    for id in _payments(states, ro, context):
        yield Need(Payment, id)
        payment = states.find(Payment, id)
        if payment and payment.gateway_id:
            yield Need(Gateway, payment.gateway_id)
    for leg in ro.legs.values():
        yield Need(Refund, leg.refund_id)
    memo, owner = states.find(CreditMemo, ro.credit_memo_id), states.find(Account, context.account_id)
    yield from refunding.payout_needs(states, None, memo, owner)


def _payments(states: States, ro: RefundOrchestration, context: Context) -> Iterable[str]:
    original = states.find(Invoice, ro.original_invoice_id)
    applied = (
        [a.source_id for a in original.applications.values() if a.source_kind == "payment"]
        if original
        else []
    )
    legs = [leg.source_id for leg in ro.legs.values() if leg.source_kind == "payment"]
    return dict.fromkeys([*applied, *legs, *states.find_documents(context.account_id, Payment)])


def _of(states: States, id: str, context: Context) -> RefundOrchestration:
    ro = states.get(RefundOrchestration, id)
    if not ro.status:
        raise not_found("ORCHESTRATION", id)
    if ro.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the orchestration {id} belongs to another account")
    return ro


# -- the plan


def execute(states: States, command: ExecuteRefundPlan, context: Context) -> Changes:
    ro = _of(states, command.orchestration_id, context)
    if ro.status not in PLANNABLE:
        raise invalid_state("orchestration", ro.status, PLANNABLE)
    draft = Draft(states, refunding.EVOLVE)
    behind, payments = _ahead(states, ro, context), _on_their_way(states, ro, context)
    if behind or payments:
        waiting = RefundOrchestrationWaitingForPayment(ro.attempt + 1, tuple(payments), behind)
        draft.record(RefundOrchestration, ro.orchestration_id, waiting)
        return draft.changes
    unusable = _unusable(states, ro, context)
    if unusable:
        _complete(draft, ro.orchestration_id, "COMPLETED_WITH_OPEN_CREDIT", unusable)
        return draft.changes
    level = tenant_settings.of(states, context)["application_level"]
    settled = _settle_open_balance(draft, ro, level, context)
    _plan(draft, states, ro, settled, level, context)
    return draft.changes


def _ahead(states: States, ro: RefundOrchestration, context: Context) -> str | None:
    """At most one live orchestration per original invoice; the others queue in order."""
    for id in states.documents(context.account_id, RefundOrchestration):
        other = states.get(RefundOrchestration, id)
        if other.open and other.original_invoice_id == ro.original_invoice_id and _place(other) < _place(ro):
            return id
    return None


def _place(ro: RefundOrchestration) -> tuple[bool, datetime | None, str]:
    """Who has begun goes on; then the order of requests."""
    return ro.status in PLANNABLE, ro.requested_at, ro.orchestration_id


def _on_their_way(states: States, ro: RefundOrchestration, context: Context) -> list[str]:
    """Payments aimed at the original invoice whose outcome is not known."""
    return [
        id
        for id in states.documents(context.account_id, Payment)
        if (payment := states.get(Payment, id)).in_flight
        and any(intended.invoice_id == ro.original_invoice_id for intended in payment.intended)
    ]


def _unusable(states: States, ro: RefundOrchestration, context: Context) -> str | None:
    original = states.get(Invoice, ro.original_invoice_id)
    if original.status != "POSTED" or original.account_id != context.account_id:
        return "the original invoice is not known on this account"
    if original.currency != ro.currency:
        return "the original invoice is in another currency"
    return None


def _settle_open_balance(draft: Draft, ro: RefundOrchestration, level: str, context: Context) -> int:
    """A partly paid customer owes less, and nothing is sent back (domain 3.5, step 1)."""
    memo, original = draft.get(CreditMemo, ro.credit_memo_id), draft.get(Invoice, ro.original_invoice_id)
    amount = min(original.balance, memo.balance)
    if amount > 0:
        shares = applying.spread_memo(memo, original, amount, original.level or level)
        draft.extend(applying.apply_memo(memo, original, shares, _why(context), context, "settle/"))
    return max(amount, 0)


def _why(context: Context) -> Why:
    return Why(context.now, "ORCHESTRATION")


def _plan(
    draft: Draft, states: States, ro: RefundOrchestration, settled: int, level: str, context: Context
) -> None:
    target, id = draft.get(CreditMemo, ro.credit_memo_id).balance, ro.orchestration_id
    candidates = [_candidate(draft, states, ro, payment_id, context) for payment_id in _applied(draft, ro)]
    plan = choose(target, [_source(draft, ro, candidate) for candidate in candidates])
    selected = tuple(
        Selected(
            pick.payment_id,
            Money(pick.unapply, ro.currency),
            Money(pick.reapply, ro.currency),
            Money(pick.refund, ro.currency),
            context.new_id(f"leg/{no}"),
            no,
        )
        for no, pick in enumerate(plan.picks, start=1)
    )
    made = RefundPlanMade(
        ro.attempt + 1,
        Money(target, ro.currency),
        Money(settled, ro.currency),
        tuple(candidates),
        selected,
        Money(plan.leftover, ro.currency),
    )
    draft.record(RefundOrchestration, id, made)
    if not selected:
        _complete(draft, id, "COMPLETED_WITH_OPEN_CREDIT" if target else "NO_REFUND_DUE")
        return
    _carry_out(draft, ro, plan, selected, level, context)


def _applied(draft: Draft, ro: RefundOrchestration) -> list[str]:
    """The payments on the original invoice."""
    applications = draft.get(Invoice, ro.original_invoice_id).applications.values()
    return list(dict.fromkeys(a.source_id for a in applications if a.source_kind == "payment"))


def _candidate(
    draft: Draft, states: States, ro: RefundOrchestration, payment_id: str, context: Context
) -> Candidate:
    payment = draft.get(Payment, payment_id)
    applied, refundable = payment.applied_to(ro.original_invoice_id), payment.refundable
    reason = _why_not(states, payment, context)
    eligible = 0 if reason else min(applied, refundable)
    money = (Money(amount, ro.currency) for amount in (applied, refundable, eligible))
    return Candidate(
        payment_id, *money, reason_if_not=reason or (None if eligible > 0 else "nothing refundable")
    )


def _why_not(states: States, payment: Payment, context: Context) -> str | None:
    if payment.gateway_id is None:
        return "PAYMENT_NOT_GATEWAY_LINKED"
    if payment.status != "PROCESSED":
        return "PAYMENT_NOT_PROCESSED"
    if payment.cancellation_key is not None:
        return "OPERATION_IN_FLIGHT"
    gateway = states.get(Gateway, payment.gateway_id)
    if "REFUND" not in gateway.capabilities.operations:
        return "GATEWAY_CAPABILITY_MISSING"
    try:
        refunding.check_window(gateway, payment, context.now)
    except Rejected as rejected:
        return rejected.code
    return None


def _source(draft: Draft, ro: RefundOrchestration, candidate: Candidate) -> Source:
    payment = draft.get(Payment, candidate.payment_id)
    on_it = [a.applied_at for a in payment.applications.values() if a.invoice_id == ro.original_invoice_id]
    return Source(
        candidate.payment_id, candidate.applied.amount_minor, candidate.eligible.amount_minor, max(on_it)
    )


def _carry_out(
    draft: Draft,
    ro: RefundOrchestration,
    plan: Plan,
    selected: tuple[Selected, ...],
    level: str,
    context: Context,
) -> None:
    """Steps 3 to 6: lock, unapply, apply back, apply the memo, and request every leg."""
    invoice_id, memo_id = ro.original_invoice_id, ro.credit_memo_id
    level = draft.get(Invoice, invoice_id).level or level
    draft.record(Invoice, invoice_id, InvoiceLocked(holder(ro.orchestration_id)))
    for pick in plan.picks:
        _unapply_all(draft, pick.payment_id, invoice_id, context)
    for pick in plan.picks:
        _apply_payment(draft, pick.payment_id, invoice_id, pick.reapply, level, context, "reapply/")
    credit = sum(pick.refund for pick in plan.picks)
    _apply_memo(draft, memo_id, invoice_id, credit, level, context, "")
    executed = RefundPlanExecuted(Money(credit, ro.currency))
    draft.record(RefundOrchestration, ro.orchestration_id, executed)
    for leg in selected:
        _request_leg(draft, ro, leg.leg_no, leg.payment_id, leg.refund_id, leg.refund, 1, "ORIGINAL", context)


def _unapply_all(draft: Draft, payment_id: str, invoice_id: str, context: Context) -> int:
    """Take all of a payment's applications off an invoice; how much that was."""
    payment, invoice = draft.get(Payment, payment_id), draft.get(Invoice, invoice_id)
    on_it = [a for a in invoice.applications.values() if a.source_id == payment_id]
    ids = [a.application_id for a in sorted(on_it, key=lambda a: -a.order)]
    if ids:
        draft.extend(applying.unapply_payment(payment, invoice, ids, _why(context), context))
    return sum(a.amount for a in on_it)


def _apply_payment(
    draft: Draft, payment_id: str, invoice_id: str, amount: int, level: str, context: Context, part: str
) -> None:
    if amount > 0:
        payment, invoice = draft.get(Payment, payment_id), draft.get(Invoice, invoice_id)
        shares = applying.spread_payment(invoice, amount, level)
        draft.extend(applying.apply_payment(payment, invoice, shares, _why(context), context, part))


def _apply_memo(
    draft: Draft, memo_id: str, invoice_id: str, amount: int, level: str, context: Context, part: str
) -> None:
    if amount > 0:
        memo, invoice = draft.get(CreditMemo, memo_id), draft.get(Invoice, invoice_id)
        shares = applying.spread_memo(memo, invoice, amount, level)
        draft.extend(applying.apply_memo(memo, invoice, shares, _why(context), context, part))


def _request_leg(
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
    refunding.request(
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


# -- outcomes of legs, as refunds report them


def leg_succeeded(draft: Draft, refund: Refund, context: Context) -> None:
    ro_id, leg_no = _leg_of(refund)
    succeeded = RefundLegSucceeded(leg_no, refund.refund_id, Money(refund.amount, refund.currency))
    draft.record(RefundOrchestration, ro_id, succeeded)
    _finish(draft, ro_id)


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
            refunding.reserved_on_memo(memo, refund.refund_id, amount, ro_id, leg_no),
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


def _finish(draft: Draft, ro_id: str) -> None:
    ro = draft.get(RefundOrchestration, ro_id)
    if all(leg.settled for leg in ro.legs.values()):
        credit_left = draft.get(CreditMemo, ro.credit_memo_id).balance > 0
        _complete(draft, ro_id, "COMPLETED_WITH_OPEN_CREDIT" if credit_left else "COMPLETED")


def _complete(draft: Draft, ro_id: str, status: str, reason: str | None = None) -> None:
    """Unlock what this orchestration held, and say how it ended."""
    ro, by = draft.get(RefundOrchestration, ro_id), holder(ro_id)
    if draft.get(Invoice, ro.original_invoice_id).locked_by == by:
        draft.record(Invoice, ro.original_invoice_id, InvoiceUnlocked(by))
    memo = draft.get(CreditMemo, ro.credit_memo_id)
    if memo.locked_by == by:
        draft.record(CreditMemo, ro.credit_memo_id, CreditMemoUnlocked(by))
    refunded, left = Money(ro.refunded, ro.currency), Money(memo.balance, ro.currency)
    draft.record(RefundOrchestration, ro_id, RefundOrchestrationCompleted(status, refunded, left, reason))


# -- retrying, and placing money otherwise


def _leg(ro: RefundOrchestration, leg_no: int, *allowed: str) -> Leg:
    leg = ro.legs.get(leg_no)
    if leg is None:
        raise not_found("ORCHESTRATION", f"{ro.orchestration_id} leg {leg_no}")
    if leg.status not in allowed:
        raise invalid_state("leg", leg.status, allowed)
    return leg


def retry(states: States, command: RetryRefundLeg, context: Context) -> Changes:
    ro = _of(states, command.orchestration_id, context)
    leg = _leg(ro, command.leg_no, "FAILED", "MANUAL")
    draft, amount = Draft(states, refunding.EVOLVE), Money(leg.amount, ro.currency)
    refund_id, attempt = context.new_id(f"leg/{leg.no}"), leg.attempt_no + 1
    _release(draft, ro, leg)
    if leg.source_kind == "payment":
        _request_leg(draft, ro, leg.no, leg.source_id, refund_id, amount, attempt, "RETRY", context)
        return draft.changes
    old = states.get(Refund, leg.refund_id)
    assert old.method is not None
    method = refunding.check_payout(states, old.method.method_id, amount, context)
    _request_payout(draft, ro, method, leg.no, refund_id, amount, attempt, "RETRY", context)
    return draft.changes


def _release(draft: Draft, ro: RefundOrchestration, leg: Leg) -> None:
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


def _request_payout(
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
    refunding.request_unreferenced(
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


def choose_fallback(states: States, command: ChooseRefundFallback, context: Context) -> Changes:
    ro = _of(states, command.orchestration_id, context)
    leg = _leg(ro, command.leg_no, "FAILED", "MANUAL")
    draft = Draft(states, refunding.EVOLVE)
    level = tenant_settings.of(states, context)["application_level"]
    match command.option:
        case "OTHER_PAYMENT":
            _other_payment(draft, states, ro, leg, level, context)
        case "UNREFERENCED":
            _pay_out(draft, states, ro, leg, level, context)
        case "MANUAL":
            asked = ManualActionRequested(
                leg.no, Money(leg.amount, ro.currency), "pay it by check or transfer"
            )
            draft.record(RefundOrchestration, ro.orchestration_id, asked)
        case "OPEN_CREDIT":
            _open_credit(draft, ro, leg, level, context)
    _finish(draft, ro.orchestration_id)
    return draft.changes


def _fell_back(
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


def _other_payment(
    draft: Draft, states: States, ro: RefundOrchestration, leg: Leg, level: str, context: Context
) -> None:
    """Another payment of the same invoice gives what it can; the failed one takes its place there."""
    failed = {other.source_id for other in ro.legs.values()}
    candidates = [
        _candidate(draft, states, ro, id, context) for id in _applied(draft, ro) if id not in failed
    ]
    plan = choose(leg.amount, [_source(draft, ro, candidate) for candidate in candidates])
    if not plan.picks or leg.source_kind != "payment":
        _fell_back(
            draft, ro, leg, "OTHER_PAYMENT", 0, "no other payment of the invoice can give anything back"
        )
        return
    pick, invoice_id = plan.picks[0], ro.original_invoice_id
    amount, level = pick.refund, draft.get(Invoice, invoice_id).level or level
    _unapply_all(draft, pick.payment_id, invoice_id, context)
    _apply_payment(draft, pick.payment_id, invoice_id, pick.reapply, level, context, "reapply/")
    _shrink_reservation(draft, ro, leg, amount)
    _apply_payment(draft, leg.source_id, invoice_id, amount, level, context, "instead/")
    new_leg, refund_id = max(ro.legs) + 1, context.new_id("other")
    reason = "another payment of the same invoice"
    _fell_back(draft, ro, leg, "OTHER_PAYMENT", amount, reason, new_leg, pick.payment_id)
    money = Money(amount, ro.currency)
    _request_leg(draft, ro, new_leg, pick.payment_id, refund_id, money, 1, "OTHER_PAYMENT", context)


def _shrink_reservation(draft: Draft, ro: RefundOrchestration, leg: Leg, amount: int) -> None:
    """Free a part of what a failed leg has reserved; the rest stays reserved for the next option."""
    _release(draft, ro, leg)
    rest = leg.amount - amount
    if rest > 0:
        kept = RefundReservedOnPayment(leg.refund_id, Money(rest, ro.currency), ro.orchestration_id, leg.no)
        draft.record(Payment, leg.source_id, kept)


def _pay_out(
    draft: Draft, states: States, ro: RefundOrchestration, leg: Leg, level: str, context: Context
) -> None:
    """Give the failed payment its place on the invoice back, and pay the memo out to a saved method."""
    memo, owner = draft.get(CreditMemo, ro.credit_memo_id), states.get(Account, context.account_id)
    amount = Money(leg.amount, ro.currency)
    try:
        id = refunding.payout_method(None, memo, owner)
        method = refunding.check_payout(states, id, amount, context)
    except Rejected as rejected:
        _fell_back(draft, ro, leg, "UNREFERENCED", 0, rejected.code)
        return
    if leg.source_kind != "payment":
        _fell_back(draft, ro, leg, "UNREFERENCED", 0, "it was a payout already")
        return
    _swap_for_payment(draft, ro, leg, level, context)
    new_leg, refund_id = max(ro.legs) + 1, context.new_id("payout")
    _fell_back(draft, ro, leg, "UNREFERENCED", leg.amount, "paid out to a saved method", new_leg)
    _request_payout(draft, ro, method, new_leg, refund_id, amount, 1, "UNREFERENCED", context)


def _open_credit(draft: Draft, ro: RefundOrchestration, leg: Leg, level: str, context: Context) -> None:
    """The invoice stays settled, the payment fully applied, and the customer holds the credit."""
    if leg.source_kind == "payment":
        _swap_for_payment(draft, ro, leg, level, context)
    else:
        _release(draft, ro, leg)
    _fell_back(draft, ro, leg, "OPEN_CREDIT", leg.amount, "kept as open credit")


def _swap_for_payment(draft: Draft, ro: RefundOrchestration, leg: Leg, level: str, context: Context) -> None:
    """Take the leg's amount of the memo off the invoice, and put the failed payment in its place.

    Applications are whole: those of the memo are taken back, newest first, until enough is off, and
    what was too much is applied again.
    """
    invoice_id, memo_id = ro.original_invoice_id, ro.credit_memo_id
    invoice = draft.get(Invoice, invoice_id)
    level, off, ids = invoice.level or level, 0, list[str]()
    on_it = [a for a in invoice.applications.values() if a.source_id == memo_id]
    for application in sorted(on_it, key=lambda a: -a.order):
        if off >= leg.amount:
            break
        off += application.amount
        ids.append(application.application_id)
    draft.extend(applying.unapply_memo(draft.get(CreditMemo, memo_id), invoice, ids, _why(context), context))
    _release(draft, ro, leg)
    _apply_payment(draft, leg.source_id, invoice_id, leg.amount, level, context, "instead/")
    _apply_memo(draft, memo_id, invoice_id, off - leg.amount, level, context, "rest/")


# -- starting, canceling, and what people do


def _automate_needs(states: States, command: AutomateRefund, context: Context) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)


def automate(states: States, command: AutomateRefund, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    if not memo.status:
        raise not_found("CREDIT_MEMO", command.credit_memo_id)
    if memo.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", "the credit memo belongs to another account")
    if memo.status != "POSTED":
        raise invalid_state("credit memo", memo.status, ["POSTED"])
    if memo.locked_by is not None:
        code = "ORCHESTRATION_EXISTS" if memo.locked_by.startswith("refunding:") else "CREDIT_MEMO_LOCKED"
        raise Rejected(code, f"the credit memo is held by {memo.locked_by}", by=memo.locked_by)
    original = memo.reference_invoice_id
    if original is None or command.invoice_id not in (None, original):
        raise Rejected(
            "REFERENCE_MISMATCH", "the invoice must be the one that the memo refers to", reference=original
        )
    if memo.balance <= 0:
        raise Rejected("CREDIT_BALANCE_EXCEEDED", "nothing of the memo is left", available=0)
    draft = Draft(states, refunding.EVOLVE)
    request_refund(draft, draft.get(CreditMemo, command.credit_memo_id), original, context, "MANUAL", None)
    return draft.changes


def cancel(states: States, command: CancelRefundOrchestration, context: Context) -> Changes:
    ro = _of(states, command.orchestration_id, context)
    if ro.status not in PLANNABLE:
        raise Rejected("ORCHESTRATION_TOO_LATE", f"the orchestration is {ro.status}", state=ro.status)
    draft = Draft(states, refunding.EVOLVE)
    draft.record(CreditMemo, ro.credit_memo_id, CreditMemoUnlocked(holder(ro.orchestration_id)))
    draft.record(RefundOrchestration, ro.orchestration_id, RefundOrchestrationCanceled(command.reason))
    return draft.changes


def _cancel_needs(states: States, command: CancelRefundOrchestration, context: Context) -> Needs:
    yield Need(RefundOrchestration, command.orchestration_id)
    ro = states.find(RefundOrchestration, command.orchestration_id)
    if ro and ro.status:
        yield Need(CreditMemo, ro.credit_memo_id)


def resolve_manual(states: States, command: ResolveManualAction, context: Context) -> Changes:
    ro = _of(states, command.orchestration_id, context)
    leg = _leg(ro, command.leg_no, "MANUAL")
    draft, refund_id = Draft(states, refunding.EVOLVE), None
    if command.resolution == "OPEN_CREDIT":
        _open_credit(draft, ro, leg, tenant_settings.of(states, context)["application_level"], context)
    else:
        refund_id = _paid_outside(draft, ro, leg, command, context)
    resolved = ManualActionResolved(leg.no, command.resolution, command.note, refund_id)
    draft.record(RefundOrchestration, ro.orchestration_id, resolved)
    _finish(draft, ro.orchestration_id)
    return draft.changes


def _paid_outside(
    draft: Draft, ro: RefundOrchestration, leg: Leg, command: ResolveManualAction, context: Context
) -> str:
    if not command.reference:
        raise Rejected("MALFORMED_REQUEST", "money paid outside needs a reference", field="data.reference")
    if leg.source_kind != "payment":
        raise invalid_state("leg", "a payout", ["a leg of a payment"])
    refund_id, amount = context.new_id("external"), Money(leg.amount, ro.currency)
    recorded = ExternalRefundRecorded(
        refund_id,
        context.number("REF"),
        context.account_id,
        amount,
        command.instrument,
        command.reference,
        context.now.date(),
        REASON,
        payment_id=leg.source_id,
        orchestration_id=ro.orchestration_id,
        leg_no=leg.no,
    )
    draft.record(Refund, refund_id, recorded, new=True)
    draft.record(Refund, refund_id, RefundApplied("payment", leg.source_id, amount))
    _release(draft, ro, leg)
    draft.record(Payment, leg.source_id, RefundAppliedToPayment(refund_id, amount, reserved=False))
    draft.record(RefundOrchestration, ro.orchestration_id, RefundLegSucceeded(leg.no, refund_id, amount))
    return refund_id


RULES = (
    Rule(AutomateRefund, _automate_needs, automate),
    Rule(ExecuteRefundPlan, _needs, execute),
    Rule(RetryRefundLeg, _needs, retry),
    Rule(ChooseRefundFallback, _needs, choose_fallback),
    Rule(CancelRefundOrchestration, _cancel_needs, cancel),
    Rule(ResolveManualAction, _needs, resolve_manual),
)
