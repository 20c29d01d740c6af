"""What a seed's people do with batch runs."""

from __future__ import annotations

from datetime import timedelta

from events.criteria import Criteria, Criterion
from services.runs.batch_run import StartPaymentBatchRun, home_of
from tests.simulation.mistakes import provokes
from tests.simulation.workload import DAY, Said, Users, says


def _start(users: Users, run: StartPaymentBatchRun) -> Said:
    return Said(run, home_of(run.run_id), f"start {users.number}")


@says(2)
def start_run(users: Users, account: str) -> Said:
    """Of everything that is due, or of one currency."""
    chosen, number = users.chosen, users.number
    pounds = Criteria(criteria=(Criterion("CURRENCY", "EQUALS", ("GBP",)),))
    criteria = chosen.choice((Criteria(), Criteria(), pounds))
    run_date = DAY + timedelta(days=chosen.randint(0, 90))
    return _start(users, StartPaymentBatchRun(f"B{number}", run_date, criteria))


@provokes("RUN_EXISTS")
def start_again(users: Users, account: str) -> Said | None:
    known = users.pick_id("run")
    return _start(users, StartPaymentBatchRun(known, DAY)) if known else None
