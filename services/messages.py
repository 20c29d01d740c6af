"""What goes onto Kafka: CloudEvents 1.0 in binary mode, made from the rows of the store.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from events.log import Recorded, RecordedVerdict
from services.store.protocol import DeadLetter, OutboxCommand

SOURCE = "/tender"
RESULT_TYPE = "payments.command.result.v1"


class Topics(NamedTuple):
    """The names of the four topics, with the deployment's prefix."""

    commands: str
    results: str
    events: str
    dead_letters: str

    @classmethod
    def named(cls, prefix: str = "") -> Topics:
        names = ("commands.v1", "command-results.v1", "events.v1", "dead-letters.v1")
        return cls(*(f"{prefix}payments.{name}" for name in names))


class Message(NamedTuple):
    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def event_message(event: Recorded, topic: str) -> Message:
    meta = orjson.loads(event.meta)
    headers = _headers(
        ("ce_id", event.event_id),
        ("ce_type", f"payments.{event.topic}"),
        ("ce_time", event.occurred_at.isoformat()),
        ("ce_subject", event.stream),
        ("partitionkey", event.home),
        ("position", str(event.position)),
        ("version", str(event.version)),
        ("correlationid", meta.get("correlation_id")),
        ("causationid", str(event.command_id)),
        ("traceparent", meta.get("traceparent")),
    )
    return Message(topic, event.home.encode(), event.data, headers)


def result_body(
    command_id: object, type: str, status: str, outcome: bytes, position: int, replayed: bool = False
) -> bytes:
    """The JSON of a command's result."""
    head = {
        "command_id": str(command_id),
        "type": type,
        "status": status,
        "position": position,
        "replayed": replayed,
    }
    return orjson.dumps(head | orjson.loads(outcome))


def verdict_message(verdict: RecordedVerdict, topic: str) -> Message:
    body = result_body(verdict.command_id, verdict.type, verdict.status, verdict.outcome, verdict.position)
    meta, time = orjson.loads(verdict.meta), verdict.recorded_at.isoformat()
    return result_message(str(verdict.command_id), verdict.home, body, meta, time, topic)


def result_message(
    command_id: str, home: str, body: bytes, meta: dict[str, Any], time: str, topic: str
) -> Message:
    headers = _headers(
        ("ce_id", command_id),
        ("ce_type", RESULT_TYPE),
        ("ce_time", time),
        ("ce_subject", home),
        ("partitionkey", home),
        ("correlationid", meta.get("correlation_id")),
        ("causationid", command_id),
        ("traceparent", meta.get("traceparent")),
    )
    return Message(topic, home.encode(), body, headers)


def command_message(command: OutboxCommand, topic: str) -> Message:
    meta = orjson.loads(command.meta)
    headers = _headers(
        ("ce_id", str(command.command_id)),
        ("ce_type", command.type),
        ("ce_time", command.due_at.isoformat()),
        ("partitionkey", command.home),
        ("correlationid", meta.get("correlation_id")),
        ("causationid", meta.get("causation_id")),
        ("traceparent", meta.get("traceparent")),
    )
    return Message(topic, command.home.encode(), command.body, headers)


def dead_letter_message(letter: DeadLetter, topic: str) -> Message:
    """The record as it came, and why it is here."""
    why = [
        ("tender_code", letter.code.encode()),
        ("tender_reason", letter.reason.encode("utf-8", "replace")),
        ("tender_origin", f"{letter.topic}/{letter.partition}/{letter.offset}".encode()),
    ]
    return Message(topic, letter.key or b"", letter.value or b"", [*letter.headers, *why])


def _headers(*given: tuple[str, str | None]) -> list[tuple[str, bytes]]:
    fixed: Iterable[tuple[str, str | None]] = (("ce_specversion", "1.0"), ("ce_source", SOURCE), *given)
    return [(name, value.encode()) for name, value in fixed if value is not None]
