"""A whole Tender on this machine: servers where none are given, the schema, the topics, every role.

Each role is a process of its own, watched and started again; all of them end with us.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from gateways.simulator.moved_time import MovedTime
from services import bootstrap
from services.embedded import EmbeddedStack, free_port, running_endpoints
from services.embedded.broker import PARTITIONS
from services.prepare import prepare
from services.running.supervisor import Supervisor, module_command, role_command
from services.settings import Settings
from services.signing_in.joining import check_listening
from services.watching.metrics import shared_folder

GROUPS: dict[str, tuple[str, ...]] = {
    "worker": ("worker",),
    "relay": ("relay", "processes"),
    "gateway": ("gateway",),
    "projector": ("projector",),
    "http": ("http",),
}
"""The processes, by name, and the roles that each runs."""

TALK_TO_THE_BROKER = ("worker", "relay")
"""An embedded broker comes back empty, as another cluster: a relay that lived through it would put
newer events there before the older ones that it gets back."""

READY_SECONDS = 120.0
_HTTP_URL, _SIMULATOR_URL = "http-url", "simulator-url"


class PortTaken(RuntimeError):
    """Another program listens where HTTP shall."""


class TimeWasMoved(RuntimeError):
    """The folder's time is ahead, and something of this Tender would not follow it."""


@dataclass
class Stack:
    settings: Settings
    supervisor: Supervisor
    http_url: str
    embedded: EmbeddedStack | None = None
    """The servers that we started ourselves, if we did."""


def environment(settings: Settings) -> dict[str, str]:
    """The settings as our children read them."""
    secrets = ("kafka_password", "key_encryption_key")
    ours = {"api_key", "api_key_file", "token", "token_file"}  # who started us signs in by them, not Tender
    given = settings.model_dump(mode="json", exclude_none=True, exclude={*secrets, *ours})
    for name in secrets:
        if secret := getattr(settings, name):
            given[name] = secret.get_secret_value()
    return {f"TENDER_{name.upper()}": _written(value) for name, value in given.items()}


def _written(value: object) -> str:
    """Lists and objects as JSON: so they are read."""
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)


@asynccontextmanager
async def running(
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    groups: Mapping[str, tuple[str, ...]] = GROUPS,
) -> AsyncIterator[Stack]:
    """Everything up and ready, until the block ends."""
    async with AsyncExitStack() as stack:
        if "http" in groups:
            check_listening(settings)
        settings = timed(settings)
        supervisor = Supervisor({}, settings.data_dir / "logs")
        settings, embedded = await _servers(settings, supervisor, stack, say)
        settings = _listening(settings) if "http" in groups else settings
        await prepare(settings, say)
        stack.push_async_callback(supervisor.stop)
        settings = await _simulator(settings, supervisor)
        stack.enter_context(_told(settings.data_dir / _SIMULATOR_URL, settings.simulator_url or ""))
        counting = shared_folder(settings.data_dir / "metrics")
        supervisor.environment = {**os.environ, **environment(settings), **counting}
        say(f"starting {', '.join(groups)}")
        for name, roles in groups.items():
            await supervisor.start(name, role_command(*roles))
        url = _url(settings)
        if "http" in groups:
            await _ready(url)
            stack.enter_context(_told(settings.data_dir / _HTTP_URL, url))
        yield Stack(settings, supervisor, url, embedded)


def _listening(settings: Settings) -> Settings:
    """With a port that is free: a stranger on it would answer in our name.  Raises `PortTaken`."""
    if settings.http_port == 0:
        return settings.model_copy(update={"http_port": free_port()})
    if not is_free(settings.http_host, settings.http_port):
        raise PortTaken(
            f"port {settings.http_port} is taken by another program: choose one with --http-port, 0 for any"
        )
    return settings


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _url(settings: Settings) -> str:
    host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host  # noqa: S104
    return f"http://{host}:{settings.http_port}"


