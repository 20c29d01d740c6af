"""A row that tells its version is as new as its stream: every fact of the stream is folded into it."""

from __future__ import annotations

import inspect
import typing

import pytest

from events.gateway import GatewayProviderRegistered, RawCodeMapPublished
from projections.models import TABLES
from projections.table import Table
from services.subjects import EVOLVE

VERSIONED = {table.kind: table for table in TABLES if table.kind and "version" in table.names}
OF_PROVIDERS = {GatewayProviderRegistered, RawCodeMapPublished}
"""They are listed with the facts of gateways, but are never in a gateway's stream."""


@pytest.mark.parametrize(
    ("state", "table"),
    [(state, VERSIONED[state.KIND]) for state in EVOLVE if state.KIND in VERSIONED],
    ids=lambda value: value.name if isinstance(value, Table) else value.__name__,
)
def test_a_row_follows_every_fact_of_its_stream(state: type[typing.Any], table: Table) -> None:
    evolve = EVOLVE[state]
    hint = typing.get_type_hints(evolve)[list(inspect.signature(evolve).parameters)[1]]
    facts = set(typing.get_args(hint) or (hint,))
    assert {fact.__name__ for fact in facts - table.handlers.keys() - OF_PROVIDERS} == set()
