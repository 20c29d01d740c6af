"""A payment: money received, and in which one of its buckets every cent of it is.

Invariant: amount = applied + unapplied + refunded + refund_reserved +
dispute_held + disputed_lost + returned + transfer_reserved + transferred, every term at least 0; what
was never received counts as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

from events.payment import (
    ChargebackHoldRaised,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    DraftPaymentDeleted,
    DraftPaymentEdited,
    ExternalPaymentDrafted,
    ExternalPaymentRecorded,
    PaymentActionRequired,
    PaymentApplicationFailed,
    PaymentApplied,
    PaymentBegunByLink,
    PaymentCanceled,
    PaymentCancellationFailed,
    PaymentCancellationRequested,
    PaymentEnhancedDataReduced,
    PaymentEnhancedDataRejected,
    PaymentEvent,
    PaymentFailed,
    PaymentHeldForReview,
    PaymentOutcomeUnknown,
    PaymentOverdraftReduced,
    PaymentOverdraftWrittenOff,
    PaymentPending,
    PaymentProcessed,
    PaymentRequested,
    PaymentReturned,
    PaymentUnapplied,
    RefundAppliedToPayment,
    RefundReservationReleased,
    RefundReservedOnPayment,
    RefundReversedOnPayment,
)
from events.payout import PaymentSettledByGateway, PaymentTakenBackByGateway
from events.shapes import Intended, Method, ScheduleItemRef
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferKept,
    PaymentTransferRecalled,
    PaymentTransferRecallRefused,
    PaymentTransferReceived,
    PaymentTransferRefused,
    PaymentTransferReleased,
    PaymentTransferReserved,
    PaymentTransferReturned,
    TransferEvent,
)
from services.decision import States
from services.errors import Rejected

DATA_REFUSED_BEFORE = "REFUSED_BEFORE"
"""Why Level 2 and 3 data do not go: the gateway refused them at an earlier attempt."""
IN_FLIGHT = frozenset({"REQUESTED", "PENDING", "REQUIRES_ACTION", "REQUIRES_REVIEW", "INDETERMINATE"})
"""The states in which the gateway's final word is not known."""


@dataclass(slots=True)
class PaymentApplication:
    application_id: str
    invoice_id: str
    line_id: str | None
    amount: int
    applied_at: datetime


@dataclass(slots=True)
class Transfer:
    """Money of a payment that goes, or has gone, to another account."""

    transfer_id: str
    to_account_id: str
    amount: int
    invoice_id: str | None
    phase: str = "RESERVED"
    """RESERVED, SENT, or RECALLED: asked back."""


