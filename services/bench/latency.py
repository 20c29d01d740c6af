"""From one command to its result on Kafka, at a steady rate; beside it, the bare round trip and a commit.

Accounts begin one after the other, so that at any time the commands are those of the whole mix.

Both in one run and on the same servers, one after the other: the bare one is a message to a topic,
a one-row commit by whoever reads it, and a message back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.bench.stage import Stage, staged
from services.bench.stream import ACCEPTED, TURNING_ACCOUNTS, Made, turns
from services.running import kafka_admin

BARE_IN, BARE_OUT = "bare.in", "bare.out"


@dataclass(frozen=True)
class Latency:
    spine: Sequence[float]
    bare: Sequence[float]
    """Seconds of each command or message, sorted."""

    @property
    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "what": what,
                "command_ms": f"{_share(self.spine, share) * 1e3:.1f}",
                "bare_ms": f"{_share(self.bare, share) * 1e3:.1f}",
                "times": f"{_share(self.spine, share) / _share(self.bare, share):.1f}",
            }
            for what, share in (("p50", 0.5), ("p99", 0.99))
        ]


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def latency(folder: Path, rate: int = 200, seconds: int = 15) -> Latency:
    count = rate * seconds
    async with staged(folder) as stage:
        async with stage.roles():
            await stage.prepare(TURNING_ACCOUNTS)
            stream = turns()
            await stage.send([made for turn in islice(stream, ACCEPTED) for made in turn])
            await stage.quiet()
            of_spine = await _timed(stage, list(islice(chain.from_iterable(stream), count)), rate)
        async with _bare(stage):
            of_bare = await _round_trips(stage, count, rate)
        return Latency(sorted(of_spine), sorted(of_bare))


async def _timed(stage: Stage, stream: Sequence[Made], rate: int) -> list[float]:
    sent: dict[bytes, float] = {}

    async def send(n: int) -> bytes:
        id = str(stream[n].command_id).encode()
        sent[id] = time.perf_counter()
        await stage.send([stream[n]])
        return id

    def answered(record: Any) -> bytes:
        return next(value for name, value in record.headers if name == "ce_id")

    return await _steady(stage, stage.topics.results, len(stream), rate, send, answered, sent)


async def _round_trips(stage: Stage, count: int, rate: int) -> list[float]:
    sent: dict[bytes, float] = {}
    async with AIOKafkaProducer(bootstrap_servers=stage.servers) as producer:

        async def send(n: int) -> bytes:
            id = str(n).encode()
            sent[id] = time.perf_counter()
            await producer.send_and_wait(BARE_IN, id, key=id)
            return id

        return await _steady(stage, BARE_OUT, count, rate, send, lambda record: record.value, sent)


async def _steady(
    stage: Stage,
    topic: str,
    count: int,
    rate: int,
    send: Callable[[int], Coroutine[Any, Any, bytes]],
    identity: Callable[[Any], bytes],
    sent: dict[bytes, float],
) -> list[float]:
    """Send at a rate, whatever comes back; how long each took to come back."""
    taken: dict[bytes, float] = {}
    async with _reader(stage, topic) as consumer, asyncio.TaskGroup() as sending:
        begin = time.perf_counter()

        async def send_all() -> None:
            for n in range(count):
                await asyncio.sleep(max(0.0, begin + n / rate - time.perf_counter()))
                sending.create_task(send(n))

        sending.create_task(send_all())
        async with asyncio.timeout(count / rate + 30):
            while len(taken) < count:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    now = time.perf_counter()
                    for record in records:
                        id = identity(record)
                        if id in sent and id not in taken:
                            taken[id] = now - sent[id]
    return list(taken.values())


@asynccontextmanager
async def _reader(stage: Stage, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    places = [TopicPartition(topic, n) for n in range(stage.settings.topic_partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stage.servers, enable_auto_commit=False, fetch_max_wait_ms=10
    )
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _bare(stage: Stage) -> AsyncIterator[None]:
    """One that answers each message after a commit of one row."""
    await kafka_admin.create_topics(stage.servers, [BARE_IN, BARE_OUT], stage.settings.topic_partitions)
    connection = await asyncpg.connect(stage.settings.database_url)
    await connection.execute("create table bare (id bigint generated always as identity, body bytea)")

    async def answer(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    await connection.execute("insert into bare (body) values ($1)", record.value)
                    await producer.send(BARE_OUT, record.value, key=record.key)

    async with (
        _reader(stage, BARE_IN) as consumer,
        AIOKafkaProducer(bootstrap_servers=stage.servers) as producer,
    ):
        answering = asyncio.create_task(answer(consumer, producer))
        try:
            yield
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            await connection.close()
