"""When schedulers fire: in every zone, over every change of its clock, nothing missed, nothing doubled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.scheduler import RecursOn, Timing
from services.schedulers import business_days, rules
from services.schedulers.recurrence import firings, instant, latest, next_after
from tests.clocks import (
    DAY,
    FIRST,
    HOUR,
    HOURLY,
    LAST,
    ZONES,
    Span,
    changes,
    check_around,
    expected,
    kinds,
    spans,
    until,
)

CLOCKS = 12
"""The clocks of the world are looked at in so many tests."""


@cache
def clocks() -> dict[tuple[Span, ...], str]:
    """Clocks that differ between 2020 and 2040, with a zone that has each: every zone's was looked at."""
    return {tuple(spans(name)): name for name in ZONES}


@pytest.mark.parametrize("part", range(CLOCKS))
def test_over_every_change_of_every_clock_nothing_is_missed_or_doubled(part: int) -> None:
    """A time near each change, before, in, or after it in turn; `python -m tests.clocks` takes them all."""
    known = sorted((name, of) for of, name in clocks().items())
    for name, of in known[part::CLOCKS]:
        for turn, (near, change, critical) in enumerate(changes(of)):
            local = critical[turn // 2 % len(critical)]
            check_around(name, near, change, local, () if turn % 4 else (HOURLY,))
    assert len(known) > 50


SOME = ["America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata",
        "America/Santiago", "Antarctica/Troll", "Pacific/Apia"]  # fmt: skip


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("day", [date(2020, 3, 29), date(2020, 10, 31)])
def test_over_twenty_years_each_planned_day_fires_once(name: str, day: date) -> None:
    known: Sequence[Span] = spans(name)
    for kind in kinds(day):
        timing = kind.timed("02:15", name)
        wanted = expected(kind.all_times(timing, time(2, 15), FIRST, LAST), known, FIRST, LAST)
        assert [firing.at for firing in until(firings(timing, FIRST), LAST)] == wanted


# -- months


@pytest.mark.parametrize(
    ("on", "days"),
    [
        (RecursOn(31), ["01-31", "02-28", "03-31", "04-30"]),
        (RecursOn(30), ["01-30", "02-28", "03-30", "04-30"]),
        (RecursOn(1), ["01-01", "02-01", "03-01", "04-01"]),
        (RecursOn("LAST"), ["01-31", "02-28", "03-31", "04-30"]),
        (RecursOn("SECOND_TO_LAST"), ["01-30", "02-27", "03-30", "04-29"]),
        (RecursOn("THIRD_TO_LAST"), ["01-29", "02-26", "03-29", "04-28"]),
        (RecursOn(weekday="TUESDAY", nth="SECOND"), ["01-13", "02-10", "03-10", "04-14"]),
        (RecursOn(weekday="FRIDAY", nth="LAST"), ["01-30", "02-27", "03-27", "04-24"]),
    ],
)
def test_the_day_of_a_month(on: RecursOn, days: list[str]) -> None:
    timing = Timing("MONTHLY", date(2026, 1, 1), "09:00", "UTC", recurs_on=on)
    assert [f"{firing.at:%m-%d}" for firing in islice(firings(timing, FIRST), 4)] == days


def test_it_begins_at_its_start_and_ends_after_its_end() -> None:
    timing = Timing("DAILY", date(2026, 1, 30), "09:00", "UTC", date(2026, 2, 1))
    assert [f"{firing.at:%m-%d}" for firing in firings(timing, FIRST)] == ["01-30", "01-31", "02-01"]
    assert next_after(timing, datetime(2026, 2, 1, 9, tzinfo=UTC)) is None


# -- business days


def business(cadence: str, excluded_day: str, **more: object) -> list[str]:
    timing = Timing(
        cadence, date(2026, 4, 1), "09:00", "Europe/Berlin", date(2026, 5, 1),
        exclude_weekends_and_holidays=True, calendar="DE", excluded_day=excluded_day, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return [f"{firing.at:%m-%d}" for firing in firings(timing, FIRST)]


def test_a_day_that_is_no_business_day_is_moved_or_left_out() -> None:
    on = RecursOn(weekday="FRIDAY")  # of which the 3rd of April is Good Friday, and the 1st of May is May Day
    assert business("WEEKLY", "NEXT_BUSINESS_DAY", recurs_on=on) == [
        "04-07",
        "04-10",
        "04-17",
        "04-24",
        "05-04",
    ]
    assert business("WEEKLY", "PREVIOUS_BUSINESS_DAY", recurs_on=on) == [
        "04-02", "04-10", "04-17", "04-24", "04-30",
    ]  # fmt: skip
    assert business("WEEKLY", "SKIP", recurs_on=on) == ["04-10", "04-17", "04-24"]


def test_every_day_is_every_business_day_whatever_becomes_of_the_others() -> None:
    skipping = business("DAILY", "SKIP")
    assert skipping[:4] == ["04-01", "04-02", "04-07", "04-08"]
    assert business("DAILY", "NEXT_BUSINESS_DAY") == [*skipping, "05-04"]


def test_what_never_fires_is_found_out() -> None:
    weekend = RecursOn(weekday="SATURDAY")
    more = {"exclude_weekends_and_holidays": True, "excluded_day": "SKIP"}
    timing = Timing("WEEKLY", date(2026, 4, 1), "09:00", "UTC", recurs_on=weekend, **more)  # type: ignore[arg-type]
    assert next_after(timing, FIRST) is None
    for rule in ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=31"):
        assert next_after(Timing("RULE", date(2026, 4, 1), "09:00", "UTC", rule=rule), FIRST) is None


def test_calendars_are_those_of_the_library() -> None:
    names = ("DE", "GB-SCT", "ECB", "XX", "DE-XX", "", "DE-")
    assert [business_days.known(name) for name in names] == [True, True, True, False, False, False, True]
    assert not business_days.is_business_day(date(2026, 5, 1), "ECB")
    assert business_days.is_business_day(date(2026, 5, 1), "US")
    assert not business_days.is_business_day(date(2026, 11, 20), "SA"), "a Friday is a day of rest there"


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.sampled_from([None, "DE", "US", "JP", "CN", "SA"]))
def test_later_days_never_move_before_earlier_ones(day: date, calendar: str | None) -> None:
    for way in ("NEXT_BUSINESS_DAY", "PREVIOUS_BUSINESS_DAY"):
        one, other = (business_days.moved(each, calendar, way) for each in (day, day + DAY))
        assert one is not None
        assert other is not None
        assert one <= other


# -- rules


START = datetime.fromisoformat("2026-01-01T09:00")


@pytest.mark.parametrize(
    ("rule", "times"),
    [
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["01-30 09:00", "02-27 09:00", "03-31 09:00"]),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", ["01-12 09:00", "01-26 09:00", "02-09 09:00"]),
        ("FREQ=DAILY;BYHOUR=6,18;BYMINUTE=30", ["01-01 18:30", "01-02 06:30", "01-02 18:30"]),
        ("FREQ=YEARLY;BYMONTH=4;BYMONTHDAY=-1", ["04-30 09:00", "04-30 09:00", "04-30 09:00"]),
        ("FREQ=DAILY;COUNT=2", ["01-01 09:00", "01-02 09:00"]),
        ("FREQ=DAILY;UNTIL=20260102", ["01-01 09:00", "01-02 09:00"]),
        ("FREQ=DAILY;UNTIL=20260102T075959Z", ["01-01 09:00"]),
        ("FREQ=DAILY;UNTIL=20260102T080000Z", ["01-01 09:00", "01-02 09:00"]),
        ("FREQ=HOURLY;INTERVAL=8", ["01-01 09:00", "01-01 17:00", "01-02 01:00"]),
    ],
)
def test_rules_are_those_of_rfc_5545(rule: str, times: list[str]) -> None:
    assert rules.why_not(rule, START) is None
    found = rules.occurrences(rule, START, START, START + 99 * 366 * DAY, ZoneInfo("Europe/Berlin"))
    assert [f"{each:%m-%d %H:%M}" for each in islice(found, 3)] == times


