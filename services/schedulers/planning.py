"""Planning: schedulers are created, changed, activated, paused, resumed and ended.

Invariants: an active scheduler has a run to come, and a place of its own among the tenant's active ones;
what decides about runs changes only while none can begin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from events.criteria import Criteria
from events.scheduler import (
    PaymentSchedulerActivated,
    PaymentSchedulerCanceled,
    PaymentSchedulerCreated,
    PaymentSchedulerDeactivated,
    PaymentSchedulerUpdated,
    RecursOn,
    Timing,
)
from services.commands import FreeText, Id, Text, command
from services.decision import (
    Change,
    Changes,
    Claiming,
    Context,
    Draft,
    Names,
    Need,
    Needs,
    Releasing,
    Rule,
    States,
)
from services.errors import Rejected, invalid_state
from services.runs.batch_run import ITEMS_MAX
from services.runs.criteria import Filter
from services.schedulers import recurrence, timing
from services.schedulers.scheduler import PaymentScheduler, changed, evolve, home, of
from services.tenants import tenant_settings

SLOT = "scheduler_slot"
SLOTS = tuple(str(number) for number in range(1, tenant_settings.ACTIVE_SCHEDULERS_MAX + 1))
"""Names, of which each active scheduler has one: so that two that are activated at once are counted."""

Cadence = Literal["ONCE", "DAILY", "WEEKLY", "MONTHLY", "RULE"]
ExcludedDay = Literal["NEXT_BUSINESS_DAY", "PREVIOUS_BUSINESS_DAY", "SKIP"]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
ItemsMax = Annotated[int, Field(ge=1, le=ITEMS_MAX)]


@dataclass(frozen=True)
class Day:
    """`day_of_month`, or `weekday` (of a month: its `nth`)."""

    day_of_month: (
        Annotated[int, Field(ge=1, le=31)] | Literal["LAST", "SECOND_TO_LAST", "THIRD_TO_LAST"] | None
    ) = None
    """1 to 31, LAST, SECOND_TO_LAST or THIRD_TO_LAST; a day that a month lacks is its last one."""
    weekday: Literal["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"] | None = (
        None
    )
    """Of WEEKLY, and of MONTHLY with `nth`."""
    nth: Literal["FIRST", "SECOND", "THIRD", "FOURTH", "LAST"] | None = None


@command("payments.payment_scheduler.create.v1")
class CreatePaymentScheduler:
    """When batch runs start by themselves, and what they collect.

    `start_date` and `preferred_time` are in `time_zone`, the tenant's own unless it is named.  WEEKLY needs
    `recurs_on.weekday`; MONTHLY an `end_date`, `recurs_on` and `criteria`; RULE a `rule` of RFC 5545.
    """

    scheduler_id: Id
    """An id of the caller's own, unique in the tenant."""
    name: FreeText
    cadence: Cadence
    """ONCE; DAILY; WEEKLY, on `recurs_on.weekday`; MONTHLY, by `recurs_on`, until `end_date`, with
    `criteria`; or RULE, by `rule`."""
    start_date: date | None = None
    """The first day on which it may fire; needed."""
    preferred_time: TimeOfDay | None = None
    """HH:MM, the time of day at which it fires; needed."""
    time_zone: Text | None = None
    end_date: date | None = None
    recurs_on: Day | None = None
    """WEEKLY: on which weekday; MONTHLY: on which day of the month, or which weekday of it."""
    rule: Text | None = None
    """Of RULE: a recurrence rule of RFC 5545, such as `FREQ=MONTHLY;BYMONTHDAY=1,15`."""
    exclude_weekends_and_holidays: bool = False
    calendar: Text | None = None
    """Whose holidays: `DE`, `GB-SCT`, `ECB`; without one only weekends are excluded."""
    excluded_day: ExcludedDay = "NEXT_BUSINESS_DAY"
    """What becomes of a day that is excluded: it moves to the next or the previous business day, or is left
    out (SKIP)."""
    criteria: Filter = Criteria()
    max_items_per_run: ItemsMax | None = None
    status: Literal["DRAFT", "ACTIVE"] = "DRAFT"
    """DRAFT: it fires nothing before it is activated; ACTIVE: it begins at once."""


