"""A payment scheduler: which runs it has fired, and when it fires next.

Invariant: of one that is active, `next_run_at` is recorded, and only a firing for that instant fires: a timer
that is told twice, or of before a pause, does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from events.criteria import Criteria
from events.ids import tenant_home
from events.scheduler import (
    PaymentSchedulerActivated,
    PaymentSchedulerCanceled,
    PaymentSchedulerCreated,
    PaymentSchedulerDeactivated,
    PaymentSchedulerEvent,
    PaymentSchedulerFired,
    PaymentSchedulerUpdated,
    Timing,
)
from services.decision import Change, States
from services.errors import Rejected, not_found

EVERYTHING = Criteria()


@dataclass(slots=True)
class PaymentScheduler:
    KIND: ClassVar[str] = "scheduler"

    version: int = 0
    status: str = ""
    """Empty, DRAFT, ACTIVE, INACTIVE, CANCELED."""
    name: str = ""
    timing: Timing | None = None
    criteria: Criteria = EVERYTHING
    max_items_per_run: int | None = None
    next_run_at: datetime | None = None
    """While it is active."""
    slot: int = 0
    """While it is active: its place among the tenant's active ones."""

    @property
    def open(self) -> bool:
        return False

    @property
    def times(self) -> Timing:
        assert self.timing is not None, "it was created with one"
        return self.timing


def evolve(scheduler: PaymentScheduler, event: PaymentSchedulerEvent) -> None:
    match event:
        case PaymentSchedulerCreated() | PaymentSchedulerUpdated():
            scheduler.status = scheduler.status if scheduler.status else "DRAFT"
            scheduler.name, scheduler.timing, scheduler.criteria = event.name, event.timing, event.criteria
            scheduler.max_items_per_run = event.max_items_per_run
        case PaymentSchedulerActivated():
            scheduler.status, scheduler.slot = "ACTIVE", event.slot
            scheduler.next_run_at = event.next_run_at
        case PaymentSchedulerDeactivated():
            scheduler.status, scheduler.slot, scheduler.next_run_at = "INACTIVE", 0, None
        case PaymentSchedulerCanceled():
            scheduler.status, scheduler.slot, scheduler.next_run_at = "CANCELED", 0, None
        case PaymentSchedulerFired():
            if event.cause == "PLANNED":
                scheduler.next_run_at = event.next_run_at


def known(states: States, scheduler_id: str) -> PaymentScheduler:
    """Raises `SCHEDULER_NOT_FOUND`."""
    scheduler = states.get(PaymentScheduler, scheduler_id)
    if not scheduler.status:
        raise not_found("SCHEDULER", scheduler_id)
    return scheduler


def of(states: States, scheduler_id: str) -> PaymentScheduler:
    """One that has not ended.  Raises `SCHEDULER_NOT_FOUND`, `SCHEDULER_TERMINAL`."""
    scheduler = known(states, scheduler_id)
    if scheduler.status == "CANCELED":
        raise Rejected("SCHEDULER_TERMINAL", "the payment scheduler is CANCELED, for ever")
    return scheduler


def changed(scheduler_id: str, fact: PaymentSchedulerEvent) -> Change:
    return Change(PaymentScheduler, scheduler_id, fact)


def home_of(scheduler_id: str) -> str:
    return tenant_home("scheduler", scheduler_id)


def home(command: Any, tenant: str) -> str:
    return home_of(command.scheduler_id)
