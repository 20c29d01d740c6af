"""What can happen to a payment batch run: items that are due, collected together.

Its life is on the stream `run-{id}`, which whoever collects an item for it reads; what is counted, and
changes all the time, is on `runtally-{id}`; what was selected, page by page, and what became of each item
of a page, is on `runpage-{id}.{n}`.  All of them have the run's home.
"""

from __future__ import annotations

from datetime import date, datetime

from events.catalog import fact
from events.criteria import Criteria
from events.frozen import frozen
from events.money import Money


@frozen
class RunItem:
    """An item as it was selected."""

    item_id: str
    payment_schedule_id: str
    account_id: str
    number: str
    amount: Money
    attempt_no: int
    """Which attempt it is to be; if another was made meanwhile, this run makes none."""
    gateway_id: str = ""
    """Where it would be charged, as far as was known: the lane in which it is sent."""
    method_id: str | None = None
    """The saved payment method that it would be collected with, as far as was known."""


@frozen
class ItemResult:
    """What became of an item of a run, as its schedule has it."""

    item_id: str
    page_no: int
    version: int
    """The version of the schedule, by this; 0 where the run itself has decided."""
    outcome: str
    """QUEUED (behind another of its account), CLAIMED, UNKNOWN, PROCESSED, APPLIED, APPLY_FAILED, FAILED,
    CANCELED, SKIPPED; UNCLAIMED: as it was selected."""
    at: datetime
    """When that was."""
    code: str | None = None
    """Why: of what was skipped, canceled, failed or is not known."""
    message: str | None = None
    category: str | None = None
    gateway_id: str | None = None
    payment_id: str | None = None
    collected: int = 0
    """What was collected, in minor units of the item's currency."""
    applied: int = 0
    """What of it settles invoices, in minor units of the item's currency."""
    claimed_at: datetime | None = None
    """When its attempt began."""
    was: str | None = None
    """What had become of it before, by what this run knew."""


@frozen
class RunMoney:
    """What a run was to collect and has collected in one currency."""

    requested: Money
    collected: Money
    applied: Money


@frozen
class RunCount:
    """How many items: of an outcome, or of a reason."""

    name: str
    """The outcome, or the reason."""
    count: int


@frozen
class RunFailures:
    category: str
    gateway_id: str
    code: str
    """The gateway's own code, or another that says why."""
    count: int


@frozen
class RunLane:
    """Items of one page that are charged at one gateway."""

    page_no: int
    gateway_id: str
    count: int


@frozen
class LaneOpen:
    """How many items of a gateway were sent, and are not answered yet."""

    gateway_id: str
    count: int


@frozen
class RunReport:
    """How many items have which outcome, and their money, so far."""

    outcomes: tuple[RunCount, ...] = ()
    """By the words of `ItemResult.outcome`; UNCLAIMED is the rest of `filtered`."""
    filtered: int = 0
    """How many items were selected."""
    money: tuple[RunMoney, ...] = ()
    """By currency."""
    failures: tuple[RunFailures, ...] = ()
    """How many items failed, by category, gateway and code."""
    reasons: tuple[RunCount, ...] = ()
    """Codes of what was skipped or canceled."""


def counters(report: RunReport) -> dict[str, int]:
    """The counters of a run.  Each item has one outcome, so they add up:

    `filtered = processed + failed + canceled + skipped + unknown + unclaimed`,
    `processed = applied + apply_failed + awaiting_application`.
    """
    has = {each.name: each.count for each in report.outcomes}
    told = {
        "processed": sum(has.get(name, 0) for name in ("PROCESSED", "APPLIED", "APPLY_FAILED")),
        "failed": has.get("FAILED", 0),
        "canceled": has.get("CANCELED", 0),
        "skipped": has.get("SKIPPED", 0),
        "unknown": has.get("UNKNOWN", 0) + has.get("CLAIMED", 0),
    }
    return {
        "filtered": report.filtered,
        **told,
        "unclaimed": report.filtered - sum(told.values()),
        "applied": has.get("APPLIED", 0),
        "apply_failed": has.get("APPLY_FAILED", 0),
        "awaiting_application": has.get("PROCESSED", 0),
    }


