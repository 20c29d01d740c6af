"""Hearing what gateways tell of their own: kept as it came, then sent in through the one door.

Invariant: the bytes and the commands that they become are one transaction, and only after it is
anything answered; what is not the gateway's word is recorded as such, but never without bound.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from events import ids
from events.card_numbers import masked, masked_bytes
from gateways.protocol import Gateway, InvalidSignature, Notification, StaleNotification
from services.commands import Actor
from services.notifications.notification import ReceiveNotification, RejectNotification
from services.outbox import outbox_command
from services.store.protocol import Batch, OutboxCommand, RawNotification, Store, StoreUnavailable

REJECTIONS_PER_MINUTE = 60
"""Of one gateway: more are only counted, so that a stranger cannot fill the log."""

SWEEP_SECONDS = 3_600.0
SWEEP_ROWS = 5_000


class Heard(NamedTuple):
    """What became of a delivery."""

    standing: Any
    """VERIFIED, SIGNATURE, STALE or UNREADABLE."""
    news: int
    """How many notifications were in it."""
    kept: bool
    detail: str = ""


class Hearing:
    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._rejections: dict[tuple[str, str], deque[datetime]] = {}

    async def take(
        self, tenant: str, gateway_id: str, gateway: Gateway, headers: Mapping[str, str], body: bytes
    ) -> Heard:
        """Keep a delivery, and send in what it says; a card number that it may hold is masked.

        Raises `StoreUnavailable`: nothing was kept.
        """
        heard, news = _read(gateway, headers, body)
        if heard.standing != "VERIFIED" and not self._may_record(tenant, gateway_id):
            return heard
        digest = hashlib.sha256(body).hexdigest()
        raw_ref = ids.part_id(f"{tenant}/{gateway_id}", digest)
        kept = RawNotification(
            raw_ref, tenant, gateway_id, heard.standing, _evidence(headers), masked_bytes(body), self._now()
        )
        commands = [_received(gateway_id, each, digest, raw_ref) for each in news]
        if heard.standing != "VERIFIED":
            commands = [_rejected(gateway_id, heard, digest, raw_ref)]
        outbox = [self._row(tenant, gateway_id, command) for command in commands]
        await self._store.commit(Batch(raw_notifications=[kept], outbox=outbox))
        return heard._replace(kept=True)

    async def sweep(self, days: int) -> None:
        """Forget bytes that have been kept long enough; runs until cancelled."""
        while True:
            try:
                before = self._now() - timedelta(days=days)
                while await self._store.forget_raw_notifications(before, SWEEP_ROWS) == SWEEP_ROWS:
                    pass
            except StoreUnavailable:
                pass
            await asyncio.sleep(SWEEP_SECONDS)

    def _may_record(self, tenant: str, gateway_id: str) -> bool:
        now = self._now()
        recent = self._rejections.setdefault((tenant, gateway_id), deque())
        while recent and recent[0] <= now - timedelta(minutes=1):
            recent.popleft()
        if len(recent) >= REJECTIONS_PER_MINUTE:
            return False
        recent.append(now)
        return True

    def _row(
        self, tenant: str, gateway_id: str, command: ReceiveNotification | RejectNotification
    ) -> OutboxCommand:
        """Its identity follows from the bytes: told again, it is the same command."""
        key = f"notification:{command.raw_ref}:{ids.part_id(command.inbox_id, 'told')}"
        account_id = ids.notification_home(command.inbox_id)
        actor = Actor("SYSTEM", f"gateway:{gateway_id}")
        meta = orjson.dumps({"correlation_id": command.inbox_id})
        return outbox_command(
            command, key, tenant=tenant, account_id=account_id, actor=actor, meta=meta, due_at=self._now()
        )


def _read(gateway: Gateway, headers: Mapping[str, str], body: bytes) -> tuple[Heard, Sequence[Notification]]:
    try:
        news = gateway.parse_notification(headers, body)
    except StaleNotification as stale:
        return Heard("STALE", 0, kept=False, detail=str(stale)), ()
    except InvalidSignature as invalid:
        return Heard("SIGNATURE", 0, kept=False, detail=str(invalid)), ()
    except Exception as unreadable:  # an adapter may be anybody's, and what came is kept in any case
        return Heard("UNREADABLE", 0, kept=False, detail=f"{type(unreadable).__name__}: {unreadable}"), ()
    return Heard("VERIFIED", len(news), kept=False), news


def _received(gateway_id: str, news: Notification, digest: str, raw_ref: str) -> ReceiveNotification:
    return ReceiveNotification(
        gateway_id,
        _event_id(news),
        news.type,
        news.outcome,
        digest,
        raw_ref,
        news.gateway_ref or None,
        news.merchant_reference or None,
        news.operation_key or None,
    )


def _event_id(news: Notification) -> str:
    """The gateway's own, else a digest of reference, type, amount and status."""
    if 0 < len(news.event_id) <= 255:
        return news.event_id
    amount = news.outcome.processed_amount
    reference = news.event_id or news.gateway_ref or news.merchant_reference or news.operation_key
    told = orjson.dumps([reference, news.type, amount, news.outcome.result_code])
    return hashlib.sha256(told).hexdigest()


def _rejected(gateway_id: str, heard: Heard, digest: str, raw_ref: str) -> RejectNotification:
    event_id = f"rejected:{heard.standing}:{digest}"
    return RejectNotification(
        gateway_id, event_id, heard.standing, masked(heard.detail[:500]), digest, raw_ref
    )


def _evidence(headers: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    """The headers that speak of the signature; others may hold a password."""
    return tuple(
        (name.lower(), value.encode("utf-8", "replace"))
        for name, value in headers.items()
        if name.lower() == "content-type" or "signature" in name.lower() or "timestamp" in name.lower()
    )
