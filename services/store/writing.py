"""A batch on its way into PostgreSQL: offsets, claims, keys, then the head row, then all that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from events.mapper import encode, topic_of
from events.personal import SubjectKey, has_personal_data, personal_paths, sealed
from services.store.columns import by_kind, columns, headers_json
from services.store.protocol import (
    Appended,
    Batch,
    Claim,
    ClaimTaken,
    NewEvent,
    OffsetMove,
    OffsetMoved,
    ReadSetMoved,
    Tracking,
    TrackingMoved,
    WorkDone,
    WorkDue,
    WorkPlanned,
)
from services.store.queries import SQL
from services.store.subject_keys import SubjectKeys

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


class Writing:
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
            await self._execute("release_claims", *columns(released, 4))
        if not claims:
            return
        if len(claims) >= COPIED_MIN:  # one that is taken violates `claims_name`
            await self._copy("claims", sorted(claims), Claim._fields)
            return
        for (tenant, kind), wanted in sorted(by_kind(claims).items()):
            if await self._fetchval("take_claims", tenant, kind, *columns(wanted, 2)) < len(wanted):
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
            await self._execute("add_parked", *parked[:4], headers_json(parked.headers), *parked[5:])
        for letter in batch.dead_letters:
            await self._execute("add_dead_letter", *letter[:6], headers_json(letter.headers), *letter[7:])
        await self._open_documents([document[:2] for document in batch.documents if document.open])
        closed = [document[:2] for document in batch.documents if not document.open]
        if closed:
            await self._execute("close_documents", *columns(closed, 2))
        if batch.references:
            await self._execute("add_references", *columns(batch.references, 4))
        for raw in batch.raw_notifications:
            await self._execute("add_raw_notification", *raw[:4], headers_json(raw.headers), *raw[5:])
        if batch.outbox:
            await self._execute("add_outbox", *columns(batch.outbox, 6))
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
            await self._execute("open_documents", *columns(opened, 2))

    async def _copy(self, table: str, records: Iterable[tuple[object, ...]], names: Sequence[str]) -> None:
        await self._connection.copy_records_to_table(table, records=records, columns=names)

    async def _change_work(self) -> None:
        batch = self._batch
        if batch.answered_work:
            await self._execute("answered_work", *columns(batch.answered_work, 2))
        last = {change.key: change for change in batch.work}
        planned = [change for change in batch.work if isinstance(change, WorkPlanned)]
        if planned:
            rows = [(p.key, p.home, p.gateway_id, p.operation, encode(p.request), p.due_at) for p in planned]
            await self._execute("plan_work", *columns(rows, 6))
        due = [change for change in last.values() if isinstance(change, WorkDue)]
        if due:
            await self._execute("due_work", *columns(due, 3))
        done = [change.key for change in last.values() if isinstance(change, WorkDone)]
        if done:
            await self._execute("done_work", done)

    async def _execute(self, query: str, *arguments: object) -> None:
        await self._connection.execute(SQL[query], *arguments)

    async def _fetchval(self, query: str, *arguments: object) -> Any:
        return await self._connection.fetchval(SQL[query], *arguments)
