"""What can happen to an account's payment profile (stream `account-{id}`)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from events.catalog import fact, upcasts
from events.custom import CustomFields
from events.frozen import frozen
from events.money import Money
from events.personal import Personal
from events.shapes import Address


@frozen
class TaxExemption:
    """Why a buyer is charged no tax; whoever issues the invoices applies it."""

    certificate: str
    reason: str | None = None
    valid_until: date | None = None


@fact("account.registered.v2")
class AccountRegistered:
    """A customer's account: everything that he owes, pays and is given back is kept under it."""

    account_id: str
    name: Personal
    """The customer's name."""
    currencies: tuple[str, ...] = ()
    parent_account_id: str | None = None
    auto_collect: bool = True
    """Whether what it owes is collected unasked."""


@upcasts("account.registered.v1", to="account.registered.v2")
def registered_to_be_collected(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew only accounts that are collected unasked."""
    return fact


@fact("account.billing_profile_defined.v2")
class BillingProfileDefined:
    """How some of an account's invoices are to be paid: with which method, when, and to whom they go."""

    profile_id: str
    name: str
    is_default: bool
    bill_day_of_month: int
    bill_to_contact: Personal | None = None
    billing_address: Address | None = None
    """Where its invoices go."""
    shipping_address: Address | None = None
    payment_term_id: str | None = None
    saved_payment_method_id: str | None = None
    """The saved payment method that pays its invoices; without one, the account's default."""
    skip_automatic_payments: bool = False
    demoted_profile_id: str | None = None
    tax_exemption: TaxExemption | None = None


@fact("account.billing_profile_updated.v2")
class BillingProfileUpdated:
    """The whole profile as it is now."""

    profile_id: str
    name: str
    is_default: bool
    bill_day_of_month: int
    bill_to_contact: Personal | None = None
    billing_address: Address | None = None
    """Where its invoices go."""
    shipping_address: Address | None = None
    payment_term_id: str | None = None
    saved_payment_method_id: str | None = None
    """The saved payment method that pays its invoices; without one, the account's default."""
    skip_automatic_payments: bool = False
    demoted_profile_id: str | None = None
    tax_exemption: TaxExemption | None = None


@upcasts("account.billing_profile_defined.v1", to="account.billing_profile_defined.v2")
@upcasts("account.billing_profile_updated.v1", to="account.billing_profile_updated.v2")
def without_exemption(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew of no exemption from tax."""
    return fact


@fact("account.default_payment_method_set.v1")
class DefaultPaymentMethodSet:
    """What pays where nothing else is named."""

    method_id: str
    previous: str | None
    """The default before it, if there was one."""


@fact("account.default_payment_method_cleared.v1")
class DefaultPaymentMethodCleared:
    """Nothing pays where nothing else is named, until there is another."""

    method_id: str
    reason: str


@fact("account.payment_methods_reordered.v1")
class PaymentMethodsReordered:
    """The order in which methods are tried, the first first."""

    method_ids: tuple[str, ...]


@fact("account.automatic_payments_skipped.v1")
class AutomaticPaymentsSkipped:
    """Nothing is collected by itself for the invoices of this billing profile."""

    profile_id: str


@fact("account.automatic_payments_resumed.v1")
class AutomaticPaymentsResumed:
    """Invoices of this billing profile are collected by themselves again."""

    profile_id: str


@fact("account.auto_collect_switched.v1")
class AutoCollectSwitched:
    """Whether invoices that are posted from now on get payment schedules."""

    auto_collect: bool


@fact("account.suspended.v1")
class AccountSuspended:
    """Nothing new is charged to it or saved for it, until it is reactivated or closed."""

    reason: str


@fact("account.reactivated.v1")
class AccountReactivated:
    """Payments may be made for it again."""

    reason: str | None = None


@fact("account.payment_hold_placed.v1")
class PaymentHoldPlaced:
    """No money is collected for it, by itself or by hand, until the hold ends."""

    reason: str
    until: datetime | None = None


@fact("account.payment_hold_released.v1")
class PaymentHoldReleased:
    """Money may be collected for it again."""

    reason: str | None = None


@fact("account.application_rules_run.v1")
class ApplicationRulesRun:
    """What the tenant's application rules have settled on the account, in one go."""

    rules: tuple[str, ...]
    """The rules that were run, in turn."""
    payment_applications: int
    credit_applications: int
    payments_fetched: int
    """How many payments with money to apply there were."""
    credits_fetched: int
    """How many credit memos with open credit there were."""
    invoices_fetched: int
    """How many invoices that owe something there were."""
    all_considered: bool
    """False where there were so many invoices that only the first rule ran."""
    locked_invoices: tuple[str, ...] = ()
    """Passed over, since a process holds them; at most 100 are named."""


@fact("account.unreferenced_refund_counted.v1")
class UnreferencedRefundCounted:
    """Money was asked for by a method that it had not come from, while the tenant limits that."""

    refund_id: str
    amount: Money
    counted_at: datetime
    """When it was asked for: from then on it counts."""


@fact("account.collection_preferences_set.v1")
class CollectionPreferencesSet:
    """Whole, as it is from now on: which group the account is collected in, and when its payer is at home."""

    account_group: str | None = None
    time_zone: str | None = None
    """IANA name.  None: the tenant's."""
    calendar: str | None = None
    """Whose holidays are its own: a country's, or a part's of one, or a market's.  None: weekends only."""
    pay_day: int | None = None
    """Day of the month on which the payer is paid; a day that a month lacks is its last one."""


@fact("account.closed.v1")
class AccountClosed:
    """It owes nothing and is owed nothing, and takes no more business."""

    reason: str | None = None


@fact("account.personal_data_erased.v1")
class PersonalDataErased:
    """The account's key was destroyed in the same transaction: what it sealed can never be read again."""

    reason: str | None = None


@fact("account.custom_fields_set.v1")
class AccountCustomFieldsSet:
    """What the tenant keeps of its own about an account, to filter by and to tell."""

    custom_fields: CustomFields
    """All of them, from now on."""


AccountEvent = (
    AccountRegistered
    | AccountCustomFieldsSet
    | BillingProfileDefined
    | BillingProfileUpdated
    | DefaultPaymentMethodSet
    | DefaultPaymentMethodCleared
    | PaymentMethodsReordered
    | AutomaticPaymentsSkipped
    | AutomaticPaymentsResumed
    | AutoCollectSwitched
    | AccountSuspended
    | AccountReactivated
    | PaymentHoldPlaced
    | PaymentHoldReleased
    | CollectionPreferencesSet
    | AccountClosed
    | ApplicationRulesRun
    | PersonalDataErased
    | UnreferencedRefundCounted
)
