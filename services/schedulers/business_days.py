"""Business days: which days are none, by the calendars of the library `holidays`, and where they move."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import holidays
from holidays import HolidayBase

ROLL_DAYS_MAX = 31
"""No closure is longer: a day that finds no business day so near is left out."""

_SATURDAY = 5


def known(calendar: str) -> bool:
    """Whether the library has a calendar of this name: `US`, `GB-SCT`, `ECB`."""
    country, _, part = calendar.partition("-")
    if calendar in holidays.list_supported_financial():
        return True
    parts = holidays.list_supported_countries().get(country)
    return parts is not None and (not part or part in parts)


def is_business_day(day: date, calendar: str | None) -> bool:
    return _calendar(calendar).is_working_day(day) if calendar else day.weekday() < _SATURDAY


def is_holiday(day: date, calendar: str) -> bool:
    """Whether nobody works on it by this calendar, whatever day of the week it is."""
    return day in _calendar(calendar)


def moved(day: date, calendar: str | None, excluded_day: str) -> date | None:
    """The business day that a day stands for; None where it is left out."""
    step = {"NEXT_BUSINESS_DAY": 1, "PREVIOUS_BUSINESS_DAY": -1}.get(excluded_day, 0)
    for days in range(ROLL_DAYS_MAX + 1 if step else 1):
        tried = day + timedelta(days=days * step)
        if is_business_day(tried, calendar):
            return tried
    return None


@lru_cache(maxsize=256)
def _calendar(name: str) -> HolidayBase:
    """It works a year out when it is first asked about it."""
    if name in holidays.list_supported_financial():
        return holidays.financial_holidays(name)
    country, _, part = name.partition("-")
    return holidays.country_holidays(country, subdiv=part or None)
