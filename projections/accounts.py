"""Accounts: who they are, how they pay, and whether anything is collected from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events import account as facts
from projections.table import FLAG, INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

accounts = Table(
    "accounts",
    key=(TENANT, Column("account_id", TEXT)),
    columns=(
        *text(
            "name", "status", "default_method_id", "default_profile_id", "hold_reason", "parent_account_id"
        ),
        Column("billing_profiles", JSON),
        Column("method_order", JSON),
        Column("hold_until", INSTANT),
        *text("suspended_reason"),
        Column("currencies", JSON),
        Column("auto_collect", FLAG, True),
        *text("account_group", "time_zone", "calendar"),
        Column("pay_day", "int"),
        Column("custom_fields", JSON),
        Column("version", "int", 0),
    ),
    kind="account",
)


@accounts.on(facts.AccountRegistered)
def registered(fact: facts.AccountRegistered, at: Place, own: Own) -> Iterable[Row]:
    known = {"name": fact.name, "status": "ACTIVE", "parent_account_id": fact.parent_account_id}
    currencies = list(fact.currencies)
    yield Row((at.tenant, at.id), {**known, "auto_collect": fact.auto_collect, "currencies": currencies})


@accounts.on(facts.DefaultPaymentMethodSet, facts.DefaultPaymentMethodCleared)
def default_method(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    method_id = fact.method_id if isinstance(fact, facts.DefaultPaymentMethodSet) else None
    yield Row((at.tenant, at.id), {"default_method_id": method_id})


@accounts.on(facts.BillingProfileDefined, facts.BillingProfileUpdated)
def profile(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    told = {name: getattr(fact, name) for name in _PROFILE}
    told["tax_exemption"] = _exemption(fact.tax_exemption)
    known = [one for one in _profiles(own) if one["profile_id"] != fact.profile_id]
    changes: dict[str, Any] = {"billing_profiles": [*known, told]}
    if fact.is_default:
        changes["default_profile_id"] = fact.profile_id
        changes["billing_profiles"] = [*({**one, "is_default": False} for one in known), told]
    elif own["default_profile_id"] == fact.profile_id:
        changes["default_profile_id"] = None
    yield Row((at.tenant, at.id), changes)


def _profiles(own: Own) -> list[dict[str, Any]]:
    return own["billing_profiles"] or []


_PROFILE = (
    "profile_id",
    "name",
    "is_default",
    "bill_day_of_month",
    "payment_term_id",
    "saved_payment_method_id",
    "skip_automatic_payments",
)
"""What a list of billing profiles says of each; contacts and addresses are personal, and are not in it."""


def _exemption(said: facts.TaxExemption | None) -> dict[str, Any] | None:
    if said is None:
        return None
    until = said.valid_until.isoformat() if said.valid_until else None
    return {"certificate": said.certificate, "reason": said.reason, "valid_until": until}


@accounts.on(facts.AutoCollectSwitched)
def collected_unasked(fact: facts.AutoCollectSwitched, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"auto_collect": fact.auto_collect})


@accounts.on(facts.AccountSuspended, facts.AccountReactivated)
def suspended(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    is_suspended = isinstance(fact, facts.AccountSuspended)
    yield Row(
        (at.tenant, at.id),
        {
            "status": "SUSPENDED" if is_suspended else "ACTIVE",
            "suspended_reason": fact.reason if is_suspended else None,
        },
    )


@accounts.on(facts.AutomaticPaymentsSkipped, facts.AutomaticPaymentsResumed)
def automatic_payments(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    skips = isinstance(fact, facts.AutomaticPaymentsSkipped)
    profiles = [
        {**one, "skip_automatic_payments": skips} if one["profile_id"] == fact.profile_id else one
        for one in _profiles(own)
    ]
    yield Row((at.tenant, at.id), {"billing_profiles": profiles})


@accounts.on(facts.PaymentMethodsReordered)
def reordered(fact: facts.PaymentMethodsReordered, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"method_order": list(fact.method_ids)})


@accounts.on(facts.PaymentHoldPlaced, facts.PaymentHoldReleased)
def hold(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    placed = isinstance(fact, facts.PaymentHoldPlaced)
    changes = {"hold_reason": fact.reason if placed else None, "hold_until": fact.until if placed else None}
    yield Row((at.tenant, at.id), changes)


@accounts.on(facts.CollectionPreferencesSet)
def preferred(fact: facts.CollectionPreferencesSet, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), dict(vars(fact)))


@accounts.on(facts.AccountCustomFieldsSet)
def described(fact: facts.AccountCustomFieldsSet, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"custom_fields": fact.custom_fields})


@accounts.on(facts.AccountClosed)
def closed(fact: facts.AccountClosed, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "CLOSED"})


TABLES = (accounts,)
