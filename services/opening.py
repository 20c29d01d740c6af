"""Gateways that are registered, opened: their adapters, and how much each is sent at a time."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import NamedTuple

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
from gateways.unusable import UnusableGateway
from services.calls.safety import Limits
from services.clock import Clock
from services.settings import Settings
from services.store.postgres import PostgresStore
from services.store.protocol import StoreUnavailable
from services.watching.metrics import MeasuredGateway

FRESH_SECONDS = 5.0
"""So soon a gateway's new credential, or its opened circuit, is known to its workers."""
GRACE_SECONDS = 5.0
"""A call may take its two time-outs, and so much for what is between them."""


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

    def __init__(self, opened: PostgresStore, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = opened, settings, clock
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
