"""When the simulator tells what it did: by a mood that a script, else the token, else its setting chooses.

prompt      once, at once                    late_{ms}   once, so much later
lost        never                            repeat_{n}  n times, in a while
mix         as gateways do: late, twice, out of order, now and then not at all; and not always by our key

A token chooses with a `+`: `tok_async_ok+lost`.  The same for the same seed, in every process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

MIX: tuple[tuple[int, str], ...] = (
    (750, "prompt"),
    (80, "lost"),
    (80, "repeat_2"),
    (30, "repeat_10"),
    (60, "late"),
)
"""Of 1,000 notifications: what happens to how many."""

SPREAD_SECONDS = 3.0
"""Within this time come those that are late, or several."""

NAMES = ("key", "merchant_reference", "ref")


def deliveries(mood: str, place: str) -> tuple[float, ...]:
    """After how many seconds each copy is sent.  Raises `ValueError` for a mood that is none."""
    points = _points(place)
    if mood == "mix":
        mood = _mixed(next(points))
        if mood == "late":
            return (next(points) * SPREAD_SECONDS,)
    counted = re.fullmatch(r"(repeat|late)_(\d{1,6})", mood)
    match (counted[1] if counted else mood), int(counted[2]) if counted else 0:
        case "prompt", _:
            return (next(points) * 0.05,)
        case "lost", _:
            return ()
        case "late", ms:
            return (ms / 1000,)
        case "repeat", times:
            return tuple(next(points) * SPREAD_SECONDS for _ in range(times))
    raise ValueError(f"there is no mood {mood!r}")


def named_by(mood: str, place: str) -> tuple[str, ...]:
    """How it calls an operation: some gateways give our key back, some only a reference of their own."""
    if mood != "mix":
        return NAMES
    point = next(_points(f"{place}/named"))
    return ("ref",) if point < 0.15 else ("merchant_reference", "ref") if point < 0.3 else NAMES


def _mixed(point: float) -> str:
    left = point * sum(weight for weight, _ in MIX)
    for weight, mood in MIX:
        left -= weight
        if left < 0:
            return mood
    raise AssertionError("the weights cover every point")


def _points(place: str) -> Iterator[float]:
    """Numbers from 0 up to 1 that follow from a place."""
    n = 0
    while True:
        digest = hashlib.sha256(f"{place}/{n}".encode()).digest()
        yield int.from_bytes(digest[:8], "big") / 2**64
        n += 1
