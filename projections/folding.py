"""Folding events into rows: which rows a batch touches, and what becomes of them.  Pure.

Handlers look only at the fact and at the row of its own aggregate.  So one pass over a batch, with
those rows at hand, says every change; the other rows are loaded, and changed, afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from events.catalog import FACTS, UPCASTERS
from events.log import Recorded
from events.mapper import decode
from projections.table import Handler, Place, Row, RowKey, Table, fold, place

Rows = dict[Table, dict[RowKey, dict[str, Any]]]
Keys = dict[Table, set[RowKey]]
Change = tuple[Table, Row, int]


class Touched(defaultdict[Table, defaultdict[RowKey, set[str]]]):
    """The rows that events touch, and the columns that they change of each."""

    def __init__(self) -> None:
        super().__init__(lambda: defaultdict(set))


class Folder:
    """The tables' handlers, by topic; and the table whose row each kind of stream is."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tuple(tables)
        self._own = {table.kind: table for table in tables if table.kind}
        self._handlers: dict[str, list[tuple[Table, Handler]]] = {
            topic: [(table, table.handlers[fact]) for table in tables if fact in table.handlers]
            for topic, fact in FACTS.items()
        }
        for retired in UPCASTERS:
            current = retired
            while current in UPCASTERS:
                current = UPCASTERS[current][0]
            self._handlers[retired] = self._handlers[current]

    def places(self, events: Iterable[Recorded], touched: Touched) -> list[Place]:
        """Where each event stands; the rows of the events' own aggregates are touched."""
        places = [place(event) for event in events]
        for at in places:
            table = self._own.get(at.kind)
            if table:
                _ = touched[table][at.tenant, at.id]
        return places

    def changes(self, places: Iterable[Place], rows: Rows, touched: Touched) -> list[Change]:
        """Fold the events' own rows, which must be in `rows`; what else changes, in order."""
        later: list[Change] = []
        for at in places:
            topic, position = at.event.topic, at.event.position
            handlers = self._handlers.get(topic)
            if handlers is not None and not handlers:
                continue  # no table tells of it
            fact = decode(topic, at.event.data)
            table, key = self._own.get(at.kind), (at.tenant, at.id)
            own = rows[table][key] if table else {}
            to_own: list[Mapping[str, Any]] = []
            for changed, handler in handlers or ():
                for row in handler(fact, at, own):
                    if changed is table and row.key == key:
                        to_own.append(row.changes)
                    else:
                        later.append((changed, row, position))
                        touched[changed][row.key].update(row.changes)
            if table:
                for changes in to_own:  # only now: every handler sees the row as it was before the fact
                    fold(own, changes, position)
                    touched[table][key].update(changes)
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
        touched = Touched()
        places = self.places(events, touched)
        for table, keys in touched.items():
            held = rows.setdefault(table, {})
            for key in keys.keys() - held.keys():
                held[key] = table.fresh(key)
        self.apply(self.changes(places, rows, touched), rows)
        return rows
