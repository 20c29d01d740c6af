"""The gateway's news in bad weather: lost, late, told again, out of order, and forged now and then.

What the simulator tells is read and heard by the shell as in production; only the network is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from gateways.protocol import InvalidSignature, Notification
from gateways.simulator.core import SETTLE_SECONDS, Entry, Simulator
from gateways.simulator.notifying import deliveries
from gateways.simulator.translation import to_notification
from services.clock import Clock
from services.hearing import Hearing
from services.store.protocol import StoreUnavailable
from tests.simulation.faulty import Weather

SIGNATURE = {"x-signature": "genuine"}
LATE = 20.0
"""How many times later than in the simulator's own mix: by then anything else may have happened."""
TRIES, PAUSE_SECONDS = 4, 15.0
MOOD = "mix"


class _Reading:
    """The adapter of the gateway, as far as news go."""

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        if headers != SIGNATURE:
            raise InvalidSignature("it is forged")
        return [to_notification(orjson.loads(body))]


class Postman:
    """Carries what a simulator tells to a tenant; the `notify_url` of an entry is its gateway's id."""

    def __init__(self, tenant: str, store: Any, weather: Weather, clock: Clock) -> None:
        self._tenant, self._weather, self._clock = tenant, weather, clock
        self._hearing = Hearing(store, clock.now)
        self.simulator: Simulator | None = None
        self._underway: set[asyncio.Task[None]] = set()

    def tell(self, entry: Entry) -> None:
        """Plan every copy of what there is to tell now; and look again when time will have changed it."""
        assert self.simulator is not None
        if entry.status.startswith("PENDING") or entry.reversal_at:
            self._begin(self._wait_for_change())
        if not entry.notify_url:
            return
        news = self.simulator.news(entry, MOOD)
        if "key" in news:
            news["key"] = entry.key.partition("~")[0]
        copies = deliveries(MOOD, f"{self.simulator.seed}/{entry.ref}/{entry.status}")
        self._count(copies)
        for seconds in copies:
            self._begin(self._deliver(entry.notify_url, orjson.dumps(news), seconds * LATE))

    def _count(self, copies: tuple[float, ...]) -> None:
        happened = self._weather.happened
        happened["notification lost"] += not copies
        happened["notification told again"] += len(copies) > 1
        happened["notification late"] += max(copies, default=0) > 1

    async def _wait_for_change(self) -> None:
        assert self.simulator is not None
        await asyncio.sleep(SETTLE_SECONDS + 0.1)
        self.simulator.let_time_pass(self._clock.now())

    async def _deliver(self, gateway_id: str, body: bytes, seconds: float) -> None:
        """As often as the gateway tries; then it is lost."""
        await asyncio.sleep(seconds)
        if self._weather.strikes("notification forged", 0.02):
            await self._take(gateway_id, {}, body.replace(b'"Success"', b'"Decline"'))
        for _ in range(TRIES):
            if await self._take(gateway_id, SIGNATURE, body):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _take(self, gateway_id: str, headers: Mapping[str, str], body: bytes) -> bool:
        reading: Any = _Reading()
        try:
            await self._hearing.take(self._tenant, gateway_id, reading, headers, body)
        except StoreUnavailable:
            return False
        return True

    def _begin(self, errand: Any) -> None:
        task = asyncio.ensure_future(errand)
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)
