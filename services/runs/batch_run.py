"""A payment batch run: items that are due, selected and frozen, then collected one by one (domain 2.12).

A run is a job of its own home; what happens to an item is decided at the item's account.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar

from pydantic import Field

from events.criteria import Criteria
from events.ids import tenant_home
from events.run import PaymentBatchRunCreated, PaymentBatchRunEvent
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, not_found
from services.runs.criteria import Filter

ITEMS_MAX = 10_000_000


@dataclass(slots=True)
class PaymentBatchRun:
    KIND: ClassVar[str] = "run"

    version: int = 0
    status: str = ""
    """Empty, NEW."""
    created: PaymentBatchRunCreated | None = None

    @property
    def open(self) -> bool:
        return False


def evolve(run: PaymentBatchRun, event: PaymentBatchRunEvent) -> None:
    match event:
        case PaymentBatchRunCreated():
            run.status, run.created = "NEW", event


@command("payments.payment_batch_run.start.v1")
class StartPaymentBatchRun:
    """Collect what is due: what a scheduler names, or what these criteria do.

    Whatever was decided before this, an item or a method of a second ago, counts.  A scheduler's run is
    named by its firing, so that two machines start it once.
    """

    run_id: Id
    run_date: date
    """Items whose date is this or earlier are due."""
    criteria: Filter = Criteria()
    scheduler_id: Id | None = None
    planned_at: datetime | None = None
    is_retry: bool = False
    """Collect what failed and is to be tried again by now, instead of what is ready."""
    max_items: Annotated[int, Field(ge=1, le=ITEMS_MAX)] | None = None
    comments: FreeText | None = None


def of(states: States, run_id: str) -> PaymentBatchRun:
    """Raises `RUN_NOT_FOUND`."""
    run = states.get(PaymentBatchRun, run_id)
    if not run.status:
        raise not_found("RUN", run_id)
    return run


def home_of(run_id: str) -> str:
    return tenant_home("run", run_id)


def changed(run_id: str, fact: PaymentBatchRunEvent) -> Change:
    return Change(PaymentBatchRun, run_id, fact)


def _needs(states: States, command: StartPaymentBatchRun, context: Context) -> Needs:
    yield Need(PaymentBatchRun, command.run_id)


def start(states: States, command: StartPaymentBatchRun, context: Context) -> Changes:
    known = states.get(PaymentBatchRun, command.run_id).created
    if known is not None:
        if command.scheduler_id and _firing(known) == _firing(command):
            return []
        raise Rejected("RUN_EXISTS", f"the batch run {command.run_id} exists already")
    created = PaymentBatchRunCreated(number=context.number("PBR"), created_at=context.now, **vars(command))
    return [changed(command.run_id, created)]


def _firing(run: PaymentBatchRunCreated | StartPaymentBatchRun) -> tuple[str | None, datetime | None]:
    return run.scheduler_id, run.planned_at


def _home(command: StartPaymentBatchRun, tenant: str) -> str:
    return home_of(command.run_id)


SUBJECT = Subject(PaymentBatchRun, evolve, (Rule(StartPaymentBatchRun, _needs, start, _home),))
