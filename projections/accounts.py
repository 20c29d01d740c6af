"""Accounts: what each owes and owns per currency, and the instruments that it can pay with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events import account as facts
from events import payment_method as methods
from events.credit_memo import (
    CreditMemoApplied,
    CreditMemoPosted,
    CreditMemoRefundReleased,
    CreditMemoRefundReserved,
    CreditMemoUnapplied,
    CreditMemoVoided,
    RefundAppliedToCreditMemo,
    RefundReversedOnCreditMemo,
)
from events.invoice import (
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoicePosted,
    NegativeInvoiceLinesConverted,
)
from events.payment import (
    ChargebackHoldRaised,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    ExternalPaymentRecorded,
    PaymentApplied,
    PaymentCanceled,
    PaymentFailed,
    PaymentOverdraftReduced,
    PaymentOverdraftWrittenOff,
    PaymentProcessed,
    PaymentRequested,
    PaymentReturned,
    PaymentUnapplied,
    RefundAppliedToPayment,
    RefundReservationReleased,
    RefundReservedOnPayment,
    RefundReversedOnPayment,
)
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferReceived,
    PaymentTransferReleased,
    PaymentTransferReserved,
    PaymentTransferReturned,
)
from projections.table import FLAG, INSTANT, JSON, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

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

account_balances = Table(
    "account_balances",
    key=(TENANT, Column("account_id", TEXT), Column("currency", TEXT)),
    columns=money(
        "open_receivables",
        "unapplied_payments",
        "reserved_for_refunds",
        "reserved_for_transfers",
        "open_credit",
        "reserved_credit",
        "pending_collections",
        "disputed",
        "overdrawn",
    ),
)

payment_methods = Table(
    "payment_methods",
    key=(TENANT, Column("method_id", TEXT)),
    columns=(
        *text(
            "account_id", "gateway_id", "merchant_account_id", "type", "network", "last4", "status", "usage"
        ),
        *text("processing_mode", "nickname", "last_category", "hard_blocked_reason"),
        *text("owner_type", "contact_id"),
        *text("check_result", "check_category", "check_code"),
        Column("checked_at", INSTANT),
        *text("mandate_reference", "awaits", "external_id", "job_id"),
        *text("card_category", "bank_name", "bank_account_type", "sec_code", "extended_type"),
        Column("last_success_at", INSTANT),
        Column("shared_within_account", FLAG, False),
        Column("expiry_month", "int"),
        Column("expiry_year", "int"),
        Column("consecutive_failures", "int", 0),
        Column("saved_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="spm",
    indexes=(("tenant_id", "account_id"),),
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


def _balance(at: Place, currency: str, **changes: int) -> Row:
    return Row((at.tenant, at.account_id, currency), {name: Add(amount) for name, amount in changes.items()})


@account_balances.on(InvoicePosted)
def owed(fact: InvoicePosted, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.currency, open_receivables=fact.total.amount_minor)


@account_balances.on(NegativeInvoiceLinesConverted)
def no_longer_negative(fact: NegativeInvoiceLinesConverted, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_receivables=-fact.total.amount_minor)


@account_balances.on(InvoicePaymentApplied, InvoiceCreditApplied)
def settled(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_receivables=-fact.total.amount_minor)


@account_balances.on(InvoicePaymentUnapplied, InvoiceCreditUnapplied)
def unsettled(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_receivables=fact.total.amount_minor)


@account_balances.on(PaymentRequested)
def pending(fact: PaymentRequested, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, pending_collections=fact.amount.amount_minor)


@account_balances.on(PaymentProcessed)
def arrived(fact: PaymentProcessed, at: Place, own: Own) -> Iterable[Row]:
    waited = own["amount"] if own.get("in_flight") else 0
    amount = fact.processed_amount
    yield _balance(at, amount.currency, unapplied_payments=amount.amount_minor, pending_collections=-waited)


@account_balances.on(PaymentFailed)
def did_not_arrive(fact: PaymentFailed, at: Place, own: Own) -> Iterable[Row]:
    if own.get("in_flight"):
        yield _balance(at, own["currency"], pending_collections=-own["amount"])


@account_balances.on(ExternalPaymentRecorded)
def arrived_outside(fact: ExternalPaymentRecorded, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=fact.amount.amount_minor)


@account_balances.on(PaymentCanceled)
def canceled(fact: PaymentCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=-fact.amount.amount_minor)


@account_balances.on(PaymentApplied)
def payment_used(fact: PaymentApplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, unapplied_payments=-fact.total.amount_minor)


@account_balances.on(PaymentUnapplied)
def payment_freed(fact: PaymentUnapplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, unapplied_payments=fact.total.amount_minor)


@account_balances.on(RefundReservedOnPayment, RefundReservationReleased)
def refund_reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, RefundReservedOnPayment) else -fact.amount.amount_minor
    )
    yield _balance(at, fact.amount.currency, unapplied_payments=-amount, reserved_for_refunds=amount)


@account_balances.on(RefundAppliedToPayment)
def refunded(fact: RefundAppliedToPayment, at: Place, own: Own) -> Iterable[Row]:
    source = "reserved_for_refunds" if fact.reserved else "unapplied_payments"
    yield _balance(at, fact.amount.currency, **{source: -fact.amount.amount_minor})


@account_balances.on(RefundReversedOnPayment)
def refund_came_back(fact: RefundReversedOnPayment, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=fact.amount.amount_minor)


@account_balances.on(PaymentTransferReserved, PaymentTransferReleased)
def transfer_reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, PaymentTransferReserved) else -fact.amount.amount_minor
    )
    yield _balance(at, fact.amount.currency, unapplied_payments=-amount, reserved_for_transfers=amount)


@account_balances.on(PaymentBalanceTransferred)
def transferred(fact: PaymentBalanceTransferred, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, reserved_for_transfers=-fact.amount.amount_minor)


@account_balances.on(PaymentTransferReceived, PaymentTransferReturned)
def transfer_received(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=fact.amount.amount_minor)


@account_balances.on(PaymentTransferGivenBack)
def transfer_given_back(fact: PaymentTransferGivenBack, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=-fact.amount.amount_minor)


@account_balances.on(PaymentReturned)
def returned(fact: PaymentReturned, at: Place, own: Own) -> Iterable[Row]:
    unapplied, owed = fact.returned.amount_minor, fact.overdrawn.amount_minor
    yield _balance(at, fact.returned.currency, unapplied_payments=-unapplied, overdrawn=owed)


@account_balances.on(PaymentOverdraftReduced)
def overdraft_reduced(fact: PaymentOverdraftReduced, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    yield _balance(at, fact.amount.currency, unapplied_payments=-amount, overdrawn=-amount)


@account_balances.on(PaymentOverdraftWrittenOff)
def overdraft_written_off(fact: PaymentOverdraftWrittenOff, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, overdrawn=-fact.amount.amount_minor)


@account_balances.on(ChargebackOpened, ChargebackHoldRaised)
def held_for_dispute(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.held.amount_minor
    yield _balance(at, fact.held.currency, unapplied_payments=-amount, disputed=amount)


@account_balances.on(ChargebackWon)
def dispute_won(fact: ChargebackWon, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.released.amount_minor
    yield _balance(at, fact.released.currency, unapplied_payments=amount, disputed=-amount)


@account_balances.on(ChargebackLost)
def dispute_lost(fact: ChargebackLost, at: Place, own: Own) -> Iterable[Row]:
    lost, owed = fact.lost.amount_minor, fact.overdrawn.amount_minor
    yield _balance(at, fact.lost.currency, disputed=-lost, overdrawn=owed)


@account_balances.on(CreditMemoPosted)
def credited(fact: CreditMemoPosted, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.currency, open_credit=fact.total.amount_minor)


@account_balances.on(CreditMemoApplied)
def credit_used(fact: CreditMemoApplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_credit=-fact.total.amount_minor)


@account_balances.on(CreditMemoUnapplied)
def credit_freed(fact: CreditMemoUnapplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_credit=fact.total.amount_minor)


@account_balances.on(CreditMemoRefundReserved, CreditMemoRefundReleased)
def credit_reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, CreditMemoRefundReserved) else -fact.amount.amount_minor
    )
    yield _balance(at, fact.amount.currency, open_credit=-amount, reserved_credit=amount)


@account_balances.on(RefundAppliedToCreditMemo)
def credit_paid_out(fact: RefundAppliedToCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    source = "reserved_credit" if fact.reserved else "open_credit"
    yield _balance(at, fact.amount.currency, **{source: -fact.amount.amount_minor})


@account_balances.on(RefundReversedOnCreditMemo)
def payout_came_back(fact: RefundReversedOnCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, open_credit=fact.amount.amount_minor)


@account_balances.on(CreditMemoVoided)
def credit_voided(fact: CreditMemoVoided, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, open_credit=-fact.amount.amount_minor)


@payment_methods.on(methods.PaymentMethodSaved)
def method_saved(fact: methods.PaymentMethodSaved, at: Place, own: Own) -> Iterable[Row]:
    names = (
        "account_id",
        "gateway_id",
        "merchant_account_id",
        "type",
        "network",
        "last4",
        "usage",
        "processing_mode",
    )
    more = ("nickname", "expiry_month", "expiry_year", "owner_type", "contact_id", "mandate_reference")
    shown = ("card_category", "bank_name", "bank_account_type", "sec_code", "extended_type")
    kept = {name: getattr(fact, name) for name in (*names, *more, *shown, "shared_within_account")}
    yield Row(
        (at.tenant, at.id),
        {
            **kept,
            "status": "ACTIVE",
            "consecutive_failures": 0,
            "hard_blocked_reason": None,
            "saved_at": at.time,
        },
    )


@payment_methods.on(methods.PaymentMethodDetailsUpdated)
def method_updated(fact: methods.PaymentMethodDetailsUpdated, at: Place, own: Own) -> Iterable[Row]:
    names = ("network", "last4", "expiry_month", "expiry_year", "usage", "nickname", "mandate_reference")
    changed = {name: getattr(fact, name) for name in names if getattr(fact, name) is not None}
    yield Row((at.tenant, at.id), {**changed, "status": "ACTIVE", "hard_blocked_reason": None})


@payment_methods.on(methods.PaymentMethodHealthChanged)
def method_health(fact: methods.PaymentMethodHealthChanged, at: Place, own: Own) -> Iterable[Row]:
    names = ("consecutive_failures", "last_category", "hard_blocked_reason")
    well = {"last_success_at": fact.last_success_at} if fact.last_success_at else {}
    yield Row((at.tenant, at.id), {**{n: getattr(fact, n) for n in names}, **well})


_METHOD_STATUS = {
    methods.PaymentMethodExpired: "EXPIRED",
    methods.PaymentMethodRevoked: "REVOKED",
    methods.PaymentMethodDeleted: "DELETED",
}


@payment_methods.on(*_METHOD_STATUS)
def method_status(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": _METHOD_STATUS[type(fact)]})


TABLES = (accounts, account_balances, payment_methods)
