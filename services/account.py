"""An account's payment profile: who owes, how he pays by default, and whether he may be charged.

Invariant (domain 2.1): at most one default billing profile, and at most one default method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field

from events.account import (
    AccountClosed,
    AccountEvent,
    AccountRegistered,
    AutomaticPaymentsResumed,
    AutomaticPaymentsSkipped,
    BillingProfileDefined,
    BillingProfileUpdated,
    DefaultPaymentMethodCleared,
    DefaultPaymentMethodSet,
    PaymentHoldPlaced,
    PaymentHoldReleased,
    PaymentMethodsReordered,
)
from events.shapes import Address
from services.commands import Currency, FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Documents, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found
from services.payment_method import SavedMethod, check_usable

Day = Annotated[int, Field(ge=1, le=31)]


@dataclass(slots=True)
class Account:
    KIND: ClassVar[str] = "account"

    version: int = 0
    status: str = ""
    """Empty until registered; ACTIVE, CLOSED."""
    currencies: tuple[str, ...] = ()
    profiles: dict[str, bool] = field(default_factory=dict)
    """Billing profile to whether it skips automatic payments."""
    default_profile_id: str | None = None
    default_method_id: str | None = None
    method_order: tuple[str, ...] = ()
    hold: PaymentHoldPlaced | None = None

    @property
    def open(self) -> bool:
        return False


def evolve(account: Account, event: AccountEvent) -> None:
    match event:
        case AccountRegistered():
            account.status, account.currencies = "ACTIVE", event.currencies
        case BillingProfileDefined() | BillingProfileUpdated():
            account.profiles[event.profile_id] = event.skip_automatic_payments
            if event.is_default:
                account.default_profile_id = event.profile_id
            elif account.default_profile_id == event.profile_id:
                account.default_profile_id = None
        case DefaultPaymentMethodSet():
            account.default_method_id = event.method_id
        case DefaultPaymentMethodCleared():
            account.default_method_id = None
        case PaymentMethodsReordered():
            account.method_order = event.method_ids
        case AutomaticPaymentsSkipped():
            account.profiles[event.profile_id] = True
        case AutomaticPaymentsResumed():
            account.profiles[event.profile_id] = False
        case PaymentHoldPlaced():
            account.hold = event
        case PaymentHoldReleased():
            account.hold = None
        case AccountClosed():
            account.status = "CLOSED"


@command("payments.account.register.v1")
class RegisterAccount:
    name: FreeText
    currencies: tuple[Currency, ...] = ()
    parent_account_id: Id | None = None


@command("payments.account.define_billing_profile.v1")
class DefineBillingProfile:
    profile_id: Id
    name: FreeText
    bill_day_of_month: Day
    is_default: bool = False
    bill_to_contact: FreeText | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    payment_term_id: Id | None = None
    saved_payment_method_id: Id | None = None
    skip_automatic_payments: bool = False


@command("payments.account.update_billing_profile.v1")
class UpdateBillingProfile:
    """The whole profile, as it is to be from now on."""

    profile_id: Id
    name: FreeText
    bill_day_of_month: Day
    is_default: bool = False
    bill_to_contact: FreeText | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    payment_term_id: Id | None = None
    saved_payment_method_id: Id | None = None
    skip_automatic_payments: bool = False


@command("payments.account.set_default_payment_method.v1")
class SetDefaultPaymentMethod:
    method_id: Id


@command("payments.account.clear_default_payment_method.v1")
class ClearDefaultPaymentMethod:
    reason: Text = "asked for"


@command("payments.account.reorder_payment_methods.v1")
class ReorderPaymentMethods:
    """The order in which methods stand in for each other: a permutation of the active ones."""

    method_ids: tuple[Id, ...]


@command("payments.account.set_automatic_payments.v1")
class SetAutomaticPayments:
    profile_id: Id
    skip: bool


@command("payments.account.place_payment_hold.v1")
class PlacePaymentHold:
    reason: FreeText
    until: datetime | None = None


@command("payments.account.release_payment_hold.v1")
class ReleasePaymentHold:
    reason: FreeText | None = None


@command("payments.account.close.v1")
class CloseAccount:
    reason: FreeText | None = None


def needed(context: Context) -> Need:
    return Need(Account, context.account_id)


def of(states: States, context: Context) -> Account:
    """The command's account.  Raises `ACCOUNT_NOT_FOUND`, `INVALID_STATE` when it is closed."""
    account = states.get(Account, context.account_id)
    if not account.status:
        raise not_found("ACCOUNT", context.account_id)
    if account.status != "ACTIVE":
        raise invalid_state("account", account.status, ["ACTIVE"])
    return account


def changed(context: Context, fact: AccountEvent) -> Change:
    return Change(Account, context.account_id, fact)


def _own(states: States, command: object, context: Context) -> Needs:
    yield needed(context)


def register(states: States, command: RegisterAccount, context: Context) -> Changes:
    if states.get(Account, context.account_id).status:
        raise Rejected("ACCOUNT_EXISTS", f"the account {context.account_id} is registered already")
    fact = AccountRegistered(context.account_id, command.name, command.currencies, command.parent_account_id)
    return [changed(context, fact)]


