"""What a scheduler's timing must have, by its cadence."""

from __future__ import annotations

from datetime import datetime, time

from events.criteria import Criteria
from events.scheduler import RecursOn, Timing
from services import zones
from services.errors import Rejected
from services.schedulers import business_days, rules


def check(timing: Timing, criteria: Criteria) -> None:
    """Raises `Rejected` for what lacks a field, has one that means nothing, or would never begin."""
    _check_fields(timing)
    if timing.end_date and timing.end_date < timing.start_date:
        raise Rejected("END_BEFORE_START", "it would end before it begins", field="data.end_date")
    if timing.time_zone not in zones.known():
        raise _malformed("time_zone", f"{timing.time_zone[:80]} is no time zone of the IANA database")
    if timing.rule is not None:
        start = datetime.combine(timing.start_date, time.fromisoformat(timing.preferred_time))
        if why := rules.why_not(timing.rule, start):
            raise _malformed("rule", why)
    if timing.calendar is not None:
        if not timing.exclude_weekends_and_holidays:
            raise _malformed("calendar", "holidays count only where they are excluded")
        if not business_days.known(timing.calendar):
            raise _malformed("calendar", f"there is no calendar {timing.calendar[:80]}")
    if timing.cadence == "MONTHLY" and not (criteria.criteria or criteria.groups):
        raise Rejected("CRITERIA_REQUIRED", "a monthly one says what it collects", field="data.criteria")


def _check_fields(timing: Timing) -> None:
    if timing.cadence != "RULE" and timing.rule is not None:
        raise _malformed("rule", f"{timing.cadence} has no rule")
    if timing.cadence not in ("WEEKLY", "MONTHLY") and timing.recurs_on is not None:
        raise _malformed("recurs_on", f"{timing.cadence} recurs on no chosen day")
    on = timing.recurs_on or RecursOn()
    match timing.cadence:
        case "RULE" if timing.rule is None:
            raise missing("rule", timing.cadence)
        case "WEEKLY":
            if on.weekday is None:
                raise missing("recurs_on.weekday", timing.cadence)
            if on.nth is not None or on.day_of_month is not None:
                raise _malformed("recurs_on", "a week has one day of each name, and no numbers")
        case "MONTHLY":
            _check_month(timing, on)
        case _:
            pass


def _check_month(timing: Timing, on: RecursOn) -> None:
    if timing.end_date is None:
        raise missing("end_date", timing.cadence)
    if on.day_of_month is None and on.weekday is None:
        raise missing("recurs_on.day_of_month", timing.cadence)
    if on.day_of_month is not None and (on.weekday is not None or on.nth is not None):
        raise _malformed("recurs_on", "either the day of a month, or one of its weekdays")
    if on.weekday is not None and on.nth is None:
        raise missing("recurs_on.nth", timing.cadence)


def missing(field: str, cadence: str) -> Rejected:
    return Rejected("CADENCE_FIELD_MISSING", f"{cadence} needs {field}", field=f"data.{field}")


def _malformed(field: str, message: str) -> Rejected:
    return Rejected("MALFORMED_REQUEST", message, field=f"data.{field}")
