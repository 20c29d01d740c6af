"""What can happen to a payment batch run (stream `run-{id}`): items that are due, collected together."""

from __future__ import annotations

from datetime import date, datetime

from events.catalog import fact
from events.criteria import Criteria


@fact("payment_batch_run.created.v1")
class PaymentBatchRunCreated:
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


PaymentBatchRunEvent = PaymentBatchRunCreated
