"""The relay: what the store has recorded goes onto Kafka, in order, at least once.

The log itself is the outbox of events.  Progress belongs to a broker's cluster: a new cluster gets
the end of the log again, and every command that still waits for its verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from services.clock import Clock
from services.lease import Lease
from services.messages import (
    Message,
    Topics,
    command_message,
    dead_letter_message,
    event_message,
    verdict_message,
)
from services.store.protocol import Batch, Store, StoreUnavailable, Tracking, TrackingMoved

T = TypeVar("T")

NAME = "relay"
CHUNK = 2000
PAUSE_SECONDS = 0.5


class Publisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once the broker has them all, in order per key; else raise."""
        ...


class KafkaPublisher:
    """Messages in batches of our own making: one per partition, with Kafka's partitioning of keys."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._partitions: dict[str, list[int]] = {}
        self._places: dict[tuple[str, bytes], int] = {}

    async def publish(self, messages: Sequence[Message]) -> None:
        grouped: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            grouped.setdefault((message.topic, await self._partition(message)), []).append(message)
        await asyncio.gather(*(self._send(*place, group) for place, group in grouped.items()))

    async def _partition(self, message: Message) -> int:
        place = message.topic, message.key
        if place not in self._places:
            if message.topic not in self._partitions:
                self._partitions[message.topic] = sorted(await self._producer.partitions_for(message.topic))
            if len(self._places) > 500_000:
                self._places.clear()
            known = self._partitions[message.topic]
            self._places[place] = DefaultPartitioner()(message.key, known, known)
        return self._places[place]

    async def _send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        batch, delivered = self._producer.create_batch(), list[Any]()
        for message in messages:
            if not self._fits(batch, message):
                delivered.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                if not self._fits(batch, message):
                    raise KafkaError(f"a message of {len(message.value)} bytes is more than the broker takes")
        delivered.append(await self._producer.send_batch(batch, topic, partition=partition))
        for acknowledged in delivered:
            await acknowledged

    @staticmethod
    def _fits(batch: Any, message: Message) -> bool:
        appended = batch.append(key=message.key, value=message.value, timestamp=None, headers=message.headers)
        return appended is not None


class Relay:
    """Publishes events, verdicts, due commands and dead letters.  One at a time, by lease."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        clock: Clock,
        *,
        holder: str,
        cluster_id: str,
        topics: Topics,
        resend_seconds: float = 30.0,
        refill_events_max: int = 100_000,
    ) -> None:
        self._store, self._publisher, self._clock = store, publisher, clock
        self.lease = Lease(store, NAME, holder, clock)
        self._cluster_id, self._topics = cluster_id, topics
        self._resend_seconds, self._refill = resend_seconds, refill_events_max
        self._places: dict[str, int] = {}

    async def run(self) -> None:
        """Publish whatever is recorded; runs until cancelled."""
        async for _ in self._store.wakeups():
            try:
                while await self.step():
                    pass
            except (StoreUnavailable, TrackingMoved, KafkaError, OSError):
                self._places.clear()
                await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> int:
        """Publish the next of everything; how many messages that were.  0 without the lease."""
        if not await self.lease.held():
            self._places.clear()
            return 0
        if not self._places:
            await self._find_places()
        return (
            await self._publish_commands()
            + await self._publish_next(
                "results", self._store.read_verdicts, verdict_message, self._topics.results, _verdict_position
            )
            + await self._publish_next(
                "events", self._store.read, event_message, self._topics.events, _position
            )
            + await self._publish_dead_letters()
        )

    async def _find_places(self) -> None:
        """Where each kind stands on this cluster; a cluster that is new to us gets the end of the log."""
        head, verdicts = await self._store.head()
        places = {
            kind: await self._store.tracking(self._name(kind))
            for kind in ("events", "results", "dead-letters")
        }
        if not any(places.values()):
            await self._store.republish_all()
        for kind, last in (("events", head), ("results", verdicts)):
            if places[kind] == 0 and last > self._refill:
                await self._store.commit(Batch(tracking=[Tracking(self._name(kind), 0, last - self._refill)]))
                places[kind] = last - self._refill
        self._places = places

    def _name(self, kind: str) -> str:
        return f"relay:{self._cluster_id}:{kind}"

    async def _publish_next(
        self,
        kind: str,
        read: Callable[[int, int], Any],
        message: Callable[[T, str], Message],
        topic: str,
        place: Callable[[T], int],
    ) -> int:
        after = self._places[kind]
        rows: Sequence[T] = await read(after, CHUNK)
        if not rows:
            return 0
        await self._publisher.publish([message(row, topic) for row in rows])
        await self._advance(kind, place(rows[-1]))
        return len(rows)

    async def _publish_dead_letters(self) -> int:
        rows = await self._store.dead_letters(self._places["dead-letters"], CHUNK)
        if not rows:
            return 0
        await self._publisher.publish(
            [dead_letter_message(letter, self._topics.dead_letters) for _, letter in rows]
        )
        await self._advance("dead-letters", rows[-1][0])
        return len(rows)

    async def _publish_commands(self) -> int:
        now = self._clock.now()
        due = await self._store.due_commands(now, self._resend_seconds, CHUNK)
        if not due:
            return 0
        await self._publisher.publish([command_message(command, self._topics.commands) for command in due])
        await self._store.mark_published([command.command_id for command in due], now)
        return len(due)

    async def _advance(self, kind: str, place: int) -> None:
        await self._store.commit(Batch(tracking=[Tracking(self._name(kind), self._places[kind], place)]))
        self._places[kind] = place


def _position(event: Any) -> int:
    return event.position


def _verdict_position(verdict: Any) -> int:
    return verdict.verdict_position
