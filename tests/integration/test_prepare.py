"""A deployment is prepared once, and again without harm."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from services.prepare import prepare
from services.settings import Settings
from tests.fixtures.kafka import Broker


async def test_the_schema_and_the_topics_are_there_after_it_and_a_second_time_changes_nothing(
    database_url: str, broker: Broker, topic_prefix: str
) -> None:
    settings = Settings(
        database_url=database_url,
        kafka_bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=topic_prefix,
        topic_partitions=2,
    )
    assert await prepare(settings) == []  # the tests' databases are copies of a migrated one
    assert await prepare(settings) == []
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        topics = ("commands", "command-results", "events", "dead-letters")
        found = [await producer.partitions_for(f"{topic_prefix}payments.{topic}.v1") for topic in topics]
    assert found == [{0, 1}] * 4
