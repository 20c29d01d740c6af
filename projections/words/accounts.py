"""Accounts, their methods, and who may do what, in words."""

from __future__ import annotations

from typing import Any

from events import access as acc
from events import account as acct
from events import exchange_rates as fx
from events import payment_method as spm
from events import settings as set
from events import subscription as sub
from events import token_migration as tok
from projections.words.plain import Words, because, counted, described, failed, plain


def _saved(fact: spm.PaymentMethodSaved) -> str:
    shown = f" {fact.last4}" if fact.last4 else ""
    return f"{fact.network or plain(fact.type)}{shown} saved with {fact.gateway_id}, {plain(fact.usage)}"


def _imported(fact: spm.PaymentMethodImported) -> str:
    return f"{plain(fact.type)} of {fact.gateway_id} taken over, as row {fact.row_no} of job {fact.job_id}"


def _profile(what: str) -> Words:
    return lambda fact: f"Billing profile {fact.name} {what}{', the default' if fact.is_default else ''}"


def _settings(fact: set.TenantSettingsChanged) -> str:
    by = f" by the preset {fact.preset}" if fact.preset else ""
    return f"{counted(len(fact.changes), 'setting')} changed{by}: {', '.join(fact.changes)}"


def _rows(fact: tok.TokenMigrationCompleted) -> str:
    return (
        f"{fact.imported} imported, {fact.updated} updated, {fact.skipped} skipped, {fact.rejected} rejected"
        f"{f', {fact.parked} parked' if fact.parked else ''}"
    )


WORDS: dict[type[Any], Words] = {
    acc.AccessDenied: lambda f: f"{f.actor_id} was not let do {f.action}: {f.message}",
    acc.ApiKeyCreated: lambda f: f"API key {f.name} given to {f.actor_id}: {', '.join(map(plain, f.roles))}",
    acc.ApiKeyUsed: lambda f: f"Signed in with, in the hour of {f.used_at:%Y-%m-%d %H:%M}",
    acc.ApiKeyRevoked: lambda f: f"The key is no longer good{because(f.reason)}",
    acct.AccountRegistered: lambda f: f"Account {f.account_id} registered",
    acct.BillingProfileDefined: _profile("defined"),
    acct.BillingProfileUpdated: _profile("changed"),
    acct.DefaultPaymentMethodSet: lambda f: f"Method {f.method_id} pays where nothing else is named",
    acct.DefaultPaymentMethodCleared: lambda f: (
        f"No method pays where nothing is named{because(plain(f.reason))}"
    ),
    acct.PaymentMethodsReordered: lambda f: f"Methods are tried in this order: {', '.join(f.method_ids)}",
    acct.AutomaticPaymentsSkipped: lambda f: (
        f"Nothing is collected by itself for billing profile {f.profile_id}"
    ),
    acct.AutomaticPaymentsResumed: lambda f: f"Billing profile {f.profile_id} is collected by itself again",
    acct.AccountCustomFieldsSet: described,
    acct.AutoCollectSwitched: lambda f: (
        f"New invoices {'get payment schedules' if f.auto_collect else 'are collected by hand'}"
    ),
    acct.AccountSuspended: lambda f: f"Suspended{because(f.reason)}",
    acct.AccountReactivated: lambda f: f"Active again{because(f.reason)}",
    acct.PaymentHoldPlaced: lambda f: (
        f"Nothing is collected{f' until {f.until:%Y-%m-%d}' if f.until else ''}{because(f.reason)}"
    ),
    acct.PaymentHoldReleased: lambda f: f"Collected for again{because(f.reason)}",
    acct.UnreferencedRefundCounted: lambda f: (
        f"{f.amount} paid out by refund {f.refund_id} counts against its limits"
    ),
    acct.AccountClosed: lambda f: f"Closed{because(f.reason)}",
    acct.PersonalDataErased: lambda f: f"Personal data erased, for good{because(f.reason)}",
    spm.PaymentMethodSaved: _saved,
    spm.PaymentMethodImported: _imported,
    spm.PaymentMethodTokenizationRequested: lambda f: f"{f.gateway_id} is asked to keep a {plain(f.type)}",
    spm.PaymentMethodTokenizationFailed: failed("Keeping it"),
    spm.PaymentMethodTokenized: lambda f: (
        f"The gateway keeps it{f'; it awaits {plain(f.awaits)}' if f.awaits else ''}"
    ),
    spm.PaymentMethodActivated: lambda f: f"It can pay, told by {plain(f.source)}",
    spm.PaymentMethodVerificationRequested: lambda f: (
        f"What its holder saw is told to the gateway, attempt {f.attempt_no}"
    ),
    spm.PaymentMethodShared: lambda f: (
        f"{'Everybody of the account may' if f.shared else 'Only its owner may'} pay with it"
    ),
    spm.StoredCredentialEstablished: lambda _: "The card network knows that it is kept",
    spm.PaymentMethodDetailsUpdated: lambda f: f"Its details are new, told by {plain(f.source)}",
    spm.PaymentMethodRevoked: lambda f: f"Its issuer allows nothing more{because(f.raw_code)}",
    spm.PaymentMethodErrored: lambda f: f"It cannot pay: {plain(f.category)}",
    spm.PaymentMethodVerificationFailed: lambda f: (
        f"Not verified: {counted(f.attempts_left, 'attempt')} left"
    ),
    spm.MandateRecorded: lambda f: f"Debits allowed by mandate {f.reference} of {f.accepted_at:%Y-%m-%d}",
    spm.MandateRevoked: lambda f: f"Debits by mandate {f.reference} allowed no more{because(f.reason)}",
    spm.PaymentMethodExpired: lambda f: f"It has expired, with {f.expiry_month:02}/{f.expiry_year}",
    spm.PaymentMethodDeleted: lambda f: f"Taken away{because(f.reason)}",
    tok.TokenMigrationCreated: lambda f: f"Job of {counted(f.rows, 'row')} from {f.source}",
    tok.TokenMigrationValidating: lambda f: f"{counted(f.rows, 'row')} are checked",
    tok.TokenMigrationValidated: lambda f: f"{f.valid} rows are good, {f.rejected} are not",
    tok.TokenMigrationStarted: lambda f: f"Begun by {f.by}",
    tok.TokenMigrationRowsDecided: lambda f: f"Part {f.chunk_no}: {counted(len(f.rows), 'row')} decided",
    tok.TokenMigrationCompleted: _rows,
    tok.TokenMigrationCanceled: lambda f: f"Stopped{because(f.reason)}",
    set.TenantSettingsChanged: _settings,
    fx.ExchangeRatesPublished: lambda f: (
        f"What {', '.join(f.rates)} are worth in {f.currency}, from {f.as_of} on"
    ),
    sub.SubscriptionInvoiced: lambda f: f"Invoice {f.invoice_id} is of subscription {f.reference_id}",
    sub.SubscriptionInvoiceVoided: lambda f: (
        f"Invoice {f.invoice_id} of subscription {f.reference_id} was voided"
    ),
}  # fmt: skip
