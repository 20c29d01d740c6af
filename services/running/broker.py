"""The Kafka that settings name: how it is signed in to, and which cluster it is, while it is that one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from services.running import kafka_admin
from services.settings import Settings

WATCH_SECONDS = 2.0
BROKER_SECONDS_MAX = 5.0
"""A broker that takes longer to say who it is is not there."""


class BrokerChanged(RuntimeError):
    """The broker is another cluster now: this process must begin anew."""


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


def faststream_security(settings: Settings) -> BaseSecurity | None:
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
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
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


async def cluster_of(settings: Settings) -> str:
    assert settings.kafka_bootstrap_servers is not None
    return await kafka_admin.cluster_id(settings.kafka_bootstrap_servers, **security(settings))


async def watch(settings: Settings, cluster: str) -> None:
    """End with `BrokerChanged` once the broker is another cluster: its topics and offsets are new."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            if await cluster_of(settings) != cluster:
                raise BrokerChanged(cluster)


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
                    self._cluster = await cluster_of(self._settings)
            except (KafkaError, OSError, TimeoutError):
                self._cluster = None
            await asyncio.sleep(WATCH_SECONDS)
