"""Seals: how a worker knows on a shared topic which commands are Tender's own.

The relay seals what it publishes from the outbox, under a key that only Tender's processes have; so the
actor in a sealed command is the one whom HTTP has signed in, or a process, a timer, a gateway worker.
A record told again is the same command, and is answered as such.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence


class Seals:
    """`keys`: the first seals, each may hold; so that they can be changed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        assert keys, "there must be a key to seal with"
        self._keys = keys

    def made(self, type: bytes, id: bytes, key: bytes, value: bytes) -> bytes:
        return self._seal(self._keys[0], type, id, key, value)

    def holds(self, seal: bytes, type: bytes, id: bytes, key: bytes, value: bytes) -> bool:
        return any(hmac.compare_digest(seal, self._seal(each, type, id, key, value)) for each in self._keys)

    @staticmethod
    def _seal(under: bytes, *parts: bytes) -> bytes:
        sized = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return hmac.digest(under, sized, "sha256").hex().encode()