@dataclass(slots=True)
class Payment:
    KIND: ClassVar[str] = "payment"

    version: int = 0
    payment_id: str = ""
    number: str = ""
    account_id: str = ""
    type: str = ""
    """SALE, CAPTURE, EXTERNAL, or TRANSFER: from a payment of another account."""
    status: str = ""
    """Empty, DRAFT, DELETED, REFUSED, or REQUESTED, PENDING, REQUIRES_ACTION, REQUIRES_REVIEW,
    INDETERMINATE, PROCESSED, FAILED, CANCELED, RETURNED."""
    currency: str = ""
    amount: int = 0
    """Asked for; what counts as received once PROCESSED."""
    applied: int = 0
    refunded: int = 0
    refund_reserved: int = 0
    dispute_held: int = 0
    disputed_lost: int = 0
    returned: int = 0
    transfer_reserved: int = 0
    """On its way to another account."""
    transferred: int = 0
    """Gone to another account, or back to the one that it came from."""
    overdrawn: int = 0
    """What the bank took of it that was no longer here: the customer owes it, outside the invariant."""
    gateway_id: str | None = None
    gateway_ref: str | None = None
    gateway_date: datetime | None = None
    requested_at: datetime | None = None
    """When it was asked for, or recorded from outside."""
    draft: ExternalPaymentDrafted | None = None
    """What it says while it is no money yet."""
    method: Method | None = None
    authorization_id: str | None = None
    attempt_no: int = 1
    operation_key: str = ""
    """The gateway idempotency key of its latest operation: the sale or capture, later the void."""
    intended: tuple[Intended, ...] = ()
    payment_link_id: str | None = None
    """The link by which a guest has begun it."""
    data_refused: bool = False
    """Its gateway takes no Level 2 and 3 data with it, and has said so, now or at an earlier attempt."""
    schedule_item: ScheduleItemRef | None = None
    """The item that it collects, if it was asked for by a payment schedule."""
    legal_entity_id: str | None = None
    payment_group_id: str | None = None
    """Whose books it is in."""
    applications: dict[str, PaymentApplication] = field(default_factory=dict[str, PaymentApplication])
    """Live ones only."""
    unapplied_ids: set[str] = field(default_factory=set[str])
    reservations: dict[str, int] = field(default_factory=dict[str, int])
    """Refund id to the amount reserved for it."""
    refunds: dict[str, int] = field(default_factory=dict[str, int])
    """Refund id to the amount that went back."""
    disputes: dict[str, int] = field(default_factory=dict[str, int])
    """Open dispute's id to the amount held for it."""
    transfers: dict[str, Transfer] = field(default_factory=dict[str, Transfer])
    """What goes, or has gone, to other accounts."""
    from_account_id: str | None = None
    """Of a transfer: whose money it was, and of which payment."""
    from_payment_id: str | None = None
    was_disputed: bool = False
    settled: int = 0
    """What its gateway has paid out of it, before fees."""
    settled_by: set[str] = field(default_factory=set[str])
    """The lines of payouts that have said so, or have taken it back."""
    dispute_fee_due: int = 0
    """What a lost dispute costs, until a payout takes it."""
    dispute_fee_taken: bool = False
    cancellation_key: str | None = None
    """The key of a void in flight: the money is untouchable meanwhile."""
    cancellation_attempts: int = 0

    @property
    def has_arrived(self) -> bool:
        """Whether its money came, whatever has become of it since."""
        return self.status in ("PROCESSED", "RETURNED", "CANCELED")

    @property
    def received(self) -> int:
        return self.amount if self.status in ("PROCESSED", "RETURNED") else 0

    @property
    def unapplied(self) -> int:
        return self.refundable - self.applied

    @property
    def refundable(self) -> int:
        """What a gateway can still give back."""
        gone = self.refunded + self.refund_reserved + self.dispute_held + self.disputed_lost + self.returned
        return self.received - gone - self.transfer_reserved - self.transferred

    @property
    def buckets(self) -> dict[str, int]:
        """Where its money is: each at least 0, and together what was received."""
        return {
            "applied": self.applied,
            "unapplied": self.unapplied,
            "refunded": self.refunded,
            "refund_reserved": self.refund_reserved,
            "dispute_held": self.dispute_held,
            "disputed_lost": self.disputed_lost,
            "returned": self.returned,
            "transfer_reserved": self.transfer_reserved,
            "transferred": self.transferred,
        }

    @property
    def in_flight(self) -> bool:
        return self.status in IN_FLIGHT

    @property
    def open(self) -> bool:
        return (
            self.in_flight
            or self.unapplied != 0
            or self.refund_reserved != 0
            or bool(self.disputes)
            or self.overdrawn != 0
            or self.cancellation_key is not None
            or any(transfer.phase != "SENT" for transfer in self.transfers.values())
        )

    def applied_to(self, invoice_id: str) -> int:
        return sum(a.amount for a in self.applications.values() if a.invoice_id == invoice_id)


_STATUS_AFTER = {
    PaymentPending: "PENDING",
    PaymentActionRequired: "REQUIRES_ACTION",
    PaymentHeldForReview: "REQUIRES_REVIEW",
    PaymentOutcomeUnknown: "INDETERMINATE",
    PaymentFailed: "FAILED",
    PaymentCanceled: "CANCELED",
    DraftPaymentDeleted: "DELETED",
}


