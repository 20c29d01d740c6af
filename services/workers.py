"""Gateway workers: they send what was decided, and inquire about what is not known.  Nothing else.

Each gateway has a lane of its own: how much it is sent at a time is `safety`'s to say, and one that is
slow or broken holds up no other.

Invariant: a lease that says "sent at" is committed before the first byte leaves; whoever takes such a
lease over inquires, and never sends.  An answer goes back as a command, and ends the lease only when
its event is in the log.  A worker that is told to end begins nothing more: what it has not sent it gives
back, and what is in the air may land while its grace lasts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from events import ids
from events.catalog import TOPICS
from events.gateway_call import GatewayCallPlanned
from events.mapper import decode
from events.shapes import Outcome
from gateways.outcomes import not_sent, unknown
from gateways.protocol import Gateway
from services.calls.calling import Report, Source
from services.calls.gateway import CloseCircuit, OpenCircuit
from services.calls.reports import REPORTS
from services.calls.safety import AHEAD, Lane, Limits, Signal
from services.clock import Clock
from services.commands import Actor
from services.outbox import outbox_command
from services.store.protocol import Batch, OutboxCommand, Room, Store, StoreUnavailable, Work, WorkAnswered

PLANNED = TOPICS[GatewayCallPlanned]
"""The queue keeps requests in the shape of their day; what an older one lacks is optional."""
PAUSE_SECONDS = 0.5
MIN_ALARM_SECONDS = 0.01
GATHER_SECONDS = 0.005
ANSWERS_MAX = 2_000
UNWRITTEN = 3
"""Times as many answers as calls in the air may wait for the store before less is leased."""
STALE_SHARE = 0.1
"""Of a lease: what was leased ahead and did not begin by then is not sent any more."""
ACTOR = Actor("SYSTEM", "gateway-worker")

TAKEN_OVER = Outcome(
    "Indeterminate", category="GatewayConnection", raw_message="the worker that sent it is gone"
)


LANES_MAX = 10_000
"""Gateways that one worker keeps count of; those that have nothing in the air make room for others."""


class Leased(NamedTuple):
    """A call that is ours until its lease is over."""

    work: Work
    lease: str
    at: datetime


class Queue:
    """A gateway's lane, and what was leased ahead for it: it begins when a call in the air has ended."""

    __slots__ = ("lane", "waiting")

    def __init__(self) -> None:
        self.lane = Lane(Limits(at_once=1))
        self.waiting: deque[Leased] = deque()

    def leasable(self, now: datetime, free: int) -> int:
        """How many to lease, where the worker itself has room for so many."""
        return max(0, min(self.lane.room(now), free) + self.lane.ahead(now) - len(self.waiting))


