"""What the shell asks of a store: one transaction for a batch, and small questions around it.

PostgreSQL (`postgres`) and memory (`memory`) implement it, and pass one contract suite.
Nothing here reads a clock: `now` is an argument, always an aware UTC datetime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from events.log import Log, Recorded, RecordedVerdict

REFERENCES_MAX = 20
"""More calls than this never share one reference: a reversal and its repeats, some captures."""


class NewEvent(NamedTuple):
    """An event about to be appended; `fact` is encoded only inside the write itself."""

    stream: str
    version: int
    fact: object
    home: str
    command_id: UUID
    meta: bytes
    occurred_at: datetime
    last_of_command: bool


class NewVerdict(NamedTuple):
    """A verdict about to be recorded; `events` counts the batch's events that belong to it."""

    command_id: UUID
    home: str
    type: str
    fingerprint: bytes
    status: Literal["ACCEPTED", "REJECTED", "PARKED"]
    outcome: bytes
    events: int
    meta: bytes


class OffsetMove(NamedTuple):
    """`expected` is the offset this worker itself read or wrote, None where no row exists yet."""

    cluster_id: str
    topic: str
    partition: int
    expected: int | None
    next_offset: int


class Claim(NamedTuple):
    """A name that only one owner may hold in a tenant: uniqueness across streams."""

    tenant: str
    kind: str
    key: str
    owner: str


class Reference(NamedTuple):
    """A name that a gateway may use for a gateway call: its own reference, or ours."""

    tenant: str
    gateway_id: str
    reference: str
    key: str
    """The call's idempotency key."""


class RawNotification(NamedTuple):
    """The bytes of a gateway's notification as they came; kept for a while, in no event."""

    raw_ref: str
    """Follows from tenant, gateway and bytes: the same bytes again are counted, not kept twice."""
    tenant: str
    gateway_id: str
    standing: Literal["VERIFIED", "SIGNATURE", "STALE", "UNREADABLE"]
    """What was made of it; who was verified once stays so."""
    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    received_at: datetime
    deliveries: int = 1


class DocumentChange(NamedTuple):
    """A document of an account (invoice, payment, credit memo, …) opened, or was closed."""

    home: str
    stream: str
    open: bool


class OutboxCommand(NamedTuple):
    """A command caused inside Tender; published once due, and again until its verdict exists.

    With `due_at` in the future it is a durable timer.
    """

    command_id: UUID
    home: str
    type: str
    body: bytes
    """The record's value: see `services.commands`."""
    meta: bytes
    """`{"correlation_id", "causation_id", "traceparent"?}` as JSON."""
    due_at: datetime


class WorkPlanned(NamedTuple):
    """A gateway call was decided: `key` is its idempotency key, `request` its GatewayCallPlanned."""

    key: str
    home: str
    gateway_id: str
    operation: str
    request: object
    due_at: datetime


Mode = Literal["SEND", "RESEND", "INQUIRE"]
"""RESEND: under a key that its gateway may have seen."""


class WorkDue(NamedTuple):
    """A gateway call must be sent again (same key), or inquired about, at `due_at`."""

    key: str
    mode: Mode
    due_at: datetime


class WorkAnswered(NamedTuple):
    """The holder of a lease has its answer."""

    key: str
    holder: str


class WorkDone(NamedTuple):
    """The outcome of a gateway call is in the log: nobody need look at it again."""

    key: str


WorkChange = WorkPlanned | WorkDue | WorkDone


class Room(NamedTuple):
    """How many more calls of a gateway may be leased."""

    tenant: str
    gateway_id: str
    calls: int


class Work(NamedTuple):
    """A gateway call, leased to one holder until `until`."""

    key: str
    home: str
    gateway_id: str
    operation: str
    mode: Mode
    request: bytes
    """The GatewayCallPlanned fact as JSON."""
    sent_at: datetime | None
    """When a holder began to send it; kept until the outcome event is in the log."""
    taken_over: bool
    """An earlier holder began to send it and is gone: inquire, never send."""


class DeadLetter(NamedTuple):
    """A record that is no command, kept whole."""

    cluster_id: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    code: str
    reason: str
    at: datetime


