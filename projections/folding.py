"""Folding events into rows: which rows a batch touches, and what becomes of them.  Pure.

Handlers look only at the fact and at the row of its own aggregate.  So one pass over a batch, with
those rows at hand, says every change; the other rows are loaded, and changed, afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from events.catalog import FACTS
from events.ids import parts
from events.log import Recorded
from events.mapper import decode
from projections.table import Handler, Row, RowKey, Table, fold, place

Rows = dict[Table, dict[RowKey, dict[str, Any]]]
Keys = dict[Table, set[RowKey]]
Change = tuple[Table, Row, int]


class Folder:
    """The tables' handlers, by fact; and the table whose row each kind of stream is."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tuple(tables)
        self._own = {table.kind: table for table in tables if table.kind}
        self._handlers: dict[type[Any], list[tuple[Table, Handler]]] = {
            fact: [(table, table.handlers[fact]) for table in tables if fact in table.handlers]
            for fact in FACTS.values()
        }

    def own_keys(self, events: Iterable[Recorded]) -> Keys:
        """The rows of the events' own aggregates."""
        keys: Keys = {}
        for stream in {event.stream for event in events}:
            tenant, kind, id = parts(stream)
            if kind in self._own:
                keys.setdefault(self._own[kind], set()).add((tenant, id))
        return keys

    def changes(self, events: Iterable[Recorded], rows: Rows) -> list[Change]:
        """Fold the events' own rows, which must be in `rows`; what else changes, in order."""
        later: list[Change] = []
        for event in events:
            fact, at = decode(event.topic, event.data), place(event)
            table, key = self._own.get(at.kind), (at.tenant, at.id)
            own = rows[table][key] if table else {}
            to_own: list[Mapping[str, Any]] = []
            for changed, handler in self._handlers[type(fact)]:
                for row in handler(fact, at, own):
                    if changed is table and row.key == key:
                        to_own.append(row.changes)
                    else:
                        later.append((changed, row, event.position))
            for changes in to_own:  # only now: every handler sees the row as it was before the fact
                fold(own, changes, event.position)
        return later

    @staticmethod
    def apply(changes: Iterable[Change], rows: Rows) -> None:
        """Fold the rest; rows that are not there yet begin fresh."""
        for table, row, position in changes:
            held = rows.setdefault(table, {})
            current = held.get(row.key)
            if current is None:
                current = held[row.key] = table.fresh(row.key)
            fold(current, row.changes, position)

    def from_zero(self, events: Sequence[Recorded], rows: Rows | None = None) -> Rows:
        """All rows that follow from events, in memory: the measure of what is stored."""
        rows = rows if rows is not None else {}
        for table, keys in self.own_keys(events).items():
            held = rows.setdefault(table, {})
            for key in keys - held.keys():
                held[key] = table.fresh(key)
        self.apply(self.changes(events, rows), rows)
        return rows


def keys_of(changes: Iterable[Change]) -> Keys:
    keys: Keys = {}
    for table, row, _ in changes:
        keys.setdefault(table, set()).add(row.key)
    return keys
