"""A negative invoice of a subscription takes back its latest positive one, unless it says which (3.5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from events.subscription import SubscriptionInvoiced
from services.credits.credit_memo import CreditMemo
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.invoice import Invoice
from services.invoices.posting import Line
from services.orchestrations.orchestration import RefundOrchestration
from tests.journey import Journey, line

OF_S = {"reference_type": "SUBSCRIPTION", "reference_id": "S-1"}


def journey() -> Journey:
    return Journey("recommended", auto_apply_credits_to_posted_invoices=False)


def post(j: Journey, id: str, *lines: Line, **more: Any) -> str:
    j.at(timedelta(days=1))
    return j.post(id, *lines, **(OF_S | more))


def memo(j: Journey) -> CreditMemo:
    return j.state(CreditMemo, j.last_id(CreditMemo))


def test_it_takes_back_the_latest_positive_invoice_of_its_subscription() -> None:
    j = journey()
    post(j, "MARCH", line("1", "100.00"))
    april = post(j, "APRIL", line("1", "120.00"))
    marked = [fact for _, _, fact in j.facts() if isinstance(fact, SubscriptionInvoiced)]
    assert marked == [SubscriptionInvoiced("A", "S-1", april, j.time)]
    j.pay("P", "120.00", april)
    negative = post(j, "NEG", line("1", "-30.00"))
    assert j.state(Invoice, negative).original_invoice_id == april
    assert memo(j).reference_invoice_id == april
    j.run_processes()
    assert [(refund.payment_id, refund.amount) for refund in j.refunds()] == [("P", 30_00)]


def test_latest_is_by_the_time_of_posting_whatever_came_first() -> None:
    j = journey()
    april = post(j, "APRIL", line("1", "120.00"))
    j.post("MARCH", line("1", "100.00"), posted_at=j.time - timedelta(days=30), **OF_S)
    post(j, "NEG", line("1", "-30.00"))
    assert memo(j).reference_invoice_id == april


def test_what_it_names_itself_comes_first() -> None:
    j = journey()
    march = post(j, "MARCH", line("1", "100.00"))
    april = post(j, "APRIL", line("1", "120.00"))
    post(j, "NEG", line("1", "-30.00"), original="MARCH")
    assert memo(j).reference_invoice_id == march
    post(j, "NEG2", line("1", "-20.00", of=("MARCH", "1")), line("2", "-10.00"))
    references = {
        j.state(CreditMemo, id).total: j.state(CreditMemo, id).reference_invoice_id
        for id in j.ids(CreditMemo)
    }
    assert references == {30_00: march, 20_00: march, 10_00: april}


def test_a_mixed_invoice_does_not_take_back_itself() -> None:
    j = journey()
    march = post(j, "MARCH", line("1", "100.00"))
    mixed = post(j, "MIXED", line("1", "50.00"), line("2", "-80.00"))
    assert j.state(Invoice, mixed).original_invoice_id == march
    assert (memo(j).applied, memo(j).balance, memo(j).reference_invoice_id) == (50_00, 30_00, march)


def test_another_subscription_another_account_or_none_is_no_original() -> None:
    j = journey()
    post(j, "MARCH", line("1", "100.00"))
    for id, more in (("X", {"reference_id": "S-2"}), ("Y", {"reference_type": "ORDER"})):
        post(j, id, line("1", "-30.00"), **more)
        assert (memo(j).reference_invoice_id, memo(j).category) == (None, "STANDALONE")
    j.post("Z", line("1", "-30.00"))
    assert memo(j).reference_invoice_id is None
    assert j.ids(RefundOrchestration) == []


def test_a_conversion_by_hand_finds_it_too() -> None:
    j = Journey()
    march = post(j, "MARCH", line("1", "100.00"))
    negative = post(j, "NEG", line("1", "-30.00"))
    j.when(ConvertNegativeInvoice(negative)).then_accepted()
    assert memo(j).reference_invoice_id == march
