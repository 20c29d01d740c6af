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
from projections.table import Handler, Place, RowKey, Table, fold, gather, place

Rows = dict[Table, dict[RowKey, dict[str, Any]]]
Keys = dict[Table, set[RowKey]]


class Touched(defaultdict[Table, dict[RowKey, dict[str, Any]]]):
    """The rows that events touch; of each a mapping whose names are the columns that changed."""

    def __init__(self) -> None:
        super().__init__(dict)


class Folder:
    """The tables' handlers, by topic; and the table whose row each kind of stream is.

    A row that has a `version` has that of its stream, whatever its handlers tell of.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tuple(tables)
        self._own = {table.kind: table for table in tables if table.kind}
        self._versioned = {kind for kind, table in self._own.items() if "version" in table.names}
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
        """Where each event stands that some table tells of; the rows of their own aggregates are touched."""
        handlers, owned, versioned = self._handlers, self._own, self._versioned
        places = [
            at
            for event in events
            if (at := place(event)).kind in versioned or handlers.get(event.topic) != []
        ]
        for at in places:
            table = owned.get(at.kind)
            if table:
                touched[table].setdefault((at.tenant, at.id), {})
        return places

    def changes(self, places: Iterable[Place], rows: Rows, touched: Touched) -> Touched:
        """Fold the events' own rows, which must be in `rows`; what becomes of other rows, all together.

        Rows that are only appended are made at once.
        """
        later, versioned, tables = Touched(), self._versioned, self._own
        for at in places:
            event, kind = at.event, at.kind
            position, handlers = event.position, self._handlers.get(event.topic)
            fact = None if handlers == [] else decode(event.topic, event.data)
            table, key = tables.get(kind), (at.tenant, at.id)
            own = rows[table][key] if table else {}
            to_own = list[Mapping[str, Any]]()
            for changed, handler in handlers or ():
                for other, changes in handler(fact, at, own):
                    if changed is table and other == key:
                        to_own.append(changes)
                    elif changed.append_only:
                        rows.setdefault(changed, {})[other] = changed.written(other, changes, position)
                        touched[changed][other] = {}
                    else:
                        gather(later[changed].setdefault(other, {}), changes, position)
            if table:  # only now: every handler sees the row as it was before the fact
                columns = touched[table][key]
                if kind in versioned:
                    own["version"] = columns["version"] = event.version
                    own["position"] = max(position, own["position"])
                for changes in to_own:
                    fold(own, changes, position)
                    columns.update(changes)
        for table, others in later.items():
            mine = touched[table]
            for key, changes in others.items():
                mine.setdefault(key, {}).update(changes)
        return later

    @staticmethod
    def apply(changes: Touched, rows: Rows) -> None:
        """Fold the rest; rows that are not there yet begin fresh."""
        for table, others in changes.items():
            held = rows.setdefault(table, {})
            for key, gathered in others.items():
                current = held.get(key)
                if current is None:
                    current = held[key] = table.fresh(key)
                fold(current, gathered, gathered.pop("position"))

    def from_zero(self, events: Sequence[Recorded], rows: Rows | None = None) -> Rows:
        """All rows that follow from events, in memory: the measure of what is stored."""
        rows = rows if rows is not None else {}
        touched = Touched()
        places = self.places(events, touched)
        for table, keys in touched.items():
            held = rows.setdefault(table, {})
            held.update((key, table.fresh(key)) for key in keys if key not in held)
        self.apply(self.changes(places, rows, touched), rows)
        return rows
