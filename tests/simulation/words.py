"""Everything that a seed's people can say: each module registers its own words, by `says` and `provokes`."""

from __future__ import annotations

from tests.simulation import (
    batches,
    clerks,
    collectors,
    guests,
    mistakes,
    operators,
    planners,
    retriers,
    settlements,
    wallets,
    workload,
)

SPEAKERS = (
    workload,
    operators,
    wallets,
    settlements,
    clerks,
    collectors,
    guests,
    batches,
    planners,
    retriers,
    mistakes,
)
WORDS = workload.WORDS
