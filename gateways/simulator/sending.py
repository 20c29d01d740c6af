"""The simulator's notifications on their way: signed, sent at their time, tried again for a while, then lost.

What waits here is bounded, and a crash forgets it: a notification only ever makes the truth known sooner.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
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


class Sending:
    """Tells only addresses that begin with `prefix`; nobody without one."""

    def __init__(self, prefix: str, mood: str) -> None:
        deliveries(mood, "")  # a mood that is none is told at the start
        self._prefix, self._mood = prefix, mood
        self._due: asyncio.Queue[Letter] = asyncio.Queue()
        self._waiting = 0
        self.simulator: Simulator | None = None

    def tell(self, entry: Entry) -> None:
        """Plan every copy of the news that an operation's state makes."""
        assert self.simulator is not None
        if not self._prefix or not entry.notify_url.startswith(self._prefix):
            return
        mood = entry.mood or self._mood
        body = orjson.dumps(self.simulator.news(entry, mood))
        for seconds in deliveries(mood, f"{self.simulator.seed}/{entry.ref}/{entry.status}"):
            self._later(seconds, Letter(entry.notify_url, body))

    async def run(self) -> None:
        """Send what is due, and let time pass for what is pending; runs until cancelled."""
        async with httpx.AsyncClient(timeout=5.0) as client:
            await asyncio.gather(self._tick(), *(self._send_all(client) for _ in range(SENDERS)))

    def _later(self, seconds: float, letter: Letter) -> None:
        if self._waiting < WAITING_MAX:
            self._waiting += 1
            asyncio.get_running_loop().call_later(seconds, self._due.put_nowait, letter)

    async def _send_all(self, client: httpx.AsyncClient) -> None:
        while True:
            letter = await self._due.get()
            self._waiting -= 1
            if not await _sent(client, letter) and letter.tries + 1 < TRIES:
                self._later(PAUSE_SECONDS * 2**letter.tries, letter._replace(tries=letter.tries + 1))

    async def _tick(self) -> None:
        assert self.simulator is not None
        while True:
            self.simulator.let_time_pass(datetime.now(UTC))
            await asyncio.sleep(TICK_SECONDS)


async def _sent(client: httpx.AsyncClient, letter: Letter) -> bool:
    """Whether it was taken; signed as of now, however often it was tried."""
    headers = {SIGNATURE: sign(letter.body, int(time.time())), "content-type": "application/json"}
    try:
        answer = await client.post(letter.url, content=letter.body, headers=headers)
    except httpx.HTTPError:
        return False
    return answer.is_success
