"""One seed: the shell unchanged, on made-up time, in bad weather; then calm, and every cent is looked for.

What is substituted is only the outside: the store is in memory behind a bad connection, the bus is a
list that duplicates, delays and forgets, the gateway is the simulator's heart without its process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import orjson

from events import ids
from events.money import Money
from projections.due import MemoryDue
from projections.models import TABLES
from projections.runner import ProjectionRunner
from services.access.guarding import Guard
from services.accounts.account import RegisterAccount
from services.commands import COMMAND_BYTES_MAX, TYPES, Actor, encode
from services.handler import Handler
from services.intake import DECISIONS_MAX, Intake, Partition
from services.messages import SEAL, Message, Topics
from services.process_runner import ProcessRunner
from services.refunds.refunding import IssueUnreferencedRefund
from services.relay import Relay
from services.selecting import Selector
from services.signing_in.callers import Callers
from services.signing_in.seals import Seals
from services.store.protocol import StoreUnavailable
from services.subjects import PROCESSES, SUBJECTS
from services.workers import GatewayWorker
from tests.simulation import checks
from tests.simulation.bank import Bank, Line
from tests.simulation.faulty import PARTITIONS, Bus, Consumer, FaultyRows, FaultyStore, Weather
from tests.simulation.operators import last_word
from tests.simulation.postman import Postman
from tests.simulation.virtual_loop import VirtualClock, VirtualLoop, run
from tests.simulation.watch import Broken, Told, Watch, WatchedStore
from tests.simulation.words import WORDS
from tests.simulation.workload import TENANT, Said, Users, record, setup

COMMANDS = 200
FAULTS_MIN = 20
STORM_SECONDS = 60.0
SETTLE_SECONDS = 6 * 3_600.0
CALM_SECONDS = 365 * 86_400.0
QUIET_SECONDS = 30.0
"""In so much time whatever is due happens, and what was published once too often is answered."""
TOPICS = Topics.named()
LEASE_SECONDS = 20.0
WORKERS = 2
PARTS = (3, DECISIONS_MAX)
"""Decisions of one transaction, of each worker: small ones are decided while others are in flight."""
RUNNERS = 2
"""Of processes: one works, and the other takes over when it is gone."""
HEEDLESS_EVERY = 3
"""Every so many seeds, the gateway knows no idempotency keys and refuses no refund."""
RESTART_SECONDS = 0.5
POLL_SECONDS = 0.2
POLL_STORE_SECONDS = 20.0
"""How soon a timer is noticed when nothing else happens."""
SEALS = Seals([b"of the simulation"])
FORGED = TYPES[IssueUnreferencedRefund]
REFILL_EVENTS = 200
"""A broker that lost its topics gets back the end of the log only: as in production, but shorter."""


class World:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed, self.clock = seed, VirtualClock(loop)
        self.weather = Weather(seed)
        self.told = Told()
        self.watch = Watch(self.told)
        self.memory = WatchedStore(self.watch, now=self.clock.now, poll_seconds=POLL_STORE_SECONDS)
        self.store: Any = FaultyStore(self.memory, self.weather)
        self.bus = Bus(self.weather, TOPICS.commands)
        postman = Postman(TENANT, self.store, self.weather, self.clock)
        self.bank = Bank(seed, seed % HEEDLESS_EVERY == 0, self.weather, self.clock, postman.tell)
        postman.simulator = self.bank.simulator
        self.users = Users(seed, self.watch, self.bank)
        self.crashed: list[BaseException] = []
        self.rows = FaultyRows(self.weather)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._lives: Counter[str] = Counter()
        self._consumers: dict[str, tuple[Intake, Consumer]] = {}
        self._sent: dict[UUID, Message] = {}
        self._senseless: list[bytes] = []

    # -- the processes, each of which may be killed at any await, and is started again

    def start(self, name: str) -> None:
        self._lives[name] += 1
        holder = f"{name}-{self._lives[name]}"
        self._running[name] = asyncio.ensure_future(self._supervised(name, holder))

    async def _supervised(self, name: str, holder: str) -> None:
        """A role that loses what it stands on is started again; whatever else ends it is a fault of ours."""
        while True:
            try:
                await self._role(name, holder)
            except (OSError, StoreUnavailable):
                self.weather.happened["role started again"] += 1
                await asyncio.sleep(RESTART_SECONDS)
            except Exception as crash:
                self.crashed.append(crash)
                return

    def on_crash(self, loop: object, what: dict[str, Any]) -> None:
        """A task that nobody awaits has failed."""
        self.crashed.append(what.get("exception") or Broken(what["message"]))

    def _role(self, name: str, holder: str) -> Coroutine[Any, Any, None]:
        if name.startswith("worker"):
            return self._worker(name)
        if name.startswith("processes"):
            return ProcessRunner(self.store, PROCESSES, SUBJECTS, self.clock, holder).run()
        match name:
            case "relay":
                return self._relay(holder).run()
            case "selector":
                return Selector(self.store, MemoryDue(self.rows), self.clock, holder).run()
            case "gateway":
                return self._gateway_worker(holder).run()
            case _:
                return ProjectionRunner(self.store, self.rows, TABLES).run()

    def _relay(self, holder: str) -> Relay:
        return Relay(
            self.store,
            self.bus,
            self.clock,
            holder=holder,
            cluster_id=self.bus.cluster_id,
            topics=TOPICS,
            resend_seconds=10.0,
            refill_events_max=REFILL_EVENTS,
            seal=SEALS.made,
        )

    def _gateway_worker(self, holder: str) -> GatewayWorker:
        async def gateway_of(tenant: str, gateway_id: str) -> Any:
            return Line(self.bank, gateway_id, self.clock)

        return GatewayWorker(
            self.store,
            gateway_of,
            self.clock,
            holder=holder,
            concurrency=20,
            lease_seconds=LEASE_SECONDS,
            grace_seconds=self.weather.chosen.choice((0.0, 2.0)),
        )

    async def _worker(self, name: str) -> None:
        handler = Handler(self.store, SUBJECTS, self.clock, guard=Guard(signed_in=True))
        intake = Intake(
            handler,
            self.store.offset,
            self.clock,
            cluster_id=self.bus.cluster_id,
            results_topic=TOPICS.results,
            answer=self._answer,
            callers=Callers(SEALS, signed_in=True),
            decisions_max=PARTS[len(self._consumers) % len(PARTS)],
        )
        consumer = Consumer(self.bus, self.weather, TOPICS.commands)
        self._consumers[name] = intake, consumer
        await self._rebalance()
        while True:
            arrived = self.bus.arrived
            records = consumer.poll()
            if records:
                await intake.take(records, consumer)
            elif not consumer.is_behind():
                await arrived.wait()
            await asyncio.sleep(POLL_SECONDS)

    async def _answer(self, messages: Any) -> None:
        if messages and self.weather.strikes("answer failed", 0.1):
            raise OSError("the broker was lost before it had the answer")
        self.bus.published += messages

    async def _rebalance(self) -> None:
        """Give every partition to one living worker, by chance."""
        for place in (Partition(TOPICS.commands, n) for n in range(PARTITIONS)):
            if not self._consumers:  # the last one was killed while it was given a place
                return
            owner = self.weather.chosen.choice(list(self._consumers))
            for name, (intake, consumer) in self._consumers.items():
                if name != owner and place in consumer.places:
                    intake.revoked([place])
                    consumer.places.pop(place)
            intake, consumer = self._consumers[owner]
            if place not in consumer.places:
                await intake.assigned([place], consumer)
                self.bus.stir()

    async def kill(self, name: str) -> None:
        task = self._running.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._consumers.pop(name, None)
        self.weather.happened[f"{name.rstrip('0123456789')} killed"] += 1

    # -- the story

    async def live(self) -> Told:
        names = [f"worker{n}" for n in range(WORKERS)] + [f"processes{n}" for n in range(RUNNERS)]
        names += ["relay", "selector", "gateway", "projector"]
        for name in names:
            self.start(name)
        for said in setup(self.bank):
            self._say(said)
            await asyncio.sleep(0.5)
        self.weather.storm = True
        chaos = asyncio.ensure_future(self._chaos(names))
        await self._talk()
        chaos.cancel()
        await asyncio.gather(chaos, return_exceptions=True)
        self.weather.storm = False
        await self._all_up(names)
        await self._rebalance()  # the last one may have ended in the middle
        await self._until_quiet()
        await self._misuse_an_identity()
        self._check()
        return self.told

    async def _talk(self) -> None:
        beginnings = list(self.users.beginnings())
        for said in beginnings:
            self._say(said)
        for _ in range(COMMANDS - len(beginnings)):
            self._say(self.users.next(WORDS))
            if self.weather.strikes("no command at all", 0.03):
                self._say_nothing_sensible()
            await asyncio.sleep(self.weather.chosen.random() * 2 * STORM_SECONDS / COMMANDS)
            self._check_so_far()

    def _say_nothing_sensible(self) -> None:
        """A record that nobody can answer; it is set aside, and those behind it are not held up."""
        number, chosen = len(self._senseless), self.weather.chosen
        whole = f'{{"record": {number}}}'
        kinds = {
            (b"payments.invoice.post.v1", f'{{"record": {number}'): 6,
            (b"payments.invoice.post.v99", whole): 3,
            (b"payments.no.such.v1", whole): 3,
            (b"payments.invoice.post.v1", ""): 1,
            (b"", whole): 6,
            (FORGED.encode(), self._forged(number)): 3,
        }
        type, value = chosen.choices(list(kinds), list(kinds.values()))[0]
        value = value or f'{{"record": {number}, "x": "{"x" * COMMAND_BYTES_MAX}"}}'
        self._senseless.append(value.encode())
        key, headers = f"{TENANT}/A0".encode(), [("ce_type", type)] if type else []
        if type and type != FORGED.encode():
            headers.append((SEAL, SEALS.made(type, b"", key, value.encode())))
        self.bus.produce(Message(TOPICS.commands, key, value.encode(), headers))

    def _forged(self, number: int) -> str:
        """What would be a command, if whom it names had sent it."""
        gift = IssueUnreferencedRefund("any", Money(100_000, "GBP"), "a gift")
        actor = Actor("SYSTEM", "process:refunding", ("OPERATOR",))
        _, body = encode(gift, tenant=TENANT, account_id="A0", actor=actor, idempotency_key=f"gift {number}")
        return body.decode()

    def _say(self, said: Said) -> None:
        type, body = record(said)
        key = f"{TENANT}/{said.account}".encode()
        seal = SEALS.made(type.encode(), b"", key, body)
        message = Message(TOPICS.commands, key, body, [("ce_type", type.encode()), (SEAL, seal)])
        if not said.is_dry_run:
            self._sent.setdefault(ids.command_id(TENANT, type, said.key), message)
        self.bus.produce(message)
        self.told.commands += 1

    async def _chaos(self, names: list[str]) -> None:
        chosen = self.weather.chosen
        while True:
            await asyncio.sleep(chosen.uniform(0.5, 4))
            match chosen.randrange(8):
                case 0:
                    await self._rebalance()
                    self.weather.happened["rebalance"] += 1
                case 1 if chosen.random() < 0.3:
                    await self._new_broker(names)
                case _:
                    name = chosen.choice(names)
                    await self.kill(name)
                    await asyncio.sleep(chosen.random() * 2)
                    self.start(name)

    async def _new_broker(self, names: list[str]) -> None:
        """Whoever talks to the broker begins anew with it, and producers send again what has no verdict."""
        talkers = [name for name in names if name.startswith("worker") or name == "relay"]
        for name in talkers:
            await self.kill(name)
        self.bus.come_back_empty()
        for name in talkers:
            self.start(name)
        self._resend()

    def _resend(self) -> None:
        for command_id, message in self._sent.items():
            if command_id not in self.memory._verdicts:
                self.bus.produce(message)

    async def _all_up(self, names: list[str]) -> None:
        for name in names:
            if name not in self._running or self._running[name].done():
                self.start(name)

    async def _until_quiet(self) -> None:
        """Until nothing is due any more; timers jump the time on."""
        loop = asyncio.get_running_loop()
        deadline, quiet = loop.time() + SETTLE_SECONDS, 0
        while quiet < 3:
            if loop.time() > deadline:
                raise Broken(f"it does not settle: {self._open()}")
            for said in last_word(self.users):
                self._say(said)
            await asyncio.sleep(QUIET_SECONDS)
            self._check_so_far()
            quiet = 0 if self._open() else quiet + 1
        await self._until_no_timer_is_set(loop.time() + CALM_SECONDS)

    async def _until_no_timer_is_set(self, deadline: float) -> None:
        """From one timer to the next, instead of looking every second."""
        self.memory.poll_seconds = CALM_SECONDS
        while self.memory._outbox or self._open():
            if asyncio.get_running_loop().time() > deadline:
                raise Broken(
                    f"a timer does not end: {self._open()}, {list(self.memory._outbox.values())[:2]}"
                )
            await asyncio.sleep(self._seconds_to_next_timer())
            self.memory.wake()
            for said in last_word(self.users):
                self._say(said)
            self._check_so_far()

    def _seconds_to_next_timer(self) -> float:
        waiting = [row.command.due_at for row in self.memory._outbox.values() if row.published_at is None]
        waiting += [work.due_at for work in self.memory._work.values() if not work.answered]
        now = self.clock.now()
        return max(QUIET_SECONDS, min(((due_at - now).total_seconds() for due_at in waiting), default=0.0))

    async def _misuse_an_identity(self) -> None:
        """Other content under a used identity is refused, and nothing else happens."""
        head, misused = len(self.memory._log), Said(RegisterAccount("somebody else"), "A0", "register A0")
        self._say(misused)
        await asyncio.sleep(30)
        told = [
            orjson.loads(message.value)
            for message in self.bus.published[-20:]
            if message.topic == TOPICS.results
        ]
        if "IDEMPOTENCY_KEY_REUSED" not in {result.get("code") for result in told}:
            raise Broken("a used identity took other content")
        id = ids.command_id(TENANT, record(misused)[0], misused.key)
        if any(event.command_id == id for event in self.memory._log[head:]):
            raise Broken("a refused command has written events")

    def _open(self) -> str:
        memory = self.memory
        unanswered = self._sent.keys() - memory._verdicts.keys()
        due = [row for row in memory._outbox.values() if row.command.due_at <= self.clock.now()]
        behind = len(memory._log) - self.rows._position
        if unanswered or due or memory._work or behind:
            work = list(memory._work)[:3]
            return f"{len(unanswered)} unanswered, {len(due)} due, work {work}, {behind} behind"
        return ""

    def forget(self) -> None:
        """Cut what holds one another: so it goes at once, and no collector need walk through all of it."""
        parts = (self.memory, self.store, self.bank.simulator, self.bank, self.watch, self.users, self.rows)
        for part in (*parts, self.bus, self):
            vars(part).clear()

    # -- what must hold

    def _check_so_far(self) -> None:
        if self.crashed:
            raise Broken(f"a role crashed: {self.crashed[0]!r}") from self.crashed[0]
        if self.watch.broken:
            raise Broken(self.watch.broken)

    def _check(self) -> None:
        self._check_so_far()
        log = self.memory._log
        self._check_dead_letters()
        checks.denials_are_kept(self.memory, log)
        checks.verdicts_are_true(self.memory, self._sent)
        checks.nothing_left_over(self.watch)
        checks.schedulers_fired(log)
        checks.retries_decide_again_the_same(log)
        checks.gateway_agrees(self.watch, log, self.bank)
        checks.payouts_add_up(self.watch)
        checks.runs_add_up(self.watch)
        checks.projections_agree(log, self.rows.rows)
        self.told.events = len(log)
        self.told.faults.update(self.weather.happened)
        for message in self.bus.published:
            if message.topic == TOPICS.results:
                code = orjson.loads(message.value).get("code")
                self.told.rejections.update([code] if code else [])
        self.told.rejections.update(letter.code for letter in self.memory._dead_letters.values())
        if self.told.commands < COMMANDS or self.told.faults.total() < FAULTS_MIN:
            raise Broken(f"too little happened: {self.told.commands} commands, {self.told.faults}")

    def _check_dead_letters(self) -> None:
        """What was no command is kept, and told; unless its broker forgot it before anybody read it."""
        kept = {letter.value for letter in self.memory._dead_letters.values()}
        if kept - set(self._senseless):
            raise Broken(f"a command became a dead letter: {kept - set(self._senseless)}")
        if not self.bus.cluster and kept != set(self._senseless):
            raise Broken(f"lost without a trace: {set(self._senseless) - kept}")
        told = {message.value for message in self.bus.published if message.topic == TOPICS.dead_letters}
        if not self.bus.cluster and told != kept:
            raise Broken(f"dead letters that nobody was told of: {kept - told}")


def simulate(seed: int) -> Told:
    """Live through one seed.  Raises `Broken`, or whatever the shell raised."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        world = World(seed, loop)
        loop.set_exception_handler(world.on_crash)
        told = run(world.live(), loop)
    finally:
        asyncio.set_event_loop(None)
    world.forget()
    return told
