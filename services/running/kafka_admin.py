"""What is asked of a Kafka cluster besides messages: whether it is there, which one it is, its topics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

READY_SECONDS = 60.0
RECORD_BYTES_MAX = 2 * 1024 * 1024
"""Room for a body of 1 MiB with its headers; Kafka's own default is 1 MiB for both."""

_CONFIGS = {"max.message.bytes": str(RECORD_BYTES_MAX)}


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
    bootstrap_servers: str, topics: Sequence[str], partitions: int, replication: int = 1, **security: Any
) -> None:
    """Create the topics that do not exist yet; those that do are left as they are.

    They take records of `RECORD_BYTES_MAX`, whatever the broker's own default is.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000, **security)
    await admin.start()
    try:
        missing = set(topics) - set(await admin.list_topics())
        new = [NewTopic(name, partitions, replication, topic_configs=_CONFIGS) for name in sorted(missing)]
        if new:
            _check(await admin.create_topics(new))
    finally:
        await admin.close()


def _check(created: Any) -> None:
    """The broker answers for each topic; that another process was faster is no failure."""
    for topic, code, *said in created.topic_errors:
        error = for_code(code)
        if error not in (NoError, TopicAlreadyExistsError):
            raise error(f"topic {topic} was not created: {said[0] if said else error.__name__}")
