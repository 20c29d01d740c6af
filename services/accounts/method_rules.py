"""What holds for every way in which an instrument is saved: who takes it, who agreed, whose its token is."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Protocol

from services.calls.gateway import Gateway
from services.calls.provider import GatewayProvider, MethodType, spoken
from services.decision import Changes, Claiming, Need, Needs, Releasing, States
from services.errors import Rejected, not_found

NATIVE = frozenset({"stripe", "adyen", "simulator"})
"""Adapters whose gateways keep what was given by mail or telephone: those that Salesforce
calls native, and the simulator."""


class Consented(Protocol):
    """What a command that saves an instrument says about who owns it, and who agreed to it."""

    @property
    def owner_type(self) -> str: ...
    @property
    def contact_id(self) -> str | None: ...
    @property
    def merchant_created(self) -> bool: ...
    @property
    def moto(self) -> bool: ...
    @property
    def mandate_accepted_at(self) -> datetime | None: ...


def type_needed(states: States, gateway_id: str, external_type: str | None) -> Needs:
    """The provider that knows what a name of its own means, once the gateway is here."""
    gateway = states.find(Gateway, gateway_id)
    if external_type and gateway and gateway.provider_id:
        yield Need(GatewayProvider, gateway.provider_id)


class Typed(Protocol):
    """How a command says what an instrument is."""

    @property
    def type(self) -> MethodType | None: ...
    @property
    def external_type(self) -> str | None: ...
    @property
    def extended_type(self) -> str | None: ...


def type_of(states: States, gateway_id: str, named: Typed) -> tuple[MethodType, str | None]:
    """Our type of an instrument that is named by it or by its gateway's own name, and its extended type.

    Raises `GATEWAY_NOT_FOUND`, `MALFORMED_REQUEST` unless exactly one is given, and
    `METHOD_TYPE_UNSUPPORTED` for a name that its provider's map has not.
    """
    if (named.type is None) == (named.external_type is None):
        raise Rejected("MALFORMED_REQUEST", "give exactly one of type and external_type", field="data.type")
    if named.type is not None:
        return named.type, named.extended_type
    gateway, name = states.get(Gateway, gateway_id), (named.external_type or "").strip()
    if not gateway.status:
        raise not_found("GATEWAY", gateway_id)
    known = states.get(GatewayProvider, gateway.provider_id).method_types.get(spoken(name))
    if known is None:
        message = f"the provider of the gateway {gateway_id} has no method type {name}"
        raise Rejected("METHOD_TYPE_UNSUPPORTED", message, field="data.external_type")
    return known, named.extended_type or (name if known.startswith("extd_") else None)


def check_takes(gateway: Gateway, gateway_id: str, type: str, extended_type: str | None) -> None:
    """Raises `GATEWAY_NOT_FOUND`, `GATEWAY_INACTIVE`, `METHOD_TYPE_UNSUPPORTED`, `MALFORMED_REQUEST`."""
    if not gateway.status:
        raise not_found("GATEWAY", gateway_id)
    if gateway.status == "INACTIVE" or not gateway.payments_enabled:
        raise Rejected("GATEWAY_INACTIVE", f"the gateway {gateway_id} takes no new methods")
    if not gateway.takes(type):
        raise Rejected("METHOD_TYPE_UNSUPPORTED", f"the gateway {gateway_id} takes no {type}")
    if type.startswith("extd_") and not extended_type:
        raise Rejected("MALFORMED_REQUEST", f"{type} needs an extended_type", field="data.extended_type")


def check_consent(command: Consented, gateway: Gateway, gateway_id: str) -> None:
    """Raises `MANDATE_REQUIRED`, `GATEWAY_CAPABILITY_MISSING`."""
    if command.merchant_created and command.mandate_accepted_at is None:
        raise Rejected("MANDATE_REQUIRED", "a method that the payer did not save needs his recorded consent")
    if command.moto and gateway.adapter_key not in NATIVE:
        raise Rejected(
            "GATEWAY_CAPABILITY_MISSING",
            f"the gateway {gateway_id} keeps nothing that was given by mail or telephone",
            operation="MOTO",
        )


def check_owner(command: Consented) -> None:
    """Raises `MALFORMED_REQUEST` where the owner's kind and the contact do not agree."""
    if (command.owner_type == "CONTACT") != (command.contact_id is not None):
        message = "a contact's method, and no other, names its contact_id"
        raise Rejected("MALFORMED_REQUEST", message, field="data.contact_id")


def mark_of(token_ref: str) -> str:
    """What stands for an instrument where its gateway gives no fingerprint."""
    return hashlib.sha256(token_ref.encode()).hexdigest()


def token_key(merchant_account_id: str, token_ref: str) -> str:
    """The name under which a token is claimed."""
    return f"{merchant_account_id}/{mark_of(token_ref)}"


def token_holder(states: States, key: str) -> tuple[str, str]:
    """The account and the method that hold a token by its name; both empty while nobody does."""
    owner, _, method_id = (states.owner("method_token", key) or "").partition("/")
    return owner, method_id


def is_held(states: States, key: str) -> bool:
    return states.owner("method_token", key) is not None


class Owned(Protocol):
    """Whose a token is: a method, or the fact that begins one."""

    @property
    def method_id(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def merchant_account_id(self) -> str: ...


class Held(Owned, Protocol):
    @property
    def token_ref(self) -> str: ...


def claiming(method: Owned, token_ref: str, code: str) -> Claiming:
    """A token belongs to the method that came first; without a code, others may save it as well."""
    key = token_key(method.merchant_account_id, token_ref)
    return Claiming("method_token", key, f"{method.account_id}/{method.method_id}", code)


def claimed(method: Held, token_ref: str | None) -> Changes:
    """The claim of a token that replaces another; nothing where it stays."""
    return [] if token_ref in (None, method.token_ref) else [claiming(method, token_ref or "", "")]


def released(method: Held) -> Changes:
    """The token of a method that is gone may be anybody's."""
    return [Releasing(*claiming(method, method.token_ref, "")[:3])]
