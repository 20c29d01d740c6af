"""How read models stood at an instant: one account's events, folded up to it, and asked like the live ones.

Only events recorded by then count, whole commands at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cmp_to_key
from typing import Any

from events.log import Log, pages_of_home
from projections.answering import Row, answered, paged, told
from projections.asking import Asked, BadQuery, Condition, Query, Question, question
from projections.derived import Rows
from projections.folding import Folder
from projections.models import TABLES

_CHUNK = 2_000


async def page(log: Log, query: Query, tenant: str, asked: Asked) -> dict[str, Any]:
    """`{items, has_more, next_cursor}` of one account, as of the instant asked for.  Raises `BadQuery`."""
    asks = question(query, asked)
    assert asks.as_of is not None
    if not query.timed_lists:
        message = f"as_of tells one of {query.name}: ask for it by its id"
        raise BadQuery("as_of", message, "AS_OF_SCOPE_REQUIRED")
    account_id = asks.only("account_id")
    if account_id is None:
        raise BadQuery("account_id", "as_of tells one account: name it", "AS_OF_SCOPE_REQUIRED")
    rows = await replayed(log, f"{tenant}/{account_id}", asks.as_of)
    found = [
        told(query, row, asks.as_of, rows) for row in rows.get(query.table, {}).values() if query.only_if(row)
    ]
    found = [row for row in found if all(_holds(condition, row) for condition in asks.conditions)]
    found.sort(key=cmp_to_key(lambda a, b: _compare(asks, a, b)))
    if asks.after is not None:
        last = dict(zip((name for name, _ in asks.order), asks.after, strict=True))
        found = [row for row in found if _compare(asks, row, last) > 0]
    return paged(query, asks, found[: asks.limit + 1], asks.as_of, rows)


async def one(
    log: Log, query: Query, tenant: str, id: str, at: datetime, fields: tuple[str, ...] | None = None
) -> dict[str, Any] | None:
    """The row with this id, as of an instant; None where it was not there yet."""
    events = await log.read_stream(f"{tenant}/{query.table.kind}-{id}")
    if not events:
        return None
    rows = await replayed(log, events[0].home, at)
    row = rows.get(query.table, {}).get((tenant, id))
    if row is None or not query.only_if(row):
        return None
    return answered(query, told(query, row, at, rows), fields)


async def replayed(log: Log, home: str, at: datetime) -> Rows:
    """All rows that follow from an account's events up to an instant."""
    folder, rows = Folder(TABLES), dict[Any, Any]()
    async for events in pages_of_home(log, home, _CHUNK):
        known = [event for event in events if event.recorded_at <= at]
        if known:
            folder.from_zero(known, rows)
        if len(known) < len(events):
            break
    return {table: {key: row for key, row in held.items() if row["position"]} for table, held in rows.items()}


def _holds(condition: Condition, row: Row) -> bool:
    """What the SQL of `answering` says, of a row in memory."""
    value = row.get(condition.field)
    match condition.how:
        case "any":
            return value in condition.values
        case "contains":
            listed: list[Mapping[str, Any]] = row[condition.columns[0]] or []
            return any(each.get(condition.field) in condition.values for each in listed)
        case "text":
            wanted = condition.values[0].lower()
            return any(wanted in (row[column] or "").lower() for column in condition.columns)
        case "from":
            return value is not None and value >= condition.values[0]
        case _:
            return value is not None and value <= condition.values[0]


def _compare(asks: Question, a: Row, b: Row) -> int:
    """Which comes first, in the order asked for; nothing is the greatest, as in PostgreSQL."""
    for name, down in asks.order:
        x, y = a[name], b[name]
        if x == y:
            continue
        before = y is None or (x is not None and x < y)
        return -1 if before != down else 1
    return 0
