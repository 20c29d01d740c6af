"""Asking read models: one row by its key, or a page of rows by filters, always in a stable order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import orjson

from events.ids import home
from events.log import Log
from events.personal import reveal
from projections import (
    accounts,
    credits,
    disputes,
    invoices,
    ledger,
    notifications,
    operations,
    payments,
    refunds,
)
from projections.rows import PostgresRows
from projections.table import Table

LIMIT_MAX, LIMIT_DEFAULT = 200, 50


class BadQuery(ValueError):
    """The question cannot be asked so: an unknown filter, a bad value, a cursor that is not ours."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Query:
    """A read model as it is asked for: its path, its id, its filters and its orders."""

    name: str
    table: Table
    about: str
    filters: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    """Columns that take `{column}_from` and `{column}_to`, both inclusive."""
    sorts: tuple[str, ...] = ()
    inside: Mapping[str, str] = field(default_factory=dict[str, str])
    """Filters on a field of the objects that a JSON column lists: the field's name to the column's."""
    personal: tuple[str, ...] = ()
    """Columns that hold sealed personal data: opened only as they are answered."""

    @property
    def id(self) -> str:
        return self.table.key[-1].name

    @property
    def parameters(self) -> tuple[str, ...]:
        return (
            *self.filters,
            *self.inside,
            *(f"{name}_{end}" for name in self.ranges for end in ("from", "to")),
        )


_OF_ACCOUNT = ("account_id", "status", "currency")

QUERIES: dict[str, Query] = {
    query.name: query
    for query in (
        Query(
            "invoices",
            invoices.invoices,
            "Invoice balances",
            (*_OF_ACCOUNT, "settlement_status", "number", "external_id", "has_negative_lines", "is_negative"),
            ("due_date", "posted_date", "balance"),
            ("due_date", "posted_at", "balance"),
        ),
        Query(
            "invoice-settlements",
            invoices.invoice_settlements,
            "What has settled an invoice, step by step",
            ("invoice_id", "account_id", "type", "source_kind", "source_id"),
            ("effective_at",),
            ("position",),
        ),
        Query("accounts", accounts.accounts, "Accounts", ("status",), personal=("name",)),
        Query(
            "account-balances",
            accounts.account_balances,
            "What accounts owe and own",
            ("account_id", "currency"),
        ),
        Query(
            "payments",
            payments.payments,
            "Payments",
            (*_OF_ACCOUNT, "type", "gateway_id", "category", "method_id", "in_flight", "has_dispute"),
            ("amount", "unapplied", "processed_at", "requested_at"),
            ("requested_at", "amount"),
        ),
        Query(
            "authorizations",
            payments.authorizations,
            "Authorizations and what was captured of them",
            (*_OF_ACCOUNT, "gateway_id"),
            ("expires_at",),
            ("requested_at",),
        ),
        Query(
            "credit-memos",
            credits.credit_memos,
            "Credit memos",
            (*_OF_ACCOUNT, "category", "source_action", "reference_invoice_id"),
            ("balance", "effective_date"),
            ("posted_at", "balance"),
        ),
        Query(
            "disputes",
            disputes.disputes,
            "Chargebacks, and how they end",
            (*_OF_ACCOUNT, "payment_id", "reason"),
            ("opened_at", "evidence_due_at"),
            ("opened_at", "evidence_due_at"),
        ),
        Query("debit-memos", credits.debit_memos, "Debit memos", ("account_id", "currency")),
        Query(
            "refunds",
            refunds.refunds,
            "Refunds",
            (*_OF_ACCOUNT, "type", "reason_code", "payment_id", "orchestration_id"),
            ("requested_at",),
            ("requested_at", "amount"),
        ),
        Query(
            "refund-orchestrations",
            refunds.orchestrations,
            "How credit memos become refunds",
            (*_OF_ACCOUNT, "original_invoice_id", "credit_memo_id"),
            ("requested_at",),
            ("requested_at",),
        ),
        Query(
            "payment-methods",
            accounts.payment_methods,
            "Saved payment methods",
            ("account_id", "status", "gateway_id", "type"),
            personal=("nickname",),
        ),
        Query("gateways", operations.gateways, "Gateways", ("status", "mode")),
        Query(
            "gateway-log",
            operations.gateway_log,
            "Every interaction with a gateway",
            (
                "account_id",
                "gateway_id",
                "operation",
                "interaction_status",
                "category",
                "result_code",
                "target_id",
                "is_notification",
            ),
            ("planned_at",),
            ("planned_at",),
        ),
        Query(
            "notifications",
            notifications.notifications,
            "What gateways have told of their own",
            ("gateway_id", "status", "type", "account_id", "target_id", "operation_key", "result_code"),
            ("received_at",),
            ("received_at",),
        ),
        Query(
            "exceptions",
            operations.exceptions,
            "What needs a person",
            ("account_id", "type", "status"),
            ("raised_at",),
            ("raised_at",),
        ),
        Query(
            "ledger-entries",
            ledger.ledger_entries,
            "Double entry: the postings of every event that moves value",
            ("account_id", "currency", "event_id", "event_type"),
            ("at",),
            ("position",),
            inside={"ledger_account": "postings"},
        ),
        Query(
            "ledger-balances",
            ledger.ledger_balances,
            "Ledger accounts",
            ("account_id", "currency", "ledger_account"),
        ),
        Query(
            "cash-flow",
            ledger.cash_flow,
            "Money in and out, by day",
            ("currency", "gateway_id"),
            ("day",),
            ("day",),
        ),
    )
}


