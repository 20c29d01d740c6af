"""Every fact can be told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.catalog import FACTS
from events.mapper import decode
from projections.words import sentence

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"


@pytest.mark.parametrize("topic", sorted(FACTS))
def test_a_fact_is_told_in_words_for_people(topic: str) -> None:
    said = sentence(decode(topic, (GOLDEN / f"{topic}.json").read_bytes()))
    assert said[0].isupper() or said[0].isdigit() or " " in said
    assert not said.endswith((":", ",", " "))
    assert not any(mark in said for mark in ("{", "None", "Money(", "()"))
