"""The account's timeline: every fact in words, filtered, in both orders, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from projections.asking import BadQuery
from projections.timeline import timeline
from tests.journey import SUCCESS, Journey, line


@pytest.fixture
def paid() -> Journey:
    """An invoice of 40.00, paid by card."""
    j = Journey()
    j.request("P1", "40.00", j.post("INV-1", line("L1", "40.00")))
    j.settle("P1", SUCCESS)
    return j


async def ask(j: Journey, **asked: str) -> dict[str, Any]:
    return await timeline(
        j.store, "t", {"account_id": ["A"], **{name: [text] for name, text in asked.items()}}
    )


async def test_it_tells_all_events_of_the_account_in_order(paid: Journey) -> None:
    told = (await ask(paid))["items"]
    positions = [entry["position"] for entry in told]
    assert positions == sorted(positions)
    assert {"invoice.posted.v3", "payment.processed.v2"} <= {entry["type"] for entry in told}
    assert all(entry["actor"]["id"] for entry in told)


async def test_newest_first_is_the_same_the_other_way_round(paid: Journey) -> None:
    forth, back = (await ask(paid))["items"], (await ask(paid, sort="-position"))["items"]
    assert back == forth[::-1]


@pytest.mark.parametrize("sort", ["position", "-position"])
async def test_pages_join_without_a_gap(paid: Journey, sort: str) -> None:
    whole = (await ask(paid, sort=sort))["items"]
    pages, cursor = list[Any](), {}
    while True:
        page = await ask(paid, sort=sort, limit="2", **cursor)
        pages += page["items"]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == whole


async def test_filters_are_joined_with_and(paid: Journey) -> None:
    processed = (await ask(paid, type="payment.processed.v2,invoice.posted.v3", stream="t/payment-P1"))[
        "items"
    ]
    assert [entry["type"] for entry in processed] == ["payment.processed.v2"]
    words = (await ask(paid, text="INVOICE POSTED"))["items"]
    assert [entry["type"] for entry in words] == ["invoice.posted.v3"]
    assert not (await ask(paid, actor="nobody"))["items"]
    assert not (await ask(paid, at_to="2000-01-01T00:00:00Z"))["items"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"account_id": ""}, "account_id"),
        ({"colour": "red"}, "colour"),
        ({"sort": "at"}, "sort"),
        ({"cursor": "x"}, "cursor"),
        ({"at_from": "yesterday"}, "at_from"),
        ({"at_from": "2026-01-01T00:00:00"}, "at_from"),
        ({"limit": "0"}, "limit"),
    ],
)
async def test_a_question_that_cannot_be_asked_names_its_field(
    paid: Journey, asked: dict[str, str], field: str
) -> None:
    with pytest.raises(BadQuery) as refused:
        await ask(paid, **asked)
    assert refused.value.field == field
