"""A subscription: which of its invoices was posted last, for negative ones that do not say (domain 3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from events import ids
from events.subscription import SubscriptionInvoiced
from services.decision import Change, Context, Need, States, Subject


@dataclass(slots=True)
class Subscription:
    KIND: ClassVar[str] = "subscription"

    version: int = 0
    invoice_id: str | None = None
    """The positive invoice that was posted last."""
    posted_at: datetime | None = None

    @property
    def open(self) -> bool:
        return False


def evolve(subscription: Subscription, event: SubscriptionInvoiced) -> None:
    if subscription.posted_at is None or event.posted_at >= subscription.posted_at:
        subscription.invoice_id, subscription.posted_at = event.invoice_id, event.posted_at


def _id(reference_id: str, context: Context) -> str:
    return ids.part_id(ids.home(context.tenant, context.account_id), f"subscription/{reference_id}")


def needed(reference_id: str, context: Context) -> Need:
    return Need(Subscription, _id(reference_id, context))


def latest_invoice(states: States, reference_id: str, context: Context) -> str | None:
    return states.get(Subscription, _id(reference_id, context)).invoice_id


def invoiced(reference_id: str, invoice_id: str, posted_at: datetime, context: Context) -> Change:
    fact = SubscriptionInvoiced(context.account_id, reference_id, invoice_id, posted_at)
    return Change(Subscription, _id(reference_id, context), fact)


SUBJECT = Subject(Subscription, evolve)
