"""A row that tells its version is as new as its stream, also by facts that change nothing else of it."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest

from events.catalog import TOPICS
from events.gateway import GatewayProviderRegistered, MethodTypesMapped, RawCodeMapPublished
from events.mapper import decode
from projections.folding import Folder
from projections.models import TABLES
from projections.table import Table
from services.subjects import EVOLVE
from tests.spec import Spec

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
VERSIONED = {table.kind: table for table in TABLES if table.kind and "version" in table.names}
OF_PROVIDERS = {GatewayProviderRegistered, RawCodeMapPublished, MethodTypesMapped}
"""They are listed with the facts of gateways, but are never in a gateway's stream."""


def facts_of(state: type[typing.Any]) -> set[type[typing.Any]]:
    evolve = EVOLVE[state]
    hint = typing.get_type_hints(evolve)[list(inspect.signature(evolve).parameters)[1]]
    return set(typing.get_args(hint) or (hint,)) - OF_PROVIDERS


UNTOLD = [
    (state, VERSIONED[state.KIND], fact)
    for state in EVOLVE
    if state.KIND in VERSIONED
    for fact in sorted(facts_of(state), key=lambda fact: fact.__name__)
    if fact not in VERSIONED[state.KIND].handlers
]


@pytest.mark.parametrize(("state", "table", "fact"), UNTOLD, ids=[fact.__name__ for _, _, fact in UNTOLD])
def test_a_row_follows_a_fact_that_it_does_not_tell_of(
    state: type[typing.Any], table: Table, fact: type[typing.Any]
) -> None:
    topic = TOPICS[fact]
    spec = Spec().given((state, "X", decode(topic, (GOLDEN / f"{topic}.json").read_bytes())))
    row = Folder(TABLES).from_zero(spec.events())[table]["t", "X"]
    assert (row["version"], row["position"]) == (1, 1)
