"""The gateway's news in bad weather: lost, late, told again, out of order, and forged now and then.

What the simulator tells is read and heard by the shell as in production; only the network is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid5

import orjson

from events import ids
from gateways.protocol import InvalidSignature, Notification
from gateways.simulator.core import SETTLE_SECONDS, Entry, Simulator
from gateways.simulator.notifying import deliveries
from gateways.simulator.translation import to_notification
from services.clock import Clock
from services.commands import Actor, encode
from services.hearing import Hearing
from services.notifications.notification import ReplayNotification
from services.store.protocol import Batch, OutboxCommand, StoreUnavailable
from tests.simulation.faulty import Weather

SIGNATURE = {"x-signature": "genuine"}
LATE = 20.0
"""How many times later than in the simulator's own mix: by then anything else may have happened."""
TRIES, PAUSE_SECONDS = 4, 15.0
MOOD = "mix"

OPERATOR = Actor("USER", "operator", ("OPERATOR",))


def _strange(body: bytes) -> bytes:
    """The same of an operation that somebody made at the gateway without us."""
    news = orjson.loads(body)
    news["answer"] |= {"ref": f"strange {news['answer']['ref']}"}
    told = {"event_id": f"strange {news['event_id']}", "operation": news["operation"]}
    return orjson.dumps(told | {"answer": news["answer"]})


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
        self._store, self._hearing = store, Hearing(store, clock.now)
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
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if self._weather.strikes("notification of a stranger", 0.01):
            await self._take(gateway_id, SIGNATURE, _strange(body))
        if self._weather.strikes("notification asked for again", 0.03):
            await self._ask_again(gateway_id, orjson.loads(body)["event_id"])

    async def _ask_again(self, gateway_id: str, event_id: str) -> None:
        """A person has it looked at again, or one that never came."""
        wanted = self._weather.chosen.choice((event_id, event_id, "unheard of"))
        replay = ReplayNotification(gateway_id, wanted)
        account_id, command_id = ids.notification_home(replay.inbox_id), uuid5(ids.TENDER, f"again {wanted}")
        type, body = encode(
            replay, tenant=self._tenant, account_id=account_id, actor=OPERATOR, command_id=command_id
        )
        home, meta = ids.home(self._tenant, account_id), b'{"correlation_id": "again"}'
        row = OutboxCommand(command_id, home, type, body, meta, self._clock.now())
        with suppress(StoreUnavailable):
            await self._store.commit(Batch(outbox=[row]))

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