@pytest.mark.parametrize(
    "rule",
    ["", "FREQ", "DAILY", "FREQ=DAILY;FREQ=DAILY", "FREQ=SECONDLY", "FREQ=MINUTELY", "BYDAY=MO",
     "FREQ=DAILY;BYSECOND=1", "FREQ=DAILY;BYEASTER=1", "FREQ=DAILY;DTSTART=20260101", "FREQ=DAILY;COUNT=0",
     "FREQ=DAILY;COUNT=10001", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;INTERVAL=x", "FREQ=WEEKLY;BYDAY=1MO",
     "FREQ=DAILY;COUNT=1;UNTIL=20260101", "FREQ=DAILY;UNTIL=tomorrow", "FREQ=DAILY;UNTIL=20261301",
     "FREQ=WEEKLY;BYDAY=XX", "FREQ=MONTHLY;BYMONTHDAY=x", "FREQ=MONTHLY;BYMONTHDAY=0",
     "FREQ=DAILY;INTERVAL=1,2",
     "FREQ=HOURLY;BYSETPOS=2", "FREQ=HOURLY;BYMINUTE=0,10,20,30,40", "FREQ=DAILY;BYDAY=" + "MO," * 300,
     "FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7;BYMINUTE=1,2,3,4", "FREQ=DAILY;BYMONTH=13", "FREQ=DAILY;BYHOUR=24",
     "FREQ=HOURLY;INTERVAL=2;BYHOUR=10", "FREQ=DAILY\nRDATE:20260101T000000"],
)  # fmt: skip
def test_what_is_no_rule(rule: str) -> None:
    assert rules.why_not(rule, START)


