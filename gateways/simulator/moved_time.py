"""The time of an embedded Tender and its simulator: the machine's, and how far it was moved ahead of it.

Two numbers in a file that all their processes map: whoever moves it has moved it for all of them at once,
and who starts again finds it where it was.  Invariant: it is never moved back.
"""

from __future__ import annotations

import mmap
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

_AHEAD, _TARGET = 0, 1
_CELL_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class MovedTime:
    """A clock; each of its two numbers is read and written whole, so nobody sees half of a move."""

    def __init__(self, file: Path) -> None:
        """Over a file that is made where there is none: then time was not moved."""
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(opened).st_size < 2 * _CELL_BYTES:
                os.ftruncate(opened, 2 * _CELL_BYTES)
            self._map = mmap.mmap(opened, 2 * _CELL_BYTES)
        finally:
            os.close(opened)
        self._cells = memoryview(self._map).cast("q")

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @property
    def ahead(self) -> timedelta:
        """Of the machine's time."""
        return timedelta(microseconds=self._cells[_AHEAD])

    def move_to(self, instant: datetime) -> None:
        """For every process at once; an instant that is over moves nothing."""
        moved = instant - datetime.now(UTC)
        if moved > self.ahead:
            self._write(_AHEAD, moved // _TICK)

    @property
    def target(self) -> datetime | None:
        """Where time is being moved to; None while it goes on as it does."""
        ticks = self._cells[_TARGET]
        return _EPOCH + timedelta(microseconds=ticks) if ticks else None

    @target.setter
    def target(self, instant: datetime | None) -> None:
        self._write(_TARGET, (instant - _EPOCH) // _TICK if instant else 0)

    def _write(self, cell: int, ticks: int) -> None:
        self._cells[cell] = ticks
        self._map.flush()
