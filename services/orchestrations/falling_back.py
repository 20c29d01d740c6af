"""Trying a failed leg again, and placing its money otherwise: by another payment, a payout, a person.

Invariant: what cannot be sent back becomes open credit, never nothing.
"""

from __future__ import annotations

from typing import Literal

from events.money import Money
from events.orchestration import (
    ManualActionRequested,
    ManualActionResolved,
    RefundLegSucceeded,
)
from events.payment import RefundAppliedToPayment
from events.refund import ExternalRefundRecorded, RefundApplied
from services.accounts.account import Account
from services.applications import application
from services.commands import FreeText, Id, Text, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Rule, States
from services.errors import Rejected, invalid_state, not_found
from services.invoices.invoice import Invoice
from services.orchestrations import legs, refund_sources, replanning
from services.orchestrations.orchestration import Leg, RefundOrchestration
from services.orchestrations.planning import choose
from services.payments.payment import Payment
from services.refunds import deciding_alone, payout_limits, requesting
from services.refunds.refund import Refund
from services.tenants import rates, tenant_settings

Option = Literal["OTHER_PAYMENT", "UNREFERENCED", "MANUAL", "OPEN_CREDIT"]


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
    """OTHER_PAYMENT: refund another payment of the invoice; UNREFERENCED: pay it out to a saved method;
    MANUAL: a person pays it; OPEN_CREDIT: it stays on the memo."""


@command("payments.refund_orchestration.resolve_manual_action.v1")
class ResolveManualAction:
    """What a person did about a leg: paid it outside any gateway, or left it as open credit."""

    orchestration_id: Id
    leg_no: int
    resolution: Literal["REFUNDED_EXTERNALLY", "OPEN_CREDIT"]
    """REFUNDED_EXTERNALLY: the customer got it outside any gateway; OPEN_CREDIT: it stays on the memo."""
    note: FreeText
    instrument: Literal["CASH", "CHECK", "WIRE", "OTHER"] = "OTHER"
    reference: Text | None = None
    """What the money is known by outside; mandatory, where it was refunded."""


def _leg(ro: RefundOrchestration, leg_no: int, *allowed: str) -> Leg:
    leg = ro.legs.get(leg_no)
    if leg is None:
        raise not_found("ORCHESTRATION", f"{ro.orchestration_id} leg {leg_no}")
    if leg.status not in allowed:
        raise invalid_state("leg", leg.status, allowed)
    return leg


def retry(states: States, command: RetryRefundLeg, context: Context) -> Changes:
    ro = refund_sources.orchestration_of(states, command.orchestration_id, context)
    leg = _leg(ro, command.leg_no, "FAILED", "MANUAL")
    draft, amount = Draft(states, requesting.EVOLVE), Money(leg.amount, ro.currency)
    if replanning.settle(draft, ro, leg, context):
        return draft.changes
    refund_id, attempt = context.new_id(f"leg/{leg.no}"), leg.attempt_no + 1
    legs.release(draft, ro, leg)
    if leg.source_kind == "payment":
        legs.request(draft, ro, leg.no, leg.source_id, refund_id, amount, attempt, "RETRY", context)
        return draft.changes
    old = states.get(Refund, leg.refund_id)
    assert old.method is not None
    method = requesting.check_payout(states, old.method.method_id, amount, context)
    legs.request_payout(draft, ro, method, leg.no, refund_id, amount, attempt, "RETRY", context)
    return draft.changes


def choose_fallback(states: States, command: ChooseRefundFallback, context: Context) -> Changes:
    ro = refund_sources.orchestration_of(states, command.orchestration_id, context)
    leg = _leg(ro, command.leg_no, "FAILED", "MANUAL")
    draft = Draft(states, requesting.EVOLVE)
    if replanning.claim(draft, ro, leg):
        return draft.changes
    leg = draft.get(RefundOrchestration, ro.orchestration_id).legs[leg.no]
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
            keep_as_credit(draft, ro, leg, level, context)
    legs.finish(draft, ro.orchestration_id)
    return draft.changes


def _other_payment(
    draft: Draft, states: States, ro: RefundOrchestration, leg: Leg, level: str, context: Context
) -> None:
    """Another payment of the same invoice gives what it can; the failed one takes its place there."""
    failed = {other.source_id for other in ro.legs.values()}
    candidates = [
        refund_sources.candidate(draft, states, ro, id, context)
        for id in refund_sources.applied(draft, ro)
        if id not in failed
    ]
    plan = choose(leg.amount, [refund_sources.source(draft, ro, candidate) for candidate in candidates])
    if tenant_settings.of(states, context)["refund_unapply_strategy"] == "PARTIAL":
        plan = legs.taking_off_less(draft, ro.original_invoice_id, plan)
    if not plan.picks or leg.source_kind != "payment":
        legs.fell_back(
            draft, ro, leg, "OTHER_PAYMENT", 0, "no other payment of the invoice can give anything back"
        )
        return
    pick, invoice_id = plan.picks[0], ro.original_invoice_id
    amount, level = pick.refund, draft.get(Invoice, invoice_id).level or level
    legs.take_off(draft, pick.payment_id, invoice_id, pick.unapply, context)
    legs.apply(draft, Payment, pick.payment_id, invoice_id, pick.reapply, level, context, "reapply/")
    legs.shrink_reservation(draft, ro, leg, amount)
    legs.apply(draft, Payment, leg.source_id, invoice_id, amount, level, context, "instead/")
    new_leg, refund_id = max(ro.legs) + 1, context.new_id("other")
    reason = "another payment of the same invoice"
    legs.fell_back(draft, ro, leg, "OTHER_PAYMENT", amount, reason, new_leg, pick.payment_id)
    money = Money(amount, ro.currency)
    legs.request(draft, ro, new_leg, pick.payment_id, refund_id, money, 1, "OTHER_PAYMENT", context)


