"""The log: what readers of events see, and what they may ask of it.

Positions have no gaps, and their order is the order of commits.  Readers stop only at a row with
`last_of_command`, so that nobody ever sees half a command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from events import personal
from events.personal import SubjectKey


class Recorded(NamedTuple):
    """One event, as it stands in the log."""

    position: int
    """Its place in the log of all tenants, from 1, without gaps."""
    home: str
    """`{tenant}/{account_id}`, or `{tenant}/~{kind}/{id}` for tenant-level streams."""
    stream: str
    """`{tenant}/{kind}-{id}`."""
    version: int
    """Its place in its stream, from 1."""
    topic: str
    """`{aggregate}.{what happened}.v{n}`; `events.mapper` turns topic and data into a fact."""
    data: bytes
    """The fact as one JSON object, in UTF-8; personal data in it is sealed (see `opened`)."""
    command_id: UUID
    """The command that caused it."""
    meta: bytes
    """`{"actor": {...}, "correlation_id", "causation_id", "traceparent"?, "references"?}` as JSON; the last
    names reference streams of other homes, with the version that the decision rests on: `period-default`."""
    occurred_at: datetime
    recorded_at: datetime
    last_of_command: bool

    @property
    def event_id(self) -> str:
        return f"{self.stream}@{self.version}"


class RecordedVerdict(NamedTuple):
    """What became of one command; the inbox row that answers every repeat of it."""

    verdict_position: int
    command_id: UUID
    home: str
    type: str
    """The command's `ce_type`."""
    fingerprint: bytes
    """SHA-256 of tenant, type and the sent data as canonical JSON."""
    status: str
    """`ACCEPTED`, `REJECTED` or `PARKED`."""
    outcome: bytes
    """JSON: `{"streams": {stream: version}}`, or `{"code", "message", "field"?, "details"}`."""
    position: int
    """The log position of its last event, or of the log when it was decided, if it made none."""
    meta: bytes
    recorded_at: datetime


class Log(Protocol):
    """What projections, processes and the relay read."""

    async def head(self) -> tuple[int, int]:
        """The last position and the last verdict position; (0, 0) when empty."""
        ...

    async def read(self, after: int, limit: int) -> Sequence[Recorded]:
        """About `limit` events above `after`, in order, ending at a `last_of_command`.

        A command with more events than `limit` is returned whole.
        """
        ...

    async def read_verdicts(self, after: int, limit: int) -> Sequence[RecordedVerdict]: ...

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded]: ...

    async def read_home(
        self, home: str, beyond: int | None, limit: int, *, newest_first: bool = False
    ) -> Sequence[Recorded]:
        """The events of one account beyond a position (or all), in order, or newest first."""
        ...

    async def subject_keys(self, homes: Collection[str]) -> Mapping[str, SubjectKey | None]:
        """The key of each home's data subject; None where it is destroyed, or never was."""
        ...

    def wakeups(self) -> AsyncIterator[None]:
        """Yields soon after each commit, and at least every `poll_seconds`; never misses one."""
        ...


async def opened(log: Log, events: Sequence[Recorded]) -> Sequence[Recorded]:
    """The same events with their personal data in the clear, or `ERASED`: for decisions, and for people."""
    homes = {event.home for event in events if personal.is_sealed(event.data)}
    if not homes:
        return events
    keys = await log.subject_keys(homes)
    return [event._replace(data=personal.opened(event.data, keys.get(event.home))) for event in events]


async def pages_of_home(log: Log, home: str, size: int) -> AsyncIterator[Sequence[Recorded]]:
    """All events of an account, from its first on, so many at a time."""
    beyond: int | None = None
    while events := await log.read_home(home, beyond, size):
        yield events
        beyond = events[-1].position
