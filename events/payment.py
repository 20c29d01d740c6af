"""What can happen to a payment (stream `payment-{id}`): money received, and where it went."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from events.catalog import fact, upcasts
from events.money import Money
from events.shapes import (
    ActionRequired,
    Applied,
    Corporate,
    FraudContext,
    Intended,
    Method,
    ScheduleItemRef,
)
from events.transfer import TransferEvent


@fact("payment.requested.v3")
class PaymentRequested:
    """The intent: durable before anything is sent to the gateway."""

    payment_id: str
    number: str
    type: str
    """SALE or CAPTURE."""
    account_id: str
    amount: Money
    gateway_id: str
    method: Method
    initiation: str
    """AD_HOC, BATCH_RUN, PORTAL, PAY_LINK or CHECKOUT."""
    attempt_no: int
    gateway_idempotency_key: str
    requested_at: datetime
    intended_applications: tuple[Intended, ...] = ()
    """Where the money goes once it has arrived."""
    authorization_id: str | None = None
    """The authorization that it captures."""
    payment_group_id: str | None = None
    schedule_item: ScheduleItemRef | None = None
    """The item of a payment schedule that it collects."""
    level_requested: int | None = None
    """2 or 3: how much enhanced data shall go with it."""
    fraud_context: FraudContext | None = None
    client_context: str | None = None
    """What its client wants to hear again, in its own words."""
    legal_entity_id: str | None = None
    """Whose books it is in."""
    initiation_source_id: str | None = None
    """What it was begun for: an item of a schedule, a payment link, an invoice, or what its client names."""


@fact("payment.begun_by_link.v1")
class PaymentBegunByLink:
    """Whoever holds the link pays, with a method of his own."""

    payment_link_id: str


@fact("payment.processed.v2")
class PaymentProcessed:
    """The money arrived."""

    processed_amount: Money
    gateway_ref: str | None
    gateway_date: datetime | None
    source: str
    auth_code: str | None = None
    network_transaction_id: str | None = None
    """The card network's id of it: later payments by a card that is kept refer to it."""
    late: bool = False
    level_sent: int | None = None
    """1, 2 or 3: how much enhanced data went with it."""
    corporate: Corporate | None = None


@fact("payment.pending.v1")
class PaymentPending:
    """The gateway has it, and will say later what becomes of it; the money has not arrived."""

    gateway_ref: str | None
    source: str


@fact("payment.action_required.v2")
class PaymentActionRequired:
    """The customer must do something first, such as confirm it at his bank."""

    gateway_ref: str | None
    source: str
    action: ActionRequired | None = None


@fact("payment.held_for_review.v1")
class PaymentHeldForReview:
    """The gateway wants a person to look at it; the money has not arrived."""

    reason: str
    source: str
    gateway_ref: str | None = None


@fact("payment.outcome_unknown.v1")
class PaymentOutcomeUnknown:
    """It was sent and no answer came: nothing new is tried until it is known."""

    sent_at: datetime | None
    reason: str
    next_query_at: datetime


@fact("payment.failed.v2")
class PaymentFailed:
    """No money arrived, and none will under this key."""

    result_code: str
    category: str
    raw_code: str | None
    raw_message: str | None
    hard: bool
    never_retry: bool
    source: str
    code_map_version: int | None = None
    gateway_ref: str | None = None
    retry_after_seconds: int | None = None
    """So long its network says to wait before the instrument is tried again."""
    network_advice: str | None = None


@fact("payment.recorded_externally.v3")
class ExternalPaymentRecorded:
    """Money that arrived outside any gateway: cash, cheque, bank transfer."""

    payment_id: str
    number: str
    account_id: str
    amount: Money
    instrument: str
    """CASH, CHECK, WIRE or OTHER."""
    reference: str
    received_on: date
    recorded_at: datetime
    payment_group_id: str | None = None
    corporate: Corporate | None = None
    legal_entity_id: str | None = None


