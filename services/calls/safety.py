"""How much a gateway is sent at a time: so many calls in the air, so many a second, few while it is ill.

Pure: what is known of one gateway by one worker, with time as an argument.  Invariant: a gateway that is
slow, limited or broken uses up its own lane, and nobody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 300
AHEAD = 2
"""Of a gateway that is quick, so much less than its calls in the air is leased ahead: what then begins
waits for no lease."""
QUICK_SECONDS = 1.0
NEWEST_SHARE = 0.1
"""Of the latest call in what calls usually take."""


class Limits(NamedTuple):
    at_once: int
    """Calls in the air together."""
    per_second: float | None = None
    call_seconds: float = 130.0
    """How long one call may take, whatever the adapter does."""
    failures_max: int = 10
    """Calls in a row without an answer after which it is taken for ill; 0: never."""


class Signal(NamedTuple):
    """What the health of a gateway's calls says of its circuit."""

    kind: Literal["OPEN", "CLOSE"]
    reason: str
    seconds: int = 0


@dataclass(slots=True)
class Lane:
    limits: Limits
    in_air: int = 0
    failures: int = 0
    """Calls in a row without an answer."""
    pause_seconds: int = 0
    """How long it is left alone after each failing try; 0: it is well."""
    not_before: datetime | None = None
    """It is ill, or asked for a pause."""
    usual_seconds: float | None = None
    """What its calls take, the latest counting most."""
    _tokens: float | None = None
    _counted_at: datetime | None = None
    _met: bool = False

    @property
    def full(self) -> bool:
        return self.in_air >= self._width

    @property
    def _width(self) -> int:
        return 1 if self.pause_seconds else self.limits.at_once

    def room(self, now: datetime) -> int:
        """How many calls may begin now."""
        if self.not_before and now < self.not_before:
            return 0
        room = max(0, self._width - self.in_air)
        return room if self.limits.per_second is None else min(room, int(self._refilled(now)))

    def ahead(self, now: datetime) -> int:
        """How many more may be leased, to begin as soon as others end; none where that may take long."""
        ill = self.pause_seconds or (self.not_before and now < self.not_before)
        if ill or self.limits.per_second is not None:
            return 0
        quick = self.usual_seconds is not None and self.usual_seconds <= QUICK_SECONDS
        return min(self.in_air, self.limits.at_once) // AHEAD if quick else 0

    def next_at(self, now: datetime) -> datetime | None:
        """When there will be room without a call's ending; None where only that makes room."""
        if self.not_before and now < self.not_before:
            return self.not_before
        if self.limits.per_second is None or self.full or (tokens := self._refilled(now)) >= 1:
            return None
        return now + timedelta(seconds=(1 - tokens) / self.limits.per_second)

    def begin(self, now: datetime) -> None:
        self.in_air += 1
        if self.limits.per_second is not None:
            self._tokens = self._refilled(now) - 1

    def end(
        self,
        now: datetime,
        result_code: str,
        retry_after_seconds: int | None = None,
        seconds: float | None = None,
    ) -> Signal | None:
        """A call is over.  A refusal is an answer; so is "too many requests", which asks for a pause."""
        self.in_air -= 1
        if seconds is not None:
            before = seconds if self.usual_seconds is None else self.usual_seconds
            self.usual_seconds = before + (seconds - before) * NEWEST_SHARE
        if retry_after_seconds and result_code == "SystemError":
            self.not_before = max(self.not_before or now, now + timedelta(seconds=retry_after_seconds))
            return None
        if result_code in ("SystemError", "Indeterminate"):
            return self._failed(now)
        self.failures = 0
        if not self.pause_seconds:
            return None
        self.pause_seconds, self.not_before = 0, None
        return Signal("CLOSE", "it answers again")

    def meet(self, circuit_open_until: datetime | None) -> bool:
        """Its registration is known, and whether its circuit was opened before this worker came; the first
        time only."""
        if self._met:
            return False
        self._met = True
        if circuit_open_until:
            self.pause_seconds, self.not_before = FIRST_PAUSE_SECONDS, circuit_open_until
        return True

    def _failed(self, now: datetime) -> Signal | None:
        self.failures += 1
        most = self.limits.failures_max
        if not most or (self.failures < most and not self.pause_seconds):
            return None
        if self.not_before and now < self.not_before:
            return None
        self.pause_seconds = min(self.pause_seconds * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self.not_before = now + timedelta(seconds=self.pause_seconds)
        return Signal("OPEN", f"no answer to {self.failures} calls in a row", self.pause_seconds)

    def _refilled(self, now: datetime) -> float:
        """Tokens of the bucket: a tenth of a second's worth at most, so that no second has many more."""
        rate = self.limits.per_second or 0.0
        most = max(1.0, rate / 10)
        if self._tokens is None or self._counted_at is None:
            self._tokens = most
        else:
            passed = max(0.0, (now - self._counted_at).total_seconds())
            self._tokens = min(most, self._tokens + passed * rate)
        self._counted_at = now
        return self._tokens
