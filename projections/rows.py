"""Where read models are kept: two schemas beside each other, of which readers see one.

A rebuild fills the other one and switches; both keep their own progress, so that either can go on
from where it stands.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import asyncpg
import orjson

from projections.folding import Keys, Rows, Touched
from projections.table import JSON, TEXT, Column, RowKey, Table

SCHEMAS = ("read_a", "read_b")
ACTIVE_SECONDS = 1.0
"""How long a reader may still look at the schema that was active before a switch."""

HELD_MAX = 8
"""Answers that one process has put aside at a time; whoever wants another waits."""

STATEMENTS_MAX = 500
"""One for each set of columns of a table that change together."""

_NONE: frozenset[RowKey] = frozenset()

_SETUP = """
create table if not exists read_models (
    one bool primary key default true check (one),
    active text not null default 'read_a'
);
insert into read_models default values on conflict do nothing;
create table if not exists read_progress (schema text primary key, position bigint not null, shape text);
do $$ begin
    if not exists (
        select from pg_attribute where attrelid = 'read_progress'::regclass and attname = 'shape'
    ) then
        alter table read_progress add column shape text;
    end if;
end $$;
"""


class ProgressMoved(Exception):
    """Another projector has written this schema: begin again from its progress."""


class OtherShape(Exception):
    """The schema was made for the tables of another release: only that one may write it."""


# What a crash of the server forgets of rows it forgets of their progress too.
_SESSION = {"application_name": "tender reads", "jit": "off", "synchronous_commit": "off"}

Fetch = Callable[[int], Awaitable[Sequence[Any]]]
"""The next rows, so many at most; none after the last."""


class PostgresRows:
    def __init__(self, pool: asyncpg.Pool, tables: Sequence[Table], database_url: str) -> None:
        self.pool, self.tables = pool, {table.name: table for table in tables}
        self._database_url, self._held = database_url, asyncio.Semaphore(HELD_MAX)
        self._active: tuple[str, float] = ("", -math.inf)
        self._shape = shape_of(tables)
        """Of the tables as they are in this release."""

    @classmethod
    @asynccontextmanager
    async def connected(cls, database_url: str, tables: Sequence[Table]) -> AsyncIterator[PostgresRows]:
        """Open a pool; the schemas are made where they are missing."""
        async with asyncpg.create_pool(
            database_url,
            min_size=1,
            max_size=8,
            init=_init,
            server_settings=_SESSION,
            statement_cache_size=STATEMENTS_MAX,
            reset=_as_it_is,
        ) as pool:
            rows = cls(pool, tables, database_url)
            await rows.prepare()
            yield rows

    async def prepare(self) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('tender read models'))")
            await connection.execute(_SETUP)
            active = await connection.fetchval("select active from read_models")
            made = await connection.fetchrow("select shape from read_progress where schema = $1", active)
            if made is None or made["shape"] == self._shape:
                await self._make(connection, active)

    async def fits(self) -> bool:
        """Whether the active schema has the tables of this release: one that has not is to be rebuilt."""
        shape = "select p.shape from read_progress p join read_models r on r.active = p.schema"
        return await self.pool.fetchval(shape) == self._shape

    async def _make(self, connection: Any, schema: str) -> None:
        await connection.execute(f"create schema if not exists {schema}")
        for table in self.tables.values():
            for statement in table.ddl(schema):
                await connection.execute(statement)
        begun = "insert into read_progress values ($1, 0, $2) on conflict do nothing"
        await connection.execute(begun, schema, self._shape)

    async def remake(self, schema: str) -> None:
        """An empty schema to rebuild into."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(f"drop schema if exists {schema} cascade")
            await connection.execute("delete from read_progress where schema = $1", schema)
            await self._make(connection, schema)

    async def active(self, fresh: bool = False) -> str:
        """The schema that readers see."""
        schema, at = self._active
        now = asyncio.get_running_loop().time()
        if fresh or now - at > ACTIVE_SECONDS:
            schema = await self.pool.fetchval("select active from read_models")
            self._active = schema, now
        return schema

    async def switch(self, schema: str) -> None:
        await self.pool.execute("update read_models set active = $1", schema)

    @asynccontextmanager
    async def held(self, query: str, *values: object) -> AsyncIterator[Fetch]:
        """The answer to a query as it is now, for as long as reading it takes.

        The server puts all of it aside before the first row is read, on disk where it is long: no transaction
        stays open meanwhile.  It ends with its connection, which nobody else waits for.
        """
        async with self._held:
            connection = await asyncpg.connect(self._database_url, server_settings=_SESSION)
            try:
                await _init(connection)
                async with connection.transaction(readonly=True):
                    await connection.execute(f"declare held no scroll cursor with hold for {query}", *values)
                yield lambda limit: connection.fetch(f"fetch {limit} from held")
            finally:
                connection.terminate()

    async def position(self, schema: str) -> int:
        return await self.pool.fetchval("select position from read_progress where schema = $1", schema) or 0

    async def wait_for(self, position: int, seconds: float) -> bool:
        """Whether the active read models reach a position within some seconds."""
        deadline = asyncio.get_running_loop().time() + seconds
        while await self.position(await self.active()) < position:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    async def load(self, schema: str, keys: Keys) -> Rows:
        """The rows of these keys that exist."""
        found: Rows = {}
        async with self.pool.acquire() as connection:
            for table, wanted in keys.items():
                if not table.append_only and wanted:
                    found[table] = await _load(connection, schema, table, list(wanted))
        return found

    async def write(
        self, schema: str, rows: Rows, touched: Touched, new: Keys, expected: int, position: int
    ) -> None:
        """Write what changed of rows and move the progress, in one transaction.

        Raises `ProgressMoved` and `OtherShape`.

        `new` names the rows that `load` did not find: as long as the progress is the expected one,
        nobody has made them since.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            moved = await connection.fetchval(
                "update read_progress set position = $3 where schema = $1 and position = $2 returning shape",
                schema,
                expected,
                position,
            )
            if moved is None:
                raise ProgressMoved(schema)
            if moved != self._shape:
                raise OtherShape(f"{schema} has the tables of another release: `tender projections rebuild`")
            for table, keys in touched.items():
                held, made = rows[table], new.get(table, _NONE)
                inserted, updated = list[Mapping[str, Any]](), dict[frozenset[str], list[Mapping[str, Any]]]()
                for key, columns in keys.items():
                    if table.append_only or key in made:
                        inserted.append(held[key])
                    elif columns:
                        updated.setdefault(frozenset(columns), []).append(held[key])
                await _insert(connection, schema, table, inserted)
                for columns, changed in updated.items():
                    await _update(connection, schema, table, columns, changed)


def shape_of(tables: Iterable[Table]) -> str:
    """A digest of the tables' names and columns."""
    told = [[table.name, *((c.name, c.type, c in table.key) for c in table.all_columns)] for table in tables]
    return hashlib.sha256(orjson.dumps(sorted(told, key=lambda each: each[0]))).hexdigest()[:16]


