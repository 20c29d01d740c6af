"""A tenant's events, one after another, from any place on: what Kafka has, for who has no Kafka.

    feed(log, "acme", {"after": ["4711"], "type": ["payment.processed.v2"]})

The cursor is a position of the log, so it is good for ever: the same question gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from events.log import Log, Recorded, opened
from projections.asking import Asked, BadQuery, limit_of, one_of
from projections.sight import EVERYTHING, Sight

FILTERS = ("type", "account_id", "stream")
_KNOWN = frozenset({*FILTERS, "after", "limit", "min_position"})
_CHUNK = 1_000
LOOKED_AT_MAX = 20_000
"""Events of a log that others share, for one page: a page may be short, its cursor goes on."""


async def feed(log: Log, tenant: str, asked: Asked, sight: Sight = EVERYTHING) -> dict[str, Any]:
    """`{items, has_more, next_cursor}`, oldest first; `after` is the cursor of the page before.

    `has_more` says whether there is anything behind; ask on from `next_cursor` in any case.
    """
    place, limit, wanted = _after(asked), limit_of(asked), _wanted(asked)
    head, _ = await log.head()
    last, items = min(head, place + LOOKED_AT_MAX), list[dict[str, Any]]()
    while place < last and len(items) < limit:
        events = await log.read(place, min(_CHUNK, last - place))
        if not events:
            break
        fitting = [event for event in events if _fits(event, tenant, wanted) and sight.sees(event)]
        taken = fitting[: limit - len(items)]
        items += [_told(event, sight) for event in await opened(log, taken)]
        place = events[-1].position if len(taken) == len(fitting) else taken[-1].position
    return {"items": items, "has_more": place < head, "next_cursor": str(place)}


def _told(event: Recorded, sight: Sight) -> dict[str, Any]:
    meta = orjson.loads(event.meta)
    return {
        "event_id": event.event_id,
        "position": event.position,
        "type": f"payments.{event.topic}",
        "stream": event.stream,
        "version": event.version,
        "account_id": event.home.partition("/")[2],
        "at": event.occurred_at,
        "command_id": event.command_id,
        "actor": meta.get("actor"),
        "correlation_id": meta.get("correlation_id"),
        "causation_id": meta.get("causation_id"),
        "data": sight.shown(orjson.loads(event.data)),
    }


def _fits(event: Recorded, tenant: str, wanted: Mapping[str, frozenset[str]]) -> bool:
    owner, _, account_id = event.home.partition("/")
    told = {"type": event.topic, "account_id": account_id, "stream": event.stream}
    return owner == tenant and all(told[name] in values for name, values in wanted.items())


def _wanted(asked: Asked) -> dict[str, frozenset[str]]:
    for name in asked:
        if name not in _KNOWN:
            raise BadQuery(
                name, f"events have no filter {name}; they have {', '.join(FILTERS)}", "UNKNOWN_FIELD"
            )
    return {name: _parts(asked[name]) for name in FILTERS if name in asked}


def _parts(given: Sequence[str]) -> frozenset[str]:
    """Types also as they are told, with `payments.` before."""
    return frozenset(part.removeprefix("payments.") for one in given for part in one.split(","))


def _after(asked: Asked) -> int:
    text = one_of(asked, "after") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadQuery("after", "a cursor is a position: the next_cursor of a page before, or 0")
    return int(text)
