"""Adapters by name: every package that has an entry point in the group `tender.gateways`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from gateways.credentials import Credential
from gateways.protocol import Gateway

GROUP = "tender.gateways"

Adapter = Callable[[Mapping[str, str], int, int, Credential], Gateway]
"""(settings, connect timeout in ms, read timeout in ms, credential) -> a gateway."""


class UnknownAdapter(LookupError):
    def __init__(self, key: str, known: list[str]) -> None:
        super().__init__(
            f"no installed package offers the gateway adapter {key!r}; there are: {', '.join(known)}"
        )


class AdapterNotInstalled(LookupError):
    """The adapter is known, but not the library that it speaks through."""

    def __init__(self, key: str, missing: str) -> None:
        super().__init__(
            f"the gateway adapter {key!r} needs the module {missing!r}: "
            f"install it with pip install 'tender-payments[{key}]'"
        )


def names() -> list[str]:
    return sorted({point.name for point in entry_points(group=GROUP)})


def adapter(key: str) -> Adapter:
    """The adapter that is registered under a name.  Raises `UnknownAdapter`, `AdapterNotInstalled`."""
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if key not in offered:
        raise UnknownAdapter(key, sorted(offered))
    try:
        return offered[key].load()
    except ModuleNotFoundError as missing:
        raise AdapterNotInstalled(key, missing.name or str(missing)) from missing