def define_profile(states: States, command: DefineBillingProfile, context: Context) -> Changes:
    account = of(states, context)
    if command.profile_id in account.profiles:
        raise Rejected("INVALID_STATE", f"the profile {command.profile_id} exists: update it")
    return [changed(context, BillingProfileDefined(**_profile(account, command)))]


def update_profile(states: States, command: UpdateBillingProfile, context: Context) -> Changes:
    account = of(states, context)
    if command.profile_id not in account.profiles:
        raise Rejected("NOT_FOUND", f"there is no billing profile {command.profile_id}")
    return [changed(context, BillingProfileUpdated(**_profile(account, command)))]


def _profile(account: Account, command: DefineBillingProfile | UpdateBillingProfile) -> dict[str, Any]:
    demotes = command.is_default and account.default_profile_id not in (None, command.profile_id)
    return {**vars(command), "demoted_profile_id": account.default_profile_id if demotes else None}


def _with_method(states: States, command: SetDefaultPaymentMethod, context: Context) -> Needs:
    yield needed(context)
    yield Need(SavedMethod, command.method_id)


def set_default(states: States, command: SetDefaultPaymentMethod, context: Context) -> Changes:
    account, method = of(states, context), states.get(SavedMethod, command.method_id)
    try:
        check_usable(method, command.method_id, context)
    except Rejected as unusable:
        raise Rejected("METHOD_NOT_USABLE", unusable.message, cause=unusable.code) from unusable
    if method.usage == "ON_SESSION":
        raise Rejected("METHOD_NOT_USABLE", "it may only be used while the customer is present")
    if account.default_method_id == command.method_id:
        return []
    return [changed(context, DefaultPaymentMethodSet(command.method_id, account.default_method_id))]


def clear_default(states: States, command: ClearDefaultPaymentMethod, context: Context) -> Changes:
    account = of(states, context)
    if account.default_method_id is None:
        return []
    return [changed(context, DefaultPaymentMethodCleared(account.default_method_id, command.reason))]


def _with_methods(states: States, command: object, context: Context) -> Needs:
    yield needed(context)
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, SavedMethod):
        yield Need(SavedMethod, id)


def reorder(states: States, command: ReorderPaymentMethods, context: Context) -> Changes:
    account = of(states, context)
    ids = states.documents(context.account_id, SavedMethod)
    active = {id for id in ids if states.get(SavedMethod, id).status == "ACTIVE"}
    if set(command.method_ids) != active or len(command.method_ids) != len(active):
        raise Rejected(
            "METHOD_NOT_USABLE", "name each active method of the account once", active=sorted(active)
        )
    if account.method_order == command.method_ids:
        return []
    return [changed(context, PaymentMethodsReordered(command.method_ids))]


def set_automatic(states: States, command: SetAutomaticPayments, context: Context) -> Changes:
    account = of(states, context)
    if command.profile_id not in account.profiles:
        raise Rejected("NOT_FOUND", f"there is no billing profile {command.profile_id}")
    if account.profiles[command.profile_id] == command.skip:
        return []
    fact = AutomaticPaymentsSkipped if command.skip else AutomaticPaymentsResumed
    return [changed(context, fact(command.profile_id))]


def place_hold(states: States, command: PlacePaymentHold, context: Context) -> Changes:
    account = of(states, context)
    placed = PaymentHoldPlaced(command.reason, command.until)
    return [] if account.hold == placed else [changed(context, placed)]


def release_hold(states: States, command: ReleasePaymentHold, context: Context) -> Changes:
    account = of(states, context)
    return [changed(context, PaymentHoldReleased(command.reason))] if account.hold else []


def _with_documents(states: States, command: object, context: Context) -> Needs:
    yield needed(context)
    yield Documents(context.account_id)


def close(states: States, command: CloseAccount, context: Context) -> Changes:
    of(states, context)
    from services.subjects import OWED  # the list of what has a balance is joined there

    held = {state.KIND: states.documents(context.account_id, state) for state in OWED}
    if any(held.values()):
        open_documents = {kind: ids[:20] for kind, ids in held.items() if ids}
        raise Rejected(
            "ACCOUNT_HAS_BALANCE", "something is still owed, owned or in flight", open=open_documents
        )
    return [changed(context, AccountClosed(command.reason))]


SUBJECT = Subject(
    Account,
    evolve,
    (
        Rule(RegisterAccount, _own, register),
        Rule(DefineBillingProfile, _own, define_profile),
        Rule(UpdateBillingProfile, _own, update_profile),
        Rule(SetDefaultPaymentMethod, _with_method, set_default),
        Rule(ClearDefaultPaymentMethod, _own, clear_default),
        Rule(ReorderPaymentMethods, _with_methods, reorder),
        Rule(SetAutomaticPayments, _own, set_automatic),
        Rule(PlacePaymentHold, _own, place_hold),
        Rule(ReleasePaymentHold, _own, release_hold),
        Rule(CloseAccount, _with_documents, close),
    ),
)
