"""Where everything is joined: settings in, running roles out.  Read it top to bottom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import httpx
import uvicorn
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from events import ids
from events.gateway import (
    GatewayCircuitClosed,
    GatewayCircuitOpened,
    GatewayCredentialRotated,
    GatewayRegistered,
    RawCodeMapPublished,
)
from events.mapper import decode
from gateways.codes import NO_MAP, CodeMap, Meaning
from gateways.credentials import Credential, CredentialMissing
from gateways.mapped import MappedGateway
from gateways.protocol import Gateway
from gateways.registry import AdapterNotInstalled, UnknownAdapter, adapter
from gateways.simulator.moved_time import MovedTime
from gateways.unusable import UnusableGateway
from projections.models import TABLES
from projections.rows import PostgresRows
from projections.runner import ProjectionRunner
from services.bus import CommandBus
from services.calls.safety import Limits
from services.clock import Clock, SystemClock, clock_in
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
from services.process_runner import ProcessRunner
from services.relay import Answering, KafkaPublisher, Relay
from services.running import kafka_admin
from services.settings import Settings
from services.signing_in import joining
from services.store.postgres import PostgresStore
from services.store.protocol import StoreUnavailable
from services.subjects import PROCESSES, SUBJECTS
from services.watching.metrics import MeasuredGateway, MeasuredIntake, MeasuredPublisher
from services.workers import GatewayWorker

WATCH_SECONDS = 2.0
FRESH_SECONDS = 5.0
"""So soon a gateway's new credential, or its opened circuit, is known to its workers."""
GRACE_SECONDS = 5.0
"""A call may take its two time-outs, and so much for what is between them."""
BROKER_SECONDS_MAX = 5.0
"""A broker that takes longer to say who it is is not there."""


