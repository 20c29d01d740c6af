"""Whoever changes the source takes along the mistakes that the simulation plants in it."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, places


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_mistake_has_its_one_place(mutant: Mutant) -> None:
    assert places(mutant) == 1, f"plant it anew in {mutant.file}: see tests/simulation/mutants.py"