class GatewayWorker:
    """`gateway_of(tenant, gateway_id)` gives the adapter of a registered gateway; `limits_of` how much it
    is sent at a time, and until when its circuit is open."""

    def __init__(
        self,
        store: Store,
        gateway_of: Callable[[str, str], Awaitable[Gateway]],
        clock: Clock,
        *,
        holder: str,
        limits_of: Callable[[str, str], Awaitable[tuple[Limits, datetime | None]]] | None = None,
        concurrency: int = 200,
        lease_seconds: float = 180.0,
        grace_seconds: float = 0.0,
    ) -> None:
        self._store, self._gateway_of, self._clock = store, gateway_of, clock
        self._holder, self._concurrency, self._lease_seconds = holder, concurrency, lease_seconds
        self._grace_seconds, self._ending = grace_seconds, False
        self._limits_of = limits_of or self._unlimited
        self._queues: dict[tuple[str, str], Queue] = {}
        self._claims = 0
        self._in_air = self._waiting = 0
        self._ahead = concurrency // AHEAD
        self._calls: set[asyncio.Task[None]] = set()
        """In the air, or with an answer that is not written yet."""
        self._due, self._room = asyncio.Event(), asyncio.Event()
        self._answers = Answers(store)
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Work until cancelled; what is in the air when the grace is over is taken over later, as unknown."""
        hearing = asyncio.create_task(self._hear(), name="hear of work")
        hearing.add_done_callback(lambda _: self._due.set())
        try:
            while not hearing.done():
                self._due.clear()
                try:
                    while await self.step():
                        await self._until_room()
                except StoreUnavailable:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                await self._due.wait()
            hearing.result()
        finally:
            hearing.cancel()
            await self._end()

    async def _end(self) -> None:
        self._ending = True
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            if self._grace_seconds:
                for queue in self._queues.values():
                    self._give_back(queue)
                if self._calls:
                    await asyncio.wait(self._calls, timeout=self._grace_seconds)
        finally:
            for running in (*self._calls, *self._answers.writing):
                running.cancel()

    def _give_back(self, queue: Queue) -> None:
        """What was leased ahead and never sent: nobody needs to wait for its lease to end, nor to inquire."""
        for leased in queue.waiting:
            if not leased.work.taken_over:
                self._hold(self._not_begun(leased), leased.work)
        self._waiting -= len(queue.waiting)
        queue.waiting.clear()

    async def _not_begun(self, leased: Leased) -> None:
        work = leased.work
        report = self._unsent(work, "its worker ended before its turn came")
        await self._hand_back(work, leased.lease, decode(PLANNED, work.request), report)

    def _hold(self, answering: Coroutine[Any, Any, None], work: Work) -> None:
        call = asyncio.create_task(answering, name=f"{work.mode} {work.key}")
        self._calls.add(call)
        call.add_done_callback(self._ended)

    async def step(self) -> int:
        """Lease what is due, as far as there is room and a little ahead, and begin it; how much that was."""
        room = self._leasable
        if room <= 0:
            return 0
        self._claims += 1
        lease = f"{self._holder}#{self._claims}"
        now, free = self._clock.now(), max(0, self._concurrency - self._in_air)
        rooms = [Room(tenant, id, queue.leasable(now, free)) for (tenant, id), queue in self._queues.items()]
        unmet = min(1, free)
        leased = await self._store.claim_work(lease, now, self._lease_seconds, room, rooms, each=unmet)
        queues: dict[int, Queue] = {}
        for work in leased:
            queue = self._queue(work)
            queues[id(queue)] = queue
            queue.waiting.append(Leased(work, lease, now))
            self._waiting += 1
        for queue in queues.values():
            self._begin(queue)
        self._set_alarm(now)
        return len(leased)

    @property
    def _leasable(self) -> int:
        """How many may be leased: into the air, and ahead; fewer while many answers wait to be written."""
        held, unwritten = self._in_air + self._waiting, len(self._calls) - self._in_air
        too_many = max(0, unwritten - self._concurrency * UNWRITTEN)
        return self._concurrency + self._ahead - held - too_many

    def _begin(self, queue: Queue) -> None:
        """Put into the air what was leased, as far as its gateway and this worker have room."""
        while queue.waiting and self._in_air < self._concurrency and not self._ending:
            taken_over = queue.waiting[0].work.taken_over
            if queue.lane.full and not taken_over:
                return
            leased = queue.waiting.popleft()
            self._waiting -= 1
            queue.lane.begin(self._clock.now())
            self._in_air += 1
            self._hold(self._work(leased, queue), leased.work)
        if self._waiting <= self._ahead // 2:
            self._room.set()

    def _landed(self, queue: Queue) -> None:
        """A call is no longer in the air: the next begins, its own gateway's first."""
        self._in_air -= 1
        self._begin(queue)
        if self._waiting and self._in_air < self._concurrency:
            for other in self._queues.values():
                if other.waiting:
                    self._begin(other)
        self._room.set()

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._room.set()

    async def idle(self) -> None:
        """Return once nothing is in the air."""
        while self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def _hear(self) -> None:
        async for _ in self._store.wakeups():
            self._due.set()

    def _queue(self, work: Work) -> Queue:
        """Of a gateway that is met for the first time, one call shows what it is."""
        key = work.home.partition("/")[0], work.gateway_id
        if key not in self._queues:
            if len(self._queues) >= LANES_MAX:
                busy = {
                    known: queue
                    for known, queue in self._queues.items()
                    if queue.lane.in_air or queue.waiting
                }
                self._queues.clear()
                self._queues.update(busy)
            self._queues[key] = Queue()
        return self._queues[key]

    def _set_alarm(self, now: datetime) -> None:
        """Look again when a gateway that is limited, or was left alone, may be sent more."""
        times = [at for queue in self._queues.values() if (at := queue.lane.next_at(now))]
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if times:
            seconds = max(MIN_ALARM_SECONDS, (min(times) - now).total_seconds())
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._due.set)

    async def _until_room(self) -> None:
        """Wait for room, and for a moment more: what ends together is made up for in one claim."""
        if self._leasable <= self._ahead // 2:
            while self._leasable <= self._ahead // 2:
                self._room.clear()
                await self._room.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def _work(self, leased: Leased, queue: Queue) -> None:
        work, lane = leased.work, queue.lane
        planned = decode(PLANNED, work.request)
        tenant = work.home.partition("/")[0]
        signal: Signal | None = None
        try:
            if work.taken_over:
                self._over(lane)
                report = self._report(work, "RECONCILER", TAKEN_OVER)
            else:
                report, signal = await self._called(leased, queue, tenant, planned)
        finally:
            self._landed(queue)
        if signal:
            await self._tell_health(tenant, work.gateway_id, signal)
        await self._hand_back(work, leased.lease, planned, report)

    async def _called(
        self, leased: Leased, queue: Queue, tenant: str, planned: GatewayCallPlanned
    ) -> tuple[Report, Signal | None]:
        """The gateway's answer, and what it says of its health; nothing is sent long after it was leased."""
        work, lane, begun = leased.work, queue.lane, self._clock.now()
        if (begun - leased.at).total_seconds() > self._lease_seconds * STALE_SHARE:
            self._over(lane)
            return self._unsent(work, "its turn did not come in time"), None
        try:
            report = await self._asked(work, queue, tenant, planned)
        except BaseException:
            self._over(lane)
            raise
        if lane.full:
            self._due.set()
        told, now = report.result, self._clock.now()
        seconds = (now - begun).total_seconds()
        return report, lane.end(now, told.result_code, told.retry_after_seconds, seconds)

    def _over(self, lane: Lane) -> None:
        """It is no longer in the air, and says nothing of its gateway."""
        if lane.full:
            self._due.set()
        lane.in_air -= 1

    async def _asked(self, work: Work, queue: Queue, tenant: str, planned: GatewayCallPlanned) -> Report:
        """Ask the gateway, in the time that a call may take, whatever its adapter does."""
        ask, source = self._inquire if work.mode == "INQUIRE" else self._send, _source(work)
        lane = queue.lane
        try:
            gateway = await self._gateway_of(tenant, work.gateway_id)
            lane.limits, circuit_open_until = await self._limits_of(tenant, work.gateway_id)
        except StoreUnavailable:
            return self._unsent(work, "the gateway's registration cannot be read now")
        if lane.meet(circuit_open_until):
            self._due.set()
        try:
            async with asyncio.timeout(lane.limits.call_seconds):
                return await ask(gateway, planned, work)
        except TimeoutError:
            return self._report(work, source, unknown("no answer in the time that a call may take"))
        except Exception as error:
            return self._report(work, source, unknown(f"the adapter raised {type(error).__name__}"))

    async def _unlimited(self, tenant: str, gateway_id: str) -> tuple[Limits, datetime | None]:
        return Limits(at_once=self._concurrency, call_seconds=self._lease_seconds * 0.9), None

    async def _send(self, gateway: Gateway, planned: GatewayCallPlanned, work: Work) -> Report:
        if work.mode == "RESEND" and gateway.capabilities.idempotency:
            planned = replace(planned, duplicate_suspected=True)
        return self._report(work, "GATEWAY", await gateway.call(planned))

    async def _inquire(self, gateway: Gateway, planned: GatewayCallPlanned, work: Work) -> Report:
        found = await gateway.query(planned)
        if found is not None:
            return self._report(work, "RECONCILER", found)
        can = gateway.capabilities
        trusted = can.query_by_reference and can.read_your_writes_seconds is not None
        return replace(self._report(work, "RECONCILER", Outcome("NotFound")), not_executed=trusted)

    def _unsent(self, work: Work, why: str) -> Report:
        return self._report(work, _source(work), not_sent(why))

    def _report(self, work: Work, source: Source, outcome: Outcome) -> Report:
        return REPORTS[work.operation](work.key, source, outcome, sent_at=work.sent_at)

    async def _hand_back(self, work: Work, lease: str, planned: GatewayCallPlanned, report: Report) -> None:
        """Put the answer into the outbox; a store that is away is waited for, the gateway not asked again."""
        tenant, _, account_id = work.home.partition("/")
        now = self._clock.now()
        place = (work.sent_at or now) if work.mode != "INQUIRE" else now
        key = f"calling:{work.key}:{work.mode}{'-over' if work.taken_over else ''}:{place.isoformat()}"
        meta = orjson.dumps({"correlation_id": planned.target_id, "causation_id": work.key})
        answer = outbox_command(
            report, key, tenant=tenant, account_id=account_id, actor=ACTOR, meta=meta, due_at=now
        )
        await self._answers.keep(answer, WorkAnswered(work.key, lease))

    async def _tell_health(self, tenant: str, gateway_id: str, signal: Signal) -> None:
        """What was seen of a gateway becomes a decision about its circuit."""
        command: OpenCircuit | CloseCircuit = (
            OpenCircuit(gateway_id, signal.reason, signal.seconds)
            if signal.kind == "OPEN"
            else CloseCircuit(gateway_id, signal.reason)
        )
        now, home = self._clock.now(), ids.tenant_home("gateway", gateway_id)
        key = f"health:{self._holder}:{gateway_id}:{signal.kind}:{now.isoformat()}"
        await self._answers.keep(
            outbox_command(command, key, tenant=tenant, account_id=home, actor=ACTOR, meta=b"{}", due_at=now)
        )


