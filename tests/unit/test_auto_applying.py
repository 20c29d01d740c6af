"""Money on account settles what is owed, unasked, as far as it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from events import ids
from events.invoice import InvoiceLocked, Product
from services.applications.applying import ApplyPayment, UnapplyPayment
from services.applications.auto_applying import AutoApplyPayment
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.invoices.invoice import Invoice
from services.invoices.standing import ExcludeInvoiceFromPayments
from services.payments.paying import ApplyTo, ProcessPayment
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from tests.journey import SUCCESS, Journey, line, money

PAYMENTS = {"auto_apply_payments_to_posted_invoices": True}
BOTH = {**PAYMENTS, "auto_apply_credits_to_posted_invoices": True}


def holding(*amounts: str, **settings: Any) -> Journey:
    """Payments P0, P1, … on account, a minute apart."""
    j = Journey(**settings)
    for n, amount in enumerate(amounts):
        j.at(timedelta(minutes=1))
        j.pay(f"P{n}", amount)
    return j


def credit(j: Journey, id: str, amount: str) -> None:
    goodwill = NewLine("1", money(amount), Product(name="goodwill"))
    j.when(CreateCreditMemo("USD", (goodwill,), "GOODWILL", id)).then_accepted()


def unapplied(j: Journey) -> list[str]:
    return [j.payment(id)["unapplied"] for id in j.ids(Payment)]


# -- when an invoice is posted


def test_a_bare_tenant_applies_nothing_by_itself() -> None:
    j = holding("50.00")
    assert j.balances(j.post("INV", line("1", "80.00")))["balance"] == "80.00"


def test_payments_on_account_settle_a_posted_invoice_oldest_first() -> None:
    j = holding("50.00", "20.00", "30.00", **PAYMENTS)
    invoice = j.post("INV", line("1", "60.00", "5.00"))
    assert j.balances(invoice) == {"balance": "0.00", "status": "SETTLED", "lines": {"1": "0.00"}}
    assert unapplied(j) == ["0.00", "5.00", "30.00"]
    causes = {fact.cause for kind, _, fact in j.facts() if kind == "payment"}
    assert causes == {"RULE"}


def test_what_was_meant_for_it_goes_first() -> None:
    j = holding("50.00", **PAYMENTS)
    meant = ids.invoice_id("t", "INV")
    j.when(ProcessPayment(money("50.00"), "Q", j.card_a, apply_to=(ApplyTo(meant),))).then_accepted()
    j.settle("Q", SUCCESS)
    assert j.payment("Q")["unapplied"] == "50.00", "the invoice is not there yet"
    j.post("INV", line("1", "40.00"))
    assert (j.payment("P0")["unapplied"], j.payment("Q")["unapplied"]) == ("50.00", "10.00")


def test_what_is_not_free_is_passed_over() -> None:
    j = holding("10.00", "20.00", "40.00", **PAYMENTS)
    j.when(CancelPayment("P0")).then_accepted()
    j.pay("E", "40.00", currency="EUR")
    j.request("R", "40.00")
    invoice = j.post("INV", line("1", "100.00"))
    assert j.balances(invoice)["balance"] == "40.00"
    assert [j.payment(id)["applied"] for id in ("P0", "P1", "P2", "E", "R")] == [
        "0.00",
        "20.00",
        "40.00",
        "0.00",
        "0.00",
    ]


def test_an_invoice_that_is_excluded_from_payments_takes_none_by_itself() -> None:
    j = holding("50.00", **BOTH)
    credit(j, "M", "10.00")
    invoice = j.post("INV", line("1", "80.00"), exclude_from_payments=True)
    assert j.balances(invoice)["balance"] == "70.00", "a credit is no payment"
    j.apply("P0", invoice, "50.00").then_accepted()


def test_a_negative_invoice_and_one_of_nothing_take_nothing() -> None:
    j = holding("50.00", **BOTH)
    j.post("NEG", line("1", "-80.00"))
    j.post("NIL", line("1", "0.00"))
    assert unapplied(j) == ["50.00"]


@pytest.mark.parametrize(
    ("order", "from_payment", "from_credit"),
    [("PAYMENTS_FIRST", "50.00", 30_00), ("CREDITS_FIRST", "40.00", 40_00)],
)
def test_payments_or_credits_go_first_as_the_tenant_wants(
    order: str, from_payment: str, from_credit: int
) -> None:
    j = holding("50.00", application_order=order, **BOTH)
    credit(j, "M", "40.00")
    invoice = j.post("INV", line("1", "80.00"))
    assert j.balances(invoice)["status"] == "SETTLED"
    assert (j.payment("P0")["applied"], j.state(CreditMemo, "M").applied) == (from_payment, from_credit)


def test_a_mixed_invoice_uses_its_own_credit_before_money_on_account() -> None:
    j = holding("500.00", convert_negative_lines=True, apply_converted_credit_to_source_invoice=True, **BOTH)
    invoice = j.post("INV", line("1", "400.00"), line("2", "-100.00"))
    assert j.balances(invoice)["status"] == "SETTLED"
    assert j.payment("P0")["applied"] == "300.00"


def test_at_the_level_of_the_invoice_too() -> None:
    j = holding("50.00", application_level="INVOICE", **PAYMENTS)
    invoice = j.post("INV", line("1", "30.00"), line("2", "40.00"))
    assert j.balances(invoice)["balance"] == "20.00"
    assert j.state(Invoice, invoice).level == "INVOICE"


# -- when it is asked for


def test_a_payment_settles_the_oldest_invoices_it_reaches() -> None:
    j = Journey()
    owed: list[str] = []
    for n in range(3):
        j.at(timedelta(minutes=1))
        owed.append(j.post(f"I{n}", line("1", "40.00")))
    j.pay("P", "100.00")
    j.when(AutoApplyPayment("P")).then_accepted()
    assert [j.balances(id)["balance"] for id in owed] == ["0.00", "0.00", "20.00"]
    assert j.payment("P")["unapplied"] == "0.00"
    j.when(AutoApplyPayment("P")).then_nothing()


def test_what_it_was_meant_for_is_settled_before_what_is_older() -> None:
    j = Journey()
    older = j.post("OLD", line("1", "40.00"))
    j.at(timedelta(minutes=1))
    newer = j.post("NEW", line("1", "40.00"))
    j.pay("P", "50.00", newer)
    (application,) = j.state(Payment, "P").applications
    j.when(UnapplyPayment("P", application)).then_accepted()
    j.when(AutoApplyPayment("P")).then_accepted()
    assert [j.balances(id)["balance"] for id in (newer, older)] == ["0.00", "30.00"]


def test_what_takes_nothing_is_passed_over() -> None:
    j = Journey()
    held, excluded = j.post("HELD", line("1", "10.00")), j.post("EXCL", line("1", "10.00"))
    euro, credit_note = j.post("EUR", line("1", "10.00", currency="EUR")), j.post("NEG", line("1", "-10.00"))
    j.when(ExcludeInvoiceFromPayments(excluded, "by hand")).then_accepted()
    j.given((Invoice, held, InvoiceLocked("refunding:ro")))
    j.pay("P", "50.00")
    j.when(AutoApplyPayment("P")).then_nothing()
    assert [j.state(Invoice, id).applications for id in (held, excluded, euro, credit_note)] == [{}] * 4


def test_only_money_that_is_there_and_ours_is_applied() -> None:
    j = Journey()
    j.request("P", "50.00")
    j.when(AutoApplyPayment("none")).then_rejected("PAYMENT_NOT_FOUND")
    j.when(AutoApplyPayment("P"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(AutoApplyPayment("P")).then_rejected("PAYMENT_NOT_PROCESSED", state="REQUESTED")
    j.settle("P", SUCCESS).when(CancelPayment("P")).when(AutoApplyPayment("P")).then_rejected(
        "OPERATION_IN_FLIGHT"
    )


def test_an_invoice_settled_at_another_level_is_passed_over() -> None:
    j = Journey(application_level="INVOICE")
    lined, whole = j.post("LINED", line("1", "40.00")), j.post("WHOLE", line("1", "40.00"))
    j.pay("P", "50.00")
    j.when(ApplyPayment("P", lined, money("10.00"), "1")).then_accepted()
    j.when(AutoApplyPayment("P")).then_accepted()
    assert [j.balances(id)["balance"] for id in (lined, whole)] == ["30.00", "0.00"]
