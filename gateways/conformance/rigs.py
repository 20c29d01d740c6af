"""Rigs by name: every package that has an entry point in the group `tender.gateway_rigs`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from gateways.conformance.rig import Rig

GROUP = "tender.gateway_rigs"


class UnknownRig(LookupError):
    def __init__(self, name: str) -> None:
        known = ", ".join(rigs()) or "none"
        super().__init__(f"no installed package offers a rig {name!r}; there are: {known}")


def rigs() -> list[str]:
    return sorted({point.name for point in entry_points(group=GROUP)})


def rig(name: str) -> type[Rig]:
    """By the name of its entry point, or as `package.module:Class`.  Raises `UnknownRig`."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point.load()
    raise UnknownRig(name)
