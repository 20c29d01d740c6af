"""One seed: the shell unchanged, on made-up time, in bad weather; then calm, and every cent is looked for.

What is substituted is only the outside: the store is in memory behind a bad connection, the bus is a
list that duplicates, delays and forgets, the gateway is the simulator's heart without its process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from events import ids
from events.gateway_call import GatewayCallPlanned
from events.log import Recorded
from events.mapper import decode
from events.shapes import Outcome
from gateways.outcomes import unknown
from gateways.simulator.behaviour import REFUNDS
from gateways.simulator.core import Entry, Reply, Simulator
from gateways.simulator.translation import CAPABILITIES, of_reply, to_outcome, to_request
from projections.accounts import account_balances
from projections.folding import Folder
from projections.ledger import ledger_balances
from projections.models import TABLES
from projections.queries import net_balance
from projections.rows import MemoryRows
from projections.runner import ProjectionRunner
from services.account import RegisterAccount
from services.commands import Actor, encode
from services.credit_memo import CreditMemo
from services.handler import Handler
from services.intake import Intake, Partition
from services.invoice import Invoice
from services.messages import Message, Topics
from services.orchestration import ENDED, RefundOrchestration
from services.payment import IN_FLIGHT, Payment
from services.process_runner import ProcessRunner
from services.relay import Relay
from services.store.memory import MemoryStore
from services.store.protocol import StoreUnavailable
from services.subjects import EVOLVE, PROCESSES, SUBJECTS
from services.workers import GatewayWorker
from tests.simulation.faulty import PARTITIONS, Bus, Consumer, FaultyStore, Weather
from tests.simulation.virtual_loop import VirtualClock, VirtualLoop, run
from tests.simulation.workload import TENANT, Users, setup

COMMANDS = 200
STORM_SECONDS = 90.0
SETTLE_SECONDS = 6 * 3_600.0
CALM_SECONDS = 365 * 86_400.0
TIMERS_POLL_SECONDS = 4 * 3_600.0
TOPICS = Topics.named()
LEASE_SECONDS = 20.0
WORKERS = 2
HEEDLESS_EVERY = 3
"""Every so many seeds, the gateway knows no idempotency keys and refuses no refund."""
RESTART_SECONDS = 0.5
POLL_SECONDS = 0.1
POLL_STORE_SECONDS = 20.0
"""How soon a timer is noticed when nothing else happens."""
REFILL_EVENTS = 200
"""A broker that lost its topics gets back the end of the log only: as in production, but shorter."""


class Broken(AssertionError):
    """Something that must never be."""


@dataclass
class Told:
    """What a seed has reached."""

    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    events: int = 0


class Heedless(Simulator):
    """A gateway that carries out whatever it is sent, as often as it is sent: only Tender is careful."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._arrived: Counter[str] = Counter()

    def request(self, request: Mapping[str, Any], now: datetime) -> Reply:
        key = request["idempotency_key"]
        before = self._arrived[key]
        self._arrived[key] += 1
        own = f"{key}~{self._arrived[key]}"
        self._sends[own] = before  # it behaves like the next try, not like the first one over and over
        return super().request({**request, "idempotency_key": own}, now)

    def query(self, key: str, now: datetime) -> dict[str, Any] | None:
        answers = [self.answer(entry, now) for entry in self.entries.values() if key_of(entry) == key]
        return answers[-1] if answers else None

    def _refusal(self, request: Mapping[str, Any]) -> str:
        return ""


def key_of(entry: Entry) -> str:
    return entry.key.partition("~")[0]


