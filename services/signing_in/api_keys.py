"""API keys as they are shown, told apart, and believed.

    tender.{tenant}.{key id}.{secret}

The id finds the stream; of the secret there is only a digest: HMAC-SHA256 under a salt of its own and a
pepper that is in no database (192 random bits need no slow hash).
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from eventsourcing.persistence import IntegrityError

from events import ids
from events.access import ApiKeyCreated
from events.mapper import decode
from services.access.api_key import ApiKey, RecordApiKeyUse, evolve, home
from services.commands import Actor
from services.outbox import outbox_command
from services.signing_in.identity import Identity, NotSignedIn
from services.store.protocol import Batch, Store, StoreUnavailable

PREFIX = "tender"
ID_BYTES, SALT_BYTES, SECRET_BYTES = 8, 16, 24
FRESH_SECONDS = 5.0
"""So soon a key that was revoked opens nothing any more."""
KNOWN_MAX = 10_000
_SHOWN = re.compile(
    rf"{PREFIX}\.([A-Za-z0-9._:~-]{{1,64}})\.([a-p]{{{2 * ID_BYTES}}})\.([a-p]{{{2 * SECRET_BYTES}}})"
)
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
WRONG = "this API key opens nothing: it is unknown, has expired, or was revoked"


class Shown(NamedTuple):
    """A key in its parts."""

    tenant: str
    key_id: str
    secret: str

    def __str__(self) -> str:
        return ".".join((PREFIX, *self))

    def __repr__(self) -> str:
        return f"{PREFIX}.{self.tenant}.{self.key_id}.…"


class Made(NamedTuple):
    shown: Shown
    salt: str
    digest: str


def letters(raw: bytes) -> str:
    return raw.hex().translate(_LETTERS)


def digest(pepper: bytes, salt: str, secret: str) -> str:
    return letters(hmac.digest(pepper, f"{salt}.{secret}".encode(), "sha256"))


def make(tenant: str, pepper: bytes, random: Callable[[int], bytes] = os.urandom) -> Made:
    shown = Shown(tenant, letters(random(ID_BYTES)), letters(random(SECRET_BYTES)))
    salt = letters(random(SALT_BYTES))
    return Made(shown, salt, digest(pepper, salt, shown.secret))


def parsed(text: str) -> Shown | None:
    found = _SHOWN.fullmatch(text)
    return Shown(*found.groups()) if found else None


class _Known(NamedTuple):
    key: ApiKey
    read_at: datetime


class ApiKeys:
    """`peppers`: the first is for new keys, each may be that of an old one."""

    def __init__(self, store: Store, peppers: Sequence[bytes], now: Callable[[], datetime]) -> None:
        self._store, self._peppers, self._now = store, peppers, now
        self._known: dict[tuple[str, str], _Known] = {}

    async def identity(self, text: str) -> Identity:
        """Raises `NotSignedIn`, `StoreUnavailable`."""
        shown = parsed(text)
        if shown is None:
            raise NotSignedIn("this is no API key: one begins with `tender.`, and has four parts")
        key = await self._key(shown)
        created = key.usable(self._now())
        if created is None or not self._fits(created, shown.secret):
            raise NotSignedIn(WRONG)
        await self._record_use(shown, key)
        actor = Actor(created.actor_type, created.actor_id, tuple(created.roles), created.accounts)
        return Identity(actor, (shown.tenant,), created.commands)

    def _fits(self, created: ApiKeyCreated, secret: str) -> bool:
        told = (digest(pepper, created.salt, secret) for pepper in self._peppers)
        return any(hmac.compare_digest(each, created.digest) for each in told)

    async def _key(self, shown: Shown) -> ApiKey:
        name, now = (shown.tenant, shown.key_id), self._now()
        known = self._known.get(name)
        if known and now - known.read_at < timedelta(seconds=FRESH_SECONDS):
            return known.key
        key = ApiKey()
        for recorded in await self._store.read_stream(ids.stream(shown.tenant, ApiKey.KIND, shown.key_id)):
            fact = decode(recorded.topic, recorded.data)
            evolve(key, fact)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        if key.created is not None:  # what is not there may come at any moment
            self._known[name] = _Known(key, now)
        return key

    async def _record_use(self, shown: Shown, key: ApiKey) -> None:
        """Once an hour at most, whichever process it is told to: the hour is the command's identity."""
        now = self._now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if key.used_at is not None and key.used_at >= hour:
            return
        key.used_at = hour
        told = RecordApiKeyUse(shown.key_id, hour)
        account_id, name = home(told, shown.tenant), f"api-key:{shown.key_id}:{hour.isoformat()}"
        actor = Actor("SYSTEM", "access")
        row = outbox_command(
            told, name, tenant=shown.tenant, account_id=account_id, actor=actor, meta=b"{}", due_at=now
        )
        try:
            await self._store.commit(Batch(outbox=[row]))
        except (StoreUnavailable, IntegrityError):
            key.used_at = None
