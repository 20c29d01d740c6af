"""Disputing: a chargeback's money is held until the banks have decided, and then it is back or lost.

Invariant: while a dispute is open its money is in one place, `dispute_held`, and can
neither be applied nor refunded; a dispute that is won puts it back where it was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from events.dispute import (
    DisputeAccepted,
    DisputeEvidenceRequested,
    DisputeEvidenceSubmitted,
    DisputeLost,
    DisputeOpened,
    DisputeWon,
    TakenBack,
)
from events.invoice import InvoiceDisputed, InvoiceDisputeEnded
from events.money import Money
from events.payment import ChargebackLost, ChargebackOpened, ChargebackWon
from events.shapes import Corporate, Intended
from services.applications import freeing, guards
from services.applications.application import Why
from services.commands import Amount, FreeText, Id, Text, Token, command
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States, Subject
from services.disputes import dispute
from services.disputes.dispute import ANSWERABLE, UNDECIDED, Dispute
from services.errors import Rejected, currency_mismatch, invalid_state, not_found
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments import placing, returning
from services.payments.payment import Payment
from services.payments.returning import check_takeable
from services.tenants import exceptions, rates, tenant_settings

_EVOLVE = {Payment: payments.evolve, Invoice: invoices.evolve, Dispute: dispute.evolve}

Source = Literal["GATEWAY", "NOTIFICATION", "RECONCILER", "OPERATOR"]


@command("payments.dispute.record_opened.v1")
class RecordDisputeOpened:
    """A payer's bank has taken a payment back, wholly or in part: a fact, whoever tells it."""

    dispute_id: Id
    """The id that it has from now on; told again under it, nothing happens."""
    payment_id: Id
    amount: Amount
    """What the bank disputes: all of the payment, or a part."""
    reason: Text
    """Why, in the words of the bank or the gateway."""
    source: Source
    gateway_ref: Token | None = None
    """The gateway's own id of the dispute."""
    opened_at: datetime | None = None
    """When the gateway says that it was opened; now, where it does not."""
    evidence_due_at: datetime | None = None


@command("payments.dispute.submit_evidence.v1")
class SubmitDisputeEvidence:
    """What shows that the payment was right: where the documents are, or what they say."""

    dispute_id: Id
    evidence: FreeText
    """Where the documents are kept, or what they say; never the documents themselves."""


@command("payments.dispute.accept.v1")
class AcceptDispute:
    """Let the money go without a contest."""

    dispute_id: Id
    reason: FreeText
    fee: Amount | None = None
    """What the gateway takes for the dispute besides."""


@command("payments.dispute.record_outcome.v1")
class RecordDisputeOutcome:
    """How the banks have decided; `fee` is what the gateway takes for a dispute that was lost."""

    dispute_id: Id
    outcome: Literal["WON", "LOST"]
    """WON: the money that was held is the seller's again; LOST: it is gone."""
    source: Source
    fee: Amount | None = None
    """What the gateway takes for a dispute that was lost."""


def _opened_needs(states: States, command: RecordDisputeOpened, context: Context) -> Needs:
    yield Need(Dispute, command.dispute_id)
    yield from freeing.needed(states, command.payment_id, context, command.opened_at)


