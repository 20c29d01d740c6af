"""How read models are asked: a question is read from its parameters, once, and answered by SQL or in memory.

Filters are joined with AND, lists in one filter with OR; the order always ends with the key, so that no two
rows are ever in an uncertain order.  Whatever cannot be asked raises `BadQuery`, which names its field.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import orjson

from projections.derived import DERIVED, Derived
from projections.table import Table

LIMIT_MAX, LIMIT_DEFAULT = 200, 50
COMMON = frozenset({"limit", "cursor", "sort", "min_position", "fields", "as_of"})
"""What every list takes besides its filters."""

_INT_MAX = {"int": 2**31 - 1, "bigint": 2**63 - 1}
TEXT_MAX = 500

Asked = Mapping[str, Sequence[str]]
"""Parameters as they came: each name with all its values."""


class BadQuery(ValueError):
    """The question cannot be asked so: an unknown filter, a bad value, a cursor that is not ours."""

    def __init__(self, field: str, message: str, code: str = "MALFORMED_REQUEST") -> None:
        super().__init__(message)
        self.field, self.code = field, code


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
    text: tuple[str, ...] = ()
    """Columns that `text` looks into, wherever it stands in them."""
    only: str = ""
    """SQL: of which rows of the table this is a view; with `only_if` for rows in memory."""
    only_if: Callable[[Mapping[str, Any]], bool] = lambda row: True
    personal: tuple[str, ...] = ()
    """Columns that hold sealed personal data: opened only as they are answered."""
    timed: bool = False
    """Whether it can be asked `as_of` an instant."""

    @property
    def id(self) -> str:
        return self.table.key[-1].name

    @property
    def timed_lists(self) -> bool:
        """Whether a list can be: it is replayed from one account's events, others only from one id's."""
        return self.timed and "account_id" in self.filters

    @property
    def derived(self) -> Mapping[str, Derived]:
        return DERIVED.get(self.table.name, {})

    @property
    def types(self) -> dict[str, str]:
        """Of every field, stored or derived."""
        stored = {column.name: column.type for column in self.table.all_columns}
        return stored | {name: derived.type for name, derived in self.derived.items()}

    @property
    def currencies(self) -> dict[str, str]:
        """Of each amount that is kept: the column of its currency."""
        return {column.name: column.currency for column in self.table.all_columns}

    @property
    def fields(self) -> tuple[str, ...]:
        """What an answered row has."""
        stream = ("stream",) if self.table.kind else ()
        names = (name for name in self.table.names if name != "tenant_id")
        return (*names, *self.derived, *stream)

    @property
    def parameters(self) -> tuple[str, ...]:
        return (
            *self.filters,
            *self.inside,
            *(f"{name}_{end}" for name in self.ranges for end in ("from", "to")),
            *(("text",) if self.text else ()),
        )


@dataclass(frozen=True)
class Condition:
    """One filter: a field, how it is compared, and with what."""

    field: str
    how: str
    """`any` of, `from`, `to`, `contains` (a JSON list), or `text` (in one of some columns)."""
    values: tuple[Any, ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    """Field, and whether downwards."""
    limit: int
    after: tuple[Any, ...] | None
    """The last row of the page before, by the fields of the order."""
    fields: tuple[str, ...] | None
    as_of: datetime | None

    def only(self, name: str) -> str | None:
        """The one value that a filter asks for, if it does."""
        for condition in self.conditions:
            if condition.field == name and condition.how == "any" and len(condition.values) == 1:
                return str(condition.values[0])
        return None


def question(query: Query, asked: Asked) -> Question:
    """Raises `BadQuery`."""
    order = _order(query, asked)
    return Question(
        conditions=tuple(_conditions(query, asked)),
        order=order,
        limit=limit_of(asked),
        after=_after(query, order, one_of(asked, "cursor")),
        fields=fields_of(query, asked),
        as_of=as_of_of(query, asked),
    )


def _conditions(query: Query, asked: Asked) -> Sequence[Condition]:
    types, found = query.types, list[Condition]()
    for name, given in asked.items():
        if name in COMMON:
            continue
        base, _, end = name.rpartition("_")
        parts = [part for one in given for part in one.split(",")]
        if name in query.filters:
            found.append(Condition(name, "any", tuple(value(types[name], part, name) for part in parts)))
        elif name in query.inside:
            parts = [value("text", part, name) for part in parts]
            found.append(Condition(name, "contains", tuple(parts), (query.inside[name],)))
        elif base in query.ranges and end in ("from", "to"):
            found.append(Condition(base, end, (value(types[base], given[-1], name),)))
        elif name == "text" and query.text:
            found.append(Condition(name, "text", (value("text", given[-1], name),), query.text))
        else:
            listed = ", ".join(query.parameters) or "none"
            raise BadQuery(name, f"{query.name} has no filter {name}; it has {listed}", "UNKNOWN_FIELD")
    return found


def value(type: str, text: str, field: str) -> Any:
    """A parameter as a value of a column's type."""
    try:
        match type:
            case "bigint" | "int":
                number = int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else None
                if number is None or abs(number) > _INT_MAX[type]:
                    raise ValueError(text)
                return number
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "date":
                return date.fromisoformat(text)
            case "timestamptz":
                return instant(text)
            case _:
                if "\x00" in text or len(text) > TEXT_MAX:
                    raise ValueError(text)
                return text
    except (ValueError, KeyError, OverflowError) as error:
        raise BadQuery(field, f"{text[:80]!r} is no {_WORDS.get(type, type)}") from error