@contextmanager
def _told(file: Path, text: str) -> Iterator[None]:
    """Where others of this machine find us, as long as we are here."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def http_url(settings: Settings) -> str:
    """Of the Tender that runs over the data folder; where none says so, the one that is set."""
    file = settings.data_dir / _HTTP_URL
    return file.read_text() if file.exists() else _url(settings)


def simulator_url(settings: Settings) -> str | None:
    """Of the simulator of the Tender that runs over the data folder, or the one that is set."""
    file = settings.data_dir / _SIMULATOR_URL
    return settings.simulator_url or (file.read_text() if file.exists() else None)


async def _servers(
    settings: Settings, supervisor: Supervisor, stack: AsyncExitStack, say: Callable[[str], None]
) -> tuple[Settings, EmbeddedStack | None]:
    if not settings.embedded_database and not settings.embedded_broker:
        return settings, None
    needed = {"postgres": settings.embedded_database, "broker": settings.embedded_broker}
    say(f"starting the embedded {' and '.join(name for name, wanted in needed.items() if wanted)}")
    topics = dict.fromkeys(bootstrap.all_topics(settings), PARTITIONS)
    embedded = EmbeddedStack(  # a broker that starts again has its topics again
        settings.data_dir, topics, without=[name for name, wanted in needed.items() if not wanted]
    )
    await stack.enter_async_context(embedded)
    watching = asyncio.create_task(
        embedded.watch(on_broker_loss=lambda: supervisor.restart(TALK_TO_THE_BROKER)),
        name="watch the embedded servers",
    )

    async def unwatch() -> None:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    stack.push_async_callback(unwatch)
    endpoints = embedded.endpoints
    return use(settings, endpoints.database_url, endpoints.kafka_bootstrap_servers), embedded


def use(settings: Settings, database_url: str, bootstrap_servers: str) -> Settings:
    """Settings with embedded servers where the user gave none."""
    update: dict[str, object] = {
        "database_url": settings.database_url or database_url,
        "kafka_bootstrap_servers": settings.kafka_bootstrap_servers or bootstrap_servers,
    }
    if settings.embedded_broker:
        update["kafka_idempotent_producer"] = False
        update["topic_partitions"] = PARTITIONS
        update["group_session_timeout_ms"] = (
            2_000  # this broker waits for half of it, or twice, at each start
        )
    return settings.model_copy(update=update)


def timed(settings: Settings) -> Settings:
    """With the file of its moved time, where servers and simulator are its own.  Raises `TimeWasMoved`."""
    file = (settings.data_dir / "clock").absolute()
    ours = settings.embedded_database and settings.embedded_broker and settings.simulator_url is None
    if not ours and settings.embedded_database and file.exists() and MovedTime(file).ahead:
        raise TimeWasMoved(
            f"the time of {settings.data_dir} was moved ahead, to {MovedTime(file).now():%Y-%m-%d}: "
            "it runs on with a broker and a simulator of its own only"
        )
    return settings.model_copy(update={"clock_file": file if ours else None})


def attached(settings: Settings, *, bus: bool = True) -> Settings:
    """The settings of a Tender that runs already: the user's servers, or those over the data folder.

    Without `bus` its database is enough.
    """
    settings = timed(settings)
    if settings.database_url and (settings.kafka_bootstrap_servers or not bus):
        return settings
    endpoints = running_endpoints(settings.data_dir)
    if endpoints is None:
        raise RuntimeError(f"nothing runs over {settings.data_dir}: start it with `tender up`")
    return use(settings, endpoints.database_url, endpoints.kafka_bootstrap_servers)


async def _simulator(settings: Settings, supervisor: Supervisor) -> Settings:
    if settings.simulator_url:
        return settings
    port = free_port()
    command = module_command(
        "gateways.simulator",
        f"--port={port}",
        f"--seed={settings.simulator_seed}",
        f"--ledger={settings.data_dir / 'simulator'}",
        f"--notify-to={settings.notifications_url}/",
        f"--mood={settings.simulator_mood}",
        *([f"--clock={settings.clock_file}"] if settings.clock_file else []),
    )
    await supervisor.start("simulator", command, ends_last=True)
    return settings.model_copy(update={"simulator_url": f"http://127.0.0.1:{port}"})


async def _ready(url: str) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(READY_SECONDS):
        while True:
            try:
                if (await client.get(f"{url}/ready")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