def evolve(
    payment: Payment, event: PaymentEvent | PaymentSettledByGateway | PaymentTakenBackByGateway
) -> None:
    match event:
        case PaymentRequested():
            _request(payment, event)
        case PaymentBegunByLink():
            payment.payment_link_id = event.payment_link_id
        case PaymentEnhancedDataRejected():
            payment.status, payment.operation_key = "REQUESTED", event.gateway_idempotency_key
            payment.data_refused = True
        case PaymentEnhancedDataReduced():
            payment.data_refused = event.reason == DATA_REFUSED_BEFORE
        case PaymentProcessed():
            payment.status, payment.amount = "PROCESSED", event.processed_amount.amount_minor
            payment.gateway_ref, payment.gateway_date = event.gateway_ref, event.gateway_date
        case PaymentApplied():
            _apply(payment, event)
        case PaymentUnapplied():
            _unapply(payment, event)
        case RefundReservedOnPayment():
            payment.reservations[event.refund_id] = event.amount.amount_minor
            payment.refund_reserved += event.amount.amount_minor
        case RefundReservationReleased():
            payment.refund_reserved -= payment.reservations.pop(event.refund_id)
        case RefundAppliedToPayment():
            payment.refund_reserved -= payment.reservations.pop(event.refund_id, 0)
            already = payment.refunds.get(event.refund_id, 0)
            payment.refunds[event.refund_id] = already + event.amount.amount_minor
            payment.refunded += event.amount.amount_minor
        case RefundReversedOnPayment():
            payment.refunded -= payment.refunds.pop(event.refund_id)
        case PaymentReturned():
            payment.status = "RETURNED"
            payment.returned += event.returned.amount_minor
            payment.overdrawn += event.overdrawn.amount_minor
        case PaymentOverdraftReduced():
            _reduce_overdraft(payment, event.amount.amount_minor)
        case PaymentOverdraftWrittenOff():
            payment.overdrawn -= event.amount.amount_minor
        case ChargebackOpened():
            payment.disputes[event.dispute_id] = event.held.amount_minor
            payment.dispute_held += event.held.amount_minor
            payment.was_disputed = True
        case ChargebackHoldRaised():
            payment.disputes[event.dispute_id] += event.held.amount_minor
            payment.dispute_held += event.held.amount_minor
        case ChargebackWon():
            payment.dispute_held -= payment.disputes.pop(event.dispute_id)
        case ChargebackLost():
            payment.dispute_held -= payment.disputes.pop(event.dispute_id)
            payment.disputed_lost += event.lost.amount_minor
            payment.overdrawn += event.overdrawn.amount_minor
            payment.dispute_fee_due += event.fee.amount_minor if event.fee else 0
        case PaymentSettledByGateway():
            payment.settled_by.add(event.line_id)
            payment.settled += event.amount.amount_minor - event.excess.amount_minor
        case PaymentTakenBackByGateway():
            payment.settled_by.add(event.line_id)
            if event.fee_expected:
                payment.dispute_fee_due = 0
            elif event.fee.amount_minor:
                payment.dispute_fee_taken = True
        case ExternalPaymentDrafted():
            _draft(payment, event, event)
        case DraftPaymentEdited():
            assert payment.draft is not None
            _draft(payment, payment.draft, event)
        case ExternalPaymentRecorded():
            _record(payment, event)
        case PaymentCancellationRequested():
            payment.cancellation_key = event.gateway_idempotency_key
            payment.cancellation_attempts = event.attempt_no
        case PaymentCancellationFailed():
            payment.cancellation_key = None
        case PaymentApplicationFailed() | PaymentTransferKept():
            pass
        case PaymentTransferReceived():
            _receive(payment, event)
        case PaymentTransferRefused():
            payment.payment_id, payment.account_id, payment.type = (
                event.payment_id,
                event.account_id,
                "TRANSFER",
            )
            payment.status = "REFUSED"
        case PaymentTransferGivenBack():
            payment.transferred += event.amount.amount_minor
        case (
            PaymentTransferReserved()
            | PaymentBalanceTransferred()
            | PaymentTransferReleased()
            | PaymentTransferRecalled()
            | PaymentTransferReturned()
            | PaymentTransferRecallRefused()
        ):
            _send_away(payment, event)
        case _:
            payment.status = _STATUS_AFTER[type(event)]
            if isinstance(event, PaymentCanceled):
                payment.cancellation_key = None


def _request(payment: Payment, event: PaymentRequested) -> None:
    payment.payment_id, payment.number, payment.type = event.payment_id, event.number, event.type
    payment.account_id, payment.status = event.account_id, "REQUESTED"
    payment.amount, payment.currency = event.amount.amount_minor, event.amount.currency
    payment.gateway_id, payment.method, payment.attempt_no = event.gateway_id, event.method, event.attempt_no
    payment.operation_key, payment.intended = event.gateway_idempotency_key, event.intended_applications
    payment.authorization_id, payment.requested_at = event.authorization_id, event.requested_at
    payment.schedule_item, payment.legal_entity_id = event.schedule_item, event.legal_entity_id
    payment.payment_group_id = event.payment_group_id


