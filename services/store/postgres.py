"""The store on PostgreSQL: one transaction a batch, positions in commit order, without gaps.

The head row is taken last, right before the COPY: whoever holds it knows every position below, so
a reader that tails the log can never pass an event that is still to be committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import orjson
from eventsourcing.persistence import IntegrityError

from events.log import Recorded, RecordedVerdict
from events.mapper import encode, topic_of
from events.personal import SubjectKey, has_personal_data, personal_paths, sealed
from services.keys import KeyEncryption
from services.store.protocol import (
    REFERENCES_MAX,
    Appended,
    Batch,
    Claim,
    ClaimTaken,
    DeadLetter,
    NewEvent,
    OffsetMove,
    OffsetMoved,
    OutboxCommand,
    ParkedCommand,
    RawNotification,
    ReadSetMoved,
    Room,
    StoreUnavailable,
    Tracking,
    TrackingMoved,
    VerdictExists,
    Work,
    WorkDone,
    WorkDue,
    WorkPlanned,
)
from services.store.queries import SQL
from services.store.subject_keys import SubjectKeys

T = TypeVar("T")

_recorded = cast("Callable[[Iterable[Any]], Recorded]", partial(tuple.__new__, Recorded))
"""A row of the log as what it is: `Recorded._make` does the same, and calls a function of Python for it."""

POLL_SECONDS = 1.0
TRANSACTION_SECONDS_MAX = 5
CHANNEL = "tender_log"

_LOG = (
    "position", "home", "stream", "version", "topic", "data", "command_id", "meta", "occurred_at",
    "last_of_command", "recorded_at",
)  # fmt: skip
_VERDICTS = (
    "verdict_position", "command_id", "home", "type", "fingerprint", "status", "outcome", "position", "meta",
    "recorded_at",
)  # fmt: skip
_DOCUMENTS = ("home", "stream")

COPIED_MIN = 100
"""From so many rows on a COPY is cheaper than an INSERT, which is cheaper to begin."""

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
                    writing = _Writing(connection, batch, self._subjects, self._ahead)
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
            for (tenant, kind), keys in _by_kind(claims).items()
            for row in await self._rows("claim_owners", tenant, kind, [key for (key,) in keys])
        }

    async def references(
        self, asked: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], Sequence[str]]:
        rows = await self._rows("find_references", *_columns(asked, 3), REFERENCES_MAX)
        return {(row["tenant"], row["gateway_id"], row["reference"]): row["keys"] for row in rows}

    async def raw_notification(self, tenant: str, raw_ref: str) -> RawNotification | None:
        row = await self._row("raw_notification", tenant, raw_ref)
        return _raw_notification(row) if row else None

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
        return [_parked(row) for row in await self._rows("parked_commands", home)]

    async def dead_letters(self, after: int, limit: int) -> Sequence[tuple[int, DeadLetter]]:
        return [(row["id"], _dead_letter(row)) for row in await self._rows("dead_letters", after, limit)]

    async def _rows(self, query: str, *arguments: object) -> list[Any]:
        return await self._ask(lambda: self._pool.fetch(SQL[query], *arguments))

    async def _row(self, query: str, *arguments: object) -> Any:
        return await self._ask(lambda: self._pool.fetchrow(SQL[query], *arguments))

    async def _value(self, query: str, *arguments: object) -> Any:
        return await self._ask(lambda: self._pool.fetchval(SQL[query], *arguments))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        with availability():
            return await ask()


class _Writing:
    """One batch on its way into one transaction, in the one lock order."""

    def __init__(
        self, connection: Any, batch: Batch, subjects: SubjectKeys, ahead: Callable[[], timedelta]
    ) -> None:
        self._connection, self._batch, self._subjects = connection, batch, subjects
        self._ahead = ahead
        self.sealing: dict[str, SubjectKey | None] = {}
        """The keys of those whose personal data this batch holds."""

    async def write(self) -> Appended:
        batch = self._batch
        await self._move_offsets(batch.offsets)
        for tracking in batch.tracking:
            await self._move_tracking(tracking)
        await self._take_claims(batch.claims, batch.released_claims)
        await self._take_keys()
        appended = await self._append() if batch.events or batch.verdicts else await self._only_queues()
        await self._write_queues()
        return appended

    async def _move_offsets(self, moves: Sequence[OffsetMove]) -> None:
        stale = [
            (move.cluster_id, move.topic, move.partition)
            for move in sorted(moves)
            if not await self._move_offset(move)
        ]
        if stale:
            raise OffsetMoved(stale)

    async def _move_offset(self, move: OffsetMove) -> bool:
        place = move.cluster_id, move.topic, move.partition
        if move.expected is None:
            return bool(await self._fetchval("first_offset", *place, move.next_offset))
        return bool(await self._fetchval("move_offset", *place, move.expected, move.next_offset))

    async def _move_tracking(self, tracking: Tracking) -> None:
        moved = await self._fetchval("move_tracking", *tracking)
        if not moved and tracking.expected == 0:
            moved = await self._fetchval("first_tracking", tracking.name, tracking.position)
        if not moved:
            raise TrackingMoved(tracking.name)

    async def _take_claims(self, claims: Sequence[Claim], released: Sequence[Claim]) -> None:
        if released:
            await self._execute("release_claims", *_columns(released, 4))
        if not claims:
            return
        if len(claims) >= COPIED_MIN:  # one that is taken violates `claims_name`
            await self._copy("claims", sorted(claims), Claim._fields)
            return
        for (tenant, kind), wanted in sorted(_by_kind(claims).items()):
            if await self._fetchval("take_claims", tenant, kind, *_columns(wanted, 2)) < len(wanted):
                raise ClaimTaken(await self._missed(tenant, kind, wanted) or claims)

    async def _missed(self, tenant: str, kind: str, wanted: Sequence[tuple[str, ...]]) -> list[Claim]:
        rows = await self._connection.fetch(SQL["claim_owners"], tenant, kind, [key for key, _ in wanted])
        owners = {row["key"]: row["owner"] for row in rows}
        return [Claim(tenant, kind, key, owner) for key, owner in wanted if owners[key] != owner]

    async def _take_keys(self) -> None:
        homes = {event.home for event in self._batch.events if has_personal_data(event.fact)}
        if homes:
            self.sealing = await self._subjects.for_sealing(self._connection, homes)
        if self._batch.erased:
            at = max(event.occurred_at for event in self._batch.events)
            await self._subjects.destroy(self._connection, self._batch.erased, at)

    async def _append(self) -> Appended:
        batch = self._batch
        if batch.unparked:
            await self._execute("replaced_verdicts", batch.unparked)
        head = await self._connection.fetchrow(SQL["take_head"], len(batch.events), len(batch.verdicts))
        before, at = head["position"] - len(batch.events), head["at"] + self._ahead()
        moved = (
            await self._check_read_set(before) if before > batch.known_position else set[tuple[str, str]]()
        )
        if batch.events:
            await self._copy("log", self._events(before, at), _LOG)
        if batch.verdicts:
            first = head["verdict_position"] - len(batch.verdicts)
            await self._copy("verdicts", self._verdicts(first, before, at), _VERDICTS)
        return Appended(head["position"], head["verdict_position"], before + 1, moved)

    async def _check_read_set(self, position: int) -> set[tuple[str, str]]:
        """What moved since its known position.  Raises `ReadSetMoved` where the batch has read any of it."""
        batch = self._batch
        rows = await self._connection.fetch(SQL["moved_between"], batch.known_position, position)
        streams = {row["stream"] for row in rows}
        homes = {row["home"] for row in rows}
        if streams & batch.read_streams or homes & batch.read_homes:
            raise ReadSetMoved(streams, homes, position)
        return {(row["home"], row["stream"]) for row in rows}

    def _events(self, position: int, at: datetime) -> Iterator[tuple[object, ...]]:
        """Rows for COPY, each fact encoded only when its row is written."""
        for event in self._batch.events:
            position += 1
            yield (
                position,
                event.home,
                event.stream,
                event.version,
                topic_of(event.fact),
                self._encoded(event),
                event.command_id,
                event.meta,
                event.occurred_at,
                event.last_of_command,
                at,
            )

    def _encoded(self, event: NewEvent) -> bytes:
        if event.home in self.sealing and personal_paths(type(event.fact)):
            return sealed(event.fact, self.sealing[event.home])
        return encode(event.fact)

    def _verdicts(self, verdict_position: int, position: int, at: datetime) -> Iterator[tuple[object, ...]]:
        for verdict in self._batch.verdicts:
            verdict_position += 1
            position += verdict.events
            yield (
                verdict_position,
                verdict.command_id,
                verdict.home,
                verdict.type,
                verdict.fingerprint,
                verdict.status,
                verdict.outcome,
                position,
                verdict.meta,
                at,
            )

    async def _only_queues(self) -> Appended:
        if self._batch.outbox:
            await self._execute("notify")
        head = await self._connection.fetchrow(SQL["head"])
        return Appended(head["position"], head["verdict_position"], head["position"] + 1)

    async def _write_queues(self) -> None:
        batch = self._batch
        if batch.unparked:
            await self._execute("forget_parked", batch.unparked)
        for parked in batch.parked:
            await self._execute("add_parked", *parked[:4], _headers_json(parked.headers), *parked[5:])
        for letter in batch.dead_letters:
            await self._execute("add_dead_letter", *letter[:6], _headers_json(letter.headers), *letter[7:])
        await self._open_documents([document[:2] for document in batch.documents if document.open])
        closed = [document[:2] for document in batch.documents if not document.open]
        if closed:
            await self._execute("close_documents", *_columns(closed, 2))
        if batch.references:
            await self._execute("add_references", *_columns(batch.references, 4))
        for raw in batch.raw_notifications:
            await self._execute("add_raw_notification", *raw[:4], _headers_json(raw.headers), *raw[5:])
        if batch.outbox:
            await self._execute("add_outbox", *_columns(batch.outbox, 6))
        answered = [*(verdict.command_id for verdict in batch.verdicts), *batch.repeated]
        if answered:
            await self._execute("forget_outbox", answered)
        await self._change_work()

    async def _open_documents(self, opened: list[tuple[str, str]]) -> None:
        """Of streams that begin here none is listed yet: where they are many, they are copied."""
        if len(opened) >= COPIED_MIN:
            begun = {event.stream for event in self._batch.events if event.version == 1}
            await self._copy("account_documents", [one for one in opened if one[1] in begun], _DOCUMENTS)
            opened = [one for one in opened if one[1] not in begun]
        if opened:
            await self._execute("open_documents", *_columns(opened, 2))

    async def _copy(self, table: str, records: Iterable[tuple[object, ...]], columns: Sequence[str]) -> None:
        await self._connection.copy_records_to_table(table, records=records, columns=columns)

    async def _change_work(self) -> None:
        batch = self._batch
        if batch.answered_work:
            await self._execute("answered_work", *_columns(batch.answered_work, 2))
        last = {change.key: change for change in batch.work}
        planned = [change for change in batch.work if isinstance(change, WorkPlanned)]
        if planned:
            rows = [(p.key, p.home, p.gateway_id, p.operation, encode(p.request), p.due_at) for p in planned]
            await self._execute("plan_work", *_columns(rows, 6))
        due = [change for change in last.values() if isinstance(change, WorkDue)]
        if due:
            await self._execute("due_work", *_columns(due, 3))
        done = [change.key for change in last.values() if isinstance(change, WorkDone)]
        if done:
            await self._execute("done_work", done)

    async def _execute(self, query: str, *arguments: object) -> None:
        await self._connection.execute(SQL[query], *arguments)

    async def _fetchval(self, query: str, *arguments: object) -> Any:
        return await self._connection.fetchval(SQL[query], *arguments)


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


def _by_kind(names: Iterable[tuple[str, ...]]) -> dict[tuple[str, str], list[tuple[str, ...]]]:
    """(tenant, kind, …) by the two: what follows them."""
    found: dict[Any, list[tuple[str, ...]]] = defaultdict(list)
    for name in names:
        found[name[:2]].append(name[2:])
    return found


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into columns, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _headers_json(headers: Sequence[tuple[str, bytes]]) -> str:
    return orjson.dumps([(name, value.hex()) for name, value in headers]).decode()


def _headers(stored: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, bytes.fromhex(value)) for name, value in orjson.loads(stored))


def _parked(row: Any) -> ParkedCommand:
    return ParkedCommand(
        row["command_id"],
        row["home"],
        row["type"],
        row["body"],
        _headers(row["headers"]),
        row["reason"],
        row["at"],
    )


def _raw_notification(row: Any) -> RawNotification:
    raw_ref, tenant, gateway_id, standing, headers, body, received_at, deliveries = row
    return RawNotification(
        raw_ref, tenant, gateway_id, standing, _headers(headers), body, received_at, deliveries
    )


def _dead_letter(row: Any) -> DeadLetter:
    _, cluster_id, topic, partition, offset, key, value, headers, code, reason, at = row
    return DeadLetter(cluster_id, topic, partition, offset, key, value, _headers(headers), code, reason, at)
