"""Real faults: processes killed with -9 at random moments under load, then every cent is looked for.

    python -m tests.faults --rounds 20 --rate 500 [--seed 1] [--kafka]

The victims: worker, relay and processes, projector, gateway worker, HTTP, the simulator, PostgreSQL, and
the broker: the embedded one, which comes back empty, or with `--kafka` Apache Kafka, which does not.
Afterwards an independent reader compares what the client was told, the log, the simulator's ledger and
the events on Kafka.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from aiokafka import AIOKafkaConsumer

from events import ids
from events.money import Money
from gateways.simulator.translation import CAPABILITIES
from projections.models import TABLES
from projections.rows import PostgresRows
from projections.verify import verify
from services import bootstrap
from services.accounts.account import RegisterAccount
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.commands import Actor
from services.importing.sending import Planned, Sender, Verdict, sender
from services.invoices.posting import Line, PostInvoice
from services.payments.external import RecordExternalPayment
from services.payments.paying import ProcessPayment
from services.running import loop
from services.running.kafka_admin import wait_for_broker
from services.running.stack import Stack, running
from services.running.supervisor import Supervisor
from services.settings import Settings
from services.store.postgres import PostgresStore
from services.store.protocol import StoreUnavailable
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.fixtures.kafka_jars import formatted

TENANT, ACCOUNTS = "faults", 50
CALM_SECONDS = 1.5
"""Between two kills."""
SETTLE_SECONDS = 180.0


def setup() -> Iterable[Planned]:
    polls = {"unknown_outcome_poll": (1, 2, 4, 8, 16, 32)}
    yield Planned(ChangeTenantSettings(polls), ids.tenant_home("settings", TENANT), "settings")
    provider = RegisterGatewayProvider("sim", "Simulator", "simulator", CAPABILITIES)
    yield Planned(provider, ids.tenant_home("gateway_provider", "sim"), "provider")
    gateway = RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST", read_timeout_ms=5_000)
    yield Planned(gateway, ids.tenant_home("gateway", "gw"), "gateway")


def accounts() -> Iterable[Planned]:
    for n in range(ACCOUNTS):
        yield Planned(RegisterAccount(f"Customer {n}"), f"A-{n}", f"register {n}")
        yield Planned(SavePaymentMethod("gw", f"tok_mix_{n}", "card", f"card {n}"), f"A-{n}", f"card {n}")


def load(number: int) -> Planned:
    """One command of the load: a card payment, cash, or an invoice."""
    account, money = f"A-{number % ACCOUNTS}", Money(100 + number % 900, "USD")
    if number % 5 == 0:
        method = ids.method_id(TENANT, account, "m1", f"card {number % ACCOUNTS}")
        return Planned(ProcessPayment(money, f"pay-{number}", method), account, f"pay {number}")
    if number % 5 < 3:
        line = Line("1", money)
        return Planned(PostInvoice(f"inv-{number}", "USD", (line,)), account, f"post {number}")
    cash = RecordExternalPayment(money, "CASH", f"till {number}", date(2026, 3, 2), f"cash-{number}")
    return Planned(cash, account, f"cash {number}")


class Victims:
    """Who may be killed, and how."""

    def __init__(self, stack: Stack, servers: Supervisor, seed: int) -> None:
        self._stack, self._servers, self._chosen = stack, servers, random.Random(seed)
        self.killed: Counter[str] = Counter()

    def names(self) -> list[str]:
        return [*self._stack.supervisor.children, "postgres", "broker"]

    def kill(self) -> str:
        """Kill one of those that live and were killed least, by its own pid."""
        alive = {name: pid for name in self.names() if (pid := self._pid(name)) is not None}
        least = min(self.killed[name] for name in alive)
        name = self._chosen.choice([name for name in alive if self.killed[name] == least])
        os.kill(alive[name], signal.SIGKILL)
        self.killed[name] += 1
        return name

    def _pid(self, name: str) -> int | None:
        embedded, children = self._stack.embedded, self._stack.supervisor.children | self._servers.children
        assert embedded is not None
        if name not in children:
            return embedded.broker.pid if name == "broker" else embedded.postgres.pid
        process = children[name].process
        return process.pid if process and process.returncode is None else None


async def bombard(sending: Sender, victims: Victims, rounds: int, rate: int) -> dict[str, Verdict]:
    """Send at a rate while killing; what the client was told of each command."""
    told: dict[str, Verdict] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def one(planned: Planned) -> None:
        told[planned.key] = await sending.send(planned)

    killer = asyncio.create_task(_kill(victims, rounds))
    number, began = 0, time.monotonic()
    while not killer.done():
        while number < (time.monotonic() - began) * rate:
            number += 1
            task = asyncio.create_task(one(load(number)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.01)
    await killer
    async with asyncio.timeout(SETTLE_SECONDS):
        await asyncio.gather(*tasks)
    assert len(told) == number, f"{number} sent, {len(told)} told"
    return told


async def _kill(victims: Victims, rounds: int) -> None:
    for round_ in range(1, rounds + 1):
        await asyncio.sleep(victims._chosen.uniform(0.5, 1.5) * CALM_SECONDS)
        print(f"round {round_}: killed {victims.kill()}", flush=True)


async def calm(settings: Settings) -> None:
    """Until no payment is on its way, nothing is due and the read models have seen everything."""

    async def quiet() -> bool:
        connection = await asyncpg.connect(settings.database_url)
        try:
            return await connection.fetchval(
                "select not exists (select 1 from gateway_work) "
                "and not exists (select 1 from outbox_commands where due_at <= now()) "
                "and (select position from head) = (select position from read_progress "
                "where schema = (select active from read_models))"
            )
        finally:
            await connection.close()

    await _until(quiet)


async def _until(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            try:
                if await done():
                    return
            except (OSError, asyncpg.PostgresError, StoreUnavailable):
                pass
            await asyncio.sleep(0.2)


async def compare(stack: Stack, told: dict[str, Verdict]) -> list[str]:
    """An independent reading: SQL, the ledger over HTTP, and the topic; what does not agree."""
    wrong: list[str] = []
    settings = stack.settings
    connection = await asyncpg.connect(settings.database_url)
    stored = {row["command_id"]: row for row in await connection.fetch("select * from verdicts")}
    for key, verdict in told.items():
        id = ids.command_id(TENANT, _type(key), key)
        row = stored.get(id)
        if row is None or (row["status"], row["outcome"]) != (verdict.status, verdict.outcome):
            wrong.append(
                f"{key}: the client was told {verdict.status}, the store says {row and row['status']}"
            )
    processed = await connection.fetch("select stream, data from log where topic = 'payment.processed.v2'")
    ours = {
        row["stream"].partition("payment-")[2]: orjson.loads(row["data"])["processed_amount"]
        for row in processed
    }
    head = await connection.fetchval("select position from head")
    await connection.close()
    async with httpx.AsyncClient() as client:
        ledger = (await client.get(f"{settings.simulator_url}/v1/ledger")).json()
    taken = {entry["key"].split(":")[2]: entry for entry in ledger if entry["status"] == "EXECUTED"}
    if {id: m["amount_minor"] for id, m in ours.items()} != {
        id: e["amount_minor"] for id, e in taken.items()
    }:
        wrong.append(
            f"the gateway took {len(taken)} payments, the log has {len(ours)}: "
            f"{sorted(ours.keys() ^ taken)[:5]}"
        )
    async with PostgresRows.connected(settings.database_url or "", TABLES) as rows:
        wrong += [f"{check.name}: {check.violations}" for check in await verify(rows) if check.violations]
    wrong += await _published(settings, head)
    return wrong


def _type(key: str) -> str:
    kind = {"pay": "payment.process", "post": "invoice.post", "cash": "payment.record_external"}[
        key.split()[0]
    ]
    return f"payments.{kind}.v1"


async def _published(settings: Settings, head: int) -> list[str]:
    """Every position is on the events topic, and each key's are in order, repeats aside."""
    seen: set[int] = set()
    last: dict[bytes, int] = {}
    disorder = 0
    async with AIOKafkaConsumer(
        bootstrap.topics(settings).events,
        bootstrap_servers=settings.kafka_bootstrap_servers or "",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        deadline = time.monotonic() + 60
        while len(seen) < head and time.monotonic() < deadline:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for record in batch:
                    position = int(dict(record.headers)["position"])
                    new = position not in seen
                    disorder += new and position < last.get(record.key or b"", 0)
                    last[record.key or b""] = max(position, last.get(record.key or b"", 0))
                    seen.add(position)
    missing = set(range(1, head + 1)) - seen
    wrong = [f"{len(missing)} of {head} events are not on Kafka"] if missing else []
    return [*wrong, f"{disorder} events out of the order of their key"] if disorder else wrong


@asynccontextmanager
async def apache_kafka(folder: Path, servers: Supervisor) -> AsyncIterator[str]:
    """Apache Kafka, started again whenever it is gone, with what it had; its bootstrap servers."""
    folder.mkdir()
    command, bootstrap_servers = formatted(folder)
    await servers.start("broker", command)
    try:
        await wait_for_broker(bootstrap_servers)
        yield bootstrap_servers
    finally:
        await servers.stop()


async def main(rounds: int, rate: int, seed: int, folder: Path, kafka: bool) -> int:
    settings = Settings(data_dir=folder, http_port=0, gateway_lease_seconds=12.0, simulator_seed=seed)
    servers = Supervisor({}, folder / "kafka-logs")
    async with AsyncExitStack() as exits:
        if kafka:
            bootstrap_servers = await exits.enter_async_context(apache_kafka(folder / "kafka", servers))
            settings = settings.model_copy(update={"kafka_bootstrap_servers": bootstrap_servers})
        stack = await exits.enter_async_context(running(settings))
        return await bombarded(stack, Victims(stack, servers, seed), rounds, rate)


async def bombarded(stack: Stack, victims: Victims, rounds: int, rate: int) -> int:
    """The exit status: 0 when every cent is where it belongs."""
    opened = await PostgresStore.connect(
        stack.settings.database_url or "", keys=bootstrap.key_encryption(stack.settings)
    )
    servers = stack.settings.kafka_bootstrap_servers or ""
    async with sender(
        opened, servers, bootstrap.topics(stack.settings), TENANT, Actor("SYSTEM", "faults")
    ) as sending:
        for planned in setup():
            await sending.send(planned)
        await sending.send_all(accounts())
        began = time.monotonic()
        told = await bombard(sending, victims, rounds, rate)
        seconds = time.monotonic() - began
    await calm(stack.settings)
    wrong = await compare(stack, told)
    await opened.close()
    statuses = Counter(verdict.status for verdict in told.values())
    print(f"{rounds} rounds, {len(told)} commands in {seconds:.0f} s, {dict(statuses)}")
    print(f"killed {dict(victims.killed)}")
    for line in wrong[:20]:
        print(f"WRONG: {line}")
    print("every cent is where it belongs" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


def arguments() -> Any:
    given = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    given.add_argument("--rounds", type=int, default=20)
    given.add_argument("--rate", type=int, default=500)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--kafka", action="store_true", help="on Apache Kafka, from its jars")
    return given.parse_args()


if __name__ == "__main__":
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="tender-faults-", ignore_cleanup_errors=True) as home:
        sys.exit(loop.run(main(asked.rounds, asked.rate, asked.seed, Path(home), asked.kafka)))
