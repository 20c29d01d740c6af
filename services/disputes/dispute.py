"""A dispute: a payment that its payer's bank took back for now, and how that ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from events.dispute import (
    DisputeAccepted,
    DisputeEvent,
    DisputeEvidenceRequested,
    DisputeEvidenceSubmitted,
    DisputeHoldRaised,
    DisputeLost,
    DisputeOpened,
    DisputeWon,
)

UNDECIDED = frozenset({"OPENED", "EVIDENCE_DUE", "SUBMITTED"})
ANSWERABLE = frozenset({"OPENED", "EVIDENCE_DUE"})


@dataclass(slots=True)
class Dispute:
    KIND: ClassVar[str] = "dispute"

    version: int = 0
    dispute_id: str = ""
    payment_id: str = ""
    account_id: str = ""
    currency: str = ""
    status: str = ""
    """Empty, OPENED, EVIDENCE_DUE, SUBMITTED, WON, LOST or ACCEPTED."""
    amount: int = 0
    held: int = 0
    refunds_held: int = 0
    """Of it, what was to go back to the customer when it was opened."""
    taken_back: dict[str, int] = field(default_factory=dict[str, int])
    """Invoice id to what the payment settled of it before."""

    @property
    def open(self) -> bool:
        return self.status in UNDECIDED


def evolve(dispute: Dispute, event: DisputeEvent) -> None:
    match event:
        case DisputeOpened():
            dispute.dispute_id, dispute.payment_id = event.dispute_id, event.payment_id
            dispute.account_id, dispute.status = event.account_id, "OPENED"
            dispute.amount, dispute.currency = event.amount.amount_minor, event.amount.currency
            dispute.held = event.held.amount_minor
            dispute.taken_back = {each.invoice_id: each.amount.amount_minor for each in event.taken_back}
        case DisputeHoldRaised():
            dispute.held += event.held.amount_minor
            dispute.refunds_held += event.held.amount_minor
        case DisputeEvidenceRequested():
            dispute.status = "EVIDENCE_DUE"
        case DisputeEvidenceSubmitted():
            dispute.status = "SUBMITTED"
        case DisputeWon():
            dispute.status = "WON"
        case DisputeLost():
            dispute.status = "LOST"
        case DisputeAccepted():
            dispute.status = "ACCEPTED"
