"""Billing profiles: who of an account gets its bills, where, when, and what they are paid with.

Invariant: at most one is the default; making another the default demotes it in the same fact.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import Field

from events.account import (
    AutomaticPaymentsResumed,
    AutomaticPaymentsSkipped,
    BillingProfileDefined,
    BillingProfileUpdated,
    TaxExemption,
)
from events.frozen import frozen
from services.accounts import account
from services.accounts.account import Account
from services.accounts.method_choice import check_default
from services.accounts.payment_method import SavedMethod
from services.commands import FreeText, Id, PostalAddress, Text, command
from services.decision import Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state

Day = Annotated[int, Field(ge=1, le=31)]


@frozen
class Exemption:
    """Why no tax is charged: the certificate's number; whoever issues the invoices applies it."""

    certificate: Text
    reason: FreeText | None = None
    """Why, in words."""
    valid_until: date | None = None


@command("payments.account.define_billing_profile.v1")
class DefineBillingProfile:
    """Say how some of an account's invoices are to be paid, and to whom they go."""

    profile_id: Id
    """An id of the caller's own, unique within the account."""
    name: FreeText
    bill_day_of_month: Day
    is_default: bool = False
    bill_to_contact: FreeText | None = None
    billing_address: PostalAddress | None = None
    """Where its invoices go."""
    shipping_address: PostalAddress | None = None
    payment_term_id: Id | None = None
    saved_payment_method_id: Id | None = None
    """The saved payment method that pays its invoices; without one, the account's default."""
    skip_automatic_payments: bool = False
    tax_exemption: Exemption | None = None


@command("payments.account.update_billing_profile.v1")
class UpdateBillingProfile:
    """The whole profile, as it is to be from now on."""

    profile_id: Id
    name: FreeText
    bill_day_of_month: Day
    is_default: bool = False
    bill_to_contact: FreeText | None = None
    billing_address: PostalAddress | None = None
    """Where its invoices go."""
    shipping_address: PostalAddress | None = None
    payment_term_id: Id | None = None
    saved_payment_method_id: Id | None = None
    """The saved payment method that pays its invoices; without one, the account's default."""
    skip_automatic_payments: bool = False
    tax_exemption: Exemption | None = None


@command("payments.account.set_automatic_payments.v1")
class SetAutomaticPayments:
    """Stop or resume collecting by itself for the invoices of a billing profile."""

    profile_id: Id
    skip: bool
    """True: nothing is collected by itself for its invoices; false: it is again."""


def _needs(states: States, command: DefineBillingProfile | UpdateBillingProfile, context: Context) -> Needs:
    yield account.needed(context)
    if command.saved_payment_method_id:
        yield Need(SavedMethod, command.saved_payment_method_id)


def _own(states: States, command: object, context: Context) -> Needs:
    yield account.needed(context)


def _check_said(
    states: States, owner: Account, command: DefineBillingProfile | UpdateBillingProfile, context: Context
) -> None:
    account.check_takes_personal(
        owner, command.bill_to_contact, command.billing_address, command.shipping_address
    )
    id = command.saved_payment_method_id
    if id is not None:
        check_default(states.get(SavedMethod, id), id, context)


def define(states: States, command: DefineBillingProfile, context: Context) -> Changes:
    owner = account.of(states, context)
    _check_said(states, owner, command, context)
    if command.profile_id in owner.profiles:
        raise invalid_state(f"profile {command.profile_id}", "DEFINED", ["UNDEFINED"])
    return [account.changed(context, BillingProfileDefined(**_profile(owner, command)))]


def update(states: States, command: UpdateBillingProfile, context: Context) -> Changes:
    owner = account.of(states, context)
    if command.profile_id not in owner.profiles:
        raise Rejected("NOT_FOUND", f"there is no billing profile {command.profile_id}")
    _check_said(states, owner, command, context)
    return [account.changed(context, BillingProfileUpdated(**_profile(owner, command)))]


def _profile(owner: Account, command: DefineBillingProfile | UpdateBillingProfile) -> dict[str, Any]:
    demotes = command.is_default and owner.default_profile_id not in (None, command.profile_id)
    said, exemption = vars(command), command.tax_exemption
    return {
        **said,
        "tax_exemption": TaxExemption(**vars(exemption)) if exemption else None,
        "demoted_profile_id": owner.default_profile_id if demotes else None,
    }


def set_automatic(states: States, command: SetAutomaticPayments, context: Context) -> Changes:
    owner = account.of(states, context)
    if command.profile_id not in owner.profiles:
        raise Rejected("NOT_FOUND", f"there is no billing profile {command.profile_id}")
    if owner.profiles[command.profile_id] == command.skip:
        return []
    fact = AutomaticPaymentsSkipped if command.skip else AutomaticPaymentsResumed
    return [account.changed(context, fact(command.profile_id))]


RULES = (
    Rule(DefineBillingProfile, _needs, define),
    Rule(UpdateBillingProfile, _needs, update),
    Rule(SetAutomaticPayments, _own, set_automatic),
)
