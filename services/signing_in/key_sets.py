"""The keys of an OpenID provider (JWKS): from its URL, kept for a while, or from a file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import orjson

log = logging.getLogger("tender")

FETCH_SECONDS_MAX = 5.0
AGAIN_SECONDS = 30.0
"""No sooner is the provider asked again for a key that it did not have."""
DISCOVERY = "/.well-known/openid-configuration"


class KeySet:
    """What every source of keys does with a set of them."""

    def __init__(self) -> None:
        self._keys: list[jwt.PyJWK] = []

    def __len__(self) -> int:
        return len(self._keys)

    def _use(self, document: Mapping[str, Any]) -> None:
        """Raises `jwt.PyJWTError` for a set without a key that could be used."""
        found = jwt.PyJWKSet.from_dict(dict(document)).keys
        self._keys = [key for key in found if key.public_key_use in (None, "sig") and key.key_type != "oct"]

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)


class KeysByUrl(KeySet):
    """Fetched when they are old, and when a token names one that is not known: providers change theirs."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
        *,
        url: str | None = None,
        issuer: str | None = None,
        fresh_seconds: float = 600.0,
    ) -> None:
        super().__init__()
        assert url or issuer, "keys are fetched from somewhere"
        self._client, self._now, self._url, self._issuer = client, now, url, issuer
        self._fresh = timedelta(seconds=fresh_seconds)
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._one_at_a_time = asyncio.Lock()

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        async with self._one_at_a_time:
            now = self._now()
            old = self._fetched_at is None or now - self._fetched_at > self._fresh
            if (old or self._find(key_id) is None) and self._may_ask(now):
                await self._fetch(now)
        return self._find(key_id)

    def _may_ask(self, now: datetime) -> bool:
        return self._asked_at is None or now - self._asked_at > timedelta(seconds=AGAIN_SECONDS)

    async def _fetch(self, now: datetime) -> None:
        """What was known stays in use while the provider does not answer."""
        self._asked_at = now
        try:
            url = self._url or await self._discovered()
            self._use(await self._json(url))
            self._fetched_at = now
        except (httpx.HTTPError, ValueError, KeyError, jwt.PyJWTError) as failed:
            log.warning("the keys of the OpenID provider cannot be had: %s", failed or type(failed).__name__)

    async def _discovered(self) -> str:
        assert self._issuer is not None
        self._url = str((await self._json(self._issuer.rstrip("/") + DISCOVERY))["jwks_uri"])
        return self._url

    async def _json(self, url: str) -> Any:
        answer = await self._client.get(url, timeout=FETCH_SECONDS_MAX, follow_redirects=False)
        answer.raise_for_status()
        return orjson.loads(answer.content)


class KeysByFile(KeySet):
    """Read again once the file has changed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._read_at = 0.0

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        try:
            changed_at = self._path.stat().st_mtime
            if changed_at != self._read_at:
                self._use(orjson.loads(self._path.read_bytes()))
                self._read_at = changed_at
        except (OSError, ValueError, jwt.PyJWTError) as failed:  # what was read before stays in use
            log.warning("the keys of the OpenID provider cannot be read: %s", failed or self._path)
        return self._find(key_id)
