"""The store as the `eventsourcing` library sees it: its recorders, synchronous, over PostgreSQL.

Thin on purpose.  The library's own `Application` runs on it, and its shipped recorder tests pass; our
handler does not use it.  Streams of the library live beside ours, in the same log, under its own home.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    OperationalError,
    ProcessRecorder,
    ProgrammingError,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from services.store import migrate

T = TypeVar("T")
HOME = "library"

_SELECT = "select stream, version, topic, data, position from log"


class Background:
    """An event loop in a thread, so that synchronous callers can wait for asynchronous work."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="tender store")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class TenderRecorder(ProcessRecorder):
    """`ProcessRecorder` over the log: aggregates, application, tracking."""

    def __init__(self, database_url: str, *, migrated: bool = False) -> None:
        super().__init__()
        if not migrated:
            migrate.apply(database_url)
        self._background = Background()
        self._pool: asyncpg.Pool = self._background.run(_pool(database_url))
        self._listeners: set[threading.Event] = set()
        self._listening = self._background.run(self._listen())

    def close(self) -> None:
        self._background.run(self._close())
        self._background.close()

    # -- AggregateRecorder

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        tracking: Tracking | None = kwargs.get("tracking")
        return self._background.run(self._insert(list(stored_events), tracking))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        return list(self._events(originator_id, gt=gt, lte=lte, desc=desc, limit=limit))

    def _events(
        self, originator_id: UUID | str, gt: int | None, lte: int | None, desc: bool, limit: int | None
    ) -> Iterator[StoredEvent]:
        where, values = ["stream = $1"], list[Any]([str(originator_id)])
        for condition, value in (("version > ", gt), ("version <= ", lte)):
            if value is not None:
                values.append(value)
                where.append(f"{condition}${len(values)}")
        statement = f"{_SELECT} where {' and '.join(where)} order by version {'desc' if desc else 'asc'}"
        rows = self._fetch(f"{statement} limit {int(limit)}" if limit is not None else statement, *values)
        return (StoredEvent(originator_id, row["version"], row["topic"], row["data"]) for row in rows)

    # -- ApplicationRecorder

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        where, values = ["home = $1"], list[Any]([HOME])
        comparison = "position >= " if inclusive_of_start else "position > "
        for condition, value in ((comparison, start), ("position <= ", stop)):
            if value is not None:
                values.append(value)
                where.append(f"{condition}${len(values)}")
        if topics:
            values.append(list(topics))
            where.append(f"topic = any(${len(values)})")
        rows = self._fetch(
            f"{_SELECT} where {' and '.join(where)} order by position limit {int(limit)}", *values
        )
        return [_notification(row) for row in rows]

    def max_notification_id(self) -> int | None:
        return self._fetch("select max(position) as position from log where home = $1", HOME)[0]["position"]

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        return _Following(self, gt, topics)

    def listen(self, event: threading.Event) -> None:
        self._listeners.add(event)

    def unlisten(self, event: threading.Event) -> None:
        self._listeners.discard(event)

    # -- TrackingRecorder

    def max_tracking_id(self, application_name: str) -> int | None:
        rows = self._fetch("select position from tracking where name = $1", f"{HOME}:{application_name}")
        return rows[0]["position"] if rows else None

    def insert_tracking(self, tracking: Tracking) -> None:
        self._background.run(self._insert([], tracking))

    # -- how

    def _fetch(self, statement: str, *values: object) -> list[Any]:
        return self._background.run(self._ask(statement, values))

    async def _ask(self, statement: str, values: Sequence[object]) -> list[Any]:
        try:
            return await self._pool.fetch(statement, *values)
        except asyncpg.PostgresSyntaxError as error:
            raise ProgrammingError(str(error)) from error
        except (OSError, asyncpg.InterfaceError) as error:
            raise OperationalError(str(error)) from error

    async def _insert(self, events: list[StoredEvent], tracking: Tracking | None) -> list[int]:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if tracking is not None:
                    await _track(connection, tracking)
                return await _append(connection, events) if events else []
        except asyncpg.UniqueViolationError as violation:
            raise IntegrityError(str(violation)) from violation

    async def _listen(self) -> Any:
        connection = await self._pool.acquire()
        await connection.add_listener("tender_log", self._heard)
        return connection

    def _heard(self, *_: object) -> None:
        for event in list(self._listeners):
            event.set()

    async def _close(self) -> None:
        await self._listening.remove_listener("tender_log", self._heard)
        await self._pool.release(self._listening)
        await self._pool.close()


class TenderAggregateRecorder(TenderRecorder):
    """The same for snapshots and events that nobody follows: it tells no positions."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class _Following(ListenNotifySubscription[TenderRecorder]):
    """The library's own subscription, woken by our notifications."""

    def __init__(self, recorder: TenderRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        recorder.listen(self._has_been_notified)

    def stop(self) -> None:
        self._recorder.unlisten(self._has_been_notified)
        super().stop()


class TenderFactory(InfrastructureFactory[Any]):
    """`PERSISTENCE_MODULE=services.store.facade`; the database is `TENDER_DATABASE_URL`."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._recorder: TenderRecorder | None = None

    def _url(self) -> str:
        return self.env["TENDER_DATABASE_URL"]

    def _shared(self) -> TenderRecorder:
        if self._recorder is None:
            self._recorder = TenderRecorder(self._url())
        return self._recorder

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return TenderAggregateRecorder(self._url())

    def application_recorder(self) -> ApplicationRecorder:
        return self._shared()

    def tracking_recorder(self, tracking_recorder_class: type[Any] | None = None) -> TrackingRecorder:
        return self._shared()

    def process_recorder(self) -> ProcessRecorder:
        return self._shared()

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None


async def _pool(database_url: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(database_url, min_size=2, max_size=16)


async def _track(connection: Any, tracking: Tracking) -> None:
    """Tracking only ever grows."""
    name = f"{HOME}:{tracking.application_name}"
    moved = await connection.fetchval(
        "insert into tracking as t values ($1, $2) on conflict (name) do update set position = $2 "
        "where t.position < $2 returning 1",
        name,
        tracking.notification_id,
    )
    if not moved:
        raise IntegrityError(f"{name} is at or past {tracking.notification_id}")


async def _append(connection: Any, events: Sequence[StoredEvent]) -> list[int]:
    head = await connection.fetchrow(
        "update head set position = position + $1 returning position, pg_notify('tender_log', '')",
        len(events),
    )
    first = head["position"] - len(events) + 1
    command_id, now = uuid4(), datetime.now(UTC)
    records = [
        (
            first + n,
            HOME,
            str(event.originator_id),
            event.originator_version,
            event.topic,
            event.state,
            command_id,
            b"{}",
            now,
            n == len(events) - 1,
        )
        for n, event in enumerate(events)
    ]
    columns = ("position", "home", "stream", "version", "topic", "data", "command_id", "meta", "occurred_at")
    await connection.copy_records_to_table("log", records=records, columns=(*columns, "last_of_command"))
    return [record[0] for record in records]


def _notification(row: Any) -> Notification:
    return Notification(
        originator_id=_originator(row["stream"]),
        originator_version=row["version"],
        topic=row["topic"],
        state=row["data"],
        id=row["position"],
    )


def _originator(stream: str) -> UUID | str:
    """The library's ids are UUIDs or texts; the log keeps texts."""
    try:
        return UUID(stream)
    except ValueError:
        return stream
