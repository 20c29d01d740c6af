"""What is asked of a Kafka cluster besides messages: whether it is there, which one it is, its topics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

READY_SECONDS = 30.0


async def wait_for_broker(bootstrap_servers: str, **security: Any) -> None:
    """Return once the broker answers; `TimeoutError` after `READY_SECONDS`."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with contextlib.suppress(KafkaError, OSError):
                await cluster_id(bootstrap_servers, **security)
                return
            await asyncio.sleep(0.1)


async def cluster_id(bootstrap_servers: str, **security: Any) -> str:
    """The broker's cluster id: offsets and positions belong to it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=5_000, **security)
    await admin.start()
    try:
        described = await admin.describe_cluster()
        return described["cluster_id"]
    finally:
        await admin.close()


async def create_topics(
    bootstrap_servers: str, topics: list[str], partitions: int, replication: int = 1, **security: Any
) -> None:
    """Create the topics that do not exist yet."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000, **security)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        new = [NewTopic(name, partitions, replication) for name in topics if name not in existing]
        if new:
            with contextlib.suppress(TopicAlreadyExistsError):
                await admin.create_topics(new)
    finally:
        await admin.close()
