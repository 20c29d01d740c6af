"""Saved payment methods: how each came, what it is, and whether it can pay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events import payment_method as methods
from projections.table import FLAG, INSTANT, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

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

_KEPT = (
    "account_id", "gateway_id", "merchant_account_id", "type", "network", "last4", "usage", "nickname",
    "expiry_month", "expiry_year", "mandate_reference", "card_category", "bank_name", "bank_account_type",
    "sec_code", "extended_type",
)  # fmt: skip


def _begun(fact: Any, at: Place, **more: Any) -> Row:
    kept = {name: getattr(fact, name, None) for name in _KEPT}
    fresh = {"consecutive_failures": 0, "hard_blocked_reason": None, "saved_at": at.time}
    return Row((at.tenant, at.id), {**kept, **fresh, **more})


@payment_methods.on(methods.PaymentMethodSaved)
def saved(fact: methods.PaymentMethodSaved, at: Place, own: Own) -> Iterable[Row]:
    names = ("processing_mode", "owner_type", "contact_id", "shared_within_account")
    yield _begun(fact, at, status="ACTIVE", **{name: getattr(fact, name) for name in names})


@payment_methods.on(methods.PaymentMethodImported)
def imported(fact: methods.PaymentMethodImported, at: Place, own: Own) -> Iterable[Row]:
    yield _begun(
        fact,
        at,
        status="ACTIVE",
        owner_type="ACCOUNT",
        processing_mode="EXTERNAL",
        external_id=fact.external_id,
        job_id=fact.job_id,
    )


@payment_methods.on(methods.PaymentMethodTokenizationRequested)
def requested(fact: methods.PaymentMethodTokenizationRequested, at: Place, own: Own) -> Iterable[Row]:
    yield _begun(
        fact,
        at,
        status="AWAITING",
        processing_mode="PLATFORM",
        owner_type=fact.owner_type,
        contact_id=fact.contact_id,
        shared_within_account=fact.shared_within_account,
    )


@payment_methods.on(methods.PaymentMethodTokenized)
def tokenized(fact: methods.PaymentMethodTokenized, at: Place, own: Own) -> Iterable[Row]:
    status = "AWAITING" if fact.awaits else "ACTIVE"
    yield Row((at.tenant, at.id), {"status": status, "awaits": fact.awaits})


@payment_methods.on(methods.PaymentMethodActivated)
def activated(fact: methods.PaymentMethodActivated, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "ACTIVE", "awaits": None})


@payment_methods.on(methods.PaymentMethodErrored, methods.PaymentMethodTokenizationFailed)
def errored(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    known = {"status": "ERRORED", "awaits": None, "last_category": fact.category}
    yield Row((at.tenant, at.id), known)


@payment_methods.on(methods.PaymentMethodCheckRequested)
def check_requested(fact: methods.PaymentMethodCheckRequested, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"check_result": "PENDING"})


@payment_methods.on(methods.PaymentMethodChecked)
def checked(fact: methods.PaymentMethodChecked, at: Place, own: Own) -> Iterable[Row]:
    told = {"check_result": fact.result, "checked_at": at.time, "check_category": fact.category}
    yield Row((at.tenant, at.id), {**told, "check_code": fact.raw_code})


@payment_methods.on(methods.PaymentMethodShared)
def shared(fact: methods.PaymentMethodShared, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"shared_within_account": fact.shared})


@payment_methods.on(methods.MandateRecorded, methods.MandateRevoked)
def mandate(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    reference = fact.reference if isinstance(fact, methods.MandateRecorded) else None
    yield Row((at.tenant, at.id), {"mandate_reference": reference})


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


TABLES = (payment_methods,)
