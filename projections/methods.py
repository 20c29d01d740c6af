"""Saved payment methods that came otherwise than by being saved, and what changes about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events import payment_method as methods
from projections.accounts import payment_methods
from projections.table import Place, Row

Own = Mapping[str, Any]

_KEPT = (
    "account_id", "gateway_id", "merchant_account_id", "type", "network", "last4", "usage", "nickname",
    "expiry_month", "expiry_year", "mandate_reference", "card_category", "bank_name", "bank_account_type",
    "sec_code", "extended_type",
)  # fmt: skip


def _begun(fact: Any, at: Place, **more: Any) -> Row:
    kept = {name: getattr(fact, name, None) for name in _KEPT}
    fresh = {"consecutive_failures": 0, "hard_blocked_reason": None, "saved_at": at.time}
    return Row((at.tenant, at.id), {**kept, **fresh, **more})


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
