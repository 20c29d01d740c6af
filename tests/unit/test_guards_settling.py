"""Every guard of posting, applying and paying, by its code; amounts at n-1, n and n+1."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from events.credit_memo import CreditMemoLocked
from events.gateway import Capabilities
from events.invoice import InvoiceLocked, Product
from events.refund import RefundRequested
from services.accounts.account import PlacePaymentHold, ReleasePaymentHold
from services.applications.applying import (
    ApplyCreditMemo,
    ApplyCreditMemoLine,
    ApplyPayment,
    LineTarget,
    Target,
    UnapplyCreditMemo,
    UnapplyCreditMemoLine,
    UnapplyPayment,
)
from services.applications.guards import TARGETS_MAX
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.invoices.invoice import Invoice
from services.invoices.posting import LINES_MAX, Line, PostInvoice, TaxLine
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from services.payments.taking_back import CancelPayment
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import CARD_CLOSED, EVERYTHING, SUCCESS, Journey, line, money
from tests.spec import NOW

CENTS = [("99.99", None), ("100.00", None), ("100.01", "exceeded")]


@pytest.fixture
def j() -> Journey:
    return Journey()


def check(j: Journey, code: str | None) -> None:
    j.then_rejected(code) if code else j.then_accepted()


def memo(j: Journey, amount: str, currency: str = "USD") -> str:
    line = NewLine("1", money(amount, currency), Product(name="goodwill"))
    j.when(CreateCreditMemo(currency, (line,), "GOODWILL", "M")).then_accepted()
    return "M"


# -- posting


def posting(*lines: Line, currency: str = "USD") -> PostInvoice:
    return PostInvoice("X", currency, lines)


def test_an_invoice_is_posted_once(j: Journey) -> None:
    j.post("X", line("1", "1.00"))
    j.when(posting(line("1", "2.00"))).then_rejected("INVOICE_DUPLICATE")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (posting(), "MALFORMED_REQUEST"),
        (posting(line("1", "1.00"), line("1", "2.00")), "MALFORMED_REQUEST"),
        (posting(line("1", "1.00", currency="EUR")), "CURRENCY_MISMATCH"),
        (posting(Line("1", money("1.00"), (TaxLine(money("0.10", "EUR")),))), "CURRENCY_MISMATCH"),
        (posting(line("1", "1.00", "-0.10")), "MALFORMED_REQUEST"),
        (posting(line("1", "-1.00", "0.10")), "MALFORMED_REQUEST"),
    ],
)
def test_a_posting_that_makes_no_sense_is_refused(j: Journey, command: PostInvoice, code: str) -> None:
    j.when(command).then_rejected(code)


@pytest.mark.parametrize(
    ("count", "code"), [(LINES_MAX - 1, None), (LINES_MAX, None), (LINES_MAX + 1, "TOO_MANY_LINES")]
)
def test_an_invoice_has_at_most_so_many_lines(j: Journey, count: int, code: str | None) -> None:
    j.when(posting(*(line(str(n), "0.01") for n in range(count))))
    check(j, code)


# -- applying a payment


def test_a_payment_is_applied_only_if_it_and_the_invoice_exist(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00")
    j.apply("none", invoice, "1.00").then_rejected("PAYMENT_NOT_FOUND")
    j.apply("P", "none", "1.00").then_rejected("INVOICE_NOT_FOUND")
    j.apply("P", invoice, "1.00", "none").then_rejected("INVOICE_LINE_NOT_FOUND")


def test_a_payment_is_applied_only_within_its_account(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00")
    j.when(ApplyPayment("P", invoice, money("1.00")), account="B").then_rejected("ACCOUNT_MISMATCH")


def test_a_payment_that_is_not_processed_is_not_applied(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.request("P", "100.00")
    j.apply("P", invoice, "1.00").then_rejected("PAYMENT_NOT_PROCESSED", state="REQUESTED")
    j.settle("P", CARD_CLOSED)
    j.apply("P", invoice, "1.00").then_rejected("PAYMENT_NOT_PROCESSED", state="FAILED")


def test_a_payment_that_is_being_canceled_is_not_applied(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00")
    j.when(CancelPayment("P")).then_accepted()
    j.apply("P", invoice, "1.00").then_rejected("OPERATION_IN_FLIGHT")


def test_a_locked_invoice_takes_no_payment_and_gives_none_back(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "50.00", invoice)
    j.pay("Q", "50.00")
    (application,) = j.state(Payment, "P").applications
    j.given((Invoice, invoice, InvoiceLocked("refunding:ro")))
    j.apply("Q", invoice, "1.00").then_rejected("INVOICE_LOCKED", by="refunding:ro")
    j.when(UnapplyPayment("P", application)).then_rejected("INVOICE_LOCKED")


def test_a_payment_is_applied_in_its_own_currency_and_above_zero(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    euro = j.post("EUR", line("1", "100.00", currency="EUR"))
    j.pay("P", "100.00")
    j.apply("P", euro, "1.00", currency="EUR").then_rejected("CURRENCY_MISMATCH")
    j.apply("P", invoice, "1.00", currency="EUR").then_rejected("CURRENCY_MISMATCH")
    j.apply("P", invoice, "0.00").then_rejected("AMOUNT_NOT_POSITIVE")
    j.apply("P", invoice, "-0.01").then_rejected("AMOUNT_NOT_POSITIVE")
    j.apply("P", invoice, "0.01").then_accepted()


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_than_the_payment_has(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice = j.post("INV", line("1", "500.00"))
    j.pay("P", "100.00")
    j.apply("P", invoice, amount)
    check(j, exceeded and "PAYMENT_BALANCE_EXCEEDED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_than_the_invoice_owes(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "500.00")
    j.apply("P", invoice, amount)
    check(j, exceeded and "INVOICE_BALANCE_EXCEEDED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_than_the_line_owes(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice = j.post("INV", line("1", "100.00"), line("2", "400.00"))
    j.pay("P", "500.00")
    j.apply("P", invoice, amount, "1")
    check(j, exceeded and "LINE_BALANCE_EXCEEDED")


def test_the_payment_s_balance_is_named_before_the_invoice_s_and_the_invoice_s_before_the_line_s(
    j: Journey,
) -> None:
    invoice = j.post("INV", line("1", "10.00"), line("2", "10.00"))
    j.pay("P", "25.00")
    j.apply("P", invoice, "25.01", "1").then_rejected("PAYMENT_BALANCE_EXCEEDED", available=25_00)
    j.apply("P", invoice, "20.01", "1").then_rejected("INVOICE_BALANCE_EXCEEDED", available=20_00)
    j.apply("P", invoice, "10.01", "1").then_rejected("LINE_BALANCE_EXCEEDED", available=10_00)


def test_a_line_that_owes_nothing_takes_no_payment(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"), line("2", "-10.00"), line("3", "0.00"))
    j.pay("P", "100.00")
    j.apply("P", invoice, "1.00", "2").then_rejected("LINE_NOT_PAYABLE")
    j.apply("P", invoice, "1.00", "3").then_rejected("LINE_NOT_PAYABLE")


def test_the_first_application_fixes_the_level_until_none_is_left() -> None:
    j = Journey(application_level="INVOICE")
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00")
    j.apply("P", invoice, "10.00").then_accepted()
    j.apply("P", invoice, "10.00", "1").then_rejected("SETTLEMENT_LEVEL_MISMATCH")
    (application,) = j.state(Payment, "P").applications
    j.when(UnapplyPayment("P", application)).then_accepted()
    j.apply("P", invoice, "10.00", "1").then_accepted()


def test_an_application_is_taken_back_whole_and_once(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00", invoice)
    (application,) = j.state(Payment, "P").applications
    for amount in ("99.99", "100.01"):
        command = UnapplyPayment("P", application, money(amount))
        j.when(command).then_rejected("PARTIAL_UNAPPLY_UNSUPPORTED")
    j.when(UnapplyPayment("P", "none")).then_rejected("APPLICATION_NOT_FOUND")
    j.when(UnapplyPayment("none", application)).then_rejected("PAYMENT_NOT_FOUND")
    j.when(UnapplyPayment("P", application), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(UnapplyPayment("P", application, money("100.00"))).then_accepted()
    j.when(UnapplyPayment("P", application)).then_rejected("ALREADY_UNAPPLIED")


# -- applying a memo


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_than_the_memo_has(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice, id = j.post("INV", line("1", "500.00")), memo(j, "100.00")
    j.when(ApplyCreditMemo(id, (Target(invoice, money(amount)),)))
    check(j, exceeded and "CREDIT_BALANCE_EXCEEDED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_of_a_memo_than_the_invoice_owes(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice, id = j.post("INV", line("1", "100.00")), memo(j, "500.00")
    j.when(ApplyCreditMemo(id, (Target(invoice, money(amount)),)))
    check(j, exceeded and "INVOICE_BALANCE_EXCEEDED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_of_a_memo_line_than_the_line_owes(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice, id = j.post("INV", line("1", "100.00"), line("2", "400.00")), memo(j, "500.00")
    j.when(ApplyCreditMemoLine(id, "1", (LineTarget(invoice, "1", money(amount)),)))
    check(j, exceeded and "LINE_BALANCE_EXCEEDED")


def test_the_targets_of_one_memo_share_its_balance(j: Journey) -> None:
    a, b, id = j.post("A", line("1", "60.00")), j.post("B", line("1", "60.00")), memo(j, "100.00")
    both = ApplyCreditMemo(id, (Target(a, money("60.00")), Target(b, money("40.01"))))
    j.when(both).then_rejected("CREDIT_BALANCE_EXCEEDED", available=100_00)
    j.when(ApplyCreditMemo(id, (Target(a, money("60.00")), Target(b, money("40.00"))))).then_accepted()
    assert j.state(CreditMemo, id).balance == 0


def test_a_memo_is_applied_to_known_invoices_each_once(j: Journey) -> None:
    invoice, id = j.post("INV", line("1", "100.00")), memo(j, "100.00")
    one = Target(invoice, money("1.00"))
    j.when(ApplyCreditMemo(id, ())).then_rejected("MALFORMED_REQUEST")
    j.when(ApplyCreditMemoLine(id, "1", ())).then_rejected("MALFORMED_REQUEST")
    j.when(ApplyCreditMemo(id, (one, one))).then_rejected("MALFORMED_REQUEST")
    j.when(ApplyCreditMemo("none", (one,))).then_rejected("CREDIT_MEMO_NOT_FOUND")
    j.when(ApplyCreditMemo(id, (Target("none", money("1.00")),))).then_rejected("INVOICE_NOT_FOUND")
    j.when(ApplyCreditMemo(id, (one,)), account="B").then_rejected("ACCOUNT_MISMATCH")


def test_a_memo_is_applied_in_its_own_currency_and_above_zero(j: Journey) -> None:
    invoice, id = j.post("INV", line("1", "100.00")), memo(j, "100.00")
    for amount, code in (
        (money("1.00", "EUR"), "CURRENCY_MISMATCH"),
        (money("500.00", "EUR"), "CURRENCY_MISMATCH"),
        (money("0.00"), "AMOUNT_NOT_POSITIVE"),
        (money("-1.00"), "AMOUNT_NOT_POSITIVE"),
    ):
        j.when(ApplyCreditMemo(id, (Target(invoice, amount),))).then_rejected(code)
        j.when(ApplyCreditMemoLine(id, "1", (LineTarget(invoice, "1", amount),))).then_rejected(code)


def test_a_locked_memo_moves_for_nobody_else(j: Journey) -> None:
    invoice, id = j.post("INV", line("1", "100.00")), memo(j, "100.00")
    j.given((CreditMemo, id, CreditMemoLocked("refunding:ro")))
    j.when(ApplyCreditMemo(id, (Target(invoice, money("1.00")),))).then_rejected("CREDIT_MEMO_LOCKED")


def test_what_a_line_of_a_memo_has_settled_is_taken_back_by_its_name(j: Journey) -> None:
    invoice, id = j.post("INV", line("1", "100.00")), memo(j, "100.00")
    j.when(ApplyCreditMemoLine(id, "1", (LineTarget(invoice, "1", money("1.00")),))).then_accepted()
    (application,) = j.state(CreditMemo, id).applications
    j.when(UnapplyCreditMemoLine(id, "1", application)).then_accepted()
    assert j.balances(invoice)["balance"] == "100.00"
    assert j.state(CreditMemo, id).balance == 10_000


def test_a_memo_s_application_is_taken_back_once(j: Journey) -> None:
    invoice, id = j.post("INV", line("1", "100.00")), memo(j, "100.00")
    j.when(ApplyCreditMemo(id, (Target(invoice, money("1.00")),))).then_accepted()
    (application,) = j.state(CreditMemo, id).applications
    j.when(UnapplyCreditMemo(id, "none")).then_rejected("APPLICATION_NOT_FOUND")
    j.when(UnapplyCreditMemoLine(id, "2", application)).then_rejected("APPLICATION_NOT_FOUND")
    j.when(UnapplyCreditMemo(id, application)).then_accepted()
    j.when(UnapplyCreditMemo(id, application)).then_rejected("ALREADY_UNAPPLIED")


# -- paying


def test_a_payment_is_asked_for_with_something_that_can_pay(j: Journey) -> None:
    one = money("1.00")
    j.when(ProcessPayment(one, method_id="none")).then_rejected("METHOD_NOT_FOUND")
    j.when(ProcessPayment(one, method_id=j.card_a, gateway_id="other")).then_rejected(
        "METHOD_GATEWAY_MISMATCH"
    )
    j.when(ProcessPayment(one, method_id=j.card_a), account="B").then_rejected("ACCOUNT_NOT_FOUND")
    for amount in ("0.00", "-0.01"):
        j.when(ProcessPayment(money(amount), method_id=j.card_a)).then_rejected("AMOUNT_NOT_POSITIVE")
    j.pay("P", "1.00")
    j.when(ProcessPayment(one, payment_id="P", method_id=j.card_a)).then_rejected("PAYMENT_EXISTS")


TO_NOWHERE = [
    (ApplyTo("INV", money("1.00", "EUR")), "CURRENCY_MISMATCH"),
    (ApplyTo("INV", money("0.00")), "AMOUNT_NOT_POSITIVE"),
    (ApplyTo("INV", money("-1.00")), "AMOUNT_NOT_POSITIVE"),
]


@pytest.mark.parametrize(("target", "code"), TO_NOWHERE)
def test_where_money_shall_go_is_checked_when_it_is_asked_for(j: Journey, target: ApplyTo, code: str) -> None:
    target = ApplyTo(j.post("INV", line("1", "100.00")), target.amount)
    j.when(ProcessPayment(money("5.00"), method_id=j.card_a, apply_to=(target,))).then_rejected(code)
    j.when(external("5.00", target)).then_rejected(code)


def external(amount: str, *targets: ApplyTo, reference: str = "cheque 1") -> RecordExternalPayment:
    return RecordExternalPayment(money(amount), "CHECK", reference, NOW.date(), "E", targets)


def test_money_from_outside_needs_an_amount_and_a_reference(j: Journey) -> None:
    j.when(external("0.00")).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(external("1.00", reference=" ")).then_rejected("MALFORMED_REQUEST")
    j.when(external("1.00")).then_accepted()
    j.when(external("1.00")).then_rejected("PAYMENT_EXISTS")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_money_from_outside_goes_nowhere_beyond_a_balance(
    j: Journey, amount: str, exceeded: str | None
) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.when(external("500.00", ApplyTo(invoice, money(amount))))
    check(j, exceeded and "INVOICE_BALANCE_EXCEEDED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_money_from_outside_goes_no_further_than_it_reaches(
    j: Journey, amount: str, exceeded: str | None
) -> None:
    invoice = j.post("INV", line("1", "500.00"))
    j.when(external("100.00", ApplyTo(invoice, money(amount))))
    check(j, exceeded and "PAYMENT_BALANCE_EXCEEDED")


@pytest.mark.parametrize(("second", "exceeded"), [("39.99", None), ("40.00", None), ("40.01", "exceeded")])
def test_two_targets_on_one_invoice_share_its_balance(j: Journey, second: str, exceeded: str | None) -> None:
    invoice = j.post("INV", line("1", "60.00"), line("2", "40.00"))
    j.when(external("500.00", ApplyTo(invoice, money("60.00")), ApplyTo(invoice, money(second))))
    check(j, exceeded and "INVOICE_BALANCE_EXCEEDED")


def test_money_from_outside_keeps_the_level_of_its_invoice() -> None:
    j = Journey(application_level="INVOICE")
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "10.00", invoice)
    j.when(external("5.00", ApplyTo(invoice, money("5.00"), "1"))).then_rejected("SETTLEMENT_LEVEL_MISMATCH")


def test_a_payment_is_canceled_only_while_nothing_hangs_on_it(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    j.when(CancelPayment("none")).then_rejected("PAYMENT_NOT_FOUND")
    j.request("P", "1.00", invoice)
    j.when(CancelPayment("P")).then_rejected("INVALID_STATE", state="REQUESTED")
    j.settle("P", SUCCESS)
    j.when(CancelPayment("P")).then_rejected("PAYMENT_HAS_SETTLEMENTS")
    j.pay("Q", "1.00")
    j.when(CancelPayment("Q")).then_accepted()
    j.when(CancelPayment("Q")).then_rejected("OPERATION_IN_FLIGHT")


def test_a_gateway_without_void_refunds_instead() -> None:
    operations = tuple(o for o in EVERYTHING.operations if o != "VOID")
    j = Journey(capabilities=Capabilities(operations=operations))
    j.pay("P", "1.00")
    j.when(CancelPayment("P")).then_rejected("PAYMENT_NOT_VOIDABLE")


# -- what a request may say


def test_no_more_is_meant_for_invoices_than_is_paid(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    for second, code in (("3.99", None), ("4.00", None), ("4.01", "PAYMENT_BALANCE_EXCEEDED")):
        targets = (ApplyTo(invoice, money("6.00")), ApplyTo(invoice, money(second)))
        j.when(ProcessPayment(money("10.00"), method_id=j.card_a, apply_to=targets))
        check(j, code)
    assert (j.outcome["field"], j.outcome["details"]["available"]) == ("data.apply_to", 10_00)


def test_money_from_outside_joins_only_a_group_that_is_there(j: Journey) -> None:
    command = replace(external("1.00"), payment_group_id="G")
    j.when(command).then_rejected("PAYMENT_GROUP_NOT_FOUND")
    group = NewGroup("G")
    j.when(ProcessPayment(money("1.00"), method_id=j.card_a, new_payment_group=group)).then_accepted()
    j.when(command).then_accepted()


def test_a_run_collects_nothing_from_an_account_on_hold(j: Journey) -> None:
    by_run = ProcessPayment(money("1.00"), method_id=j.card_a, initiation="BATCH_RUN")
    j.when(PlacePaymentHold("dispute", NOW + timedelta(days=1))).then_accepted()
    j.when(by_run).then_rejected("ACCOUNT_ON_HOLD")
    j.when(ProcessPayment(money("1.00"), method_id=j.card_a)).then_accepted()
    j.at(timedelta(days=1)).when(by_run).then_accepted()
    j.when(PlacePaymentHold("dispute")).when(by_run).then_rejected("ACCOUNT_ON_HOLD")
    j.when(ReleasePaymentHold()).when(by_run).then_accepted()


def test_one_memo_line_goes_to_several_lines_of_one_invoice(j: Journey) -> None:
    invoice, id = j.post("INV", line("1", "30.00"), line("2", "20.00")), memo(j, "100.00")
    both = (LineTarget(invoice, "1", money("30.00")), LineTarget(invoice, "2", money("15.00")))
    j.when(ApplyCreditMemoLine(id, "1", both)).then_accepted()
    assert j.balances(invoice)["lines"] == {"1": "0.00", "2": "5.00"}
    assert j.state(CreditMemo, id).balance == 55_00
    again = (LineTarget(invoice, "2", money("1.00")),) * 2
    j.when(ApplyCreditMemoLine(id, "1", again)).then_rejected("MALFORMED_REQUEST")


@pytest.mark.parametrize("count", [TARGETS_MAX, TARGETS_MAX + 1])
def test_a_memo_goes_to_at_most_so_many_invoices_at_once(j: Journey, count: int) -> None:
    targets = [Target(j.post(f"I{n}", line("1", "0.01")), money("0.01")) for n in range(count)]
    id = memo(j, "100.00")
    j.when(ApplyCreditMemo(id, tuple(targets)))
    check(j, "TOO_MANY_TARGETS" if count > TARGETS_MAX else None)


def test_what_is_exceeded_is_named_with_its_field(j: Journey) -> None:
    invoice = j.post("INV", line("1", "10.00"))
    j.pay("P", "5.00")
    j.apply("P", invoice, "5.01").then_rejected("PAYMENT_BALANCE_EXCEEDED", available=5_00)
    assert j.outcome["field"] == "data.amount"


# -- a failed payment that turns out to have succeeded


def test_a_late_success_settles_what_is_still_open(j: Journey) -> None:
    invoice = j.post("INV", line("1", "10.00"))
    j.request("P", "10.00", invoice)
    j.settle("P", CARD_CLOSED).settle("P", SUCCESS, "NOTIFICATION").then_accepted()
    assert [fact.type for kind, _, fact in j.facts() if kind == "exception"] == ["LATE_SUCCESS"]
    assert j.balances(invoice)["status"] == "SETTLED"


def test_what_was_collected_twice_is_kept_unapplied_and_a_refund_is_suggested(j: Journey) -> None:
    invoice = j.post("INV", line("1", "10.00"))
    j.request("P", "10.00", invoice)
    j.settle("P", CARD_CLOSED)
    j.pay("Q", "10.00", invoice, j.card_b)
    j.settle("P", SUCCESS, "NOTIFICATION").then_accepted()
    raised = [fact for kind, _, fact in j.facts() if kind == "exception"]
    assert [fact.type for fact in raised] == ["LATE_SUCCESS", "DUPLICATE_CHARGE"]
    assert raised[1].amount == money("10.00")
    processed = next(fact for kind, _, fact in j.facts() if kind == "payment")
    assert processed.late
    assert (j.payment("P")["unapplied"], j.payment("Q")["applied"]) == ("10.00", "10.00")


def twice(j: Journey, **settings: object) -> Journey:
    """P is taken for failed, Q pays instead, and P has arrived after all."""
    j.when(ChangeTenantSettings({"refund_duplicate_charges": True, **settings})).then_accepted()  # type: ignore[dict-item]
    invoice = j.post("INV", line("1", "10.00"))
    j.request("P", "10.00", invoice)
    j.settle("P", CARD_CLOSED)
    j.pay("Q", "10.00", invoice, j.card_b)
    return j.settle("P", SUCCESS, "NOTIFICATION").then_accepted()  # type: ignore[return-value]


def test_what_was_collected_twice_goes_back_where_the_tenant_wishes_that(j: Journey) -> None:
    twice(j)
    [requested] = [fact for _, _, fact in j.facts() if isinstance(fact, RefundRequested)]
    assert (requested.payment_id, requested.reason_code) == ("P", "DUPLICATE_CHARGE")
    assert requested.amount == money("10.00")
    [case] = [f for kind, _, f in j.facts() if kind == "exception" and f.type == "DUPLICATE_CHARGE"]
    assert case.message.endswith("it goes back")
    j.answer_refund(requested.refund_id, SUCCESS)
    assert (j.payment("P")["refunded"], j.payment("Q")["applied"]) == ("10.00", "10.00")
    j.settle("P", SUCCESS, "NOTIFICATION").then_nothing()


def test_a_person_decides_about_it_above_the_threshold(j: Journey) -> None:
    twice(j, refund_approval_threshold=money("9.99"))
    assert not any(isinstance(fact, RefundRequested) for fact in j.all_facts())
    assert j.payment("P")["unapplied"] == "10.00"
    [case] = [f for kind, _, f in j.facts() if kind == "exception" and f.type == "DUPLICATE_CHARGE"]
    assert case.message.endswith("refund it")


def test_a_person_decides_about_it_where_the_gateway_cannot() -> None:
    operations = tuple(o for o in EVERYTHING.operations if o != "REFUND")
    j = twice(Journey(capabilities=replace(EVERYTHING, operations=operations)))
    assert not any(isinstance(fact, RefundRequested) for fact in j.all_facts())
    assert j.payment("P")["unapplied"] == "10.00"
