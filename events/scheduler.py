"""What can happen to a payment scheduler (stream `scheduler-{id}`): when batch runs start by themselves."""

from __future__ import annotations

from datetime import date, datetime

from events.catalog import fact
from events.criteria import Criteria
from events.frozen import frozen


@frozen
class RecursOn:
    """On which day of its week, or its month, a scheduler fires."""

    day_of_month: int | str | None = None
    """1 to 31, LAST, SECOND_TO_LAST or THIRD_TO_LAST; a day that a month lacks is its last one."""
    weekday: str | None = None
    """MONDAY to SUNDAY."""
    nth: str | None = None


@frozen
class Timing:
    """When a scheduler fires: dates and times of day as they are in its time zone."""

    cadence: str
    """ONCE, DAILY, WEEKLY, MONTHLY, or RULE."""
    start_date: date
    preferred_time: str
    """HH:MM.  A skipped hour's is the first instant after it, a repeated hour's the first of the two."""
    time_zone: str
    """Of the IANA database."""
    end_date: date | None = None
    """The last day that is planned."""
    recurs_on: RecursOn | None = None
    rule: str | None = None
    """Of RULE: a recurrence rule of RFC 5545."""
    exclude_weekends_and_holidays: bool = False
    calendar: str | None = None
    """Whose holidays: a country's, or a part's of one (`DE`, `GB-SCT`), or a market's (`ECB`)."""
    excluded_day: str = "NEXT_BUSINESS_DAY"


@fact("payment_scheduler.created.v1")
class PaymentSchedulerCreated:
    """A draft: it fires nothing before it is activated."""

    scheduler_id: str
    name: str
    timing: Timing
    created_at: datetime
    criteria: Criteria = Criteria()
    """Which of the items that are due its runs collect."""
    max_items_per_run: int | None = None


@fact("payment_scheduler.updated.v1")
class PaymentSchedulerUpdated:
    """As it is from now on, whole."""

    name: str
    timing: Timing
    criteria: Criteria = Criteria()
    """Which of the items that are due its runs collect."""
    max_items_per_run: int | None = None


@fact("payment_scheduler.activated.v1")
class PaymentSchedulerActivated:
    """It fires at its next time."""

    next_run_at: datetime
    slot: int
    """Which of the tenant's places for active schedulers it has."""


@fact("payment_scheduler.deactivated.v1")
class PaymentSchedulerDeactivated:
    """It rests: what would have been due meanwhile is not made up for."""

    cause: str
    """ASKED, or NO_MORE_RUNS: its last run was fired."""
    reason: str | None = None


@fact("payment_scheduler.canceled.v1")
class PaymentSchedulerCanceled:
    """It has ended, for ever."""

    reason: str | None = None


@fact("payment_scheduler.fired.v1")
class PaymentSchedulerFired:
    """Its time has come, and its run begins."""

    run_id: str
    """It follows from the scheduler and `planned_at`: a firing has one run, whoever starts it."""
    planned_at: datetime
    run_date: date
    """Items whose date is this or earlier are collected; in the scheduler's time zone."""
    next_run_at: datetime | None = None
    late: bool = False
    """It fired later than planned: something was down."""
    missed: int = 0
    """Earlier firings that were missed, for which this one stands, too."""
    cause: str = "PLANNED"
    """PLANNED, or ASKED: somebody wanted a run now, and what is planned stays so."""


PaymentSchedulerEvent = (
    PaymentSchedulerCreated
    | PaymentSchedulerUpdated
    | PaymentSchedulerActivated
    | PaymentSchedulerDeactivated
    | PaymentSchedulerCanceled
    | PaymentSchedulerFired
)
