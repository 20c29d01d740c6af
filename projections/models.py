"""Every read model, joined."""

from __future__ import annotations

from projections import (
    access,
    accounts,
    authorizations,
    cash_flow,
    credits,
    disputes,
    invoices,
    ledger,
    links,
    methods,
    migrations,
    notifications,
    operations,
    payouts,
    periods,
    rates,
    refunds,
    retries,
    runs,
    schedule_policies,
    schedulers,
    schedules,
    transfers,
)
from projections.table import Table

TABLES: tuple[Table, ...] = (
    *invoices.TABLES,
    *accounts.TABLES,
    *transfers.TABLES,
    *authorizations.TABLES,
    *credits.TABLES,
    *refunds.TABLES,
    *disputes.TABLES,
    *schedules.TABLES,
    *links.TABLES,
    *schedule_policies.TABLES,
    *schedulers.TABLES,
    *runs.TABLES,
    *operations.TABLES,
    *notifications.TABLES,
    *payouts.TABLES,
    *retries.TABLES,
    *ledger.TABLES,
    *periods.TABLES,
    *rates.TABLES,
    *migrations.TABLES,
    *cash_flow.TABLES,
    *access.TABLES,
)

assert methods.payment_methods in TABLES, "importing it binds what it does to the table"
