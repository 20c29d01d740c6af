"""Orchestrating refunds: from a locked credit memo to money on its way back, in one decision.

Invariant: unapplying, applying back, applying the memo, reserving and requesting every
leg happen together, so that no reader sees the invoice reopened and nobody else can take the money.
"""

from __future__ import annotations

from datetime import datetime

from events.invoice import InvoiceLocked
from events.money import Money
from events.orchestration import (
    RefundOrchestrationFailed,
    RefundOrchestrationWaitingForPayment,
    RefundPlanExecuted,
    RefundPlanMade,
    Selected,
)
from services.applications import guards
from services.commands import Id, command
from services.credits import writing_off
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices.converting import request_refund
from services.invoices.invoice import Invoice
from services.orchestrations import legs, refund_sources
from services.orchestrations.orchestration import PLANNABLE, RefundOrchestration, holder
from services.orchestrations.planning import Plan, choose
from services.payments.payment import Payment
from services.refunds import requesting
from services.tenants import exceptions, tenant_settings
from services.tenants.tenant_settings import TenantSettings


@command("payments.refund_orchestration.automate.v1")
class AutomateRefund:
    """Start the orchestration of a memo by hand; the invoice, when given, must be the memo's reference."""

    credit_memo_id: Id
    invoice_id: Id | None = None
    """As a check: the memo's reference."""


@command("payments.refund_orchestration.execute_plan.v1")
class ExecuteRefundPlan:
    """Plan the refunds on the state of this moment, and carry the plan out.  The process's own."""

    orchestration_id: Id


def _execute_needs(states: States, command: ExecuteRefundPlan, context: Context) -> Needs:
    yield from refund_sources.needs(states, command, context)
    yield from writing_off.small_needed(states, context)
    settings = states.find(TenantSettings, context.tenant)
    if settings and settings["offset_before_refund"] == "ACCOUNT":
        for id in states.find_documents(context.account_id, Invoice):
            yield Need(Invoice, id)


def execute(states: States, command: ExecuteRefundPlan, context: Context) -> Changes:
    ro = refund_sources.orchestration_of(states, command.orchestration_id, context)
    if ro.status not in PLANNABLE:
        raise invalid_state("orchestration", ro.status, PLANNABLE)
    draft = Draft(states, requesting.EVOLVE)
    original = states.get(Invoice, ro.original_invoice_id)
    behind, payments = _ahead(states, ro, context), _on_their_way(states, ro, context)
    behind = behind or _held_by(original, ro)
    if behind or payments:
        waiting = RefundOrchestrationWaitingForPayment(ro.attempt + 1, tuple(payments), behind)
        draft.record(RefundOrchestration, ro.orchestration_id, waiting)
        return draft.changes
    settings = tenant_settings.of(states, context)
    if original.status in ("VOIDED", "CANCELED") and original.account_id == context.account_id:
        reason = f"the original invoice is {original.status}: nobody paid it"
        legs.complete(draft, ro.orchestration_id, "COMPLETED_WITH_OPEN_CREDIT", reason)
        return draft.changes
    if original.status != "POSTED" or original.account_id != context.account_id:
        _fail(draft, ro, "the original invoice is not known on this account", context)
        return draft.changes
    if original.currency != ro.currency:
        reason = "the original invoice is in another currency"
        legs.complete(draft, ro.orchestration_id, "COMPLETED_WITH_OPEN_CREDIT", reason)
        return draft.changes
    settled = _settle_open_balance(draft, ro, settings["application_level"], context)
    if settings["offset_before_refund"] == "ACCOUNT":
        _offset(draft, states, ro, settings["application_level"], context)
    _plan(draft, states, ro, settled, settings, context)
    return writing_off.with_small_balances(states, draft.changes, context)


def _fail(draft: Draft, ro: RefundOrchestration, reason: str, context: Context) -> None:
    """Nothing moved: invoices may come in another order.  Tried again later, then shown to a person."""
    failed = RefundOrchestrationFailed(reason, ro.attempt + 1)
    draft.record(RefundOrchestration, ro.orchestration_id, failed)
    if ro.failures == len(legs.RETRY_AFTER):
        amount = Money(draft.get(CreditMemo, ro.credit_memo_id).balance, ro.currency)
        draft.record(
            *exceptions.raised(context, "ORCHESTRATION_STUCK", "ro", ro.orchestration_id, reason, amount)
        )


def _ahead(states: States, ro: RefundOrchestration, context: Context) -> str | None:
    """At most one live orchestration per original invoice; the others queue in order."""
    for id in states.documents(context.account_id, RefundOrchestration):
        other = states.get(RefundOrchestration, id)
        if other.open and other.original_invoice_id == ro.original_invoice_id and _place(other) < _place(ro):
            return id
    return None


