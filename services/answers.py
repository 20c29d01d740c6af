"""What a sender hears of a command: decided just now, or before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from events.log import RecordedVerdict
from services.commands import Command
from services.store.protocol import Batch


@dataclass(slots=True)
class Answer:
    """What became of one command of a batch."""

    command: Command
    status: str
    """ACCEPTED, REJECTED or PARKED; PLANNED for a dry run."""
    outcome: bytes
    position: int
    """Of its last event; known once the batch is appended."""
    recorded: bool
    """Its verdict was recorded by this batch: the relay publishes it.  Else the bus must answer."""
    replayed: bool = False


def repeat(command: Command, verdict: RecordedVerdict) -> Answer:
    """A command that was answered before gets the same answer; another content under its id does not."""
    if verdict.fingerprint != command.fingerprint:
        return _reused(command)
    return Answer(command, verdict.status, verdict.outcome, verdict.position, recorded=False, replayed=True)


def repeat_in_batch(command: Command, first: Answer) -> Answer:
    if first.command.fingerprint != command.fingerprint:
        return _reused(command)
    return replace(first, command=command, recorded=False, replayed=True)


def _reused(command: Command) -> Answer:
    outcome: dict[str, object] = {
        "code": "IDEMPOTENCY_KEY_REUSED",
        "message": "this identity was used before, with other content",
        "details": {},
    }
    return Answer(command, "REJECTED", orjson.dumps(outcome), 0, recorded=False)


def place(answers: Sequence[Answer], batch: Batch, position: int) -> None:
    """Tell answers the positions that the append has given to their events."""
    places: dict[int, int] = {}
    for verdict in batch.verdicts:
        position += verdict.events
        places[verdict.command_id.int] = position
    for answer in answers:
        answer.position = places.get(answer.command.command_id.int, answer.position)
