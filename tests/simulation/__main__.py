"""Many seeds of the simulation, with a report of what they reached.

python -m tests.simulation --seeds 2000 --jobs 2        from seed 1
python -m tests.simulation --seed 4711                  one, with its traceback
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from services.loop import collect_rarely
from tests.simulation.world import Told, simulate

FAULTS = frozenset(
    "store lost before|store lost after|publish failed|record duplicated|record on another partition|"
    "partition delayed|records read again|no command at all|gateway answer lost|inquiry lost|"
    "broker came back empty|rebalance|"
    "worker killed|relay killed|processes killed|gateway killed|projector killed".split("|")
)
STATES = frozenset(
    "payment REQUESTED|payment PENDING|payment INDETERMINATE|payment PROCESSED|payment FAILED|"
    "payment CANCELED|"
    "refund REQUESTED|refund PENDING|refund INDETERMINATE|refund PROCESSED|refund FAILED|"
    "invoice POSTED|cm POSTED|auth REQUESTED|auth PROCESSED|auth INDETERMINATE|auth FAILED|"
    "ro REQUESTED|ro WAITING_FOR_PAYMENT|ro REFUNDING|ro COMPLETED|ro COMPLETED_WITH_OPEN_CREDIT|"
    "ro NO_REFUND_DUE|spm ACTIVE|spm REVOKED|spm DELETED|gwcall UNKNOWN|gwcall SUCCEEDED|gwcall FAILED".split(
        "|"
    )
)
REJECTIONS = frozenset(
    "PAYMENT_NOT_PROCESSED PAYMENT_BALANCE_EXCEEDED INVOICE_BALANCE_EXCEEDED CURRENCY_MISMATCH "
    "ACCOUNT_MISMATCH REFUND_EXCEEDS_REFUNDABLE REFUND_EXCEEDS_UNAPPLIED INVOICE_NOT_FOUND "
    "PAYMENT_NOT_FOUND METHOD_NOT_FOUND METHOD_NOT_ACTIVE PAYMENT_HAS_SETTLEMENTS "
    "CAPTURE_EXCEEDS_AUTHORIZATION ACCOUNT_EXISTS APPLICATION_NOT_FOUND AUTHORIZATION_NOT_FOUND "
    "INVALID_STATE METHOD_IN_USE PAYMENT_NOT_GATEWAY_LINKED REVERSAL_EXCEEDS_AUTHORIZATION".split()
)
FACTS = frozenset(
    "authorization.capture_succeeded.v1 authorization.expired.v1 authorization.reversed.v1 "
    "account.default_payment_method_cleared.v1 credit_memo.unapplied.v1 exception.raised.v1 "
    "gateway_call.not_sent.v1 gateway_call.outcome_resolved.v1 gateway_call.status_queried.v1 "
    "gateway_call.timed_out.v1 invoice.credit_applied.v1 invoice.credit_unapplied.v1 invoice.locked.v1 "
    "invoice.reopened.v1 payment.canceled.v1 payment.recorded_externally.v1 payment.refund_applied.v1 "
    "payment.refund_reservation_released.v1 payment.unapplied.v1 payment_method.deleted.v1 "
    "payment_method.health_changed.v1 payment_method.revoked.v1 refund_orchestration.leg_fell_back.v1".split()
)
"""What the seeds together must reach; a set that is never reached is a simulation that looks away."""


def survive(seed: int) -> tuple[int, Told | None, str]:
    logging.disable()  # lost connections are part of the story
    try:
        return seed, simulate(seed), ""
    except Exception as broken:
        return seed, None, f"{type(broken).__name__}: {broken}"[:500]


def main(first: int, seeds: int, jobs: int) -> int:
    began, whole, failed = time.monotonic(), Told(), 0
    with ProcessPoolExecutor(jobs, initializer=collect_rarely) as pool:
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
    missing = never(whole) if seeds >= 100 else []
    for name in missing:
        print(f"never reached: {name}")
    return 1 if failed or missing else 0


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


def never(whole: Told) -> list[str]:
    wanted: tuple[tuple[frozenset[str], Counter[str]], ...] = (
        (FAULTS, whole.faults),
        (STATES, whole.states),
        (REJECTIONS, whole.rejections),
        (FACTS, whole.facts),
    )
    return sorted(name for names, reached in wanted for name in names if not reached[name])


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
