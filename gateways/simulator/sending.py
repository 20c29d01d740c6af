"""The simulator's notifications on their way: signed, sent at their time, tried again for a while, then lost.

What waits here is bounded, and a crash forgets it: a notification only ever makes the truth known sooner.
Its times are the simulator's: where that is moved ahead, what became due goes out.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

import httpx
import orjson

from gateways.simulator.adapter import SIGNATURE, sign
from gateways.simulator.core import Entry, Simulator
from gateways.simulator.notifying import deliveries

SENDERS = 8
WAITING_MAX = 50_000
TRIES = 5
PAUSE_SECONDS = 0.5
"""Before the second try; twice as long before each further one."""
TICK_SECONDS = 0.2


class Letter(NamedTuple):
    url: str
    body: bytes
    tries: int = 0


class Passed(NamedTuple):
    """What is left to happen by itself, once time has passed."""

    under_way: int
    """Notifications that are being sent."""
    next_at: datetime | None
    """When the next of them is sent, or the next operation changes."""


class Sending:
    """Tells only addresses that begin with `prefix`; nobody without one."""

    def __init__(
        self, prefix: str, mood: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        deliveries(mood, "")  # a mood that is none is told at the start
        self._prefix, self._mood, self._now = prefix, mood, now
        self._later: list[tuple[datetime, int, Letter]] = []
        self._order = count()
        self._due: asyncio.Queue[Letter] = asyncio.Queue()
        self._under_way = 0
        self.simulator: Simulator | None = None

    def tell(self, entry: Entry) -> None:
        """Plan every copy of the news that an operation's state makes."""
        assert self.simulator is not None
        if not self._prefix or not entry.notify_url.startswith(self._prefix):
            return
        mood = entry.mood or self._mood
        body = orjson.dumps(self.simulator.news(entry, mood))
        for seconds in deliveries(mood, f"{self.simulator.seed}/{entry.ref}/{entry.status}"):
            self._plan(seconds, Letter(entry.notify_url, body))

    async def run(self) -> None:
        """Send what is due, and let time pass for what is pending; runs until cancelled."""
        async with httpx.AsyncClient(timeout=5.0) as client:
            await asyncio.gather(self._tick(), *(self._send_all(client) for _ in range(SENDERS)))

    def let_time_pass(self) -> Passed:
        """Let happen whatever is due by now."""
        assert self.simulator is not None
        self.simulator.let_time_pass(self._now())
        self._release()
        changes = self.simulator.next_change()
        times = [at for at in (self._later[0][0] if self._later else None, changes) if at]
        return Passed(self._under_way, min(times, default=None))

    def _plan(self, seconds: float, letter: Letter) -> None:
        if len(self._later) + self._under_way < WAITING_MAX:
            due_at = self._now() + timedelta(seconds=seconds)
            heapq.heappush(self._later, (due_at, next(self._order), letter))
            asyncio.get_running_loop().call_later(seconds, self._release)

    def _release(self) -> None:
        now = self._now()
        while self._later and self._later[0][0] <= now:
            self._under_way += 1
            self._due.put_nowait(heapq.heappop(self._later)[2])

    async def _send_all(self, client: httpx.AsyncClient) -> None:
        while True:
            letter = await self._due.get()
            sent = await _sent(client, letter)
            self._under_way -= 1
            if not sent and letter.tries + 1 < TRIES:
                self._plan(PAUSE_SECONDS * 2**letter.tries, letter._replace(tries=letter.tries + 1))

    async def _tick(self) -> None:
        while True:
            self.let_time_pass()
            await asyncio.sleep(TICK_SECONDS)


async def _sent(client: httpx.AsyncClient, letter: Letter) -> bool:
    """Whether it was taken; signed as of now, however often it was tried."""
    headers = {SIGNATURE: sign(letter.body, int(time.time())), "content-type": "application/json"}
    try:
        answer = await client.post(letter.url, content=letter.body, headers=headers)
    except httpx.HTTPError:
        return False
    return answer.is_success
