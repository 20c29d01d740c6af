"""Facts to bytes and back: orjson out, msgspec in; retired versions carried over, personal data sealed.

Importing `events` has entered every fact in the catalog; a topic that is in neither the catalog
nor the upcasters is `UnknownTopic`: a newer Tender wrote it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import orjson
from eventsourcing.persistence import Mapper, StoredEvent
from pydantic import TypeAdapter

import events
from events import personal
from events.catalog import FACTS, TOPICS, UPCASTERS
from events.personal import SubjectKey

assert events.__all__


class UnknownTopic(LookupError):
    """The log holds a fact that this version of Tender does not know."""


def topic_of(fact: object) -> str:
    return TOPICS[type(fact)]


def encode(fact: object) -> bytes:
    """The fact as one JSON object, its personal data in the clear."""
    return orjson.dumps(fact)


def decode(topic: str, data: bytes) -> Any:
    """The fact of a topic's data, in its current shape."""
    if topic in FACTS:
        return _decoder(topic)(data)
    return _upcast(topic, data)


@cache
def may_be_sealed(topic: str) -> bool:
    """Whether facts of a topic can hold personal data; of a retired one nobody knows any more."""
    return topic not in FACTS or bool(personal.personal_paths(FACTS[topic]))


def _upcast(topic: str, data: bytes) -> Any:
    fact: dict[str, Any] = orjson.loads(data)
    while topic in UPCASTERS:
        topic, upcaster = UPCASTERS[topic]
        fact = upcaster(fact)
    if topic not in FACTS:
        raise UnknownTopic(topic)
    return _decoder(topic)(orjson.dumps(fact))


@cache
def _decoder(topic: str) -> Callable[[bytes], Any]:
    """What reads a topic's facts: msgspec, in half of pydantic's time, where it knows the fields' types."""
    fact = FACTS[topic]
    try:
        return msgspec.json.Decoder(fact).decode
    except TypeError:  # a union of several tuples, as settings are
        return TypeAdapter(fact).validate_json


class FactMapper(Mapper[Any]):
    """The `eventsourcing` library's view of one data subject's facts: `StoredEvent` to fact and back.

    Without a key the subject's personal data is erased: sealed texts read `ERASED`.
    """

    def __init__(self, key: SubjectKey | None) -> None:
        super().__init__(transcoder=None)  # type: ignore[arg-type]
        self._key = key

    def fact_to_stored_event(self, stream: str, version: int, fact: object) -> StoredEvent:
        data = personal.sealed(fact, self._key) if personal.has_personal_data(fact) else encode(fact)
        return StoredEvent(stream, version, topic_of(fact), data)

    def stored_event_to_fact(self, stored: StoredEvent) -> Any:
        return decode(stored.topic, personal.opened(stored.state, self._key))
