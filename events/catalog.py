"""Every fact the service can record, by its permanent name.

A topic such as `payment.processed.v1` never changes its meaning and never moves to another shape:
a new shape is a new version, and an upcaster carries the old one over (see `mapper`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

from events.frozen import frozen

T = TypeVar("T")
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

FACTS: dict[str, type[Any]] = {}
"""The current class of each current topic."""

TOPICS: dict[type[Any], str] = {}
"""The current topic of each class."""

UPCASTERS: dict[str, tuple[str, Upcaster]] = {}
"""A retired topic, the topic that follows it, and how its data is carried over."""


@dataclass_transform(frozen_default=True)
def fact(topic: str) -> Callable[[type[T]], type[T]]:
    """Freeze a class into a fact, and bind it to a topic that no rename can move."""

    def bind(cls: type[T]) -> type[T]:
        assert topic not in FACTS, f"two facts claim {topic}"
        made = frozen(cls)
        FACTS[topic] = made
        TOPICS[made] = topic
        return made

    return bind


def upcasts(retired: str, to: str) -> Callable[[Upcaster], Upcaster]:
    """Declare how the data of a retired topic becomes data of the topic that follows it."""

    def bind(upcaster: Upcaster) -> Upcaster:
        assert retired not in UPCASTERS, f"two upcasters for {retired}"
        UPCASTERS[retired] = (to, upcaster)
        return upcaster

    return bind
