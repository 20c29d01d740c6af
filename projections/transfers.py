"""Payments whose money goes to another account: what is on its way, what has gone, and where it came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferRecalled,
    PaymentTransferRecallRefused,
    PaymentTransferReceived,
    PaymentTransferReleased,
    PaymentTransferReserved,
    PaymentTransferReturned,
)
from projections.payments import TABLES, Own, payments
from projections.table import Add, Place, Row


@payments.on(PaymentTransferReceived)
def transfer_received(fact: PaymentTransferReceived, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "type": "TRANSFER",
            "status": "PROCESSED",
            "currency": fact.amount.currency,
            "amount": amount,
            "received": amount,
            "unapplied": amount,
            "refundable": amount,
            "method_display": "transfer",
            "from_account_id": fact.from_account_id,
            "from_payment_id": fact.from_payment_id,
            "requested_at": fact.received_at,
            "processed_at": fact.received_at,
        },
    )


@payments.on(PaymentTransferGivenBack)
def transfer_given_back(fact: PaymentTransferGivenBack, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    yield Row(
        (at.tenant, at.id),
        {
            "transferred": Add(amount),
            "unapplied": Add(-amount),
            "refundable": Add(-amount),
        },
    )


def _transfer(own: Own, transfer_id: str, **changes: Any) -> dict[str, Any]:
    """The row's list of transfers with one of them changed, or added at its end."""
    known: list[dict[str, Any]] = list(own["transfers"] or [])
    if not any(one["transfer_id"] == transfer_id for one in known):
        known.append({"transfer_id": transfer_id})
    return {"transfers": [{**one, **changes} if one["transfer_id"] == transfer_id else one for one in known]}


@payments.on(PaymentTransferReserved)
def transfer_reserved(fact: PaymentTransferReserved, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    moved = {"transfer_reserved": Add(amount), "unapplied": Add(-amount), "refundable": Add(-amount)}
    said = {"to_account_id": fact.to_account_id, "invoice_id": fact.invoice_id, "amount_minor": amount}
    listed = _transfer(own, fact.transfer_id, **said, status="RESERVED", code=None)
    yield Row((at.tenant, at.id), {**moved, **listed})


@payments.on(PaymentBalanceTransferred)
def balance_transferred(fact: PaymentBalanceTransferred, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    moved = {"transfer_reserved": Add(-amount), "transferred": Add(amount)}
    listed = _transfer(own, fact.transfer_id, status="SENT")
    yield Row((at.tenant, at.id), {**moved, **listed})


@payments.on(PaymentTransferReleased)
def transfer_released(fact: PaymentTransferReleased, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    moved = {"transfer_reserved": Add(-amount), "unapplied": Add(amount), "refundable": Add(amount)}
    listed = _transfer(own, fact.transfer_id, status="REFUSED", code=fact.code)
    yield Row((at.tenant, at.id), {**moved, **listed})


@payments.on(PaymentTransferRecalled, PaymentTransferRecallRefused)
def transfer_recalled(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    refused = isinstance(fact, PaymentTransferRecallRefused)
    status, code = ("SENT", fact.code) if refused else ("RECALLED", None)
    listed = _transfer(own, fact.transfer_id, status=status, code=code)
    yield Row((at.tenant, at.id), listed)


@payments.on(PaymentTransferReturned)
def transfer_returned(fact: PaymentTransferReturned, at: Place, own: Own) -> Iterable[Row]:
    amount, rest = fact.amount.amount_minor, fact.rest.amount_minor
    moved = {"transferred": Add(-amount), "unapplied": Add(amount), "refundable": Add(amount)}
    status = {"status": "RETURNED"} if rest == 0 else {"status": "SENT"} if fact.asked else {}
    listed = _transfer(own, fact.transfer_id, amount_minor=rest or amount, **status)
    yield Row((at.tenant, at.id), {**moved, **listed})


__all__ = ["TABLES"]
