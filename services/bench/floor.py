"""What no domain at all would cost: fetch, decode, COPY of the same bytes, produce."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services import kafka_admin
from services.bench.stage import Stage
from services.bench.stream import Made
from services.messages import Message
from services.relay import KafkaPublisher

COMMANDS, EVENTS = "floor.commands", "floor.events"
RECORDS_MAX = 1000


async def floor(stage: Stage, stream: Sequence[Made]) -> float:
    """Seconds from the first command sent to the last message out."""
    await kafka_admin.create_topics(stage.servers, [COMMANDS, EVENTS], stage.settings.topic_partitions)
    connection = await asyncpg.connect(stage.settings.database_url)
    await connection.execute("create table floor (id bigint, body bytea)")
    places = [TopicPartition(COMMANDS, n) for n in range(stage.settings.topic_partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stage.servers, enable_auto_commit=False, fetch_max_wait_ms=10
    )
    producer = AIOKafkaProducer(bootstrap_servers=stage.servers)
    await consumer.start()
    await producer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        began = time.perf_counter()
        sending = asyncio.create_task(stage.send(stream, COMMANDS))
        await _loop(len(stream), consumer, connection, KafkaPublisher(producer))
        await sending
        return time.perf_counter() - began
    finally:
        await consumer.stop()
        await producer.stop()
        await connection.close()


async def _loop(
    count: int, consumer: AIOKafkaConsumer, connection: asyncpg.Connection, publisher: KafkaPublisher
) -> None:
    done = 0
    while done < count:
        fetched = await consumer.getmany(timeout_ms=10, max_records=RECORDS_MAX)
        records = [record for batch in fetched.values() for record in batch]
        for record in records:
            orjson.loads(record.value or b"{}")
        rows = [(record.offset, record.value) for record in records]
        async with connection.transaction():
            await connection.copy_records_to_table("floor", records=rows)
        await publisher.publish(
            [Message(EVENTS, record.key or b"", record.value or b"", []) for record in records]
        )
        done += len(records)
