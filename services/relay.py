"""The relay: what the store has recorded goes onto Kafka, in order, at least once.

The log itself is the outbox of events.  Progress belongs to a broker's cluster: a new cluster gets
the end of the log again, and every command that still waits for its verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from services.clock import Clock
from services.lease import Lease
from services.messages import (
    Message,
    Seal,
    Topics,
    command_message,
    dead_letter_message,
    event_messages,
    verdict_message,
)
from services.store.protocol import Batch, Store, StoreUnavailable, Tracking, TrackingMoved

NAME = "relay"
CHUNK = 4000
PAUSE_SECONDS = 0.5

Place = tuple[str, int]
"""A topic's partition."""


class Publisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once the broker has them all, in order per key; else raise."""
        ...


class KafkaPublisher:
    """Messages in batches of our own making: one per partition, with Kafka's partitioning of keys."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._partitions: dict[str, list[int]] = {}
        self._places: dict[tuple[str, bytes], Place] = {}

    async def publish(self, messages: Sequence[Message]) -> None:
        grouped = defaultdict[Place, list[Message]](list)
        for message in messages:
            place = self._places.get((message.topic, message.key)) or await self._place(message)
            grouped[place].append(message)
        await asyncio.gather(*(self._send(*place, group) for place, group in grouped.items()))

    async def _place(self, message: Message) -> Place:
        if message.topic not in self._partitions:
            self._partitions[message.topic] = sorted(await self._producer.partitions_for(message.topic))
        if len(self._places) > 500_000:
            self._places.clear()
        known = self._partitions[message.topic]
        place = message.topic, DefaultPartitioner()(message.key, known, known)
        self._places[message.topic, message.key] = place
        return place

    async def _send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        batch, delivered = self._producer.create_batch(), list[Any]()
        for _, key, value, headers in messages:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                delivered.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                    raise KafkaError(f"a message of {len(value)} bytes is more than the broker takes")
        delivered.append(await self._producer.send_batch(batch, topic, partition=partition))
        for acknowledged in delivered:
            await acknowledged


class Answering:
    """Results that no verdict row stands for: whoever does not get one asks again."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def answer(self, messages: Sequence[Message]) -> None:
        if messages:
            with contextlib.suppress(KafkaError):
                await self._publisher.publish(messages)


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
        seal: Seal | None = None,
    ) -> None:
        self._store, self._publisher, self._clock = store, publisher, clock
        self.lease = Lease(store, NAME, holder, clock)
        self._cluster_id, self._topics = cluster_id, topics
        self._resend_seconds, self._refill = resend_seconds, refill_events_max
        self._seal = seal
        self._places: dict[str, int] = {}
        self._more = False
        """The last step was full: there is more where that came from, and nobody wakes us for it."""

    async def run(self) -> None:
        """Publish whatever is recorded; runs until cancelled."""
        async for _ in self._store.wakeups():
            try:
                while await self.step() and self._more:
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
        now = self._clock.now()
        results, events, letters, due = await asyncio.gather(
            self._store.read_verdicts(self._places["results"], CHUNK),
            self._store.read(self._places["events"], CHUNK),
            self._store.dead_letters(self._places["dead-letters"], CHUNK),
            self._store.due_commands(now, self._resend_seconds, CHUNK),
        )
        self._more = max(map(len, (results, events, letters, due))) >= CHUNK
        messages = [verdict_message(verdict, self._topics.results) for verdict in results]
        messages += event_messages(events, self._topics.events)
        messages += [dead_letter_message(letter, self._topics.dead_letters) for _, letter in letters]
        messages += [command_message(command, self._topics.commands, self._seal) for command in due]
        if messages:
            await self._publisher.publish(messages)
        await self._advance(
            {
                "results": results[-1].verdict_position if results else 0,
                "events": events[-1].position if events else 0,
                "dead-letters": letters[-1][0] if letters else 0,
            }
        )
        if due:
            await self._store.mark_published([command.command_id for command in due], now)
        return len(messages)

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

    async def _advance(self, reached: Mapping[str, int]) -> None:
        """Remember how far each kind has come; 0 is one that had nothing."""
        moves = [
            Tracking(self._name(kind), self._places[kind], place) for kind, place in reached.items() if place
        ]
        if moves:
            await self._store.commit(Batch(tracking=moves))
            self._places |= {kind: place for kind, place in reached.items() if place}
