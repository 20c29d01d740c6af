"""Recurrence rules of RFC 5545, section 3.3.10, by the library `dateutil`; what we ask of them is here.

A rule's days and times are local.  It fires at most once an hour, or as often as BYMINUTE says: whoever
collects payments does not do it by the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from math import prod
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

LENGTH_MAX = 500
COUNT_MAX = 10_000
A_DAY_MAX = 24
"""Times of day that BYHOUR and BYMINUTE may name; of HOURLY, times of an hour: a sixth of that."""

_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_PARTS = frozenset(
    """
    FREQ UNTIL COUNT INTERVAL WKST BYMONTH BYWEEKNO BYYEARDAY BYMONTHDAY BYDAY BYHOUR BYMINUTE BYSETPOS
    """.split()
)
_RANGES = {
    "INTERVAL": (1, 9_999),
    "COUNT": (1, COUNT_MAX),
    "BYMONTH": (1, 12),
    "BYWEEKNO": (-53, 53),
    "BYYEARDAY": (-366, 366),
    "BYMONTHDAY": (-31, 31),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSETPOS": (-366, 366),
}
_NUMBER = re.compile(r"[+-]?\d{1,5}")
_UNTIL = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_LENGTH = {"HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)}

_CYCLE_YEARS = 400
"""The calendar repeats itself, weekdays and all."""
_CYCLE = timedelta(days=146_097)


def why_not(rule: str, start: datetime) -> str | None:
    """What is wrong with a rule, in words; None where nothing is."""
    parts = _parts(rule)
    if parts is None or len(rule) > LENGTH_MAX:
        return f"a rule is NAME=VALUE;NAME=VALUE, each name once, with at most {LENGTH_MAX} characters"
    if unknown := sorted(parts.keys() - _PARTS):
        return f"a rule has no {unknown[0][:40]} here"
    if parts.get("FREQ") not in _FREQUENCIES:
        return f"FREQ is one of {', '.join(_FREQUENCIES)}"
    if {"UNTIL", "COUNT"} <= parts.keys():
        return "UNTIL and COUNT exclude each other"
    for name in _RANGES.keys() & parts.keys():
        if (wrong := _out_of_range(name, parts[name])) is not None:
            return f"{name} has no {wrong[:40]}"
    if parts["FREQ"] not in ("MONTHLY", "YEARLY") and re.search(r"\d", parts.get("BYDAY", "")):
        return "the first or last such day is of a month or a year: FREQ is MONTHLY or YEARLY"
    hourly = parts["FREQ"] == "HOURLY"
    if hourly and "BYSETPOS" in parts:
        return "BYSETPOS picks of a day's, week's, month's or year's times: not of an hour's"
    times = prod(parts.get(name, "").count(",") + 1 for name in ("BYHOUR", "BYMINUTE"))
    if times > A_DAY_MAX or (hourly and parts.get("BYMINUTE", "").count(",") >= A_DAY_MAX // 6):
        return f"BYHOUR and BYMINUTE name too many times: at most {A_DAY_MAX} a day, {A_DAY_MAX // 6} an hour"
    try:
        _until(parts, UTC)
        _rule(parts, start)
    except (ValueError, TypeError, OverflowError) as error:
        return f"it is no rule: {error}"
    return None


def _out_of_range(name: str, values: str) -> str | None:
    low, high = _RANGES[name]
    several = name.startswith("BY")
    for value in values.split(",") if several else [values]:
        zero = low < 0 and value.lstrip("+-0") == ""
        if not _NUMBER.fullmatch(value) or zero or not low <= int(value) <= high:
            return value
    return None


def occurrences(
    rule: str, start: datetime, begin: datetime, until: datetime, zone: ZoneInfo
) -> Iterator[datetime]:
    """The local times of a rule that starts at `start`, from `begin` to `until`, in order."""
    parts = _parts(rule)
    assert parts is not None, "it was checked before it was recorded"
    last = min(until, _until(parts, zone) or until)
    later = _to_the_end(start.year)
    found = _rule(parts, _nearer(parts, start, begin) + later)
    for occurrence in found:
        local = occurrence - later
        if local > last:
            return
        if local >= begin:
            yield local


def _parts(rule: str) -> dict[str, str] | None:
    pairs = [part.partition("=") for part in rule.removeprefix("RRULE:").upper().split(";")]
    parts = {name: value for name, _, value in pairs}
    return parts if all(name and value for name, _, value in pairs) and len(parts) == len(pairs) else None


def _rule(parts: dict[str, str], start: datetime) -> rrule:
    """Without UNTIL: that may be an instant, and a rule's times are local."""
    text = ";".join(f"{name}={value}" for name, value in parts.items() if name != "UNTIL")
    made = rrulestr(text, dtstart=start)
    assert isinstance(made, rrule)
    return made


def _until(parts: dict[str, str], zone: object) -> datetime | None:
    """The last local time; a day's is its last one.  Raises `ValueError`."""
    if "UNTIL" not in parts:
        return None
    found = _UNTIL.fullmatch(parts["UNTIL"])
    if found is None:
        raise ValueError("UNTIL is YYYYMMDD, or YYYYMMDDTHHMMSS, with a Z where it is UTC")
    year, month, day, hour, minute, second, utc = found.groups()
    last = date(int(year), int(month), int(day))
    if hour is None:
        return datetime.combine(last, time.max)
    local = datetime.combine(last, time(int(hour), int(minute), int(second)))
    return local.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if utc else local  # type: ignore[arg-type]


def _nearer(parts: dict[str, str], start: datetime, begin: datetime) -> datetime:
    """A later start with the same times from `begin` on: whole intervals later, where none are counted."""
    length = _LENGTH.get(parts["FREQ"])
    if length is None or "COUNT" in parts:
        return start
    interval = length * int(parts.get("INTERVAL", "1"))
    return start + interval * max(0, (begin - start) // interval - 1)


def _to_the_end(year: int) -> timedelta:
    """Whole cycles of the calendar, so that the library, which looks for a rule's next time till the year
    9999, and for a rule that has none for seconds, is at its end soon."""
    return _CYCLE * ((9999 - year) // _CYCLE_YEARS)
