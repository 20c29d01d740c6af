"""Gateway workers: they send what was decided, and inquire about what is not known.  Nothing else.

Each gateway has a lane of its own: how much it is sent at a time is `safety`'s to say, and one that is
slow or broken holds up no other.

Invariant: a lease that says "sent at" is committed before the first byte leaves; whoever takes such a
lease over inquires, and never sends.  An answer goes back as a command, and ends the lease only when
its event is in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import orjson

from events import ids
from events.gateway_call import GatewayCallPlanned
from events.mapper import decode
from events.shapes import Outcome
from gateways.outcomes import not_sent, unknown
from gateways.protocol import Gateway
from services.calls.calling import Report, Source
from services.calls.gateway import CloseCircuit, OpenCircuit
from services.calls.reports import REPORTS
from services.calls.safety import Lane, Limits, Signal
from services.clock import Clock
from services.commands import TYPES, Actor, encode
from services.store.protocol import Batch, OutboxCommand, Room, Store, StoreUnavailable, Work, WorkAnswered

PAUSE_SECONDS = 0.5
MIN_ALARM_SECONDS = 0.01
GATHER_SECONDS = 0.005
ANSWERS_MAX = 500
ACTOR = Actor("SYSTEM", "gateway-worker")

TAKEN_OVER = Outcome(
    "Indeterminate", category="GatewayConnection", raw_message="the worker that sent it is gone"
)


LANES_MAX = 10_000
"""Gateways that one worker keeps count of; those that have nothing in the air make room for others."""


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
    ) -> None:
        self._store, self._gateway_of, self._clock = store, gateway_of, clock
        self._holder, self._concurrency, self._lease_seconds = holder, concurrency, lease_seconds
        self._limits_of = limits_of or self._unlimited
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._claims = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._due, self._room = asyncio.Event(), asyncio.Event()
        self._answers = Answers(store)
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Work until cancelled; what is in the air then is taken over later, as unknown."""
        hearing = asyncio.create_task(self._hear(), name="hear of work")
        hearing.add_done_callback(lambda _: self._due.set())
        try:
            while not hearing.done():
                self._due.clear()
                try:
                    while await self.step():
                        await self._until_free()
                except StoreUnavailable:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                await self._due.wait()
            hearing.result()
        finally:
            for running in (hearing, *self._calls, *self._answers.writing):
                running.cancel()

    async def step(self) -> int:
        """Lease what is due, as far as there is room, and begin it; how much that was."""
        room = self._concurrency - len(self._calls)
        if room <= 0:
            return 0
        self._claims += 1
        lease = f"{self._holder}#{self._claims}"
        now = self._clock.now()
        rooms = [Room(tenant, id, lane.room(now)) for (tenant, id), lane in self._lanes.items()]
        leased = await self._store.claim_work(lease, now, self._lease_seconds, room, rooms, each=1)
        for work in leased:
            lane = self._lane(work)
            lane.begin(now)
            call = asyncio.create_task(self._work(work, lane, lease), name=f"{work.mode} {work.key}")
            self._calls.add(call)
            call.add_done_callback(self._ended)
        self._set_alarm(now)
        return len(leased)

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

    def _lane(self, work: Work) -> Lane:
        """Of a gateway that is met for the first time, one call shows what it is."""
        key = work.home.partition("/")[0], work.gateway_id
        if key not in self._lanes:
            if len(self._lanes) >= LANES_MAX:
                busy = {known: lane for known, lane in self._lanes.items() if lane.in_air}
                self._lanes.clear()
                self._lanes.update(busy)
            self._lanes[key] = Lane(Limits(at_once=1))
        return self._lanes[key]

    def _set_alarm(self, now: datetime) -> None:
        """Look again when a gateway that is limited, or was left alone, may be sent more."""
        times = [at for lane in self._lanes.values() if (at := lane.next_at(now))]
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if times:
            seconds = max(MIN_ALARM_SECONDS, (min(times) - now).total_seconds())
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._due.set)

    async def _until_free(self) -> None:
        """Wait for room, and for a moment more: what ends together is made up for in one claim."""
        if len(self._calls) >= self._concurrency:
            self._room.clear()
            await self._room.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def _work(self, work: Work, lane: Lane, lease: str) -> None:
        planned = decode("gateway_call.planned.v1", work.request)
        tenant = work.home.partition("/")[0]
        if work.taken_over:
            was_full, lane.in_air = lane.full, lane.in_air - 1
            report = self._report(work, "RECONCILER", TAKEN_OVER)
        else:
            try:
                report = await self._asked(work, lane, tenant, planned)
            except Exception:
                lane.in_air -= 1
                raise
            was_full = lane.full
            told = report.result
            signal = lane.end(self._clock.now(), told.result_code, told.retry_after_seconds)
            if signal:
                await self._tell_health(tenant, work.gateway_id, signal)
        if was_full:
            self._due.set()
        await self._hand_back(work, lease, planned, report)

    async def _asked(self, work: Work, lane: Lane, tenant: str, planned: GatewayCallPlanned) -> Report:
        """Ask the gateway, in the time that a call may take, whatever its adapter does."""
        ask = self._send if work.mode == "SEND" else self._inquire
        try:
            gateway = await self._gateway_of(tenant, work.gateway_id)
            lane.limits, circuit_open_until = await self._limits_of(tenant, work.gateway_id)
        except StoreUnavailable:
            nothing_sent = not_sent("the gateway's registration cannot be read now")
            return self._report(work, "GATEWAY" if work.mode == "SEND" else "RECONCILER", nothing_sent)
        if lane.meet(circuit_open_until):
            self._due.set()
        source: Source = "GATEWAY" if work.mode == "SEND" else "RECONCILER"
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
        return self._report(work, "GATEWAY", await gateway.call(planned))

    async def _inquire(self, gateway: Gateway, planned: GatewayCallPlanned, work: Work) -> Report:
        found = await gateway.query(planned)
        if found is not None:
            return self._report(work, "RECONCILER", found)
        can = gateway.capabilities
        trusted = can.query_by_reference and can.read_your_writes_seconds is not None
        return replace(self._report(work, "RECONCILER", Outcome("NotFound")), not_executed=trusted)

    def _report(self, work: Work, source: Source, outcome: Outcome) -> Report:
        return REPORTS[work.operation](work.key, source, outcome, sent_at=work.sent_at)

    async def _hand_back(self, work: Work, lease: str, planned: GatewayCallPlanned, report: Report) -> None:
        """Put the answer into the outbox; a store that is away is waited for, the gateway not asked again."""
        tenant, _, account_id = work.home.partition("/")
        now = self._clock.now()
        place = (work.sent_at or now) if work.mode == "SEND" else now
        key = f"calling:{work.key}:{work.mode}{'-over' if work.taken_over else ''}:{place.isoformat()}"
        type, body = encode(report, tenant=tenant, account_id=account_id, actor=ACTOR, idempotency_key=key)
        meta = orjson.dumps({"correlation_id": planned.target_id, "causation_id": work.key})
        command_id = ids.command_id(tenant, TYPES[report.__class__], key)
        answer = OutboxCommand(command_id, work.home, type, body, meta, now)
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
        type, body = encode(command, tenant=tenant, account_id=home, actor=ACTOR, idempotency_key=key)
        command_id = ids.command_id(tenant, TYPES[command.__class__], key)
        await self._answers.keep(OutboxCommand(command_id, ids.home(tenant, home), type, body, b"{}", now))


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
