"""The spine: commands in through Kafka, durable, projected, and their events out on Kafka.

The stream lies on the topic before the clock starts; it stops when the last verdict is durable, the
read models are at the head, and the relay has published everything.  Beside it, in the same run, the
floor: the bare loop of fetch, decode, COPY of the same bytes, and produce, without any domain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services import bootstrap, kafka_admin
from services.bench.stream import Made, measured, setup
from services.settings import Settings
from services.stack import environment, running
from services.supervisor import Supervisor, role_command

ROLES = {"worker": ("worker",), "relay": ("relay",), "projector": ("projector",)}
WAIT_SECONDS = 600.0
FLOOR_TOPICS = ("floor.commands", "floor.events")
FLOOR_RECORDS = 1000


@dataclass(frozen=True)
class Spine:
    commands: int
    events: int
    accepted: int
    rejected: int
    repeated: int
    decided_seconds: float
    """From the first verdict to the last."""
    whole_seconds: float
    """To the read models and the relay at the head, too."""
    floor_seconds: float

    @property
    def table(self) -> list[dict[str, Any]]:
        rate, floor = self.commands / self.whole_seconds, self.commands / self.floor_seconds
        return [
            {"what": "decided and durable", "commands_per_s": round(self.commands / self.decided_seconds)},
            {"what": "and projected, and on Kafka", "commands_per_s": round(rate)},
            {"what": "floor: the bare loop", "commands_per_s": round(floor)},
            {"what": "share of the floor", "commands_per_s": f"{rate / floor:.0%}"},
        ]

    def whole(self) -> dict[str, Any]:
        return asdict(self) | {"table": self.table}


async def spine(folder: Path, commands: int, accounts: int = 200) -> Spine:
    settings = Settings(data_dir=folder, http_port=0, simulator_url="http://127.0.0.1:1", topic_partitions=4)
    stream = list(measured(commands // 100, accounts))
    async with running(settings, groups={}) as stack:
        prepared = list(setup(accounts))
        topic = bootstrap.topics(stack.settings).commands
        await _start(stack.supervisor, stack.settings, ROLES)
        servers = stack.settings.kafka_bootstrap_servers or ""
        for one in prepared[:3]:
            await _produce(servers, topic, [one])
            await _verdicts(stack.settings, prepared.index(one) + 1)
        await _produce(servers, topic, prepared[3:])
        await _verdicts(stack.settings, len(prepared))
        await stack.supervisor.stop()
        before = await _counts(stack.settings)
        await _produce(servers, topic, stream)
        roles = Supervisor(environment(stack.settings), folder / "logs")
        await _start(roles, stack.settings, ROLES)
        try:
            whole = await _finished(stack.settings, before, len(stream))
        finally:
            await roles.stop()
        floor = await _floor(stack.settings, stream)
        return await _measured(stack.settings, before, stream, whole, floor)


async def _start(supervisor: Supervisor, settings: Settings, groups: dict[str, tuple[str, ...]]) -> None:
    for name, roles in groups.items():
        await supervisor.start(name, role_command(*roles))


async def _produce(servers: str, topic: str, stream: Iterable[Made]) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=servers, linger_ms=20, max_batch_size=512 * 1024
    ) as producer:
        for one in stream:
            await producer.send(topic, one.body, key=one.key, headers=[("ce_type", one.type)])
        await producer.flush()


async def _ask(settings: Settings, statement: str, *values: object) -> Any:
    connection = await asyncpg.connect(settings.database_url)
    try:
        return await connection.fetchrow(statement, *values)
    finally:
        await connection.close()


async def _counts(settings: Settings) -> Any:
    return await _ask(settings, "select position, verdict_position from head")


async def _verdicts(settings: Settings, count: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await _counts(settings))["verdict_position"] < count:
            await asyncio.sleep(0.05)


async def _finished(settings: Settings, before: Any, commands: int) -> float:
    """When everything is decided, projected and published; the clock of the store's first verdict counts."""
    distinct = commands - commands // 100 * 3  # repeats have no verdict of their own
    connection = await asyncpg.connect(settings.database_url)
    began: float | None = None
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                row = await connection.fetchrow(
                    "select h.position, h.verdict_position, "
                    "coalesce((select max(position) from read_progress), 0) as projected, "
                    "coalesce((select max(position) from tracking "
                    "where name like 'relay:%:events'), 0) as sent from head h"
                )
                if began is None and row["verdict_position"] > before["verdict_position"]:
                    began = time.perf_counter()
                done = row["verdict_position"] >= before["verdict_position"] + distinct
                if done and row["projected"] == row["position"] == row["sent"] and began is not None:
                    return time.perf_counter() - began
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def _measured(settings: Settings, before: Any, stream: list[Made], whole: float, floor: float) -> Spine:
    row = await _ask(
        settings,
        "select count(*) filter (where status = 'ACCEPTED') as accepted, "
        "count(*) filter (where status = 'REJECTED') as rejected, "
        "extract(epoch from max(recorded_at) - min(recorded_at))::float as seconds "
        "from verdicts where verdict_position > $1",
        before["verdict_position"],
    )
    after = await _counts(settings)
    answered = row["accepted"] + row["rejected"]
    return Spine(
        commands=len(stream),
        events=after["position"] - before["position"],
        accepted=row["accepted"],
        rejected=row["rejected"],
        repeated=len(stream) - answered,
        decided_seconds=row["seconds"],
        whole_seconds=whole,
        floor_seconds=floor,
    )


async def _floor(settings: Settings, stream: list[Made]) -> float:
    """Fetch, decode, COPY the same bytes, produce: what no domain at all would cost."""
    servers = settings.kafka_bootstrap_servers or ""
    await kafka_admin.create_topics(servers, list(FLOOR_TOPICS), settings.topic_partitions)
    await _produce(servers, FLOOR_TOPICS[0], stream)
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute("create table floor (id bigint, body bytea)")
    places = [TopicPartition(FLOOR_TOPICS[0], n) for n in range(settings.topic_partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, fetch_max_wait_ms=10)
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=2, max_batch_size=256 * 1024)
    await consumer.start()
    await producer.start()
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    done, began = 0, time.perf_counter()
    try:
        while done < len(stream):
            fetched = await consumer.getmany(timeout_ms=10, max_records=FLOOR_RECORDS)
            records = [record for batch in fetched.values() for record in batch]
            for record in records:
                orjson.loads(record.value or b"{}")
            rows = [(record.offset, record.value) for record in records]
            async with connection.transaction():
                await connection.copy_records_to_table("floor", records=rows)
            for record in records:
                await producer.send(FLOOR_TOPICS[1], record.value, key=record.key)
            done += len(records)
        await producer.flush()
        return time.perf_counter() - began
    finally:
        await consumer.stop()
        await producer.stop()
        await connection.close()