def _pay_out(
    draft: Draft, states: States, ro: RefundOrchestration, leg: Leg, level: str, context: Context
) -> None:
    """Give the failed payment its place on the invoice back, and pay the memo out to a saved method.

    Of a refund that came back, a part of the memo may have been used elsewhere since: the leg keeps as much.
    """
    memo, owner = draft.get(CreditMemo, ro.credit_memo_id), states.get(Account, context.account_id)
    if leg.source_kind != "payment":
        legs.fell_back(draft, ro, leg, "UNREFERENCED", 0, "it was a payout already")
        return
    amount = Money(min(leg.amount, memo.balance + memo.applied_to(ro.original_invoice_id)), ro.currency)
    if amount.amount_minor == 0:
        legs.fell_back(draft, ro, leg, "UNREFERENCED", 0, "the credit memo is used elsewhere by now")
        return
    settings = tenant_settings.of(states, context)
    asks = settings["unreferenced_refund_approval"] or tenant_settings.threshold_below(
        states, amount, context
    )
    if asks and context.actor.type == "SYSTEM":
        legs.fell_back(draft, ro, leg, "UNREFERENCED", 0, "a person must agree to it")
        return
    try:
        id = requesting.payout_method(None, memo, owner)
        method = requesting.check_payout(states, id, amount, context)
        payout_limits.check(owner, amount, settings, context)
    except Rejected as rejected:
        legs.fell_back(draft, ro, leg, "UNREFERENCED", 0, rejected.code)
        return
    _swap_for_payment(draft, ro, leg, amount.amount_minor, level, context)
    new_leg, refund_id = max(ro.legs) + 1, context.new_id("payout")
    draft.extend(payout_limits.counted(refund_id, amount, settings, context))
    legs.fell_back(draft, ro, leg, "UNREFERENCED", amount.amount_minor, "paid out to a saved method", new_leg)
    legs.request_payout(draft, ro, method, new_leg, refund_id, amount, 1, "UNREFERENCED", context)


def keep_as_credit(draft: Draft, ro: RefundOrchestration, leg: Leg, level: str, context: Context) -> None:
    """The invoice stays settled, the payment fully applied, and the customer holds the credit."""
    if leg.source_kind == "payment":
        _swap_for_payment(draft, ro, leg, leg.amount, level, context)
    else:
        legs.release(draft, ro, leg)
    legs.fell_back(draft, ro, leg, "OPEN_CREDIT", leg.amount, "kept as open credit")


def _swap_for_payment(
    draft: Draft, ro: RefundOrchestration, leg: Leg, amount: int, level: str, context: Context
) -> None:
    """Take an amount of the memo off the invoice, and put as much of the failed payment in its place.

    Applications are whole: those of the memo are taken back, newest first, until enough is off, and
    what was too much is applied again.  Where the memo was taken off by others, its place may have been
    filled: what the invoice has no room for stays on the payment, free.
    """
    invoice_id, memo_id = ro.original_invoice_id, ro.credit_memo_id
    invoice = draft.get(Invoice, invoice_id)
    level, taken = invoice.level or level, legs.newest(invoice, memo_id, amount)
    off, ids = sum(whole.amount for whole in taken), [whole.application_id for whole in taken]
    if taken:
        draft.extend(
            application.take_back(draft.get(CreditMemo, memo_id), invoice, ids, legs.why(context), context)
        )
    legs.shrink_reservation(draft, ro, leg, amount)
    instead = min(amount, draft.get(Invoice, invoice_id).balance)
    legs.apply(draft, Payment, leg.source_id, invoice_id, instead, level, context, "instead/")
    legs.apply(draft, CreditMemo, memo_id, invoice_id, off - amount, level, context, "rest/")


def resolve_manual(states: States, command: ResolveManualAction, context: Context) -> Changes:
    ro = refund_sources.orchestration_of(states, command.orchestration_id, context)
    leg = _leg(ro, command.leg_no, "MANUAL")
    draft, refund_id = Draft(states, requesting.EVOLVE), None
    if replanning.claim(draft, ro, leg):
        return draft.changes
    leg = draft.get(RefundOrchestration, ro.orchestration_id).legs[leg.no]
    if command.resolution == "OPEN_CREDIT":
        keep_as_credit(draft, ro, leg, tenant_settings.of(states, context)["application_level"], context)
    else:
        deciding_alone.check(states, Money(leg.amount, ro.currency), context)
        refund_id = _paid_outside(draft, ro, leg, command, context)
    resolved = ManualActionResolved(leg.no, command.resolution, command.note, refund_id)
    draft.record(RefundOrchestration, ro.orchestration_id, resolved)
    legs.finish(draft, ro.orchestration_id)
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
        legs.REASON,
        payment_id=leg.source_id,
        orchestration_id=ro.orchestration_id,
        leg_no=leg.no,
        corporate=rates.snapshot(draft, amount, context.now, context),
        payment_group_id=draft.get(Payment, leg.source_id).payment_group_id,
    )
    draft.record(Refund, refund_id, recorded, new=True)
    draft.record(Refund, refund_id, RefundApplied("payment", leg.source_id, amount))
    legs.release(draft, ro, leg)
    draft.record(Payment, leg.source_id, RefundAppliedToPayment(refund_id, amount, reserved=False))
    draft.record(RefundOrchestration, ro.orchestration_id, RefundLegSucceeded(leg.no, refund_id, amount))
    return refund_id


RULES = (
    Rule(RetryRefundLeg, refund_sources.needs, retry),
    Rule(ChooseRefundFallback, refund_sources.needs, choose_fallback),
    Rule(ResolveManualAction, refund_sources.needs, resolve_manual),
)
