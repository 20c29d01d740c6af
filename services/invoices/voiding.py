"""Voiding: an invoice that should never have been posted is mirrored, to the cent, and settled by its mirror.

Invariant: nothing of it was settled, converted or refunded, and of a subscription's invoices the
newest goes first.  All of it is one decision, so nothing is ever seen between POSTED and VOIDED, and what
cannot be voided is rejected.
"""

from __future__ import annotations

from events.debit_memo import DebitMemoVoided
from events.invoice import InvoiceVoided
from services.applications import guards
from services.applications.application import Why
from services.commands import FreeText, Id, Text, command
from services.credits import crediting, writing_off
from services.credits.credit_memo import CreditMemo
from services.credits.debit_memo import DebitMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices import subscription
from services.invoices.converting import convert_alone
from services.invoices.invoice import Invoice


@command("payments.invoice.void.v1")
class VoidInvoice:
    """Undo the posting of an invoice that nothing was applied to.

    A credit memo of the same lines settles it.  Its negative lines become a credit memo that a debit memo
    offsets at once: nobody gets that credit.
    """

    invoice_id: Id
    reason_code: Text = "VOID"
    reason: FreeText | None = None


def needed(states: States, invoice_id: str, context: Context) -> Needs:
    yield Need(Invoice, invoice_id)
    yield from crediting.worth_needed(states, context)
    yield from writing_off.payments_needed(states, context)
    invoice = states.find(Invoice, invoice_id)
    if invoice and invoice.reference_id:
        if invoice.reference_type == "SUBSCRIPTION":
            yield subscription.needed(invoice.reference_id, context)
        elif invoice.reference_type == "DEBIT_MEMO":
            yield Need(DebitMemo, invoice.reference_id)


def _needs(states: States, command: VoidInvoice, context: Context) -> Needs:
    return needed(states, command.invoice_id, context)


def void(states: States, command: VoidInvoice, context: Context) -> Changes:
    draft = Draft(states, writing_off.EVOLVE)
    void_in(draft, states, command.invoice_id, command.reason_code, command.reason, context)
    return draft.changes


def void_in(
    draft: Draft,
    states: States,
    invoice_id: str,
    reason_code: str,
    reason: str | None,
    context: Context,
) -> None:
    invoice = states.get(Invoice, invoice_id)
    guards.check_invoice(invoice, invoice_id, context)
    if invoice.status != "POSTED":
        raise invalid_state("invoice", invoice.status, ["POSTED"])
    guards.check_unlocked(invoice)
    if invoice.applications or invoice.balance != invoice.total:
        raise Rejected("INVOICE_HAS_SETTLEMENTS", "some of it is settled or converted: take that back first")
    writing_off.check_nothing_comes(states, invoice_id, context)
    _check_latest(states, invoice, context)
    _offset_negative_lines(draft, invoice_id, reason, context)
    memo_id = None
    if draft.get(Invoice, invoice_id).balance > 0:
        action, why = "VOID_POSTED_INVOICE", Why(context.now, "VOID", reason)
        memo_id = writing_off.credit_all(draft, invoice_id, None, action, reason_code, why, context)
    draft.record(Invoice, invoice_id, InvoiceVoided(memo_id, reason))
    _tell(draft, states, invoice, reason, context)


def _check_latest(states: States, invoice: Invoice, context: Context) -> None:
    """Newest first, per billing schedule."""
    if invoice.reference_type != "SUBSCRIPTION" or invoice.reference_id is None or invoice.total <= 0:
        return
    latest = subscription.latest_invoice(states, invoice.reference_id, context)
    if latest not in (None, invoice.invoice_id):
        raise Rejected("INVOICE_NOT_LATEST", "a later invoice of its subscription goes first", latest=latest)


def _offset_negative_lines(draft: Draft, invoice_id: str, reason: str | None, context: Context) -> None:
    memo_id = convert_alone(draft, invoice_id, context)
    if memo_id is not None:
        draft.extend(crediting.voided(draft, draft.get(CreditMemo, memo_id), reason, context))


def _tell(draft: Draft, states: States, invoice: Invoice, reason: str | None, context: Context) -> None:
    """Its subscription, or the debit memo that it carried."""
    if invoice.reference_id is None or invoice.total <= 0:
        return
    if invoice.reference_type == "SUBSCRIPTION":
        draft.changes.append(subscription.voided(invoice.reference_id, invoice.invoice_id, context))
    elif invoice.reference_type == "DEBIT_MEMO":
        carried = states.get(DebitMemo, invoice.reference_id)
        if carried.status == "POSTED" and carried.invoice_id == invoice.invoice_id:
            draft.record(DebitMemo, invoice.reference_id, DebitMemoVoided(reason))


RULES = (Rule(VoidInvoice, _needs, void),)
