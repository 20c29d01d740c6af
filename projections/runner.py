"""The projector: tails the log, folds whole commands, writes rows and progress in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import asyncpg

from events.log import Log, Recorded
from projections.folding import Folder, Keys, Rows, Touched
from projections.rows import OtherShape, ProgressMoved
from projections.table import RowKey, Table

log = logging.getLogger("tender.projections")

READ_MAX = 5_000
CACHED_ROWS_MAX = 300_000
PAUSE_SECONDS = 0.5
GATHER_SECONDS = 0.025
"""Between steps that were not full: what comes close together is one transaction."""
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a connection that was lost in the middle of something may raise, or a server that is going down."""


class RowStore(Protocol):
    async def active(self, fresh: bool = False) -> str: ...
    async def position(self, schema: str) -> int: ...
    async def load(self, schema: str, keys: Keys) -> Rows: ...
    async def write(
        self, schema: str, rows: Rows, touched: Touched, new: Keys, expected: int, position: int
    ) -> None: ...


async def always() -> bool:
    return True


class ProjectionRunner:
    """`lease` says whether this projector is the one that writes; `schema` fixes what it writes to."""

    def __init__(
        self,
        log: Log,
        rows: RowStore,
        tables: Sequence[Table],
        *,
        lease: Callable[[], Awaitable[bool]] = always,
        schema: str | None = None,
    ) -> None:
        self._log, self._rows, self._folder = log, rows, Folder(tables)
        self._lease, self._schema = lease, schema
        self._cache: Rows = {}
        self._new: Keys = {}
        """Rows in the cache that are not stored yet."""
        self._at: tuple[str, int] | None = None
        self._ahead: asyncio.Task[Sequence[Recorded]] | None = None
        """The next events, read while the last ones are folded and written."""

    async def run(self) -> None:
        """Keep up with the log; runs until cancelled."""
        async for _ in self._log.wakeups():
            try:
                while await self.step() >= READ_MAX:
                    pass
                await asyncio.sleep(GATHER_SECONDS)
            except ProgressMoved:
                self.forget()
            except (*LOST, OtherShape) as failure:
                log.warning("the projector begins again: %s", failure)
                self.forget()
                await asyncio.sleep(PAUSE_SECONDS)

    async def step(self, up_to: int | None = None) -> int:
        """Fold the next events, at most up to a position; how many there were."""
        if not await self._lease():
            self.forget()
            return 0
        schema = self._schema or await self._rows.active(fresh=True)
        if self._at is None or self._at[0] != schema:
            self.forget()
            self._at = schema, await self._rows.position(schema)
        after = self._at[1]
        events = await self._next(after, up_to)
        if events:
            await self._fold(schema, after, events)
        return len(events)

    async def _next(self, after: int, up_to: int | None) -> Sequence[Recorded]:
        """The events above a position; where there are more, those behind are on their way already."""
        if up_to is not None:
            return await self._log.read(after, min(READ_MAX, up_to - after)) if up_to > after else []
        ahead, self._ahead = self._ahead, None
        events = await ahead if ahead else await self._log.read(after, READ_MAX)
        if len(events) >= READ_MAX:
            self._ahead = asyncio.create_task(self._read(events[-1].position), name="read ahead")
            self._ahead.add_done_callback(_heard)
        return events

    async def _read(self, after: int) -> Sequence[Recorded]:
        return await self._log.read(after, READ_MAX)

    def forget(self) -> None:
        """Whatever is remembered may be wrong: read it again."""
        self._cache, self._new, self._at = {}, {}, None
        if self._ahead:
            self._ahead.cancel()
            self._ahead = None

    async def _fold(self, schema: str, after: int, events: Sequence[Recorded]) -> None:
        try:
            touched = Touched()
            places = self._folder.places(events, touched)
            await self._know(schema, touched)
            changes = self._folder.changes(places, self._cache, touched)
            await self._know(schema, touched)
            self._folder.apply(changes, self._cache)
            await self._rows.write(schema, self._cache, touched, self._new, after, events[-1].position)
        except BaseException:
            self.forget()
            raise
        self._at, self._new = (schema, events[-1].position), {}
        self._trim()

    async def _know(self, schema: str, touched: Touched) -> None:
        """Have these rows in the cache: loaded, or fresh where they do not exist."""
        missing = {table: wanted for table, keys in touched.items() if (wanted := self._unknown(table, keys))}
        if not missing:
            return
        found = await self._rows.load(schema, missing)
        for table, wanted in missing.items():
            held = self._cache.setdefault(table, {})
            loaded: dict[RowKey, dict[str, Any]] = found.get(table, {})
            held.update(loaded)
            new = wanted - loaded.keys()
            held.update((key, table.fresh(key)) for key in new)
            self._new.setdefault(table, set()).update(new)

    def _unknown(self, table: Table, keys: Iterable[RowKey]) -> set[RowKey]:
        """Each looked up by itself: taking all that is known from them would walk the whole cache."""
        held = self._cache.get(table, {})
        return {key for key in keys if key not in held}

    def _trim(self) -> None:
        for table, held in self._cache.items():
            if table.append_only:
                held.clear()
        if sum(map(len, self._cache.values())) > CACHED_ROWS_MAX:
            self._cache = {}


def _heard(reading: asyncio.Task[Any]) -> None:
    """Whoever awaits it gets its failure; where nobody does any more, it was forgotten on purpose."""
    if not reading.cancelled():
        reading.exception()