@upcasts("payment.requested.v1", to="payment.requested.v2")
@upcasts("payment.processed.v1", to="payment.processed.v2")
@upcasts("payment.action_required.v1", to="payment.action_required.v2")
@upcasts("payment.recorded_externally.v1", to="payment.recorded_externally.v2")
def with_less_told(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew neither who paid from where, nor what a customer had to do, nor a reporting currency."""
    return fact


@upcasts("payment.failed.v1", to="payment.failed.v2")
def without_advice(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not keep how long a network says to wait."""
    return fact


@upcasts("payment.requested.v2", to="payment.requested.v3")
@upcasts("payment.recorded_externally.v2", to="payment.recorded_externally.v3")
@upcasts("payment.drafted.v1", to="payment.drafted.v2")
def without_entity(fact: dict[str, Any]) -> dict[str, Any]:
    """It was not known whose books it is in, nor what it was begun for."""
    return fact


@fact("payment.drafted.v2")
class ExternalPaymentDrafted:
    """Written down, and no money yet: it is edited, deleted, or posted (`payment.recorded_externally`)."""

    payment_id: str
    number: str
    account_id: str
    amount: Money
    instrument: str
    reference: str
    received_on: date
    drafted_at: datetime
    payment_group_id: str | None = None
    legal_entity_id: str | None = None


@fact("payment.draft_edited.v1")
class DraftPaymentEdited:
    """The whole draft as it is now."""

    amount: Money
    instrument: str
    reference: str
    received_on: date


@fact("payment.draft_deleted.v1")
class DraftPaymentDeleted:
    """The draft will never be posted."""

    reason: str | None = None


@fact("payment.applied.v1")
class PaymentApplied:
    """So much of it settles an invoice; the invoice's own `InvoicePaymentApplied` says the same."""

    payment_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    unapplied: Money
    """The payment's unapplied balance after it."""
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("payment.unapplied.v1")
class PaymentUnapplied:
    """It no longer settles that invoice, and so much more of it is unapplied."""

    payment_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    unapplied: Money
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("payment.application_failed.v1")
class PaymentApplicationFailed:
    """Money arrived for an invoice that can no longer take all of it: it stays unapplied."""

    invoice_id: str
    code: str
    intended: Money
    """What was meant for the invoice."""
    applied: Money


@fact("payment.refund_reserved.v1")
class RefundReservedOnPayment:
    """So much of it will be given back, and can be used for nothing else meanwhile."""

    refund_id: str
    amount: Money
    orchestration_id: str | None = None
    leg_no: int | None = None


@fact("payment.refund_reservation_released.v1")
class RefundReservationReleased:
    """The refund came to nothing: what was reserved for it is unapplied again."""

    refund_id: str
    amount: Money
    orchestration_id: str | None = None
    leg_no: int | None = None


@fact("payment.refund_applied.v1")
class RefundAppliedToPayment:
    """A refund left: the money is back with the customer."""

    refund_id: str
    amount: Money
    reserved: bool = True
    """It was reserved before; else it came straight from what was unapplied."""


@fact("payment.refund_reversed.v1")
class RefundReversedOnPayment:
    """A refund came back from the customer's bank: the money is unapplied again."""

    refund_id: str
    amount: Money


@fact("payment.cancellation_requested.v1")
class PaymentCancellationRequested:
    """A void was decided; the money is untouchable until the gateway has answered."""

    attempt_no: int
    gateway_idempotency_key: str
    reason: str | None = None


@fact("payment.cancellation_failed.v1")
class PaymentCancellationFailed:
    """The gateway would not let go of it: the payment goes on."""

    result_code: str
    raw_code: str | None
    raw_message: str | None


@fact("payment.returned.v2")
class PaymentReturned:
    """The bank took a processed payment back: a return, or a debit that failed after all."""

    code: str
    """The bank's own, such as R01 or AM04."""
    category: str
    hard: bool
    never_retry: bool
    returned: Money
    """What was still here of it."""
    overdrawn: Money
    """What was gone already, refunded or on its way: the customer owes it."""
    source: str
    returned_at: datetime
    """When the bank says that it did."""
    gateway_ref: str | None = None
    corporate: Corporate | None = None
    """All that the bank took, what was overdrawn included."""


@fact("payment.overdraft_reduced.v1")
class PaymentOverdraftReduced:
    """Money of a payment that the bank took back came free after all: it pays for what was overdrawn."""

    amount: Money
    overdrawn: Money
    """What is still owed after it."""


@fact("payment.overdraft_written_off.v1")
class PaymentOverdraftWrittenOff:
    """Nobody will get it from the customer any more."""

    amount: Money
    reason: str


@fact("payment.chargeback_opened.v1")
class ChargebackOpened:
    """The customer's bank disputes it: what is unapplied of it is held."""

    dispute_id: str
    held: Money


@fact("payment.chargeback_hold_raised.v1")
class ChargebackHoldRaised:
    """Money that had been reserved for a refund is held for a dispute that found too little."""

    dispute_id: str
    held: Money
    """How much more is held."""


@fact("payment.chargeback_won.v1")
class ChargebackWon:
    """What was held is unapplied again."""

    dispute_id: str
    released: Money


@fact("payment.chargeback_lost.v2")
class ChargebackLost:
    """The money is gone; what was used of it already is overdrawn."""

    dispute_id: str
    lost: Money
    """What was held, and is gone."""
    overdrawn: Money
    """What was refunded before it was disputed: it left twice, and the customer owes it."""
    fee: Money | None = None
    corporate: Corporate | None = None
    """All that is gone, what was overdrawn included, without the fee."""


@fact("payment.enhanced_data_reduced.v1")
class PaymentEnhancedDataReduced:
    """Less purchase detail goes with the payment than was wished; the payment itself proceeds."""

    level: int
    """2: without its lines; 0: nothing at all."""
    reason: str
    """PART_PAYMENT, SEVERAL_INVOICES, GATEWAY_LEVEL_2_ONLY, TOO_MANY_LINES, NEGATIVE_LINE,
    FRACTIONAL_QUANTITY, TOTALS_DIFFER, NOT_A_POSTED_SALE, or REFUSED_BEFORE: at an earlier attempt."""


@fact("payment.enhanced_data_rejected.v1")
class PaymentEnhancedDataRejected:
    """The gateway refused the purchase detail, and took no money: the payment is asked for once more, without
    it, under a key of its own."""

    level: int
    """2 or 3: how much had gone with it."""
    raw_code: str | None
    raw_message: str | None
    attempt_no: int
    """Of the call that goes without it."""
    gateway_idempotency_key: str


@fact("payment.canceled.v2")
class PaymentCanceled:
    """It was voided at its gateway, or had been recorded by mistake: it counts no more."""

    amount: Money
    reason: str | None = None
    corporate: Corporate | None = None


@upcasts("payment.returned.v1", to="payment.returned.v2")
@upcasts("payment.chargeback_lost.v1", to="payment.chargeback_lost.v2")
@upcasts("payment.canceled.v1", to="payment.canceled.v2")
def lost_in_its_own_currency(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not say what was lost in the reporting currency."""
    return fact


PaymentEvent = (
    PaymentRequested
    | PaymentBegunByLink
    | PaymentProcessed
    | PaymentPending
    | PaymentActionRequired
    | PaymentHeldForReview
    | PaymentOutcomeUnknown
    | PaymentFailed
    | ExternalPaymentRecorded
    | ExternalPaymentDrafted
    | DraftPaymentEdited
    | DraftPaymentDeleted
    | PaymentApplied
    | PaymentUnapplied
    | PaymentApplicationFailed
    | RefundReservedOnPayment
    | RefundReservationReleased
    | RefundAppliedToPayment
    | RefundReversedOnPayment
    | PaymentCancellationRequested
    | PaymentCancellationFailed
    | PaymentCanceled
    | PaymentEnhancedDataReduced
    | PaymentEnhancedDataRejected
    | PaymentReturned
    | PaymentOverdraftReduced
    | PaymentOverdraftWrittenOff
    | ChargebackOpened
    | ChargebackHoldRaised
    | ChargebackWon
    | ChargebackLost
    | TransferEvent
)
