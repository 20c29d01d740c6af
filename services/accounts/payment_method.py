"""A saved payment method: an instrument's token, whose it is, and whether it can be used now.

Invariant (domain 2.2, a): one record per account, merchant account and instrument; saving the same
instrument again updates it.  A card number is never a token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from events import ids
from events.account import DefaultPaymentMethodCleared
from events.payment_method import (
    PaymentMethodDeleted,
    PaymentMethodDetailsUpdated,
    PaymentMethodEvent,
    PaymentMethodExpired,
    PaymentMethodHealthChanged,
    PaymentMethodRevoked,
    PaymentMethodSaved,
)
from events.shapes import Address, Method, Outcome
from services.accounts import account
from services.accounts.account import Account
from services.calls.gateway import Gateway
from services.commands import FreeText, Id, PostalAddress, Text, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, not_found

MethodType = Literal[
    "card",
    "us_bank_account",
    "sepa_debit",
    "bacs_debit",
    "au_becs_debit",
    "ideal",
    "bancontact",
    "extd_wallet",
    "extd_apm",
]
Usage = Literal["ON_SESSION", "OFF_SESSION", "RESTRICTED_OFF_SESSION"]

REVOKING = frozenset(
    {
        "lost_card",
        "stolen_card",
        "pickup_card",
        "account_closed",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
    }
)
"""Hard declines after which an instrument never works again: closed, stolen, revoked (domain 2.2)."""

LOST = frozenset({"METHOD_EXPIRED", "METHOD_REVOKED", "METHOD_DELETED"})
"""Why a default is cleared without anyone asking for it."""

BLAMELESS = frozenset({"GatewayConnection", "ValidationFailure"})
"""Categories of failures that say nothing about the instrument."""


@dataclass(slots=True)
class SavedMethod:
    KIND: ClassVar[str] = "spm"

    version: int = 0
    method_id: str = ""
    account_id: str = ""
    status: str = ""
    """Empty, ACTIVE, EXPIRED, REVOKED, DELETED."""
    gateway_id: str = ""
    token_ref: str = ""
    type: str = ""
    usage: str = "OFF_SESSION"
    gateway_reference: str | None = None
    network: str | None = None
    last4: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    network_transaction_id: str | None = None
    mandate_reference: str | None = None
    sec_code: str | None = None
    holder_name: str | None = None
    holder_email: str | None = None
    billing_address: Address | None = None
    nickname: str | None = None
    consecutive_failures: int = 0

    @property
    def open(self) -> bool:
        return self.status in ("ACTIVE", "EXPIRED")


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
            method.method_id, method.account_id, method.status = event.method_id, event.account_id, "ACTIVE"
            method.gateway_id, method.type, method.sec_code = event.gateway_id, event.type, event.sec_code
            method.consecutive_failures = 0
            for name in _DETAILS:
                setattr(method, name, getattr(event, name))
        case PaymentMethodDetailsUpdated():
            method.status = "ACTIVE" if method.status == "EXPIRED" else method.status
            for name in _DETAILS:
                if getattr(event, name) is not None:
                    setattr(method, name, getattr(event, name))
        case PaymentMethodHealthChanged():
            method.consecutive_failures = event.consecutive_failures
        case PaymentMethodExpired():
            method.status = "EXPIRED"
        case PaymentMethodRevoked():
            method.status = "REVOKED"
        case PaymentMethodDeleted():
            method.status = "DELETED"


@command("payments.payment_method.save.v1")
class SavePaymentMethod:
    """Store an instrument that a gateway's component has tokenized; again, to update it."""

    gateway_id: Id
    token_ref: Token
    type: MethodType
    fingerprint: Text | None = None
    """Of the instrument, from the gateway; without it, the token stands for the instrument."""
    usage: Usage = "OFF_SESSION"
    owner_type: Literal["ACCOUNT", "CONTACT"] = "ACCOUNT"
    processing_mode: Literal["PLATFORM", "EXTERNAL"] = "PLATFORM"
    gateway_reference: Token | None = None
    sub_type: Text | None = None
    network: Text | None = None
    last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None
    expiry_month: Annotated[int, Field(ge=1, le=12)] | None = None
    expiry_year: Annotated[int, Field(ge=2000, le=2100)] | None = None
    extended_type: Text | None = None
    sec_code: Literal["CCD", "PPD", "TEL", "WEB"] | None = None
    holder_name: FreeText | None = None
    holder_email: FreeText | None = None
    billing_address: PostalAddress | None = None
    nickname: FreeText | None = None
    merchant_created: bool = False
    mandate_reference: Text | None = None
    mandate_accepted_at: datetime | None = None
    network_transaction_id: Text | None = None


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


