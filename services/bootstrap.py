"""Where everything is joined: settings in, running roles out.  Read it top to bottom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import uvicorn
from faststream.kafka import KafkaBroker

from gateways.simulator.moved_time import MovedTime
from projections.due import StoredDue
from projections.models import TABLES
from projections.rows import PostgresRows
from projections.runner import ProjectionRunner
from services.bus import CommandBus
from services.clock import SystemClock, clock_in
from services.door import Door
from services.handler import Handler
from services.hearing import Hearing
from services.http.app import create_app
from services.http.clock import ClockFace
from services.http.gate import Gate
from services.http.migrations import Migrations
from services.http.notifications import Notifications
from services.keys import KeyEncryption, in_folder
from services.lease import Lease
from services.messages import Topics
from services.moving_time import MovingTime
from services.opening import Gateways
from services.previewing import Preview
from services.process_runner import ProcessRunner
from services.relay import Answering, KafkaPublisher, Relay
from services.running import broker
from services.selecting import Selector
from services.settings import Settings
from services.signing_in import joining
from services.store.postgres import PostgresStore
from services.store.protocol import StoreUnavailable
from services.subjects import PROCESSES, SUBJECTS
from services.watching.metrics import MeasuredIntake, MeasuredPublisher
from services.workers import GatewayWorker


def holder(role: str) -> str:
    """Who holds a lease: unique among all processes of all machines."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"


def clock(settings: Settings) -> SystemClock | MovedTime:
    """What time it is for everything of this deployment."""
    return clock_in(settings.clock_file)


def topics(settings: Settings) -> Topics:
    return Topics.named(settings.topic_prefix)


def commands_topics(settings: Settings) -> tuple[str, ...]:
    """Where commands come from: the one topic of all, and those of producers that are known by theirs."""
    return (topics(settings).commands, *joining.principals(settings))


def all_topics(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*topics(settings), *commands_topics(settings))))


@asynccontextmanager
async def store(
    settings: Settings, connections_max: int = 8, *, durable: bool = True
) -> AsyncIterator[PostgresStore]:
    """`durable=False` for those who only follow the log, and would do again what a crash forgets."""
    assert settings.database_url is not None
    time = clock(settings)
    opened = await PostgresStore.connect(
        settings.database_url,
        keys=key_encryption(settings),
        connections_max=connections_max,
        durable=durable,
        ahead=lambda: time.ahead,
    )
    try:
        await opened.check_key()
        yield opened
    finally:
        await opened.close()


def key_encryption(settings: Settings) -> KeyEncryption:
    """What is given, or the key of the data folder.  Raises `ValueError` for what is no key."""
    if settings.key_encryption_key:
        return KeyEncryption.parsed(settings.key_encryption_key.get_secret_value())
    if settings.key_encryption_key_file:
        return KeyEncryption.parsed(settings.key_encryption_key_file.read_text())
    return KeyEncryption.parsed(in_folder(settings.data_dir))


# -- the roles, each a coroutine that runs until it is cancelled


async def worker(settings: Settings) -> None:
    """Takes commands from Kafka, decides them, appends."""
    async with store(settings) as opened, broker.producer(settings) as producer:
        cluster = await broker.cluster_of(settings)
        handler = Handler(
            opened,
            SUBJECTS,
            clock(settings),
            guard=joining.guard(settings),
            cached_streams_max=settings.cached_streams_max,
        )
        kafka = KafkaBroker(
            settings.kafka_bootstrap_servers or "",
            security=broker.faststream_security(settings),
            apply_types=False,
            logger=None,
            graceful_timeout=5.0,
        )
        bus = CommandBus(
            kafka,
            commands_topics(settings),
            group=settings.consumer_group,
            batch_timeout_ms=settings.batch_timeout_ms,
            batch_records_max=settings.batch_records_max,
            session_timeout_ms=settings.group_session_timeout_ms,
        )
        intake = MeasuredIntake(
            handler,
            opened.offset,
            clock(settings),
            cluster_id=cluster,
            results_topic=topics(settings).results,
            answer=Answering(KafkaPublisher(producer)).answer,
            callers=joining.callers_of(settings, key_encryption(settings)),
        )
        try:
            await bus.start(intake)
            await broker.watch(settings, cluster)
        finally:
            await bus.stop()


async def relay(settings: Settings) -> None:
    """Publishes what the store has recorded."""
    async with store(settings, durable=False) as opened, broker.producer(settings) as producer:
        cluster = await broker.cluster_of(settings)
        published = Relay(
            opened,
            MeasuredPublisher(producer),
            clock(settings),
            holder=holder("relay"),
            cluster_id=cluster,
            topics=topics(settings),
            resend_seconds=settings.outbox_resend_seconds,
            refill_events_max=settings.relay_refill_events_max,
            seal=joining.seals(key_encryption(settings)).made,
        )
        async with _released(published.lease):
            await _until_one_ends(published.run(), broker.watch(settings, cluster))


