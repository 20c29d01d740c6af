"""Intake: a partition is read from where the store says, however long the store takes to say it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from services import intake as module
from services.handler import Handler
from services.intake import Intake, Partition
from services.store.memory import MemoryStore
from services.store.protocol import StoreUnavailable
from services.subjects import SUBJECTS
from tests.spec import Spec

PLACE = Partition("commands", 0)


class Seeks:
    def __init__(self) -> None:
        self.seen: list[tuple[Partition, int | None]] = []

    def seek(self, partition: Partition, offset: int | None) -> None:
        self.seen.append((partition, offset))


class Away:
    """A store that cannot be asked for an offset the first few times."""

    def __init__(self, times: int, offset: int | None) -> None:
        self.left, self._offset = times, offset

    async def __call__(self, cluster_id: str, topic: str, partition: int) -> int | None:
        if self.left:
            self.left -= 1
            raise StoreUnavailable("it is away")
        return self._offset


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)


def an_intake(store_offset: Away) -> Intake:
    clock = Spec()

    async def answer(messages: object) -> None:
        raise AssertionError("nothing is to be answered")

    handler = Handler(MemoryStore(now=clock.now), SUBJECTS, clock)
    return Intake(handler, store_offset, clock, cluster_id="c", results_topic="results", answer=answer)


@pytest.mark.parametrize(("times", "offset"), [(0, None), (0, 17), (3, 17)])
async def test_an_assigned_partition_is_sought_once_the_store_answers(times: int, offset: int | None) -> None:
    away, seeks = Away(times, offset), Seeks()
    await an_intake(away).assigned([PLACE], seeks)
    assert seeks.seen == [(PLACE, offset)]
    assert away.left == 0


@dataclass
class Note:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def notes(first: int, count: int) -> list[Note]:
    """Records that hold no command: each is set aside, and the offset goes on."""
    return [Note("commands", 0, first + n, b"t/A", b"{", [("ce_type", b"x")]) for n in range(count)]


async def test_a_partition_lost_between_two_parts_is_read_again_from_its_place() -> None:
    """Taken away while the first part was read, and given back: the second alone would skip the first."""
    store, clock, seeks = MemoryStore(now=Spec().now), Spec(), Seeks()

    async def answer(messages: object) -> None:
        pass

    intake = Intake(
        Handler(store, SUBJECTS, clock),
        store.offset,
        clock,
        cluster_id="c",
        results_topic="results",
        answer=answer,
        decisions_max=2,
    )
    await intake.assigned([PLACE], seeks)
    taking = asyncio.ensure_future(intake.take(notes(0, 4), seeks))
    asyncio.get_running_loop().call_soon(intake.revoked, [PLACE])
    await asyncio.sleep(0)
    await intake.assigned([PLACE], seeks)
    await taking
    known = await store.offset("c", "commands", 0)
    assert known in (None, 2, 4)
    letters = await store.dead_letters(0, 10)
    assert [letter.offset for _, letter in letters] == list(range(known or 0))
    await intake.take(notes(known or 0, 4 - (known or 0)), seeks)
    letters = await store.dead_letters(0, 10)
    assert [letter.offset for _, letter in letters] == [0, 1, 2, 3]
