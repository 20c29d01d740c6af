"""Rebuilding read models beside the live ones: fold from zero, compare row by row, switch.

Readers see the live schema until the new one has caught up and was compared; the switch is one row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.log import Log
from projections.rows import SCHEMAS, PostgresRows
from projections.runner import ProjectionRunner
from projections.table import Table

DIFFERENCES_MAX = 100


@dataclass(frozen=True)
class Difference:
    table: str
    key: tuple[Any, ...]
    columns: dict[str, tuple[Any, Any]]
    """Column to (live, rebuilt); a row that only one side has differs in all of them."""


@dataclass
class Report:
    events: int = 0
    rows: int = 0
    position: int = 0
    switched: bool = False
    differences: list[Difference] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    """Tables, and columns (`payments.losses`), that the live rows know nothing of: a release brought them."""


async def rebuild(
    log: Log,
    rows: PostgresRows,
    *,
    switch: bool = True,
    force: bool = False,
    compare: bool = True,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Report:
    """Rebuild into the schema that is not active; switch if nothing differs, or if `force`.

    What is not to be asked of two releases goes without `compare`: their tables differ.
    """
    live = await rows.active(fresh=True)
    target = next(schema for schema in SCHEMAS if schema != live)
    await rows.remake(target)
    report = Report()
    runner = ProjectionRunner(log, rows, tuple(rows.tables.values()), schema=target)
    await _catch_up(log, runner, report, progress)
    if compare:
        await _compare(rows, runner, live, target, report)
    if switch and (force or not report.differences):
        await _catch_up(log, runner, report, progress)
        await rows.switch(target)
        report.switched = True
    return report


async def _catch_up(
    log: Log, runner: ProjectionRunner, report: Report, progress: Callable[[int, int], None]
) -> None:
    while folded := await runner.step():
        report.events += folded
        progress(report.events, (await log.head())[0])


async def _compare(
    rows: PostgresRows, runner: ProjectionRunner, live: str, target: str, report: Report
) -> None:
    """One snapshot of the live rows against the rebuilt ones, folded at least as far.

    Where the rebuilt side is ahead, rows that moved since the snapshot tell by their position.
    """
    async with rows.pool.acquire() as connection:
        await connection.execute("set statement_timeout = 0")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            report.position = await connection.fetchval(
                "select position from read_progress where schema = $1", live
            )
            while await runner.step(up_to=report.position):
                pass
            known = await _columns(connection, live)
            for table in rows.tables.values():
                shared = [name for name in table.names if name in known.get(table.name, ())]
                new = [f"{table.name}.{name}" for name in table.names if name not in shared]
                report.added += new if shared else [table.name]
                if {column.name for column in table.key} <= set(shared):
                    await _compare_table(connection, rows, table, shared, live, target, report)
        await connection.execute("reset statement_timeout")


async def _columns(connection: Any, schema: str) -> dict[str, set[str]]:
    """The columns of each table as it was made, by whatever release."""
    found: dict[str, set[str]] = {}
    statement = "select table_name, column_name from information_schema.columns where table_schema = $1"
    for row in await connection.fetch(statement, schema):
        found.setdefault(row["table_name"], set()).add(row["column_name"])
    return found


async def _compare_table(
    connection: Any,
    rows: PostgresRows,
    table: Table,
    names: Sequence[str],
    live: str,
    target: str,
    report: Report,
) -> None:
    """What both sides have columns for; `names` begin with the key."""
    width = len(table.key)
    async with rows.pool.acquire() as other, other.transaction(readonly=True):
        left, right = _ordered(connection, live, table, names), _ordered(other, target, table, names)
        a, b = await anext(left, None), await anext(right, None)
        while (a is not None or b is not None) and len(report.differences) < DIFFERENCES_MAX:
            report.rows += 1
            key_a, key_b = (tuple(a)[:width] if a else None), (tuple(b)[:width] if b else None)
            if key_a == key_b:
                assert a is not None
                assert b is not None
                differing = {n: (a[n], b[n]) for n in names if a[n] != b[n]}
                if differing and b["position"] <= report.position:
                    report.differences.append(Difference(table.name, key_a or (), differing))
                a, b = await anext(left, None), await anext(right, None)
            elif key_b is None or (key_a is not None and key_a < key_b):
                assert a is not None
                report.differences.append(
                    Difference(table.name, key_a or (), {n: (a[n], None) for n in names})
                )
                a = await anext(left, None)
            else:
                assert b is not None
                if b["position"] <= report.position:
                    missing = {n: (None, b[n]) for n in names}
                    report.differences.append(Difference(table.name, key_b, missing))
                b = await anext(right, None)


def _ordered(connection: Any, schema: str, table: Table, names: Sequence[str]) -> AsyncIterator[Any]:
    keys = ", ".join(f'{c.name} collate "C"' if c.type == "text" else c.name for c in table.key)
    statement = f"select {', '.join(names)} from {schema}.{table.name} order by {keys}"
    return aiter(connection.cursor(statement, prefetch=2000))
