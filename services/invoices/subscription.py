"""A subscription: which of its invoices was posted last, for negative ones that do not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from events import ids
from events.subscription import SubscriptionEvent, SubscriptionInvoiced, SubscriptionInvoiceVoided
from services.decision import Change, Context, Need, States, Subject


@dataclass(slots=True)
class Subscription:
    KIND: ClassVar[str] = "subscription"

    version: int = 0
    invoices: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Its positive invoices that were not voided, each with the instant of its posting."""

    @property
    def invoice_id(self) -> str | None:
        """The one that was posted last."""
        ranked = enumerate(self.invoices.items())
        latest = max(ranked, key=lambda one: (one[1][1], one[0]), default=None)
        return latest[1][0] if latest else None

    @property
    def open(self) -> bool:
        return False


def evolve(subscription: Subscription, event: SubscriptionEvent) -> None:
    match event:
        case SubscriptionInvoiced():
            subscription.invoices[event.invoice_id] = event.posted_at
        case SubscriptionInvoiceVoided():
            subscription.invoices.pop(event.invoice_id, None)


def _id(reference_id: str, context: Context) -> str:
    return ids.part_id(ids.home(context.tenant, context.account_id), f"subscription/{reference_id}")


def needed(reference_id: str, context: Context) -> Need:
    return Need(Subscription, _id(reference_id, context))


def latest_invoice(states: States, reference_id: str, context: Context) -> str | None:
    return states.get(Subscription, _id(reference_id, context)).invoice_id


def invoiced(reference_id: str, invoice_id: str, posted_at: datetime, context: Context) -> Change:
    fact = SubscriptionInvoiced(context.account_id, reference_id, invoice_id, posted_at)
    return Change(Subscription, _id(reference_id, context), fact)


def voided(reference_id: str, invoice_id: str, context: Context) -> Change:
    fact = SubscriptionInvoiceVoided(context.account_id, reference_id, invoice_id)
    return Change(Subscription, _id(reference_id, context), fact)


SUBJECT = Subject(Subscription, evolve)
