"""The numbers by which people call documents, PAY-000012 or a billing system's own, and what they are here.

Read models know them: of what has only just happened they may not know it yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

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


_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""An id that nobody chose, and nobody can read out."""


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


async def told(rows: PostgresRows, tenant: str, facts: Sequence[dict[str, Any]]) -> None:
    """Have sentences call documents by their numbers, where all that they had was a UUID."""
    ids = {id for fact in facts for id in _UUID.findall(fact["sentence"])}
    if not ids:
        return
    numbers = await _numbers(rows, tenant, sorted(ids))
    for fact in facts:
        fact["sentence"] = _UUID.sub(lambda found: numbers.get(found[0], found[0]), fact["sentence"])


async def _numbers(rows: PostgresRows, tenant: str, ids: Sequence[str]) -> dict[str, str]:
    schema = await rows.active()
    queries = [QUERIES[name] for name in sorted({"invoices", *_LISTS.values()})]
    each = [
        f"select t.{query.id} as id, t.number from {schema}.{query.table.name} t"
        f" where t.tenant_id = $1 and t.{query.id} = any($2) and t.number is not null"
        for query in queries
    ]
    found = await rows.pool.fetch(" union all ".join(each), tenant, ids)
    return {row["id"]: row["number"] for row in found}


async def _first(
    rows: PostgresRows, table: str, columns: str, condition: str, tenant: str, called: str
) -> asyncpg.Record | None:
    schema = await rows.active()
    statement = f"select {columns} from {schema}.{table} t where t.tenant_id = $1 and {condition} limit 1"
    return await rows.pool.fetchrow(statement, tenant, called)