@fact("payment_batch_run.created.v1")
class PaymentBatchRunCreated:
    """A run of collections: what it takes, and when it starts."""

    run_id: str
    number: str
    run_date: date
    """Items whose date is this or earlier are due (a civil date in the tenant's time zone)."""
    criteria: Criteria
    created_at: datetime
    is_retry: bool = False
    """It collects what failed and is to be tried again by now, instead of what is ready."""
    scheduler_id: str | None = None
    planned_at: datetime | None = None
    """The firing of the scheduler that it is for."""
    max_items: int | None = None
    comments: str | None = None


@fact("payment_batch_run.started.v1")
class PaymentBatchRunStarted:
    """Its first items are selected."""

    position: int
    """What the log had reached where they were selected from, at least."""
    started_at: datetime


@fact("payment_batch_run.selection_ended.v1")
class PaymentBatchRunSelectionEnded:
    """Everything that it is to collect is frozen."""

    count: int
    pages: int
    """On how many pages."""


@fact("payment_batch_run.stopped.v1")
class PaymentBatchRunStopped:
    """No further item is claimed for it; what is on its way goes on."""

    reason: str | None
    by: str


@fact("payment_batch_run.resumed.v1")
class PaymentBatchRunResumed:
    """It goes on where it was stopped."""

    turn: int
    by: str


@fact("payment_batch_run.failed.v1")
class PaymentBatchRunFailed:
    """Its items could not be selected; it may be resumed."""

    code: str
    """Why, as a code."""
    message: str


@fact("payment_batch_run.canceled.v1")
class PaymentBatchRunCanceled:
    """It ends here: what was not claimed stays ready for others."""

    report: RunReport
    reason: str | None
    by: str


@fact("payment_batch_run.completed.v1")
class PaymentBatchRunCompleted:
    """Each of its items has a result."""

    report: RunReport
    started_at: datetime
    completed_at: datetime
    """When the last of them had its result."""


@fact("payment_batch_run.amended.v1")
class PaymentBatchRunAmended:
    """What came late of a run that was over, and what its report says now."""

    report: RunReport
    results: tuple[ItemResult, ...]


PaymentBatchRunEvent = (
    PaymentBatchRunCreated
    | PaymentBatchRunStarted
    | PaymentBatchRunSelectionEnded
    | PaymentBatchRunStopped
    | PaymentBatchRunResumed
    | PaymentBatchRunFailed
    | PaymentBatchRunCanceled
    | PaymentBatchRunCompleted
    | PaymentBatchRunAmended
)


@fact("payment_batch_run.items_frozen.v1")
class PaymentBatchRunItemsFrozen:
    """A page of what was selected, in the order of the run (stream `runpage-{id}.{n}`)."""

    run_id: str
    page_no: int
    items: tuple[RunItem, ...]


@fact("payment_batch_run.item_results_recorded.v1")
class PaymentBatchRunItemResultsRecorded:
    """What became of items of a page."""

    run_id: str
    results: tuple[ItemResult, ...]


RunPageEvent = PaymentBatchRunItemsFrozen | PaymentBatchRunItemResultsRecorded


@fact("payment_batch_run.items_selected.v1")
class PaymentBatchRunItemsSelected:
    """A page was selected and frozen (stream `runtally-{id}`)."""

    page_no: int
    count: int
    """How many items the page has."""
    cursor: str
    """Where the next page begins: behind this item."""
    lanes: tuple[RunLane, ...]
    report: RunReport
    """As it is with these."""


@fact("payment_batch_run.items_released.v1")
class PaymentBatchRunItemsReleased:
    """What is to be collected next: the items of these lanes that are not claimed."""

    run_id: str
    turn: int
    lanes: tuple[RunLane, ...]


@fact("payment_batch_run.counted.v1")
class PaymentBatchRunCounted:
    """What became of some items changed the count."""

    run_id: str
    report: RunReport
    lanes: tuple[RunLane, ...] = ()
    """Of those that changed: how many are unclaimed."""
    open: tuple[LaneOpen, ...] = ()
    """Of those that changed."""


@fact("payment_batch_run.checked.v1")
class PaymentBatchRunChecked:
    """Whether it moves was looked at; what keeps a lane waiting for nothing is not waited for any longer."""

    run_id: str
    check_no: int
    next_at: datetime
    """When it is looked at again."""
    overlooked: tuple[str, ...] = ()
    """Gateways."""


RunTallyEvent = (
    PaymentBatchRunItemsSelected
    | PaymentBatchRunItemsReleased
    | PaymentBatchRunCounted
    | PaymentBatchRunChecked
)
