"""Where an orchestration may take its refunds from: the payments on the original invoice.

Invariant: each of them is named in the plan, with the reason if it can give nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from events.money import Money
from events.orchestration import Candidate
from services.accounts import account
from services.accounts.account import Account
from services.calls.gateway import Gateway
from services.credits.credit_memo import CreditMemo
from services.decision import Context, Documents, Draft, Need, Needs, States
from services.disputes.dispute import Dispute
from services.errors import Rejected, not_found
from services.invoices.invoice import Invoice
from services.orchestrations.orchestration import RefundOrchestration
from services.orchestrations.planning import Source
from services.payments.payment import Payment
from services.refunds import requesting
from services.refunds.refund import Refund
from services.tenants import rates, tenant_settings


class OfOrchestration(Protocol):
    """A command about one orchestration."""

    @property
    def orchestration_id(self) -> str: ...


def needs(states: States, command: OfOrchestration, context: Context) -> Needs:
    """The memo, the original invoice with every payment on it, and all that is open on the account."""
    yield Need(RefundOrchestration, command.orchestration_id)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
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
        for dispute_id in payment.disputes if payment else ():
            yield Need(Dispute, dispute_id)
    for leg in ro.legs.values():
        yield Need(Refund, leg.refund_id)
    memo, owner = states.find(CreditMemo, ro.credit_memo_id), states.find(Account, context.account_id)
    yield from requesting.payout_needs(states, None, memo, owner)


def _payments(states: States, ro: RefundOrchestration, context: Context) -> Iterable[str]:
    original = states.find(Invoice, ro.original_invoice_id)
    applied = (
        [a.source_id for a in original.applications.values() if a.source_kind == "payment"]
        if original
        else []
    )
    legs = [leg.source_id for leg in ro.legs.values() if leg.source_kind == "payment"]
    return dict.fromkeys([*applied, *legs, *states.find_documents(context.account_id, Payment)])


def orchestration_of(states: States, id: str, context: Context) -> RefundOrchestration:
    ro = states.get(RefundOrchestration, id)
    if not ro.status:
        raise not_found("ORCHESTRATION", id)
    if ro.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the orchestration {id} belongs to another account")
    return ro


def applied(draft: Draft, ro: RefundOrchestration) -> list[str]:
    """The payments on the original invoice."""
    applications = draft.get(Invoice, ro.original_invoice_id).applications.values()
    return list(dict.fromkeys(a.source_id for a in applications if a.source_kind == "payment"))


def candidate(
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
    if payment.disputes:
        return "PAYMENT_DISPUTED"
    gateway = states.get(Gateway, payment.gateway_id)
    if "REFUND" not in gateway.capabilities.operations:
        return "GATEWAY_CAPABILITY_MISSING"
    try:
        requesting.check_refundable_there(gateway, payment, context.now)
    except Rejected as rejected:
        return rejected.code
    return None


def source(draft: Draft, ro: RefundOrchestration, candidate: Candidate) -> Source:
    payment = draft.get(Payment, candidate.payment_id)
    on_it = [a.applied_at for a in payment.applications.values() if a.invoice_id == ro.original_invoice_id]
    return Source(
        candidate.payment_id, candidate.applied.amount_minor, candidate.eligible.amount_minor, max(on_it)
    )