def snapshot(method: SavedMethod) -> Method:
    """The instrument as it is now, to go with an intent."""
    return Method(
        type=method.type,
        token_ref=method.token_ref,
        gateway_id=method.gateway_id,
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


def end_of_life(expiry_month: int | None, expiry_year: int | None) -> datetime | None:
    """The first instant after its expiry month, UTC: until then an instrument is good."""
    if expiry_year is None or expiry_month is None:
        return None
    year, month = divmod(expiry_year * 12 + expiry_month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def is_past(method: SavedMethod, now: datetime) -> bool:
    ends = end_of_life(method.expiry_month, method.expiry_year)
    return ends is not None and ends <= now


def _saved_id(states: States, command: SavePaymentMethod, context: Context) -> str | None:
    gateway = states.find(Gateway, command.gateway_id)
    if gateway is None:
        return None
    mark = command.fingerprint or hashlib.sha256(command.token_ref.encode()).hexdigest()
    instrument = mark if command.fingerprint else f"{command.gateway_id}/{mark}"
    return ids.method_id(context.tenant, context.account_id, gateway.merchant_account_id, instrument)


def _save_needs(states: States, command: SavePaymentMethod, context: Context) -> Needs:
    yield Need(Gateway, command.gateway_id)
    yield account.needed(context)
    method_id = _saved_id(states, command, context)
    if method_id:
        yield Need(SavedMethod, method_id)


def save(states: States, command: SavePaymentMethod, context: Context) -> Changes:
    owner = account.of(states, context)
    account.check_takes_personal(
        owner, command.holder_name, command.holder_email, command.billing_address, command.nickname
    )
    gateway = states.get(Gateway, command.gateway_id)
    if not gateway.status:
        raise not_found("GATEWAY", command.gateway_id)
    if gateway.status == "INACTIVE":
        raise Rejected("GATEWAY_INACTIVE", f"the gateway {command.gateway_id} takes no new methods")
    if not gateway.takes(command.type):
        raise Rejected("METHOD_TYPE_UNSUPPORTED", f"the gateway {command.gateway_id} takes no {command.type}")
    if command.type.startswith("extd_") and not command.extended_type:
        raise Rejected(
            "MALFORMED_REQUEST", f"{command.type} needs an extended_type", field="data.extended_type"
        )
    method_id = _saved_id(states, command, context)
    assert method_id is not None
    method = states.get(SavedMethod, method_id)
    if method.status in ("ACTIVE", "EXPIRED") and method.gateway_id == command.gateway_id:
        return _update(method, command)
    given = {name: value for name, value in vars(command).items() if name != "fingerprint"}
    fingerprint = command.fingerprint or hashlib.sha256(command.token_ref.encode()).hexdigest()
    saved = PaymentMethodSaved(
        method_id=method_id,
        account_id=context.account_id,
        merchant_account_id=gateway.merchant_account_id,
        fingerprint=fingerprint,
        **given,
    )
    return [Change(SavedMethod, method_id, saved)]


def _update(method: SavedMethod, command: SavePaymentMethod) -> Changes:
    changed = {
        name: getattr(command, name)
        for name in _DETAILS
        if getattr(command, name) not in (None, getattr(method, name))
    }
    if not changed and method.status == "ACTIVE":
        return []
    return [Change(SavedMethod, method.method_id, PaymentMethodDetailsUpdated(source="USER", **changed))]


def after_outcome(
    method: SavedMethod, owner: Account, outcome: Outcome, succeeded: bool, context: Context
) -> Sequence[Change]:
    """What an outcome does to the method that it was tried with: revoked, failing, or well again."""
    if method.status not in ("ACTIVE", "EXPIRED"):
        return []
    if succeeded:
        well = PaymentMethodHealthChanged(0, last_success_at=context.now)
        return [Change(SavedMethod, method.method_id, well)] if method.consecutive_failures else []
    if outcome.category in BLAMELESS:
        return []
    if (outcome.hard or outcome.never_retry) and (outcome.raw_code or "").strip().lower() in REVOKING:
        return revoked(method, owner, outcome, context)
    blocked = outcome.raw_code if outcome.hard else None
    failing = PaymentMethodHealthChanged(
        method.consecutive_failures + 1, last_category=outcome.category, hard_blocked_reason=blocked
    )
    return [Change(SavedMethod, method.method_id, failing)]


def revoked(method: SavedMethod, owner: Account, outcome: Outcome, context: Context) -> Sequence[Change]:
    """A method that its bank will never honour again."""
    fact = PaymentMethodRevoked(outcome.raw_code, outcome.category)
    return [
        Change(SavedMethod, method.method_id, fact),
        *cleared_default(owner, method, context, "METHOD_REVOKED"),
    ]


def cleared_default(owner: Account, method: SavedMethod, context: Context, reason: str) -> Sequence[Change]:
    """A default method that can no longer be used is the default no more; `reason` is one of `LOST`."""
    assert reason in LOST
    if owner.default_method_id != method.method_id:
        return []
    return [account.changed(context, DefaultPaymentMethodCleared(method.method_id, reason))]


SUBJECT = Subject(SavedMethod, evolve, (Rule(SavePaymentMethod, _save_needs, save),))
