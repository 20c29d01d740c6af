"""What can happen to a dispute (stream `dispute-{id}`): a payment that its bank took back, for now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.catalog import fact, upcasts
from events.frozen import frozen
from events.money import Money
from events.shapes import Corporate


@frozen
class TakenBack:
    """What a payment had settled of an invoice, and settles no longer while the dispute lasts."""

    invoice_id: str
    amount: Money


@fact("dispute.opened.v1")
class DisputeOpened:
    """A chargeback: its money is held, so nothing else can take it."""

    dispute_id: str
    payment_id: str
    account_id: str
    amount: Money
    """What the bank disputes."""
    held: Money
    """What of it was still there to be held: less than the amount after a refund."""
    reason: str
    """Why, in the words of the bank or the gateway."""
    source: str
    taken_back: tuple[TakenBack, ...] = ()
    """The invoices that are open again, and how much of each."""
    gateway_ref: str | None = None
    """The gateway's own id of the dispute."""
    opened_at: datetime | None = None
    """When the gateway says that it was opened."""


@fact("dispute.hold_raised.v1")
class DisputeHoldRaised:
    """Money that an orchestration had reserved for a refund is held as well: the refund was not sent yet."""

    held: Money
    """More than before."""
    orchestration_id: str
    leg_no: int


@fact("dispute.evidence_requested.v1")
class DisputeEvidenceRequested:
    """The bank wants evidence by `due_at`."""

    due_at: datetime
    """Until when the bank takes evidence."""


@fact("dispute.evidence_submitted.v1")
class DisputeEvidenceSubmitted:
    """The evidence is with the gateway; the bank decides."""

    evidence: str
    """Where it is kept, or what it says: never the documents themselves."""


@fact("dispute.won.v1")
class DisputeWon:
    """The bank found for us: the money that was held is ours again."""

    source: str


@fact("dispute.lost.v2")
class DisputeLost:
    """The bank found for the customer: the money is gone, and may have cost a fee."""

    source: str
    fee: Money | None = None
    corporate: Corporate | None = None
    """Without the fee."""


@fact("dispute.accepted.v2")
class DisputeAccepted:
    """Nobody contests it: the money is lost."""

    reason: str
    fee: Money | None = None
    corporate: Corporate | None = None


@upcasts("dispute.lost.v1", to="dispute.lost.v2")
@upcasts("dispute.accepted.v1", to="dispute.accepted.v2")
def lost_in_its_own_currency(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not say what was lost in the reporting currency."""
    return fact


DisputeEvent = (
    DisputeOpened
    | DisputeHoldRaised
    | DisputeEvidenceRequested
    | DisputeEvidenceSubmitted
    | DisputeWon
    | DisputeLost
    | DisputeAccepted
)
