"""When the next attempt is (domain 3.3, step 5): after its interval, inside the window, never in the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from events.retry import RetryIntervals, RetryWindow

UNITS = {"MINUTES": timedelta(minutes=1), "HOURS": timedelta(hours=1), "DAYS": timedelta(days=1)}
SATURDAY = 5


class Failures(NamedTuple):
    first: datetime
    """Of the cycle."""
    latest: datetime


def next_at(
    intervals: RetryIntervals,
    attempt: int,
    failures: Failures,
    basis: str,
    now: datetime,
    window: RetryWindow | None = None,
) -> datetime:
    """When the `attempt`th retry is, from 1 on.

    Staggered values count from the first failure, or each from the attempt before it; fixed ones from the
    latest failure, as do attempts beyond the last value.  What would be past, after news that came late, is
    one unit from now.
    """
    at = _planned(intervals, attempt, failures, basis, window)
    if at <= now:
        at = now + UNITS[intervals.unit]
    return moved_into(window, at)


def _planned(
    intervals: RetryIntervals, attempt: int, failures: Failures, basis: str, window: RetryWindow | None
) -> datetime:
    listed = intervals.type == "STAGGERED" and attempt <= len(intervals.values)
    value = intervals.values[attempt - 1 if listed else -1]
    since = failures.first if listed and basis == "FIRST_FAILURE" else failures.latest
    return _after(since, value, intervals.unit, window)


def _after(since: datetime, value: int, unit: str, window: RetryWindow | None) -> datetime:
    """So many units later; days keep the time of day where the window is, however long they are."""
    if unit != "DAYS" or window is None:
        return since + value * UNITS[unit]
    local = since.astimezone(_zone(window))
    return (local + timedelta(days=value)).astimezone(UTC)


def _zone(window: RetryWindow) -> ZoneInfo:
    return ZoneInfo(window.time_zone or "UTC")


def moved_into(window: RetryWindow | None, at: datetime) -> datetime:
    """The first instant from `at` on that lies inside the window."""
    if window is None:
        return at
    zone = _zone(window)
    local = at.astimezone(zone)
    day, opens = local.date(), local.hour < window.from_hour
    if local.hour >= window.to_hour:
        day, opens = day + timedelta(days=1), True
    while window.skip_weekends and day.weekday() >= SATURDAY:
        day, opens = day + timedelta(days=1), True
    if not opens:
        return at
    return datetime(day.year, day.month, day.day, window.from_hour, tzinfo=zone).astimezone(UTC)
