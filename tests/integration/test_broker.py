"""What Tender needs of a broker, whichever it is: so both kinds are held to the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidReplicationFactorError

from services.running.kafka_admin import cluster_id, create_topics
from tests.fixtures.broker_choice import BrokerKind
from tests.fixtures.kafka import Broker

PARTITIONS = 3
MEBIBYTE = 1024 * 1024


@pytest.fixture
async def topic(broker: Broker, topic_prefix: str) -> str:
    name = f"{topic_prefix}records"
    await create_topics(broker.bootstrap_servers, [name], PARTITIONS)
    return name


@pytest.fixture
async def sending(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers,
        enable_idempotence=broker.idempotent,
        max_request_size=2 * MEBIBYTE,
    ) as producer:
        yield producer


@pytest.fixture
async def reading(broker: Broker) -> AsyncIterator[AIOKafkaConsumer]:
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False, fetch_max_wait_ms=10
    ) as consumer:
        yield consumer


def member(broker: Broker, topic: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        group_id=f"{topic}.group",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=10,
        heartbeat_interval_ms=300,
        session_timeout_ms=broker.session_timeout_ms,
    )


async def read(consumer: AIOKafkaConsumer, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    async with asyncio.timeout(20):
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=50)).values():
                values += [record.value for record in records]
    return values


async def test_it_has_one_cluster_id(broker: Broker) -> None:
    assert broker.cluster_id
    assert await cluster_id(broker.bootstrap_servers) == broker.cluster_id


async def test_creating_topics_twice_is_creating_them_once(
    broker: Broker, topic: str, sending: AIOKafkaProducer
) -> None:
    await create_topics(broker.bootstrap_servers, [topic], PARTITIONS)
    assert await sending.partitions_for(topic) == {0, 1, 2}


async def test_topics_that_the_broker_refuses_are_an_error(broker: Broker, topic_prefix: str) -> None:
    if broker.kind is BrokerKind.EMBEDDED:
        pytest.skip("the embedded broker has no limit to refuse")
    with pytest.raises(InvalidReplicationFactorError, match="was not created"):
        await create_topics(broker.bootstrap_servers, [f"{topic_prefix}wide"], PARTITIONS, replication=3)


async def test_a_record_comes_back_whole_with_headers_that_are_no_text(
    topic: str, sending: AIOKafkaProducer, reading: AIOKafkaConsumer
) -> None:
    headers = [("ce_id", b"1"), ("odd", b"\xff\xfe"), ("empty", b""), ("ce_id", b"2")]
    sent = await sending.send_and_wait(topic, b"body", key=b"a/b", partition=1, headers=headers)
    reading.assign([TopicPartition(topic, 1)])
    reading.seek(TopicPartition(topic, 1), sent.offset)
    record = await reading.getone()
    assert (record.key, record.value, list(record.headers)) == (b"a/b", b"body", headers)


async def test_a_body_of_one_mebibyte_fits_with_its_headers(
    topic: str, sending: AIOKafkaProducer, reading: AIOKafkaConsumer
) -> None:
    await sending.send_and_wait(topic, b"x" * MEBIBYTE, partition=0, headers=[("h", b"v" * 2000)])
    reading.assign([TopicPartition(topic, 0)])
    reading.seek(TopicPartition(topic, 0), 0)
    assert [len(value or b"") for value in await read(reading, 1)] == [MEBIBYTE]


async def test_a_seek_into_the_middle_of_a_batch_starts_there(
    topic: str, sending: AIOKafkaProducer, reading: AIOKafkaConsumer
) -> None:
    values = [b"%d" % number for number in range(20)]
    await asyncio.gather(*[await sending.send(topic, value, partition=2) for value in values])
    reading.assign([TopicPartition(topic, 2)])
    reading.seek(TopicPartition(topic, 2), 13)
    assert await read(reading, 7) == values[13:]


async def test_two_members_of_a_group_share_the_partitions_and_lose_nothing(
    broker: Broker, topic: str, sending: AIOKafkaProducer
) -> None:
    async with member(broker, topic) as first, member(broker, topic) as second:
        async with asyncio.timeout(30):
            while len(first.assignment()) + len(second.assignment()) != PARTITIONS or not second.assignment():
                await asyncio.gather(first.getmany(timeout_ms=50), second.getmany(timeout_ms=50))
        assert first.assignment().isdisjoint(second.assignment())
        for number in range(30):
            await sending.send_and_wait(topic, b"%d" % number, partition=number % PARTITIONS)
        mine, theirs = len(first.assignment()) * 10, len(second.assignment()) * 10
        seen = await asyncio.gather(read(first, mine), read(second, theirs))
    assert sorted(int(value or b"") for values in seen for value in values) == list(range(30))


async def test_a_committed_offset_is_told_to_the_next_member(broker: Broker, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    async with member(broker, topic) as consumer:
        async with asyncio.timeout(30):
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=50)
        await consumer.commit({partition: 5})
    async with member(broker, topic) as consumer:
        assert await consumer.committed(partition) == 5


async def test_each_test_has_a_database_with_the_schema(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("select count(*) from log") == 0
        await connection.execute("create table only_here as select 1")
    finally:
        await connection.close()
