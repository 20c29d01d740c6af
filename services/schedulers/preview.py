"""What a scheduler would do: its next firings, by the same code that fires it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from events import ids
from events.scheduler import RecursOn, Timing
from services.schedulers import recurrence
from services.schedulers.recurrence import Firing

COUNT_MAX = 100


def timing_of(row: Mapping[str, Any]) -> Timing:
    """The timing of a scheduler, from its row in the read model."""
    given: dict[str, Any] = {field.name: row[field.name] for field in fields(Timing)}
    on: Any = row["recurs_on"]
    given["recurs_on"] = RecursOn(**on) if on else None
    return Timing(**given)


def upcoming(row: Mapping[str, Any], now: datetime) -> Iterator[Firing]:
    """From the one that is planned on; of one that rests, as they were if it was activated now."""
    after = row["next_run_at"] - timedelta(microseconds=1) if row["next_run_at"] else now
    return recurrence.firings(timing_of(row), after)


def next_runs(tenant: str, row: Mapping[str, Any], now: datetime, count: int) -> list[dict[str, Any]]:
    """The next firings of a scheduler; of one that rests, as they were if it was activated now."""
    if row["status"] == "CANCELED":
        return []
    id, zone = row["scheduler_id"], ZoneInfo(row["time_zone"])
    return [
        {
            "at": firing.at,
            "local": firing.at.astimezone(zone).isoformat(),
            "planned": firing.planned.isoformat(),
            "moved": firing.moved,
            "run_id": ids.run_id(tenant, id, firing.at),
        }
        for firing in islice(upcoming(row, now), count)
    ]
