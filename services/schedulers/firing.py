"""Firing: a scheduler's time has come, or somebody wants a run now.

Invariant: an instant that was planned is fired once, by whichever machine; what was missed while something
was down is one run, of the latest of those instants, and says that it is late.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from events import ids
from events.scheduler import PaymentSchedulerDeactivated, PaymentSchedulerFired
from services.commands import Id, command
from services.decision import Changes, Context, Need, Needs, Rule, States
from services.errors import invalid_state
from services.schedulers import planning, recurrence
from services.schedulers.scheduler import PaymentScheduler, changed, home, known, of

LATE_AFTER = timedelta(minutes=5)
"""A firing that waited so long in a queue is as it should be; one that waited longer says so."""


@command("payments.payment_scheduler.fire.v1")
class FirePaymentScheduler:
    """The instant that was planned has come."""

    scheduler_id: Id
    planned_at: datetime


@command("payments.payment_scheduler.run.v1")
class RunPaymentScheduler:
    """A run now, besides those that are planned."""

    scheduler_id: Id


def _needs(states: States, command: FirePaymentScheduler | RunPaymentScheduler, context: Context) -> Needs:
    yield Need(PaymentScheduler, command.scheduler_id)


def fire(states: States, command: FirePaymentScheduler, context: Context) -> Changes:
    id, scheduler = command.scheduler_id, known(states, command.scheduler_id)
    if scheduler.next_run_at != command.planned_at:
        return []
    planned_at, missed = recurrence.latest(scheduler.times, command.planned_at, context.now)
    late = missed > 0 or context.now - planned_at > LATE_AFTER
    fired = PaymentSchedulerFired(
        ids.run_id(context.tenant, id, planned_at),
        planned_at,
        recurrence.local_date(scheduler.times, context.now if late else planned_at),
        recurrence.next_after(scheduler.times, planned_at),
        late,
        missed,
    )
    if fired.next_run_at is not None:
        return [changed(id, fired)]
    ended = changed(id, PaymentSchedulerDeactivated("NO_MORE_RUNS"))
    return [changed(id, fired), ended, *planning.released(scheduler, id)]


def run_now(states: States, command: RunPaymentScheduler, context: Context) -> Changes:
    scheduler = of(states, command.scheduler_id)
    if scheduler.status != "ACTIVE":
        raise invalid_state("payment scheduler", scheduler.status, ["ACTIVE"])
    fired = PaymentSchedulerFired(
        context.new_id("run"),
        context.now,
        recurrence.local_date(scheduler.times, context.now),
        scheduler.next_run_at,
        cause="ASKED",
    )
    return [changed(command.scheduler_id, fired)]


RULES = (Rule(FirePaymentScheduler, _needs, fire, home), Rule(RunPaymentScheduler, _needs, run_now, home))
