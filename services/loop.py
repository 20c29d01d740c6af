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
    gc.set_threshold(100_000, 50, 100)
