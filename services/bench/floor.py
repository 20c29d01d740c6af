"""What no domain at all would cost: a bare loop of fetch, decode, COPY, produce.

`floor` writes for each command the very rows that the spine wrote of it, into tables with the same
indexes, and publishes the very messages: the same bytes, without any decision, process or read model.
`thin_floor` writes one small row and publishes one message for each command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.bench.sender import sender
from services.bench.stage import Cost, Stage
from services.bench.stream import Made
from services.bench.traces import LOG, VERDICTS, Trace, traces
from services.messages import Message
from services.relay import KafkaPublisher
from services.running import kafka_admin

RECORDS_MAX = 1000

_THIN = "create table thin_floor (id bigint, body bytea)"
_STORED = "select array_to_string(reloptions, ', ') from pg_class where oid = $1::text::regclass"


class Copied(NamedTuple):
    """Rows for one table."""

    table: str
    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]


Bare = Callable[[Sequence[Any]], tuple[list[Copied], list[Message]]]
"""What a batch of records becomes: rows and messages."""


async def floor(stage: Stage, stream: Sequence[Made], accounts: int, after: int) -> Cost:
    """From the first command sent until all the bytes that the spine made are written and out."""
    events, results = "floor.events", "floor.results"
    ddl = "; ".join([await _like(stage, table) for table in ("log", "verdicts")])
    known = await traces(stage, stream, after, events, results)
    return await _timed(
        stage,
        "floor.commands",
        (events, results),
        len(stream),
        accounts,
        ddl,
        lambda records: _same(known, records),
    )


async def _like(stage: Stage, table: str) -> str:
    """A table with the columns, the indexes and the way of storing of another."""
    options = await stage.connection.fetchval(_STORED, table)
    return f"create table floor_{table} (like {table} including all)" + (
        f" with ({options})" if options else ""
    )


async def thin_floor(stage: Stage, stream: Sequence[Made], accounts: int) -> Cost:
    """From the first command sent to the last row written and message out."""
    return await _timed(
        stage, "thin_floor.commands", ("thin_floor.events",), len(stream), accounts, _THIN, _thin
    )


def _same(known: Mapping[bytes, list[Trace]], records: Sequence[Any]) -> tuple[list[Copied], list[Message]]:
    made = [known[record.value].pop(0) for record in records]
    log = Copied("floor_log", LOG, chain.from_iterable(trace.log for trace in made))
    verdicts = Copied("floor_verdicts", VERDICTS, chain.from_iterable(trace.verdicts for trace in made))
    return [log, verdicts], [message for trace in made for message in trace.messages]


def _thin(records: Sequence[Any]) -> tuple[list[Copied], list[Message]]:
    rows = [(record.offset, record.value) for record in records]
    messages = [Message("thin_floor.events", record.key, record.value, []) for record in records]
    return [Copied("thin_floor", ("id", "body"), rows)], messages


async def _timed(
    stage: Stage, commands: str, out: Sequence[str], count: int, accounts: int, ddl: str, bare: Bare
) -> Cost:
    await kafka_admin.create_topics(stage.servers, [commands, *out], stage.settings.topic_partitions)
    connection = await asyncpg.connect(stage.settings.database_url)
    await connection.execute(ddl)
    places = [TopicPartition(commands, n) for n in range(stage.settings.topic_partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stage.servers, enable_auto_commit=False, fetch_max_wait_ms=10
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=stage.servers, max_batch_size=256 * 1024, enable_idempotence=False
    )
    await consumer.start()
    await producer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        async with sender(stage.servers, commands, count // 100, accounts) as send:

            async def run() -> None:
                send()
                await _loop(count, consumer, connection, KafkaPublisher(producer), bare)

            return await stage.costs(count, run)
    finally:
        await consumer.stop()
        await producer.stop()
        await connection.close()


async def _loop(
    count: int,
    consumer: AIOKafkaConsumer,
    connection: asyncpg.Connection,
    publisher: KafkaPublisher,
    bare: Bare,
) -> None:
    done = 0
    while done < count:
        fetched = await consumer.getmany(timeout_ms=10, max_records=RECORDS_MAX)
        records = [record for batch in fetched.values() for record in batch]
        for record in records:
            orjson.loads(record.value or b"{}")
        copied, messages = bare(records)
        async with connection.transaction():
            for table, columns, rows in copied:
                await connection.copy_records_to_table(table, records=rows, columns=columns)
        await publisher.publish(messages)
        done += len(records)