@given(
    freq=st.sampled_from(["DAILY", "WEEKLY", "HOURLY", "MONTHLY"]),
    interval=st.integers(1, 40),
    later=st.integers(0, 9_000),
    more=st.sampled_from(["", ";BYDAY=MO,FR", ";BYMONTH=3,10", ";BYHOUR=9", ";WKST=SU"]),
)
@settings(deadline=None)
def test_a_rule_that_is_asked_late_has_the_same_times(
    freq: str, interval: int, later: int, more: str
) -> None:
    rule, begin = f"FREQ={freq};INTERVAL={interval}{more}", START + later * HOUR
    if rules.why_not(rule, START):
        return
    zone, end = ZoneInfo("UTC"), begin + 400 * DAY
    all_of_it = [each for each in rules.occurrences(rule, START, START, end, zone) if each >= begin]
    assert list(rules.occurrences(rule, START, begin, end, zone)) == all_of_it


# -- instants, and what was missed


@given(
    st.sampled_from(ZONES),
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)),
    st.timedeltas(timedelta(0), timedelta(days=2)),
)
@settings(deadline=None)
def test_later_local_times_are_never_earlier_instants(name: str, local: datetime, later: timedelta) -> None:
    zone = ZoneInfo(name)
    assert instant(local, zone)[0] <= instant(local + later, zone)[0]


def test_a_skipped_day_fires_as_the_next_one_begins() -> None:
    """Samoa went from the 29th of December 2011 to the 31st."""
    at, skipped = instant(datetime.fromisoformat("2011-12-30T09:00"), ZoneInfo("Pacific/Apia"))
    assert (at, skipped) == (datetime(2011, 12, 30, 10, 0, tzinfo=UTC), True)


def test_why_a_firing_is_not_when_it_was_planned() -> None:
    timing = Timing("DAILY", date(2026, 3, 28), "02:30", "Europe/Berlin", date(2026, 3, 29))
    assert [(firing.planned.day, firing.moved) for firing in firings(timing, FIRST)] == [
        (28, None),
        (29, "SKIPPED_HOUR"),
    ]


def test_of_what_was_missed_the_latest_stands_for_all() -> None:
    timing = Timing("DAILY", date(2026, 1, 1), "09:00", "UTC")
    first, second, third = (datetime(2026, 1, day, 9, tzinfo=UTC) for day in (1, 2, 3))
    assert latest(timing, first, first + HOUR) == (first, 0)
    assert latest(timing, first, second) == (second, 1)
    assert latest(timing, first, third + HOUR) == (third, 2)
