"""Moving time ahead, from one due thing to the next: each happens at its time, and all that follows from it
before the next.

Invariant: time moves only while nothing is under way, and nothing can be recorded while it moves; so no
call to a gateway and no decision ever sees it jump.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import httpx

from gateways.simulator.moved_time import MovedTime
from projections.rows import PostgresRows
from services.errors import Rejected
from services.store.postgres import availability
from services.store.protocol import StoreUnavailable
from services.store.queries import load

_SQL = load("services", "moving_time.sql")

LOOK_SECONDS = 0.02
PAUSE_SECONDS = 0.5
MOMENT = timedelta(seconds=1)
AHEAD_MAX = timedelta(days=3660)
"""So far ahead of the machine's time at most: nobody can take a slip of the finger back."""

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


class UnderWay(NamedTuple):
    """How much of each has to be done before time moves, and when the next thing is due by itself."""

    commands: int
    gateway_calls: int
    processes: int
    relay: int
    results: int
    read_models: int
    next_at: datetime | None

    @property
    def counts(self) -> dict[str, int]:
        """What there is of it."""
        return {name: count for name, count in self._asdict().items() if name != "next_at" and count}


class MovingTime:
    """Of an embedded Tender.  `cluster` says which broker answers, if one does."""

    def __init__(
        self,
        time: MovedTime,
        rows: PostgresRows,
        cluster: Callable[[], str | None],
        client: httpx.AsyncClient,
        simulator_url: str,
    ) -> None:
        self.time = time
        self._rows, self._cluster = rows, cluster
        self._client, self._simulator_url = client, simulator_url
        self._asked = asyncio.Event()
        self.waits_for: dict[str, int] = {}
        """What time waits for now."""

    async def move(self, instant: datetime) -> None:
        """Begin to move there.  Raises `Rejected`: CLOCK_BACKWARDS, CLOCK_NOT_MOVABLE, DATE_INVALID."""
        now = self.time.now()
        if instant <= now:
            raise Rejected("CLOCK_BACKWARDS", f"it is {now:%Y-%m-%d %H:%M:%S} already", field="to")
        if instant - datetime.now(UTC) > AHEAD_MAX:
            raise Rejected("DATE_INVALID", f"time moves at most {AHEAD_MAX.days:,} days ahead", field="to")
        if foreign := await self._foreign_gateways():
            raise Rejected(
                "CLOCK_NOT_MOVABLE",
                f"time does not pass sooner at real gateways: {', '.join(foreign)}",
                gateways=list(foreign),
            )
        self.time.target = instant
        self._asked.set()

    def stop(self) -> None:
        """Stay where time has come to; from here it goes on as it does."""
        self.time.target = None

    async def run(self) -> None:
        """Move whenever somebody asked for it, from where an earlier process left off; until cancelled."""
        while True:
            try:
                while self.time.target is not None:
                    if not await self._step(self.time.target):
                        await asyncio.sleep(LOOK_SECONDS)
            except (StoreUnavailable, httpx.HTTPError):
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self.waits_for = {}
            await self._asked.wait()
            self._asked.clear()

    async def _step(self, target: datetime) -> bool:
        """Move to the next due thing, if all that was due is done; False where time has to wait.

        There, the target is forgotten.
        """
        with availability():
            due = await self._under_way(self._rows.pool)
            self.waits_for = due.counts
            if self.waits_for:
                return False
            answer = await self._client.post(f"{self._simulator_url}/v1/time")
            passed = answer.raise_for_status().json()
            if passed["under_way"]:
                self.waits_for = {"notifications": passed["under_way"]}
                return False
            told = datetime.fromisoformat(passed["next_at"]) if passed["next_at"] else None
            return await self._move(target, told)

    async def _move(self, target: datetime, told: datetime | None) -> bool:
        async with self._rows.pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["hold_still"])
            due = await self._under_way(connection)
            if due.counts:
                return False
            if self.time.now() >= target:
                self.time.target = None
                return True
            next_at = min(at for at in (due.next_at, told, target) if at)
            last = await connection.fetchval(_SQL["last_of_a_moment"], next_at, next_at + MOMENT)
            self.time.move_to(min(last, target))
            await connection.execute(_SQL["wake"])
            return True

    async def _under_way(self, connection: asyncpg.Pool | Any) -> UnderWay:
        schema = await self._rows.active()
        asked = _SQL["under_way"].format(schema=schema)
        row = await connection.fetchrow(asked, self.time.now(), self._cluster() or "", schema)
        return UnderWay(*row)

    async def _foreign_gateways(self) -> Sequence[str]:
        with availability():
            schema = await self._rows.active(fresh=True)
            found = await self._rows.pool.fetch(_SQL["foreign_gateways"].format(schema=schema))
        return [row["gateway"] for row in found]


def instant_of(by: object, to: object, now: datetime) -> datetime:
    """Where somebody wants to move: `by` 3d, 12h, 2w 1d; `to` a day (its first instant in UTC) or an instant.

    Raises `Rejected`: DATE_INVALID, MALFORMED_REQUEST.
    """
    if (by is None) == (to is None):
        raise Rejected("MALFORMED_REQUEST", "say either `by` how much or `to` when")
    if by is not None:
        return now + _span(str(by))
    try:
        return _instant(str(to))
    except ValueError:
        raise Rejected(
            "DATE_INVALID", "`to` is a day as 2026-12-01, or an instant as 2026-12-01T12:00:00Z", field="to"
        ) from None


def _instant(text: str) -> datetime:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.astimezone(UTC)


def _span(text: str) -> timedelta:
    parts = re.findall(r"(\d{1,6})([wdhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise Rejected("MALFORMED_REQUEST", "`by` is a span of time as 3d, 12h, 90m or 2w 1d", field="by")
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
