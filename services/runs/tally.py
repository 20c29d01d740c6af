"""A run's count: how many items have which outcome, their money, and how many are on their way.

Invariant: every item has one outcome at a time, so the counters add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, TypeVar

from events.money import Money
from events.run import (
    ItemResult,
    LaneOpen,
    PaymentBatchRunChecked,
    PaymentBatchRunCounted,
    PaymentBatchRunItemsReleased,
    PaymentBatchRunItemsSelected,
    RunCount,
    RunFailures,
    RunItem,
    RunLane,
    RunMoney,
    RunReport,
    RunTallyEvent,
)

LANE_OPEN_MAX = 2_000
"""Items of one gateway that are sent and not answered: more wait, so that a stop still finds them."""

BEFORE = frozenset({"UNCLAIMED", "QUEUED"})
"""Outcomes of what is still to be collected."""
SAID = frozenset({"SKIPPED", "CANCELED"})
"""Outcomes that each have a reason of ours."""

K = TypeVar("K")
Slice = tuple[int, str]
"""A page, and a gateway."""


@dataclass(slots=True)
class RunTally:
    KIND: ClassVar[str] = "runtally"

    version: int = 0
    pages: int = 0
    cursor: str = ""
    filtered: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    """Without those that are UNCLAIMED: they are the rest of `filtered`."""
    money: dict[str, tuple[int, int, int]] = field(default_factory=dict[str, tuple[int, int, int]])
    """Requested, collected and applied, by currency."""
    failures: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    unclaimed: dict[Slice, int] = field(default_factory=dict[Slice, int])
    """Of each page and gateway."""
    waiting: dict[Slice, None] = field(default_factory=dict[Slice, None])
    """Not released yet, or not since it was resumed; in the order of the run."""
    sent: dict[str, int] = field(default_factory=dict[str, int])
    """Of each gateway: released and not answered."""
    turn: int = 1
    checks: int = 0
    moved: set[str] = field(default_factory=set[str])
    """Gateways of which something was heard since the last check."""

    @property
    def open(self) -> bool:
        return False

    @property
    def left(self) -> int:
        """Items that are not claimed yet."""
        return sum(self.unclaimed.values())

    @property
    def running(self) -> int:
        """Items that the run still waits for."""
        return self.left + self.outcomes.get("CLAIMED", 0)


def evolve(tally: RunTally, event: RunTallyEvent) -> None:
    match event:
        case PaymentBatchRunItemsSelected():
            _select(tally, event)
        case PaymentBatchRunItemsReleased():
            if event.turn > tally.turn:
                _begin_turn(tally, event.turn)
            for lane in event.lanes:
                tally.waiting.pop((lane.page_no, lane.gateway_id), None)
                tally.sent[lane.gateway_id] = tally.sent.get(lane.gateway_id, 0) + lane.count
                tally.moved.add(lane.gateway_id)
        case PaymentBatchRunCounted():
            _count(tally, event)
        case PaymentBatchRunChecked():
            tally.checks = event.check_no
            tally.moved.clear()
            for gateway_id in event.overlooked:
                tally.sent[gateway_id] = 0


def _select(tally: RunTally, event: PaymentBatchRunItemsSelected) -> None:
    tally.pages, tally.cursor = event.page_no, event.cursor
    tally.filtered = event.report.filtered
    tally.money = _money(event.report)
    for lane in event.lanes:
        tally.unclaimed[lane.page_no, lane.gateway_id] = lane.count
        tally.waiting[lane.page_no, lane.gateway_id] = None
        tally.moved.add(lane.gateway_id)


def _begin_turn(tally: RunTally, turn: int) -> None:
    """What was not claimed is to be sent anew."""
    tally.turn, tally.waiting = turn, dict.fromkeys(sorted(tally.unclaimed))
    tally.sent.clear()


def _count(tally: RunTally, event: PaymentBatchRunCounted) -> None:
    report = event.report
    tally.outcomes = {each.name: each.count for each in report.outcomes}
    tally.money = _money(report)
    tally.failures = {(each.category, each.gateway_id, each.code): each.count for each in report.failures}
    tally.reasons = {each.name: each.count for each in report.reasons}
    for lane in event.lanes:
        place = lane.page_no, lane.gateway_id
        if lane.count:
            tally.unclaimed[place] = lane.count
        else:
            tally.unclaimed.pop(place, None)
            tally.waiting.pop(place, None)
    for each in event.open:
        tally.sent[each.gateway_id] = each.count
        tally.moved.add(each.gateway_id)


def _money(report: RunReport) -> dict[str, tuple[int, int, int]]:
    return {
        each.requested.currency: (
            each.requested.amount_minor,
            each.collected.amount_minor,
            each.applied.amount_minor,
        )
        for each in report.money
    }


def with_items(tally: RunTally, items: Iterable[RunItem]) -> RunReport:
    """The report as it is with more items to collect."""
    money, count = dict(tally.money), 0
    for item in items:
        requested, collected, applied = money.get(item.amount.currency, (0, 0, 0))
        money[item.amount.currency] = requested + item.amount.amount_minor, collected, applied
        count += 1
    return replace(report(tally), filtered=tally.filtered + count, money=_told(money))


def report(tally: RunTally) -> RunReport:
    return RunReport(
        outcomes=_counts(tally.outcomes),
        filtered=tally.filtered,
        money=_told(tally.money),
        failures=tuple(RunFailures(*key, count) for key, count in sorted(tally.failures.items()) if count),
        reasons=_counts(tally.reasons),
    )


def _told(money: Mapping[str, tuple[int, int, int]]) -> tuple[RunMoney, ...]:
    return tuple(
        RunMoney(*(Money(amount, currency) for amount in each)) for currency, each in sorted(money.items())
    )


def _counts(counted: Mapping[str, int]) -> tuple[RunCount, ...]:
    return tuple(RunCount(name, count) for name, count in sorted(counted.items()) if count)


class Known(NamedTuple):
    """What of an item counts."""

    outcome: str
    collected: int = 0
    applied: int = 0
    code: str = ""
    category: str = ""
    gateway_id: str = ""

    @classmethod
    def of(cls, result: ItemResult) -> Known:
        return cls(
            result.outcome,
            result.collected,
            result.applied,
            result.code or "",
            result.category or "",
            result.gateway_id or "",
        )


UNCLAIMED = Known("UNCLAIMED")


class Recount:
    """The count as some results change it, one item after the other."""

    def __init__(self, tally: RunTally) -> None:
        self._tally = tally
        self._outcomes, self._reasons = dict(tally.outcomes), dict(tally.reasons)
        self._money, self._failures = dict(tally.money), dict(tally.failures)
        self._unclaimed: dict[Slice, int] = {}
        self._sent: dict[str, int] = {}

    def move(self, item: RunItem, page_no: int, was: Known, now: Known) -> None:
        for known, step in ((was, -1), (now, +1)):
            if known.outcome != "UNCLAIMED":
                _add(self._outcomes, known.outcome, step)
            if known.outcome in SAID:
                _add(self._reasons, known.code, step)
            if known.outcome == "FAILED":
                _add(self._failures, (known.category, known.gateway_id, known.code), step)
        requested, collected, applied = self._money[item.amount.currency]
        collected, applied = collected + now.collected - was.collected, applied + now.applied - was.applied
        self._money[item.amount.currency] = requested, collected, applied
        self._move_lane(item, page_no, was.outcome, now.outcome)

    def _move_lane(self, item: RunItem, page_no: int, was: str, now: str) -> None:
        place, gateway_id = (page_no, item.gateway_id), item.gateway_id
        left = self._unclaimed.get(place, self._tally.unclaimed.get(place, 0))
        self._unclaimed[place] = left + (now in BEFORE) - (was in BEFORE)
        sent = self._sent.get(gateway_id, self._tally.sent.get(gateway_id, 0))
        if now == "UNCLAIMED":  # it came back: it was sent, and it is to be sent again with the next turn
            self._sent[gateway_id] = max(0, sent - 1)
        else:
            self._sent[gateway_id] = max(0, sent + (now == "CLAIMED") - (was in ("CLAIMED", "UNCLAIMED")))

    def counted(self, run_id: str) -> PaymentBatchRunCounted:
        tally = RunTally(
            filtered=self._tally.filtered,
            outcomes=self._outcomes,
            money=self._money,
            failures=self._failures,
            reasons=self._reasons,
        )
        lanes = (RunLane(page_no, gateway_id, n) for (page_no, gateway_id), n in self._unclaimed.items())
        sent = (LaneOpen(gateway_id, count) for gateway_id, count in self._sent.items())
        return PaymentBatchRunCounted(run_id, report(tally), tuple(lanes), tuple(sent))


def _add(counted: dict[K, int], key: K, step: int) -> None:
    counted[key] = counted.get(key, 0) + step


def releasable(tally: RunTally) -> tuple[RunLane, ...]:
    """What is to be sent next: of each gateway, in the order of the run, as long as it has room."""
    sent, found = dict(tally.sent), list[RunLane]()
    for page_no, gateway_id in tally.waiting:
        if sent.get(gateway_id, 0) < LANE_OPEN_MAX:
            count = tally.unclaimed[page_no, gateway_id]
            sent[gateway_id] = sent.get(gateway_id, 0) + count
            found.append(RunLane(page_no, gateway_id, count))
    return tuple(found)
