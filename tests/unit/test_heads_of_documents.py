"""What invoices and memos say of themselves: service dates, items, legal entity, billing profile, tax."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from events.credit_memo import CreditMemoPosted
from events.invoice import InvoiceDrafted, InvoicePosted, InvoiceRevised, Product
from events.mapper import decode
from projections.credits import credit_memos
from projections.folding import Folder
from projections.invoices import invoices
from projections.models import TABLES
from services.accounts.billing_profile import DefineBillingProfile
from services.credits.crediting import CreateCreditMemo, NewLine, PostCreditMemo
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.invoices.invoice import Invoice
from services.invoices.posting import PostInvoice
from services.invoices.preparing import DraftInvoice, PostDraftInvoice
from services.refunds.refunding import IssueUnreferencedRefund
from tests.journey import Journey, line, money

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
MARCH = {"service_start": date(2026, 3, 1), "service_end": date(2026, 3, 31), "reference_item": "ORD-1.2"}


def posted(j: Journey, **more: Any) -> str:
    """100.00 with 7.00 and 3.00 tax, for the legal entity LE and the billing profile BP."""
    charged = line("1", 100)
    taxed = (replace(line("x", 1, 7).taxes[0], code="VAT"), replace(line("x", 1, 3).taxes[0], code="CITY"))
    one = replace(charged, taxes=taxed, **more)
    return j.post("INV", one, profile_id="BP", legal_entity_id="LE")


def memo_of(j: Journey) -> CreditMemoPosted:
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, CreditMemoPosted)]
    return fact


def test_a_line_says_when_its_service_was_and_of_which_item() -> None:
    j = Journey()
    id = posted(j, **MARCH)
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, InvoicePosted)]
    told = fact.lines[0]
    assert (told.service_start, told.service_end, told.reference_item) == tuple(MARCH.values())
    row = Folder(TABLES).from_zero(j.events())[invoices]["t", id]
    assert (row["profile_id"], row["legal_entity_id"]) == ("BP", "LE")
    assert row["lines"][0]["service_end"] == "2026-03-31"


def test_a_service_does_not_end_before_it_begins() -> None:
    backwards = replace(line("1", 5), service_start=date(2026, 3, 2), service_end=date(2026, 3, 1))
    Journey().when(PostInvoice("INV", "USD", (backwards,))).then_rejected("DATE_INVALID")


def test_why_an_invoice_is_not_collected_is_kept_with_its_posting() -> None:
    j = Journey()
    id = j.post("INV", line("1", 5), exclude_from_payments=True, payment_exclusion_reason="the parent pays")
    assert Folder(TABLES).from_zero(j.events())[invoices]["t", id]["exclusion_reason"] == "the parent pays"


@pytest.mark.parametrize(
    "topic",
    [
        "invoice.posted.v1",
        "invoice.drafted.v1",
        "invoice.revised.v1",
        "credit_memo.posted.v1",
        "credit_memo.drafted.v2",
    ],
)
def test_what_was_said_before_reads_as_not_said(topic: str) -> None:
    fact = decode(topic, (GOLDEN / f"{topic}.json").read_bytes())
    if isinstance(fact, InvoicePosted | InvoiceDrafted | InvoiceRevised):
        said = fact if isinstance(fact, InvoicePosted) else fact.content
        assert said.payment_exclusion_reason is None
        assert {(line.service_start, line.service_end, line.reference_item) for line in said.lines} == {
            (None,) * 3
        }
    else:
        assert (fact.billing_profile_id, fact.legal_entity_id, fact.tax_strategy) == (None, None, None)


def test_a_draft_keeps_it_until_it_is_posted() -> None:
    j = Journey()
    march = replace(line("1", 5), **MARCH)
    written = DraftInvoice("INV", "USD", (march,), profile_id="BP", payment_exclusion_reason="it is a gift")
    j.when(replace(written, exclude_from_payments=True)).then_accepted()
    id = j.last_id(Invoice)
    row = Folder(TABLES).from_zero(j.events())[invoices]["t", id]
    assert (row["profile_id"], row["exclusion_reason"]) == ("BP", "it is a gift")
    j.when(PostDraftInvoice(id)).then_accepted()
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, InvoicePosted)]
    assert (fact.lines[0].service_end, fact.payment_exclusion_reason) == (date(2026, 3, 31), "it is a gift")


def test_a_credit_takes_as_much_of_the_taxes_as_of_the_charge() -> None:
    j = Journey()
    id = posted(j)
    credited = (CreditedLine("1", money(50)),)
    j.when(CreditInvoice(id, credited, "GOODWILL", tax_strategy="COPY_FROM_INVOICE_LINE")).then_accepted()
    memo = memo_of(j)
    assert [(tax.code, tax.amount) for tax in memo.lines[0].taxes] == [
        ("VAT", money("3.50")),
        ("CITY", money("1.50")),
    ]
    assert (memo.total, memo.tax_strategy) == (money(55), "COPY_FROM_INVOICE_LINE")
    assert (memo.legal_entity_id, memo.billing_profile_id) == ("LE", "BP")
    row = Folder(TABLES).from_zero(j.events())[credit_memos]["t", memo.credit_memo_id]
    assert (row["legal_entity_id"], row["tax_strategy"]) == ("LE", "COPY_FROM_INVOICE_LINE")


def test_a_credit_of_all_takes_all_its_tax() -> None:
    j = Journey()
    id = posted(j)
    credited = (CreditedLine("1", money(100)),)
    j.when(CreditInvoice(id, credited, "GOODWILL", tax_strategy="COPY_FROM_INVOICE_LINE")).then_accepted()
    assert j.balances(id)["balance"] == "0.00"


@pytest.mark.parametrize("strategy", ["IGNORE", "COPY_FROM_INVOICE_LINE"])
def test_a_tax_of_its_own_is_an_override(strategy: Any) -> None:
    j = Journey()
    credited = (CreditedLine("1", money(50), money(5)),)
    j.when(CreditInvoice(posted(j), credited, "GOODWILL", tax_strategy=strategy))
    j.then_rejected("MALFORMED_REQUEST")


def test_a_credit_that_ignores_tax_has_none() -> None:
    j = Journey()
    j.when(
        CreditInvoice(posted(j), (CreditedLine("1", money(50)),), "X", tax_strategy="IGNORE")
    ).then_accepted()
    assert memo_of(j).total == money(50)


def test_what_was_converted_is_of_its_invoices_entity_and_taxes() -> None:
    j = Journey("recommended")
    posted(j)
    j.post("NEG", line("1", -10, -1, of=("INV", "1")), profile_id="BP", legal_entity_id="LE")
    memo = memo_of(j)
    assert (memo.legal_entity_id, memo.billing_profile_id) == ("LE", "BP")
    assert memo.tax_strategy == "COPY_FROM_INVOICE_LINE"


def test_a_memo_is_paid_out_by_its_billing_profiles_method() -> None:
    j = Journey()
    profile = DefineBillingProfile("BP", "Work", 1, saved_payment_method_id=j.card_b)
    j.when(profile).then_accepted()
    lines = (NewLine("1", money(10), Product(name="goodwill")),)
    drafted = CreateCreditMemo(
        "USD", lines, "X", "M", draft=True, billing_profile_id="BP", legal_entity_id="LE"
    )
    j.when(drafted).then_accepted()
    j.when(PostCreditMemo("M")).then_accepted()
    assert (memo_of(j).billing_profile_id, memo_of(j).legal_entity_id) == ("BP", "LE")
    j.when(IssueUnreferencedRefund("M", money(10), "asked")).then_accepted()
    (refund,) = j.refunds()
    assert refund.method.token_ref == "tok_b"


def test_tax_is_never_calculated_here_and_who_asks_for_it_is_told() -> None:
    j = Journey()
    lines = (NewLine("1", money(1), Product(name="x")),)
    for strategy, possible in (
        ("CALCULATE", ["IGNORE", "MANUAL_OVERRIDE"]),
        ("COPY_FROM_INVOICE_LINE", ["IGNORE", "MANUAL_OVERRIDE"]),
    ):
        j.when(CreateCreditMemo("USD", lines, "X", tax_strategy=strategy))  # type: ignore[arg-type]
        j.then_rejected("TAX_STRATEGY_UNSUPPORTED", possible=possible)
    credited = (CreditedLine("1", money(50)),)
    j.when(CreditInvoice(posted(j), credited, "X", tax_strategy="CALCULATE")).then_rejected(
        "TAX_STRATEGY_UNSUPPORTED", possible=["IGNORE", "MANUAL_OVERRIDE", "COPY_FROM_INVOICE_LINE"]
    )
