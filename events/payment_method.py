"""What can happen to a saved payment method (stream `spm-{id}`)."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact, upcasts
from events.personal import Personal
from events.shapes import Address


@fact("payment_method.saved.v2")
class PaymentMethodSaved:
    """An instrument, tokenized by its gateway, was stored for an account."""

    method_id: str
    account_id: str
    owner_type: str
    """ACCOUNT or CONTACT."""
    merchant_account_id: str
    gateway_id: str
    token_ref: str
    type: str
    fingerprint: str
    usage: str = "OFF_SESSION"
    processing_mode: str = "PLATFORM"
    gateway_reference: str | None = None
    sub_type: str | None = None
    network: str | None = None
    last4: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    extended_type: str | None = None
    sec_code: str | None = None
    holder_name: Personal | None = None
    holder_email: Personal | None = None
    billing_address: Address | None = None
    nickname: Personal | None = None
    merchant_created: bool = False
    mandate_reference: str | None = None
    mandate_accepted_at: datetime | None = None
    network_transaction_id: str | None = None


@upcasts("payment_method.saved.v1", to="payment_method.saved.v2")
def owner_and_usage_were_implied(fact: dict[str, object]) -> dict[str, object]:
    """Version 1 knew only methods of accounts, and one flag for all use without the customer."""
    reusable = fact.pop("reusable", True)
    return {**fact, "owner_type": "ACCOUNT", "usage": "OFF_SESSION" if reusable else "ON_SESSION"}


@fact("payment_method.details_updated.v1")
class PaymentMethodDetailsUpdated:
    """The same instrument was saved again, or its details changed; only what is given changed."""

    source: str
    """USER, ACCOUNT_UPDATER or REIMPORT."""
    token_ref: str | None = None
    gateway_reference: str | None = None
    network: str | None = None
    last4: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    holder_name: Personal | None = None
    holder_email: Personal | None = None
    billing_address: Address | None = None
    nickname: Personal | None = None
    usage: str | None = None
    mandate_reference: str | None = None
    network_transaction_id: str | None = None


@fact("payment_method.expired.v1")
class PaymentMethodExpired:
    expiry_month: int
    expiry_year: int


@fact("payment_method.revoked.v1")
class PaymentMethodRevoked:
    """The issuer will never accept it again (closed, stolen, revoked)."""

    raw_code: str | None
    category: str | None


@fact("payment_method.health_changed.v1")
class PaymentMethodHealthChanged:
    consecutive_failures: int
    last_success_at: datetime | None = None
    last_category: str | None = None
    hard_blocked_reason: str | None = None


@fact("payment_method.deleted.v1")
class PaymentMethodDeleted:
    reason: str | None = None


PaymentMethodEvent = (
    PaymentMethodSaved
    | PaymentMethodDetailsUpdated
    | PaymentMethodExpired
    | PaymentMethodRevoked
    | PaymentMethodHealthChanged
    | PaymentMethodDeleted
)
