"""What a seed's people do with payment schedulers: they fire in the storm, and in the weeks after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from events.criteria import Criteria, Criterion
from services.schedulers.firing import RunPaymentScheduler
from services.schedulers.planning import (
    ActivatePaymentScheduler,
    CancelPaymentScheduler,
    CreatePaymentScheduler,
    Day,
    DeactivatePaymentScheduler,
    UpdatePaymentScheduler,
)
from services.schedulers.scheduler import PaymentScheduler, home_of
from tests.simulation.mistakes import provokes
from tests.simulation.workload import DAY, Said, Users, says

POUNDS = Criteria(criteria=(Criterion("CURRENCY", "EQUALS", ("GBP",)),))
SOON = "08:01"
"""In the middle of the storm, which begins at eight."""
BUSINESS = {"exclude_weekends_and_holidays": True, "calendar": "GB"}


def _said(users: Users, command: Any) -> Said:
    return Said(command, home_of(command.scheduler_id), f"{type(command).__name__} {users.number}")


def _planned(users: Users, id: str, **more: Any) -> CreatePaymentScheduler:
    """All end within six weeks: so that a seed comes to rest."""
    chosen = users.chosen
    cadence, on = chosen.choice(
        (
            ("DAILY", {"end_date": DAY + timedelta(days=9)}),
            ("DAILY", {"end_date": DAY + timedelta(days=12), **BUSINESS}),
            ("WEEKLY", {"end_date": DAY + timedelta(days=28), "recurs_on": Day(weekday="MONDAY")}),
            ("MONTHLY", {"end_date": date(2026, 2, 15), "recurs_on": Day(31), "criteria": POUNDS}),
            ("RULE", {"rule": "FREQ=DAILY;INTERVAL=3;COUNT=4"}),
            ("ONCE", {}),
        )
    )
    at = chosen.choice((SOON, SOON, "23:30"))
    zone = chosen.choice(("UTC", "UTC", "Europe/London"))
    given: dict[str, Any] = {"start_date": DAY, "preferred_time": at, "time_zone": zone, **on, **more}
    return CreatePaymentScheduler(id, f"scheduler {id}", cadence, **given)


@says(3)
def plan_runs(users: Users, account: str) -> Said:
    status = users.chosen.choice(("ACTIVE", "ACTIVE", "DRAFT"))
    return _said(users, _planned(users, f"K{users.number}", status=status))


def _about(
    users: Users, wanted: Callable[[PaymentScheduler], bool], say: Callable[[str], object]
) -> Said | None:
    found = users.pick_id("scheduler", wanted)
    return _said(users, say(found)) if found else None


@says(3)
def pause_or_resume(users: Users, account: str) -> Said | None:
    if users.chosen.random() < 0.5:
        return _about(
            users, lambda s: s.status == "ACTIVE", lambda id: DeactivatePaymentScheduler(id, "a pause")
        )
    return _about(users, lambda s: s.status in ("DRAFT", "INACTIVE"), ActivatePaymentScheduler)


@says(1)
def plan_otherwise(users: Users, account: str) -> Said | None:
    def say(id: str) -> UpdatePaymentScheduler:
        return UpdatePaymentScheduler(id, f"another {users.number}", preferred_time="08:02", status="ACTIVE")

    return _about(users, lambda s: s.status in ("DRAFT", "INACTIVE"), say)


@says(1)
def run_now(users: Users, account: str) -> Said | None:
    return _about(users, lambda s: s.status == "ACTIVE", RunPaymentScheduler)


@says(1)
def end(users: Users, account: str) -> Said | None:
    return _about(users, lambda s: s.status not in ("", "CANCELED"), CancelPaymentScheduler)


# -- mistakes


@provokes("SCHEDULER_NOT_FOUND")
def unknown_scheduler(users: Users, account: str) -> Said:
    return _said(users, ActivatePaymentScheduler("no-such"))


@provokes("SCHEDULER_EXISTS")
def known_scheduler(users: Users, account: str) -> Said | None:
    return _about(users, lambda s: bool(s.status), lambda id: _planned(users, id))


@provokes("SCHEDULER_TERMINAL")
def ended_scheduler(users: Users, account: str) -> Said | None:
    """One that has ended; else one is ended for the next time."""
    again = _about(users, lambda s: s.status == "CANCELED", ActivatePaymentScheduler)
    return again or end(users, account)


@provokes("SCHEDULER_LIMIT_REACHED")
def one_too_many(users: Users, account: str) -> Said | None:
    """Every other tenant has room for one."""
    if users.pick_id("scheduler", lambda s: s.status == "ACTIVE") is None:
        return None
    return _said(users, _planned(users, f"K{users.number}", status="ACTIVE"))


@provokes("CADENCE_FIELD_MISSING", "CRITERIA_REQUIRED", "END_BEFORE_START", "SCHEDULER_HAS_NO_RUNS")
def no_scheduler(users: Users, account: str) -> Said:
    id, over = f"K{users.number}", DAY - timedelta(days=1)
    monthly = {"end_date": date(2026, 2, 15), "recurs_on": Day(31)}
    wrong: tuple[dict[str, Any], ...] = (
        {"cadence": "WEEKLY"},
        {"cadence": "MONTHLY", **monthly},
        {"cadence": "DAILY", "end_date": over},
        {"cadence": "ONCE", "start_date": over, "status": "ACTIVE"},
    )
    given = {"start_date": DAY, "preferred_time": SOON, **users.chosen.choice(wrong)}
    return _said(users, CreatePaymentScheduler(id, id, **given))
