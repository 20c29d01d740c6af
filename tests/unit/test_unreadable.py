"""What Tender sent itself and cannot read is sent once, and waits; what nobody vouches for is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
import pytest

from services.accounts.account import RegisterAccount
from services.commands import Actor
from services.errors import Rejected
from services.handler import Handler
from services.intake import Intake, Partition
from services.messages import Message, Topics, command_message
from services.outbox import outbox_command
from services.relay import Relay
from services.signing_in.callers import Callers
from services.signing_in.seals import Seals
from services.store.memory import MemoryStore
from services.store.protocol import Batch, OutboxCommand
from services.subjects import SUBJECTS
from services.unparking import drop, release
from tests.spec import Spec

SEALS = Seals([b"of this test"])
PLACE = Partition("commands", 0)
SENDER = Actor("SYSTEM", "process:collecting")
FUTURE = "payments.account.reconsider.v1"
"""A type of a later version's."""
MANY = 5
"""Times that the relay has a chance to send it again."""


@dataclass
class Kept:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Topic:
    """A broker of one partition, that forgets nothing."""

    def __init__(self) -> None:
        self.records: list[Kept] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        for topic, key, value, headers in messages:
            if topic == "commands":
                self.records.append(Kept(topic, 0, len(self.records), key, value, headers))

    def seek(self, partition: Partition, offset: int | None) -> None:
        pass


class Running:
    """A relay and a worker on one store."""

    def __init__(self, sealing: Seals = SEALS) -> None:
        self.spec, self.topic = Spec(), Topic()
        self.store = MemoryStore(now=self.spec.now)
        self.handler = Handler(self.store, SUBJECTS, self.spec)

        async def answer(messages: Sequence[Message]) -> None:
            pass

        self.intake = Intake(
            self.handler,
            self.store.offset,
            self.spec,
            cluster_id="c",
            results_topic="results",
            answer=answer,
            callers=Callers(SEALS, signed_in=True),
        )
        topics = Topics("commands", "results", "events", "dead-letters")
        self.relay = Relay(
            self.store, self.topic, self.spec, holder="r", cluster_id="c", topics=topics, seal=sealing.made
        )

    async def send(self, row: OutboxCommand) -> None:
        """Have it published whenever it is due, for a long time, and everything read."""
        await self.store.commit(Batch(outbox=[row]))
        await self.intake.assigned([PLACE], self.topic)
        for _ in range(MANY):
            await self.relay.step()
            await self.intake.take(self.topic.records, self.topic)
            self.spec.time += timedelta(minutes=1)


def registration(*, correlation_id: str = "c1", type: str | None = None) -> OutboxCommand:
    meta = orjson.dumps({"correlation_id": correlation_id})
    row = outbox_command(
        RegisterAccount("Ada"), "k", tenant="t", account_id="A", actor=SENDER, meta=meta, due_at=Spec().now()
    )
    return row if type is None else row._replace(type=type)


UNREADABLE = {"of a later version": {"type": FUTURE}, "with an odd header": {"correlation_id": "x" * 600}}


@pytest.mark.parametrize("odd", UNREADABLE.values(), ids=UNREADABLE)
async def test_it_is_sent_once_and_parked_and_no_dead_letter(odd: dict[str, str]) -> None:
    running, row = Running(), registration(**odd)
    await running.send(row)
    assert len(running.topic.records) == 1
    assert not await running.store.dead_letters(0, 10)
    (parked,) = await running.store.parked_commands("t/A")
    assert (parked.command_id, parked.type, parked.body) == (row.command_id, row.type, row.body)
    verdict = (await running.store.verdicts([row.command_id]))[row.command_id]
    assert (verdict.status, orjson.loads(verdict.outcome)["code"]) == ("PARKED", "PARKED")
    assert await running.store.offset("c", "commands", 0) == 1


async def test_whoever_can_read_it_decides_it_as_what_its_sender_sent() -> None:
    running, row = Running(), registration(correlation_id="x" * 600)
    await running.send(row)
    assert await release(running.store, running.handler, "t/A") == 1
    assert not await running.store.parked_homes()
    (event,) = await running.store.read(0, 10)
    assert event.command_id == row.command_id
    assert orjson.loads(event.meta)["actor"]["id"] == SENDER.id


async def test_it_waits_while_nobody_can_read_it_and_may_be_given_up() -> None:
    running, row = Running(), registration(type=FUTURE)
    await running.send(row)
    assert await release(running.store, running.handler, "t/A") == 0
    assert set(await running.store.parked_homes()) == {"t/A"}
    with pytest.raises(Rejected, match="no command"):
        await drop(running.store, running.spec, "t/A", UUID(int=1), Actor("USER", "ada"), "unknown")
    await drop(running.store, running.spec, "t/A", row.command_id, Actor("USER", "ada"), "obsolete")
    assert not await running.store.parked_homes()
    verdict = (await running.store.verdicts([row.command_id]))[row.command_id]
    assert verdict.status == "REJECTED"


async def test_what_is_sealed_under_a_key_that_is_not_here_is_set_aside_once() -> None:
    running = Running(sealing=Seals([b"another key"]))
    await running.send(registration())
    assert len(running.topic.records) == MANY, "it is not ours for certain, so it may be sent again"
    letters = await running.store.dead_letters(0, 10)
    assert [letter.code for _, letter in letters] == ["UNAUTHENTICATED"]
    assert not await running.store.parked_homes()
    assert await running.store.offset("c", "commands", 0) == MANY


async def test_whoever_copies_a_seal_onto_something_else_parks_nothing() -> None:
    running, row = Running(), registration(type=FUTURE)
    (_, key, value, headers) = command_message(row, "commands", SEALS.made)
    running.topic.records.append(Kept("commands", 0, 0, key, value + b" ", headers))
    await running.intake.assigned([PLACE], running.topic)
    await running.intake.take(running.topic.records, running.topic)
    assert [letter.code for _, letter in await running.store.dead_letters(0, 10)] == ["UNAUTHENTICATED"]
    assert not await running.store.parked_homes()


async def test_the_name_of_a_header_may_hold_anything() -> None:
    running = Running()
    running.topic.records.append(Kept("commands", 0, 0, b"t/A", b"{", [("od\x00d", b"1"), ("ce_type", b"x")]))
    await running.intake.assigned([PLACE], running.topic)
    await running.intake.take(running.topic.records, running.topic)
    ((_, letter),) = await running.store.dead_letters(0, 10)
    assert letter.headers == (("od�d", b"1"), ("ce_type", b"x"))
