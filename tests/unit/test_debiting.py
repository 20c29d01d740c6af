"""Debit memos: what is charged more is paid like an invoice, since an invoice carries it."""

from __future__ import annotations

from typing import Any

import pytest

from events.debit_memo import DebitMemoInvoiced, DebitMemoPosted, DebitMemoVoided
from events.invoice import InvoicePosted, InvoiceVoided, Product
from services.accounts.account import CloseAccount
from services.credits.crediting import CreateCreditMemo, MemoTax, NewLine, VoidCreditMemo
from services.credits.debit_memo import DebitMemo
from services.credits.debiting import CreateDebitMemo, VoidDebitMemo
from services.credits.writing_off import WriteOffInvoice
from services.invoices.invoice import Invoice
from services.invoices.posting import PostInvoice
from services.invoices.voiding import VoidInvoice
from tests.journey import Journey, line, money
from tests.unit.test_voiding import ledger

LATE_FEE = NewLine("1", money("25.00"), Product(name="late fee"), (MemoTax(money("2.00")),))


@pytest.fixture
def j() -> Journey:
    return Journey()


def debit(j: Journey, id: str = "D", **more: Any) -> Journey:
    return j.when(CreateDebitMemo("USD", (LATE_FEE,), "LATE", id, **more)).then_accepted()  # type: ignore[return-value]


def test_what_is_charged_more_is_owed_and_paid_like_an_invoice(j: Journey) -> None:
    debit(j).then_types(DebitMemoPosted, InvoicePosted, DebitMemoInvoiced)
    memo = j.state(DebitMemo, "D")
    posted = j.state(Invoice, memo.invoice_id)
    assert (posted.number, posted.balance, posted.reference_id) == (memo.number, 27_00, "D")
    j.pay("P", "27.00", memo.invoice_id)
    assert j.balances(memo.invoice_id)["status"] == "SETTLED"
    assert ledger(j) == {"Gateway clearing": 27_00, "Revenue": -25_00, "Tax payable": -2_00}


def test_what_is_invoiced_later_is_owed_by_that_invoice_only(j: Journey) -> None:
    debit(j, invoice_later=True).then_types(DebitMemoPosted)
    assert ledger(j) == {}
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE")
    carrying = {"reference_type": "DEBIT_MEMO", "reference_id": "D"}
    less = PostInvoice("LESS", "USD", (line("1", "26.99"),), **carrying)
    j.when(less).then_rejected("REFERENCE_MISMATCH")
    euros = PostInvoice("EUR", "EUR", (line("1", "27.00", currency="EUR"),), **carrying)
    j.when(euros).then_rejected("REFERENCE_MISMATCH")
    id = j.post("NEXT", line("1", "27.00"), line("2", "100.00"), **carrying)
    assert j.state(DebitMemo, "D").invoice_id == id
    j.when(PostInvoice("AGAIN", "USD", (line("1", "27.00"),), **carrying)).then_rejected("REFERENCE_MISMATCH")


def test_an_upstream_reference_that_nobody_here_knows_is_only_kept(j: Journey) -> None:
    id = j.post("X", line("1", "1.00"), reference_type="DEBIT_MEMO", reference_id="theirs")
    assert j.state(Invoice, id).reference_id == "theirs"
    assert j.ids(DebitMemo) == []


def test_a_debit_memo_is_voided_with_the_invoice_that_carries_it(j: Journey) -> None:
    debit(j)
    invoice = j.state(DebitMemo, "D").invoice_id
    j.pay("P", "1.00", invoice)
    j.when(VoidDebitMemo("D")).then_rejected("INVOICE_HAS_SETTLEMENTS")
    debit(j, "E")
    j.when(VoidDebitMemo("E", "waived")).then_accepted()
    ends = [type(fact) for _, _, fact in j.facts()][-2:]
    assert ends == [InvoiceVoided, DebitMemoVoided]
    j.when(VoidDebitMemo("E")).then_rejected("INVALID_STATE", state="VOIDED")
    debit(j, "F")
    j.when(VoidInvoice(j.state(DebitMemo, "F").invoice_id)).then_accepted()
    assert j.state(DebitMemo, "F").status == "VOIDED"
    debit(j, "G", invoice_later=True)
    j.when(VoidDebitMemo("G")).then((DebitMemo, "G", DebitMemoVoided(None)))
    j.when(PostInvoice("X", "USD", (line("1", "27.00"),), reference_type="DEBIT_MEMO", reference_id="G"))
    j.then_rejected("REFERENCE_MISMATCH")


def test_a_debit_memo_is_written_off_like_an_invoice(j: Journey) -> None:
    debit(j)
    j.when(WriteOffInvoice(j.state(DebitMemo, "D").invoice_id, "GOODWILL")).then_accepted()
    assert ledger(j) == {"Bad debt": 27_00, "Revenue": -25_00, "Tax payable": -2_00}


def test_the_offset_of_a_voided_credit_memo_is_never_owed(j: Journey) -> None:
    j.when(CreateCreditMemo("USD", (LATE_FEE,), "X", "M")).then_accepted()
    j.when(VoidCreditMemo("M")).then_accepted()
    (offset,) = j.ids(DebitMemo)
    assert (j.state(DebitMemo, offset).kind, j.state(DebitMemo, offset).open) == ("OFFSET", False)
    j.when(VoidDebitMemo(offset)).then_rejected("REFERENCE_MISMATCH")
    assert ledger(j) == {}


def test_guards_of_debiting(j: Journey) -> None:
    debit(j)
    for command, code in (
        (CreateDebitMemo("USD", (LATE_FEE,), "X", "D"), "DEBIT_MEMO_EXISTS"),
        (CreateDebitMemo("USD", (), "X"), "MALFORMED_REQUEST"),
        (CreateDebitMemo("USD", (LATE_FEE,) * 301, "X"), "TOO_MANY_LINES"),
        (CreateDebitMemo("EUR", (LATE_FEE,), "X"), "CURRENCY_MISMATCH"),
        (VoidDebitMemo("none"), "DEBIT_MEMO_NOT_FOUND"),
    ):
        j.when(command).then_rejected(code)
    j.when(VoidDebitMemo("D"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(CreateDebitMemo("USD", (LATE_FEE,), "X"), account="B").then_rejected("ACCOUNT_NOT_FOUND")
