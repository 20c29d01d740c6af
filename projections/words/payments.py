"""Money that comes in, in words: payments, transfers, links, disputes."""

from __future__ import annotations

from typing import Any

from events import authorization as auth
from events import dispute as dis
from events import operations as ops
from events import payment as pay
from events import payment_link as link
from events import transfer as tra
from projections.words.plain import (
    Words,
    because,
    customer_acts,
    failed,
    held_for_review,
    instrument,
    plain,
    told_later,
    unknown,
)


def _spending(done: str, direction: str, rest: str) -> Words:
    """The same, seen from the payment or the credit memo: what is left of it."""

    def words(fact: Any) -> str:
        left = getattr(fact, rest)
        return f"{done} {direction} invoice {fact.invoice_id}: {fact.total}, {left} left"

    return words


def _requested(fact: pay.PaymentRequested) -> str:
    return f"Payment {fact.number} of {fact.amount} asked of {fact.gateway_id} by {instrument(fact.method)}"


def _reduced(fact: pay.PaymentEnhancedDataReduced | auth.AuthorizationEnhancedDataReduced) -> str:
    kept = "goes without its lines" if fact.level else "does not go with it"
    return f"The purchase detail {kept}: {plain(fact.reason)}"


def _sent_without_data(
    fact: pay.PaymentEnhancedDataRejected | auth.AuthorizationEnhancedDataRejected,
) -> str:
    said = fact.raw_message or fact.raw_code
    return f"The gateway refused the Level {fact.level} data{f' ({said})' if said else ''}: sent without them"


def _received(fact: pay.ExternalPaymentRecorded) -> str:
    by = plain(fact.instrument)
    return f"Payment {fact.number} of {fact.amount} received by {by} on {fact.received_on}: {fact.reference}"


def _sent_away(fact: tra.PaymentTransferReserved) -> str:
    aim = f", for its invoice {fact.invoice_id}" if fact.invoice_id else ""
    return f"{fact.amount} set aside for account {fact.to_account_id}{aim}"


def _taken_back(fact: pay.PaymentReturned) -> str:
    gone = f"; {fact.overdrawn} of it was gone already" if fact.overdrawn.amount_minor else ""
    return f"The bank took it back ({fact.code}, {plain(fact.category)}): {fact.returned}{gone}"


def _disputed(fact: dis.DisputeOpened) -> str:
    return f"{fact.amount} of payment {fact.payment_id} disputed ({plain(fact.reason)}), {fact.held} held"


def _lost(fact: pay.ChargebackLost) -> str:
    gone = f"; {fact.overdrawn} of it was used already" if fact.overdrawn.amount_minor else ""
    fee = f", and {fact.fee} of fees" if fact.fee and fact.fee.amount_minor else ""
    return f"Dispute {fact.dispute_id} lost: {fact.lost} is gone{fee}{gone}"