@command("payments.payment_scheduler.update.v1")
class UpdatePaymentScheduler:
    """Another name, timing or selection, while it is a draft or inactive; another status at any time.

    What is not named stays; a cadence that is named takes only the fields that are named with it.
    """

    scheduler_id: Id
    name: FreeText | None = None
    cadence: Cadence | None = None
    start_date: date | None = None
    preferred_time: TimeOfDay | None = None
    time_zone: Text | None = None
    end_date: date | None = None
    no_end: bool = False
    """It has no end date any more."""
    recurs_on: Day | None = None
    rule: Text | None = None
    """Of RULE: a recurrence rule of RFC 5545, such as `FREQ=MONTHLY;BYMONTHDAY=1,15`."""
    exclude_weekends_and_holidays: bool | None = None
    calendar: Text | None = None
    """Whose holidays: `DE`, `GB-SCT`, `ECB`."""
    excluded_day: ExcludedDay | None = None
    criteria: Filter | None = None
    max_items_per_run: ItemsMax | None = None
    status: Literal["ACTIVE", "INACTIVE", "CANCELED"] | None = None
    """ACTIVE: it fires as it is planned; INACTIVE: it rests; CANCELED: it has ended, for ever."""
    reason: FreeText | None = None


@command("payments.payment_scheduler.activate.v1")
class ActivatePaymentScheduler:
    """For the first time, or after a pause: from now on it fires as it is planned."""

    scheduler_id: Id


@command("payments.payment_scheduler.deactivate.v1")
class DeactivatePaymentScheduler:
    """A pause: what would have been due meanwhile is not made up for."""

    scheduler_id: Id
    reason: FreeText | None = None


@command("payments.payment_scheduler.cancel.v1")
class CancelPaymentScheduler:
    """Its end, for ever."""

    scheduler_id: Id
    reason: FreeText | None = None


_Named = (
    CreatePaymentScheduler
    | UpdatePaymentScheduler
    | ActivatePaymentScheduler
    | DeactivatePaymentScheduler
    | CancelPaymentScheduler
)


def _needs(states: States, command: _Named, context: Context) -> Needs:
    yield Need(PaymentScheduler, command.scheduler_id)
    yield tenant_settings.needed(context)
    if isinstance(command, ActivatePaymentScheduler) or getattr(command, "status", None) == "ACTIVE":
        yield Names(SLOT, SLOTS)


# -- as it is planned


def create(states: States, command: CreatePaymentScheduler, context: Context) -> Changes:
    id = command.scheduler_id
    if states.get(PaymentScheduler, id).status:
        raise Rejected("SCHEDULER_EXISTS", f"the payment scheduler {id} exists already")
    created = PaymentSchedulerCreated(
        id,
        command.name,
        _timing(command, states, context),
        context.now,
        command.criteria,
        command.max_items_per_run,
    )
    timing.check(created.timing, created.criteria)
    draft = Draft(states, {PaymentScheduler: evolve})
    draft.record(PaymentScheduler, id, created)
    if command.status == "ACTIVE":
        draft.extend(_activated(draft.get(PaymentScheduler, id), id, states, context))
    return draft.changes


def _timing(command: CreatePaymentScheduler, states: States, context: Context) -> Timing:
    if command.start_date is None or command.preferred_time is None:
        field = "preferred_time" if command.start_date else "start_date"
        raise timing.missing(field, command.cadence)
    return Timing(
        command.cadence,
        command.start_date,
        command.preferred_time,
        command.time_zone or tenant_settings.of(states, context)["time_zone"],
        command.end_date,
        _recurs_on(command.recurs_on),
        command.rule,
        command.exclude_weekends_and_holidays,
        command.calendar,
        command.excluded_day,
    )


def _recurs_on(day: Day | None) -> RecursOn | None:
    return RecursOn(**vars(day)) if day else None


def update(states: States, command: UpdatePaymentScheduler, context: Context) -> Changes:
    id, scheduler = command.scheduler_id, of(states, command.scheduler_id)
    draft = Draft(states, {PaymentScheduler: evolve})
    updated = _updated(scheduler, command)
    if updated != PaymentSchedulerUpdated(*_as_it_is(scheduler)):
        if scheduler.status == "ACTIVE":
            raise invalid_state("payment scheduler", scheduler.status, ["DRAFT", "INACTIVE"])
        timing.check(updated.timing, updated.criteria)
        draft.record(PaymentScheduler, id, updated)
    after = draft.get(PaymentScheduler, id)
    match command.status:
        case "ACTIVE":
            draft.extend(_activated(after, id, states, context))
        case "INACTIVE":
            draft.extend(_deactivated(after, id, command.reason))
        case "CANCELED":
            draft.extend(_canceled(after, id, command.reason))
        case None if not draft.changes:
            raise Rejected("NOTHING_TO_CHANGE", "the payment scheduler is as this says already")
        case _:
            pass
    return draft.changes


