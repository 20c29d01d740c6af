"""Adapters by name: every package that has an entry point in the group `tender.gateways`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from gateways.protocol import Gateway

GROUP = "tender.gateways"

Adapter = Callable[[Mapping[str, str], int, int], Gateway]
"""(settings, connect timeout in ms, read timeout in ms) -> a gateway."""


class UnknownAdapter(LookupError):
    def __init__(self, key: str, known: list[str]) -> None:
        super().__init__(
            f"no installed package offers the gateway adapter {key!r}; there are: {', '.join(known)}"
        )


def adapter(key: str) -> Adapter:
    """The adapter that is registered under a name.  Raises `UnknownAdapter`."""
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if key not in offered:
        raise UnknownAdapter(key, sorted(offered))
    return offered[key].load()
