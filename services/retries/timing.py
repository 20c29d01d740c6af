"""When the next attempt is: after its interval, inside the window, never in the past."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from events.retry import RetryIntervals, RetryWindow
from services.schedulers import business_days

UNITS = {"MINUTES": timedelta(minutes=1), "HOURS": timedelta(hours=1), "DAYS": timedelta(days=1)}
SATURDAY = 5
_DAYS_MAX = 31
"""No closure is longer: after so many days the next one is taken whatever it is."""


class Failures(NamedTuple):
    first: datetime
    """Of the cycle."""
    latest: datetime


class Hours(NamedTuple):
    """A window, as it is for one account."""

    zone: ZoneInfo
    from_hour: int = 0
    to_hour: int = 24
    skip_weekends: bool = False
    calendar: str | None = None
    """Whose holidays are skipped; None: none are."""
    pay_day: int | None = None
    within_days: int = 0

    def opens_on(self, day: date) -> bool:
        if self.skip_weekends and day.weekday() >= SATURDAY:
            return False
        return self.calendar is None or not business_days.is_holiday(day, self.calendar)


def hours_of(
    window: RetryWindow | None, zone: str, calendar: str | None = None, pay_day: int | None = None
) -> Hours | None:
    """A window for an account with this zone, calendar and pay day; what it names itself comes first."""
    if window is None:
        return None
    return Hours(
        ZoneInfo(window.time_zone or zone),
        window.from_hour,
        window.to_hour,
        window.skip_weekends,
        (window.calendar or calendar) if window.skip_holidays else None,
        pay_day if window.pay_day_within_days else None,
        window.pay_day_within_days,
    )


def next_at(
    intervals: RetryIntervals,
    attempt: int,
    failures: Failures,
    basis: str,
    now: datetime,
    hours: Hours | None = None,
) -> datetime:
    """When the `attempt`th retry is, from 1 on.

    Staggered values count from the first failure, or each from the attempt before it; fixed ones from the
    latest failure, as do attempts beyond the last value.  What would be past, after news that came late, is
    one unit from now.
    """
    at = _planned(intervals, attempt, failures, basis, hours)
    if at <= now:
        at = now + UNITS[intervals.unit]
    return moved_into(hours, at)


def _planned(
    intervals: RetryIntervals, attempt: int, failures: Failures, basis: str, hours: Hours | None
) -> datetime:
    listed = intervals.type == "STAGGERED" and attempt <= len(intervals.values)
    value = intervals.values[attempt - 1 if listed else -1]
    since = failures.first if listed and basis == "FIRST_FAILURE" else failures.latest
    return _after(since, value, intervals.unit, hours)


def _after(since: datetime, value: int, unit: str, hours: Hours | None) -> datetime:
    """So many units later; days keep the time of day where the window is, however long they are."""
    if unit != "DAYS" or hours is None:
        return since + value * UNITS[unit]
    local = since.astimezone(hours.zone)
    return (local + timedelta(days=value)).astimezone(UTC)


def moved_into(hours: Hours | None, at: datetime) -> datetime:
    """The first instant from `at` on that lies inside the window, or on the pay day that is near."""
    if hours is None:
        return at
    local = at.astimezone(hours.zone)
    day, opens = local.date(), local.hour < hours.from_hour
    if local.hour >= hours.to_hour:
        day, opens = day + timedelta(days=1), True
    paid = _pay_day(hours, day)
    if paid is not None and paid > day:
        day, opens = paid, True
    for _ in range(_DAYS_MAX):
        if hours.opens_on(day):
            break
        day, opens = day + timedelta(days=1), True
    if not opens:
        return at
    return datetime(day.year, day.month, day.day, hours.from_hour, tzinfo=hours.zone).astimezone(UTC)


def _pay_day(hours: Hours, day: date) -> date | None:
    """The next pay day, where it is near enough to wait for."""
    if hours.pay_day is None:
        return None
    for first in (day.replace(day=1), (day.replace(day=1) + timedelta(days=32)).replace(day=1)):
        paid = first.replace(day=min(hours.pay_day, monthrange(first.year, first.month)[1]))
        if paid >= day:
            return paid if (paid - day).days <= hours.within_days else None
    return None
