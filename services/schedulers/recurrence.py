"""When a scheduler fires: from its timing to instants.

Invariant: a planned day gives one instant, later days never earlier ones; whoever asks, from wherever he
starts to look, finds the same.  A skipped local time is the first instant after it, a repeated one the first
of its two; what falls together is one firing.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from events.scheduler import RecursOn, Timing
from services.schedulers import business_days, rules

YEARS_AHEAD_MAX = 50
"""Whatever fires no more within so many years never does."""
GAP = timedelta(days=2)
"""No planned time is further from its firing, for its zone's sake."""

WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
NTHS = ("FIRST", "SECOND", "THIRD", "FOURTH")
FROM_THE_END = {"LAST": 0, "SECOND_TO_LAST": 1, "THIRD_TO_LAST": 2}


class Firing(NamedTuple):
    at: datetime
    """The instant, in UTC."""
    planned: datetime
    """As its cadence has it: the local day and time, before anything moved it."""
    moved: str | None = None
    """NOT_A_BUSINESS_DAY or SKIPPED_HOUR: why it fires at another time than is planned."""


def firings(timing: Timing, after: datetime) -> Iterator[Firing]:
    """All that fire after an instant, in order, each instant once."""
    zone, ahead = ZoneInfo(timing.time_zone), timedelta(days=366 * YEARS_AHEAD_MAX)
    start = datetime.combine(timing.start_date, time())
    begin = max(start, after.astimezone(zone).replace(tzinfo=None) - _margin(timing))
    barren_from, last = begin, after
    for planned in _planned(timing, begin):
        if planned - barren_from > ahead:
            return
        firing = _fired(timing, zone, planned)
        if firing is not None and firing.at > last:
            yield firing
            barren_from, last = planned, firing.at


def _margin(timing: Timing) -> timedelta:
    """How far before an instant its local time, and a day that is moved to it, may lie."""
    rolled = business_days.ROLL_DAYS_MAX if timing.exclude_weekends_and_holidays else 0
    return GAP + timedelta(days=rolled)


def next_after(timing: Timing, after: datetime) -> datetime | None:
    """The first instant after another at which it fires."""
    firing = next(firings(timing, after), None)
    return firing.at if firing else None


def latest(timing: Timing, planned_at: datetime, now: datetime) -> tuple[datetime, int]:
    """What stands for all that was planned from `planned_at` till now: the latest, and how many before it."""
    passed = 0
    for firing in firings(timing, planned_at):
        if firing.at > now:
            break
        planned_at, passed = firing.at, passed + 1
    return planned_at, passed


def local_date(timing: Timing, instant: datetime) -> date:
    return instant.astimezone(ZoneInfo(timing.time_zone)).date()


# -- planned: local days and times


def _planned(timing: Timing, begin: datetime) -> Iterator[datetime]:
    """What its cadence has from a local time on, in order."""
    at = time.fromisoformat(timing.preferred_time)
    until = datetime.combine(timing.end_date or date.max, time.max)
    if timing.cadence == "RULE":
        start = datetime.combine(timing.start_date, at)
        yield from rules.occurrences(timing.rule or "", start, begin, until, ZoneInfo(timing.time_zone))
        return
    for day in _days(timing, max(begin.date(), timing.start_date)):
        if day > until.date():
            return
        yield datetime.combine(day, at)


def _days(timing: Timing, begin: date) -> Iterable[date]:
    on = timing.recurs_on or RecursOn()
    match timing.cadence:
        case "ONCE":
            return [timing.start_date] if begin <= timing.start_date else []
        case "DAILY":
            return _every(begin, 1)
        case "WEEKLY":
            return _every(_on_or_after(begin, on.weekday), 7)
        case _:
            return (day for day in (_day_of(month, on) for month in _months(begin)) if day >= begin)


def _every(first: date, days: int) -> Iterator[date]:
    return (date.fromordinal(ordinal) for ordinal in range(first.toordinal(), date.max.toordinal(), days))


def _on_or_after(day: date, weekday: str | None) -> date:
    wanted = WEEKDAYS.index(weekday) if weekday else day.weekday()
    return day + timedelta(days=(wanted - day.weekday()) % 7)


def _months(begin: date) -> Iterator[date]:
    """The last day of each month."""
    for month in range(begin.year * 12 + begin.month - 1, date.max.year * 12):
        year, index = divmod(month, 12)
        yield date(year, index + 1, calendar.monthrange(year, index + 1)[1])


def _day_of(month: date, on: RecursOn) -> date:
    """Of a month, which is named by its last day."""
    if on.weekday:
        return _nth(month, WEEKDAYS.index(on.weekday), on.nth)
    if isinstance(on.day_of_month, str):
        return month - timedelta(days=FROM_THE_END[on.day_of_month])
    return month.replace(day=min(on.day_of_month or 1, month.day))


def _nth(month: date, weekday: int, nth: str | None) -> date:
    if nth in NTHS:
        first = month.replace(day=1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * NTHS.index(nth))
    return month - timedelta(days=(month.weekday() - weekday) % 7)


# -- fired: instants


def _fired(timing: Timing, zone: ZoneInfo, planned: datetime) -> Firing | None:
    """A planned local time's instant; None where its day is left out."""
    local = planned
    if timing.exclude_weekends_and_holidays:
        day = business_days.moved(planned.date(), timing.calendar, timing.excluded_day)
        if day is None:
            return None
        local = datetime.combine(day, planned.time())
    at, skipped = instant(local, zone)
    if local != planned:
        return Firing(at, planned, "NOT_A_BUSINESS_DAY")
    return Firing(at, planned, "SKIPPED_HOUR" if skipped else None)


def instant(local: datetime, zone: ZoneInfo) -> tuple[datetime, bool]:
    """The instant of a local time, and whether the local time was skipped.

    A repeated time's first instant; a skipped one's, the first instant at which the clock had gone past it.
    """
    before = local.replace(tzinfo=zone).astimezone(UTC)  # fold 0: by the offset before a transition
    if before.astimezone(zone).replace(tzinfo=None) == local:
        return before, False
    after = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _transition(zone, after, before), True


@lru_cache(maxsize=4096)
def _transition(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first instant with another offset than `low` has, which `high` does not: to the second."""
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