_WORDS = {
    "bigint": "whole number",
    "int": "whole number",
    "bool": "true or false",
    "date": "date like 2026-03-02",
    "timestamptz": "instant like 2026-03-02T10:00:00Z",
    "text": "text that could be there",
}


def instant(text: str) -> datetime:
    """RFC 3339, with its zone: a `+` that a URL turned into a blank is meant too."""
    at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if at.tzinfo is None:
        raise ValueError("an instant has a time zone")
    return at.astimezone(UTC)


def limit_of(asked: Asked) -> int:
    text = one_of(asked, "limit")
    if not text:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= LIMIT_MAX:
        raise BadQuery("limit", f"a page has 1 to {LIMIT_MAX} rows")
    return int(text)


def fields_of(query: Query, asked: Asked) -> tuple[str, ...] | None:
    """`fields=a,b`: only those, in the order of the row."""
    if "fields" not in asked:
        return None
    wanted = {name for one in asked["fields"] for name in one.split(",") if name}
    for name in sorted(wanted - set(query.fields)):
        raise BadQuery("fields", f"{query.name} has no field {name[:80]}", "UNKNOWN_FIELD")
    return tuple(name for name in query.fields if name in wanted)


def as_of_of(query: Query, asked: Asked) -> datetime | None:
    text = one_of(asked, "as_of")
    if not text:
        return None
    if not query.timed:
        raise BadQuery("as_of", f"{query.name} is only known as it is now", "UNKNOWN_FIELD")
    return value("timestamptz", text, "as_of")


def _order(query: Query, asked: Asked) -> tuple[tuple[str, bool], ...]:
    order: list[tuple[str, bool]] = []
    for name in filter(None, (one_of(asked, "sort") or "").split(",")):
        column, down = name.removeprefix("-"), name.startswith("-")
        if column not in query.sorts:
            possible = ", ".join(query.sorts) or "nothing"
            raise BadQuery("sort", f"{query.name} can be sorted by {possible}", "UNKNOWN_FIELD")
        if column not in dict(order):
            order.append((column, down))
    if not order and query.table.append_only:
        order.append(("position", False))  # what is only added is read in the order of the log
    down = bool(order) and order[-1][1]
    rest = ((column.name, down) for column in query.table.key[1:] if column.name not in dict(order))
    return (*order, *rest)


def _after(query: Query, order: Sequence[tuple[str, bool]], cursor: str | None) -> tuple[Any, ...] | None:
    if not cursor:
        return None
    types = query.types
    try:
        sorted_by, last = orjson.loads(base64.urlsafe_b64decode(cursor))
        if sorted_by != _sorted_by(order):
            raise ValueError("another order")
        return tuple(
            None if each is None else value(types[name], _scalar(each), "cursor")
            for (name, _), each in zip(order, last, strict=True)
        )
    except (ValueError, TypeError) as error:
        raise BadQuery("cursor", "the cursor is not one of this list in this order") from error


def _scalar(each: object) -> str:
    if not isinstance(each, str | int):
        raise TypeError("no value of a column")
    return str(each)


def cursor_after(order: Sequence[tuple[str, bool]], row: Mapping[str, Any]) -> str:
    """Where the next page begins: behind this row."""
    last = [row[name] for name, _ in order]
    return base64.urlsafe_b64encode(orjson.dumps([_sorted_by(order), last])).decode()


def _sorted_by(order: Sequence[tuple[str, bool]]) -> str:
    return ",".join(f"-{name}" if down else name for name, down in order)


def one_of(asked: Asked, name: str) -> str | None:
    given = asked.get(name)
    return given[-1] if given else None
