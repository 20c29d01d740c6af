"""Parked commands: what poisoned its home key waits, and that one was dropped by a person is an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from events.operations import ParkedCommandDropped
from services.decision import Subject


@dataclass(slots=True)
class Parked:
    KIND: ClassVar[str] = "parked"

    version: int = 0
    dropped: UUID | None = None

    @property
    def open(self) -> bool:
        return False


def evolve(parked: Parked, event: ParkedCommandDropped) -> None:
    parked.dropped = event.command_id


SUBJECT = Subject(Parked, evolve)
