"""The numbers by which people call documents, PAY-000012 or a billing system's own, and what they are here.

Read models know them: of what has only just happened they may not know it yet.
"""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from projections.queries import QUERIES
from projections.rows import PostgresRows

_LISTS = {
    "PAY": "payments",
    "REF": "refunds",
    "CM": "credit-memos",
    "DM": "debit-memos",
    "PA": "authorizations",
    "PS": "payment-schedules",
    "PBR": "payment-batch-runs",
    "PRR": "payment-batch-runs",
}
"""By what a number begins with; any other may be an invoice's, which keeps that of its sender."""


class Found(NamedTuple):
    stream: str
    """`{kind}-{id}`, of its tenant."""
    item_id: str | None = None
    """Which item of the schedule it is, if it is one."""


async def found(rows: PostgresRows, tenant: str, called: str) -> Found | None:
    """What has this number; an item of a schedule also by its id."""
    query = QUERIES[_LISTS.get(called.partition("-")[0], "invoices")]
    document = await _first(rows, query.table.name, query.id, "t.number = $2", tenant, called)
    if document:
        return Found(f"{query.table.kind}-{document[query.id]}")
    columns, either = "payment_schedule_id, item_id", "(t.number = $2 or t.item_id = $2)"
    item = await _first(rows, "schedule_items", columns, either, tenant, called)
    return Found(f"ps-{item['payment_schedule_id']}", item["item_id"]) if item else None


async def _first(
    rows: PostgresRows, table: str, columns: str, condition: str, tenant: str, called: str
) -> asyncpg.Record | None:
    schema = await rows.active()
    statement = f"select {columns} from {schema}.{table} t where t.tenant_id = $1 and {condition} limit 1"
    return await rows.pool.fetchrow(statement, tenant, called)
