"""Firing: a scheduler's next instant is a timer, and what it fires is a batch run.

active, or fired ---> fire again when it is time, then
fired --------------> start the run
"""

from __future__ import annotations

from collections.abc import Iterable

from events.scheduler import PaymentSchedulerActivated, PaymentSchedulerFired
from services.decision import Need, Needs, States
from services.processes.process import Process, Send, Trigger
from services.runs import batch_run
from services.runs.batch_run import StartPaymentBatchRun
from services.schedulers.firing import FirePaymentScheduler
from services.schedulers.scheduler import PaymentScheduler


def needs(states: States, trigger: Trigger) -> Needs:
    if isinstance(trigger.fact, PaymentSchedulerFired):
        yield Need(PaymentScheduler, trigger.stream_id)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    fact: PaymentSchedulerActivated | PaymentSchedulerFired = trigger.fact
    if isinstance(fact, PaymentSchedulerFired):
        yield _run(states, trigger, fact)
        if fact.cause == "ASKED":
            return
    if fact.next_run_at is not None:
        key = f"firing:{trigger.stream_id}:fire:{trigger.version}"
        timer = FirePaymentScheduler(trigger.stream_id, fact.next_run_at)
        yield Send(timer, trigger.account_id, key, fact.next_run_at)


def _run(states: States, trigger: Trigger, fired: PaymentSchedulerFired) -> Send:
    scheduler = states.get(PaymentScheduler, trigger.stream_id)
    start = StartPaymentBatchRun(
        fired.run_id,
        fired.run_date,
        scheduler.criteria,
        trigger.stream_id,
        fired.planned_at,
        max_items=scheduler.max_items_per_run,
        comments=scheduler.name,
    )
    return Send(start, batch_run.home_of(fired.run_id), f"firing:{fired.run_id}:start:1")


PROCESS = Process("firing", (PaymentSchedulerActivated, PaymentSchedulerFired), needs, react)
