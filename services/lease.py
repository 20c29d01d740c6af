"""A lease: who, of several processes, does what only one may do at a time.

Invariant: whoever believes to hold it asked the store within the last half of its time.  It keeps
two from working at once, for order and thrift; correctness rests on the fences behind it (tracking).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.clock import Clock
from services.store.protocol import Store

SECONDS = 10.0
_NEVER = datetime.min.replace(tzinfo=UTC)


class Lease:
    def __init__(self, store: Store, name: str, holder: str, clock: Clock, seconds: float = SECONDS) -> None:
        self._store, self._name, self._holder, self._clock = store, name, holder, clock
        self._seconds, self._sure_until = seconds, _NEVER

    async def held(self) -> bool:
        """Whether it is ours; asked of the store only when half of the time is over."""
        now = self._clock.now()
        if now < self._sure_until:
            return True
        self._sure_until = _NEVER
        if not await self._store.acquire_lease(self._name, self._holder, now, self._seconds):
            return False
        self._sure_until = now + timedelta(seconds=self._seconds / 2)
        return True

    async def release(self) -> None:
        """Let the next one take over at once."""
        self._sure_until = _NEVER
        await self._store.release_lease(self._name, self._holder)
