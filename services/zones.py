"""Time zones, by their names in the IANA database."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones


@cache
def known() -> frozenset[str]:
    """To list them is to look through a thousand files: it is done once."""
    return frozenset(available_timezones())
