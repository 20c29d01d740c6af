"""An account's payment profile: who owes, how he pays by default, and whether he may be charged.

Invariant: at most one default billing profile, and at most one default method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from events.account import (
    AccountClosed,
    AccountCustomFieldsSet,
    AccountEvent,
    AccountReactivated,
    AccountRegistered,
    AccountSuspended,
    ApplicationRulesRun,
    AutoCollectSwitched,
    AutomaticPaymentsResumed,
    AutomaticPaymentsSkipped,
    BillingProfileDefined,
    BillingProfileUpdated,
    CollectionPreferencesSet,
    DefaultPaymentMethodCleared,
    DefaultPaymentMethodSet,
    PaymentHoldPlaced,
    PaymentHoldReleased,
    PaymentMethodsReordered,
    PersonalDataErased,
    UnreferencedRefundCounted,
)
from events.custom import CustomFields
from events.money import Money
from events.shapes import Address
from services import custom_fields
from services.commands import Currency, FreeText, Id, command
from services.custom_fields import FieldChanges, GivenFields
from services.decision import Change, Changes, Context, Documents, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found

PAID_OUT_MAX = 10_000
"""More than any limit counts."""
NO_PREFERENCES = CollectionPreferencesSet()


@dataclass(slots=True)
class Account:
    KIND: ClassVar[str] = "account"

    version: int = 0
    status: str = ""
    """Empty until registered; ACTIVE, SUSPENDED, CLOSED."""
    auto_collect: bool = True
    currencies: tuple[str, ...] = ()
    profiles: dict[str, bool] = field(default_factory=dict[str, bool])
    """Billing profile to whether it skips automatic payments."""
    profile_methods: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Billing profile to the saved method that it pays with."""
    payment_terms: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Billing profile to the payment term that it names."""
    addresses: dict[str, Address | None] = field(default_factory=dict[str, Address | None])
    """Billing profile to where its goods go."""
    default_profile_id: str | None = None
    default_method_id: str | None = None
    method_order: tuple[str, ...] = ()
    hold: PaymentHoldPlaced | None = None
    preferences: CollectionPreferencesSet = NO_PREFERENCES
    custom_fields: CustomFields = field(default_factory=CustomFields)
    erased: bool = False
    """Its personal data is gone for good, and no more is taken."""
    paid_out: list[tuple[datetime, Money]] = field(default_factory=list[tuple[datetime, Money]])
    """What was asked for, lately, by methods that the money had not come from."""

    @property
    def open(self) -> bool:
        return False


def evolve(account: Account, event: AccountEvent) -> None:
    match event:
        case AccountRegistered():
            account.status, account.currencies = "ACTIVE", event.currencies
            account.auto_collect = event.auto_collect
        case BillingProfileDefined() | BillingProfileUpdated():
            account.profiles[event.profile_id] = event.skip_automatic_payments
            account.profile_methods[event.profile_id] = event.saved_payment_method_id
            account.payment_terms[event.profile_id] = event.payment_term_id
            account.addresses[event.profile_id] = event.shipping_address or event.billing_address
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
        case AccountCustomFieldsSet():
            account.custom_fields = event.custom_fields
        case AutoCollectSwitched():
            account.auto_collect = event.auto_collect
        case AccountSuspended():
            account.status = "SUSPENDED"
        case AccountReactivated():
            account.status = "ACTIVE"
        case PaymentHoldPlaced():
            account.hold = event
        case PaymentHoldReleased():
            account.hold = None
        case CollectionPreferencesSet():
            account.preferences = event
        case ApplicationRulesRun():
            pass
        case AccountClosed():
            account.status = "CLOSED"
        case UnreferencedRefundCounted():
            account.paid_out = [*account.paid_out[-PAID_OUT_MAX:], (event.counted_at, event.amount)]
        case PersonalDataErased():
            account.erased, account.addresses = True, dict.fromkeys(account.addresses)


@command("payments.account.register.v1")
class RegisterAccount:
    """Make a customer's account known."""

    name: FreeText
    """The customer's name; kept sealed, as it may be a person's."""
    currencies: tuple[Currency, ...] = ()
    parent_account_id: Id | None = None
    auto_collect: bool = True
    """Whether what it owes is collected unasked."""
    custom_fields: GivenFields | None = None


@command("payments.account.set_custom_fields.v1")
class SetAccountCustomFields:
    """What is null is taken away, what is not named stays."""

    custom_fields: FieldChanges
    """Name to new value; null takes it away, and what is not named stays."""


@command("payments.account.set_auto_collect.v1")
class SetAutoCollect:
    """Whether what the account owes is collected unasked: scheduled as it is posted, and run."""

    auto_collect: bool


@command("payments.account.suspend.v1")
class SuspendAccount:
    """Charge it nothing new, hold nothing, and save no instrument for it.

    What is there goes on: invoices and credits are posted, money that comes is recorded and applied,
    what was authorized is captured, refunds are sent.
    """

    reason: FreeText


@command("payments.account.reactivate.v1")
class ReactivateAccount:
    """Let payments be made again for an account that was suspended."""

    reason: FreeText | None = None


@command("payments.account.place_payment_hold.v1")
class PlacePaymentHold:
    """Collect nothing for an account, by itself or by hand, until it is released or `until` has come."""

    reason: FreeText
    until: datetime | None = None


@command("payments.account.release_payment_hold.v1")
class ReleasePaymentHold:
    """Let money be collected for an account again."""

    reason: FreeText | None = None


@command("payments.account.close.v1")
class CloseAccount:
    """End an account that owes nothing and is owed nothing; else `ACCOUNT_HAS_BALANCE`."""

    reason: FreeText | None = None


