"""A store in memory: the same rules as PostgreSQL's, for tests, simulations and what-if.

It changes nothing before every check has passed, so a batch is written whole or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from events import ids
from events.keeping import kept
from events.log import Recorded, RecordedVerdict
from events.mapper import encode, topic_of
from events.personal import SubjectKey, has_personal_data, sealed
from services.store.protocol import (
    REFERENCES_MAX,
    Appended,
    Batch,
    ClaimTaken,
    DeadLetter,
    NewEvent,
    OffsetMoved,
    OutboxCommand,
    ParkedCommand,
    RawNotification,
    ReadSetMoved,
    Room,
    TrackingMoved,
    VerdictExists,
    Work,
    WorkDone,
    WorkDue,
    WorkPlanned,
)

POLL_SECONDS = 1.0


@dataclass
class _Outbox:
    command: OutboxCommand
    seq: int
    published_at: datetime | None = None


@dataclass
class _Work:
    planned: WorkPlanned
    request: bytes
    mode: str
    due_at: datetime
    answered: bool = False
    sent_at: datetime | None = None
    until: datetime | None = None
    holder: str | None = None


class MemoryStore:
    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._now, self.poll_seconds = now, poll_seconds
        self._log: list[Recorded] = []
        self._streams: dict[str, list[Recorded]] = defaultdict(list)
        self._homes: dict[str, list[Recorded]] = defaultdict(list)
        self._verdicts: dict[UUID, RecordedVerdict] = {}
        self._verdict_order: list[tuple[int, UUID]] = []
        self._verdict_position = 0
        self._offsets: dict[tuple[str, str, int], int] = {}
        self._claims: dict[tuple[str, str, str], str] = {}
        self._outbox: dict[UUID, _Outbox] = {}
        self._references: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._raw: dict[tuple[str, str], RawNotification] = {}
        self._documents: dict[str, set[str]] = defaultdict(set)
        self._work: dict[str, _Work] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}
        self._tracking: dict[str, int] = {}
        self._parked: dict[UUID, ParkedCommand] = {}
        self._dead_letters: dict[tuple[str, str, int, int], DeadLetter] = {}
        self._numbers: dict[tuple[str, str], int] = defaultdict(lambda: 1)
        self._erased: set[str] = set()
        self._seq = 0
        self._moves = 0
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def commit(self, batch: Batch) -> Appended:
        self._check(batch)
        first = len(self._log) + 1
        since = self._log[batch.known_position :] if batch.events or batch.verdicts else ()
        moved = {(event.home, event.stream) for event in since}
        self._write_marks(batch)
        self._append(batch.events)
        self._erased.update(batch.erased)
        self._record_verdicts(batch, first - 1)
        self._write_queues(batch)
        if batch.events or batch.verdicts or batch.outbox:
            self.wake()
        return Appended(len(self._log), self._verdict_position, first, moved)

    def _check(self, batch: Batch) -> None:
        stale = [
            m for m in batch.offsets if self._offsets.get((m.cluster_id, m.topic, m.partition)) != m.expected
        ]
        if stale:
            raise OffsetMoved((m.cluster_id, m.topic, m.partition) for m in stale)
        for tracking in batch.tracking:
            if self._tracking.get(tracking.name, 0) != tracking.expected:
                raise TrackingMoved(tracking.name)
        released = {(c.tenant, c.kind, c.key) for c in batch.released_claims}
        names = [(c.tenant, c.kind, c.key) for c in batch.claims]
        taken = [
            claim
            for claim, name in zip(batch.claims, names, strict=True)
            if name in self._claims and name not in released
        ]
        if taken:
            raise ClaimTaken(taken)
        if batch.events or batch.verdicts:
            self._check_read_set(batch)
            self._check_identities(batch)

    def _check_read_set(self, batch: Batch) -> None:
        moved = self._log[batch.known_position :]
        streams = {event.stream for event in moved} & batch.read_streams
        homes = {event.home for event in moved} & batch.read_homes
        if streams or homes:
            raise ReadSetMoved(
                {event.stream for event in moved}, {event.home for event in moved}, len(self._log)
            )

    def _check_identities(self, batch: Batch) -> None:
        written: set[tuple[str, int]] = set()
        for event in batch.events:
            place = event.stream, event.version
            if place in written or any(
                was.version == event.version for was in self._streams.get(event.stream, ())
            ):
                raise IntegrityError(f"{event.stream} has a version {event.version} already")
            written.add(place)
        ids = [verdict.command_id for verdict in batch.verdicts]
        known = {id for id in ids if id in self._verdicts and not self._is_replaced(id, batch)}
        if known or len(set(ids)) < len(ids):
            raise VerdictExists(known)

    def _is_replaced(self, command_id: UUID, batch: Batch) -> bool:
        return command_id in batch.unparked and self._verdicts[command_id].status == "PARKED"

    def _write_marks(self, batch: Batch) -> None:
        for move in batch.offsets:
            self._offsets[move.cluster_id, move.topic, move.partition] = move.next_offset
        for tracking in batch.tracking:
            self._tracking[tracking.name] = tracking.position
        for claim in batch.released_claims:
            if self._claims.get((claim.tenant, claim.kind, claim.key)) == claim.owner:
                del self._claims[claim.tenant, claim.kind, claim.key]
        for claim in batch.claims:
            self._claims[claim.tenant, claim.kind, claim.key] = claim.owner

    def _append(self, events: Sequence[NewEvent]) -> None:
        recorded_at = self._now()
        for new in events:
            event = Recorded(
                len(self._log) + 1,
                new.home,
                new.stream,
                new.version,
                topic_of(new.fact),
                self._encoded(new),
                new.command_id,
                new.meta,
                new.occurred_at,
                recorded_at,
                new.last_of_command,
            )
            self._log.append(event)
            self._streams[event.stream].append(event)
            self._homes[event.home].append(event)

    def _encoded(self, new: NewEvent) -> bytes:
        if has_personal_data(new.fact):
            return sealed(new.fact, self._key(new.home))
        return kept(new.fact)

    def _record_verdicts(self, batch: Batch, position: int) -> None:
        recorded_at = self._now()
        for new in batch.verdicts:
            position += new.events
            self._verdict_position += 1
            self._verdicts[new.command_id] = RecordedVerdict(
                self._verdict_position,
                new.command_id,
                new.home,
                new.type,
                new.fingerprint,
                new.status,
                new.outcome,
                position,
                new.meta,
                recorded_at,
            )
            self._verdict_order.append((self._verdict_position, new.command_id))

    def _write_queues(self, batch: Batch) -> None:
        for command_id in batch.unparked:
            self._parked.pop(command_id, None)
        for parked in batch.parked:
            self._parked.setdefault(parked.command_id, parked)
        for letter in batch.dead_letters:
            place = letter.cluster_id, letter.topic, letter.partition, letter.offset
            self._dead_letters.setdefault(place, letter)
        for document in batch.documents:
            (self._documents[document.home].add if document.open else self._documents[document.home].discard)(
                document.stream
            )
        for tenant, gateway_id, reference, key in batch.references:
            self._references[tenant, gateway_id, reference].add(key)
        for raw in batch.raw_notifications:
            self._keep_raw(raw)
        for command in batch.outbox:
            self._seq += 1
            self._outbox.setdefault(command.command_id, _Outbox(command, self._seq))
        for command_id in [*(verdict.command_id for verdict in batch.verdicts), *batch.repeated]:
            self._outbox.pop(command_id, None)
        self._change_work(batch)

    def _keep_raw(self, raw: RawNotification) -> None:
        known = self._raw.get((raw.tenant, raw.raw_ref))
        if known is not None:
            standing = known.standing if known.standing == "VERIFIED" else raw.standing
            raw = known._replace(deliveries=known.deliveries + 1, standing=standing)
        self._raw[raw.tenant, raw.raw_ref] = raw

    def _change_work(self, batch: Batch) -> None:
        for key, holder in batch.answered_work:
            if key in self._work and self._work[key].holder == holder:
                self._work[key].answered = True
        for change in batch.work:
            match change:
                case WorkPlanned():
                    self._work.setdefault(
                        change.key, _Work(change, encode(change.request), "SEND", change.due_at)
                    )
                case WorkDue() if change.key in self._work:
                    was = self._work[change.key]
                    self._work[change.key] = _Work(was.planned, was.request, change.mode, change.due_at)
                case WorkDone():
                    self._work.pop(change.key, None)
                case _:
                    pass

    async def head(self) -> tuple[int, int]:
        return len(self._log), self._verdict_position

    async def read(self, after: int, limit: int) -> Sequence[Recorded]:
        end = min(after + limit, len(self._log))
        while end > after and end < len(self._log) and not self._log[end - 1].last_of_command:
            end += 1
        return self._log[after:end]

    async def read_topics(
        self, after: int, span: int, topics: Sequence[str]
    ) -> tuple[int, Sequence[Recorded]]:
        events = await self.read(after, span)
        reached = events[-1].position if events else after
        return reached, [event for event in events if event.topic in topics]

    async def read_verdicts(self, after: int, limit: int) -> Sequence[RecordedVerdict]:
        order = self._verdict_order
        low = next(
            (i for i in range(min(after, len(order)), -1, -1) if i == 0 or order[i - 1][0] <= after), 0
        )
        found = [
            self._verdicts[id]
            for position, id in order[low:]
            if self._verdicts[id].verdict_position == position
        ]
        return found[:limit]

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded]:
        return [event for event in self._streams.get(stream, ()) if event.version > after]

    async def read_home(
        self, home: str, beyond: int | None, limit: int, *, newest_first: bool = False
    ) -> Sequence[Recorded]:
        events = self._homes.get(home, [])
        if newest_first:
            return [e for e in reversed(events) if beyond is None or e.position < beyond][:limit]
        return [e for e in events if e.position > (beyond or 0)][:limit]

    async def wakeups(self) -> AsyncIterator[None]:
        while True:
            seen = self._moves
            yield None
            if seen == self._moves:
                await self._until_moved()

    def wake(self) -> None:
        """Have everybody look again now."""
        self._moves += 1
        for waiting in self._waiting:
            _wake(waiting)

    async def _until_moved(self) -> None:
        """Until the next commit, or until it is time to look anyway."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        self._waiting[waiting] = None
        alarm = loop.call_later(self.poll_seconds, _wake, waiting)
        try:
            await waiting
        finally:
            alarm.cancel()
            del self._waiting[waiting]

    async def subject_keys(self, homes: Collection[str]) -> dict[str, SubjectKey | None]:
        return {home: self._key(home) for home in homes}

    def _key(self, home: str) -> SubjectKey | None:
        """What is kept in memory alone needs no secret; the same home has the same key in every run."""
        if home in self._erased:
            return None
        return SubjectKey(home, hashlib.sha512(home.encode()).digest())

    async def load(self, streams: Sequence[str]) -> tuple[int, dict[str, Sequence[Recorded]]]:
        return len(self._log), {stream: tuple(self._streams.get(stream, ())) for stream in streams}

    async def open_documents(
        self, homes: Sequence[str], kinds: Sequence[str] = ()
    ) -> tuple[int, dict[str, list[str]]]:
        return len(self._log), {
            home: sorted(
                stream
                for stream in self._documents.get(home, ())
                if not kinds or ids.parts(stream)[1] in kinds
            )
            for home in homes
        }

    async def verdicts(self, command_ids: Sequence[UUID]) -> dict[UUID, RecordedVerdict]:
        return {id: self._verdicts[id] for id in command_ids if id in self._verdicts}

    async def moved_since(self, position: int) -> tuple[int, Sequence[tuple[str, str]]]:
        return len(self._log), list({(event.home, event.stream) for event in self._log[position:]})

    async def claim_owners(self, claims: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
        return {name: self._claims[name] for name in claims if name in self._claims}

    async def references(
        self, asked: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], Sequence[str]]:
        return {name: sorted(self._references.get(name, ()))[:REFERENCES_MAX] for name in asked}

    async def raw_notification(self, tenant: str, raw_ref: str) -> RawNotification | None:
        return self._raw.get((tenant, raw_ref))

    async def forget_raw_notifications(self, before: datetime, limit: int) -> int:
        old = sorted(
            (raw.received_at, place) for place, raw in self._raw.items() if raw.received_at < before
        )[:limit]
        for _, place in old:
            del self._raw[place]
        return len(old)

    async def reserve_numbers(self, tenant: str, prefix: str, count: int) -> int:
        first = self._numbers[tenant, prefix]
        self._numbers[tenant, prefix] += count
        return first

    async def offset(self, cluster_id: str, topic: str, partition: int) -> int | None:
        return self._offsets.get((cluster_id, topic, partition))

    async def tracking(self, name: str) -> int:
        return self._tracking.get(name, 0)

    async def acquire_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        other, until = self._leases.get(name, (holder, now))
        if other != holder and until >= now:
            return False
        self._leases[name] = holder, now + timedelta(seconds=seconds)
        return True

    async def release_lease(self, name: str, holder: str) -> None:
        if self._leases.get(name, ("",))[0] == holder:
            del self._leases[name]

    async def due_commands(self, now: datetime, resend_seconds: float, limit: int) -> Sequence[OutboxCommand]:
        stale = now - timedelta(seconds=resend_seconds)
        for command_id in [
            id for id, row in self._outbox.items() if row.published_at and row.published_at <= stale
        ]:
            if command_id in self._verdicts:
                del self._outbox[command_id]
        due = [
            row
            for row in self._outbox.values()
            if row.command.due_at <= now and (row.published_at is None or row.published_at <= stale)
        ]
        due.sort(key=lambda row: (row.command.due_at, row.seq))
        return [row.command for row in due[:limit]]

    async def mark_published(self, command_ids: Sequence[UUID], now: datetime) -> None:
        for command_id in command_ids:
            if command_id in self._outbox:
                self._outbox[command_id].published_at = now

    async def republish_all(self) -> None:
        for row in self._outbox.values():
            row.published_at = None

    async def claim_work(
        self,
        holder: str,
        now: datetime,
        lease_seconds: float,
        limit: int,
        rooms: Sequence[Room] = (),
        each: int | None = None,
    ) -> Sequence[Work]:
        left = {(room.tenant, room.gateway_id): room.calls for room in rooms}
        due = [
            (key, work)
            for key, work in self._work.items()
            if work.due_at <= now and not work.answered and (work.until is None or work.until < now)
        ]
        due.sort(key=lambda item: item[1].due_at)
        claimed: list[Work] = []
        for key, work in due:
            gateway = work.planned.home.partition("/")[0], work.planned.gateway_id
            room = left.setdefault(gateway, limit if each is None else each)
            if room <= 0 or len(claimed) >= limit:
                continue
            left[gateway] = room - 1
            taken_over = work.mode != "INQUIRE" and work.sent_at is not None
            sent_at = (work.sent_at or now) if work.mode != "INQUIRE" else work.sent_at
            until = now + timedelta(seconds=lease_seconds)
            self._work[key] = replace(work, sent_at=sent_at, until=until, holder=holder)
            planned = work.planned
            mode: Any = work.mode
            claimed.append(
                Work(
                    key,
                    planned.home,
                    planned.gateway_id,
                    planned.operation,
                    mode,
                    work.request,
                    sent_at,
                    taken_over,
                )
            )
        return claimed

    async def parked_homes(self) -> dict[str, str]:
        homes: dict[str, str] = {}
        for parked in self._parked.values():
            homes.setdefault(parked.home, parked.reason)
        return homes

    async def parked_commands(self, home: str) -> Sequence[ParkedCommand]:
        return [parked for parked in self._parked.values() if parked.home == home]

    async def dead_letters(self, after: int, limit: int) -> Sequence[tuple[int, DeadLetter]]:
        return list(enumerate(self._dead_letters.values(), start=1))[after : after + limit]

    async def close(self) -> None:
        return None


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
