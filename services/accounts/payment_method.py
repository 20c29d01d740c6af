"""A saved payment method: an instrument's token, whose it is, and whether it can be used now.

Invariant: one record per account, merchant account and instrument; saving the same
instrument again updates it.  A card number is never a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from events import ids
from events.payment_method import (
    BANK_DEBITS,
    MandateRecorded,
    MandateRevoked,
    PaymentMethodActivated,
    PaymentMethodChecked,
    PaymentMethodCheckRequested,
    PaymentMethodDeleted,
    PaymentMethodDetailsUpdated,
    PaymentMethodErrored,
    PaymentMethodEvent,
    PaymentMethodExpired,
    PaymentMethodHealthChanged,
    PaymentMethodImported,
    PaymentMethodRevoked,
    PaymentMethodSaved,
    PaymentMethodShared,
    PaymentMethodTokenizationFailed,
    PaymentMethodTokenizationRequested,
    PaymentMethodTokenized,
    PaymentMethodVerificationFailed,
    PaymentMethodVerificationRequested,
    StoredCredentialEstablished,
)
from events.shapes import Address, Method
from services.accounts import account
from services.accounts.method_rules import (
    check_consent,
    check_owner,
    check_takes,
    claimed,
    claiming,
    mark_of,
    token_holder,
    token_key,
    type_needed,
    type_of,
)
from services.calls.gateway import Gateway
from services.calls.provider import MethodType
from services.commands import FreeText, Id, PostalAddress, Text, Token, command
from services.decision import Change, Changes, Context, Names, Need, Needs, States
from services.errors import Rejected, not_found

Usage = Literal["ON_SESSION", "OFF_SESSION", "RESTRICTED_OFF_SESSION"]
SecCode = Literal["CCD", "PPD", "TEL", "WEB"]
Last4 = Annotated[str, Field(pattern=r"^[0-9]{4}$")]
Month = Annotated[int, Field(ge=1, le=12)]
Year = Annotated[int, Field(ge=2000, le=2100)]

LIVE = frozenset({"AWAITING", "ACTIVE", "ERRORED", "EXPIRED"})
"""States that a method can still come back from."""


@dataclass(slots=True)
class SavedMethod:
    KIND: ClassVar[str] = "spm"

    version: int = 0
    method_id: str = ""
    account_id: str = ""
    status: str = ""
    """Empty, AWAITING, ACTIVE, ERRORED, EXPIRED, REVOKED, DELETED."""
    owner_type: str = "ACCOUNT"
    owner_id: str = ""
    shared: bool = False
    portable: bool = False
    merchant_account_id: str = ""
    gateway_id: str = ""
    token_ref: str = ""
    fingerprint: str = ""
    type: str = ""
    usage: str = "OFF_SESSION"
    gateway_reference: str | None = None
    network: str | None = None
    last4: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    network_transaction_id: str | None = None
    mandate_reference: str | None = None
    mandate_accepted_at: datetime | None = None
    sec_code: str | None = None
    holder_name: str | None = None
    holder_email: str | None = None
    billing_address: Address | None = None
    nickname: str | None = None
    consecutive_failures: int = 0
    hard_blocked: str | None = None
    """The code of a hard decline, which its latest failure was: it stands in for no other method."""
    saved_at: datetime | None = None
    attempt_no: int = 0
    """Of its tokenizations."""
    operation_key: str = ""
    """The gateway idempotency key of its latest tokenization."""
    awaits: str | None = None
    """NOTIFICATION, MICRO_DEPOSITS or REVIEW, after the gateway has taken it."""
    verifications: int = 0
    """How often its holder has said what the micro-deposits were."""
    verifying: bool = False
    checks: int = 0
    """How often its gateway was asked to prove it."""
    checking: str | None = None
    """The idempotency key of the check that is under way."""
    checked_for: str | None = None
    """The migration that asked for the latest."""

    @property
    def open(self) -> bool:
        return self.status in LIVE


_DETAILS = (
    "token_ref",
    "gateway_reference",
    "network",
    "last4",
    "expiry_month",
    "expiry_year",
    "usage",
    "mandate_reference",
    "network_transaction_id",
    "holder_name",
    "holder_email",
    "billing_address",
    "nickname",
)
"""What saving the instrument again can change."""


def evolve(method: SavedMethod, event: PaymentMethodEvent) -> None:
    match event:
        case PaymentMethodSaved():
            _begin(method, event, "ACTIVE")
            method.owner_type, method.owner_id = event.owner_type, event.contact_id or event.account_id
            method.shared, method.portable = event.shared_within_account, event.portable
        case PaymentMethodImported():
            _begin(method, event, "ACTIVE")
            method.owner_type, method.owner_id = "ACCOUNT", event.account_id
        case PaymentMethodTokenizationRequested():
            _begin(method, event, "AWAITING")
            method.owner_type, method.owner_id = event.owner_type, event.contact_id or event.account_id
            method.shared, method.attempt_no = event.shared_within_account, event.attempt_no
            method.operation_key = event.gateway_idempotency_key
        case PaymentMethodTokenized():
            method.token_ref, method.status = event.token_ref, "AWAITING" if event.awaits else "ACTIVE"
            method.network_transaction_id = event.network_transaction_id or method.network_transaction_id
            method.awaits = event.awaits
        case PaymentMethodVerificationRequested():
            method.verifications, method.verifying = event.attempt_no, True
        case PaymentMethodVerificationFailed():
            method.verifying = False
        case PaymentMethodCheckRequested():
            method.checking, method.checks = event.gateway_idempotency_key, event.attempt_no
            method.checked_for = event.job_id
        case PaymentMethodChecked():
            method.checking = None
        case PaymentMethodActivated():
            method.token_ref, method.status = event.token_ref or method.token_ref, "ACTIVE"
            method.awaits, method.verifying = None, False
        case PaymentMethodTokenizationFailed() | PaymentMethodErrored():
            method.status, method.awaits = "ERRORED", None
        case StoredCredentialEstablished():
            method.network_transaction_id = event.network_transaction_id
        case PaymentMethodShared():
            method.shared = event.shared
        case MandateRecorded():
            method.mandate_reference, method.mandate_accepted_at = event.reference, event.accepted_at
            method.network_transaction_id = event.network_transaction_id or method.network_transaction_id
        case MandateRevoked():
            method.mandate_reference = method.mandate_accepted_at = None
        case PaymentMethodDetailsUpdated():
            method.status = "ACTIVE" if method.status in ("EXPIRED", "ERRORED") else method.status
            method.hard_blocked = None
            for name in _DETAILS:
                if getattr(event, name) is not None:
                    setattr(method, name, getattr(event, name))
        case PaymentMethodHealthChanged():
            method.consecutive_failures = event.consecutive_failures
            method.hard_blocked = event.hard_blocked_reason
        case PaymentMethodExpired():
            method.status = "EXPIRED"
        case PaymentMethodRevoked():
            method.status = "REVOKED"
        case PaymentMethodDeleted():
            method.status = "DELETED"


_Begun = PaymentMethodSaved | PaymentMethodImported | PaymentMethodTokenizationRequested


def _begin(method: SavedMethod, event: _Begun, status: str) -> None:
    method.method_id, method.account_id, method.status = event.method_id, event.account_id, status
    method.gateway_id, method.merchant_account_id = event.gateway_id, event.merchant_account_id
    method.type, method.sec_code, method.fingerprint = event.type, event.sec_code, event.fingerprint
    method.gateway_reference, method.network, method.last4 = (
        event.gateway_reference,
        event.network,
        event.last4,
    )
    method.expiry_month, method.expiry_year, method.usage = (
        event.expiry_month,
        event.expiry_year,
        event.usage,
    )
    method.holder_name, method.holder_email = event.holder_name, event.holder_email
    method.billing_address, method.nickname = event.billing_address, event.nickname
    method.mandate_reference, method.mandate_accepted_at = event.mandate_reference, event.mandate_accepted_at
    if isinstance(event, PaymentMethodTokenizationRequested):
        method.token_ref, method.saved_at = event.handle, event.requested_at
    else:
        method.saved_at = event.saved_at
        method.token_ref, method.network_transaction_id = event.token_ref, event.network_transaction_id
    method.consecutive_failures, method.operation_key, method.awaits = 0, "", None
    method.hard_blocked = None
    method.verifications, method.verifying = 0, False


@command("payments.payment_method.save.v1")
class SavePaymentMethod:
    """Store an instrument that a gateway's component has tokenized; again, to update it."""

    gateway_id: Id
    """The gateway that made the token: no other can charge it, unless it is `portable`."""
    token_ref: Token
    """The gateway's stand-in for the instrument, as its component gave it; a card number is refused."""
    type: MethodType | None = None
    """What the instrument is; or its gateway's own name of that, as `external_type`."""
    fingerprint: Text | None = None
    """Tells whether two instruments are the same, as the gateway says; without it, the token stands for the
    instrument."""
    external_type: Text | None = None
    """The gateway's own name of the type, in place of ours: its provider's map says what it means."""
    usage: Usage = "OFF_SESSION"
    owner_type: Literal["ACCOUNT", "CONTACT"] = "ACCOUNT"
    contact_id: Id | None = None
    """The contact who owns it, where that is not the account."""
    processing_mode: Literal["PLATFORM", "EXTERNAL"] = "PLATFORM"
    gateway_reference: Token | None = None
    async_gateway_ref: Token | None = None
    sub_type: Text | None = None
    network: Text | None = None
    card_category: Text | None = None
    last4: Last4 | None = None
    expiry_month: Month | None = None
    expiry_year: Year | None = None
    issuer: Text | None = None
    bank_name: Text | None = None
    bank_code: Text | None = None
    bank_account_type: Text | None = None
    bank_holder_type: Text | None = None
    extended_type: Text | None = None
    sec_code: SecCode | None = None
    holder_name: FreeText | None = None
    holder_email: FreeText | None = None
    billing_address: PostalAddress | None = None
    nickname: FreeText | None = None
    shared_within_account: bool = False
    portable: bool = False
    """A network token that other gateways take too."""
    merchant_created: bool = False
    """Not by the payer himself: his recorded consent (`mandate_accepted_at`) is needed."""
    moto: bool = False
    """The payer gave it by mail or telephone; only Stripe and Adyen keep such a method."""
    mandate_reference: Text | None = None
    """The reference of the payer's mandate; without one a bank debit is saved, but not charged."""
    mandate_accepted_at: datetime | None = None
    network_transaction_id: Text | None = None
    is_default: bool = False
    """Pay with it from now on where nothing else is named; `METHOD_NOT_USABLE` where it cannot be."""


