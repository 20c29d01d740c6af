"""Voiding an invoice mirrors it to the cent; writing one off gives up what is open, by hand or by policy."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.credit_memo import CreditMemoApplied, CreditMemoPosted, CreditMemoVoided
from events.debit_memo import DebitMemoPosted
from events.invoice import InvoiceLocked, InvoiceVoided, InvoiceWriteOffReversed, InvoiceWrittenOff, Product
from events.money import Money
from projections.account_balances import account_balances
from projections.derived import net_balance
from projections.folding import Folder
from projections.ledger import ledger_balances
from projections.models import TABLES
from services.accounts.account import RegisterAccount
from services.applications.allocating import MoveCreditMemoApplications, Place
from services.applications.applying import (
    ApplyCreditMemo,
    ApplyPayment,
    Target,
    UnapplyCreditMemo,
    UnapplyPayment,
)
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.credits.writing_off import ReverseWriteOff, WriteOffInvoice
from services.disputes.disputing import RecordDisputeOpened
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, PostInvoice, TaxLine
from services.invoices.voiding import VoidInvoice
from services.payments.payment import Payment
from tests.journey import CARD_CLOSED, SUCCESS, Journey, line, money

OF_S = {"reference_type": "SUBSCRIPTION", "reference_id": "S"}


@pytest.fixture
def j() -> Journey:
    return Journey()


def ledger(j: Journey) -> dict[str, int]:
    """What each ledger account has; debits equal credits, and it says what the balances say."""
    rows = Folder(TABLES).from_zero(j.events())
    sums = Counter[str]()
    for (*_, account), row in rows.get(ledger_balances, {}).items():
        sums[account] += row["debit"] - row["credit"]
    assert sum(sums.values()) == 0
    net = sums["Accounts receivable"] + sums["Unapplied cash"] + sums["Customer credits"]
    assert net == sum(net_balance(row) for row in rows.get(account_balances, {}).values())
    return {account: amount for account, amount in sums.items() if amount}


def memo_of(j: Journey) -> CreditMemo:
    return j.state(CreditMemo, j.last_id(CreditMemo))


# -- voiding


def test_an_invoice_is_voided_by_a_memo_of_the_same_lines(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00", "8.00"), line("2", "50.00"))
    j.when(VoidInvoice(id, reason="posted twice")).then_accepted()
    assert j.state(Invoice, id).status == "VOIDED"
    assert j.balances(id)["lines"] == {"1": "0.00", "2": "0.00"}
    memo = memo_of(j)
    assert (memo.category, memo.source_action, memo.balance) == ("REFERENCED", "VOID_POSTED_INVOICE", 0)
    assert [(x.line.charge, x.line.line_total) for x in memo.lines.values()] == [
        (money("100.00"), money("108.00")),
        (money("50.00"), money("50.00")),
    ]
    types = [type(fact) for _, _, fact in j.facts()]
    assert types[0] is CreditMemoPosted
    assert types[-1] is InvoiceVoided
    assert ledger(j) == {}, "as if it had never been posted"


def test_what_is_settled_is_not_voided(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00"))
    j.pay("P", "1.00", id)
    j.when(VoidInvoice(id)).then_rejected("INVOICE_HAS_SETTLEMENTS")
    (application,) = j.state(Payment, "P").applications
    j.when(UnapplyPayment("P", application)).then_accepted()
    j.when(VoidInvoice(id)).then_accepted()
    j.when(VoidInvoice(id)).then_rejected("INVALID_STATE", state="VOIDED")
    (taken,) = memo_of(j).applications
    j.when(UnapplyCreditMemo(memo_of(j).credit_memo_id, taken)).then_rejected("TARGET_NOT_POSTED")
    j.apply("P", id, "1.00").then_rejected("TARGET_NOT_POSTED")
    j.when(CreditInvoice(id, (CreditedLine("1", money("1.00")),), "X")).then_rejected("TARGET_NOT_POSTED")
    j.when(ConvertNegativeInvoice(id)).then_rejected("TARGET_NOT_POSTED")


def test_not_while_a_payment_of_it_is_on_its_way(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00"))
    j.request("P", "100.00", id)
    j.when(VoidInvoice(id)).then_rejected("OPERATION_IN_FLIGHT")
    j.when(WriteOffInvoice(id, "BAD_DEBT")).then_rejected("OPERATION_IN_FLIGHT")
    j.settle("P", CARD_CLOSED)
    j.when(VoidInvoice(id)).then_accepted()


def test_guards_of_voiding(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00"))
    j.when(VoidInvoice("none")).then_rejected("INVOICE_NOT_FOUND")
    j.when(VoidInvoice(id), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.given((Invoice, id, InvoiceLocked("refunding:x")))
    j.when(VoidInvoice(id)).then_rejected("INVOICE_LOCKED")


def test_of_a_subscription_the_newest_goes_first(j: Journey) -> None:
    march = j.post("MARCH", line("1", "10.00"), **OF_S)
    april = j.at(timedelta(days=31)).post("APRIL", line("1", "10.00"), **OF_S)
    j.post("ELSE", line("1", "10.00"))
    j.when(VoidInvoice(march)).then_rejected("INVOICE_NOT_LATEST", latest=april)
    j.when(VoidInvoice(april)).then_accepted()
    neg = j.post("NEG", line("1", "-5.00"), **OF_S)
    assert j.state(Invoice, neg).original_invoice_id == march, "the latest that was not voided"
    j.when(VoidInvoice(march)).then_accepted()


def test_a_negative_invoice_is_voided_without_anybody_getting_its_credit(j: Journey) -> None:
    id = j.post("NEG", line("1", "-100.00", "-8.00"))
    j.when(VoidInvoice(id)).then_accepted()
    memo = memo_of(j)
    assert (j.state(Invoice, id).status, j.state(Invoice, id).balance) == ("VOIDED", 0)
    assert (memo.status, memo.balance) == ("VOIDED", 0)
    assert [fact.kind for _, _, fact in j.facts() if isinstance(fact, DebitMemoPosted)] == ["OFFSET"]
    assert ledger(j) == {}


def test_a_mixed_invoice_is_voided_line_by_line(j: Journey) -> None:
    for n, lines in enumerate(
        (
            (line("1", "100.00", "8.00"), line("2", "-30.00", "-3.00")),
            (line("1", "30.00"), line("2", "-100.00")),
        )
    ):
        id = j.post(f"MIX{n}", *lines)
        j.when(VoidInvoice(id)).then_accepted()
        assert j.balances(id)["lines"] == {"1": "0.00", "2": "0.00"}
    assert ledger(j) == {}


def test_a_converted_invoice_is_not_voided() -> None:
    j = Journey(convert_negative_lines=True)
    id = j.post("MIX", line("1", "100.00"), line("2", "-30.00"))
    j.when(VoidInvoice(id)).then_rejected("INVOICE_HAS_SETTLEMENTS")


def test_an_invoice_of_nothing_is_voided_without_a_memo(j: Journey) -> None:
    id = j.post("NIL", line("1", "0.00"))
    j.when(VoidInvoice(id)).then((Invoice, id, InvoiceVoided(None)))


# -- writing off


def test_what_is_open_is_written_off(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00", "10.00"), line("2", "30.00"))
    j.pay("P", "120.00", id)
    j.when(WriteOffInvoice(id, "CUSTOMER_GONE", "ask no more")).then_accepted()
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, InvoiceWrittenOff)]
    assert (fact.amount, fact.reason_code, fact.cause) == (money("20.00"), "CUSTOMER_GONE", "MANUAL")
    assert j.balances(id)["status"] == "SETTLED"
    memo = memo_of(j)
    assert (memo.category, memo.source_action) == ("INVOICE_WRITE_OFF", "WRITE_OFF_POSTED_INVOICE")
    assert ledger(j)["Bad debt"] == 20_00
    j.when(WriteOffInvoice(id, "X")).then_rejected("NOTHING_TO_CHANGE")


def test_a_write_off_is_taken_back_whole_and_leaves_no_credit(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00", "10.00"), line("2", "30.00"))
    j.when(WriteOffInvoice(id, "GONE")).then_accepted()
    memo = memo_of(j)
    for application in memo.applications:
        j.when(UnapplyCreditMemo(memo.credit_memo_id, application)).then_rejected("REFERENCE_MISMATCH")
    other = j.post("OTHER", line("1", "500.00"))
    move = MoveCreditMemoApplications(memo.credit_memo_id, tuple(memo.applications), (Place(other),))
    j.when(move).then_rejected("REFERENCE_MISMATCH")
    j.when(ReverseWriteOff(id, reason="he is back")).then_accepted()
    assert [
        type(f) for _, _, f in j.facts() if isinstance(f, InvoiceWriteOffReversed | CreditMemoVoided)
    ] == [
        InvoiceWriteOffReversed,
        CreditMemoVoided,
    ]
    assert (j.balances(id)["balance"], memo_of(j).status) == ("140.00", "VOIDED")
    assert "Bad debt" not in ledger(j)
    j.when(ReverseWriteOff(id)).then_rejected("NOTHING_TO_CHANGE")
    j.when(WriteOffInvoice(id, "GONE")).then_accepted()
    j.when(ReverseWriteOff(id, "another")).then_rejected("NOTHING_TO_CHANGE")
    j.when(ReverseWriteOff(id, memo_of(j).credit_memo_id)).then_accepted()


def test_guards_of_writing_off(j: Journey) -> None:
    id = j.post("INV", line("1", "100.00"))
    j.when(WriteOffInvoice("none", "X")).then_rejected("INVOICE_NOT_FOUND")
    j.when(WriteOffInvoice(id, "X"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.pay("P", "50.00", id)
    j.when(RecordDisputeOpened("D", "P", money("50.00"), "fraud", "NOTIFICATION")).then_accepted()
    j.when(WriteOffInvoice(id, "X")).then_rejected("PAYMENT_DISPUTED")
    held = j.post("HELD", line("1", "100.00"))
    j.given((Invoice, held, InvoiceLocked("refunding:x")))
    j.when(WriteOffInvoice(held, "X")).then_rejected("INVOICE_LOCKED")


# -- small balances


def small(**more: Any) -> Journey:
    return Journey(small_balance_write_off=(money("1.00"), money("5", "JPY")), **more)


@pytest.mark.parametrize(("rest", "written_off"), [("0.99", True), ("1.00", False), ("0.01", True)])
def test_a_rest_below_the_threshold_is_written_off(rest: str, written_off: bool) -> None:
    j = small()
    id = j.post("INV", line("1", "100.00"))
    j.pay("P", "200.00")
    j.apply("P", id, f"{100 - float(rest):.2f}").then_accepted()
    assert j.balances(id)["balance"] == ("0.00" if written_off else rest)
    causes = [fact.cause for _, _, fact in j.facts() if isinstance(fact, InvoiceWrittenOff)]
    assert causes == ["SMALL_BALANCE"] * written_off
    ledger(j)


def test_whatever_has_left_it_and_only_in_a_currency_that_has_a_threshold() -> None:
    j = small(auto_apply_payments_to_posted_invoices=True)
    j.pay("P", "99.50")
    assert j.balances(j.post("I1", line("1", "100.00")))["status"] == "SETTLED"
    i2 = j.post("I2", line("1", "100.00"))
    j.request("Q", "99.90", i2)
    j.settle("Q", SUCCESS)
    assert j.balances(i2)["status"] == "SETTLED"
    i3 = j.post("I3", line("1", "100.00"))
    j.when(CreateCreditMemo("USD", (NewLine("1", money("99.95"), Product(name="x")),), "X", "M"))
    j.when(ApplyCreditMemo("M", (Target(i3, money("99.95")),))).then_accepted()
    assert j.balances(i3)["status"] == "SETTLED"
    euros = j.post("I4", line("1", "100.00", currency="EUR"))
    j.pay("E", "99.99", currency="EUR")
    j.apply("E", euros, "99.99", currency="EUR").then_accepted()
    assert j.balances(euros)["balance"] == "0.01"
    i5 = j.post("I5", line("1", "0.50"))
    assert j.balances(i5)["balance"] == "0.50", "nothing was applied to it"


def test_what_an_orchestration_has_left_too() -> None:
    j = Journey("recommended", small_balance_write_off=(money("1.00"),))
    id = j.post("INV", line("1", "100.00"))
    j.post("NEG", line("1", "-99.50", of=("INV", "1")))
    j.run_processes()
    assert j.balances(id)["status"] == "SETTLED"
    assert [x.amount for x in j.state(Invoice, id).applications.values()] == [99_50, 50]
    ledger(j)


def test_what_another_account_has_paid_too() -> None:
    j = small(allow_cross_account=True)
    j.when(RegisterAccount("Bob"), account="B").then_accepted()
    j.when(PostInvoice("INV", "USD", (line("1", "10.00"),)), account="B").then_accepted()
    id = j.last_id(Invoice)
    j.pay("P", "9.50")
    j.when(ApplyPayment("P", id, money("9.50"), associated_account_id="B")).then_accepted()
    j.run_processes()
    assert j.balances(id)["status"] == "SETTLED"


def test_not_while_another_payment_of_it_is_on_its_way() -> None:
    j = small()
    id = j.post("INV", line("1", "100.00"))
    j.request("P", "0.50", id)
    j.pay("Q", "99.50")
    j.apply("Q", id, "99.50").then_accepted()
    assert j.balances(id)["balance"] == "0.50"
    j.settle("P", SUCCESS)
    assert j.balances(id)["status"] == "SETTLED"
    assert not j.ids(CreditMemo)


# -- to the last cent


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-300, 900), st.integers(0, 90)), min_size=1, max_size=5),
    st.integers(0, 500),
    st.sampled_from(("INVOICE", "INVOICE_LINE")),
    st.sampled_from(("JPY", "USD", "KWD")),
)
def test_nothing_is_left_of_what_is_voided_or_written_off(
    lines: list[tuple[int, int]], paid: int, level: str, currency: str
) -> None:
    j = Journey(application_level=level)
    posted = tuple(
        Line(str(n), Money(charge, currency), (TaxLine(Money(tax if charge >= 0 else -tax, currency)),))
        for n, (charge, tax) in enumerate(lines)
    )
    for external_id in ("VOID", "OFF"):
        j.when(PostInvoice(external_id, currency, posted)).then_accepted()
    void, off = j.ids(Invoice)
    j.when(VoidInvoice(void)).then_accepted()
    assert j.state(Invoice, void).balance == 0
    assert sum(x.balance for x in j.state(Invoice, void).lines.values()) in (0, j.state(Invoice, void).total)
    before = j.state(Invoice, off).balance
    paid = min(paid, before)
    if paid > 0:
        j.when(
            CreateCreditMemo(currency, (NewLine("1", Money(paid, currency), Product(name="x")),), "X", "M")
        )
        j.when(ApplyCreditMemo("M", (Target(off, Money(paid, currency)),))).then_accepted()
    j.when(WriteOffInvoice(off, "X"))
    state = j.state(Invoice, off)
    if before - paid > 0:
        j.then_accepted()
        assert (state.balance, state.settlement_status) == (0, "SETTLED")
        for applied in state.applications.values():
            assert applied.charge_portion + applied.tax_portion == applied.amount
        (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, CreditMemoApplied)]
        assert fact.total == Money(before - paid, currency)
    ledger(j)
