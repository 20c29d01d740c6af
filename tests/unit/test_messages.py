"""What goes onto Kafka, header by header."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import orjson

from events.log import Recorded, RecordedVerdict
from services.messages import event_messages, result_body, verdict_message

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)
TRACED = orjson.dumps({"correlation_id": "c", "traceparent": "00-1", "actor": {"id": "x"}})


def recorded(position: int, command_id: UUID, meta: bytes = b"{}", home: str = "t/Ä") -> Recorded:
    topic, stream = "payment.canceled.v2", f"t/payment-{position}"
    return Recorded(position, home, stream, 3, topic, b'{"a":1}', command_id, meta, NOW, NOW, True)


def test_an_event_says_where_it_stands_and_what_caused_it() -> None:
    [message] = event_messages([recorded(7, ONE, TRACED)], "events")
    assert message.topic == "events"
    assert message.key == "t/Ä".encode()
    assert message.value == b'{"a":1}'
    assert message.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/tender"),
        ("ce_time", b"2026-03-02T09:00:00+00:00"),
        ("partitionkey", "t/Ä".encode()),
        ("ce_id", b"t/payment-7@3"),
        ("ce_type", b"payments.payment.canceled.v2"),
        ("ce_subject", b"t/payment-7"),
        ("position", b"7"),
        ("version", b"3"),
        ("correlationid", b"c"),
        ("causationid", str(ONE).encode()),
        ("traceparent", b"00-1"),
    ]


def test_each_event_has_the_cause_of_its_own_command() -> None:
    events = [
        recorded(1, ONE, TRACED),
        recorded(2, ONE, TRACED),
        recorded(3, TWO),
        recorded(4, TWO, home="t/b"),
    ]
    told = [(m.key, dict(m.headers)) for m in event_messages(events, "events")]
    assert [headers["causationid"] for _, headers in told] == [
        str(id).encode() for id in (ONE, ONE, TWO, TWO)
    ]
    assert [headers.get("correlationid") for _, headers in told] == [b"c", b"c", None, None]
    assert [key for key, _ in told] == ["t/Ä".encode(), "t/Ä".encode(), "t/Ä".encode(), b"t/b"]


def test_a_result_is_its_verdict_with_the_members_of_its_outcome() -> None:
    head = {"command_id": str(ONE), "type": "x.v1", "status": "REJECTED", "position": 9, "replayed": True}
    assert orjson.loads(result_body(ONE, "x.v1", "REJECTED", b"{}", 9, replayed=True)) == head
    body = result_body(ONE, "x.v1", "REJECTED", b'{"code":"A","details":{}}', 9, replayed=True)
    assert orjson.loads(body) == head | {"code": "A", "details": {}}


def test_a_verdict_is_told_under_its_commands_id() -> None:
    verdict = RecordedVerdict(5, ONE, "t/A", "x.v1", b"f", "ACCEPTED", b'{"streams":{}}', 9, TRACED, NOW)
    message = verdict_message(verdict, "results")
    assert orjson.loads(message.value)["streams"] == {}
    assert message.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/tender"),
        ("ce_id", str(ONE).encode()),
        ("ce_type", b"payments.command.result.v1"),
        ("ce_time", b"2026-03-02T09:00:00+00:00"),
        ("ce_subject", b"t/A"),
        ("partitionkey", b"t/A"),
        ("correlationid", b"c"),
        ("causationid", str(ONE).encode()),
        ("traceparent", b"00-1"),
    ]