def check_usable(method: SavedMethod, method_id: str, context: Context) -> None:
    """Raises `METHOD_NOT_FOUND`, `METHOD_NOT_OWNED_BY_ACCOUNT`, `METHOD_NOT_ACTIVE`, `METHOD_EXPIRED`."""
    if not method.status or method.status == "DELETED":
        raise not_found("METHOD", method_id)
    if method.account_id != context.account_id:
        raise Rejected("METHOD_NOT_OWNED_BY_ACCOUNT", f"the method {method_id} belongs to another account")
    if method.status == "EXPIRED" or is_past(method, context.now):
        raise Rejected("METHOD_EXPIRED", f"the method {method_id} has expired")
    if method.status != "ACTIVE":
        raise Rejected("METHOD_NOT_ACTIVE", f"the method {method_id} is {method.status}")


def check_chargeable(method: SavedMethod, method_id: str, context: Context) -> None:
    """Raises what `check_usable` does, and `MANDATE_REQUIRED`: a bank debit needs its holder's mandate."""
    check_usable(method, method_id, context)
    if method.type in BANK_DEBITS and method.mandate_reference is None:
        raise Rejected("MANDATE_REQUIRED", f"the method {method_id} has no mandate", id=method_id)


def gateway_for(method: SavedMethod, asked: str | None) -> str:
    """The gateway to charge a method at: its token's own.  Raises `METHOD_GATEWAY_MISMATCH`."""
    if asked in (None, method.gateway_id):
        return method.gateway_id
    if not method.portable:
        raise Rejected("METHOD_GATEWAY_MISMATCH", f"the method's token belongs to {method.gateway_id}")
    assert asked is not None
    return asked


