"""Payment schedulers: what they need, what changes them, and that a planned instant is one run."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from events import ids
from events.criteria import Criteria, Criterion
from events.run import PaymentBatchRunCreated
from events.scheduler import (
    PaymentSchedulerActivated,
    PaymentSchedulerCanceled,
    PaymentSchedulerCreated,
    PaymentSchedulerDeactivated,
    PaymentSchedulerFired,
    PaymentSchedulerUpdated,
    RecursOn,
    Timing,
)
from services.commands import Actor, Command, decode, encode
from services.handler import Handler
from services.runs.batch_run import PaymentBatchRun
from services.schedulers.firing import FirePaymentScheduler, RunPaymentScheduler
from services.schedulers.planning import (
    ActivatePaymentScheduler,
    CancelPaymentScheduler,
    CreatePaymentScheduler,
    Day,
    DeactivatePaymentScheduler,
    UpdatePaymentScheduler,
)
from services.schedulers.scheduler import PaymentScheduler
from services.subjects import SUBJECTS
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import Journey
from tests.spec import NOW

DAY = timedelta(days=1)
BERLIN = "Europe/Berlin"
LABEL = Criteria("MATCH_ANY", (Criterion("MATCHING_VALUE", "EQUALS", ("gold",)),))
AT_TEN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MONDAYS = Day(weekday="MONDAY")


def daily(id: str = "S", **more: Any) -> CreatePaymentScheduler:
    """At 10:00 UTC, an hour after the tests begin; it is active."""
    given: dict[str, Any] = {
        "preferred_time": "10:00",
        "start_date": date(2026, 3, 1),
        "status": "ACTIVE",
        **more,
    }
    return CreatePaymentScheduler(id, "Every morning", given.pop("cadence", "DAILY"), **given)


def monthly(**more: Any) -> CreatePaymentScheduler:
    given = {
        "end_date": date(2026, 12, 31),
        "recurs_on": Day(31),
        "criteria": LABEL,
        "cadence": "MONTHLY",
        **more,
    }
    return daily(**given)


def started(**more: Any) -> Journey:
    journey = Journey()
    journey.when(daily(**more)).then_accepted()
    journey.run_processes()
    return journey


def days(journey: Journey, count: int) -> Journey:
    """So many days pass, and whatever is due happens when it is."""
    end = journey.time + count * DAY
    journey.run_processes()
    while due := [send.due_at for send in journey.later if send.due_at <= end]:
        journey.at(max(journey.time, min(due)))
        journey.run_due()
        journey.run_processes()
    journey.at(end)
    return journey


def fired(journey: Journey) -> list[PaymentSchedulerFired]:
    return [fact for fact in journey.all_facts() if isinstance(fact, PaymentSchedulerFired)]


def runs(journey: Journey) -> list[PaymentBatchRunCreated]:
    return [fact for fact in journey.all_facts() if isinstance(fact, PaymentBatchRunCreated)]


# -- what it needs


def test_it_is_a_draft_until_it_is_activated() -> None:
    journey = Journey(time_zone=BERLIN)
    timing = Timing("DAILY", date(2026, 3, 1), "10:00", BERLIN)
    journey.when(daily(status="DRAFT")).then(
        (PaymentScheduler, "S", PaymentSchedulerCreated("S", "Every morning", timing, NOW))
    )
    journey.when(RunPaymentScheduler("S")).then_rejected("INVALID_STATE", allowed=["ACTIVE"])
    tomorrow = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)  # it is 10:00 there now, and that is over
    journey.when(ActivatePaymentScheduler("S")).then(
        (PaymentScheduler, "S", PaymentSchedulerActivated(tomorrow, slot=1))
    )
    journey.when(ActivatePaymentScheduler("S")).then_rejected("INVALID_STATE", allowed=["DRAFT", "INACTIVE"])


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (daily(start_date=None), "start_date"),
        (daily(preferred_time=None), "preferred_time"),
        (daily(cadence="WEEKLY"), "recurs_on.weekday"),
        (daily(cadence="RULE"), "rule"),
        (monthly(end_date=None), "end_date"),
        (monthly(recurs_on=None), "recurs_on.day_of_month"),
        (monthly(recurs_on=MONDAYS), "recurs_on.nth"),
    ],
)
def test_a_cadence_has_fields_that_it_needs(command: object, field: str) -> None:
    Journey().when(command).then_rejected("CADENCE_FIELD_MISSING")
    assert Journey().when(command).outcome["field"] == f"data.{field}"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (monthly(criteria=Criteria()), "CRITERIA_REQUIRED"),
        (daily(end_date=date(2026, 2, 28)), "END_BEFORE_START"),
        (daily(time_zone="Europe/Atlantis"), "MALFORMED_REQUEST"),
        (daily(rule="FREQ=DAILY"), "MALFORMED_REQUEST"),
        (daily(recurs_on=MONDAYS), "MALFORMED_REQUEST"),
        (daily(cadence="WEEKLY", recurs_on=Day(weekday="MONDAY", nth="LAST")), "MALFORMED_REQUEST"),
        (monthly(recurs_on=Day(31, "MONDAY", "LAST")), "MALFORMED_REQUEST"),
        (daily(cadence="RULE", rule="FREQ=SOMETIMES"), "MALFORMED_REQUEST"),
        (daily(calendar="DE"), "MALFORMED_REQUEST"),
        (daily(calendar="XX", exclude_weekends_and_holidays=True), "MALFORMED_REQUEST"),
        (daily(preferred_time="24:00"), "MALFORMED_REQUEST"),
        (daily(cadence="ONCE"), "SCHEDULER_HAS_NO_RUNS"),
        (daily(cadence="RULE", rule="FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), "SCHEDULER_HAS_NO_RUNS"),
        (UpdatePaymentScheduler("no-such", name="x"), "SCHEDULER_NOT_FOUND"),
        (ActivatePaymentScheduler("no-such"), "SCHEDULER_NOT_FOUND"),
        (FirePaymentScheduler("no-such", NOW), "SCHEDULER_NOT_FOUND"),
    ],
)
def test_what_is_no_scheduler(command: object, code: str) -> None:
    Journey().when(command).then_rejected(code)


def test_an_id_is_used_once() -> None:
    started().when(daily()).then_rejected("SCHEDULER_EXISTS")


# -- what changes it


def test_what_decides_about_runs_changes_only_while_none_can_begin() -> None:
    journey = started()
    at_noon = UpdatePaymentScheduler("S", preferred_time="12:00", end_date=date(2026, 3, 31))
    journey.when(at_noon).then_rejected("INVALID_STATE", state="ACTIVE")
    journey.when(DeactivatePaymentScheduler("S", "holidays")).then(
        (PaymentScheduler, "S", PaymentSchedulerDeactivated("ASKED", "holidays"))
    )
    timing = Timing("DAILY", date(2026, 3, 1), "12:00", "UTC", date(2026, 3, 31))
    journey.when(at_noon).then((PaymentScheduler, "S", PaymentSchedulerUpdated("Every morning", timing)))
    journey.when(at_noon).then_rejected("NOTHING_TO_CHANGE")
    weekly = UpdatePaymentScheduler("S", cadence="WEEKLY", recurs_on=MONDAYS, no_end=True, status="ACTIVE")
    timing = Timing("WEEKLY", date(2026, 3, 1), "12:00", "UTC", recurs_on=RecursOn(weekday="MONDAY"))
    journey.when(weekly).then(
        (PaymentScheduler, "S", PaymentSchedulerUpdated("Every morning", timing)),
        (PaymentScheduler, "S", PaymentSchedulerActivated(AT_TEN + timedelta(hours=2), slot=1)),
    )


def test_its_end_is_for_ever() -> None:
    journey = started()
    journey.when(UpdatePaymentScheduler("S", status="INACTIVE")).then_types(PaymentSchedulerDeactivated)
    journey.when(DeactivatePaymentScheduler("S")).then_rejected("INVALID_STATE", state="INACTIVE")
    journey.when(CancelPaymentScheduler("S", "replaced")).then(
        (PaymentScheduler, "S", PaymentSchedulerCanceled("replaced"))
    )
    for command in (
        ActivatePaymentScheduler("S"),
        DeactivatePaymentScheduler("S"),
        CancelPaymentScheduler("S"),
        UpdatePaymentScheduler("S", name="x"),
        RunPaymentScheduler("S"),
    ):
        journey.when(command).then_rejected("SCHEDULER_TERMINAL")
    assert fired(days(journey, 3)) == []


def test_so_many_are_active_at_once_and_those_that_rest_do_not_count() -> None:
    journey = Journey(active_schedulers_max=2)
    journey.when(daily("A")).then_accepted().when(daily("B")).then_accepted()
    journey.when(daily("C")).then_rejected("SCHEDULER_LIMIT_REACHED", limit=2)
    journey.when(daily("C", status="DRAFT")).then_accepted()
    journey.when(UpdatePaymentScheduler("C", status="ACTIVE")).then_rejected("SCHEDULER_LIMIT_REACHED")
    journey.when(CancelPaymentScheduler("A")).then_accepted()
    journey.when(ActivatePaymentScheduler("C")).then_accepted()
    journey.when(DeactivatePaymentScheduler("B")).then_accepted()
    journey.when(ChangeTenantSettings({"active_schedulers_max": 1})).then_accepted()
    journey.when(ActivatePaymentScheduler("B")).then_rejected("SCHEDULER_LIMIT_REACHED", limit=1)


# -- firing


def test_it_fires_a_run_for_each_planned_instant_and_no_other() -> None:
    journey = days(started(criteria=LABEL, max_items_per_run=500, time_zone="America/New_York"), 3)
    at = [datetime(2026, 3, day, 15, 0, tzinfo=UTC) for day in (2, 3, 4)]
    assert [one.planned_at for one in fired(journey)] == at
    assert {(one.late, one.missed) for one in fired(journey)} == {(False, 0)}
    assert [(run.run_id, run.scheduler_id, run.planned_at, run.run_date) for run in runs(journey)] == [
        (ids.run_id("t", "S", one), "S", one, one.date()) for one in at
    ]
    assert {(run.criteria, run.max_items) for run in runs(journey)} == {(LABEL, 500)}


def test_a_timer_that_is_told_again_does_nothing() -> None:
    journey = started().at(AT_TEN)
    journey.when(FirePaymentScheduler("S", AT_TEN)).then_types(PaymentSchedulerFired)
    journey.when(FirePaymentScheduler("S", AT_TEN)).then_nothing()
    journey.run_due()
    journey.run_processes()
    assert len(fired(journey)) == len(runs(journey)) == 1


def test_two_machines_fire_once() -> None:
    """Each has a timer of its own, and states of its own that may be old."""
    journey = started().at(AT_TEN)
    machines = [Handler(journey.store, SUBJECTS, journey) for _ in range(2)]
    for key, machine in enumerate(machines):
        journey._run(machine.dry_run(_timer(f"look {key}")))  # now it knows the scheduler as it is
    answers = [journey._run(machine.handle([_timer(f"fire {n}")])) for n, machine in enumerate(machines)]
    assert [answer.status for [answer] in answers] == ["ACCEPTED", "ACCEPTED"]
    assert [one.planned_at for one in fired(journey)] == [AT_TEN]


def _timer(key: str) -> Command:
    timer, actor = FirePaymentScheduler("S", AT_TEN), Actor("SYSTEM", "process:firing")
    type, body = encode(timer, tenant="t", account_id="~scheduler/S", actor=actor, idempotency_key=key)
    return decode(type, body)


def test_what_was_missed_is_one_late_run_of_the_latest_instant() -> None:
    journey = started().at(AT_TEN + 3 * DAY + timedelta(hours=1))
    journey.run_due()
    [one] = fired(journey)
    assert (one.planned_at, one.late, one.missed) == (AT_TEN + 3 * DAY, True, 3)
    assert (one.run_date, one.next_run_at) == (date(2026, 3, 5), AT_TEN + 4 * DAY)


def test_a_moment_in_a_queue_is_not_late() -> None:
    for waited, late in ((timedelta(minutes=5), False), (timedelta(minutes=6), True)):
        journey = started().at(AT_TEN + waited)
        journey.run_due()
        assert [one.late for one in fired(journey)] == [late]


def test_a_pause_is_not_made_up_for_and_its_old_timer_fires_nothing() -> None:
    journey = started()
    journey.when(DeactivatePaymentScheduler("S")).then_accepted()
    assert fired(days(journey, 3)) == []
    journey.when(ActivatePaymentScheduler("S")).then_accepted()
    journey.when(DeactivatePaymentScheduler("S")).then_accepted()
    journey.when(ActivatePaymentScheduler("S")).then_accepted()
    journey.run_processes()
    assert [one.planned_at for one in fired(days(journey, 1))] == [AT_TEN + 3 * DAY]
    assert len(runs(journey)) == 1


def test_after_its_last_run_it_rests_and_leaves_its_place() -> None:
    journey = days(started(end_date=date(2026, 3, 3)), 5)
    assert [one.next_run_at for one in fired(journey)] == [AT_TEN + DAY, None]
    assert journey.state(PaymentScheduler, "S").status == "INACTIVE"
    journey.when(ActivatePaymentScheduler("S")).then_rejected("SCHEDULER_HAS_NO_RUNS")
    journey.when(daily("T")).then_accepted()
    assert journey.state(PaymentScheduler, "T").slot == 1


def test_once_is_once() -> None:
    journey = days(started(cadence="ONCE", start_date=date(2026, 3, 4)), 10)
    assert [one.planned_at for one in fired(journey)] == [AT_TEN + 2 * DAY]


def test_a_run_now_is_besides_those_that_are_planned() -> None:
    journey = started()
    journey.when(RunPaymentScheduler("S")).then_types(PaymentSchedulerFired)
    journey.run_processes()
    days(journey, 1)
    assert [(one.planned_at, one.cause) for one in fired(journey)] == [(NOW, "ASKED"), (AT_TEN, "PLANNED")]
    assert len({run.run_id for run in runs(journey)}) == 2


def test_two_schedulers_that_fire_at_once_have_a_run_each() -> None:
    journey = started()
    journey.when(daily("T")).then_accepted()
    journey.run_processes()
    assert sorted(run.scheduler_id or "" for run in runs(days(journey, 1))) == ["S", "T"]


def test_monthly_on_the_31st_is_the_last_day_of_shorter_months() -> None:
    journey = Journey().at(datetime(2026, 1, 1, tzinfo=UTC))
    journey.when(monthly(start_date=date(2026, 1, 1))).then_accepted()
    journey.run_processes()
    days(journey, 130)
    assert [f"{run.run_date:%b %d}" for run in runs(journey)] == ["Jan 31", "Feb 28", "Mar 31", "Apr 30"]
    assert journey.ids(PaymentBatchRun) == [run.run_id for run in runs(journey)]


def test_when_the_clock_changes_every_day_has_its_run() -> None:
    journey = Journey().at(datetime(2026, 3, 27, 12, 0, tzinfo=UTC))
    journey.when(daily(time_zone=BERLIN, preferred_time="02:30")).then_accepted()
    journey.run_processes()
    days(journey, 3)
    assert [f"{one.planned_at:%d %H:%M}" for one in fired(journey)] == ["28 01:30", "29 01:00", "30 00:30"]