WORDS: dict[type[Any], Words] = {
    pay.PaymentRequested: _requested,
    pay.PaymentProcessed: lambda f: (
        f"{f.processed_amount} captured, told by {plain(f.source)}{', late' if f.late else ''}"
    ),
    pay.PaymentFailed: failed("Payment"),
    pay.PaymentEnhancedDataReduced: _reduced,
    pay.PaymentEnhancedDataRejected: _sent_without_data,
    auth.AuthorizationEnhancedDataReduced: _reduced,
    auth.AuthorizationEnhancedDataRejected: _sent_without_data,
    pay.PaymentOutcomeUnknown: unknown("payment"),
    pay.ExternalPaymentRecorded: _received,
    pay.PaymentApplied: _spending("Applied", "to", "unapplied"),
    pay.PaymentUnapplied: _spending("Taken off", "from", "unapplied"),
    pay.PaymentApplicationFailed: lambda f: (
        f"Only {f.applied} of {f.intended} could be applied to invoice {f.invoice_id}: {f.code}"
    ),
    pay.RefundReservedOnPayment: lambda f: f"{f.amount} set aside for refund {f.refund_id}",
    pay.RefundReservationReleased: lambda f: f"{f.amount} no longer set aside for refund {f.refund_id}",
    pay.RefundAppliedToPayment: lambda f: f"{f.amount} given back by refund {f.refund_id}",
    pay.RefundReversedOnPayment: lambda f: f"Refund {f.refund_id} came back: {f.amount} is here again",
    pay.ChargebackHoldRaised: lambda f: (
        f"{f.held}, not refunded yet, is held for dispute {f.dispute_id} as well"
    ),
    pay.PaymentCanceled: lambda f: f"Payment of {f.amount} canceled{because(f.reason)}",
    tra.PaymentTransferReserved: _sent_away,
    tra.PaymentTransferReceived: lambda f: (
        f"{f.amount} received from account {f.from_account_id}, of its payment {f.from_payment_id}"
    ),
    tra.PaymentTransferRefused: lambda f: (
        f"{f.amount} of account {f.from_account_id} not taken: {f.message} ({f.code})"
    ),
    tra.PaymentBalanceTransferred: lambda f: (
        f"{f.amount} went to account {f.to_account_id}"
        f"{f', for its invoice {f.invoice_id}' if f.invoice_id else ''}"
    ),
    tra.PaymentTransferReleased: lambda f: (
        f"{f.amount} stays here: account {f.to_account_id} did not take it, {f.message} ({f.code})"
    ),
    tra.PaymentTransferRecalled: lambda f: (
        f"{f.amount} asked back from account {f.to_account_id}{because(f.reason)}"
    ),
    tra.PaymentTransferGivenBack: lambda f: f"{f.amount} went back to account {f.to_account_id}",
    tra.PaymentTransferKept: lambda f: f"{f.amount} not given back to account {f.to_account_id}: {f.message}",
    tra.PaymentTransferReturned: lambda f: f"{f.amount} came back from account {f.from_account_id}",
    tra.PaymentTransferRecallRefused: lambda f: (
        f"Account {f.from_account_id} keeps {f.amount}: {f.message} ({f.code})"
    ),
    link.PaymentLinkCreated: lambda f: (
        f"A link for {f'up to {f.amount}' if f.amount else 'what is owed'} was made, "
        f"{'for one use' if f.single_use else 'for any number of payments'}"
        f"{f', until {f.expires_at:%Y-%m-%d %H:%M}' if f.expires_at else ''}"
    ),
    link.PaymentLinkOpened: lambda f: "Somebody opened the link",
    link.PaymentLinkPaymentBegun: lambda f: f"A guest pays {f.amount} by the link",
    link.PaymentLinkPaymentFailed: lambda f: f"The guest's payment failed: {f.result_code}",
    link.PaymentLinkPaid: lambda f: f"{f.amount} came by the link{'; it is used up' if f.used_up else ''}",
    link.PaymentLinkExpired: lambda f: f"The link is over: {plain(f.reason)}",
    pay.PaymentBegunByLink: lambda f: f"A guest pays by the link {f.payment_link_id}",
    pay.PaymentPending: told_later,
    pay.PaymentActionRequired: customer_acts,
    pay.PaymentHeldForReview: held_for_review,
    pay.ExternalPaymentDrafted: lambda f: (
        f"Draft of payment {f.number}: {f.amount} by {plain(f.instrument)}, {f.reference}"
    ),
    pay.DraftPaymentEdited: lambda f: f"The draft is now {f.amount} by {plain(f.instrument)}, {f.reference}",
    pay.DraftPaymentDeleted: lambda f: f"Draft given up{because(f.reason)}",
    pay.PaymentCancellationRequested: lambda f: f"The gateway is asked to void it{because(f.reason)}",
    pay.PaymentCancellationFailed: lambda f: f"It could not be voided{because(f.raw_message or f.raw_code)}",
    pay.PaymentReturned: _taken_back,
    pay.PaymentOverdraftReduced: lambda f: (
        f"{f.amount} came free and pays for what was overdrawn: {f.overdrawn} left"
    ),
    pay.PaymentOverdraftWrittenOff: lambda f: (
        f"{f.amount} that was overdrawn is written off{because(f.reason)}"
    ),
    pay.ChargebackOpened: lambda f: f"{f.held} held for dispute {f.dispute_id}",
    pay.ChargebackWon: lambda f: f"Dispute {f.dispute_id} won: {f.released} is free again",
    pay.ChargebackLost: _lost,
    dis.DisputeOpened: _disputed,
    dis.DisputeHoldRaised: lambda f: f"{f.held} is held by now",
    dis.DisputeEvidenceRequested: lambda f: f"The bank wants evidence by {f.due_at:%Y-%m-%d}",
    dis.DisputeEvidenceSubmitted: lambda _: "The evidence is with the gateway",
    dis.DisputeWon: lambda f: f"Won, told by {plain(f.source)}",
    dis.DisputeLost: lambda f: f"Lost, told by {plain(f.source)}{f', and {f.fee} of fees' if f.fee else ''}",
    dis.DisputeAccepted: lambda f: f"Accepted{because(f.reason)}",
    ops.PaymentGroupCreated: lambda f: f"Payment group {f.payment_group_id} begun{because(f.reference)}",
}  # fmt: skip
