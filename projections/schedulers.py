"""Payment schedulers: when each fires, in words and as an instant, and what its last run was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from events.scheduler import (
    PaymentSchedulerActivated,
    PaymentSchedulerCanceled,
    PaymentSchedulerCreated,
    PaymentSchedulerDeactivated,
    PaymentSchedulerFired,
    PaymentSchedulerUpdated,
    Timing,
)
from projections.table import DAY, FLAG, INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

payment_schedulers = Table(
    "payment_schedulers",
    key=(TENANT, Column("scheduler_id", TEXT)),
    columns=(
        *text("name", "status", "cadence", "cadence_in_words", "preferred_time", "time_zone", "rule"),
        Column("start_date", DAY),
        Column("end_date", DAY),
        Column("recurs_on", JSON),
        Column("exclude_weekends_and_holidays", FLAG, False),
        *text("calendar", "excluded_day"),
        Column("criteria", JSON),
        Column("max_items_per_run", "int"),
        Column("next_run_at", INSTANT),
        *text("last_run_id", "reason"),
        Column("last_planned_at", INSTANT),
        Column("last_fired_at", INSTANT),
        Column("last_late", FLAG, False),
        Column("runs", "int", 0),
        Column("missed", "int", 0),
        Column("created_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="scheduler",
    indexes=(("tenant_id", "status"),),
)


@payment_schedulers.on(PaymentSchedulerCreated, PaymentSchedulerUpdated)
def as_planned(fact: PaymentSchedulerCreated | PaymentSchedulerUpdated, at: Place, own: Own) -> Iterable[Row]:
    timing = fact.timing
    fields = (
        "cadence",
        "preferred_time",
        "time_zone",
        "rule",
        "start_date",
        "end_date",
        "calendar",
        "excluded_day",
    )
    changes: dict[str, Any] = {name: getattr(timing, name) for name in fields}
    changes |= {
        "name": fact.name,
        "cadence_in_words": in_words(timing),
        "recurs_on": _json(timing.recurs_on) if timing.recurs_on else None,
        "exclude_weekends_and_holidays": timing.exclude_weekends_and_holidays,
        "criteria": _json(fact.criteria),
        "max_items_per_run": fact.max_items_per_run,
    }
    if isinstance(fact, PaymentSchedulerCreated):
        changes |= {"status": "DRAFT", "created_at": fact.created_at}
    yield Row((at.tenant, at.id), changes)


def _json(shape: object) -> Any:
    return orjson.loads(orjson.dumps(shape))


@payment_schedulers.on(PaymentSchedulerActivated)
def activated(fact: PaymentSchedulerActivated, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "ACTIVE", "next_run_at": fact.next_run_at, "reason": None})


@payment_schedulers.on(PaymentSchedulerDeactivated)
def deactivated(fact: PaymentSchedulerDeactivated, at: Place, own: Own) -> Iterable[Row]:
    reason = fact.reason if fact.cause == "ASKED" else fact.cause
    yield Row((at.tenant, at.id), {"status": "INACTIVE", "next_run_at": None, "reason": reason})


@payment_schedulers.on(PaymentSchedulerCanceled)
def canceled(fact: PaymentSchedulerCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "CANCELED", "next_run_at": None, "reason": fact.reason})


@payment_schedulers.on(PaymentSchedulerFired)
def fired(fact: PaymentSchedulerFired, at: Place, own: Own) -> Iterable[Row]:
    changes: dict[str, Any] = {
        "last_run_id": fact.run_id,
        "last_planned_at": fact.planned_at,
        "last_fired_at": at.time,
        "last_late": fact.late,
        "runs": own["runs"] + 1,
        "missed": own["missed"] + fact.missed,
        "next_run_at": fact.next_run_at,
    }
    yield Row((at.tenant, at.id), changes)


# -- in words

_ORDINALS = {
    "LAST": "last", "SECOND_TO_LAST": "second to last", "THIRD_TO_LAST": "third to last",
    "FIRST": "first", "SECOND": "second", "THIRD": "third", "FOURTH": "fourth",
}  # fmt: skip
_EXCLUDED = {
    "NEXT_BUSINESS_DAY": "the next business day instead of",
    "PREVIOUS_BUSINESS_DAY": "the business day before instead of",
    "SKIP": "not on",
}


def in_words(timing: Timing) -> str:
    """`Monthly on the last day at 09:00 (Europe/Berlin), from 2026-01-01 to 2026-12-31`."""
    until = f" to {timing.end_date}" if timing.end_date else ""
    said = f"{_often(timing)} at {timing.preferred_time} ({timing.time_zone})"
    if timing.cadence != "ONCE":
        said += f", from {timing.start_date}{until}"
    if timing.exclude_weekends_and_holidays:
        days = f"weekends and holidays of {timing.calendar}" if timing.calendar else "weekends"
        said += f", {_EXCLUDED[timing.excluded_day]} {days}"
    return said


def _often(timing: Timing) -> str:
    on = timing.recurs_on
    match timing.cadence:
        case "ONCE":
            return f"Once, on {timing.start_date}"
        case "WEEKLY" if on and on.weekday:
            return f"Every {on.weekday.capitalize()}"
        case "MONTHLY" if on and on.weekday:
            return f"Monthly on the {_ORDINALS[on.nth or 'LAST']} {on.weekday.capitalize()}"
        case "MONTHLY" if on and isinstance(on.day_of_month, str):
            return f"Monthly on the {_ORDINALS[on.day_of_month]} day"
        case "MONTHLY" if on and isinstance(on.day_of_month, int):
            shorter = " (a shorter month's last day)" if on.day_of_month > 28 else ""
            return f"Monthly on day {on.day_of_month}{shorter}"
        case "RULE":
            return f"By the rule {timing.rule}"
        case _:
            return "Every day"


TABLES = (payment_schedulers,)
