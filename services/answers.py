"""What a sender hears of a command: decided just now, or before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from events.log import RecordedVerdict
from events.mapper import topic_of
from services.commands import Command
from services.decision import Change, Changes
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


# -- what a dry run says


def planned(command: Command, changes: Changes, position: int, streams: Mapping[str, Any]) -> Answer:
    outcome = orjson.dumps(plan(command, changes, position, streams), default=str)
    return Answer(command, "PLANNED", outcome, position, recorded=False)


def plan(command: Command, changes: Changes, position: int, streams: Mapping[str, Any]) -> dict[str, Any]:
    """`{position, events}`: what a command would do now, on streams as they are."""
    return {"position": position, "events": list(_events(command, changes, streams))}


def _events(command: Command, changes: Changes, streams: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    versions: dict[str, int] = {}
    for change in changes:
        if isinstance(change, Change):
            stream = f"{command.tenant}/{change.state.KIND}-{change.id}"
            known = streams.get(stream)
            versions[stream] = versions.get(stream, known.version if known else 0) + 1
            yield {
                "stream": stream,
                "version": versions[stream],
                "type": f"payments.{topic_of(change.fact)}",
                "data": change.fact,
            }
