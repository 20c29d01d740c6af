"""A page of a run: items as they were selected, and what each has become by what was heard of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from events.run import (
    PaymentBatchRunItemResultsRecorded,
    PaymentBatchRunItemsFrozen,
    RunItem,
    RunPageEvent,
)
from services.runs.tally import UNCLAIMED, Known

ITEMS_MAX = 500
"""On one page."""


@dataclass(slots=True)
class RunPage:
    KIND: ClassVar[str] = "runpage"

    version: int = 0
    items: dict[str, RunItem] = field(default_factory=dict[str, RunItem])
    known: dict[str, Known] = field(default_factory=dict[str, Known])
    """Of those that anything was heard of."""
    heard: dict[str, int] = field(default_factory=dict[str, int])
    """The version of the schedule that was heard last."""

    @property
    def open(self) -> bool:
        return False

    def of(self, item_id: str) -> Known:
        return self.known.get(item_id, UNCLAIMED)

    def waiting(self, gateway_id: str | None = None) -> Iterable[RunItem]:
        """Those that are not claimed: all, or those of one gateway."""
        for item in self.items.values():
            if gateway_id in (None, item.gateway_id) and self.of(item.item_id).outcome in (
                "UNCLAIMED",
                "QUEUED",
            ):
                yield item


def evolve(page: RunPage, event: RunPageEvent) -> None:
    match event:
        case PaymentBatchRunItemsFrozen():
            page.items = {item.item_id: item for item in event.items}
        case PaymentBatchRunItemResultsRecorded():
            for result in event.results:
                page.known[result.item_id] = Known.of(result)
                page.heard[result.item_id] = max(result.version, page.heard.get(result.item_id, 0))


def page_id(run_id: str, page_no: int) -> str:
    return f"{run_id}.{page_no}"
