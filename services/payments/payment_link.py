"""A payment link: an invoice that a guest pays, with an instrument of his own.

Invariant: one payment at a time; none once it has expired or is used up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from events.payment_link import (
    PaymentLinkCreated,
    PaymentLinkEvent,
    PaymentLinkExpired,
    PaymentLinkOpened,
    PaymentLinkPaid,
    PaymentLinkPaymentBegun,
    PaymentLinkPaymentFailed,
)
from services.decision import Context, States
from services.errors import Rejected, not_found


@dataclass(slots=True)
class PaymentLink:
    KIND: ClassVar[str] = "paylink"

    version: int = 0
    status: str = ""
    """Empty, ACTIVE, PAID, EXPIRED."""
    account_id: str = ""
    invoice_id: str = ""
    currency: str = ""
    amount: int | None = None
    single_use: bool = True
    expires_at: datetime | None = None
    opened: bool = False
    paying: str | None = None
    """The payment whose outcome is not known yet."""
    saves_method: bool = False
    """Whether that payment's method is to be kept."""

    @property
    def open(self) -> bool:
        """Nothing is owed by a link itself."""
        return False

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


def evolve(link: PaymentLink, event: PaymentLinkEvent) -> None:
    match event:
        case PaymentLinkCreated():
            link.status, link.account_id, link.invoice_id = "ACTIVE", event.account_id, event.invoice_id
            link.currency, link.single_use, link.expires_at = (
                event.currency,
                event.single_use,
                event.expires_at,
            )
            link.amount = event.amount.amount_minor if event.amount else None
        case PaymentLinkOpened():
            link.opened = True
        case PaymentLinkPaymentBegun():
            link.paying, link.saves_method = event.payment_id, event.saves_method
        case PaymentLinkPaymentFailed():
            link.paying = None
        case PaymentLinkPaid():
            link.paying = None
            link.status = "PAID" if event.used_up else link.status
        case PaymentLinkExpired():
            link.status = "EXPIRED"


def of(states: States, payment_link_id: str, context: Context) -> PaymentLink:
    """Raises `PAYMENT_LINK_NOT_FOUND`, `ACCOUNT_MISMATCH`."""
    link = states.get(PaymentLink, payment_link_id)
    if not link.status:
        raise not_found("PAYMENT_LINK", payment_link_id)
    if link.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the payment link {payment_link_id} belongs to another account")
    return link
