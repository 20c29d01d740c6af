"""A few seeds of the simulation in every run of the tests; thousands by `python -m tests.simulation`."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import survive
from tests.simulation.reach import missing
from tests.simulation.watch import Told
from tests.simulation.world import simulate


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_cent_is_where_it_belongs_after_bad_weather(seed: int) -> None:
    simulate(seed)


def test_a_seed_is_the_same_every_time() -> None:
    assert simulate(3) == simulate(3)


def test_a_simulation_that_looks_away_is_told_so() -> None:
    assert "fault broker came back empty" in missing(Told())
    assert "state ro WAITING_FOR_PAYMENT" in missing(Told())
    assert "rejection CREDIT_MEMO_LOCKED" in missing(Told())
    assert "fact refund_orchestration.leg_fell_back.v1" in missing(Told())


def test_a_seed_that_breaks_is_reported_and_ends_nothing() -> None:
    assert survive(2)[1] is not None
