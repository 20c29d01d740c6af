"""A read model, declared: a table, and what each fact does to its rows.

One declaration gives the table's DDL, its upsert, and its fold in memory; a handler is pure:

    @invoices.on(InvoiceLocked)
    def locked(fact, at, own):
        yield Row((at.tenant, at.id), {"locked_by": fact.by})

`at` says where the fact stands; `own` is the row of the fact's own aggregate, as it was before.  Its
`version` is kept for it: a fact that changes nothing else of a row needs no handler.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from events.log import Recorded

T = TypeVar("T", bound="type[Any]")

RowKey = tuple[Any, ...]

UNCOMPRESSED_BYTES = 8_160
"""Rows up to this size are kept as they are: compressing them costs more than writing them."""


@dataclass(slots=True)
class Place:
    """Where a fact stands in the log."""

    tenant: str
    kind: str
    id: str
    account_id: str
    event: Recorded

    @property
    def time(self) -> datetime:
        return self.event.occurred_at


class Add(int):
    """Add so much to what the column holds."""

    __slots__ = ()


class Row(NamedTuple):
    """What a fact does to one row: values to set, or to add."""

    key: RowKey
    changes: Mapping[str, Any]


Handler = Callable[[Any, Place, Mapping[str, Any]], Iterable[Row]]


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    """A PostgreSQL type: text, bigint, int, bool, date, timestamptz, json."""
    default: Any = None
    currency: str = "currency"
    """Of an amount: the column that says in which currency it is."""


@dataclass(eq=False)
class Table:
    name: str
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    kind: str | None = None
    """The kind of stream whose rows these are: the handlers of its facts see them as `own`."""
    append_only: bool = False
    """Rows are written once, and never read back by the fold."""
    indexes: tuple[tuple[str, ...], ...] = ()
    handlers: dict[type[Any], Handler] = field(default_factory=dict[type[Any], Handler])

    def __post_init__(self) -> None:
        self.all_columns = (*self.key, *self.columns, Column("position", "bigint", 0))
        self.names = tuple(column.name for column in self.all_columns)
        self._key_names = tuple(column.name for column in self.key)
        self._fillfactor = 100 if self.append_only else 75
        """Room in each page for what changes soon: an update there touches no index."""
        self._fresh = {column.name: column.default for column in self.all_columns}
        self.values: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*self.names)
        """A row's values, in the order of `names`."""

    def on(self, *facts: type[Any]) -> Callable[[Handler], Handler]:
        def bind(handler: Handler) -> Handler:
            for fact in facts:
                assert fact not in self.handlers, f"{self.name} already handles {fact.__name__}"
                self.handlers[fact] = handler
            return handler

        return bind

    def fresh(self, key: RowKey) -> dict[str, Any]:
        return {**self._fresh, **dict(zip(self._key_names, key, strict=True))}

    def written(self, key: RowKey, values: Mapping[str, Any], position: int) -> dict[str, Any]:
        """A row that is only appended: values and nothing to add to."""
        return {**self.fresh(key), **values, "position": position}

    def ddl(self, schema: str) -> list[str]:
        columns = ", ".join(
            f"{c.name} {c.type}{' not null' if c in self.key else ''}" for c in self.all_columns
        )
        keys = ", ".join(column.name for column in self.key)
        table = (
            f"create table if not exists {schema}.{self.name} ({columns}, primary key ({keys}))"
            f" with (toast_tuple_target = {UNCOMPRESSED_BYTES}, fillfactor = {self._fillfactor},"
            # What finds rows is indexes, whatever statistics say: these are renewed as a table doubles.
            " autovacuum_analyze_scale_factor = 1)"
        )
        indexes = [
            f"create index if not exists {_index_name(self.name, index)}"
            f" on {schema}.{self.name} ({', '.join(index)})"
            for index in self.indexes
        ]
        return [table, *indexes]


def _index_name(table: str, index: tuple[str, ...]) -> str:
    """Of its columns and expressions, as long as a name may be."""
    return re.sub(r"\W+", "", f"{table}_{'_'.join(index)}")[:63]


def fold(row: dict[str, Any], changes: Mapping[str, Any], position: int) -> None:
    """Change a row in place."""
    for name, value in changes.items():
        row[name] = (row[name] or 0) + int(value) if type(value) is Add else value
    if position > row["position"]:  # changes from other streams come after a batch's own
        row["position"] = position


def gather(gathered: dict[str, Any], changes: Mapping[str, Any], position: int) -> None:
    """Put later changes of a row upon earlier ones: `fold` does both at once then."""
    for name, value in changes.items():
        if type(value) is Add and name in gathered:
            before = gathered[name]
            value = Add(before + value) if type(before) is Add else (before or 0) + int(value)
        gathered[name] = value
    gathered["position"] = position


def place(event: Recorded) -> Place:
    tenant, _, rest = event.stream.partition("/")
    kind, _, id = rest.partition("-")
    return Place(tenant, kind, id, event.home[len(tenant) + 1 :], event)


TEXT, MONEY, FLAG, DAY, INSTANT, JSON = "text", "bigint", "bool", "date", "timestamptz", "json"
TENANT = Column("tenant_id", TEXT)


def text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, TEXT) for name in names)


def money(*names: str, currency: str = "currency") -> tuple[Column, ...]:
    """Minor units, from 0."""
    return tuple(Column(name, MONEY, 0, currency) for name in names)
