"""A statement as pages: every line is on one of them, between its balances, with its money at the right."""

from __future__ import annotations

from typing import Any

import pypdfium2
import pytest

from projections.asking import BadQuery
from projections.statement import group, statement
from projections.statement_pdf import as_pdf
from services.accounts.account import RegisterAccount
from tests.journey import Journey, line

INVOICES = 60


async def told(j: Journey, account: str = "A") -> dict[str, Any]:
    answer = await statement(j.store, "t", account, {}, j.now())
    assert answer is not None
    return answer


def pages(document: bytes) -> list[str]:
    opened = pypdfium2.PdfDocument(document)
    try:
        return [page.get_textpage().get_text_bounded().replace("\r", "") for page in opened]
    finally:
        opened.close()


@pytest.fixture
def j() -> Journey:
    j = Journey()
    for number in range(INVOICES):
        j.post(f"INV-{number}", line("1", "1234.50"))
    j.pay("P", "50.00")
    return j


async def test_a_long_table_goes_on_over_numbered_pages_under_its_heading(j: Journey) -> None:
    texts = pages(as_pdf(await told(j)))
    assert len(texts) > 1
    for number, text in enumerate(texts, start=1):
        assert f"Page {number} of {len(texts)}" in text
        assert "Amount (USD)" in text
        assert "Account statement" in text
    whole = "\n".join(texts)
    assert [whole.count(f"INV-{number} ") for number in range(INVOICES)] == [1] * INVOICES
    assert whole.index("Opening balance") < whole.index("INV-0 ") < whole.index("Closing balance")
    assert "1,234.50 USD" in whole
    assert "-50.00 USD" in whole
    assert "74,020.00 USD" in whole


async def test_amounts_end_at_one_edge(j: Journey) -> None:
    page = pypdfium2.PdfDocument(as_pdf(await told(j)))[0].get_textpage()
    ends = set[int]()
    search = page.search("1,234.50 USD")
    while found := search.get_next():
        ends.add(round(page.get_charbox(sum(found) - 1)[2]))
    edges = [end for end in ends if end > 300]
    assert len(edges) == 2, "of the amounts, and of the balances; the rest is in sentences"


async def test_several_accounts_are_told_one_after_another_and_summed_up(j: Journey) -> None:
    j.when(RegisterAccount("Łukasz Ćwikła и Ωμέγα"), account="B").then_accepted()
    both = await group(j.store, "t", ["A", "B"], {}, j.now())
    assert both is not None
    whole = "\n".join(pages(as_pdf(both)))
    assert "Łukasz Ćwikła и Ωμέγα" in whole
    assert whole.index("Ada") < whole.index("Łukasz") < whole.index("All accounts")


async def test_what_has_no_glyph_is_refused_by_name(j: Journey) -> None:
    j.when(RegisterAccount("漢字"), account="B").then_accepted()
    with pytest.raises(BadQuery, match="漢 字"):
        as_pdf(await told(j, "B"))


async def test_the_same_statement_is_the_same_document(j: Journey) -> None:
    j.when(RegisterAccount("Nobody"), account="B").then_accepted()
    once = await told(j, "B")
    assert as_pdf(once) == as_pdf(once)
    assert "Nothing was owed" in pages(as_pdf(once))[0]
