"""Faults on demand: a store that fails before or after it did the thing, and a bus that misbehaves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from projections.folding import Keys, Rows
from projections.rows import MemoryRows
from services.intake import Partition
from services.messages import Message
from services.store.memory import MemoryStore
from services.store.protocol import StoreUnavailable

PARTITIONS = 3
LOST_BEFORE, LOST_AFTER = 0.01, 0.99
"""Of all that the store is asked, the worst hundredth never reaches it, and the best is never answered."""


class Weather:
    """How bad it is now, and what has happened."""

    def __init__(self, seed: int) -> None:
        self.chosen = random.Random(seed)
        self.storm = False
        self.happened: Counter[str] = Counter()

    def strikes(self, fault: str, chance: float) -> bool:
        if self.storm and self.chosen.random() < chance:
            self.happened[fault] += 1
            return True
        return False


class FaultyStore:
    """The store in memory, behind a connection that is lost now and then; each call takes a moment."""

    def __init__(self, store: MemoryStore, weather: Weather) -> None:
        self._store, self._weather = store, weather

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._store, name)
        asked = inner if name == "wakeups" else self._behind_the_line(inner)
        setattr(self, name, asked)
        return asked

    def _behind_the_line(self, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        weather, chance = self._weather, self._weather.chosen.random

        async def asked(*arguments: Any, **more: Any) -> Any:
            if not weather.storm:
                return await inner(*arguments, **more)
            moment, luck = chance() * 0.008 - 0.004, chance()
            if moment > 0:  # in between, anybody else may come first
                await asyncio.sleep(moment)
            if luck < LOST_BEFORE:
                weather.happened["store lost before"] += 1
                raise StoreUnavailable("the connection was lost before it was asked")
            answer = await inner(*arguments, **more)
            if luck > LOST_AFTER:
                weather.happened["store lost after"] += 1
                raise StoreUnavailable("the connection was lost before it answered")
            return answer

        return asked


class FaultyRows(MemoryRows):
    """Read models behind a connection of their own, which is lost now and then."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    async def load(self, schema: str, keys: Keys) -> Rows:
        if self._weather.strikes("rows lost before", 0.005):
            raise OSError("the connection was lost before the rows were read")
        return await super().load(schema, keys)

    async def write(self, *what: Any) -> None:
        if self._weather.strikes("rows lost before", 0.01):
            raise OSError("the connection was lost before the rows were written")
        await super().write(*what)
        if self._weather.strikes("rows lost after", 0.01):
            raise OSError("the connection was lost before it answered")


class Record:
    """A record as a consumer gives it."""

    def __init__(self, topic: str, partition: int, offset: int, message: Message) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        self.key, self.value, self.headers = message.key, message.value, message.headers


class Bus:
    """Topics in memory: commands in partitions, everything else just counted."""

    def __init__(self, weather: Weather, commands_topic: str) -> None:
        self._weather, self._topic = weather, commands_topic
        self.cluster = 0
        self.partitions: list[list[Message]] = [[] for _ in range(PARTITIONS)]
        self.published: list[Message] = []
        self.arrived = asyncio.Event()

    @property
    def cluster_id(self) -> str:
        return f"cluster-{self.cluster}"

    async def publish(self, messages: Sequence[Message]) -> None:
        """The relay's publisher: duplicates, and failures after some were taken."""
        await asyncio.sleep(self._weather.chosen.random() * 0.004)
        for message in messages:
            if self._weather.strikes("publish failed", 0.005):
                raise OSError("the broker was lost")
            self.produce(message)
            if self._weather.strikes("record duplicated", 0.03):
                self.produce(message)

    def produce(self, message: Message) -> None:
        if message.topic != self._topic:
            self.published.append(message)
            return
        place = sum(message.key) % PARTITIONS
        if self._weather.strikes("record on another partition", 0.03):
            place = self._weather.chosen.randrange(PARTITIONS)
        self.partitions[place].append(message)
        self.stir()

    def stir(self) -> None:
        """Have every worker look again what there is for it."""
        moved, self.arrived = self.arrived, asyncio.Event()
        moved.set()

    def come_back_empty(self) -> None:
        """The broker was started again: another cluster, and no topic has anything."""
        self.cluster += 1
        self.partitions = [[] for _ in range(PARTITIONS)]
        self._weather.happened["broker came back empty"] += 1


class Consumer:
    """One worker's view of its partitions."""

    def __init__(self, bus: Bus, weather: Weather, topic: str) -> None:
        self._bus, self._weather, self._topic = bus, weather, topic
        self.places: dict[Partition, int] = {}

    def seek(self, partition: Partition, offset: int | None) -> None:
        self.places[partition] = offset or 0

    def is_behind(self) -> bool:
        return any(
            offset < len(self._bus.partitions[place.partition]) for place, offset in self.places.items()
        )

    def poll(self) -> list[Record]:
        """Some of what is there; now and then it is read again, or comes late."""
        found: list[Record] = []
        for place, offset in list(self.places.items()):
            if offset >= len(self._bus.partitions[place.partition]):
                continue
            if self._weather.strikes("partition delayed", 0.2):
                continue
            waiting = self._bus.partitions[place.partition][
                offset : offset + self._weather.chosen.randint(1, 12)
            ]
            found += [Record(self._topic, place.partition, offset + n, m) for n, m in enumerate(waiting)]
            again = self._weather.strikes("records read again", 0.05)
            self.places[place] = offset if again else offset + len(waiting)
        return found