class BrokerChanged(RuntimeError):
    """The broker is another cluster now: this process must begin anew."""


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
    async with store(settings) as opened, _producer(settings) as producer:
        cluster = await _cluster(settings)
        handler = Handler(
            opened,
            SUBJECTS,
            clock(settings),
            guard=joining.guard(settings),
            cached_streams_max=settings.cached_streams_max,
        )
        broker = KafkaBroker(
            settings.kafka_bootstrap_servers or "",
            security=_broker_security(settings),
            apply_types=False,
            logger=None,
            graceful_timeout=5.0,
        )
        bus = CommandBus(
            broker,
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
            await _watch(settings, cluster)
        finally:
            await bus.stop()


async def relay(settings: Settings) -> None:
    """Publishes what the store has recorded."""
    async with store(settings, durable=False) as opened, _producer(settings) as producer:
        cluster = await _cluster(settings)
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
            await _until_one_ends(published.run(), _watch(settings, cluster))


async def processes(settings: Settings) -> None:
    """Turns recorded facts into commands."""
    async with store(settings, durable=False) as opened:
        runner = ProcessRunner(opened, PROCESSES, SUBJECTS, clock(settings), holder("processes"))
        async with _released(runner.lease):
            await runner.run()


async def gateway(settings: Settings) -> None:
    """Calls payment gateways, and inquires about what is not known."""
    async with store(settings) as opened:
        known = Gateways(opened, settings)
        try:
            await GatewayWorker(
                opened,
                known.of,
                clock(settings),
                holder=holder("gateway"),
                limits_of=known.limits_of,
                concurrency=settings.gateway_concurrency,
                lease_seconds=settings.gateway_lease_seconds,
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
        sign_in = joining.sign_in(settings, opened, key_encryption(settings), client, time.now)
        gate = Gate(sign_in, guard, opened, time.now)
        gateways, hearing = Gateways(opened, settings), Hearing(opened, time.now)
        notifications = Notifications(hearing, gateways.heard, settings.notification_bytes_max)
        broker = BrokerWatch(settings)
        moving = _moving_time(settings, rows, broker, client)
        app = create_app(
            opened,
            rows,
            door,
            handler.dry_run,
            notifications,
            Migrations(opened, time, gate),
            now=time.now,
            wait_seconds=settings.http_wait_seconds,
            broker=broker.cluster,
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
            await _until_one_ends(serving, door.run(), broker.run(), sweeping, *moves)
        finally:
            await gateways.close()


def _moving_time(
    settings: Settings, rows: PostgresRows, broker: BrokerWatch, client: httpx.AsyncClient
) -> MovingTime | None:
    """Only where servers and simulator are our own; None: time is the machine's."""
    time = clock(settings)
    if not isinstance(time, MovedTime) or settings.simulator_url is None:
        return None
    return MovingTime(time, rows, broker.cluster, client, settings.simulator_url)


class BrokerWatch:
    """Whether the broker answers, looked at again and again: for who is asked whether all is ready."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster: str | None = None

    def cluster(self) -> str | None:
        """Which cluster answered last; None while none does."""
        return self._cluster

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(BROKER_SECONDS_MAX):
                    self._cluster = await _cluster(self._settings)
            except (KafkaError, OSError, TimeoutError):
                self._cluster = None
            await asyncio.sleep(WATCH_SECONDS)


ROLES: dict[str, Callable[[Settings], Awaitable[None]]] = {
    "worker": worker,
    "relay": relay,
    "processes": processes,
    "gateway": gateway,
    "projector": projector,
    "http": http,
}


class Registration(NamedTuple):
    """A gateway as its stream has it now."""

    registered: GatewayRegistered
    credential_ref: str
    circuit_open_until: datetime | None

    def opens_like(self, other: Registration) -> bool:
        return (self.registered, self.credential_ref) == (other.registered, other.credential_ref)


class _Known(NamedTuple):
    gateway: Gateway
    opened: bool
    registration: Registration
    read_at: datetime


def limits(registered: GatewayRegistered, settings: Settings) -> Limits:
    """What a gateway is sent at a time: its registration's word, within what this deployment allows."""
    asked = (registered.settings or {}).get("concurrency", "")
    at_once = min(int(asked), settings.gateway_concurrency_each) if asked.isdigit() else None
    rate = registered.rate_limit_per_second
    return Limits(
        at_once=max(1, settings.gateway_concurrency_each if at_once is None else at_once),
        per_second=rate / settings.gateway_workers if rate else None,
        call_seconds=(registered.connect_timeout_ms + registered.read_timeout_ms) / 1000 + GRACE_SECONDS,
        failures_max=settings.gateway_failures_max,
    )


class Gateways:
    """The adapters of registered gateways, made when they are first asked for, and again when what they
    were made from has changed."""

    def __init__(self, opened: PostgresStore, settings: Settings, time: Clock | None = None) -> None:
        self._store, self._settings, self._clock = opened, settings, time or clock(settings)
        self._known: dict[tuple[str, str], _Known] = {}
        self._looking: dict[tuple[str, str], asyncio.Lock] = {}
        self._replaced: list[Gateway] = []

    async def of(self, tenant: str, gateway_id: str) -> Gateway:
        """One that cannot be opened answers so itself, and is tried anew at the next call."""
        return (await self._look(tenant, gateway_id)).gateway

    async def heard(self, tenant: str, gateway_id: str) -> Gateway | None:
        """The same, to read its notifications by today's code map; None where none is registered."""
        stream = ids.stream(tenant, "gw", gateway_id)
        if (tenant, gateway_id) not in self._known and not await self._store.read_stream(stream):
            return None
        gateway = await self.of(tenant, gateway_id)
        if isinstance(gateway, MappedGateway):
            await gateway.refresh()
        return gateway

    async def limits_of(self, tenant: str, gateway_id: str) -> tuple[Limits, datetime | None]:
        """How much it is sent at a time, and until when its circuit is open."""
        known = await self._look(tenant, gateway_id)
        return limits(known.registration.registered, self._settings), known.registration.circuit_open_until

    async def close(self) -> None:
        for gateway in (*(known.gateway for known in self._known.values()), *self._replaced):
            await gateway.close()

    async def _look(self, tenant: str, gateway_id: str) -> _Known:
        """What is known of a gateway, read again from its stream once it is `FRESH_SECONDS` old."""
        key = tenant, gateway_id
        async with self._looking.setdefault(key, asyncio.Lock()):
            known, now = self._known.get(key), self._clock.now()
            if known and (now - known.read_at).total_seconds() < FRESH_SECONDS:
                return known
            registration = await self._read(tenant, gateway_id)
            if known and known.opened and known.registration.opens_like(registration):
                gateway, opened = known.gateway, True
            else:
                gateway, opened = self._open(tenant, gateway_id, registration)
                self._replaced += [known.gateway] if known and known.opened else []
            made = _Known(gateway, opened, registration, now)
            if opened:
                self._known[key] = made
            return made

    async def _read(self, tenant: str, gateway_id: str) -> Registration:
        recorded = await self._store.read_stream(ids.stream(tenant, "gw", gateway_id))
        facts = [decode(each.topic, each.data) for each in recorded]
        registered = facts[0]
        assert isinstance(registered, GatewayRegistered)
        read = Registration(registered, registered.credential_ref, None)
        for fact in facts:
            match fact:
                case GatewayCredentialRotated():
                    read = read._replace(credential_ref=fact.credential_ref)
                case GatewayCircuitOpened():
                    read = read._replace(circuit_open_until=fact.until)
                case GatewayCircuitClosed():
                    read = read._replace(circuit_open_until=None)
                case _:
                    pass
        return read

    def _open(self, tenant: str, gateway_id: str, read: Registration) -> tuple[Gateway, bool]:
        try:
            return MeasuredGateway(self._made(tenant, read), gateway_id), True
        except (UnknownAdapter, AdapterNotInstalled, CredentialMissing, KeyError) as why:
            return UnusableGateway(f"the gateway {gateway_id} cannot be opened: {why}"), False

    def _made(self, tenant: str, read: Registration) -> Gateway:
        registered = read.registered
        given = {
            "merchant_account": registered.merchant_account_id,
            "mode": registered.mode,
            **(registered.settings or {}),
        }
        if registered.adapter_key == "simulator" and self._settings.simulator_url:
            given.setdefault("base_url", self._settings.simulator_url)
            path = f"/v1/{tenant}/gateways/{registered.gateway_id}/notifications"
            given.setdefault("notify_url", f"{self._settings.notifications_url}{path}")
        opened = adapter(registered.adapter_key)(
            given,
            registered.connect_timeout_ms,
            registered.read_timeout_ms,
            Credential(read.credential_ref),
        )
        return MappedGateway(opened, lambda: self._published(tenant, registered.provider_id))

    async def _published(self, tenant: str, provider_id: str) -> CodeMap | None:
        """The tenant's own raw code map, as it was last published."""
        try:
            recorded = await self._store.read_stream(ids.stream(tenant, "gwprov", provider_id))
        except StoreUnavailable:
            return None
        facts = [decode(each.topic, each.data) for each in recorded]
        maps = [fact for fact in facts if isinstance(fact, RawCodeMapPublished)]
        if not maps:
            return NO_MAP
        latest = maps[-1]
        return CodeMap(
            latest.map_version, {code: Meaning(*meaning) for code, meaning in latest.codes.items()}
        )


# -- the broker


def security(settings: Settings) -> dict[str, Any]:
    """aiokafka's words for how we sign in."""
    given: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_security_protocol.endswith("SSL"):
        given["ssl_context"] = _tls(settings)
    if settings.kafka_username and settings.kafka_password:
        given |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return given


def _tls(settings: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.kafka_ca_file)


def _broker_security(settings: Settings) -> BaseSecurity | None:
    """FastStream's words for the same."""
    tls = settings.kafka_security_protocol.endswith("SSL")
    context = _tls(settings) if tls else None
    if settings.kafka_username and settings.kafka_password:
        kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        kind = kinds[settings.kafka_sasl_mechanism]
        password = settings.kafka_password.get_secret_value()
        return kind(settings.kafka_username, password, ssl_context=context, use_ssl=tls)
    return BaseSecurity(ssl_context=context, use_ssl=tls) if tls else None


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers or "",
        acks="all",
        enable_idempotence=settings.kafka_idempotent_producer,
        max_batch_size=256 * 1024,
        max_request_size=4 * 1024 * 1024,
        linger_ms=0,
        **security(settings),
    )
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def _cluster(settings: Settings) -> str:
    assert settings.kafka_bootstrap_servers is not None
    return await kafka_admin.cluster_id(settings.kafka_bootstrap_servers, **security(settings))


async def _watch(settings: Settings, cluster: str) -> None:
    """End with `BrokerChanged` once the broker is another cluster: its topics and offsets are new."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            if await _cluster(settings) != cluster:
                raise BrokerChanged(cluster)


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