def _source(work: Work) -> Source:
    return "RECONCILER" if work.mode == "INQUIRE" else "GATEWAY"


class Answers:
    """Puts answers into the outbox, all that came in while the last were written in one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[OutboxCommand, WorkAnswered | None, asyncio.Future[None]]] = []
        self.writing: set[asyncio.Task[None]] = set()
        self._busy = False

    async def keep(self, command: OutboxCommand, answered: WorkAnswered | None = None) -> None:
        """Return once it is written."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answered, written))
        if not self._busy:
            self._busy = True
            task = asyncio.create_task(self._write(), name="hand answers back")
            self.writing.add(task)
            task.add_done_callback(self.writing.discard)
        await written

    async def _write(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting[:ANSWERS_MAX], self._waiting[ANSWERS_MAX:]
            batch = Batch(
                outbox=[command for command, _, _ in now],
                answered_work=[answered for _, answered, _ in now if answered],
            )
            failed: Exception | None = None
            try:
                await self._commit(batch)
            except Exception as error:
                failed = error
            for _, _, written in now:
                if not written.done():
                    written.set_exception(failed) if failed else written.set_result(None)
        self._busy = False

    async def _commit(self, batch: Batch) -> None:
        while True:
            try:
                await self._store.commit(batch)
                return
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