def snapshot(method: SavedMethod, gateway_id: str | None = None) -> Method:
    """The instrument as it is now, to go with an intent to its gateway, or to another that takes it."""
    return Method(
        type=method.type,
        token_ref=method.token_ref,
        gateway_id=gateway_id or method.gateway_id,
        method_id=method.method_id,
        gateway_reference=method.gateway_reference,
        network=method.network,
        last4=method.last4,
        expiry_month=method.expiry_month,
        expiry_year=method.expiry_year,
        network_transaction_id=method.network_transaction_id,
        mandate_reference=method.mandate_reference,
        sec_code=method.sec_code,
    )


def is_first_use(method: SavedMethod) -> bool:
    """Whether the network does not yet know the card as one that is kept to be charged again."""
    return method.type == "card" and method.network_transaction_id is None and method.usage != "ON_SESSION"


def end_of_life(expiry_month: int | None, expiry_year: int | None) -> datetime | None:
    """The first instant after its expiry month, UTC: until then an instrument is good."""
    if expiry_year is None or expiry_month is None:
        return None
    year, month = divmod(expiry_year * 12 + expiry_month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def is_past(method: SavedMethod, now: datetime) -> bool:
    ends = end_of_life(method.expiry_month, method.expiry_year)
    return ends is not None and ends <= now


def saved_id(states: States, command: SavePaymentMethod, merchant: str, context: Context) -> str:
    """By the instrument; without its fingerprint, the account's own record of the token, if there is one."""
    if command.fingerprint:
        return ids.method_id(context.tenant, context.account_id, merchant, command.fingerprint)
    holder, method_id = token_holder(states, token_key(merchant, command.token_ref))
    if holder == context.account_id:
        return method_id
    mark = f"{command.gateway_id}/{mark_of(command.token_ref)}"
    return ids.method_id(context.tenant, context.account_id, merchant, mark)


def save_needs(states: States, command: SavePaymentMethod, context: Context) -> Needs:
    yield Need(Gateway, command.gateway_id)
    yield account.needed(context)
    gateway = states.find(Gateway, command.gateway_id)
    if gateway is None:
        return
    yield from type_needed(states, command.gateway_id, command.external_type)
    merchant = gateway.merchant_account_id
    yield Names("method_token", [token_key(merchant, command.token_ref)])
    yield Need(SavedMethod, saved_id(states, command, merchant, context))


def save(states: States, command: SavePaymentMethod, context: Context) -> Changes:
    owner = account.chargeable(states, context)
    account.check_takes_personal(
        owner, command.holder_name, command.holder_email, command.billing_address, command.nickname
    )
    gateway = states.get(Gateway, command.gateway_id)
    type, extended_type = type_of(states, command.gateway_id, command)
    check_takes(gateway, command.gateway_id, type, extended_type)
    check_consent(command, gateway, command.gateway_id)
    check_owner(command)
    method_id = saved_id(states, command, gateway.merchant_account_id, context)
    method = states.get(SavedMethod, method_id)
    if method.status in ("ACTIVE", "EXPIRED") and method.gateway_id == command.gateway_id:
        return [*claimed(method, command.token_ref), *updated(method, vars(command), "USER")]
    given = {name: value for name, value in vars(command).items() if name not in _NOT_KEPT}
    fingerprint = command.fingerprint or mark_of(command.token_ref)
    saved = PaymentMethodSaved(
        method_id=method_id,
        account_id=context.account_id,
        merchant_account_id=gateway.merchant_account_id,
        fingerprint=fingerprint,
        type=type,
        extended_type=extended_type,
        saved_at=context.now,
        **given,
    )
    return [claiming(saved, command.token_ref, ""), Change(SavedMethod, method_id, saved)]


_NOT_KEPT = ("fingerprint", "type", "external_type", "extended_type", "is_default")
"""Of what is said of a method, what is not told of it as it is said."""


def updated(method: SavedMethod, given: Mapping[str, Any], source: str) -> Sequence[Change]:
    """What is given and new, as one fact; nothing where nothing is, and the method is usable already."""
    changed = {
        name: value
        for name in _DETAILS
        if (value := given.get(name)) is not None and value != getattr(method, name)
    }
    if not changed and method.status == "ACTIVE":
        return []
    return [Change(SavedMethod, method.method_id, PaymentMethodDetailsUpdated(source=source, **changed))]
