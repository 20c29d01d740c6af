"""Many seeds of the simulation, with a report of what they reached.

python -m tests.simulation --seeds 2000 --jobs 2       from seed 1
python -m tests.simulation --seed 4711                  one, with its traceback
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.reach import missing
from tests.simulation.watch import Told
from tests.simulation.world import simulate

SEED_CPU_SECONDS = 10.0
"""Far more than a seed takes."""
REACHING_SEEDS = 600
"""Together, so many seeds reach everything that can be reached."""


def survive(seed: int) -> tuple[int, Told | None, str]:
    logging.disable()  # lost connections are part of the story
    signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, SEED_CPU_SECONDS, 1.0)
    try:
        return seed, simulate(seed), ""
    except (Exception, RoundForEver) as broken:
        return seed, None, f"{type(broken).__name__}: {broken}"[:500]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        gc.collect()


def collect_between_seeds() -> None:
    """A seed's world is small and short: a collector in its midst takes a fifth of the time for nothing."""
    gc.collect()
    gc.freeze()
    gc.disable()


class RoundForEver(KeyboardInterrupt):
    """A seed that does not end; nothing of ours may catch this, and the loop lets it pass."""


def _give_up(number: int, frame: object) -> None:
    raise RoundForEver(f"more than {SEED_CPU_SECONDS} s of the processor")


def main(first: int, seeds: int, jobs: int) -> int:
    began, whole, failed = time.monotonic(), Told(), 0
    with ProcessPoolExecutor(jobs, initializer=collect_between_seeds) as pool:
        for seed, told, why in pool.map(survive, range(first, first + seeds), chunksize=4):
            if told is None:
                failed += 1
                print(f"seed {seed} failed: {why}\n    python -m tests.simulation --seed {seed}", flush=True)
            else:
                add(whole, told)
    seconds = time.monotonic() - began
    print(
        f"{seeds} seeds in {seconds:.0f} s, {whole.commands} commands, {whole.events} events, {failed} failed"
    )
    for name, counted in (
        ("faults", whole.faults),
        ("states", whole.states),
        ("rejections", whole.rejections),
        ("facts", whole.facts),
    ):
        print(f"{name}: {', '.join(f'{key} {count}' for key, count in sorted(counted.items()))}")
    lacking = missing(whole) if seeds >= REACHING_SEEDS else []
    for name in lacking:
        print(f"never reached: {name}")
    return 1 if failed or lacking else 0


def add(whole: Told, told: Told) -> None:
    for mine, theirs in (
        (whole.faults, told.faults),
        (whole.states, told.states),
        (whole.rejections, told.rejections),
        (whole.facts, told.facts),
    ):
        mine.update(theirs)
    whole.commands += told.commands
    whole.events += told.events


if __name__ == "__main__":
    given = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    given.add_argument("--seeds", type=int, default=100)
    given.add_argument("--first", type=int, default=1)
    given.add_argument("--jobs", type=int, default=2)
    given.add_argument("--seed", type=int)
    asked = given.parse_args()
    if asked.seed is not None:
        print(simulate(asked.seed))
        sys.exit(0)
    sys.exit(main(asked.first, asked.seeds, asked.jobs))
