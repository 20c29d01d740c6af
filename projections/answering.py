"""Answers to questions: one row by its key, or a page of rows, from the live read models.

Rows are told with what follows from them (`derived`), and money as `{amount_minor, currency}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from events.ids import home
from events.log import Log
from events.personal import reveal
from projections.asking import Asked, Condition, Query, Question, cursor_after, question
from projections.derived import Derived, Rows
from projections.rows import PostgresRows

Row = Mapping[str, Any]


async def one(
    rows: PostgresRows,
    query: Query,
    tenant: str,
    id: str,
    fields: tuple[str, ...] | None = None,
    *,
    now: datetime,
    log: Log | None = None,
) -> dict[str, Any] | None:
    """The row with this id, or None; `now` is what its age is counted to."""
    schema = await rows.active()
    where = f"t.tenant_id = $1 and t.{query.id} = $2" + (f" and {query.only}" if query.only else "")
    statement = Statement(query, schema, now, [tenant, id])
    found = await rows.pool.fetch(f"{statement.select()} where {where}", *statement.values)
    for row in await opened(log, query, found):
        return answered(query, told(query, row, now), fields)
    return None


async def page(
    rows: PostgresRows, query: Query, tenant: str, asked: Asked, *, now: datetime, log: Log | None = None
) -> dict[str, Any]:
    """`{items, has_more, next_cursor}`.  Raises `BadQuery`."""
    asks = question(query, asked)
    statement = Statement(query, await rows.active(), now, [tenant])
    sql = statement.page(asks)
    found = await opened(log, query, await rows.pool.fetch(sql, *statement.values))
    return paged(query, asks, found, now)


async def opened(log: Log | None, query: Query, found: Sequence[Row]) -> Sequence[Row]:
    """The same rows with their personal data in the clear, or `ERASED`; sealed as they are without a log."""
    if log is None or not any(row[name] is not None for row in found for name in query.personal):
        return found
    keys = await log.subject_keys({home(row["tenant_id"], row["account_id"]) for row in found})
    return [
        {
            **row,
            **{
                name: reveal(row[name], keys.get(home(row["tenant_id"], row["account_id"])))
                for name in query.personal
                if row[name] is not None
            },
        }
        for row in found
    ]


def paged(
    query: Query, asks: Question, found: Sequence[Row], now: datetime, rows: Rows | None = None
) -> dict[str, Any]:
    """Of rows in the order asked for, one more than the limit where there are more."""
    kept = [told(query, row, now, rows) for row in found[: asks.limit]]
    has_more = len(found) > asks.limit
    return {
        "items": [answered(query, row, asks.fields) for row in kept],
        "has_more": has_more,
        "next_cursor": cursor_after(asks.order, kept[-1]) if has_more else None,
    }


class Statement:
    """A SELECT in the making; the values of its parameters gather as it is written."""

    def __init__(self, query: Query, schema: str, now: datetime, values: list[Any]) -> None:
        self._query, self._schema, self._now, self.values = query, schema, now, values

    def select(self) -> str:
        elsewhere = [
            f", {self._sql(derived)} as {name}"
            for name, derived in self._query.derived.items()
            if derived.of is None
        ]
        return f"select t.*{''.join(elsewhere)} from {self._schema}.{self._query.table.name} t"

    def page(self, asks: Question) -> str:
        where = ["t.tenant_id = $1", *([self._query.only] if self._query.only else [])]
        where += [self._condition(condition) for condition in asks.conditions]
        if asks.after:
            where.append(self._after(asks.order, asks.after))
        order = ", ".join(f"{self._field(name)}{' desc' if down else ''}" for name, down in asks.order)
        return f"{self.select()} where {' and '.join(where)} order by {order} limit {asks.limit + 1}"

    def _given(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def _sql(self, derived: Derived) -> str:
        sql = derived.sql.replace("{s}", self._schema)
        return sql.replace("{now}", f"{self._given(self._now)}::timestamptz") if "{now}" in sql else sql

    def _field(self, name: str) -> str:
        return self._sql(self._query.derived[name]) if name in self._query.derived else f"t.{name}"

    def _condition(self, condition: Condition) -> str:
        match condition.how:
            case "any":
                type = self._query.types[condition.field]
                field = self._field(condition.field)
                return f"{field} = any({self._given(list(condition.values))}::{type}[])"
            case "contains":
                wanted = [orjson.dumps([{condition.field: each}]).decode() for each in condition.values]
                return f"t.{condition.columns[0]}::jsonb @> any({self._given(wanted)}::text[]::jsonb[])"
            case "text":
                place = self._given(condition.values[0])
                found = (f"strpos(lower(t.{column}), lower({place})) > 0" for column in condition.columns)
                return f"({' or '.join(found)})"
            case _:
                compared = ">=" if condition.how == "from" else "<="
                return f"{self._field(condition.field)} {compared} {self._given(condition.values[0])}"

    def _after(self, order: Sequence[tuple[str, bool]], last: Sequence[Any]) -> str:
        """Behind the last row: equal in the first fields of the order, and beyond it in the next."""
        alternatives = list[str]()
        for depth, ((name, down), value) in enumerate(zip(order, last, strict=True)):
            if value is None and not down:
                continue  # nothing comes after nothing
            equal = [self._equal(order[n][0], last[n]) for n in range(depth)]
            alternatives.append(" and ".join([*equal, self._beyond(name, value, down)]))
        return f"({' or '.join(alternatives)})"

    def _equal(self, name: str, value: Any) -> str:
        field = self._field(name)
        return f"{field} is null" if value is None else f"{field} = {self._given(value)}"

    def _beyond(self, name: str, value: Any, down: bool) -> str:
        """As PostgreSQL sorts: nothing comes last upwards, and first downwards."""
        field = self._field(name)
        if value is None:
            return f"{field} is not null"
        if down:
            return f"{field} < {self._given(value)}"
        return f"({field} > {self._given(value)} or {self._field(name)} is null)"


def told(query: Query, row: Row, now: datetime, rows: Rows | None = None) -> dict[str, Any]:
    """A row with its derived fields; `rows` where it is of a read model in memory."""
    derived = {name: _derive(each, name, row, now, rows) for name, each in query.derived.items()}
    return {**row, **derived}


def _derive(derived: Derived, name: str, row: Row, now: datetime, rows: Rows | None) -> Any:
    if derived.of is not None:
        return derived.of(row, now, rows or {})
    if rows is None:
        return row[name]
    assert derived.elsewhere is not None
    return derived.elsewhere(row, now, rows)


def answered(query: Query, row: Row, fields: tuple[str, ...] | None = None) -> dict[str, Any]:
    """As it is answered: money with its currency where the row has one, and the stream that it is of."""
    types, currencies = query.types, query.currencies
    answer: dict[str, Any] = {}
    for name in fields or query.fields:
        if name == "stream":
            answer[name] = f"{row['tenant_id']}/{query.table.kind}-{row[query.id]}"
        elif types[name] == "bigint" and name != "position" and "currency" in row:
            amount, currency = row[name], row[currencies.get(name, "currency")]
            known = amount is not None and currency is not None
            answer[name] = {"amount_minor": amount, "currency": currency} if known else None
        else:
            answer[name] = row[name]
    return answer