class SimulatedGateway:
    """The simulator's heart, at the end of a bad line."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.capabilities = world.capabilities

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        weather = self._world.weather
        await asyncio.sleep(weather.chosen.random() * 2)
        reply = self._world.simulator.request(to_request(request), self._world.clock.now())
        if weather.strikes("gateway answer lost", 0.05):
            return unknown("the line was cut")
        await asyncio.sleep(reply.delay_seconds + weather.chosen.random() * 0.2)
        return of_reply(reply)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        weather = self._world.weather
        await asyncio.sleep(weather.chosen.random())
        if weather.strikes("inquiry lost", 0.1):
            return unknown("the line was cut")
        answer = self._world.simulator.query(request.idempotency_key, self._world.clock.now())
        return None if answer is None else to_outcome(answer)


class World:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed, self.clock = seed, VirtualClock(loop)
        self.weather = Weather(seed)
        self.memory = MemoryStore(now=self.clock.now, poll_seconds=POLL_STORE_SECONDS)
        self.store: Any = FaultyStore(self.memory, self.weather)
        self.bus = Bus(self.weather, TOPICS.commands)
        heedless = seed % HEEDLESS_EVERY == 0
        self.simulator = Heedless(seed) if heedless else Simulator(seed)
        self.capabilities = replace(CAPABILITIES, idempotency=not heedless)
        self.crashed: list[BaseException] = []
        self.rows = MemoryRows()
        self.told = Told()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._lives: Counter[str] = Counter()
        self._consumers: dict[str, tuple[Intake, Consumer]] = {}
        self._sent: dict[str, tuple[str, Message]] = {}
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

    def _role(self, name: str, holder: str) -> Coroutine[Any, Any, None]:
        if name.startswith("worker"):
            return self._worker(name)
        match name:
            case "relay":
                return self._relay(holder).run()
            case "processes":
                return ProcessRunner(self.store, PROCESSES, SUBJECTS, self.clock, holder).run()
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
        )

    def _gateway_worker(self, holder: str) -> GatewayWorker:
        async def gateway_of(tenant: str, gateway_id: str) -> Any:
            return SimulatedGateway(self)

        return GatewayWorker(
            self.store, gateway_of, self.clock, holder=holder, concurrency=20, lease_seconds=LEASE_SECONDS
        )

    async def _worker(self, name: str) -> None:
        handler = Handler(self.store, SUBJECTS, self.clock)
        intake = Intake(
            handler,
            self.store.offset,
            self.clock,
            cluster_id=self.bus.cluster_id,
            results_topic=TOPICS.results,
            answer=self._answer,
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
        self.bus.published += messages

    async def _rebalance(self) -> None:
        """Give every partition to one living worker, by chance."""
        names = list(self._consumers)
        for place in (Partition(TOPICS.commands, n) for n in range(PARTITIONS)):
            owner = self.weather.chosen.choice(names)
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
        names = [*(f"worker{n}" for n in range(WORKERS)), "relay", "processes", "gateway", "projector"]
        for name in names:
            self.start(name)
        for command, account, key in setup(self.capabilities):
            self._say(command, account, key)
            await asyncio.sleep(0.5)
        self.weather.storm = True
        chaos = asyncio.ensure_future(self._chaos(names))
        await self._talk()
        chaos.cancel()
        await asyncio.gather(chaos, return_exceptions=True)
        self.weather.storm = False
        await self._all_up(names)
        await self._until_quiet()
        await self._misuse_an_identity()
        self._check()
        return self.told

    async def _talk(self) -> None:
        for command, account, key in Users(self.seed).commands(COMMANDS):
            self._say(command, account, key)
            if self.weather.strikes("no command at all", 0.03):
                self._say_nothing_sensible()
            await asyncio.sleep(self.weather.chosen.random() * 2 * STORM_SECONDS / COMMANDS)

    def _say_nothing_sensible(self) -> None:
        """A record that nobody can answer; it is set aside, and those behind it are not held up."""
        value = f'{{"record": {len(self._senseless)}'.encode()
        headers = self.weather.chosen.choice(([], [("ce_type", b"payments.invoice.post.v1")]))
        self._senseless.append(value)
        self.bus.produce(Message(TOPICS.commands, f"{TENANT}/A0".encode(), value, headers))

    def _say(self, command: object, account: str, key: str) -> None:
        type, body = encode(
            command, tenant=TENANT, account_id=account, actor=Actor("USER", "sim"), idempotency_key=key
        )
        headers = [("ce_type", type.encode())]
        message = Message(TOPICS.commands, f"{TENANT}/{account}".encode(), body, headers)
        command_id = str(ids.command_id(TENANT, type, key))
        self._sent.setdefault(command_id, (type, message))
        self.bus.produce(message)
        self.told.commands += 1

    async def _chaos(self, names: list[str]) -> None:
        chosen = self.weather.chosen
        while True:
            await asyncio.sleep(chosen.uniform(1, 6))
            match chosen.randrange(8):
                case 0:
                    await self._rebalance()
                    self.weather.happened["rebalance"] += 1
                case 1 if chosen.random() < 0.3:
                    await self._new_broker(names)
                case _:
                    name = chosen.choice(names)
                    await self.kill(name)
                    await asyncio.sleep(chosen.random() * 3)
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
        answered = {str(id) for id in self.memory._verdicts}
        for command_id, (_, message) in self._sent.items():
            if command_id not in answered:
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
            await asyncio.sleep(30)
            quiet = 0 if self._open() else quiet + 1
        self.memory.poll_seconds = TIMERS_POLL_SECONDS
        deadline = loop.time() + CALM_SECONDS
        while self.memory._outbox or self._open():
            if loop.time() > deadline:
                raise Broken(
                    f"a timer does not end: {self._open()}, {list(self.memory._outbox.values())[:2]}"
                )
            await asyncio.sleep(TIMERS_POLL_SECONDS)

    async def _misuse_an_identity(self) -> None:
        """Other content under a used identity is refused, and nothing else happens."""
        head = len(self.memory._log)
        self._say(RegisterAccount("somebody else"), "A0", "register A0")
        await asyncio.sleep(30)
        told = [
            orjson.loads(message.value)
            for message in self.bus.published[-20:]
            if message.topic == TOPICS.results
        ]
        if "IDEMPOTENCY_KEY_REUSED" not in {result.get("code") for result in told}:
            raise Broken("a used identity took other content")
        if len(self.memory._log) != head:
            raise Broken("a refused command has written events")

    def _open(self) -> str:
        memory = self.memory
        answered = {str(id) for id in memory._verdicts}
        unanswered = [id for id in self._sent if id not in answered]
        due = [row for row in memory._outbox.values() if row.command.due_at <= self.clock.now()]
        behind = len(memory._log) - self.rows._position
        if unanswered or due or memory._work or behind:
            work = list(memory._work)[:3]
            return f"{len(unanswered)} unanswered, {len(due)} due, work {work}, {behind} behind"
        return ""

    # -- what must hold

    def _check(self) -> None:
        if self.crashed:
            raise Broken("a role crashed") from self.crashed[0]
        log = self.memory._log
        self._check_dead_letters()
        self._check_commands(log)
        self._check_gateway(log)
        self._check_projections(log)
        self.told.events = len(log)
        self.told.faults.update(self.weather.happened)
        for verdict in self.memory._verdicts.values():
            if verdict.status == "REJECTED":
                self.told.rejections[orjson.loads(verdict.outcome)["code"]] += 1
            if verdict.status == "PARKED":
                raise Broken(f"parked: {verdict.outcome!r}")

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

    def _check_commands(self, log: list[Recorded]) -> None:
        """Conservation at the end of every command, by folding the log anew."""
        states: dict[str, Any] = {}
        kinds = {state.KIND: state for state in EVOLVE}
        for event in log:
            kind = ids.parts(event.stream)[1]
            state = states.setdefault(event.stream, kinds[kind]())
            EVOLVE[kinds[kind]](state, decode(event.topic, event.data))
            state.version = event.version
            self.told.facts[event.topic] += 1
            if event.topic == "refund_orchestration.plan_made.v1":
                self._check_nothing_comes(state, states)
            status = getattr(state, "status", None)
            if status:
                self.told.states[f"{kind} {status}"] += 1
            if event.last_of_command:
                self._check_state(state)
        for state in states.values():
            self._check_state(state)
            self._check_end(state, states)

    def _check_nothing_comes(self, ro: RefundOrchestration, states: dict[str, Any]) -> None:
        """A plan counts the money that is there: it is not made while more is on its way."""
        for state in states.values():
            coming = isinstance(state, Payment) and state.status in IN_FLIGHT
            if coming and ro.original_invoice_id in {intended.invoice_id for intended in state.intended}:
                raise Broken(f"planned {ro.orchestration_id} while {state.payment_id} is on its way")

    def _check_end(self, state: Any, states: dict[str, Any]) -> None:
        """Nothing is left half done: payments known, orchestrations ended, nothing held for nobody."""
        match state:
            case Payment():
                ok = state.status not in ("REQUESTED", "INDETERMINATE", "PENDING")
                ok = ok and all(self._is_awaited(id, states) for id in state.reservations)
            case CreditMemo():
                ok = all(self._is_awaited(id, states) for id in state.reservations)
            case RefundOrchestration():
                ok = state.status in ENDED | {"MANUAL_ACTION"} and state.refunded <= state.amount
                ok = ok and (not state.legs or state.refunded + state.open_credit <= state.amount)
            case _:
                return
        if not ok:
            raise Broken(f"left over: {state}")

    def _is_awaited(self, refund_id: str, states: dict[str, Any]) -> bool:
        """Whether a refund may still take what is reserved for it: itself, or what a person decides."""
        refund = states[f"{TENANT}/refund-{refund_id}"]
        if refund.orchestration_id:
            return states[f"{TENANT}/ro-{refund.orchestration_id}"].status == "MANUAL_ACTION"
        return refund.status not in ("FAILED", "PROCESSED", "CANCELED", "REVERSED")

    def _check_state(self, state: Any) -> None:
        match state:
            case Payment():
                parts = state.buckets.values()
                ok = min(parts) >= 0 and sum(parts) == state.received
            case CreditMemo(status="POSTED"):
                parts = (state.applied, state.refunded, state.refund_reserved, state.balance)
                lines = sum(line.balance for line in state.lines.values())
                ok = min(parts) >= 0 and sum(parts) == state.total and lines == state.balance
            case Invoice(status="POSTED"):
                ok = state.total < 0 or state.balance >= 0
                ok = ok and (
                    state.level == "INVOICE" or state.balance == sum(x.balance for x in state.lines.values())
                )
            case _:
                return
        if not ok:
            raise Broken(f"not conserved: {state}")

    def _check_gateway(self, log: list[Recorded]) -> None:
        """The gateway's ledger and ours name the same movements, each once."""
        ours: Counter[tuple[str, int]] = Counter()
        planned: dict[str, GatewayCallPlanned] = {}
        for event in log:
            if event.topic == "gateway_call.planned.v1":
                fact = decode(event.topic, event.data)
                planned[fact.target_id if fact.operation != "VOID" else f"void {fact.target_id}"] = fact
            elif event.topic in ("payment.processed.v1", "refund.processed.v1"):
                id = ids.parts(event.stream)[2]
                fact = planned[id]
                ours[fact.idempotency_key, fact.amount.amount_minor] += 1
        moving = REFUNDS | {"SALE", "CAPTURE"}
        theirs = Counter(
            (key_of(entry), entry.amount_minor)
            for entry in self.simulator.entries.values()
            if entry.status == "EXECUTED" and entry.operation in moving
        )
        if ours != theirs:
            raise Broken(f"ours but not theirs {ours - theirs}, theirs but not ours {theirs - ours}")
        self._check_given_back()

    def _check_given_back(self) -> None:
        """Whatever the gateway would have let us do: no charge gave back more than it took."""
        given_back: Counter[str] = Counter()
        for entry in self.simulator.entries.values():
            if entry.status == "EXECUTED" and entry.operation == "REFUND":
                given_back[entry.of] += entry.amount_minor
        taken = {entry.ref: entry.amount_minor for entry in self.simulator.entries.values()}
        for ref, amount in given_back.items():
            if amount > taken.get(ref, 0):
                raise Broken(f"{amount} given back of {ref}, which took {taken.get(ref, 0)}")

    def _check_projections(self, log: list[Recorded]) -> None:
        """The read models equal a fold from zero; and the ledger agrees with the balances."""
        measure = Folder(TABLES).from_zero(log)
        for table, rows in measure.items():
            kept = self.rows.rows.get(table, {})
            differing = [key for key in rows if rows[key] != kept.get(key)]
            if differing or rows.keys() != kept.keys():
                raise Broken(f"{table.name} differs from a fold from zero: {differing[:3]}")
        net: Counter[tuple[Any, ...]] = Counter()
        for key, row in measure[ledger_balances].items():
            if row["ledger_account"] in ("Accounts receivable", "Unapplied cash", "Customer credits"):
                net[key[:3]] += row["debit"] - row["credit"]
        for key, row in measure[account_balances].items():
            if net[key] != net_balance(row):
                raise Broken(f"the ledger says {net[key]} for {key}, the balances {net_balance(row)}")


def simulate(seed: int) -> Told:
    """Live through one seed.  Raises `Broken`, or whatever the shell raised."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)

    async def main() -> Told:
        return await World(seed, loop).live()

    try:
        return run(main(), loop)
    finally:
        asyncio.set_event_loop(None)
