"""What can happen to a payment scheduler (stream `scheduler-{id}`): when batch runs start by themselves."""

from __future__ import annotations

from datetime import date

from events.frozen import frozen


@frozen
class RecursOn:
    """On which day of its week, or its month, a scheduler fires."""

    day_of_month: int | str | None = None
    """1 to 31, LAST, SECOND_TO_LAST or THIRD_TO_LAST; a day that a month lacks is its last one."""
    weekday: str | None = None
    """MONDAY to SUNDAY."""
    nth: str | None = None
    """FIRST to FOURTH, or LAST: which such weekday of the month."""


@frozen
class Timing:
    """When a scheduler fires: dates and times of day as they are in its time zone."""

    cadence: str
    """ONCE, DAILY, WEEKLY, MONTHLY, or RULE."""
    start_date: date
    preferred_time: str
    """HH:MM.  A skipped hour's is the first instant after it, a repeated hour's the first of the two."""
    time_zone: str
    """Of the IANA database."""
    end_date: date | None = None
    """The last day that is planned."""
    recurs_on: RecursOn | None = None
    rule: str | None = None
    """Of RULE: a recurrence rule of RFC 5545."""
    exclude_weekends_and_holidays: bool = False
    calendar: str | None = None
    """Whose holidays: a country's, or a part's of one (`DE`, `GB-SCT`), or a market's (`ECB`)."""
    excluded_day: str = "NEXT_BUSINESS_DAY"
    """What becomes of a day that is excluded: NEXT_BUSINESS_DAY, PREVIOUS_BUSINESS_DAY, or SKIP."""
