"""Payment links: what a guest can pay, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.payment_link import (
    PaymentLinkCreated,
    PaymentLinkExpired,
    PaymentLinkOpened,
    PaymentLinkPaid,
    PaymentLinkPaymentBegun,
    PaymentLinkPaymentFailed,
)
from projections.table import FLAG, INSTANT, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

payment_links = Table(
    "payment_links",
    key=(TENANT, Column("payment_link_id", TEXT)),
    columns=(
        *text("account_id", "invoice_id", "currency", "status", "paying", "last_payment_id", "reason"),
        Column("amount", "bigint"),
        *money("paid"),
        Column("single_use", FLAG, True),
        Column("payments", "int", 0),
        Column("failures", "int", 0),
        Column("created_at", INSTANT),
        Column("opened_at", INSTANT),
        Column("expires_at", INSTANT),
        Column("comments", TEXT),
        Column("version", "int", 0),
    ),
    kind="paylink",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "invoice_id")),
)


@payment_links.on(PaymentLinkCreated)
def created(fact: PaymentLinkCreated, at: Place, own: Own) -> Iterable[Row]:
    names = ("account_id", "invoice_id", "currency", "single_use", "created_at", "expires_at", "comments")
    kept = {name: getattr(fact, name) for name in names}
    amount = fact.amount.amount_minor if fact.amount else None
    yield Row((at.tenant, at.id), {**kept, "amount": amount, "status": "ACTIVE"})


@payment_links.on(PaymentLinkOpened)
def opened(fact: PaymentLinkOpened, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"opened_at": fact.opened_at})


@payment_links.on(PaymentLinkPaymentBegun)
def begun(fact: PaymentLinkPaymentBegun, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"paying": fact.payment_id, "last_payment_id": fact.payment_id})


@payment_links.on(PaymentLinkPaymentFailed)
def failed(fact: PaymentLinkPaymentFailed, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"paying": None, "failures": Add(1), "reason": fact.result_code})


@payment_links.on(PaymentLinkPaid)
def paid(fact: PaymentLinkPaid, at: Place, own: Own) -> Iterable[Row]:
    changes: dict[str, Any] = {"paying": None, "payments": Add(1), "paid": Add(fact.amount.amount_minor)}
    changes |= {"last_payment_id": fact.payment_id, "reason": None}
    yield Row((at.tenant, at.id), {**changes, **({"status": "PAID"} if fact.used_up else {})})


@payment_links.on(PaymentLinkExpired)
def expired(fact: PaymentLinkExpired, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "EXPIRED", "reason": fact.reason})


TABLES = (payment_links,)
