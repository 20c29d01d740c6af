"""An event loop whose time is made up: it jumps to the next timer whenever nothing else can run.

Months pass in milliseconds, in the same order for the same seed.  There are no sockets and no
threads in it: waiting for the outside would be waiting for ever, and is reported as a deadlock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class Deadlock(AssertionError):
    """Every task waits, and no timer is set."""


class Callback:
    """What asyncio calls a handle, with nothing but what is needed here: a seed makes 20,000 of them."""

    __slots__ = ("arguments", "at", "call", "is_cancelled")

    def __init__(self, call: Callable[..., object], arguments: tuple[Any, ...], at: float) -> None:
        self.call, self.arguments, self.at, self.is_cancelled = call, arguments, at, False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.at


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop without its waiting: callbacks that are ready run, then the next timer is due."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self._timers: list[tuple[float, int, Callback]] = []
        self._made = 0
        self._soon: deque[Callback] = deque()

    def time(self) -> float:
        return self.elapsed

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def call_soon(self, callback: Any, *args: Any, context: object = None) -> Any:
        """Nothing of ours has context variables: a context is neither copied nor entered."""
        handle = Callback(callback, args, self.elapsed)
        self._soon.append(handle)
        return handle

    call_soon_threadsafe = call_soon
    """There is but one thread."""

    def call_later(self, delay: float, callback: Any, *args: Any, context: object = None) -> Any:
        return self.call_at(self.elapsed + delay, callback, *args)

    def call_at(self, when: float, callback: Any, *args: Any, context: object = None) -> Any:
        timer = Callback(callback, args, when)
        self._made += 1
        heappush(self._timers, (when, self._made, timer))
        return timer

    def _run_once(self) -> None:
        """One round of the loop; asyncio's own looks at sockets, and sorts its timers in Python."""
        ready, timers = self._soon, self._timers
        while timers and timers[0][2].is_cancelled:
            heappop(timers)
        if not ready and not timers:
            raise Deadlock("every task waits, and no timer is set")
        if not ready:
            self.elapsed = max(self.elapsed, timers[0][0])
        while timers and timers[0][0] <= self.elapsed:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.is_cancelled:
                handle.call(*handle.arguments)


class VirtualClock:
    """The service's clock inside a `VirtualLoop`."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return self._loop.now()


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run a coroutine to its end in virtual time, and leave no task behind."""
    try:
        return loop.run_until_complete(main)
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