def _held_by(original: Invoice, ro: RefundOrchestration) -> str | None:
    """Another process that has the invoice: its turn comes first."""
    return original.locked_by if original.locked_by != holder(ro.orchestration_id) else None


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


def _settle_open_balance(draft: Draft, ro: RefundOrchestration, level: str, context: Context) -> int:
    """A partly paid customer owes less, and nothing is sent back."""
    memo, original = draft.get(CreditMemo, ro.credit_memo_id), draft.get(Invoice, ro.original_invoice_id)
    amount = min(original.balance, memo.balance)
    at, id = original.level or level, ro.original_invoice_id
    legs.apply(draft, CreditMemo, ro.credit_memo_id, id, amount, at, context, "settle/")
    return max(amount, 0)


def _offset(draft: Draft, states: States, ro: RefundOrchestration, level: str, context: Context) -> None:
    """What is left settles the account's other due invoices, oldest first, before anything is sent back."""
    ids = [id for id in states.documents(context.account_id, Invoice) if id != ro.original_invoice_id]
    due = [invoice for id in ids if _is_due(invoice := draft.get(Invoice, id), ro, context)]
    for invoice in sorted(due, key=lambda invoice: (invoice.posted_at or context.now, invoice.invoice_id)):
        memo = draft.get(CreditMemo, ro.credit_memo_id)
        amount = min(invoice.balance, memo.balance)
        at = invoice.level or level
        legs.apply(draft, CreditMemo, memo.credit_memo_id, invoice.invoice_id, amount, at, context, "offset/")


def _is_due(invoice: Invoice, ro: RefundOrchestration, context: Context) -> bool:
    due = invoice.due_date is not None and invoice.due_date <= context.now.date()
    usable = invoice.status == "POSTED" and invoice.locked_by is None and invoice.currency == ro.currency
    return due and usable and invoice.balance > 0


def _plan(
    draft: Draft,
    states: States,
    ro: RefundOrchestration,
    settled: int,
    settings: TenantSettings,
    context: Context,
) -> None:
    target, id = draft.get(CreditMemo, ro.credit_memo_id).balance, ro.orchestration_id
    candidates = [
        refund_sources.candidate(draft, states, ro, payment_id, context)
        for payment_id in refund_sources.applied(draft, ro)
    ]
    plan = choose(target, [refund_sources.source(draft, ro, candidate) for candidate in candidates])
    if settings["refund_unapply_strategy"] == "PARTIAL":
        plan = legs.taking_off_less(draft, ro.original_invoice_id, plan)
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
        legs.complete(draft, id, "COMPLETED_WITH_OPEN_CREDIT" if target else "NO_REFUND_DUE")
        return
    _carry_out(draft, ro, plan, selected, settings["application_level"], context)


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
        legs.take_off(draft, pick.payment_id, invoice_id, pick.unapply, context)
    for pick in plan.picks:
        legs.apply(draft, Payment, pick.payment_id, invoice_id, pick.reapply, level, context, "reapply/")
    credit = sum(pick.refund for pick in plan.picks)
    legs.apply(draft, CreditMemo, memo_id, invoice_id, credit, level, context)
    executed = RefundPlanExecuted(Money(credit, ro.currency))
    draft.record(RefundOrchestration, ro.orchestration_id, executed)
    for leg in selected:
        legs.request(draft, ro, leg.leg_no, leg.payment_id, leg.refund_id, leg.refund, 1, "ORIGINAL", context)


def _automate_needs(states: States, command: AutomateRefund, context: Context) -> Needs:
    yield Need(CreditMemo, command.credit_memo_id)


def automate(states: States, command: AutomateRefund, context: Context) -> Changes:
    memo = states.get(CreditMemo, command.credit_memo_id)
    guards.check_memo_known(memo, command.credit_memo_id, context)
    if memo.locked_by is not None and memo.locked_by.startswith("refunding:"):
        raise Rejected(
            "ORCHESTRATION_EXISTS", f"the credit memo is held by {memo.locked_by}", by=memo.locked_by
        )
    guards.check_memo_free(memo)
    original = memo.reference_invoice_id
    if original is None or command.invoice_id not in (None, original):
        raise Rejected(
            "REFERENCE_MISMATCH", "the invoice must be the one that the memo refers to", reference=original
        )
    if memo.balance <= 0:
        raise Rejected("CREDIT_BALANCE_EXCEEDED", "nothing of the memo is left", available=0)
    draft = Draft(states, requesting.EVOLVE)
    request_refund(draft, draft.get(CreditMemo, command.credit_memo_id), original, context, "MANUAL", None)
    return draft.changes


RULES = (
    Rule(AutomateRefund, _automate_needs, automate),
    Rule(ExecuteRefundPlan, _execute_needs, execute),
)
