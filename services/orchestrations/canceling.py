"""Canceling a refund orchestration: before anything moved, or while all that moved can be put back.

Invariant: money that is with a gateway, or has left, is never called back.
"""

from __future__ import annotations

from events.credit_memo import CreditMemoUnlocked
from events.invoice import InvoiceUnlocked
from events.orchestration import RefundOrchestrationCanceled
from services.commands import FreeText, Id, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Rule, States
from services.errors import Rejected
from services.invoices.invoice import Invoice
from services.orchestrations import falling_back, refund_sources
from services.orchestrations.orchestration import PLANNABLE, Leg, RefundOrchestration, holder
from services.refunds import requesting
from services.tenants import tenant_settings

OURS = frozenset({"FAILED", "MANUAL", "FELL_BACK"})
"""States of a leg of which no gateway holds or has sent anything."""


@command("payments.refund_orchestration.cancel.v1")
class CancelRefundOrchestration:
    """Give up: the memo is open credit, and the original invoice is settled as it was before."""

    orchestration_id: Id
    reason: FreeText | None = None


def cancel(states: States, command: CancelRefundOrchestration, context: Context) -> Changes:
    ro = refund_sources.orchestration_of(states, command.orchestration_id, context)
    if not ro.open or not all(_is_ours(leg) for leg in ro.legs.values()):
        raise Rejected("ORCHESTRATION_TOO_LATE", f"the orchestration is {ro.status}", state=ro.status)
    assert ro.legs or ro.status in PLANNABLE
    draft, id, by = Draft(states, requesting.EVOLVE), ro.orchestration_id, holder(ro.orchestration_id)
    level = tenant_settings.of(states, context)["application_level"]
    for leg in ro.legs.values():
        if not leg.settled:
            falling_back.keep_as_credit(draft, ro, leg, level, context)
    if draft.get(Invoice, ro.original_invoice_id).locked_by == by:
        draft.record(Invoice, ro.original_invoice_id, InvoiceUnlocked(by))
    if draft.get(CreditMemo, ro.credit_memo_id).locked_by == by:
        draft.record(CreditMemo, ro.credit_memo_id, CreditMemoUnlocked(by))
    draft.record(RefundOrchestration, id, RefundOrchestrationCanceled(command.reason))
    return draft.changes


def _is_ours(leg: Leg) -> bool:
    return leg.status in OURS


RULES = (Rule(CancelRefundOrchestration, refund_sources.needs, cancel),)
