"""A few seeds of the simulation in every run of the tests; thousands by `python -m tests.simulation`."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import never, survive
from tests.simulation.world import Told, simulate


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_cent_is_where_it_belongs_after_bad_weather(seed: int) -> None:
    told = simulate(seed)
    assert told.commands >= 200
    assert sum(told.faults.values()) >= 20


def test_a_seed_is_the_same_every_time() -> None:
    assert simulate(3) == simulate(3)


def test_a_simulation_that_looks_away_is_told_so() -> None:
    assert "broker came back empty" in never(Told())


def test_a_seed_that_breaks_is_reported_and_ends_nothing() -> None:
    assert survive(2)[1] is not None
