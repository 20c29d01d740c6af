"""The store on PostgreSQL: one transaction a batch, positions in commit order, without gaps.

The head row is taken last, right before the COPY: whoever holds it knows every position below, so
a reader that tails the log can never pass an event that is still to be committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
from eventsourcing.persistence import IntegrityError

from events.log import Recorded, RecordedVerdict
from events.personal import SubjectKey
from services.keys import KeyEncryption
from services.store.columns import by_kind, columns, dead_letter, parked, raw_notification
from services.store.protocol import (
    REFERENCES_MAX,
    Appended,
    Batch,
    ClaimTaken,
    DeadLetter,
    OutboxCommand,
    ParkedCommand,
    RawNotification,
    Room,
    StoreUnavailable,
    VerdictExists,
    Work,
)
from services.store.queries import SQL
from services.store.subject_keys import SubjectKeys
from services.store.writing import Writing

T = TypeVar("T")

_recorded = cast("Callable[[Iterable[Any]], Recorded]", partial(tuple.__new__, Recorded))
"""A row of the log as what it is: `Recorded._make` does the same, and calls a function of Python for it."""

POLL_SECONDS = 1.0
TRANSACTION_SECONDS_MAX = 5
CHANNEL = "tender_log"

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost in the middle of what it did
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,  # a server that is no primary any more
    ConnectionError,
    TimeoutError,
    OSError,
)
"""What says nothing about the batch, only about the moment."""


async def _as_it_is(connection: object) -> None:
    """No question of ours changes its session: asking for a reset after each would be a second question."""


class PostgresStore:
    """`Store` on an asyncpg pool; see `services.store.protocol` for what each question means."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        database_url: str,
        keys: KeyEncryption | None = None,
        ahead: Callable[[], timedelta] = timedelta,
    ) -> None:
        self._pool, self._database_url, self._subjects = pool, database_url, SubjectKeys(keys)
        self._ahead = ahead
        self._moved = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        database_url: str,
        *,
        keys: KeyEncryption | None = None,
        connections_max: int = 8,
        durable: bool = True,
        ahead: Callable[[], timedelta] = timedelta,
    ) -> PostgresStore:
        """Open the pool.  Raises `StoreUnavailable`.

        Without `keys`, personal data can neither be written nor read.
        Not `durable`: a crash of the server may forget the last commits, whole and in order.
        `ahead`: how far our time is moved ahead of the server's.
        """
        settings = {
            "statement_timeout": f"{TRANSACTION_SECONDS_MAX}s",
            "idle_in_transaction_session_timeout": f"{TRANSACTION_SECONDS_MAX}s",
            "application_name": "tender",
            "synchronous_commit": "on" if durable else "off",
        }
        with availability():
            pool = await asyncpg.create_pool(
                database_url,
                min_size=1,
                max_size=connections_max,
                server_settings=settings,
                command_timeout=10,
                reset=_as_it_is,
            )
        return cls(pool, database_url, keys, ahead)

    async def close(self) -> None:
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._pool.close()

    # -- the one transaction

    async def commit(self, batch: Batch) -> Appended:
        with availability():
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    writing = Writing(connection, batch, self._subjects, self._ahead)
                    appended = await writing.write()
                self._subjects.keep(writing.sealing, batch.erased)
                return appended
            except asyncpg.UniqueViolationError as violation:
                await self._explain(violation, batch)
                raise

    async def _explain(self, violation: asyncpg.UniqueViolationError, batch: Batch) -> None:
        """Turn a violated uniqueness into the conflict that it is."""
        constraint: str = cast("Any", violation).constraint_name  # set by the server's answer
        if constraint == "verdicts_command":
            known = await self.verdicts([verdict.command_id for verdict in batch.verdicts])
            raise VerdictExists(known) from violation
        if constraint == "claims_name":
            owners = await self.claim_owners([claim[:3] for claim in batch.claims])
            taken = [claim for claim in batch.claims if owners.get(claim[:3], claim.owner) != claim.owner]
            raise ClaimTaken(taken or batch.claims) from violation
        if constraint == "log_version":
            raise IntegrityError(str(violation)) from violation

    # -- reading the log

    async def head(self) -> tuple[int, int]:
        row = await self._row("head")
        return row["position"], row["verdict_position"]

    async def read(self, after: int, limit: int) -> Sequence[Recorded]:
        rows = list(map(_recorded, await self._rows("read_log", after, after + limit)))
        if not rows or rows[-1].last_of_command:
            return rows
        end = await self._value("end_of_command", rows[-1].position)
        rest = await self._rows("read_log", rows[-1].position, end)
        return [*rows, *map(_recorded, rest)]

    async def read_topics(
        self, after: int, span: int, topics: Sequence[str]
    ) -> tuple[int, Sequence[Recorded]]:
        rows = await self._rows("read_topics", after, span, list(topics))
        end = rows[0]["reached"] or after
        return end, [_recorded(row[1:]) for row in rows if row[1] is not None]

    async def read_verdicts(self, after: int, limit: int) -> Sequence[RecordedVerdict]:
        return list(map(RecordedVerdict._make, await self._rows("read_verdicts", after, limit)))

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded]:
        return [_recorded(row) for row in await self._rows("read_stream", stream, after)]

    async def read_home(
        self, home: str, beyond: int | None, limit: int, *, newest_first: bool = False
    ) -> Sequence[Recorded]:
        query = "read_home_back" if newest_first else "read_home"
        return [_recorded(row) for row in await self._rows(query, home, beyond, limit)]

    async def wakeups(self) -> AsyncIterator[None]:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen(), name="listen to the log")
        while True:
            moved = self._moved
            yield None
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await moved.wait()
            except TimeoutError:
                pass

    async def _listen(self) -> None:
        """Hold a connection that hears every commit; where it is lost, polling bridges the gap."""
        while True:
            with contextlib.suppress(*_LOST):
                connection = await asyncpg.connect(
                    self._database_url, server_settings={"application_name": "tender"}
                )
                try:
                    await connection.add_listener(CHANNEL, self._heard)
                    self._heard()
                    while not connection.is_closed():
                        await asyncio.sleep(POLL_SECONDS)
                finally:
                    connection.terminate()
            await asyncio.sleep(POLL_SECONDS)

    def _heard(self, *_: object) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # -- the keys of data subjects

    async def check_key(self) -> None:
        """Raises `UnknownKeyEncryptionKey` when this database's keys are wrapped under another."""
        await self._subjects.check(self._rows)

    async def subject_keys(self, homes: Collection[str]) -> dict[str, SubjectKey | None]:
        return await self._subjects.read(self._rows, homes)

    # -- what decisions read

    async def load(self, streams: Sequence[str]) -> tuple[int, dict[str, Sequence[Recorded]]]:
        rows = await self._rows("load", list(streams))
        found: dict[str, list[Recorded]] = {stream: [] for stream in streams}
        for row in rows:
            if row[1] is not None:
                found[row[3]].append(_recorded(row[1:]))
        return rows[0]["head"], dict(found)

    async def open_documents(
        self, homes: Sequence[str], kinds: Sequence[str] = ()
    ) -> tuple[int, dict[str, list[str]]]:
        rows = await self._rows("read_documents", list(homes), list(kinds) or None)
        found: dict[str, list[str]] = {home: [] for home in homes}
        for row in rows:
            if row["stream"] is not None:
                found[row["home"]].append(row["stream"])
        return rows[0]["head"], found

    async def verdicts(self, command_ids: Sequence[UUID]) -> dict[UUID, RecordedVerdict]:
        rows = await self._rows("find_verdicts", list(command_ids))
        return {row["command_id"]: RecordedVerdict._make(row) for row in rows}

    async def moved_since(self, position: int) -> tuple[int, Sequence[tuple[str, str]]]:
        rows = await self._rows("moved_since", position)
        return rows[0]["head"], list(
            {(row["home"], row["stream"]) for row in rows if row["stream"] is not None}
        )

    async def claim_owners(self, claims: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
        return {
            (tenant, kind, row["key"]): row["owner"]
            for (tenant, kind), keys in by_kind(claims).items()
            for row in await self._rows("claim_owners", tenant, kind, [key for (key,) in keys])
        }

    async def references(
        self, asked: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], Sequence[str]]:
        rows = await self._rows("find_references", *columns(asked, 3), REFERENCES_MAX)
        return {(row["tenant"], row["gateway_id"], row["reference"]): row["keys"] for row in rows}

    async def raw_notification(self, tenant: str, raw_ref: str) -> RawNotification | None:
        row = await self._row("raw_notification", tenant, raw_ref)
        return raw_notification(row) if row else None

    async def forget_raw_notifications(self, before: datetime, limit: int) -> int:
        return len(await self._rows("forget_raw_notifications", before, limit))

    async def reserve_numbers(self, tenant: str, prefix: str, count: int) -> int:
        return await self._value("reserve_numbers", tenant, prefix, count)

    # -- offsets, tracking, leases

    async def offset(self, cluster_id: str, topic: str, partition: int) -> int | None:
        return await self._value("offset", cluster_id, topic, partition)

    async def tracking(self, name: str) -> int:
        return await self._value("tracking", name) or 0

    async def acquire_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        return bool(await self._value("acquire_lease", name, holder, now, now + timedelta(seconds=seconds)))

    async def release_lease(self, name: str, holder: str) -> None:
        await self._rows("release_lease", name, holder)

    # -- the outbox, the gateway work, what is set aside

    async def due_commands(self, now: datetime, resend_seconds: float, limit: int) -> Sequence[OutboxCommand]:
        stale = now - timedelta(seconds=resend_seconds)
        await self._rows("forget_answered", stale)
        return [OutboxCommand._make(row) for row in await self._rows("due_commands", now, stale, limit)]

    async def mark_published(self, command_ids: Sequence[UUID], now: datetime) -> None:
        await self._rows("mark_published", list(command_ids), now)

    async def republish_all(self) -> None:
        await self._rows("republish_all")

    async def claim_work(
        self,
        holder: str,
        now: datetime,
        lease_seconds: float,
        limit: int,
        rooms: Sequence[Room] = (),
        each: int | None = None,
    ) -> Sequence[Work]:
        rows = await self._rows(
            "claim_work",
            holder,
            now,
            now + timedelta(seconds=lease_seconds),
            limit,
            [room.tenant for room in rooms],
            [room.gateway_id for room in rooms],
            [room.calls for room in rooms],
            limit if each is None else each,
        )
        return [Work._make(row) for row in rows]

    async def parked_homes(self) -> dict[str, str]:
        return {row["home"]: row["reason"] for row in await self._rows("parked_homes")}

    async def parked_commands(self, home: str) -> Sequence[ParkedCommand]:
        return [parked(row) for row in await self._rows("parked_commands", home)]

    async def dead_letters(self, after: int, limit: int) -> Sequence[tuple[int, DeadLetter]]:
        return [(row["id"], dead_letter(row)) for row in await self._rows("dead_letters", after, limit)]

    async def _rows(self, query: str, *arguments: object) -> list[Any]:
        return await self._ask(lambda: self._pool.fetch(SQL[query], *arguments))

    async def _row(self, query: str, *arguments: object) -> Any:
        return await self._ask(lambda: self._pool.fetchrow(SQL[query], *arguments))

    async def _value(self, query: str, *arguments: object) -> Any:
        return await self._ask(lambda: self._pool.fetchval(SQL[query], *arguments))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        with availability():
            return await ask()


@contextlib.contextmanager
def availability() -> Iterator[None]:
    try:
        yield
    except _LOST as lost:
        raise StoreUnavailable(f"{type(lost).__name__}: {lost}") from lost
    except RuntimeError as closed:
        if "handler is closed" not in str(closed):  # what uvloop says of a transport that is gone
            raise
        raise StoreUnavailable(str(closed)) from closed
