"""Every clock of the world, and when a scheduler must fire by it: an oracle, and a check over all of them.

It knows no local times that are skipped or repeated: it has a zone's offsets as they follow one another,
and a firing is the first instant at which the clock on the wall shows its time, or a later one.

    python -m tests.clocks      every zone by name, every change of its clock, every time near it, every kind
"""

from __future__ import annotations

import calendar
import os
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from events.scheduler import RecursOn, Timing
from services.schedulers.recurrence import WEEKDAYS, Firing, firings, next_after

FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
ZONES = sorted(zoneinfo.available_timezones())
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Span(NamedTuple):
    """From an instant on, so much is what the wall's clock is ahead of UTC."""

    begin: datetime
    offset: timedelta


def offset_at(at: datetime, zone: ZoneInfo) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


def spans(name: str, step: timedelta = 7 * DAY) -> list[Span]:
    """A zone's offsets: looked at again and again, and where they differ, searched for the second."""
    zone = ZoneInfo(name)
    found = [Span(FIRST - 5 * DAY, offset_at(FIRST - 5 * DAY, zone))]
    at = found[0].begin
    while at < LAST + 5 * DAY:
        following = at + step
        if offset_at(following, zone) != found[-1].offset:
            low, high = 0, int(step.total_seconds())
            while high - low > 1:
                middle = (low + high) // 2
                same = offset_at(at + timedelta(seconds=middle), zone) == found[-1].offset
                low, high = (middle, high) if same else (low, middle)
            begin = at + timedelta(seconds=high)
            found.append(Span(begin, offset_at(begin, zone)))
        at = following
    return found


def shown(local: datetime, of: Sequence[Span]) -> datetime:
    """The first instant at which the wall's clock shows a local time, or a later one."""
    wall = local.replace(tzinfo=UTC)
    for span, following in pairwise(of):
        if following.begin + span.offset > wall:
            return max(span.begin, wall - span.offset)
    return max(of[-1].begin, wall - of[-1].offset)


def expected(times: Iterable[datetime], of: Sequence[Span], begin: datetime, end: datetime) -> list[datetime]:
    return sorted({at for local in times if begin < (at := shown(local, of)) < end})


def days(begin: datetime, end: datetime) -> Iterable[date]:
    first, last = begin.date() - 2 * DAY, end.date() + 2 * DAY
    return (first + n * DAY for n in range((last - first).days))


Planned = Callable[[date], bool]


class Kind(NamedTuple):
    """A way of recurring that includes a day, and which other days it has."""

    timing: dict[str, object]
    planned: Planned
    times: tuple[time, ...] = ()
    """Instead of the preferred one."""

    def timed(self, preferred_time: str, zone: str) -> Timing:
        more = {"start_date": FIRST.date(), **self.timing}
        return Timing(preferred_time=preferred_time, time_zone=zone, **more)  # type: ignore[arg-type]

    def all_times(self, timing: Timing, at: time, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Every local time that is planned between two instants."""
        for day in days(begin, end):
            if day >= timing.start_date and self.planned(day):
                yield from (datetime.combine(day, each) for each in self.times or (at,))


def kinds(day: date) -> Iterable[Kind]:
    length, weekday = calendar.monthrange(day.year, day.month)[1], WEEKDAYS[day.weekday()]
    yield Kind({"cadence": "DAILY"}, lambda d: True)
    on = RecursOn(weekday=weekday)
    yield Kind({"cadence": "WEEKLY", "recurs_on": on}, lambda d: d.weekday() == day.weekday())
    yield Kind({"cadence": "MONTHLY", "recurs_on": RecursOn(day.day)}, lambda d: _is_monthly(d, day.day))
    yield Kind({"cadence": "MONTHLY", "recurs_on": RecursOn("LAST")}, lambda d: (d + DAY).month != d.month)
    if day.day <= 28:
        nth = ("FIRST", "SECOND", "THIRD", "FOURTH")[(day.day - 1) // 7]
        on = RecursOn(weekday=weekday, nth=nth)
        yield Kind({"cadence": "MONTHLY", "recurs_on": on}, lambda d: _is_nth(d, day))
    if day.day > length - 7:
        on = RecursOn(weekday=weekday, nth="LAST")
        yield Kind({"cadence": "MONTHLY", "recurs_on": on}, lambda d: _is_last(d, day.weekday()))
    yield Kind({"cadence": "ONCE", "start_date": day}, lambda d: d == day)
    rule = f"FREQ=MONTHLY;BYMONTHDAY={day.day}"
    yield Kind({"cadence": "RULE", "rule": rule}, lambda d: d.day == day.day)


HOURS = tuple(time(hour, minute) for hour in range(24) for minute in (0, 30))
HOURLY = Kind({"cadence": "RULE", "rule": "FREQ=HOURLY;BYMINUTE=0,30"}, lambda d: True, HOURS)
"""The same, whichever local time is looked at."""


def _is_monthly(day: date, wanted: int) -> bool:
    return day.day == wanted or (day.day < wanted and (day + DAY).month != day.month)


def _is_nth(day: date, like: date) -> bool:
    return day.weekday() == like.weekday() and (day.day - 1) // 7 == (like.day - 1) // 7


def _is_last(day: date, weekday: int) -> bool:
    return day.weekday() == weekday and (day + 7 * DAY).month != day.month


# -- the check


def changes(known: Sequence[Span]) -> Iterator[tuple[Sequence[Span], datetime, list[datetime]]]:
    """Each change of a clock: the spans near it, its instant, and the local times that matter."""
    for n, (before, after) in enumerate(pairwise(known)):
        yield known[max(0, n - 3) : n + 5], after.begin, _critical(before, after)


def _critical(before: Span, after: Span) -> list[datetime]:
    """Before the gap or the overlap, at its edges, and in it."""
    walls = [(after.begin + span.offset).replace(tzinfo=None) for span in (before, after)]
    low, high = min(walls), max(walls)
    times = (low - HOUR, low, low + (high - low) / 2, high)
    return [local.replace(second=0, microsecond=0) for local in times]


def check_around(
    name: str, near: Sequence[Span], change: datetime, local: datetime, also: Sequence[Kind] = ()
) -> None:
    """Every kind that has this local time fires when it must, some days around a change; asked again, too."""
    begin, end = change - 3 * DAY, change + 3 * DAY
    for kind in (*kinds(local.date()), *also):
        timing = kind.timed(f"{local:%H:%M}", name)
        wanted = expected(kind.all_times(timing, local.time(), begin, end), near, begin, end)
        found = [firing.at for firing in until(firings(timing, begin), end)]
        assert found == wanted, f"{name}, {local}: {timing}: {found} instead of {wanted}"
        for again in (change - timedelta(seconds=1), change, change + HOUR / 2):
            rest = [at for at in wanted if at > again]
            assert not rest or next_after(timing, again) == rest[0], f"{name}: {timing}: again at {again}"


def until(found: Iterable[Firing], end: datetime) -> Iterator[Firing]:
    for firing in found:
        if firing.at >= end:
            return
        yield firing


def check_zone(name: str) -> int:
    """Everything there is about one zone; how many local times that were."""
    checked = 0
    for near, change, critical in changes(spans(name, DAY)):
        for turn, local in enumerate(critical):
            check_around(name, near, change, local, () if turn else (HOURLY,))
            checked += 1
    return checked


def main() -> int:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        checked = sum(pool.map(check_zone, ZONES, chunksize=8))
    print(
        f"{len(ZONES)} zones, {checked} local times near changes of their clocks: nothing missed or doubled"
    )
    return 0 if checked > 20_000 else 1


if __name__ == "__main__":
    sys.exit(main())
