"""What can happen to a saved payment method (stream `spm-{id}`)."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact, upcasts
from events.personal import Personal
from events.shapes import Address

BANK_DEBITS = ("us_bank_account", "sepa_debit", "bacs_debit", "au_becs_debit")
"""Types that pull money from an account: never without its holder's mandate, and its bank may take it back
days after it said that it had paid."""


@fact("payment_method.saved.v4")
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
    contact_id: str | None = None
    """The owner, where that is a contact."""
    async_gateway_ref: str | None = None
    card_category: str | None = None
    issuer: str | None = None
    bank_name: str | None = None
    bank_code: str | None = None
    bank_account_type: str | None = None
    bank_holder_type: str | None = None
    shared_within_account: bool = False
    portable: bool = False
    """A network token: other gateways take it too."""
    moto: bool = False
    saved_at: datetime | None = None


@upcasts("payment_method.saved.v1", to="payment_method.saved.v2")
def owner_and_usage_were_implied(fact: dict[str, object]) -> dict[str, object]:
    """Version 1 knew only methods of accounts, and one flag for all use without the customer."""
    reusable = fact.pop("reusable", True)
    return {**fact, "owner_type": "ACCOUNT", "usage": "OFF_SESSION" if reusable else "ON_SESSION"}


@upcasts("payment_method.saved.v2", to="payment_method.saved.v3")
def banks_and_contacts_were_not_told(fact: dict[str, object]) -> dict[str, object]:
    """Version 2 did not say which contact owns a method, and knew no banks and no sharing."""
    return fact


@upcasts("payment_method.saved.v3", to="payment_method.saved.v4")
def time_was_not_told(fact: dict[str, object]) -> dict[str, object]:
    """Version 3 did not say when a method was saved: it counts as older than any that does."""
    return fact


@fact("payment_method.imported.v2")
class PaymentMethodImported:
    """A token that came from elsewhere was taken over for an account: usable at once."""

    method_id: str
    account_id: str
    external_id: str
    """What it was called where it came from."""
    merchant_account_id: str
    gateway_id: str
    token_ref: str
    type: str
    fingerprint: str
    job_id: str | None = None
    """The migration that it came with; none for a row that came alone."""
    row_no: int | None = None
    usage: str = "OFF_SESSION"
    gateway_reference: str | None = None
    async_gateway_ref: str | None = None
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
    mandate_reference: str | None = None
    mandate_accepted_at: datetime | None = None
    network_transaction_id: str | None = None
    saved_at: datetime | None = None


@upcasts("payment_method.imported.v1", to="payment_method.imported.v2")
def import_time_was_not_told(fact: dict[str, object]) -> dict[str, object]:
    """Version 1 did not say when a method was taken over: it counts as older than any that does."""
    return fact


@fact("payment_method.tokenization_requested.v1")
class PaymentMethodTokenizationRequested:
    """What a client-side component holds under a handle is to become a token of the gateway's."""

    method_id: str
    account_id: str
    owner_type: str
    contact_id: str | None
    merchant_account_id: str
    gateway_id: str
    handle: str
    type: str
    fingerprint: str
    attempt_no: int
    gateway_idempotency_key: str
    requested_at: datetime
    usage: str = "OFF_SESSION"
    gateway_reference: str | None = None
    network: str | None = None
    card_category: str | None = None
    last4: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    bank_name: str | None = None
    bank_code: str | None = None
    bank_account_type: str | None = None
    bank_holder_type: str | None = None
    sec_code: str | None = None
    holder_name: Personal | None = None
    holder_email: Personal | None = None
    billing_address: Address | None = None
    nickname: Personal | None = None
    shared_within_account: bool = False
    merchant_created: bool = False
    moto: bool = False
    mandate_reference: str | None = None
    mandate_accepted_at: datetime | None = None


@fact("payment_method.tokenized.v1")
class PaymentMethodTokenized:
    """The gateway took it: usable, unless the gateway still waits for something."""

    token_ref: str
    source: str
    """GATEWAY, NOTIFICATION, RECONCILER or OPERATOR."""
    awaits: str | None = None
    """NOTIFICATION, MICRO_DEPOSITS or REVIEW."""
    network_transaction_id: str | None = None


