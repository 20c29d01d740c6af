"""What is owed, in words: invoices, debit memos, credit memos, accounting periods."""

from __future__ import annotations

from typing import Any

from events import credit_memo as cm
from events import debit_memo as dm
from events import invoice as inv
from events import period as per
from projections.words.plain import Words, because, counted, described, plain


def _posted(fact: inv.InvoicePosted) -> str:
    what = "Negative invoice" if fact.is_negative else "Invoice"
    lines = counted(len(fact.lines), "line")
    tax = f", of it {fact.total_tax} tax" if fact.total_tax.amount_minor else ""
    return f"{what} {fact.number} posted: {fact.total} in {lines}{tax}, due {fact.due_date}"


def _written(what: str) -> Words:
    def words(fact: Any) -> str:
        said = fact.content
        lines = counted(len(said.lines), "line")
        return f"{what} invoice {said.number}: {said.total} in {lines}; nothing is owed yet"

    return words


def _voided_invoice(fact: inv.InvoiceVoided) -> str:
    memo = f" by credit memo {fact.credit_memo_id}" if fact.credit_memo_id else ""
    return f"Invoice voided{memo}{because(fact.reason)}"


def _written_off(fact: inv.InvoiceWrittenOff) -> str:
    policy = ", by the policy for small balances" if fact.cause == "SMALL_BALANCE" else ""
    return f"{fact.amount} written off{policy}: {plain(fact.reason_code)}"


def _debited(fact: dm.DebitMemoPosted) -> str:
    if fact.kind == "OFFSET":
        return f"Debit memo {fact.number} of {fact.total} offsets credit memo {fact.credit_memo_id}"
    why = f": {plain(fact.reason_code)}" if fact.reason_code else ""
    return f"Debit memo {fact.number} of {fact.total} posted{why}"


def _period(what: str) -> Words:
    def words(fact: Any) -> str:
        why = getattr(fact, "reason", None)
        return f"{fact.month} {what} for {fact.legal_entity_id}{f': {why}' if why else ''}"

    return words


_WHY = {
    "": "",
    "MANUAL": ", by hand",
    "ORCHESTRATION": ", for a refund",
    "PAYMENT": "",
    "RULE": ", by a rule",
    "SMALL_BALANCE": ", as a small balance",
    "WRITE_OFF": ", for a write-off",
}
"""Why something was applied or taken off, where that is not said as it is written."""


def _settling(what: str, done: str, direction: str) -> Words:
    """An application or its undoing, seen from the invoice: what is left to pay."""

    def words(fact: Any) -> str:
        source = getattr(fact, "payment_id", None) or getattr(fact, "credit_memo_id", None)
        why = _WHY.get(fact.cause, f", for a {plain(fact.cause)}")
        return f"{what} {source} {done}: {fact.total} {direction} this invoice, {fact.balance} open{why}"

    return words


def _spending(done: str, direction: str, rest: str) -> Words:
    """The same, seen from the payment or the credit memo: what is left of it."""

    def words(fact: Any) -> str:
        left = getattr(fact, rest)
        return f"{done} {direction} invoice {fact.invoice_id}: {fact.total}, {left} left"

    return words


def _credited(fact: cm.CreditMemoPosted) -> str:
    about = f" for invoice {fact.reference_invoice_id}" if fact.reference_invoice_id else ""
    return f"Credit memo {fact.number} of {fact.total} posted{about}: {plain(fact.source_action)}"


