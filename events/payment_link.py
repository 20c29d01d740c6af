"""What can happen to a payment link (stream `paylink-{id}`): an invoice that a guest pays."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact
from events.money import Money


@fact("payment_link.created.v1")
class PaymentLinkCreated:
    """A page where a customer pays an invoice, or an amount, without signing in."""

    payment_link_id: str
    account_id: str
    """Whose invoice it is: every payment by the link is this account's, whoever pays."""
    invoice_id: str
    currency: str
    single_use: bool
    created_at: datetime
    amount: Money | None = None
    """At most so much a payment; without one, what the invoice owes then."""
    expires_at: datetime | None = None
    comments: str | None = None


@fact("payment_link.opened.v1")
class PaymentLinkOpened:
    """Somebody looked at it for the first time."""

    opened_at: datetime
    """When that was."""


@fact("payment_link.payment_begun.v1")
class PaymentLinkPaymentBegun:
    """A guest pays by it; nobody else does before the outcome is known."""

    payment_id: str
    amount: Money
    saves_method: bool = False


@fact("payment_link.payment_failed.v1")
class PaymentLinkPaymentFailed:
    """The link can be paid again, by another method perhaps."""

    payment_id: str
    result_code: str


@fact("payment_link.paid.v1")
class PaymentLinkPaid:
    """A payment was made by it."""

    payment_id: str
    amount: Money
    """What arrived."""
    paid_at: datetime
    """When that was."""
    used_up: bool
    """Nothing more is paid by it: it was for one use, or its invoice owes nothing more."""
    saves_method: bool = False
    """The guest wants his method kept for the account."""


@fact("payment_link.expired.v1")
class PaymentLinkExpired:
    """Nothing can be paid by it any more."""

    reason: str
    """TIME_OVER, or why somebody ended it."""


PaymentLinkEvent = (
    PaymentLinkCreated
    | PaymentLinkOpened
    | PaymentLinkPaymentBegun
    | PaymentLinkPaymentFailed
    | PaymentLinkPaid
    | PaymentLinkExpired
)
