"""How every process of ours runs: on uvloop, with a collector that comes rarely."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    collect_rarely()
    return uvloop.run(main)


def collect_rarely() -> None:
    """Facts, states and rows hold no cycles: the collector would only walk the caches, over and over."""
    gc.freeze()
    gc.set_threshold(500_000, 50, 100)


YOUNG_MAX = 20_000


def spare_what_stays() -> None:
    """Take what is alive out of the collector's sight, where there is much of it: after a batch.

    What a batch leaves behind is states, by the ten thousand, which go when they are dropped.  A
    collector that looks at each of them once takes an eighth of a worker's time, and finds nothing.
    """
    if gc.get_count()[0] > YOUNG_MAX:
        gc.freeze()
