"""Intake: a partition is read from where the store says, however long the store takes to say it."""

from __future__ import annotations

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