@fact("payment_method.tokenization_failed.v1")
class PaymentMethodTokenizationFailed:
    """The gateway does not keep it: it can pay nothing."""

    result_code: str
    category: str | None
    raw_code: str | None
    raw_message: str | None
    hard: bool


@fact("payment_method.activated.v1")
class PaymentMethodActivated:
    """What the gateway waited for has happened."""

    source: str
    token_ref: str | None = None
    """Its token, where that is known only now."""


@fact("payment_method.errored.v1")
class PaymentMethodErrored:
    """What the gateway waited for did not happen."""

    source: str
    category: str | None
    raw_code: str | None


@fact("payment_method.verification_requested.v1")
class PaymentMethodVerificationRequested:
    """Its holder has said what the micro-deposits were; the gateway compares."""

    attempt_no: int
    gateway_idempotency_key: str
    requested_at: datetime


@fact("payment_method.verification_failed.v1")
class PaymentMethodVerificationFailed:
    """They were others."""

    attempt_no: int
    attempts_left: int
    """How often its holder may try again."""
    raw_code: str | None = None
    category: str | None = None


@fact("payment_method.check_requested.v1")
class PaymentMethodCheckRequested:
    """Its gateway is to prove the token by a charge of nothing."""

    attempt_no: int
    gateway_idempotency_key: str
    requested_at: datetime
    job_id: str | None = None
    """The migration that asked for it."""


@fact("payment_method.checked.v1")
class PaymentMethodChecked:
    """What its gateway makes of the token."""

    attempt_no: int
    result: str
    """PASSED, FAILED; UNCLEAR: its holder would have to act, or a person to look at it."""
    source: str
    category: str | None = None
    raw_code: str | None = None
    job_id: str | None = None


@fact("payment_method.shared.v1")
class PaymentMethodShared:
    """Whether the account's other contacts, and its default, may use a contact's method."""

    shared: bool


@fact("payment_method.mandate_recorded.v1")
class MandateRecorded:
    """The payer's consent to being charged."""

    reference: str
    """What the mandate is called; its holder's bank knows it by this."""
    accepted_at: datetime
    scheme: str | None = None
    ip: Personal | None = None
    text_hash: str | None = None
    """Of the words that the payer agreed to."""
    network_transaction_id: str | None = None


@fact("payment_method.mandate_revoked.v1")
class MandateRevoked:
    """The customer no longer allows debits by it."""

    reference: str
    """The mandate that it is about."""
    reason: str | None = None


@fact("payment_method.stored_credential_established.v1")
class StoredCredentialEstablished:
    """The card's network knows it from now on as one that is kept, by the payment that this id names."""

    network_transaction_id: str


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
    """Its last month is over; it can pay nothing."""

    expiry_month: int
    expiry_year: int


@fact("payment_method.revoked.v1")
class PaymentMethodRevoked:
    """The issuer will never accept it again (closed, stolen, revoked)."""

    raw_code: str | None
    category: str | None


@fact("payment_method.health_changed.v1")
class PaymentMethodHealthChanged:
    """How its latest payments went: what retries, and people who ask, go by."""

    consecutive_failures: int
    """How many of its latest payments failed one after another."""
    last_success_at: datetime | None = None
    """When it last paid."""
    last_category: str | None = None
    """Why its latest payment failed: a category, as of failures."""
    hard_blocked_reason: str | None = None
    """Why its issuer takes no payment by it any more: the code of the last one."""


@fact("payment_method.deleted.v1")
class PaymentMethodDeleted:
    """It can pay nothing any more; what it has paid can still be refunded to it."""

    reason: str | None = None


PaymentMethodEvent = (
    PaymentMethodSaved
    | PaymentMethodImported
    | PaymentMethodTokenizationRequested
    | PaymentMethodTokenized
    | PaymentMethodTokenizationFailed
    | PaymentMethodActivated
    | PaymentMethodErrored
    | PaymentMethodVerificationRequested
    | PaymentMethodVerificationFailed
    | PaymentMethodCheckRequested
    | PaymentMethodChecked
    | PaymentMethodShared
    | StoredCredentialEstablished
    | MandateRecorded
    | MandateRevoked
    | PaymentMethodDetailsUpdated
    | PaymentMethodExpired
    | PaymentMethodRevoked
    | PaymentMethodHealthChanged
    | PaymentMethodDeleted
)