def record_opened(states: States, command: RecordDisputeOpened, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if states.get(Dispute, command.dispute_id).status:
        return []
    if payment.status != "PROCESSED":
        raise invalid_state("payment", payment.status, ["PROCESSED"])
    check_takeable(payment)
    if command.amount.currency != payment.currency:
        raise currency_mismatch(payment.currency, command.amount.currency, f"payment {payment.number}")
    if command.amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a dispute must be above 0", field="data.amount")
    draft = Draft(states, _EVOLVE)
    why = Why(command.opened_at or context.now, "DISPUTE")
    lost = freeing.free(draft, command.payment_id, command.amount.amount_minor, why, context)
    free = draft.get(Payment, command.payment_id).unapplied
    held = Money(min(command.amount.amount_minor, free), payment.currency)
    taken_back = tuple(TakenBack(invoice_id, amount) for invoice_id, amount in lost.items())
    opened = DisputeOpened(
        command.dispute_id,
        command.payment_id,
        context.account_id,
        command.amount,
        held,
        command.reason,
        command.source,
        taken_back,
        command.gateway_ref,
        command.opened_at,
    )
    draft.record(Dispute, command.dispute_id, opened)
    draft.record(Payment, command.payment_id, ChargebackOpened(command.dispute_id, held))
    for each in taken_back:
        disputed = InvoiceDisputed(command.dispute_id, command.payment_id, each.amount)
        draft.record(Invoice, each.invoice_id, disputed)
    if command.evidence_due_at is not None:
        draft.record(Dispute, command.dispute_id, DisputeEvidenceRequested(command.evidence_due_at))
    return draft.changes


def _of(states: States, dispute_id: str, context: Context) -> Dispute:
    found = states.get(Dispute, dispute_id)
    if not found.status:
        raise not_found("DISPUTE", dispute_id)
    if found.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the dispute {dispute_id} belongs to another account")
    return found


def _evidence_needs(states: States, command: SubmitDisputeEvidence, context: Context) -> Needs:
    yield Need(Dispute, command.dispute_id)


def submit_evidence(states: States, command: SubmitDisputeEvidence, context: Context) -> Changes:
    known = _of(states, command.dispute_id, context)
    if known.status not in ANSWERABLE:
        raise invalid_state("dispute", known.status, ANSWERABLE)
    draft = Draft(states, _EVOLVE)
    draft.record(Dispute, command.dispute_id, DisputeEvidenceSubmitted(command.evidence))
    return draft.changes


def _end_needs(states: States, command: AcceptDispute | RecordDisputeOutcome, context: Context) -> Needs:
    yield Need(Dispute, command.dispute_id)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    known = states.find(Dispute, command.dispute_id)
    if known and known.status:
        yield Need(Payment, known.payment_id)
        for invoice_id in known.taken_back:
            yield Need(Invoice, invoice_id)


def accept(states: States, command: AcceptDispute, context: Context) -> Changes:
    known = _of(states, command.dispute_id, context)
    if known.status not in ANSWERABLE:
        raise invalid_state("dispute", known.status, ANSWERABLE)
    _check_fee(known, command.fee)
    draft, worth = Draft(states, _EVOLVE), _worth(states, known, context)
    draft.record(Dispute, command.dispute_id, DisputeAccepted(command.reason, command.fee, worth))
    _lose(draft, known, command.fee, worth, "ACCEPTED")
    return draft.changes


def record_outcome(states: States, command: RecordDisputeOutcome, context: Context) -> Changes:
    known = _of(states, command.dispute_id, context)
    if known.status == command.outcome or (known.status, command.outcome) == ("ACCEPTED", "LOST"):
        return []
    if known.status not in UNDECIDED:
        message = f"{command.source} says {command.outcome} of a dispute that is {known.status}"
        amount = Money(known.amount, known.currency)
        return [
            exceptions.raised(context, "CONTRADICTED_OUTCOME", "dispute", command.dispute_id, message, amount)
        ]
    _check_fee(known, command.fee)
    draft = Draft(states, _EVOLVE)
    if command.outcome == "WON":
        draft.record(Dispute, command.dispute_id, DisputeWon(command.source))
        _win(draft, known, tenant_settings.of(states, context)["application_level"], context)
        _say_what_is_due(draft, known, context)
    else:
        worth = _worth(states, known, context)
        draft.record(Dispute, command.dispute_id, DisputeLost(command.source, command.fee, worth))
        _lose(draft, known, command.fee, worth, "LOST")
    return draft.changes


def _check_fee(known: Dispute, fee: Money | None) -> None:
    if fee is not None and fee.currency != known.currency:
        raise currency_mismatch(known.currency, fee.currency, f"dispute {known.dispute_id}")
    if fee is not None and fee.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a fee must be above 0", field="data.fee")


def _win(draft: Draft, known: Dispute, level: str, context: Context) -> None:
    """The money is free again, and goes back to where it was taken from, as far as that takes it."""
    released = ChargebackWon(known.dispute_id, Money(known.held, known.currency))
    draft.record(Payment, known.payment_id, released)
    _end(draft, known, "WON")
    if draft.get(Payment, known.payment_id).status != "PROCESSED":
        return  # its bank took it back in another way meanwhile
    for invoice_id, amount in known.taken_back.items():
        level_there = draft.get(Invoice, invoice_id).level or level
        intended = Intended(invoice_id, Money(amount, known.currency))
        placing.apply_one(draft, known.payment_id, intended, level_there, context, cause="DISPUTE")


def _say_what_is_due(draft: Draft, known: Dispute, context: Context) -> None:
    """What was on its way back to the customer when the dispute began is here again, and still his."""
    if known.refunds_held:
        due = Money(known.refunds_held, known.currency)
        message = f"its dispute is won: {due} of it were to be refunded before, and are unapplied"
        case = exceptions.raised(context, "REFUND_DUE", "payment", known.payment_id, message, due)
        draft.changes.append(case)


def _worth(states: States, known: Dispute, context: Context) -> Corporate | None:
    """What all that it takes is worth in the reporting currency."""
    return rates.snapshot(states, Money(known.amount, known.currency), context.now, context)


def _lose(draft: Draft, known: Dispute, fee: Money | None, worth: Corporate | None, outcome: str) -> None:
    """What was held is gone; what had been refunded before left twice, and is owed."""
    lost, overdrawn = (Money(amount, known.currency) for amount in (known.held, known.amount - known.held))
    if draft.get(Payment, known.payment_id).dispute_fee_taken:
        fee = None  # a payout has told of it, and it is booked
    draft.record(Payment, known.payment_id, ChargebackLost(known.dispute_id, lost, overdrawn, fee, worth))
    returning.reduce_overdraft(draft, known.payment_id)
    _end(draft, known, outcome)


def _end(draft: Draft, known: Dispute, outcome: str) -> None:
    for invoice_id, amount in known.taken_back.items():
        ended = InvoiceDisputeEnded(known.dispute_id, Money(amount, known.currency), outcome)
        draft.record(Invoice, invoice_id, ended)


SUBJECT = Subject(
    Dispute,
    dispute.evolve,
    (
        Rule(RecordDisputeOpened, _opened_needs, record_opened),
        Rule(SubmitDisputeEvidence, _evidence_needs, submit_evidence),
        Rule(AcceptDispute, _end_needs, accept),
        Rule(RecordDisputeOutcome, _end_needs, record_outcome),
    ),
)
