"""Intake: records of the commands topic become decided commands, and their offsets move with them.

Invariant: an offset moves only in the transaction that recorded what became of the records below
it; so a record is never lost, and one that comes twice is answered from the inbox.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol
from uuid import UUID

import orjson

from events.card_numbers import masked, masked_bytes
from services.answers import Answer
from services.clock import Clock
from services.commands import Command, decode
from services.errors import Undecodable
from services.handler import Handler
from services.messages import SEAL, Message, result_body, result_message
from services.migrations.migrating import ImportRows
from services.signing_in.callers import Callers
from services.store.protocol import DeadLetter, OffsetMove, OffsetMoved, StoreUnavailable
from services.unreadable import unreadable

DECISIONS_MAX = 2000
"""In one transaction, of commands and of the rows that they hold."""

KEPT_MAX = 100_000
"""Dead letters with a seal that are known again."""

ANYBODY = Callers()
"""Nobody signs in."""
PAUSE_SECONDS = 0.2
PAUSE_SECONDS_MAX = 5.0


class Record(Protocol):
    """A consumer's record, as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Partition(NamedTuple):
    topic: str
    partition: int


class _Read(NamedTuple):
    """A record, and its command; or that there is none."""

    record: Record
    command: Command | None
    letter: DeadLetter | None

    @property
    def decisions(self) -> int:
        data = self.command.data if self.command else None
        return len(data.rows) if isinstance(data, ImportRows) else 1


class _Taking(NamedTuple):
    """A batch of records on its way."""

    losses: Counter[Partition]
    """As they were when it began."""
    begun: dict[Partition, int]
    """The next offset of each partition, once all that has begun is in the store."""
    done: dict[Partition, int]
    """The same, of what is there."""
    answers: list[Answer]
    """That nobody has heard yet."""


class Seeker(Protocol):
    def seek(self, partition: Partition, offset: int | None) -> None:
        """Read from an offset next; from the beginning without one."""
        ...


class Intake:
    def __init__(
        self,
        handler: Handler,
        store_offset: Callable[[str, str, int], Awaitable[int | None]],
        clock: Clock,
        *,
        cluster_id: str,
        results_topic: str,
        answer: Callable[[Sequence[Message]], Awaitable[None]],
        callers: Callers = ANYBODY,
        decisions_max: int = DECISIONS_MAX,
    ) -> None:
        self._handler, self._store_offset, self._clock = handler, store_offset, clock
        self._cluster_id, self._results_topic, self._answer = cluster_id, results_topic, answer
        self._callers, self._decisions_max = callers, decisions_max
        self._next: dict[Partition, int | None] = {}
        self._losses = Counter[Partition]()
        """How often each was taken away."""
        self._kept = set[bytes]()
        """Of dead letters with a seal, what they are the same by."""

    async def assigned(self, partitions: Sequence[Partition], seeker: Seeker) -> None:
        """Partitions are ours now: each is read from where the store says, once it can be asked."""
        for partition in partitions:
            await self._find(partition, seeker)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)
            self._losses[partition] += 1

    async def take(self, records: Sequence[Record], seeker: Seeker) -> dict[Partition, int]:
        """Decide a batch of records; the next offset of each partition that moved.

        Waits for the store as long as that takes: nothing is acknowledged meanwhile.
        """
        pause = PAUSE_SECONDS
        while fresh := self._fresh(records):
            try:
                return await self._decide(fresh)
            except OffsetMoved as moved:
                for cluster_id, topic, partition in moved.partitions:
                    assert cluster_id == self._cluster_id
                    await self._find(Partition(topic, partition), seeker)
            except StoreUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
        return {}

    async def _find(self, partition: Partition, seeker: Seeker) -> None:
        """Waits for the store: a partition whose place is not known would be passed over in silence."""
        pause = PAUSE_SECONDS
        while True:
            try:
                offset = await self._store_offset(self._cluster_id, *partition)
                break
            except StoreUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
        self._next[partition] = offset
        seeker.seek(partition, offset)

    def _fresh(self, records: Sequence[Record]) -> list[Record]:
        """Records of partitions that are ours, above what is done."""
        return [record for record in records if self._is_fresh(record)]

    def _is_still_ours(self, record: Record, losses: Counter[Partition]) -> bool:
        place = Partition(record.topic, record.partition)
        return place in self._next and self._losses[place] == losses[place]

    def _is_fresh(self, record: Record) -> bool:
        place = Partition(record.topic, record.partition)
        return place in self._next and record.offset >= (self._next[place] or 0)

    async def _decide(self, records: Sequence[Record]) -> dict[Partition, int]:
        """Part by part, for a transaction must stay short; while one is appended, the next is decided."""
        waiting, taking = deque(records), _Taking(self._losses.copy(), {}, {}, [])
        try:
            while part := await self._part(waiting):
                await self._begin(part, taking)
                await self._say(taking)
            await self._handler.land()
        except BaseException as failure:
            await self._handler.abandon()
            if isinstance(failure, Exception):
                await self._say(taking)
            raise
        await self._say(taking)
        return taking.done

    async def _part(self, waiting: deque[Record]) -> list[_Read]:
        """Whole records, in order, until they take `decisions_max` decisions or more; each is read once."""
        part, decisions = list[_Read](), 0
        while waiting and decisions < self._decisions_max:
            read = self._read(waiting.popleft())
            part.append(read)
            decisions += read.decisions
            if read.decisions > 1:
                await asyncio.sleep(0)  # it took a while: let the store's answers in
        return part

    def _read(self, record: Record) -> _Read:
        try:
            return _Read(record, command_of(record, self._callers), None)
        except Undecodable as undecodable:
            return _Read(record, None, self._dead_letter(record, undecodable))

    async def _begin(self, reads: Sequence[_Read], taking: _Taking) -> None:
        """But for partitions lost since their batch began: what went before is not decided here."""
        part = [read for read in reads if self._is_still_ours(read.record, taking.losses)]
        if not part:
            return
        ends = {Partition(read.record.topic, read.record.partition): read.record.offset + 1 for read in part}
        moves = [
            OffsetMove(self._cluster_id, *place, taking.begun.get(place, self._next[place]), offset)
            for place, offset in ends.items()
        ]
        commands = [read.command for read in part if read.command]
        letters = [read.letter for read in part if read.letter and not self._is_kept(read.letter)]
        taking.begun.update(ends)

        def landed(answers: Sequence[Answer]) -> None:
            self._next.update(ends)
            taking.done.update(ends)
            taking.answers.extend(answer for answer in answers if not answer.recorded)
            self._kept.update(mark for letter in letters if (mark := _mark_of_sealed(letter)))

        await self._handler.begin(commands, moves, letters, landed)

    def _is_kept(self, letter: DeadLetter) -> bool:
        """Whether it is a command of ours, sealed under a key that is not here, that was set aside before.

        Its sender does not hear of that, and sends it again and again.
        """
        if len(self._kept) > KEPT_MAX:
            self._kept.clear()
        return _mark_of_sealed(letter) in self._kept

    async def _say(self, taking: _Taking) -> None:
        answers = list(taking.answers)
        taking.answers.clear()
        await self._answer([self._result(answer) for answer in answers])

    def _dead_letter(self, record: Record, why: Undecodable) -> DeadLetter:
        """The record as it came; but for card numbers, whose digits are kept nowhere."""
        headers = tuple((_plain(name), bytes(value or b"")) for name, value in record.headers)
        kept = (
            None if record.key is None else masked_bytes(record.key),
            None if record.value is None else masked_bytes(record.value),
            tuple((masked(name), masked_bytes(value)) for name, value in headers),
        )
        changed = kept != (record.key, record.value, headers)
        reason = masked(why.reason) + ("; the digits of card numbers in it are masked" if changed else "")
        place = self._cluster_id, record.topic, record.partition, record.offset
        return DeadLetter(*place, *kept, why.code, reason, self._clock.now())

    def _result(self, answer: Answer) -> Message:
        """What the relay will not say: repeats, misused identities, dry runs."""
        command = answer.command
        body = result_body(
            command.command_id, command.type, answer.status, answer.outcome, answer.position, answer.replayed
        )
        meta, now = orjson.loads(command.meta), self._clock.now()
        return result_message(str(command.command_id), command.home, body, meta, now, self._results_topic)