class ParkedCommand(NamedTuple):
    """A command whose home key is parked: it waits, in order, for release or drop."""

    command_id: UUID
    home: str
    type: str
    body: bytes
    headers: tuple[tuple[str, bytes], ...]
    reason: str
    at: datetime


class Tracking(NamedTuple):
    """A reader's progress, moved in the transaction of what it wrote."""

    name: str
    expected: int
    position: int


@dataclass
class Batch:
    """All that one transaction writes.  Events are in command order, as are their verdicts."""

    events: list[NewEvent] = field(default_factory=list[NewEvent])
    verdicts: list[NewVerdict] = field(default_factory=list[NewVerdict])
    offsets: list[OffsetMove] = field(default_factory=list[OffsetMove])
    claims: list[Claim] = field(default_factory=list[Claim])
    released_claims: list[Claim] = field(default_factory=list[Claim])
    references: list[Reference] = field(default_factory=list[Reference])
    raw_notifications: list[RawNotification] = field(default_factory=list[RawNotification])
    documents: list[DocumentChange] = field(default_factory=list[DocumentChange])
    work: list[WorkChange] = field(default_factory=list[WorkChange])
    answered_work: list[WorkAnswered] = field(default_factory=list[WorkAnswered])
    """Leases whose outcome command is in this batch's `outbox`: not claimable until the log says more.

    A lease that is over changes nothing: the log may have made new work of the same key meanwhile.
    """
    outbox: list[OutboxCommand] = field(default_factory=list[OutboxCommand])
    dead_letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    parked: list[ParkedCommand] = field(default_factory=list[ParkedCommand])
    unparked: list[UUID] = field(default_factory=list[UUID])
    """Parked commands that this batch decided or dropped; their PARKED verdicts are replaced."""
    repeated: list[UUID] = field(default_factory=list[UUID])
    """Commands that had a verdict already: whoever publishes them need not do so again."""
    tracking: list[Tracking] = field(default_factory=list[Tracking])
    erased: list[str] = field(default_factory=list[str])
    """Homes whose data subject's key is destroyed: nothing is ever sealed for them again."""
    known_position: int = 0
    """The position up to which everything this batch read is known to be true."""
    read_streams: set[str] = field(default_factory=set[str])
    """Every stream read: written, only read, rejected or repeated alike."""
    read_homes: set[str] = field(default_factory=set[str])
    """Homes whose list of documents was read: any change of one of their streams counts."""


class Appended(NamedTuple):
    position: int
    """The head of the log after the batch."""
    verdict_position: int
    first_position: int
    """The position of the batch's first event: the rest follow without gaps."""
    moved: AbstractSet[tuple[str, str]] = frozenset()
    """(home, stream) of what others have appended since `known_position`: nothing that the batch has read."""


class StoreConflict(Exception):
    """The batch was not written, nothing of it.

    ReadSetMoved      the log moved under what the batch read: evict, load, decide again
    OffsetMoved       another worker holds the partition now: drop it, seek, redo the others
    ClaimTaken        a name is taken: the command that claimed it is decided again
    VerdictExists     another worker answered one of these commands first
    TrackingMoved     another reader of the same name went ahead
    """


class ReadSetMoved(StoreConflict):
    def __init__(self, streams: Iterable[str], homes: Iterable[str], position: int) -> None:
        self.streams, self.homes, self.position = frozenset(streams), frozenset(homes), position
        super().__init__(f"{len(self.streams)} streams moved up to position {position}")


class OffsetMoved(StoreConflict):
    def __init__(self, partitions: Iterable[tuple[str, str, int]]) -> None:
        self.partitions = frozenset(partitions)
        super().__init__(f"offsets moved elsewhere: {sorted(self.partitions)}")


class ClaimTaken(StoreConflict):
    def __init__(self, claims: Iterable[Claim]) -> None:
        self.claims = tuple(claims)
        super().__init__(f"already taken: {', '.join(f'{c.kind} {c.key}' for c in self.claims)}")


class VerdictExists(StoreConflict):
    def __init__(self, command_ids: Iterable[UUID]) -> None:
        self.command_ids = frozenset(command_ids)
        super().__init__(f"{len(self.command_ids)} commands were answered elsewhere")


