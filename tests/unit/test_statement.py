"""An account's statement and a tenant's feed: both from the log, for any time, page by page."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from projections.asking import BadQuery
from projections.feed import feed
from projections.sight import Sight, Unseen
from projections.statement import as_csv, group, statement
from services.accounts.account import RegisterAccount
from services.invoices.posting import PostInvoice
from services.refunds.refunding import IssueRefund
from tests.journey import SUCCESS, Journey, line, money
from tests.spec import NOW

DAY = timedelta(days=1)


@pytest.fixture
def j() -> Journey:
    """Day 0: an invoice of 100.00. Day 1: 120.00 paid, applied. Day 2: 15.00 of the rest goes back."""
    j = Journey()
    invoice = j.post("INV-1", line("1", "100.00"))
    j.at(DAY)
    j.pay("P", "120.00")
    j.apply("P", invoice, "100.00")
    j.at(DAY)
    j.when(IssueRefund("P", money("15.00"), "goodwill", "UNAPPLIED", "R")).then_accepted()
    j.answer_refund("R", SUCCESS)
    return j


async def told(j: Journey, **asked: Any) -> dict[str, Any]:
    given = {name.rstrip("_"): [str(each)] for name, each in asked.items()}
    answer = await statement(j.store, "t", "A", given, j.now())
    assert answer is not None
    (usd,) = answer["currencies"]
    return usd


async def test_each_line_says_what_it_changed_and_what_was_left(j: Journey) -> None:
    usd = await told(j)
    changes = [(each["change_minor"], each["balance_minor"]) for each in usd["lines"]]
    assert changes == [(10_000, 10_000), (-12_000, -2_000), (1_500, -500)]
    assert usd["lines"][0]["sentence"].startswith("Invoice INV-1 posted: 100.00 USD")
    assert (usd["opening_balance_minor"], usd["closing_balance_minor"]) == (0, -500)
    assert (usd["charged_minor"], usd["settled_minor"]) == (11_500, -12_000)
    assert (usd["receivable_minor"], usd["unapplied_minor"], usd["credit_minor"]) == (0, 500, 0)


async def test_a_period_opens_with_what_was_before_it_and_may_end_in_the_past(j: Journey) -> None:
    usd = await told(j, from_=(NOW + DAY).isoformat(), to=(NOW + DAY).isoformat())
    assert (usd["opening_balance_minor"], usd["closing_balance_minor"]) == (10_000, -2_000)
    assert [each["change_minor"] for each in usd["lines"]] == [-12_000]


async def test_a_statement_that_cannot_be_is_refused(j: Journey) -> None:
    for asked in ({"from": [(NOW + DAY).isoformat()], "to": [NOW.isoformat()]}, {"colour": ["red"]}):
        with pytest.raises(BadQuery):
            await statement(j.store, "t", "A", asked, j.now())
    assert await statement(j.store, "t", "nobody", {}, j.now()) is None
    with pytest.raises(Unseen):
        await statement(j.store, "t", "A", {}, j.now(), Sight(frozenset({"B"})))


async def test_lines_of_some_documents_only_and_the_newest_first(j: Journey) -> None:
    paid = await told(j, documents="payment", sort="-at")
    assert [each["change_minor"] for each in paid["lines"]] == [-12_000]
    assert (paid["opening_balance_minor"], paid["closing_balance_minor"]) == (0, -500)
    newest = await told(j, sort="-at")
    assert [each["change_minor"] for each in newest["lines"]] == [1_500, -12_000, 10_000]
    for asked in ({"documents": ["dreams"]}, {"sort": ["amount"]}):
        with pytest.raises(BadQuery):
            await statement(j.store, "t", "A", asked, j.now())


async def test_related_accounts_stand_on_one_statement_each_with_its_own_part(j: Journey) -> None:
    j.when(RegisterAccount("Babbage", parent_account_id="A"), account="B").then_accepted()
    j.when(PostInvoice("INV-B", "USD", (line("1", "7.00"),)), account="B").then_accepted()
    both = await group(j.store, "t", ["A", "B"], {}, j.now())
    assert both is not None
    assert [each["account_id"] for each in both["accounts"]] == ["A", "B"]
    (usd,) = both["currencies"]
    assert (usd["closing_balance_minor"], usd["receivable_minor"], usd["unapplied_minor"]) == (200, 700, 500)
    assert await group(j.store, "t", ["A", "nobody"], {}, j.now()) is None
    with pytest.raises(Unseen):
        await group(j.store, "t", ["A", "B"], {}, j.now(), Sight(frozenset({"A"})))


async def test_a_statement_for_a_spreadsheet(j: Journey) -> None:
    j.when(RegisterAccount("Babbage"), account="-B").then_accepted()
    j.when(PostInvoice("INV-B", "JPY", (line("1", 7, currency="JPY"),)), account="-B").then_accepted()
    both = await group(j.store, "t", ["A", "-B"], {}, j.now())
    assert both is not None
    rows = list(csv.DictReader(io.StringIO(as_csv(both))))
    assert [row["balance"] for row in rows] == ["0.00", "100.00", "-20.00", "-5.00", "-5.00", "0", "7", "7"]
    assert [row["document"] for row in rows[1:4]] == ["invoice", "payment", "refund"]
    assert rows[0]["what"] == "opening balance"
    assert rows[-1]["what"] == "closing balance"
    assert {row["account_id"] for row in rows} == {"A", "'-B"}


async def test_a_feed_is_the_log_of_one_tenant_page_by_page(j: Journey) -> None:
    whole = await j.store.read(0, 10_000)
    seen, cursor = list[str](), "0"
    while True:
        page = await feed(j.store, "t", {"after": [cursor], "limit": ["3"]})
        seen += [each["event_id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == [event.event_id for event in whole]
    again = await feed(j.store, "t", {"after": [cursor]})
    assert (again["items"], again["next_cursor"]) == ([], cursor)
    assert (await feed(j.store, "other", {}))["items"] == []


async def test_a_feed_takes_filters_and_shows_what_may_be_seen(j: Journey) -> None:
    asked = {"type": ["payments.payment.processed.v2,refund.processed.v2"]}
    types = [each["type"] for each in (await feed(j.store, "t", asked))["items"]]
    assert types == ["payments.payment.processed.v2", "payments.refund.processed.v2"]
    blind = Sight(accounts=frozenset({"B"}))
    assert (await feed(j.store, "t", {}, blind))["items"] == []
    for wrong in ({"after": ["x"]}, {"colour": ["red"]}, {"limit": ["0"]}):
        with pytest.raises(BadQuery):
            await feed(j.store, "t", wrong)