@command("payments.account.erase_personal_data.v1")
class ErasePersonalData:
    """Destroy the account's key: names, addresses and e-mails that it sealed can never be read again.

    Money, documents and methods stay as they are; no more personal data is taken for the account.
    """

    reason: FreeText | None = None


def needed(context: Context) -> Need:
    return Need(Account, context.account_id)


def of(states: States, context: Context) -> Account:
    """The command's account.  Raises `ACCOUNT_NOT_FOUND`, `INVALID_STATE` when it is closed."""
    account = states.get(Account, context.account_id)
    if not account.status:
        raise not_found("ACCOUNT", context.account_id)
    if account.status == "CLOSED":
        raise invalid_state("account", account.status, ["ACTIVE", "SUSPENDED"])
    return account


def chargeable(states: States, context: Context) -> Account:
    """The same, for what charges it anew or saves an instrument: `INVALID_STATE` if it is suspended, too."""
    account = of(states, context)
    if account.status != "ACTIVE":
        raise invalid_state("account", account.status, ["ACTIVE"])
    return account


def check_takes_personal(account: Account, *given: object) -> None:
    """Raises `PERSONAL_DATA_ERASED` when personal data comes for an account that asked to be forgotten."""
    if account.erased and any(value is not None for value in given):
        raise Rejected("PERSONAL_DATA_ERASED", "the account's personal data was erased: it takes no more")


def check_collectable(account: Account, context: Context, unasked: bool = True) -> None:
    """Raises `ACCOUNT_ON_HOLD` while nobody may collect from the account, or not without being told to."""
    if account.status == "SUSPENDED":
        raise Rejected("ACCOUNT_ON_HOLD", "the account is suspended", state=account.status)
    if unasked and not account.auto_collect:
        raise Rejected("ACCOUNT_ON_HOLD", "what the account owes is collected by hand")
    hold = account.hold
    if hold is not None and (hold.until is None or context.now < hold.until):
        raise Rejected("ACCOUNT_ON_HOLD", f"payments are on hold: {hold.reason}", until=hold.until)


def check_profile(account: Account, profile_id: str | None) -> None:
    if profile_id is not None and profile_id not in account.profiles:
        raise Rejected(
            "NOT_FOUND", f"there is no billing profile {profile_id}", field="data.billing_profile_id"
        )


def method_for(account: Account, profile_id: str | None = None) -> str | None:
    """What a transaction without a method is paid with: the method of its billing profile, of
    the account's default profile, or the account's default."""
    default = profile_method(account, account.default_profile_id) or account.default_method_id
    return profile_method(account, profile_id) or default


def profile_method(account: Account, profile_id: str | None) -> str | None:
    """The method that a billing profile pays with, if it names one."""
    return account.profile_methods.get(profile_id) if profile_id else None


def changed(context: Context, fact: AccountEvent) -> Change:
    return Change(Account, context.account_id, fact)


def _own(states: States, command: object, context: Context) -> Needs:
    yield needed(context)


def register(states: States, command: RegisterAccount, context: Context) -> Changes:
    if states.get(Account, context.account_id).status:
        raise Rejected("ACCOUNT_EXISTS", f"the account {context.account_id} is registered already")
    fact = AccountRegistered(
        context.account_id,
        command.name,
        command.currencies,
        command.parent_account_id,
        command.auto_collect,
    )
    more = custom_fields.facts(AccountCustomFieldsSet, command.custom_fields)
    return [changed(context, each) for each in (fact, *more)]


def set_custom_fields(states: States, command: SetAccountCustomFields, context: Context) -> Changes:
    after = custom_fields.changed(of(states, context).custom_fields, command.custom_fields)
    return [] if after is None else [changed(context, AccountCustomFieldsSet(after))]


def set_auto_collect(states: States, command: SetAutoCollect, context: Context) -> Changes:
    switched = of(states, context).auto_collect != command.auto_collect
    return [changed(context, AutoCollectSwitched(command.auto_collect))] if switched else []


def suspend(states: States, command: SuspendAccount, context: Context) -> Changes:
    chargeable(states, context)
    return [changed(context, AccountSuspended(command.reason))]


def reactivate(states: States, command: ReactivateAccount, context: Context) -> Changes:
    account = of(states, context)
    if account.status != "SUSPENDED":
        raise invalid_state("account", account.status, ["SUSPENDED"])
    return [changed(context, AccountReactivated(command.reason))]


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
    held = [stream for stream in states.all_documents(context.account_id) if stream.kind != "spm"]
    if held:
        shown = [f"{stream.kind}-{stream.id}" for stream in held[:20]]
        raise Rejected("ACCOUNT_HAS_BALANCE", "something is still owed, owned or in flight", open=shown)
    return [changed(context, AccountClosed(command.reason))]


def erase(states: States, command: ErasePersonalData, context: Context) -> Changes:
    account = states.get(Account, context.account_id)
    if not account.status:
        raise not_found("ACCOUNT", context.account_id)
    return [] if account.erased else [changed(context, PersonalDataErased(command.reason))]


SUBJECT = Subject(
    Account,
    evolve,
    (
        Rule(RegisterAccount, _own, register),
        Rule(SetAccountCustomFields, _own, set_custom_fields),
        Rule(SetAutoCollect, _own, set_auto_collect),
        Rule(SuspendAccount, _own, suspend),
        Rule(ReactivateAccount, _own, reactivate),
        Rule(PlacePaymentHold, _own, place_hold),
        Rule(ReleasePaymentHold, _own, release_hold),
        Rule(CloseAccount, _with_documents, close),
        Rule(ErasePersonalData, _own, erase),
    ),
)
