"""What a seed's people do with batch runs: begun, two at once, stopped, resumed, canceled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from events.criteria import Criteria, Criterion
from services.runs.batch_run import (
    FailPaymentBatchRun,
    PaymentBatchRun,
    StartPaymentBatchRun,
    StopPaymentBatchRun,
    home_of,
)
from services.runs.recording import CancelPaymentBatchRun, ResumePaymentBatchRun
from tests.simulation.mistakes import provokes
from tests.simulation.workload import DAY, Said, Users, says


def _said(users: Users, command: Any) -> Said:
    return Said(command, home_of(command.run_id), f"{type(command).__name__} {users.number}")


@says(5)
def start_run(users: Users, account: str) -> Said:
    """Of everything that is due, of one currency, or of a region; the one before may still be going."""
    chosen, number = users.chosen, users.number
    pounds = Criteria(criteria=(Criterion("CURRENCY", "EQUALS", ("GBP",)),))
    north = Criteria("MATCH_NONE", (Criterion("CUSTOM_FIELD.region", "EQUALS", ("north",)),))
    criteria = chosen.choice((Criteria(), Criteria(), pounds, north))
    run_date = DAY + timedelta(days=chosen.randint(0, 90))
    limit, again = chosen.choice((None, None, 2)), chosen.random() < 0.2
    run = StartPaymentBatchRun(f"B{number}", run_date, criteria, max_items=limit, is_retry=again)
    return _said(users, run)


def _run(users: Users, *statuses: str) -> str | None:
    def wanted(run: PaymentBatchRun) -> bool:
        return run.status in statuses

    return users.pick_id("run", wanted)


@says(4)
def meddle(users: Users, account: str) -> Said | None:
    going = _run(users, "NEW", "STARTED")
    if going is None:
        paused = _run(users, "STOPPED", "FAILED")
        return _said(users, ResumePaymentBatchRun(paused)) if paused else None
    stop = StopPaymentBatchRun(going, "lunch")
    cancel, fail = CancelPaymentBatchRun(going, "the wrong day"), FailPaymentBatchRun(going, "X", "no idea")
    return _said(users, users.chosen.choice((stop, stop, cancel, fail)))


@says(3)
def resume(users: Users, account: str) -> Said | None:
    paused = _run(users, "STOPPED", "FAILED")
    return _said(users, ResumePaymentBatchRun(paused)) if paused else None


@provokes("RUN_EXISTS")
def start_again(users: Users, account: str) -> Said | None:
    known = users.pick_id("run")
    return _said(users, StartPaymentBatchRun(known, DAY)) if known else None


@provokes("RUN_NOT_FOUND")
def stop_nothing(users: Users, account: str) -> Said:
    return _said(users, StopPaymentBatchRun("no-such"))
