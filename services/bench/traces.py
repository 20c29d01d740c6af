"""What the spine made of a stream: the rows that it wrote and the messages that it published.

What followed from a command, through a process and a command of its own, counts for that command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from services.bench.stage import Stage
from services.bench.stream import Made
from services.messages import Message

LOG = (
    "position", "home", "stream", "version", "topic", "data", "command_id", "meta", "occurred_at",
    "last_of_command",
)  # fmt: skip
VERDICTS = (
    "verdict_position", "command_id", "home", "type", "fingerprint", "status", "outcome", "position", "meta",
)  # fmt: skip


class Trace(NamedTuple):
    """What became of one record of the commands topic."""

    log: list[tuple[Any, ...]]
    verdicts: list[tuple[Any, ...]]
    messages: list[Message]


async def traces(
    stage: Stage, stream: Sequence[Made], after: int, events: str, results: str
) -> dict[bytes, list[Trace]]:
    """By the record's value, one for each time that it was sent; a repeat has nothing but its answer.

    The rows are those above position `after`; the messages shall go to topics `events` and `results`.
    """
    first = {made.command_id: Trace([], [], []) for made in stream}
    roots = dict[UUID, UUID]()
    for row in await stage.connection.fetch(f"select {', '.join(VERDICTS)} from verdicts order by 1"):
        root = UUID(orjson.loads(row["meta"])["correlation_id"])
        if root in first:
            roots[row["command_id"]] = root
            first[root].verdicts.append(tuple(row))
    log = f"select {', '.join(LOG)} from log where position > $1 order by 1"
    for row in await stage.connection.fetch(log, after):
        if row["command_id"] in roots:
            first[roots[row["command_id"]]].log.append(tuple(row))
    answers = await _messages(stage, first, roots, events, results)
    sent: dict[bytes, list[Trace]] = {}
    for made in stream:
        again = made.body in sent
        answer = answers.get(made.command_id, [])[:1]
        trace = Trace([], [], answer) if again else first[made.command_id]
        sent.setdefault(made.body, []).append(trace)
    return sent


async def _messages(
    stage: Stage, first: dict[UUID, Trace], roots: dict[UUID, UUID], events: str, results: str
) -> dict[UUID, list[Message]]:
    """Each message once into the trace of its command; the answers to repeats, by command."""
    known, answers = set[bytes](), dict[UUID, list[Message]]()

    def seen(record: Any, topic: str) -> None:
        headers = dict(record.headers)
        command = UUID(headers["causationid"].decode())
        if command not in roots:
            return
        message = Message(topic, record.key, record.value, list(record.headers))
        if headers["ce_id"] in known:
            answers.setdefault(command, []).append(message)
        else:
            known.add(headers["ce_id"])
            first[roots[command]].messages.append(message)

    await stage.read_topic(stage.topics.events, lambda record: seen(record, events))
    await stage.read_topic(stage.topics.results, lambda record: seen(record, results))
    return answers
