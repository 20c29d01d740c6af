"""A promise to pay: an overdue invoice, in up to three parts; its schedule has the same id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from events.schedule import PromiseBroken, PromiseCanceled, PromiseEvent, PromiseKept, PromiseRecorded


@dataclass(slots=True)
class Promise:
    KIND: ClassVar[str] = "promise"

    version: int = 0
    status: str = ""
    """Empty, RECORDED, BROKEN, KEPT, CANCELED."""
    account_id: str = ""

    @property
    def open(self) -> bool:
        return False


def evolve(promise: Promise, event: PromiseEvent) -> None:
    match event:
        case PromiseRecorded():
            promise.status, promise.account_id = "RECORDED", event.account_id
        case PromiseKept():
            promise.status = "KEPT"
        case PromiseBroken():
            promise.status = "BROKEN"
        case PromiseCanceled():
            promise.status = "CANCELED"