WORDS: dict[type[Any], Words] = {
    inv.InvoicePosted: _posted,
    inv.InvoiceDrafted: _written("Draft of"),
    inv.InvoiceRevised: _written("Revised draft of"),
    inv.InvoiceDraftCanceled: lambda f: f"Draft given up{because(f.reason)}",
    inv.InvoiceDueDateExtended: lambda f: f"Due on {f.due_date} instead of {f.previous}",
    inv.InvoiceWrittenOff: _written_off,
    inv.InvoiceWriteOffReversed: lambda f: f"Write-off of {f.amount} taken back: it is owed again",
    inv.InvoiceVoided: _voided_invoice,
    inv.InvoiceLocked: lambda f: f"Held by {f.by}",
    inv.InvoiceUnlocked: lambda f: f"No longer held by {f.by}",
    inv.InvoiceCustomFieldsSet: described,
    inv.InvoiceExcludedFromPayments: lambda f: f"Not to be collected: {f.reason}",
    dm.DebitMemoPosted: _debited,
    dm.DebitMemoInvoiced: lambda f: f"Carried by invoice {f.invoice_id}",
    dm.DebitMemoVoided: lambda f: f"Debit memo voided{because(f.reason)}",
    per.AccountingPeriodOpened: _period("is open"),
    per.AccountingPeriodClosed: _period("closed"),
    per.AccountingPeriodReopened: _period("open again"),
    inv.InvoicePaymentApplied: _settling("Payment", "applied", "to"),
    inv.InvoicePaymentUnapplied: _settling("Payment", "taken off", "from"),
    inv.InvoiceCreditApplied: _settling("Credit memo", "applied", "to"),
    inv.InvoiceCreditUnapplied: _settling("Credit memo", "taken off", "from"),
    inv.InvoiceSettlementStatusChanged: lambda f: f"Now {plain(f.status)} (was {plain(f.previous)})",
    inv.InvoiceSettled: lambda f: f"Settled in full on {f.full_settlement_date}",
    inv.InvoiceReopened: lambda f: f"Open again: {f.balance} to pay",
    inv.NegativeInvoiceLinesConverted: lambda f: (
        f"Negative lines of {f.total} became credit memo {f.credit_memo_id}, {f.balance} open"
    ),
    cm.CreditMemoPosted: _credited,
    cm.CreditMemoApplied: _spending("Applied", "to", "balance"),
    cm.CreditMemoUnapplied: _spending("Taken off", "from", "balance"),
    cm.CreditMemoRefundReserved: lambda f: f"{f.amount} set aside for refund {f.refund_id}",
    cm.CreditMemoRefundReleased: lambda f: f"{f.amount} no longer set aside for refund {f.refund_id}",
    cm.RefundAppliedToCreditMemo: lambda f: f"{f.amount} paid out by refund {f.refund_id}",
    cm.RefundReversedOnCreditMemo: lambda f: f"Refund {f.refund_id} came back: {f.amount} open again",
    inv.InvoiceScheduled: lambda f: f"Collected by schedule {f.payment_schedule_id}",
    inv.InvoiceScheduleDeferred: lambda f: f"Collected with the account's others: cut at {f.cut_at:%H:%M}",
    inv.ScheduleCreationSkipped: lambda f: f"Not scheduled: {plain(f.reason)}",
    inv.InvoiceDisputed: lambda f: f"{f.amount} of payment {f.payment_id} is disputed ({f.dispute_id})",
    inv.InvoiceDisputeEnded: lambda f: f"Dispute {f.dispute_id} over {f.amount} is over: {plain(f.outcome)}",
    inv.InvoiceUnscheduled: lambda f: f"No longer collected by schedule {f.payment_schedule_id}",
    inv.ScheduleCreationFailed: lambda f: f"No schedule could be made: {f.code}",
    inv.InvoiceScheduledBalanceChanged: lambda f: f"{f.balance} open: what is planned to collect it follows",
    cm.CreditMemoDrafted: lambda f: f"Draft of credit memo {f.number} over {f.total}; it gives nothing yet",
    cm.CreditMemoLocked: lambda f: f"Held by {f.by}",
    cm.CreditMemoUnlocked: lambda f: f"No longer held by {f.by}",
    cm.CreditMemoVoided: lambda f: f"Voided by debit memo {f.debit_memo_id} of {f.amount}{because(f.reason)}",
    cm.CreditMemoCanceled: lambda f: f"Draft given up{because(f.reason)}",
}  # fmt: skip
