"""Every resource of Salesforce's that is named has a command or a question here."""

from __future__ import annotations

from functools import cache

import pytest

from services.access.permissions import capability_of
from services.documents import parity
from services.documents.contracts import CONTRACTS
from services.http.openapi import openapi
from services.subjects import RULES


@cache
def _paths() -> frozenset[str]:
    return frozenset(openapi()["paths"])


@pytest.mark.parametrize("row", parity.ROWS, ids=lambda row: row.theirs)
def test_each_has_what_it_names(row: parity.Row) -> None:
    types, decided = parity.types(), {command.__name__ for command in RULES}
    assert row.commands or row.questions or row.paths
    for name in row.commands:
        assert name in decided
        assert capability_of(types[name]) is not None, f"nobody may send {name}"
        assert f"/v1/commands/{types[name]}" in _paths()
    assert set(row.questions) <= parity.questions()
    assert set(row.paths) <= _paths()


def test_the_page_leads_to_the_schema_of_each_command() -> None:
    page = parity.page()
    for row in parity.ROWS:
        assert f"| {row.theirs} | " in page
        for name in row.commands:
            type = parity.types()[name]
            assert (CONTRACTS / "commands" / f"{type}.json").exists()
            assert f"[`{type}`](commands/{type}.json)" in page
