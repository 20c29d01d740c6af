"""What a benchmark runs on: an embedded stack of its own, roles as processes, and a way to send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from projections.models import TABLES
from projections.rows import PostgresRows
from services import bootstrap
from services.bench.sender import send
from services.bench.stream import Made, setup
from services.relay import KafkaPublisher
from services.running.stack import environment, running
from services.running.supervisor import Supervisor, role_command
from services.settings import Settings

WAIT_SECONDS = 900.0
PARTITIONS = 4
SPINE_ROLES: dict[str, tuple[str, ...]] = {
    "worker": ("worker",),
    "relay": ("relay", "processes"),
    "projector": ("projector",),
}

_TAKEN = "select coalesce(sum(next_offset), 0)::bigint from offsets"

_QUIET = """
select h.position, h.verdict_position,
    (select count(*) from outbox_commands where due_at <= now()) as due,
    coalesce((select max(position) from read_progress), 0) as projected,
    coalesce((select max(position) from tracking where name = 'processes'), 0) as reacted,
    coalesce((select max(position) from tracking where name like 'relay:%:events'), 0) as sent,
    coalesce((select max(position) from tracking where name like 'relay:%:results'), 0) as answered
from head h
"""

_PAST = """
insert into log
select $1::bigint + n, 'past/P' || n % $3::bigint, 'past/payment-' || n, 1, topic, data,
    gen_random_uuid(), meta, occurred_at, recorded_at, true
from generate_series(1, $2::bigint) n, (select * from log where topic = 'account.registered.v2' limit 1) one
"""


@dataclass(frozen=True)
class Cost:
    """What one of the bare things does, and takes: it runs in our own process."""

    per_second: float
    cpu_microseconds: float
    """Of ours, PostgreSQL and the broker together, per command."""


class Stage:
    """A stack with servers, schema and topics; `sent` counts what was put on the commands topic."""

    def __init__(
        self, settings: Settings, connection: Any, producer: AIOKafkaProducer, servers: Mapping[str, int]
    ) -> None:
        self.settings, self.connection = settings, connection
        self.topics = bootstrap.topics(settings)
        self.servers = settings.kafka_bootstrap_servers or ""
        self.sent = 0
        self.server_pids = servers
        """PostgreSQL's and the broker's process, by name."""
        self._publisher = KafkaPublisher(producer)

    async def send(self, stream: Sequence[Made]) -> None:
        """Put commands on their topic, as fast as it takes them."""
        await send(self._publisher, stream, self.topics.commands)
        self.sent += len(stream)

    async def prepare(self, accounts: int) -> None:
        """A tenant with a gateway, accounts, and a card for each."""
        tenant, prepared = list(setup(0)), list(setup(accounts))
        for one in tenant:  # each builds on the one before, and they have homes of their own
            await self.send([one])
            await self.quiet()
        await self.send(prepared[len(tenant) :])
        await self.quiet()

    async def warm(self) -> None:
        """Return once the roles have taken a command: a repeat, which changes nothing."""
        await self.send(list(islice(setup(0), 1)))
        await self.quiet()

    async def grow(self, events: int, accounts: int) -> None:
        """A past: events of other accounts in the log, which the followers have passed already."""
        position = await self.connection.fetchval("select position from head")
        await self.connection.execute(_PAST, position, events, accounts)
        await self.pass_over(events)
        await self.connection.execute("analyze log")

    async def pass_over(self, events: int) -> None:
        """So many events were put into the log by hand: everybody who follows it has seen them."""
        await self.connection.execute("update head set position = position + $1", events)
        await self.connection.execute("update read_progress set position = position + $1", events)
        await self.connection.execute(
            "update tracking set position = position + $1 where name = 'processes' or name like '%:events'",
            events,
        )

    async def quiet(self) -> float:
        """When everything sent was decided, and all that follows from it: projected, reacted, published."""
        before: Any = None
        at = time.perf_counter()
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.connection.fetchval(_TAKEN) < self.sent:
                await asyncio.sleep(0.02)
            while True:
                row = await self.connection.fetchrow(_QUIET)
                head, verdicts = row["position"], row["verdict_position"]
                followed = head == row["projected"] == row["reacted"] == row["sent"]
                if not row["due"] and followed and verdicts == row["answered"]:
                    if before == (head, verdicts):
                        return at
                    at, before = time.perf_counter(), (head, verdicts)
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def roles(
        self, groups: Mapping[str, tuple[str, ...]] = SPINE_ROLES
    ) -> AsyncIterator[dict[str, int]]:
        """Roles as processes of their own, by name to pid."""
        supervisor = Supervisor(environment(self.settings), self.settings.data_dir / "logs")
        try:
            for name, roles in groups.items():
                await supervisor.start(name, role_command(*roles))
            yield {name: child.process.pid for name, child in supervisor.children.items() if child.process}
        finally:
            await supervisor.stop()

    async def costs(self, count: int, running: Callable[[], Awaitable[None]]) -> Cost:
        """Run it for so many commands, in our own process."""
        used, ours = sum(cpu_seconds(self.server_pids).values()), time.process_time()
        began = time.perf_counter()
        await running()
        taken = time.perf_counter() - began
        cpu = sum(cpu_seconds(self.server_pids).values()) - used + time.process_time() - ours
        return Cost(count / taken, cpu * 1e6 / count)

    async def read_topic(self, topic: str, seen: Callable[[Any], None]) -> None:
        """Every record of a topic, once, from its beginning."""
        places = [TopicPartition(topic, n) for n in range(self.settings.topic_partitions)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, 0)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        seen(record)
        finally:
            await consumer.stop()


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Servers up, nothing else: what runs on them is each benchmark's own."""
    settings = Settings(
        data_dir=folder, http_port=0, simulator_url="http://127.0.0.1:1", topic_partitions=PARTITIONS
    )
    async with running(settings, groups={}) as stack:
        settings = stack.settings
        async with PostgresRows.connected(settings.database_url or "", TABLES):
            pass  # their schema is there now
        connection = await asyncpg.connect(settings.database_url)
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers or "", enable_idempotence=False
        )
        await producer.start()
        try:
            assert stack.embedded is not None
            servers = {"PostgreSQL": stack.embedded.postgres.pid, "the broker": stack.embedded.broker.pid}
            yield Stage(settings, connection, producer, servers)
        finally:
            await producer.stop()
            await connection.close()


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of processes and their children, as Linux counts it; 0 where it does not."""
    known = [fields for stat in Path("/proc").glob("[0-9]*/stat") if (fields := _fields(stat))]
    return {name: sum(_used(fields, pid) for fields in known) / 100 for name, pid in pids.items()}


def _fields(stat: Path) -> list[int]:
    """Its pid, its parent, and its time: of its own and of children that have ended."""
    try:
        pid, _, rest = stat.read_text().partition(" ")
    except OSError:  # it ended meanwhile
        return []
    fields = rest.rpartition(")")[2].split()
    return [int(pid), *map(int, (fields[1], *fields[11:15]))]


def _used(fields: Sequence[int], pid: int) -> int:
    own, parent, user, system, *ended = fields
    if own == pid:
        return user + system + sum(ended)
    return user + system if parent == pid else 0


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has held."""
    status = Path(f"/proc/{pid}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
