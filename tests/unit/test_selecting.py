"""Runs are selected side by side: none waits for the end of another, and none is selected twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from uuid import uuid4

from events.criteria import Due
from projections.due import Cursor, Wanted
from services.commands import Actor, decode, encode
from services.handler import Handler
from services.runs.batch_run import PaymentBatchRun, StartPaymentBatchRun, home_of
from services.runs.page import ITEMS_MAX
from services.runs.tally import RunTally
from services.selecting import PAGES_AHEAD, TURN_PAGES, Selector
from services.states import state_of
from services.store.memory import MemoryStore
from services.subjects import SUBJECTS
from tests.spec import Spec

DAY = date(2026, 4, 6)


class Counted:
    """So many items are due by a day; read models are never behind."""

    def __init__(self) -> None:
        self.of: dict[date, int] = {}

    async def reaches(self, position: int, seconds: float) -> bool:
        return True

    async def read(self, wanted: Wanted, after: Cursor, limit: int) -> AsyncGenerator[Sequence[Due], None]:
        begin = int(after.number) if after.number else 0
        for first in range(begin, self.of[wanted.run_date], limit):
            last = min(first + limit, self.of[wanted.run_date])
            yield [self._due(wanted.run_date, n) for n in range(first + 1, last + 1)]

    @staticmethod
    def _due(day: date, n: int) -> Due:
        return Due(f"I{n}", f"S{n}", "A", f"{n:08}", day, 100, "USD", 0, None, "m", "card", "gw", (), None)


class Selecting:
    """A selector, and a worker that decides what it sends; but for runs that it is kept from."""

    def __init__(self) -> None:
        self.spec = Spec()
        self.store, self.due = MemoryStore(now=self.spec.now), Counted()
        self.handler = Handler(self.store, SUBJECTS, self.spec)
        self.held_up: Collection[str] = ()
        self.order: list[str] = []
        """Of runs, as they were selected whole."""

    async def start(self, run_id: str, items: int) -> None:
        day = DAY + timedelta(days=len(self.due.of))
        self.due.of[day] = items
        command = StartPaymentBatchRun(run_id, day)
        type, body = encode(
            command, tenant="t", account_id=home_of(run_id), actor=Actor(), command_id=uuid4()
        )
        (answer,) = await self.handler.handle([decode(type, body)])
        assert answer.status == "ACCEPTED", answer.outcome

    @asynccontextmanager
    async def running(self, readings_max: int) -> AsyncIterator[None]:
        selector = Selector(self.store, self.due, self.spec, f"{uuid4()}", readings_max)
        roles = [asyncio.ensure_future(selector.run()), asyncio.ensure_future(self._work())]
        try:
            yield
        finally:
            for role in roles:
                role.cancel()
            told = await asyncio.gather(*roles, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in told), told
            await selector.lease.release()

    async def _work(self) -> None:
        homes = {f"t/{home_of(run_id)}" for run_id in self.held_up}
        async for _ in self.store.wakeups():
            for row in await self.store.due_commands(self.spec.now(), 1e9, 1_000):
                if row.home not in homes:
                    await self.handler.handle([decode(row.type, row.body)])

    async def until_selected(self, *run_ids: str) -> None:
        async for _ in self.store.wakeups():
            for run_id in run_ids:
                if run_id not in self.order and (await self.run_of(run_id)).selected:
                    self.order.append(run_id)
            if set(run_ids) <= set(self.order):
                return

    async def run_of(self, run_id: str) -> PaymentBatchRun:
        return await state_of(self.store, "t", PaymentBatchRun, run_id)

    async def pages_of(self, run_id: str) -> int:
        return (await state_of(self.store, "t", RunTally, run_id)).pages


async def test_a_run_that_begins_later_does_not_wait_for_the_end_of_another() -> None:
    all = Selecting()
    all.held_up = ("HUGE",)
    await all.start("HUGE", 100 * ITEMS_MAX)
    async with asyncio.timeout(60), all.running(readings_max=2):
        while len(await all.store.due_commands(all.spec.now(), 1e9, 1_000)) < PAGES_AHEAD:
            await asyncio.sleep(0)
        await all.start("SMALL", 3)
        await all.until_selected("SMALL")
    assert (await all.pages_of("SMALL"), await all.pages_of("HUGE")) == (1, 0)


async def test_runs_take_turns_where_all_places_are_taken() -> None:
    all = Selecting()
    await all.start("HUGE", (TURN_PAGES + 2 * PAGES_AHEAD) * ITEMS_MAX)
    await all.start("SMALL", 3)
    async with asyncio.timeout(120), all.running(readings_max=1):
        await all.until_selected("SMALL", "HUGE")
    assert all.order == ["SMALL", "HUGE"]
    assert await all.pages_of("HUGE") == TURN_PAGES + 2 * PAGES_AHEAD, "nothing was read twice"
    assert (await state_of(all.store, "t", RunTally, "HUGE")).filtered == all.due.of[DAY]


async def test_what_was_not_selected_whole_is_begun_again_by_the_next() -> None:
    all = Selecting()
    all.held_up = ("HUGE",)
    await all.start("HUGE", 2 * PAGES_AHEAD * ITEMS_MAX)
    await all.start("SMALL", 3)
    async with asyncio.timeout(60), all.running(readings_max=2):
        await all.until_selected("SMALL")
    assert await all.store.tracking("runs") == 0, "the first is not done"
    all.held_up = ()
    async with asyncio.timeout(60), all.running(readings_max=2):
        await all.until_selected("HUGE")
    assert await all.pages_of("HUGE") == 2 * PAGES_AHEAD
    assert await all.pages_of("SMALL") == 1