class TrackingMoved(StoreConflict):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"another reader moved {name}")


class StoreUnavailable(ConnectionError):
    """The store cannot be reached now; whatever was asked may or may not have been done."""


class Store(Log, Protocol):
    async def commit(self, batch: Batch) -> Appended:
        """Write the batch in one transaction, or raise and write nothing.

        Lock order: offsets by partition, tracking, claims, subjects' keys, then the head row.  It is
        taken only when there are events or verdicts.  If the log has moved past
        `known_position`, the streams that moved since are compared with the read set.
        `outbox` rows of this batch's verdicts are deleted.  Stream versions are unique: a
        violation that the read set did not explain is `eventsourcing`'s `IntegrityError`.
        Raises `StoreConflict`, `StoreUnavailable`.
        """
        ...

    async def load(self, streams: Sequence[str]) -> tuple[int, dict[str, Sequence[Recorded]]]:
        """All events of each stream, and a position up to which they are complete."""
        ...

    async def open_documents(
        self, homes: Sequence[str], kinds: Sequence[str] = ()
    ) -> tuple[int, dict[str, list[str]]]:
        """The open documents' streams of each home, and a position up to which that is complete.

        With `kinds`, only streams of these kinds.
        """
        ...

    async def read_topics(
        self, after: int, span: int, topics: Sequence[str]
    ) -> tuple[int, Sequence[Recorded]]:
        """The events of some topics among the next `span` events or so, and the position that this reaches.

        It ends where `read` would end: after a whole command, at the head at the latest.
        """
        ...

    async def verdicts(self, command_ids: Sequence[UUID]) -> dict[UUID, RecordedVerdict]: ...

    async def moved_since(self, position: int) -> tuple[int, Sequence[tuple[str, str]]]:
        """The head, and (home, stream) of every event above `position`."""
        ...

    async def claim_owners(self, claims: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
        """Who holds (tenant, kind, key), where anyone does."""
        ...

    async def references(
        self, asked: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], Sequence[str]]:
        """The keys of at most `REFERENCES_MAX` calls that each (tenant, gateway, reference) may mean."""
        ...

    async def raw_notification(self, tenant: str, raw_ref: str) -> RawNotification | None: ...

    async def forget_raw_notifications(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` that came before; how many those were."""
        ...

    async def reserve_numbers(self, tenant: str, prefix: str, count: int) -> int:
        """The first of `count` consecutive numbers that nobody else will get."""
        ...

    async def offset(self, cluster_id: str, topic: str, partition: int) -> int | None: ...

    async def tracking(self, name: str) -> int:
        """How far a reader has come; 0 for an unknown name."""
        ...

    async def acquire_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take or renew a named lease; False while another holder's is live."""
        ...

    async def release_lease(self, name: str, holder: str) -> None: ...

    async def due_commands(self, now: datetime, resend_seconds: float, limit: int) -> Sequence[OutboxCommand]:
        """Outbox commands that are due and unpublished, or published `resend_seconds` ago unanswered."""
        ...

    async def mark_published(self, command_ids: Sequence[UUID], now: datetime) -> None: ...

    async def republish_all(self) -> None:
        """Forget that outbox commands were published: their broker is gone with its topics."""
        ...

    async def claim_work(
        self,
        holder: str,
        now: datetime,
        lease_seconds: float,
        limit: int,
        rooms: Sequence[Room] = (),
        each: int | None = None,
    ) -> Sequence[Work]:
        """Lease due gateway calls.  For SEND, `sent_at` is committed before this returns.

        `holder` names this one lease: a worker gives each claim a name of its own.  Of a gateway in
        `rooms` no more calls are leased than it has room for; of any other at most `each`, else all.
        """
        ...

    async def parked_homes(self) -> dict[str, str]:
        """Each parked home key with the reason of its first parked command."""
        ...

    async def parked_commands(self, home: str) -> Sequence[ParkedCommand]: ...

    async def dead_letters(self, after: int, limit: int) -> Sequence[tuple[int, DeadLetter]]: ...

    async def close(self) -> None: ...
