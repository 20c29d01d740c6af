"""A payment batch run: items that are due, selected and frozen, then collected one by one.

A run is a job of its own home; what happens to an item is decided at the item's account, where this
stream is read: so nothing is claimed for a run that was stopped.

    NEW -> STARTED -> COMPLETED       STARTED -> STOPPED, FAILED -> STARTED again; anything -> CANCELED
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar

from pydantic import Field

from events.criteria import Criteria
from events.ids import tenant_home
from events.run import (
    PaymentBatchRunAmended,
    PaymentBatchRunCanceled,
    PaymentBatchRunCompleted,
    PaymentBatchRunCreated,
    PaymentBatchRunEvent,
    PaymentBatchRunFailed,
    PaymentBatchRunResumed,
    PaymentBatchRunSelectionEnded,
    PaymentBatchRunStarted,
    PaymentBatchRunStopped,
)
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found
from services.runs.criteria import Filter

ITEMS_MAX = 10_000_000
GOING = frozenset({"NEW", "STARTED"})
PAUSED = frozenset({"STOPPED", "FAILED"})


@dataclass(slots=True)
class PaymentBatchRun:
    KIND: ClassVar[str] = "run"

    version: int = 0
    status: str = ""
    """Empty, NEW, STARTED, STOPPED, FAILED, COMPLETED, CANCELED."""
    created: PaymentBatchRunCreated | None = None
    started_at: datetime | None = None
    selected: bool = False
    """Everything that it is to collect is frozen."""
    turn: int = 1
    """How often it was begun, or resumed."""

    @property
    def open(self) -> bool:
        return False


def evolve(run: PaymentBatchRun, event: PaymentBatchRunEvent) -> None:
    match event:
        case PaymentBatchRunCreated():
            run.status, run.created = "NEW", event
        case PaymentBatchRunStarted():
            run.status, run.started_at = "STARTED", event.started_at
        case PaymentBatchRunSelectionEnded():
            run.selected = True
        case PaymentBatchRunStopped():
            run.status = "STOPPED"
        case PaymentBatchRunResumed():
            run.status, run.turn = "STARTED" if run.started_at else "NEW", event.turn
        case PaymentBatchRunFailed():
            run.status = "FAILED"
        case PaymentBatchRunCanceled():
            run.status = "CANCELED"
        case PaymentBatchRunCompleted():
            run.status = "COMPLETED"
        case PaymentBatchRunAmended():
            pass


@command("payments.payment_batch_run.start.v1")
class StartPaymentBatchRun:
    """Collect what is due: what a scheduler names, or what these criteria do.

    Whatever was decided before this, an item or a method of a second ago, counts.  A scheduler's run is
    named by its firing, so that two machines start it once.
    """

    run_id: Id
    """An id of the caller's own, unique in the tenant."""
    run_date: date
    """Items whose date is this or earlier are due."""
    criteria: Filter = Criteria()
    """Which of the items that are due it collects; without any, all of them."""
    scheduler_id: Id | None = None
    """The scheduler that it is for; nothing, where somebody asks for it."""
    planned_at: datetime | None = None
    """The firing of the scheduler that it is for."""
    is_retry: bool = False
    """Collect what failed and is to be tried again by now, instead of what is ready."""
    max_items: Annotated[int, Field(ge=1, le=ITEMS_MAX)] | None = None
    comments: FreeText | None = None


@command("payments.payment_batch_run.stop.v1")
class StopPaymentBatchRun:
    """Claim nothing more for it; what is with a gateway goes on, and it can be resumed."""

    run_id: Id
    reason: FreeText | None = None


@command("payments.payment_batch_run.fail.v1")
class FailPaymentBatchRun:
    """Its items cannot be selected now; it can be resumed."""

    run_id: Id
    code: FreeText
    """Why, as a code."""
    message: FreeText


def of(states: States, run_id: str) -> PaymentBatchRun:
    """Raises `RUN_NOT_FOUND`."""
    run = states.get(PaymentBatchRun, run_id)
    if not run.status:
        raise not_found("RUN", run_id)
    return run


def created_of(states: States, run_id: str) -> PaymentBatchRunCreated:
    created = of(states, run_id).created
    assert created is not None
    return created


def refusal(states: States, run_id: str) -> str | None:
    """Why nothing is claimed for it: RUN_STOPPED, or RUN_ENDED.  Raises `RUN_NOT_FOUND`."""
    status = of(states, run_id).status
    if status in GOING:
        return None
    return "RUN_STOPPED" if status in PAUSED else "RUN_ENDED"


def home_of(run_id: str) -> str:
    return tenant_home("run", run_id)


def changed(run_id: str, fact: PaymentBatchRunEvent) -> Change:
    return Change(PaymentBatchRun, run_id, fact)


_OfRun = StartPaymentBatchRun | StopPaymentBatchRun | FailPaymentBatchRun


def _needs(states: States, command: _OfRun, context: Context) -> Needs:
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


def stop(states: States, command: StopPaymentBatchRun, context: Context) -> Changes:
    run = of(states, command.run_id)
    if run.status == "STOPPED":
        return []
    check_status(run, *GOING, "FAILED")
    return [changed(command.run_id, PaymentBatchRunStopped(command.reason, context.actor.id))]


def fail(states: States, command: FailPaymentBatchRun, context: Context) -> Changes:
    run = of(states, command.run_id)
    if run.status not in GOING or run.selected:
        return []
    return [changed(command.run_id, PaymentBatchRunFailed(command.code, command.message))]


def check_status(run: PaymentBatchRun, *allowed: str) -> None:
    if run.status not in allowed:
        raise invalid_state("batch run", run.status, allowed)


def home(command: _OfRun, tenant: str) -> str:
    return home_of(command.run_id)


RULES = (
    Rule(StartPaymentBatchRun, _needs, start, home),
    Rule(StopPaymentBatchRun, _needs, stop, home),
    Rule(FailPaymentBatchRun, _needs, fail, home),
)
