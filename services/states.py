"""A stream's state as the log has it now, for whoever asks about one and decides nothing by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from events import ids
from events.log import Log, Recorded
from events.mapper import decode
from services.subjects import EVOLVE

T = TypeVar("T")


async def state_of(log: Log, tenant: str, state: type[T], id: str) -> T:
    """Fresh where nothing was recorded."""
    return folded(state, await log.read_stream(ids.stream(tenant, state.KIND, id)))  # type: ignore[attr-defined]


def folded(state: type[T], events: Iterable[Recorded]) -> T:
    """What a stream's events, from its first on, come to."""
    found = state()
    for event in events:
        EVOLVE[state](found, decode(event.topic, event.data))
        found.version += 1  # type: ignore[attr-defined]
    return found