def _draft(
    payment: Payment, was: ExternalPaymentDrafted, said: ExternalPaymentDrafted | DraftPaymentEdited
) -> None:
    payment.payment_id, payment.number, payment.type = was.payment_id, was.number, "EXTERNAL"
    payment.account_id, payment.status = was.account_id, "DRAFT"
    payment.legal_entity_id, payment.payment_group_id = was.legal_entity_id, was.payment_group_id
    payment.amount, payment.currency = said.amount.amount_minor, said.amount.currency
    payment.draft = replace(
        was,
        amount=said.amount,
        instrument=said.instrument,
        reference=said.reference,
        received_on=said.received_on,
    )


def _record(payment: Payment, event: ExternalPaymentRecorded) -> None:
    payment.payment_id, payment.number, payment.type = event.payment_id, event.number, "EXTERNAL"
    payment.account_id, payment.status = event.account_id, "PROCESSED"
    payment.requested_at, payment.draft = event.recorded_at, None
    payment.legal_entity_id, payment.payment_group_id = event.legal_entity_id, event.payment_group_id
    payment.amount, payment.currency = event.amount.amount_minor, event.amount.currency


def _receive(payment: Payment, event: PaymentTransferReceived) -> None:
    payment.payment_id, payment.number, payment.type = event.payment_id, event.number, "TRANSFER"
    payment.account_id, payment.status = event.account_id, "PROCESSED"
    payment.amount, payment.currency = event.amount.amount_minor, event.amount.currency
    payment.from_account_id, payment.from_payment_id = event.from_account_id, event.from_payment_id
    payment.requested_at = event.received_at


def _send_away(payment: Payment, event: TransferEvent) -> None:
    """On the payment that owns the money: reserved, gone, and perhaps back."""
    match event:
        case PaymentTransferReserved():
            amount = event.amount.amount_minor
            payment.transfers[event.transfer_id] = Transfer(
                event.transfer_id, event.to_account_id, amount, event.invoice_id
            )
            payment.transfer_reserved += amount
        case PaymentBalanceTransferred():
            payment.transfers[event.transfer_id].phase = "SENT"
            payment.transfer_reserved -= event.amount.amount_minor
            payment.transferred += event.amount.amount_minor
        case PaymentTransferReleased():
            payment.transfer_reserved -= payment.transfers.pop(event.transfer_id).amount
        case PaymentTransferRecalled():
            payment.transfers[event.transfer_id].phase = "RECALLED"
        case PaymentTransferRecallRefused():
            payment.transfers[event.transfer_id].phase = "SENT"
        case PaymentTransferReturned():
            payment.transferred -= event.amount.amount_minor
            transfer = payment.transfers[event.transfer_id]
            transfer.amount = event.rest.amount_minor
            transfer.phase = "SENT" if event.asked else transfer.phase
            if transfer.amount == 0:
                del payment.transfers[event.transfer_id]
        case _:
            raise AssertionError(event)


def _reduce_overdraft(payment: Payment, amount: int) -> None:
    payment.overdrawn -= amount
    if payment.status == "RETURNED":
        payment.returned += amount
    else:
        payment.disputed_lost += amount


def _apply(payment: Payment, event: PaymentApplied) -> None:
    for applied in event.applications:
        payment.applications[applied.application_id] = PaymentApplication(
            applied.application_id,
            event.invoice_id,
            applied.line_id,
            applied.amount.amount_minor,
            event.effective_at,
        )
    payment.applied += event.total.amount_minor


def _unapply(payment: Payment, event: PaymentUnapplied) -> None:
    for taken_back in event.applications:
        assert taken_back.related_application_id is not None
        payment.applications.pop(taken_back.related_application_id)
        payment.unapplied_ids.add(taken_back.related_application_id)
    payment.applied -= event.total.amount_minor


def check_new(states: States, payment_id: str | None) -> None:
    """Raises `PAYMENT_EXISTS`."""
    if payment_id and states.get(Payment, payment_id).status:
        raise Rejected("PAYMENT_EXISTS", f"the payment {payment_id} exists already")
