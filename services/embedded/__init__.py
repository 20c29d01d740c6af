"""The embedded stack: PostgreSQL 18 and a Kafka-compatible broker, from PyPI alone.

PostgreSQL's data is durable; the broker's topics are in memory, and each of its starts is a new cluster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from services.embedded.broker import EmbeddedBroker, broker_command, free_port
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.server import EmbeddedFailed
from services.running.kafka_admin import cluster_id, create_topics, wait_for_broker
from services.running.lifeline import FolderInUse, FolderLock, is_held

__all__ = [
    "EmbeddedBroker",
    "EmbeddedFailed",
    "EmbeddedPostgres",
    "EmbeddedStack",
    "Endpoints",
    "FolderInUse",
    "broker_command",
    "cluster_id",
    "create_topics",
    "free_port",
    "running_endpoints",
    "wait_for_broker",
]


@dataclass(frozen=True)
class Endpoints:
    """Where a running stack is found by another process of the same machine."""

    database_url: str
    kafka_bootstrap_servers: str
    cluster_id: str


class EmbeddedStack:
    """The servers over one data folder that no second stack may use at the same time.

    `without` names those that the user has: `postgres`, or `broker`; they are not started.
    """

    def __init__(
        self,
        folder: Path,
        topics: Mapping[str, int] | None = None,
        broker_port: int = 0,
        *,
        without: Collection[str] = (),
    ) -> None:
        self.folder = folder.absolute()
        self.postgres = EmbeddedPostgres(self.folder / "postgres", self.folder / "logs")
        self.broker = EmbeddedBroker(self.folder / "logs", topics, broker_port)
        self._lock = FolderLock(self.folder)
        self._without = frozenset(without)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.postgres.database_url, self.broker.bootstrap_servers, self.broker.cluster_id)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> Endpoints:
        """Take the folder (`FolderInUse`), start them, say where they are in `endpoints.json`."""
        self._lock.acquire()
        try:
            async with asyncio.TaskGroup() as starting:
                if "postgres" not in self._without:
                    starting.create_task(self.postgres.start())
                if "broker" not in self._without:
                    starting.create_task(self.broker.start())
        except BaseException:
            await self.stop()
            raise
        self._publish()
        return self.endpoints

    async def watch(
        self,
        on_postgres_restart: Callable[[], None] = lambda: None,
        on_broker_restart: Callable[[], None] = lambda: None,
        on_broker_loss: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start again what ends by itself; runs until cancelled.

        After a broker's restart every consumer and producer must be given the new `cluster_id`:
        `on_broker_loss` may end them before the new one takes its first message.
        """

        def broker_is_new() -> None:
            self._publish()
            on_broker_restart()

        async with asyncio.TaskGroup() as watching:
            watching.create_task(self.postgres.watch(on_postgres_restart))
            watching.create_task(self.broker.watch(broker_is_new, on_broker_loss))

    async def stop(self) -> None:
        (self.folder / "endpoints.json").unlink(missing_ok=True)
        await asyncio.gather(self.broker.stop(), self.postgres.stop())
        self._lock.release()

    def _publish(self) -> None:
        whole = self.folder / "endpoints.json.new"
        whole.write_text(json.dumps(asdict(self.endpoints)))
        whole.replace(self.folder / "endpoints.json")


def running_endpoints(folder: Path) -> Endpoints | None:
    """Where the stack over this folder is, if one runs now."""
    file = folder / "endpoints.json"
    if not file.exists() or not is_held(folder):
        return None
    return Endpoints(**json.loads(file.read_text()))
