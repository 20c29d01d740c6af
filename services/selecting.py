"""Runs are selected here: what is due is read from the read models, and sent to the run page by page.

Read models are read where they have reached the run's own start, so that an item or a method of a second
ago counts.  A page that was sent is in the outbox; who begins anew goes on where the run itself stands, so
a crash loses and doubles nothing.  Runs are selected side by side, so that none waits for another's end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import orjson

from events import ids
from events.catalog import TOPICS
from events.criteria import Due
from events.log import Recorded
from events.money import Money
from events.run import PaymentBatchRunCreated, PaymentBatchRunResumed, RunItem
from projections.due import BEGINNING, Cursor, DueItems, Wanted
from services.clock import Clock
from services.commands import Actor
from services.lease import Lease
from services.outbox import outbox_command
from services.process_runner import GATHER_SECONDS
from services.runs.batch_run import GOING, FailPaymentBatchRun, PaymentBatchRun, home_of
from services.runs.criteria import CUSTOM, asks_for, matching
from services.runs.page import ITEMS_MAX
from services.runs.selecting import SelectRunItems
from services.runs.tally import RunTally
from services.states import state_of
from services.store.protocol import Batch, Store, StoreUnavailable, Tracking, TrackingMoved

NAME = "runs"
BEGINNINGS = (TOPICS[PaymentBatchRunCreated], TOPICS[PaymentBatchRunResumed])
SPAN = 5_000
READ_MAX = 4 * ITEMS_MAX
"""Items read at a time: where few match, a page is gathered of many."""
PAGES_AHEAD = 8
"""Sent and not decided: a run of any length is selected with bounded memory."""
READINGS_MAX = 6
"""Read at a time; the read models keep so many answers, and some more, for one process."""
TURN_PAGES = 5 * PAGES_AHEAD
"""Of a run while others wait for their turn: then it goes to the end of the queue."""
GOING_MAX = 1_000
"""Runs that are selected, or wait for their turn, before more are looked for."""
PAUSE_SECONDS = 1.0
LOOK_SECONDS, LOOKS_MAX = 2.0, 300
"""So often read models that are behind are waited for so long; then they fail the run: it may be resumed."""
ACTOR = Actor("SYSTEM", "runs")


class Page(NamedTuple):
    """Items of a run, in its order."""

    items: tuple[Due, ...]
    after: Cursor
    cursor: Cursor
    last: bool


async def pages(
    due: DueItems, tenant: str, run: PaymentBatchRunCreated, after: Cursor = BEGINNING, taken: int = 0
) -> AsyncGenerator[Page, None]:
    """What a run takes, behind an item and so many that it took before; the last page may be empty."""
    test = matching(run.criteria)
    retried_by = run.created_at if run.is_retry else None
    more = (asks_for(run.criteria, field) for field in ("INVOICE", CUSTOM))
    wanted = Wanted(tenant, run.run_date, retried_by, *more)
    left = run.max_items - taken if run.max_items else None
    held, begin = list[Due](), after
    ended = left is not None and left <= 0
    async with aclosing(due.read(wanted, after, READ_MAX)) as reading:
        following = _begun(reading)
        try:
            while not ended:
                found = await following
                ended = not found
                if not ended:  # the next are read while these are looked at
                    following = _begun(reading)
                held += filter(test, found)
                if left is not None and len(held) >= left:
                    held, ended = held[:left], True
                while len(held) > ITEMS_MAX:
                    items, held = tuple(held[:ITEMS_MAX]), held[ITEMS_MAX:]
                    left = None if left is None else left - len(items)
                    yield Page(items, begin, Cursor.of(items[-1]), last=False)
                    begin = Cursor.of(items[-1])
            yield Page(tuple(held), begin, Cursor.of(held[-1]) if held else begin, last=True)
        finally:
            following.cancel()
            await asyncio.wait([following])


def _begun(reading: AsyncGenerator[Sequence[Due], None]) -> asyncio.Future[Sequence[Due]]:
    """Read the next, none after the last; if nobody asks for them any more, nobody asks why they could not
    be read."""
    following = asyncio.ensure_future(_next(reading))
    following.add_done_callback(lambda done: done.cancelled() or done.exception())
    return following


async def _next(reading: AsyncGenerator[Sequence[Due], None]) -> Sequence[Due]:
    async for found in reading:
        return found
    return ()


class _Refused(Exception):
    """A page cannot be decided."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Selector:
    """One at a time, by lease: it hears of runs that began, or were resumed, and selects for them."""

    def __init__(
        self, store: Store, due: DueItems, clock: Clock, holder: str, readings_max: int = READINGS_MAX
    ) -> None:
        self._store, self._due, self._clock = store, due, clock
        self.lease = Lease(store, NAME, holder, clock)
        self._going: dict[int, asyncio.Task[None]] = {}
        """By the position of what began them."""
        self._readings, self._queued = asyncio.Semaphore(readings_max), 0
        self._at: int | None = None
        """Up to where beginnings have been looked for; None: to be found in the store."""
        self._done = 0
        """The same, of those that are selected: as the store has it."""

    async def run(self) -> None:
        """Select for whatever begins; runs until cancelled."""
        try:
            async for _ in self._store.wakeups():
                try:
                    while await self.step() >= SPAN:
                        pass
                    await asyncio.sleep(GATHER_SECONDS)
                except (StoreUnavailable, TrackingMoved, OSError):
                    await self._abandon()
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await self._abandon()

    async def step(self) -> int:
        """Begin to select for the runs that begin next; how many events were passed."""
        if not await self.lease.held():
            await self._abandon()
            return 0
        if self._at is None:
            self._at = self._done = await self._store.tracking(NAME)
        passed = await self._look() if len(self._going) < GOING_MAX else 0
        await self._keep_progress()
        return passed

    async def _look(self) -> int:
        assert self._at is not None
        after = self._at
        self._at, events = await self._store.read_topics(after, SPAN, BEGINNINGS)
        for event in events:
            self._going[event.position] = asyncio.create_task(self._select(event), name="select a run")
        return self._at - after

    async def _keep_progress(self) -> None:
        """Up to the first that is not selected yet: whoever takes over begins with that one."""
        assert self._at is not None
        for position in [position for position, task in self._going.items() if task.done()]:
            self._going[position].result()
            del self._going[position]
        done = min(self._going, default=self._at + 1) - 1
        if done > self._done:
            await self._store.commit(Batch(tracking=[Tracking(NAME, self._done, done)]))
            self._done = done

    async def _abandon(self) -> None:
        """Whoever goes on begins where the store says, and each run where it stands."""
        going, self._going, self._at = self._going.values(), {}, None
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    async def _select(self, event: Recorded) -> None:
        tenant, _, run_id = ids.parts(event.stream)
        try:
            while await self._select_some(tenant, run_id, event):
                pass
        except _Refused as why:
            await self._send(tenant, run_id, FailPaymentBatchRun(run_id, why.code, why.message), event)

    async def _select_some(self, tenant: str, run_id: str, event: Recorded) -> bool:
        """In its turn, as much as that allows; whether there is more to select, or was."""
        async with self._turn():
            if not await self._reaches(event.position):
                message = f"the read models have not reached the position {event.position} yet"
                raise _Refused("READ_MODEL_BEHIND", message)
            run = await state_of(self._store, tenant, PaymentBatchRun, run_id)
            known = await state_of(self._store, tenant, RunTally, run_id)
            if run.status not in GOING or run.selected:
                return False
            await self._send_pages(tenant, run, known, event)
            return True

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        """First come, first served."""
        self._queued += 1
        try:
            await self._readings.acquire()
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._readings.release()

    async def _reaches(self, position: int) -> bool:
        """Whether the read models get there; the lease is kept meanwhile."""
        for _ in range(LOOKS_MAX):
            if await self._due.reaches(position, LOOK_SECONDS):
                return True
            await self.lease.held()
        return False

    async def _send_pages(self, tenant: str, run: PaymentBatchRun, known: RunTally, event: Recorded) -> None:
        """From where the run stands to its end; or to that of its turn, or until others send another page."""
        assert run.created
        page_no, sent = known.pages, list[UUID]()
        after, taken = Cursor.parsed(known.cursor), known.filtered
        cursor = known.cursor
        async with aclosing(pages(self._due, tenant, run.created, after, taken)) as selected:
            async for page in selected:
                page_no += 1
                select = SelectRunItems(
                    run.created.run_id,
                    page_no,
                    cursor,
                    str(page.cursor) if page.items else cursor,
                    tuple(map(frozen, page.items)),
                    page.last,
                    event.position,
                )
                cursor = select.cursor
                sent.append(await self._send(tenant, run.created.run_id, select, event, run.turn))
                if len(sent) >= PAGES_AHEAD or page.last:
                    if not await self._all_advanced(sent) or self._is_over(page_no - known.pages):
                        return
                    sent.clear()

    def _is_over(self, pages: int) -> bool:
        """Whether a turn is, after so many pages."""
        return self._queued > 0 and pages >= TURN_PAGES

    async def _all_advanced(self, command_ids: Sequence[UUID]) -> bool:
        """Wait until they are decided; whether each changed something."""
        async for _ in self._store.wakeups():
            await self.lease.held()
            verdicts = (await self._store.verdicts(command_ids)).values()
            outcomes = [orjson.loads(verdict.outcome) for verdict in verdicts]
            for outcome in outcomes:
                if "code" in outcome:
                    raise _Refused(outcome["code"], outcome["message"])
            if len(outcomes) == len(set(command_ids)):
                return all(outcome["streams"] for outcome in outcomes)
        raise AssertionError("a store wakes whoever waits for it")

    async def _send(self, tenant: str, run_id: str, command: object, event: Recorded, turn: int = 0) -> UUID:
        """Into the outbox, under an identity that follows from its content.

        And from the run's turn: what changed nothing while it was stopped is sent anew once it is resumed.
        """
        row = outbox_command(
            command,
            f"runs:{run_id}:{event.position}:{turn}:{_digest(command)}",
            tenant=tenant,
            account_id=home_of(run_id),
            actor=ACTOR,
            meta=orjson.dumps({"correlation_id": run_id, "causation_id": event.event_id}),
            due_at=self._clock.now(),
        )
        await self._store.commit(Batch(outbox=[row]))
        return row.command_id


def _digest(command: object) -> str:
    return sha256(orjson.dumps(command)).hexdigest()[:32]


def frozen(due: Due) -> RunItem:
    return RunItem(
        due.item_id,
        due.payment_schedule_id,
        due.account_id,
        due.number,
        Money(due.amount, due.currency),
        due.attempts + 1,
        due.gateway_id or "",
        due.method_id,
    )