async def one(rows: PostgresRows, query: Query, tenant: str, id: str) -> dict[str, Any] | None:
    """The row with this id, or None."""
    schema = await rows.active()
    statement = f"select * from {schema}.{query.table.name} where tenant_id = $1 and {query.id} = $2"
    row = await rows.pool.fetchrow(statement, tenant, id)
    return None if row is None else shown(query.table, row)


async def counted(rows: PostgresRows, table: Table, by: str) -> list[tuple[str, int]]:
    """How many rows of all tenants there are, by a column."""
    schema = await rows.active()
    found = await rows.pool.fetch(f"select {by}, count(*) from {schema}.{table.name} group by 1")
    return [(row[0], row[1]) for row in found]


async def page(
    rows: PostgresRows, query: Query, tenant: str, asked: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """`{items, has_more, next_cursor}`.  Raises `BadQuery`."""
    limit = limit_of(asked)
    order = _order(query, asked)
    where, values = _where(query, tenant, asked)
    after = one_of(asked, "cursor")
    if after:
        condition, more = _after(query, order, after, len(values))
        where.append(condition)
        values += more
    columns = ", ".join(f"{name}{' desc' if down else ''}" for name, down in order)
    schema = await rows.active()
    found_where = f"select * from {schema}.{query.table.name} where {' and '.join(where)}"
    statement = f"{found_where} order by {columns} limit {limit + 1}"
    found = await rows.pool.fetch(statement, *values)
    kept = found[:limit]
    has_more = len(found) > limit
    cursor = _cursor(order, kept[-1]) if has_more else None
    return {"items": [shown(query.table, row) for row in kept], "has_more": has_more, "next_cursor": cursor}


def shown(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is answered: money as `{amount_minor, currency}` where the row has a currency."""
    currency = row["currency"] if "currency" in table.names else None
    answer: dict[str, Any] = {}
    for column in table.all_columns:
        value = row[column.name]
        if column.type == "bigint" and column.name != "position":
            named = {"amount_minor": value, "currency": currency}
            answer[column.name] = named if currency else value
        elif column.name != "tenant_id":
            answer[column.name] = value
    if table.name == "account_balances":
        answer["net_balance"] = {"amount_minor": net_balance(row), "currency": currency}
    return answer


def net_balance(row: Mapping[str, Any]) -> int:
    """Open invoices and what is overdrawn, less what is unapplied, reserved and held as credit (domain 4)."""
    held = (
        row["unapplied_payments"] + row["reserved_for_refunds"] + row["open_credit"] + row["reserved_credit"]
    )
    return row["open_receivables"] + row["overdrawn"] - held


async def opened(
    log: Log, query: Query, tenant: str, answers: Sequence[dict[str, Any]]
) -> Sequence[dict[str, Any]]:
    """The same answers with their personal data in the clear, or `ERASED`."""
    holding = [row for row in answers if any(row[name] is not None for name in query.personal)]
    if not holding:
        return answers
    keys = await log.subject_keys({home(tenant, row["account_id"]) for row in holding})
    for row in holding:
        for name in query.personal:
            if row[name] is not None:
                row[name] = reveal(row[name], keys[home(tenant, row["account_id"])])
    return answers


_COMMON = frozenset({"limit", "cursor", "sort", "min_position", "fields"})


def _where(query: Query, tenant: str, asked: Mapping[str, Sequence[str]]) -> tuple[list[str], list[Any]]:
    types = {column.name: column.type for column in query.table.all_columns}
    where, values = ["tenant_id = $1"], list[Any]([tenant])
    for name, given in asked.items():
        if name in _COMMON:
            continue
        base, _, end = name.rpartition("_")
        if name in query.filters:
            parsed = [_value(types[name], part, name) for one in given for part in one.split(",")]
            values.append(parsed)
            where.append(f"{name} = any(${len(values)}::{types[name]}[])")
        elif name in query.inside:
            values.append([orjson.dumps([{name: part}]).decode() for one in given for part in one.split(",")])
            where.append(f"{query.inside[name]}::jsonb @> any(${len(values)}::text[]::jsonb[])")
        elif base in query.ranges and end in ("from", "to"):
            values.append(_value(types[base], given[-1], name))
            where.append(f"{base} {'>=' if end == 'from' else '<='} ${len(values)}")
        else:
            raise BadQuery(name, f"{query.name} has no filter {name}; it has {', '.join(query.parameters)}")
    return where, values


def _value(type: str, text: str, field: str) -> Any:
    try:
        match type:
            case "bigint" | "int":
                return int(text)
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "date":
                return date.fromisoformat(text)
            case "timestamptz":
                return datetime.fromisoformat(text)
            case _:
                return text
    except (ValueError, KeyError) as error:
        raise BadQuery(field, f"{text!r} is no {type}") from error


def limit_of(asked: Mapping[str, Sequence[str]]) -> int:
    text = one_of(asked, "limit")
    if not text:
        return LIMIT_DEFAULT
    if not text.isdigit() or not 1 <= int(text) <= LIMIT_MAX:
        raise BadQuery("limit", f"a page has 1 to {LIMIT_MAX} rows")
    return int(text)


def _order(query: Query, asked: Mapping[str, Sequence[str]]) -> list[tuple[str, bool]]:
    """The columns asked for, then the key: no two rows are ever in an uncertain order."""
    order: list[tuple[str, bool]] = []
    for name in filter(None, (one_of(asked, "sort") or "").split(",")):
        column, down = name.removeprefix("-"), name.startswith("-")
        if column not in query.sorts:
            raise BadQuery("sort", f"{query.name} can be sorted by {', '.join(query.sorts) or 'nothing'}")
        order.append((column, down))
    if not order and query.table.append_only:
        order.append(("position", False))  # what is only added is read in the order of the log
    down = bool(order) and order[-1][1]
    return [*order, *((column.name, down) for column in query.table.key[1:])]


def _after(query: Query, order: Sequence[tuple[str, bool]], cursor: str, given: int) -> tuple[str, list[Any]]:
    """Rows behind the last one of the page before."""
    types = {column.name: column.type for column in query.table.all_columns}
    try:
        last = orjson.loads(base64.urlsafe_b64decode(cursor))
        values = [
            value if value is None or not isinstance(value, str) else _value(types[name], value, "cursor")
            for (name, _), value in zip(order, last, strict=True)
        ]
    except (ValueError, binascii.Error, orjson.JSONDecodeError) as error:
        raise BadQuery("cursor", "the cursor is not one of this list") from error
    alternatives: list[str] = []
    for depth, (name, down) in enumerate(order):
        equal = [
            f"{other} is not distinct from ${given + n + 1}" for n, (other, _) in enumerate(order[:depth])
        ]
        alternatives.append(" and ".join([*equal, f"{name} {'<' if down else '>'} ${given + depth + 1}"]))
    return f"({' or '.join(alternatives)})", values


def _cursor(order: Sequence[tuple[str, bool]], row: Mapping[str, Any]) -> str:
    last = [row[name] for name, _ in order]
    return base64.urlsafe_b64encode(orjson.dumps(last)).decode()


def one_of(asked: Mapping[str, Sequence[str]], name: str) -> str | None:
    given = asked.get(name)
    return given[-1] if given else None
