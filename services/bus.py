"""The bus: a FastStream batch subscriber that hands consumer records on as they are.

The stock parser decodes every header and one that is no text raises for its whole batch; ours
passes the records through, and what they hold is judged one by one by the intake.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage

from services.intake import Intake, Partition
from services.running.loop import spare_what_stays

PARTITION_BYTES = 4 * 1024 * 1024
"""Of one partition at a time: several parts of a bulk import, each decided while the last is appended."""
WAIT_MS = 1000
"""For records, before it is asked for them again; whatever comes ends the wait."""
LAG_SECONDS = 1.0
"""How often the group's own offsets are committed: they only serve tools that show lag."""


class CommandBus:
    """One member of the consumer group of the topics that commands come by."""

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Sequence[str],
        *,
        group: str,
        batch_timeout_ms: int = 20,
        batch_records_max: int = 1000,
        session_timeout_ms: int = 10_000,
    ) -> None:
        self._broker = broker
        self._intake: Intake | None = None
        self._done: dict[Partition, int] = {}
        self._committing: asyncio.Task[None] | None = None
        self._subscriber: Any = broker.subscriber(
            *topics,
            batch=True,
            group_id=group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            batch_timeout_ms=batch_timeout_ms,
            max_records=batch_records_max,
            max_partition_fetch_bytes=PARTITION_BYTES,
            fetch_max_wait_ms=batch_timeout_ms,
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=session_timeout_ms // 4,
            parser=_as_they_are,
            decoder=_records,
            listener=_Rebalance(self),
        )
        self._subscriber(self._take)
        self._records_max = batch_records_max
        self._subscriber.get_msg = self._next

    async def start(self, intake: Intake) -> None:
        """Join the group and take commands until `stop`."""
        self._intake = intake
        await self._broker.start()
        self._committing = asyncio.create_task(self._commit_for_tools(), name="commit group offsets")

    async def stop(self) -> None:
        if self._committing:
            self._committing.cancel()
        await self._broker.stop()

    async def _next(self, consumer: Any) -> tuple[Any, ...]:
        """What arrives next, if anything does soon.

        FastStream's own sleeps after every wait that brought nothing, and so does what arrives meanwhile.
        """
        found = await consumer.getmany(timeout_ms=WAIT_MS, max_records=self._records_max)
        return tuple(chain.from_iterable(found.values()))

    async def _take(self, records: Any) -> None:
        assert self._intake is not None
        self._done.update(await self._intake.take(records, self))
        spare_what_stays()

    def seek(self, partition: Partition, offset: int | None) -> None:
        place = TopicPartition(*partition)
        consumer = self._subscriber.consumer
        if consumer is None or place not in consumer.assignment():
            return
        consumer.seek(place, offset or 0)  # what retention has removed is reset to the earliest left

    async def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._intake is not None
        await self._intake.assigned([Partition(*place) for place in partitions], self)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        if self._intake is not None:
            self._intake.revoked([Partition(*place) for place in partitions])

    async def _commit_for_tools(self) -> None:
        while True:
            await asyncio.sleep(LAG_SECONDS)
            done, self._done = self._done, {}
            if done and self._subscriber.consumer is not None:
                offsets = {TopicPartition(*place): offset for place, offset in done.items()}
                with contextlib.suppress(KafkaError):
                    await self._subscriber.consumer.commit(offsets)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus

    # The library declares both as plain functions, and awaits them where they are not.
    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, revoked: Iterable[TopicPartition]
    ) -> None:
        self._bus.revoked(revoked)

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, assigned: Iterable[TopicPartition]
    ) -> None:
        await self._bus.assigned(assigned)


async def _as_they_are(records: Any) -> KafkaAckableMessage:
    return KafkaAckableMessage(
        body=b"", raw_message=records, headers={}, message_id=f"{records[0].offset}", consumer=_NoConsumer()
    )


async def _records(message: Any) -> Any:
    return message.raw_message


class _NoConsumer:
    """FastStream acknowledges nothing here: offsets move in the store."""

    async def commit(self) -> None:
        return None

    def seek(self, partition: object, offset: int) -> None:
        return None
