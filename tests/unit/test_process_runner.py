"""The process runner: one at a time, and what it repeats after a crash is the same command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.process_runner import NAME, ProcessRunner
from services.store.protocol import Batch, OutboxCommand, StoreUnavailable
from services.subjects import PROCESSES, SUBJECTS
from tests.journey import Journey, line


def journey() -> Journey:
    """A refund orchestration was asked for; nobody has reacted yet."""
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    j.pay("P", "100.00", j.post("INV", line("1", "100.00")))
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    return j


def runner(j: Journey, holder: str = "one") -> ProcessRunner:
    return ProcessRunner(j.store, PROCESSES, SUBJECTS, j, holder)


async def due(j: Journey) -> list[OutboxCommand]:
    return list(await j.store.due_commands(j.time, 60, 100))


async def test_it_reacts_to_what_is_recorded_and_remembers_how_far() -> None:
    j = journey()
    assert await runner(j).step() == len(j.events())
    assert await j.store.tracking(NAME) == j.events()[-1].position
    assert "payments.refund_orchestration.execute_plan.v1" in [command.type for command in await due(j)]
    assert await runner(j).step() == 0


class Dying:
    """A store that the process does not survive writing to; what was to be written is remembered."""

    def __init__(self, store: Any) -> None:
        self._store, self.lost = store, list[OutboxCommand]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> None:
        self.lost += batch.outbox
        raise StoreUnavailable("killed")


async def test_after_a_crash_the_next_one_sends_the_same_commands() -> None:
    j = journey()
    dying: Any = Dying(j.store)
    with pytest.raises(StoreUnavailable):
        await ProcessRunner(dying, PROCESSES, SUBJECTS, j, "one").step()
    assert await j.store.tracking(NAME) == 0
    assert await due(j) == []
    await runner(j).step()
    lost, sent = ([(c.command_id, c.body) for c in found] for found in (dying.lost, await due(j)))
    assert sent
    assert sorted(sent) == sorted(lost)


async def test_only_who_holds_the_lease_reacts_until_it_ends() -> None:
    j = journey()
    assert await runner(j).lease.held()
    other = runner(j, "other")
    assert await other.step() == 0
    assert await due(j) == []
    j.at(timedelta(seconds=11))
    assert await other.step() > 0
