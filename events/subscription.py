"""What can happen to a subscription, as far as its invoices go (stream `subscription-{id}`)."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact


@fact("subscription.invoiced.v1")
class SubscriptionInvoiced:
    """A positive invoice of it was posted: what a later negative one takes back, if it names no other."""

    account_id: str
    reference_id: str
    invoice_id: str
    posted_at: datetime


@fact("subscription.invoice_voided.v1")
class SubscriptionInvoiceVoided:
    """What was posted before it is the latest again."""

    account_id: str
    reference_id: str
    invoice_id: str


SubscriptionEvent = SubscriptionInvoiced | SubscriptionInvoiceVoided
