"""One payment or memo over many invoices and lines, in the order asked for; and moved in one step."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.credit_memo import CreditMemoApplied, CreditMemoLocked, CreditMemoUnapplied
from events.invoice import InvoiceLocked, Product
from events.money import Money
from events.payment import PaymentApplied, PaymentUnapplied
from services.applications.allocating import (
    AllocateCreditMemo,
    AllocatePayment,
    MoveCreditMemoApplications,
    MovePaymentApplications,
    Place,
)
from services.applications.applying import ApplyPayment
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, PostInvoice, TaxLine
from services.invoices.standing import ExcludeInvoiceFromPayments
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from tests.journey import Journey, line, money


@pytest.fixture
def j() -> Journey:
    return Journey()


def memo(j: Journey, id: str, *amounts: str) -> str:
    lines = tuple(NewLine(str(n), money(amount), Product(name="x")) for n, amount in enumerate(amounts, 1))
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", id)).then_accepted()
    return id


def owed(j: Journey, *invoices: str) -> list[str]:
    return [j.balances(invoice)["balance"] for invoice in invoices]


def portions(j: Journey) -> list[tuple[str | None, int, int]]:
    """(line, charge, tax) of what the last command has applied."""
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, PaymentApplied | CreditMemoApplied)]
    return [(a.line_id, a.charge_portion.amount_minor, a.tax_portion.amount_minor) for a in fact.applications]


# -- allocating


def test_a_payment_settles_several_invoices_and_lines_at_once(j: Journey) -> None:
    a = j.post("A", line("1", "60.00"), line("2", "40.00"))
    b = j.post("B", line("1", "30.00"))
    j.pay("P", "100.00")
    targets = (Place(a, money("25.00"), "2"), Place(b), Place(a, line_id="1"))
    j.when(AllocatePayment("P", targets)).then_accepted()
    assert j.balances(a)["lines"] == {"1": "15.00", "2": "15.00"}
    assert j.balances(b)["status"] == "SETTLED"
    assert j.payment("P")["unapplied"] == "0.00"


def test_what_no_target_takes_stays_on_the_account(j: Journey) -> None:
    a = j.post("A", line("1", "60.00"))
    j.pay("P", "100.00")
    j.when(AllocatePayment("P", (Place(a),))).then_accepted()
    assert (owed(j, a), j.payment("P")["unapplied"]) == (["0.00"], "40.00")
    j.when(AllocatePayment("P", (Place(a),))).then_rejected("NOTHING_TO_CHANGE")


def test_only_a_part_of_it_when_that_is_asked_for(j: Journey) -> None:
    a = j.post("A", line("1", "60.00"))
    j.pay("P", "100.00")
    j.when(AllocatePayment("P", (Place(a),), money("10.00"))).then_accepted()
    assert (owed(j, a), j.payment("P")["unapplied"]) == (["50.00"], "90.00")


def three(j: Journey) -> list[str]:
    """The oldest, the one that is due first, and the one that owes most."""
    first = j.post("I1", line("1", "20.00"))
    soon = j.at(timedelta(days=1)).post("I2", line("1", "30.00"), invoice_date=date(2026, 2, 1))
    big = j.at(timedelta(days=1)).post("I3", line("1", "90.00"))
    return [first, soon, big]


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (None, ["0.00", "5.00", "90.00"]),
        ("OLDEST_FIRST", ["0.00", "5.00", "90.00"]),
        ("EARLIEST_DUE_FIRST", ["5.00", "0.00", "90.00"]),
        ("HIGHEST_BALANCE_FIRST", ["20.00", "30.00", "45.00"]),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_invoices_in_the_order_asked_for(j: Journey, order: Any, left: list[str], named: bool) -> None:
    invoices = three(j)
    j.pay("P", "45.00")
    j.when(AllocatePayment("P", tuple(map(Place, invoices)) if named else (), order=order)).then_accepted()
    assert owed(j, *invoices) == left


def test_invoices_as_they_are_named(j: Journey) -> None:
    first, soon, big = three(j)
    j.pay("P", "45.00")
    j.when(AllocatePayment("P", (Place(soon), Place(big), Place(first)))).then_accepted()
    assert owed(j, first, soon, big) == ["20.00", "0.00", "75.00"]


def test_named_amounts_come_before_what_takes_the_rest(j: Journey) -> None:
    first, soon, _ = three(j)
    j.pay("P", "30.00")
    j.when(AllocatePayment("P", (Place(soon), Place(first, money("15.00"))))).then_accepted()
    assert owed(j, first, soon) == ["5.00", "15.00"]


def test_lines_highest_first_in_their_order_or_tax_first(j: Journey) -> None:
    lines = (line("1", "20.00", "2.00"), line("2", "50.00", "10.00"), line("3", "30.00"))
    invoices = [j.post(f"I{n}", *lines) for n in range(3)]
    j.pay("P", "90.00")
    for invoice, order in zip(invoices, ("HIGHEST_BALANCE_FIRST", "OLDEST_FIRST", "TAX_FIRST"), strict=True):
        j.when(AllocatePayment("P", (Place(invoice, money("30.00")),), line_order=order))  # type: ignore[arg-type]
        j.then_accepted()
        assert owed(j, invoice) == ["82.00"]
    assert j.balances(invoices[0])["lines"] == {"1": "22.00", "2": "30.00", "3": "30.00"}
    assert j.balances(invoices[1])["lines"] == {"1": "0.00", "2": "52.00", "3": "30.00"}
    assert j.balances(invoices[2])["lines"] == {"1": "20.00", "2": "32.00", "3": "30.00"}
    assert sorted(portions(j)) == [("1", 0, 200), ("2", 18_00, 10_00)]
    assert j.state(Invoice, invoices[2]).tax_left == 0


def test_tax_first_at_the_level_of_the_invoice() -> None:
    j = Journey(application_level="INVOICE")
    invoice = j.post("I", line("1", "20.00", "2.00"), line("2", "50.00", "10.00"))
    j.pay("P", "82.00")
    for amount, charge, tax in (("7.00", 0, 700), ("9.00", 400, 500), ("66.00", 6600, 0)):
        j.when(ApplyPayment("P", invoice, money(amount), line_order="TAX_FIRST")).then_accepted()
        assert portions(j) == [(None, charge, tax)]
    assert j.balances(invoice)["status"] == "SETTLED"


def test_a_memo_is_allocated_alike_tax_first(j: Journey) -> None:
    invoice = j.post("I", line("1", "20.00", "2.00"), line("2", "50.00", "10.00"))
    memo(j, "M", "8.00", "12.00")
    j.when(AllocateCreditMemo("M", (Place(invoice, money("15.00")),), line_order="TAX_FIRST")).then_accepted()
    assert sum(tax for _, _, tax in portions(j)) == 12_00
    assert j.state(CreditMemo, "M").balance == 5_00
    j.when(AllocateCreditMemo("M")).then_accepted()
    assert (owed(j, invoice), j.state(CreditMemo, "M").balance) == (["62.00"], 0)


def test_a_memo_goes_to_excluded_invoices_and_a_payment_does_not_unless_they_are_named(j: Journey) -> None:
    invoice = j.post("I", line("1", "20.00"))
    j.when(ExcludeInvoiceFromPayments(invoice, "barter")).then_accepted()
    j.pay("P", "5.00")
    memo(j, "M", "5.00")
    j.when(AllocatePayment("P")).then_rejected("NOTHING_TO_CHANGE")
    j.when(AllocateCreditMemo("M")).then_accepted()
    j.when(AllocatePayment("P", (Place(invoice),))).then_accepted()
    assert owed(j, invoice) == ["10.00"]


def test_guards_of_an_allocation_in_their_order(j: Journey) -> None:
    a, b = j.post("A", line("1", "60.00")), j.post("B", line("1", "60.00"))
    j.pay("P", "100.00")
    one = (Place(a, money("1.00")),)
    for command, code in (
        (AllocatePayment("none", one), "PAYMENT_NOT_FOUND"),
        (AllocateCreditMemo("none", one), "CREDIT_MEMO_NOT_FOUND"),
        (AllocatePayment("P", (Place("none"),)), "INVOICE_NOT_FOUND"),
        (AllocatePayment("P", (Place(a, line_id="9"),)), "INVOICE_LINE_NOT_FOUND"),
        (AllocatePayment("P", (Place(a), Place(a))), "MALFORMED_REQUEST"),
        (AllocatePayment("P", order="AS_NAMED"), "MALFORMED_REQUEST"),
        (AllocatePayment("P", (Place(a, money("1.00", "EUR")),)), "CURRENCY_MISMATCH"),
        (AllocatePayment("P", (Place(a, money("0.00")),)), "AMOUNT_NOT_POSITIVE"),
        (AllocatePayment("P", one, money("0.00")), "AMOUNT_NOT_POSITIVE"),
        (AllocatePayment("P", one, money("1.00", "EUR")), "CURRENCY_MISMATCH"),
        (AllocatePayment("P", one, money("100.01")), "PAYMENT_BALANCE_EXCEEDED"),
        (
            AllocatePayment("P", (Place(a, money("60.00")), Place(b, money("40.01")))),
            "PAYMENT_BALANCE_EXCEEDED",
        ),
        (AllocatePayment("P", (Place(a, money("60.01")),)), "INVOICE_BALANCE_EXCEEDED"),
        (AllocatePayment("P", tuple(Place(f"x{n}") for n in range(301))), "TOO_MANY_TARGETS"),
    ):
        j.when(command).then_rejected(code)
    j.when(AllocatePayment("P", one), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(AllocatePayment("P", (Place(a, money("60.00")), Place(b, money("40.00"))))).then_accepted()


def test_what_is_held_is_left_alone(j: Journey) -> None:
    held, free = j.post("A", line("1", "60.00")), j.post("B", line("1", "60.00"))
    j.pay("P", "100.00")
    memo(j, "M", "5.00")
    j.given((Invoice, held, InvoiceLocked("refunding:x")), (CreditMemo, "M", CreditMemoLocked("refunding:x")))
    j.when(AllocatePayment("P", (Place(held),))).then_rejected("INVOICE_LOCKED")
    j.when(AllocateCreditMemo("M", (Place(free),))).then_rejected("CREDIT_MEMO_LOCKED")
    j.when(AllocatePayment("P")).then_accepted()
    assert owed(j, held, free) == ["60.00", "0.00"]


def test_a_payment_that_is_being_canceled_settles_nothing(j: Journey) -> None:
    a = j.post("A", line("1", "60.00"))
    j.pay("P", "10.00")
    j.when(CancelPayment("P")).then_accepted()
    j.when(AllocatePayment("P", (Place(a),))).then_rejected("OPERATION_IN_FLIGHT")


# -- moving


def applications(j: Journey, kind: type[Any], id: str) -> tuple[str, ...]:
    return tuple(j.state(kind, id).applications)


def test_a_payment_is_moved_in_one_step(j: Journey) -> None:
    wrong, right = j.post("A", line("1", "60.00")), j.post("B", line("1", "60.00"))
    j.pay("P", "60.00", wrong)
    (was,) = applications(j, Payment, "P")
    j.when(MovePaymentApplications("P", (was,), (Place(right),))).then_accepted()
    types = [type(fact) for kind, _, fact in j.facts() if kind == "payment"]
    assert types == [PaymentUnapplied, PaymentApplied]
    assert [j.balances(invoice)["status"] for invoice in (wrong, right)] == ["NOT_SETTLED", "SETTLED"]
    assert j.payment("P")["unapplied"] == "0.00"
    j.when(MovePaymentApplications("P", (was,), (Place(wrong),))).then_rejected("ALREADY_UNAPPLIED")


def test_several_applications_move_to_several_places_and_the_rest_is_free(j: Journey) -> None:
    a = j.post("A", line("1", "50.00"), line("2", "30.00"))
    b, c = j.post("B", line("1", "20.00")), j.post("C", line("1", "25.00"))
    j.pay("P", "80.00", a)
    both = applications(j, Payment, "P")
    assert len(both) == 2
    j.when(MovePaymentApplications("P", both, (Place(b), Place(c)))).then_accepted()
    assert (owed(j, a, b, c), j.payment("P")["unapplied"]) == (["80.00", "0.00", "0.00"], "35.00")


def test_from_one_line_to_another_of_the_same_invoice(j: Journey) -> None:
    a = j.post("A", line("1", "50.00"), line("2", "50.00"))
    j.pay("P", "50.00")
    j.apply("P", a, "50.00", "1").then_accepted()
    j.when(
        MovePaymentApplications("P", applications(j, Payment, "P"), (Place(a, line_id="2"),))
    ).then_accepted()
    assert j.balances(a)["lines"] == {"1": "50.00", "2": "0.00"}


def test_no_more_is_moved_than_was_taken_off(j: Journey) -> None:
    a, b = j.post("A", line("1", "10.00")), j.post("B", line("1", "60.00"))
    j.pay("P", "50.00")
    j.apply("P", a, "10.00").then_accepted()
    move = MovePaymentApplications("P", applications(j, Payment, "P"), (Place(b, money("10.01")),))
    j.when(move).then_rejected("PAYMENT_BALANCE_EXCEEDED", available=10_00)
    j.when(MovePaymentApplications("P", applications(j, Payment, "P"), (Place(b),))).then_accepted()
    assert j.payment("P")["unapplied"] == "40.00"


def test_a_memo_is_moved_in_one_step(j: Journey) -> None:
    a, b = j.post("A", line("1", "10.00")), j.post("B", line("1", "60.00"))
    memo(j, "M", "25.00")
    j.when(AllocateCreditMemo("M", (Place(a),))).then_accepted()
    move = MoveCreditMemoApplications("M", applications(j, CreditMemo, "M"), (Place(b),))
    j.when(move).then_accepted()
    types = [type(fact) for kind, _, fact in j.facts() if kind == "cm"]
    assert types == [CreditMemoUnapplied, CreditMemoApplied]
    assert (owed(j, a, b), j.state(CreditMemo, "M").balance) == (["10.00", "50.00"], 15_00)


def test_guards_of_a_move(j: Journey) -> None:
    a, b = j.post("A", line("1", "10.00")), j.post("B", line("1", "60.00"))
    j.pay("P", "10.00", a)
    (was,) = applications(j, Payment, "P")
    for command, code in (
        (MovePaymentApplications("none", (was,), (Place(b),)), "PAYMENT_NOT_FOUND"),
        (MovePaymentApplications("P", (), (Place(b),)), "MALFORMED_REQUEST"),
        (MovePaymentApplications("P", (was, was), (Place(b),)), "MALFORMED_REQUEST"),
        (MovePaymentApplications("P", ("none",), (Place(b),)), "APPLICATION_NOT_FOUND"),
        (MovePaymentApplications("P", (was,), ()), "MALFORMED_REQUEST"),
        (MovePaymentApplications("P", (was,), (Place("none"),)), "INVOICE_NOT_FOUND"),
        (MovePaymentApplications("P", tuple(f"x{n}" for n in range(301)), (Place(b),)), "TOO_MANY_TARGETS"),
    ):
        j.when(command).then_rejected(code)
    j.given((Invoice, a, InvoiceLocked("refunding:x")))
    j.when(MovePaymentApplications("P", (was,), (Place(b),))).then_rejected("INVOICE_LOCKED")


# -- to the last cent


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 999), st.integers(0, 200)), min_size=1, max_size=5),
    st.lists(
        st.tuples(
            st.integers(1, 700), st.sampled_from(("HIGHEST_BALANCE_FIRST", "OLDEST_FIRST", "TAX_FIRST"))
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(("INVOICE", "INVOICE_LINE")),
    st.sampled_from(("JPY", "USD", "KWD")),
)
def test_however_it_is_paid_no_cent_of_charge_or_tax_is_left(
    lines: list[tuple[int, int]], parts: list[tuple[int, Any]], level: str, currency: str
) -> None:
    j = Journey(application_level=level)
    posted = tuple(
        Line(str(n), Money(charge, currency), (TaxLine(Money(tax, currency)),))
        for n, (charge, tax) in enumerate(lines)
    )
    j.when(PostInvoice("I", currency, posted)).then_accepted()
    invoice, total = j.last_id(Invoice), sum(charge + tax for charge, tax in lines)
    j.when(CreateCreditMemo(currency, (NewLine("1", Money(total, currency), Product(name="x")),), "X", "M"))
    left = total
    for amount, order in (*parts, (total, "TAX_FIRST")):
        amount = min(amount, left)
        if amount:
            target = Place(invoice, Money(amount, currency))
            j.when(AllocateCreditMemo("M", (target,), line_order=order)).then_accepted()
        left -= amount
        state = j.state(Invoice, invoice)
        assert state.balance == left
        for applied in state.applications.values():
            assert min(applied.charge_portion, applied.tax_portion) >= 0
            assert applied.charge_portion + applied.tax_portion == applied.amount
    settled = j.state(Invoice, invoice)
    assert (settled.balance, settled.tax_left) == (0, 0)
    assert (
        all((each.balance, each.tax_left) == (0, 0) for each in settled.lines.values()) or level == "INVOICE"
    )
    for id in applications(j, CreditMemo, "M"):
        j.when(MoveCreditMemoApplications("M", (id,), (Place(invoice),))).then_accepted()
    assert j.state(Invoice, invoice).balance == 0
