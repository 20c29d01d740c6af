"""What goes onto Kafka: CloudEvents 1.0 in binary mode, made from the rows of the store.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from events.log import Recorded, RecordedVerdict
from services.store.protocol import DeadLetter, OutboxCommand

SOURCE = "/tender"
SEAL = "tender_seal"
RESULT_TYPE = "payments.command.result.v1"

Header = tuple[str, bytes]
_SPECVERSION: Header = ("ce_specversion", b"1.0")
_SOURCE: Header = ("ce_source", SOURCE.encode())
_RESULT: Header = ("ce_type", RESULT_TYPE.encode())


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
    headers: list[Header]


def event_messages(events: Iterable[Recorded], topic: str) -> list[Message]:
    """Events in the order of the log; what those of one command share is made once."""
    messages = list[Message]()
    shared: tuple[UUID, str] | None = None
    key, common, cause = b"", list[Header](), list[Header]()
    for position, home, stream, version, type, data, command_id, meta, occurred_at, _, _ in events:
        if shared != (command_id, home):
            shared, key = (command_id, home), home.encode()
            common = [_SPECVERSION, _SOURCE, _time(occurred_at), ("partitionkey", key)]
            cause = _cause(orjson.loads(meta), str(command_id))
        subject = stream.encode()
        headers = [
            *common,
            ("ce_id", b"%b@%d" % (subject, version)),
            ("ce_type", _event_type(type)),
            ("ce_subject", subject),
            ("position", b"%d" % position),
            ("version", b"%d" % version),
            *cause,
        ]
        messages.append(Message(topic, key, data, headers))
    return messages


@lru_cache(maxsize=1000)
def _time(at: datetime) -> Header:
    """The facts of a batch were all decided at one time."""
    return "ce_time", at.isoformat().encode()


@cache
def _event_type(topic: str) -> bytes:
    return f"payments.{topic}".encode()


def _cause(meta: Mapping[str, Any], causation_id: str | None) -> list[Header]:
    """What correlates a message with others, as far as it is known."""
    cause = list[Header]()
    if (correlation_id := meta.get("correlation_id")) is not None:
        cause.append(("correlationid", correlation_id.encode()))
    if causation_id is not None:
        cause.append(("causationid", causation_id.encode()))
    if (traceparent := meta.get("traceparent")) is not None:
        cause.append(("traceparent", traceparent.encode()))
    return cause


_RESULT_HEAD = '{"command_id":"%s","type":"%s","status":"%s","position":%d,"replayed":%s'


def result_body(
    command_id: UUID, type: str, status: str, outcome: bytes, position: int, replayed: bool = False
) -> bytes:
    """The JSON of a command's result; `outcome` is a JSON object, whose members become the result's."""
    said = _RESULT_HEAD % (command_id, type, status, position, "true" if replayed else "false")
    return b"%b}" % said.encode() if outcome == b"{}" else b"%b,%b" % (said.encode(), outcome[1:])


def verdict_message(verdict: RecordedVerdict, topic: str) -> Message:
    body = result_body(verdict.command_id, verdict.type, verdict.status, verdict.outcome, verdict.position)
    meta = orjson.loads(verdict.meta)
    return result_message(str(verdict.command_id), verdict.home, body, meta, verdict.recorded_at, topic)


def result_message(
    command_id: str, home: str, body: bytes, meta: dict[str, Any], at: datetime, topic: str
) -> Message:
    key, id = home.encode(), command_id.encode()
    headers = [
        _SPECVERSION,
        _SOURCE,
        ("ce_id", id),
        _RESULT,
        ("ce_time", at.isoformat().encode()),
        ("ce_subject", key),
        ("partitionkey", key),
        *_cause(meta, command_id),
    ]
    return Message(topic, key, body, headers)


Seal = Callable[[bytes, bytes, bytes, bytes], bytes]
"""(type, id, key, value) -> what proves that the command is ours."""


def command_message(command: OutboxCommand, topic: str, seal: Seal | None = None) -> Message:
    meta, key = orjson.loads(command.meta), command.home.encode()
    type, id = command.type.encode(), str(command.command_id).encode()
    headers = [
        _SPECVERSION,
        _SOURCE,
        ("ce_id", id),
        ("ce_type", type),
        ("ce_time", command.due_at.isoformat().encode()),
        ("partitionkey", key),
        *_cause(meta, meta.get("causation_id")),
    ]
    if seal is not None:
        headers.append((SEAL, seal(type, id, key, command.body)))
    return Message(topic, key, command.body, headers)


def dead_letter_message(letter: DeadLetter, topic: str) -> Message:
    """The record as it came, and why it is here."""
    why = [
        ("tender_code", letter.code.encode()),
        ("tender_reason", letter.reason.encode("utf-8", "replace")),
        ("tender_origin", f"{letter.topic}/{letter.partition}/{letter.offset}".encode()),
    ]
    return Message(topic, letter.key or b"", letter.value or b"", [*letter.headers, *why])
