"""A cycle: where an item stands between a failure and what ends it.  A value, replaced and never changed.

Invariant: `made` counts automatic attempts only, those that a person asked for never; an
attempt is planned, or the cycle has ended, or an attempt is under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from events.retrying import (
    CollectionFailed,
    ItemRetriesExhausted,
    ItemRetriesExtended,
    ItemRetriesStopped,
    ItemRetryPostponed,
    ItemRetryScheduled,
    ItemRetrySkipped,
    MatchedRule,
    RetryTerms,
)
from events.schedule import (
    PaymentScheduleItemApplied,
    PaymentScheduleItemCanceled,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemPaymentFailed,
    PaymentScheduleItemProcessed,
)

TRIED_MAX = 50
"""So many of an item's failures are remembered: more than any network counts."""


class Wait(NamedTuple):
    """What a network, or a gateway, says about trying a method again."""

    until: datetime
    advice: str | None = None
    """The network's code, where it gave one."""

    def __str__(self) -> str:
        return f"its network says to wait ({self.advice})" if self.advice else "its gateway says to wait"


class Tried(NamedTuple):
    method_id: str
    amount: int
    at: datetime
    payment_id: str
    wait: Wait | None = None


@dataclass(frozen=True)
class Cycle:
    no: int = 0
    rule: MatchedRule | None = None
    """The latest that was met; its set and version are those of the whole cycle."""
    terms: RetryTerms | None = None
    first_failed_at: datetime | None = None
    latest: PaymentScheduleItemPaymentFailed | None = None
    made: int = 0
    extra: int = 0
    planned: ItemRetryScheduled | None = None
    due_at: datetime | None = None
    """When what is planned is to be made."""
    postponed: int = 0
    """How often it was, since it was planned."""
    kept_back: str | None = None
    """By what it was, the last time."""
    carried_out: ItemRetryScheduled | None = None
    """The plan of the attempt that is under way, or was last; None where a person asked for it."""
    ended: str | None = None
    instead: str | None = None
    """The method that the account paid with since it was given up: it goes on with that."""
    tried: tuple[Tried, ...] = ()

    @property
    def spent(self) -> bool:
        """The one attempt that a hard decline had left was made."""
        return self.carried_out is not None and self.carried_out.after_hard_decline

    def tried_with(self, method_id: str, amount: int) -> dict[str, datetime]:
        """When this amount was refused with a method, by payment."""
        mine = (one for one in self.tried if (one.method_id, one.amount) == (method_id, amount))
        return {one.payment_id: one.at for one in mine}

    def wait_for(self, method_id: str) -> Wait | None:
        """The longest that somebody said to wait before this method is tried again."""
        waits = (one.wait for one in self.tried if one.method_id == method_id and one.wait)
        return max(waits, key=lambda wait: wait.until, default=None)

    @property
    def has_failed(self) -> bool:
        return self.latest is not None and self.ended != "RECOVERED"


NONE_BEGUN = Cycle()

_WITHOUT_FAILURE = (
    PaymentScheduleItemClaimed,
    PaymentScheduleItemProcessed,
    PaymentScheduleItemApplied,
    PaymentScheduleItemCanceled,
)
"""These begin none."""


def evolve(cycle: Cycle, event: object, requested: int) -> Cycle:
    """The cycle of an item that asks for `requested`, after a fact of its stream."""
    if cycle is NONE_BEGUN and isinstance(event, _WITHOUT_FAILURE):
        return cycle
    match event:
        case PaymentScheduleItemClaimed():
            return _claimed(cycle, event)
        case PaymentScheduleItemPaymentFailed():
            return _failed(cycle, event, requested)
        case PaymentScheduleItemProcessed():
            return replace(cycle, planned=None, due_at=None, ended="RECOVERED" if cycle.no else None)
        case PaymentScheduleItemCanceled():
            return replace(cycle, planned=None, due_at=None, ended="CANCELED" if cycle.no else None)
        case ItemRetryScheduled():
            again = replace(cycle, planned=event, due_at=event.at, rule=event.rule, terms=event.terms)
            instead = event.method_id if event.cause == "REARMED" else cycle.instead
            return replace(again, instead=instead, ended=None, postponed=0, kept_back=None)
        case ItemRetryPostponed():
            times = cycle.postponed + 1
            return replace(cycle, due_at=event.at, postponed=times, kept_back=event.reason)
        case ItemRetrySkipped():
            return replace(cycle, made=event.attempt, planned=None, due_at=None)
        case ItemRetriesExtended():
            return replace(cycle, extra=cycle.extra + event.attempts, carried_out=None)
        case ItemRetriesExhausted():
            ended = replace(cycle, planned=None, due_at=None, ended=event.reason)
            return replace(ended, rule=event.rule, terms=event.terms)
        case ItemRetriesStopped():
            return replace(cycle, planned=None, due_at=None, ended="STOPPED")
        case CollectionFailed():
            return replace(cycle, planned=None, due_at=None, ended=event.reason)
        case _:
            return cycle


def _claimed(cycle: Cycle, event: PaymentScheduleItemClaimed) -> Cycle:
    """A plan that is carried out is planned no more; what a person asks for leaves it as it is."""
    planned = cycle.planned
    if event.cause != "RETRY" or planned is None:
        return replace(cycle, carried_out=None)
    made = cycle.made if planned.cause == "REARMED" else planned.attempt
    return replace(cycle, made=made, planned=None, due_at=None, carried_out=planned)


def _failed(cycle: Cycle, event: PaymentScheduleItemPaymentFailed, requested: int) -> Cycle:
    one = Tried(event.method_id, requested, event.failed_at, event.payment_id, _wait(event))
    tried = (*cycle.tried, one)[-TRIED_MAX:]
    if not cycle.has_failed or event.taken_back:
        return Cycle(no=cycle.no + 1, first_failed_at=event.failed_at, latest=event, tried=tried)
    return replace(cycle, latest=event, planned=None, due_at=None, tried=tried)


def _wait(event: PaymentScheduleItemPaymentFailed) -> Wait | None:
    if event.retry_after_seconds is None:
        return None
    return Wait(event.failed_at + timedelta(seconds=event.retry_after_seconds), event.network_advice)
