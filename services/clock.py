"""What time it is: an argument of everything, and read in one place.

A Tender with servers and a simulator of its own has a time that can be moved ahead (`MovedTime`);
any other has the machine's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from gateways.simulator.moved_time import MovedTime


class Clock(Protocol):
    def now(self) -> datetime:
        """The instant, in UTC."""
        ...


class SystemClock:
    ahead = timedelta(0)
    """Of the machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def clock_in(file: Path | None) -> SystemClock | MovedTime:
    """The clock whose moves are kept in a file; None: the machine's, which nobody moves."""
    return SystemClock() if file is None else MovedTime(file)