class MemoryRows:
    """Read models in memory, for simulations and what-if."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._position = 0

    async def active(self, fresh: bool = False) -> str:
        return "memory"

    async def position(self, schema: str) -> int:
        return self._position

    async def load(self, schema: str, keys: Keys) -> Rows:
        return {
            table: {key: dict(self.rows[table][key]) for key in wanted if key in self.rows.get(table, {})}
            for table, wanted in keys.items()
        }

    async def write(
        self, schema: str, rows: Rows, touched: Touched, new: Keys, expected: int, position: int
    ) -> None:
        if self._position != expected:
            raise ProgressMoved(schema)
        for table, keys in touched.items():
            self.rows.setdefault(table, {}).update({key: dict(rows[table][key]) for key in keys})
        self._position = position


async def _as_it_is(connection: object) -> None:
    """Whoever changes its session undoes that: asking for a reset after each query would be a second one."""


async def _init(connection: Any) -> None:
    for type, encoder, decoder in (("json", orjson.dumps, orjson.loads), ("jsonb", _jsonb, _from_jsonb)):
        await connection.set_type_codec(
            type, encoder=encoder, decoder=decoder, schema="pg_catalog", format="binary"
        )


def _jsonb(value: Any) -> bytes:
    """The wire format of `jsonb`: its version, 1, and the text.  COPY takes nothing but wire formats."""
    return b"\x01" + orjson.dumps(value)


def _from_jsonb(value: bytes) -> Any:
    return orjson.loads(value[1:])


async def _load(
    connection: Any, schema: str, table: Table, keys: list[RowKey]
) -> dict[RowKey, dict[str, Any]]:
    columns = ", ".join(f"t.{name}" for name in table.names)
    names = ", ".join(column.name for column in table.key)
    arrays = ", ".join(f"${n}::{column.type}[]" for n, column in enumerate(table.key, start=1))
    matches = " and ".join(f"t.{column.name} = k.{column.name}" for column in table.key)
    statement = (
        f"select {columns} from {schema}.{table.name} t join unnest({arrays}) as k({names}) on {matches}"
    )
    rows = await connection.fetch(statement, *(list(values) for values in zip(*keys, strict=True)))
    width = len(table.key)
    return {tuple(row)[:width]: dict(row) for row in rows}


async def _insert(connection: Any, schema: str, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await connection.copy_records_to_table(
            table.name, schema_name=schema, records=map(table.values, rows), columns=table.names
        )


async def _update(
    connection: Any, schema: str, table: Table, changed: frozenset[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """One statement for rows of which the same columns changed; JSON as text, since a list in a list is
    an array of arrays."""
    statement, columns = _update_statement(schema, table, changed)
    values = [[row[column.name] for row in rows] for column in columns]
    for n, column in enumerate(columns):
        if column.type == JSON:
            values[n] = [None if value is None else orjson.dumps(value).decode() for value in values[n]]
    await connection.execute(statement, *values)


@cache
def _update_statement(schema: str, table: Table, changed: frozenset[str]) -> tuple[str, list[Column]]:
    """The statement, and the columns whose values it takes as arrays."""
    setting = [c for c in table.all_columns if c.name in changed or c.name == "position"]
    columns = [*table.key, *setting]
    arrays = ", ".join(
        f"${n}::{TEXT if column.type == JSON else column.type}[]" for n, column in enumerate(columns, start=1)
    )
    sets = ", ".join(f"{c.name} = r.{c.name}{f'::{JSON}' if c.type == JSON else ''}" for c in setting)
    matches = " and ".join(f"t.{column.name} = r.{column.name}" for column in table.key)
    names = ", ".join(column.name for column in columns)
    statement = (
        f"update {schema}.{table.name} t set {sets} from unnest({arrays}) as r({names}) where {matches}"
    )
    return statement, columns