def _mark_of_sealed(letter: DeadLetter) -> bytes | None:
    seals = [value for name, value in letter.headers if name == SEAL]
    return sha256(b"".join((seals[-1], letter.value or b""))).digest() if seals else None


_TEXTS = {
    "ce_id": "ce_id",
    "correlationid": "correlation_id",
    "causationid": "causation_id",
    "traceparent": "traceparent",
}


def command_of(record: Record, callers: Callers = ANYBODY) -> Command:
    """The command of a record, with who sent it.

    Raises `Undecodable`; never anything else for what a record may hold.  Tender's own is a command always.
    """
    try:
        return _read(record, callers)
    except Undecodable as why:
        type, id, seal = map(dict(record.headers).get, ("ce_type", "ce_id", SEAL))
        if type is None or id is None or not callers.has_sealed(record, type, id, seal):
            raise
        home = (record.key or b"").decode()
        return unreadable(type.decode(), UUID(id.decode()), home, record.value or b"", why)


def _read(record: Record, callers: Callers) -> Command:
    texts: dict[str, str] = {}
    type, seal = "", None
    for name, value in record.headers:
        if name == "ce_type":
            type = _text(name, value)
        elif name == SEAL:
            seal = value
        elif name in _TEXTS:
            texts[_TEXTS[name]] = _text(name, value)
    if not type:
        raise Undecodable("UNKNOWN_TYPE", "the record has no ce_type header")
    if record.value is None:
        raise Undecodable("MALFORMED_REQUEST", "the record has no value")
    trust = callers.trust(record, type, texts.get("ce_id", "").encode(), seal)
    command = decode(type, record.value, key=record.key, trust=trust, **texts)
    return callers.scoped(record, command, seal is not None)


def _plain(name: str) -> str:
    """PostgreSQL's text holds no NUL."""
    return str(name).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except (UnicodeDecodeError, AttributeError) as error:
        raise Undecodable("MALFORMED_REQUEST", f"the header {name} is no UTF-8 text") from error
    if len(text) > 512 or not text.isprintable():
        raise Undecodable("MALFORMED_REQUEST", f"the header {name} is too long, or not printable")
    return text