async def processes(settings: Settings) -> None:
    """Turns recorded facts into commands, and selects what batch runs collect."""
    assert settings.database_url is not None
    time = clock(settings)
    async with (
        store(settings, durable=False) as opened,
        PostgresRows.connected(settings.database_url, TABLES) as rows,
    ):
        runner = ProcessRunner(opened, PROCESSES, SUBJECTS, time, holder("processes"))
        selector = Selector(opened, StoredDue(rows), time, holder("runs"))
        async with _released(runner.lease), _released(selector.lease):
            await _until_one_ends(runner.run(), selector.run())


async def gateway(settings: Settings) -> None:
    """Calls payment gateways, and inquires about what is not known."""
    async with store(settings) as opened:
        known = Gateways(opened, settings, clock(settings))
        try:
            await GatewayWorker(
                opened,
                known.of,
                clock(settings),
                holder=holder("gateway"),
                limits_of=known.limits_of,
                concurrency=settings.gateway_concurrency,
                lease_seconds=settings.gateway_lease_seconds,
                grace_seconds=settings.gateway_grace_seconds,
            ).run()
        finally:
            await known.close()


async def projector(settings: Settings) -> None:
    """Keeps the read models."""
    assert settings.database_url is not None
    async with (
        store(settings, durable=False) as opened,
        PostgresRows.connected(settings.database_url, TABLES) as rows,
        _released(Lease(opened, "projector", holder("projector"), clock(settings))) as lease,
    ):
        await ProjectionRunner(opened, rows, TABLES, lease=lease.held).run()


async def http(settings: Settings) -> None:
    """Answers questions, and takes commands, over HTTP."""
    assert settings.database_url is not None
    joining.check_listening(settings)
    async with (
        store(settings) as opened,
        PostgresRows.connected(settings.database_url, TABLES) as rows,
        httpx.AsyncClient() as client,
    ):
        time = clock(settings)
        door, guard = Door(opened, time.now), joining.guard(settings)
        handler = Handler(opened, SUBJECTS, time, guard=guard, cached_streams_max=10_000)
        preview = Preview(StoredDue(rows), handler.dry_run, time)
        sign_in = joining.sign_in(settings, opened, key_encryption(settings), client, time.now)
        gate = Gate(sign_in, guard, opened, time.now)
        gateways, hearing = Gateways(opened, settings, clock(settings)), Hearing(opened, time.now)
        notifications = Notifications(hearing, gateways.heard, settings.notification_bytes_max)
        seen = broker.BrokerWatch(settings)
        moving = _moving_time(settings, rows, seen, client)
        app = create_app(
            opened,
            rows,
            door,
            preview.dry_run,
            notifications,
            Migrations(opened, time, gate),
            now=time.now,
            wait_seconds=settings.http_wait_seconds,
            broker=seen.cluster,
            gate=gate,
            clock=ClockFace(time, moving),
        )
        config = uvicorn.Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            log_level="warning",
            log_config=None,  # through our own handlers, which mask card numbers
            access_log=False,
            lifespan="off",
        )
        sweeping = hearing.sweep(settings.notification_raw_days)
        try:
            serving = uvicorn.Server(config).serve()
            moves = [moving.run()] if moving else []
            await _until_one_ends(serving, door.run(), seen.run(), sweeping, *moves)
        finally:
            await gateways.close()


def _moving_time(
    settings: Settings, rows: PostgresRows, seen: broker.BrokerWatch, client: httpx.AsyncClient
) -> MovingTime | None:
    """Only where servers and simulator are our own; None: time is the machine's."""
    time = clock(settings)
    if not isinstance(time, MovedTime) or settings.simulator_url is None:
        return None
    return MovingTime(time, rows, seen.cluster, client, settings.simulator_url)


ROLES: dict[str, Callable[[Settings], Awaitable[None]]] = {
    "worker": worker,
    "relay": relay,
    "processes": processes,
    "gateway": gateway,
    "projector": projector,
    "http": http,
}


@asynccontextmanager
async def _released(lease: Lease) -> AsyncIterator[Lease]:
    """A role that ends in order leaves its lease to the next at once."""
    try:
        yield lease
    finally:
        with contextlib.suppress(StoreUnavailable):
            await lease.release()


async def _until_one_ends(*running: Awaitable[None]) -> None:
    """Run together; when one ends or fails, so do the others."""
    tasks = [asyncio.ensure_future(one) for one in running]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
