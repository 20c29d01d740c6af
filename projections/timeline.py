"""What happened on an account, in words: read from the log itself, so it is never behind.

timeline(log, "acme", {"account_id": ["A-1"], "text": ["refund"], "sort": ["-position"]})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from events.log import Log, Recorded, opened
from events.mapper import decode
from projections.asking import BadQuery, limit_of, one_of
from projections.sight import EVERYTHING, Sight
from projections.words import sentence

FILTERS = ("account_id", "type", "stream", "actor", "text", "at_from", "at_to")
_KNOWN = frozenset({*FILTERS, "sort", "limit", "cursor", "min_position"})
_CHUNK = 500


async def timeline(
    log: Log, tenant: str, asked: Mapping[str, Sequence[str]], sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """`{items, has_more, next_cursor}` of one account's events.  Raises `BadQuery`.

    Oldest first, or newest first with `sort=-position`; `text` looks into names and sentences.
    """
    account_id, limit = _account(asked), limit_of(asked)
    sight.check_account(account_id)
    newest_first = _newest_first(asked)
    place, items, matches = _cursor(asked), list[dict[str, Any]](), _Matches(asked)
    while len(items) <= limit:
        events = await log.read_home(f"{tenant}/{account_id}", place, _CHUNK, newest_first=newest_first)
        if not events:
            break
        place = events[-1].position
        seen = [event for event in events if sight.sees(event)]
        items += [told for event in await opened(log, seen) if matches(told := _told(event, sight))]
    kept = items[:limit]
    has_more = len(items) > limit
    return {
        "items": kept,
        "has_more": has_more,
        "next_cursor": str(kept[-1]["position"]) if has_more else None,
    }


def _told(event: Recorded, sight: Sight) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "position": event.position,
        "account_id": event.home.partition("/")[2],
        "type": event.topic,
        "stream": event.stream,
        "version": event.version,
        "at": event.occurred_at,
        "actor": orjson.loads(event.meta)["actor"],
        "command_id": event.command_id,
        "sentence": sentence(sight.told(decode(event.topic, event.data))),
    }


class _Matches:
    """Whether an entry is among those asked for."""

    def __init__(self, asked: Mapping[str, Sequence[str]]) -> None:
        self._one_of = {
            name: {part for given in asked[name] for part in given.split(",")}
            for name in ("type", "stream")
            if name in asked
        }
        self._actor, self._text = one_of(asked, "actor"), (one_of(asked, "text") or "").lower()
        self._from, self._to = _instant(asked, "at_from"), _instant(asked, "at_to")

    def __call__(self, told: Mapping[str, Any]) -> bool:
        return (
            all(told[name] in wanted for name, wanted in self._one_of.items())
            and (self._actor is None or told["actor"]["id"] == self._actor)
            and self._text in f"{_words(told['type'])} {told['sentence']}".lower()
            and (self._from is None or told["at"] >= self._from)
            and (self._to is None or told["at"] <= self._to)
        )


def _words(topic: str) -> str:
    """`payment.refund_reserved.v1` as it may be looked for: `payment refund reserved`."""
    return topic.rpartition(".v")[0].replace(".", " ").replace("_", " ")


def _account(asked: Mapping[str, Sequence[str]]) -> str:
    for name in asked:
        if name not in _KNOWN:
            raise BadQuery(name, f"the timeline has no filter {name}; it has {', '.join(FILTERS)}")
    account_id = one_of(asked, "account_id")
    if not account_id:
        raise BadQuery("account_id", "a timeline is of one account: name it")
    return account_id


def _newest_first(asked: Mapping[str, Sequence[str]]) -> bool:
    sort = one_of(asked, "sort") or "position"
    if sort not in ("position", "-position"):
        raise BadQuery("sort", "the timeline can be sorted by position or -position")
    return sort == "-position"


def _cursor(asked: Mapping[str, Sequence[str]]) -> int | None:
    cursor = one_of(asked, "cursor")
    if cursor is not None and not cursor.isdigit():
        raise BadQuery("cursor", "the cursor is not one of this list")
    return int(cursor) if cursor else None


def _instant(asked: Mapping[str, Sequence[str]], name: str) -> datetime | None:
    text = one_of(asked, name)
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise BadQuery(name, f"{text!r} is no instant") from error
    if at is not None and at.tzinfo is None:
        raise BadQuery(name, f"{text!r} has no time zone")
    return at