def _as_it_is(scheduler: PaymentScheduler) -> tuple[str, Timing, Criteria, int | None]:
    return scheduler.name, scheduler.times, scheduler.criteria, scheduler.max_items_per_run


def _updated(scheduler: PaymentScheduler, command: UpdatePaymentScheduler) -> PaymentSchedulerUpdated:
    name, times, criteria, items_max = _as_it_is(scheduler)
    if command.cadence is not None and command.cadence != times.cadence:
        times = replace(times, recurs_on=None, rule=None)
    given: dict[str, Any] = {
        "cadence": command.cadence,
        "start_date": command.start_date,
        "preferred_time": command.preferred_time,
        "time_zone": command.time_zone,
        "end_date": command.end_date,
        "recurs_on": _recurs_on(command.recurs_on),
        "rule": command.rule,
        "exclude_weekends_and_holidays": command.exclude_weekends_and_holidays,
        "calendar": command.calendar,
        "excluded_day": command.excluded_day,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if command.no_end:
        changes["end_date"] = None
    if command.exclude_weekends_and_holidays is False:
        changes["calendar"] = command.calendar
    return PaymentSchedulerUpdated(
        command.name or name,
        replace(times, **changes),
        criteria if command.criteria is None else command.criteria,
        command.max_items_per_run or items_max,
    )


# -- whether it fires


def activate(states: States, command: ActivatePaymentScheduler, context: Context) -> Changes:
    return _activated(of(states, command.scheduler_id), command.scheduler_id, states, context)


def _activated(scheduler: PaymentScheduler, id: str, states: States, context: Context) -> Changes:
    if scheduler.status == "ACTIVE":
        raise invalid_state("payment scheduler", scheduler.status, ["DRAFT", "INACTIVE"])
    next_run_at = recurrence.next_after(scheduler.times, context.now)
    if next_run_at is None:
        raise Rejected("SCHEDULER_HAS_NO_RUNS", "it has no run to come: change its dates, or its rule")
    slot = _free_slot(states, context)
    claiming = Claiming(SLOT, slot, id, "SCHEDULER_LIMIT_REACHED")
    return [claiming, changed(id, PaymentSchedulerActivated(next_run_at, int(slot)))]


def _free_slot(states: States, context: Context) -> str:
    free = [slot for slot in SLOTS if states.owner(SLOT, slot) is None]
    limit = tenant_settings.of(states, context)["active_schedulers_max"]
    if len(SLOTS) - len(free) >= limit:
        raise Rejected("SCHEDULER_LIMIT_REACHED", f"{limit} payment schedulers are active", limit=limit)
    return free[0]


def deactivate(states: States, command: DeactivatePaymentScheduler, context: Context) -> Changes:
    return _deactivated(of(states, command.scheduler_id), command.scheduler_id, command.reason)


def _deactivated(scheduler: PaymentScheduler, id: str, reason: str | None) -> Changes:
    if scheduler.status != "ACTIVE":
        raise invalid_state("payment scheduler", scheduler.status, ["ACTIVE"])
    return [changed(id, PaymentSchedulerDeactivated("ASKED", reason)), *released(scheduler, id)]


def cancel(states: States, command: CancelPaymentScheduler, context: Context) -> Changes:
    return _canceled(of(states, command.scheduler_id), command.scheduler_id, command.reason)


def _canceled(scheduler: PaymentScheduler, id: str, reason: str | None) -> Changes:
    return [changed(id, PaymentSchedulerCanceled(reason)), *released(scheduler, id)]


def released(scheduler: PaymentScheduler, id: str) -> Iterable[Change | Releasing]:
    """Its place among the active ones, for another."""
    return [Releasing(SLOT, str(scheduler.slot), id)] if scheduler.slot else []


RULES = (
    Rule(CreatePaymentScheduler, _needs, create, home),
    Rule(UpdatePaymentScheduler, _needs, update, home),
    Rule(ActivatePaymentScheduler, _needs, activate, home),
    Rule(DeactivatePaymentScheduler, _needs, deactivate, home),
    Rule(CancelPaymentScheduler, _needs, cancel, home),
)
