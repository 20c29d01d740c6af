"""Every read model, joined."""

from __future__ import annotations

from projections import (
    accounts,
    credits,
    disputes,
    invoices,
    ledger,
    methods,
    migrations,
    notifications,
    operations,
    refunds,
    transfers,
)
from projections.table import Table

TABLES: tuple[Table, ...] = (
    *invoices.TABLES,
    *accounts.TABLES,
    *transfers.TABLES,
    *credits.TABLES,
    *refunds.TABLES,
    *disputes.TABLES,
    *operations.TABLES,
    *notifications.TABLES,
    *ledger.TABLES,
    *migrations.TABLES,
)

assert methods.payment_methods in TABLES, "importing it binds what it does to the table"
