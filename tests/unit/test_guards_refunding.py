"""Every guard of refunding, crediting and orchestrating, by its code; at n-1, n, n+1."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from events.credit_memo import CreditMemoLocked
from events.gateway import Capabilities
from events.invoice import InvoiceLocked, Product
from events.shapes import Outcome
from projections.ledger import postings
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import (
    LINES_MAX,
    CreateCreditMemo,
    MemoTax,
    NewLine,
    PostCreditMemo,
    RecoverCreditMemo,
    VoidCreditMemo,
)
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.invoice import Invoice
from services.orchestrations.canceling import CancelRefundOrchestration
from services.orchestrations.falling_back import ChooseRefundFallback, ResolveManualAction, RetryRefundLeg
from services.orchestrations.orchestrating import AutomateRefund, ExecuteRefundPlan
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.arriving import ResolvePaymentOutcome
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from services.refunds.refund import Refund
from services.refunds.refund_outcomes import ResolveRefundOutcome
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from tests.journey import EVERYTHING, SUCCESS, Journey, line, money
from tests.spec import NOW

CENTS = [("99.99", None), ("100.00", None), ("100.01", "exceeded")]


@pytest.fixture
def j() -> Journey:
    return Journey()


def check(j: Journey, code: str | None) -> None:
    j.then_rejected(code) if code else j.then_accepted()


def new_line(amount: str, id: str = "1", currency: str = "USD", name: str | None = "goodwill") -> NewLine:
    return NewLine(id, money(amount, currency), Product(name=name))


def memo(j: Journey, amount: str, **more: Any) -> str:
    j.when(CreateCreditMemo("USD", (new_line(amount),), "GOODWILL", "M", **more)).then_accepted()
    return "M"


def issue(amount: str, payment: str = "P", **more: Any) -> IssueRefund:
    currency = more.pop("currency", "USD")
    return IssueRefund(payment, money(amount, currency), "GOODWILL", **more)


def external(amount: str, reference: str = "cheque 1", **more: Any) -> RecordExternalRefund:
    currency = more.pop("currency", "USD")
    return RecordExternalRefund(money(amount, currency), "CHECK", reference, NOW.date(), "GOODWILL", **more)


# -- refunding a payment


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_is_refunded_than_the_payment_brought(j: Journey, amount: str, exceeded: str | None) -> None:
    j.pay("P", "100.00")
    j.when(issue(amount))
    check(j, exceeded and "REFUND_EXCEEDS_REFUNDABLE")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_is_refunded_than_is_unapplied(j: Journey, amount: str, exceeded: str | None) -> None:
    j.pay("P", "150.00", j.post("INV", line("1", "50.00")))
    j.when(issue(amount))
    check(j, exceeded and "REFUND_EXCEEDS_UNAPPLIED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_what_is_on_its_way_back_is_refunded_once(j: Journey, amount: str, exceeded: str | None) -> None:
    j.pay("P", "150.00")
    j.when(issue("50.00")).then_accepted()
    j.when(issue(amount))
    check(j, exceeded and "REFUND_EXCEEDS_REFUNDABLE")


def test_only_money_that_came_by_a_gateway_goes_back_by_it(j: Journey) -> None:
    j.cheque("C", "10.00", j.post("INV", line("1", "10.00")))
    j.when(issue("1.00", "none")).then_rejected("PAYMENT_NOT_FOUND")
    j.when(issue("1.00", "C")).then_rejected("PAYMENT_NOT_GATEWAY_LINKED")
    j.request("P", "10.00")
    j.when(issue("1.00")).then_rejected("PAYMENT_NOT_PROCESSED", state="REQUESTED")
    j.settle("P", SUCCESS)
    j.when(issue("1.00"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(issue("1.00", currency="EUR")).then_rejected("CURRENCY_MISMATCH")
    j.when(issue("0.00")).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(issue("1.00", refund_id="R")).then_accepted()
    j.when(issue("1.00", refund_id="R")).then_rejected("REFUND_EXISTS")


def test_money_that_is_being_voided_is_not_refunded_in_any_way(j: Journey) -> None:
    j.pay("P", "10.00")
    j.when(CancelPayment("P")).then_accepted()
    j.when(issue("1.00")).then_rejected("OPERATION_IN_FLIGHT")
    j.when(external("1.00", payment_id="P")).then_rejected("OPERATION_IN_FLIGHT")


def test_a_locked_invoice_is_not_reopened_for_a_refund(j: Journey) -> None:
    invoice = j.post("INV", line("1", "10.00"))
    j.pay("P", "10.00", invoice)
    j.given((Invoice, invoice, InvoiceLocked("refunding:ro")))
    j.when(issue("1.00", source="REOPEN_INVOICES")).then_rejected("INVOICE_LOCKED")


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (timedelta(days=180, seconds=-1), None),
        (timedelta(days=180), None),
        (timedelta(days=180, seconds=1), "REFUND_WINDOW_EXPIRED"),
    ],
)
def test_a_gateway_refunds_only_within_its_window(after: timedelta, code: str | None) -> None:
    j = Journey(capabilities=Capabilities(operations=EVERYTHING.operations, refund_window_days={"card": 180}))
    j.pay("P", "10.00")
    j.at(NOW + after).when(issue("1.00"))
    check(j, code)


def test_a_gateway_that_cannot_refund_is_not_asked() -> None:
    j = Journey(capabilities=Capabilities(operations=("SALE",)))
    j.pay("P", "10.00")
    j.when(issue("1.00")).then_rejected("GATEWAY_CAPABILITY_MISSING")


# -- paying a memo out, and money that goes back outside


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_is_paid_out_than_the_memo_has(j: Journey, amount: str, exceeded: str | None) -> None:
    memo(j, "100.00")
    j.when(IssueUnreferencedRefund("M", money(amount), "GOODWILL", j.card_a))
    check(j, exceeded and "CREDIT_BALANCE_EXCEEDED")


def test_a_memo_is_paid_out_to_a_method_and_by_nobody_else_meanwhile(j: Journey) -> None:
    memo(j, "100.00")
    one = money("1.00")
    j.when(IssueUnreferencedRefund("none", one, "X", j.card_a)).then_rejected("CREDIT_MEMO_NOT_FOUND")
    j.when(IssueUnreferencedRefund("M", one, "X", j.card_a), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(IssueUnreferencedRefund("M", money("1.00", "EUR"), "X", j.card_a)).then_rejected(
        "CURRENCY_MISMATCH"
    )
    j.when(IssueUnreferencedRefund("M", money("0.00"), "X", j.card_a)).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(IssueUnreferencedRefund("M", one, "X", "none")).then_rejected("METHOD_NOT_FOUND")
    j.when(IssueUnreferencedRefund("M", one, "X", j.card_a)).then_accepted()
    j.when(IssueUnreferencedRefund("M", one, "X", j.card_a)).then_rejected("CREDIT_MEMO_LOCKED")
    j.when(external("1.00", credit_memo_id="M")).then_rejected("CREDIT_MEMO_LOCKED")
    j.when(VoidCreditMemo("M")).then_rejected("CREDIT_MEMO_LOCKED")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_goes_back_outside_than_is_free(j: Journey, amount: str, exceeded: str | None) -> None:
    j.pay("P", "100.00")
    j.when(external(amount, payment_id="P"))
    check(j, exceeded and "REFUND_EXCEEDS_UNAPPLIED")
    memo(j, "100.00")
    j.when(external(amount, credit_memo_id="M"))
    check(j, exceeded and "CREDIT_BALANCE_EXCEEDED")


def test_money_that_goes_back_outside_has_one_known_source(j: Journey) -> None:
    j.pay("P", "100.00")
    memo(j, "100.00")
    j.when(external("1.00", payment_id="P", credit_memo_id="M")).then_rejected("MALFORMED_REQUEST")
    j.when(external("1.00", payment_id="none")).then_rejected("PAYMENT_NOT_FOUND")
    j.when(external("1.00", credit_memo_id="none")).then_rejected("CREDIT_MEMO_NOT_FOUND")
    j.when(external("1.00", payment_id="P", currency="EUR")).then_rejected("CURRENCY_MISMATCH")
    j.when(external("0.00", credit_memo_id="M")).then_rejected("AMOUNT_NOT_POSITIVE")


def test_only_an_outcome_in_doubt_is_resolved_by_hand(j: Journey) -> None:
    j.when(ResolveRefundOutcome("none", "FAILED", "letter")).then_rejected("REFUND_NOT_FOUND")
    j.pay("P", "10.00")
    j.when(issue("1.00", refund_id="R")).then_accepted()
    j.when(ResolveRefundOutcome("R", "FAILED", "letter")).then_rejected("INVALID_STATE", state="REQUESTED")


# -- crediting


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), "MALFORMED_REQUEST"),
        ((new_line("1.00"), new_line("1.00")), "MALFORMED_REQUEST"),
        ((new_line("1.00", currency="EUR"),), "CURRENCY_MISMATCH"),
        ((new_line("0.00"),), "AMOUNT_NOT_POSITIVE"),
        ((new_line("-1.00"),), "AMOUNT_NOT_POSITIVE"),
        ((new_line("1.00", name=None),), "MALFORMED_REQUEST"),
        (
            (NewLine("1", money("1.00"), Product(name="x"), (MemoTax(money("-0.10")),)),),
            "AMOUNT_NOT_POSITIVE",
        ),
    ],
)
def test_a_memo_that_makes_no_sense_is_refused(j: Journey, lines: tuple[NewLine, ...], code: str) -> None:
    j.when(CreateCreditMemo("USD", lines, "GOODWILL")).then_rejected(code)


@pytest.mark.parametrize(
    ("count", "code"), [(LINES_MAX - 1, None), (LINES_MAX, None), (LINES_MAX + 1, "TOO_MANY_LINES")]
)
def test_a_memo_has_at_most_so_many_lines(j: Journey, count: int, code: str | None) -> None:
    j.when(CreateCreditMemo("USD", tuple(new_line("0.01", str(n)) for n in range(count)), "GOODWILL"))
    check(j, code)


def test_a_memo_is_posted_once_and_given_up_only_before(j: Journey) -> None:
    memo(j, "1.00", draft=True)
    j.when(CreateCreditMemo("USD", (new_line("1.00"),), "GOODWILL", "M")).then_rejected("CREDIT_MEMO_EXISTS")
    j.when(VoidCreditMemo("M")).then_rejected("INVALID_STATE", state="DRAFT")
    j.when(PostCreditMemo("M")).then_accepted()
    j.when(PostCreditMemo("M")).then_rejected("INVALID_STATE", state="POSTED")
    j.when(RecoverCreditMemo("M")).then_rejected("INVALID_STATE", state="POSTED")
    j.when(RecoverCreditMemo("none")).then_rejected("CREDIT_MEMO_NOT_FOUND")


@pytest.mark.parametrize(("amount", "exceeded"), CENTS)
def test_no_more_of_a_line_is_credited_than_it_owes(j: Journey, amount: str, exceeded: str | None) -> None:
    invoice = j.post("INV", line("1", "100.00"), line("2", "10.00"))
    j.when(CreditInvoice(invoice, (CreditedLine("1", money(amount)),), "GOODWILL"))
    check(j, exceeded and "LINE_BALANCE_EXCEEDED")


def test_an_invoice_is_credited_by_its_lines_in_its_currency(j: Journey) -> None:
    invoice = j.post("INV", line("1", "100.00"))
    one = CreditedLine("1", money("1.00"))
    for target, lines, code in (
        ("none", (one,), "INVOICE_NOT_FOUND"),
        (invoice, (), "MALFORMED_REQUEST"),
        (invoice, (one, one), "MALFORMED_REQUEST"),
        (invoice, (CreditedLine("none", money("1.00")),), "INVOICE_LINE_NOT_FOUND"),
        (invoice, (CreditedLine("1", money("1.00", "EUR")),), "CURRENCY_MISMATCH"),
        (invoice, (CreditedLine("1", money("0.00")),), "AMOUNT_NOT_POSITIVE"),
        (invoice, (CreditedLine("1", money("-1.00")),), "AMOUNT_NOT_POSITIVE"),
    ):
        j.when(CreditInvoice(target, lines, "GOODWILL")).then_rejected(code)
    j.given((Invoice, invoice, InvoiceLocked("refunding:ro")))
    j.when(CreditInvoice(invoice, (one,), "GOODWILL")).then_rejected("INVOICE_LOCKED")


def test_a_memo_that_was_used_is_not_voided(j: Journey) -> None:
    memo(j, "10.00")
    j.when(external("1.00", credit_memo_id="M")).then_accepted()
    j.when(VoidCreditMemo("M")).then_rejected("CREDIT_MEMO_HAS_SETTLEMENTS")


# -- orchestrating


def orchestrated() -> tuple[Journey, str]:
    """A paid invoice whose reduction is on its way back; the orchestration's id."""
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00", invoice)
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    return j, j.last_id(RefundOrchestration)


def test_what_an_orchestration_holds_is_untouchable() -> None:
    j, id = orchestrated()
    memo_id = j.last_id(CreditMemo)
    j.when(AutomateRefund(memo_id)).then_rejected("ORCHESTRATION_EXISTS")
    j.when(IssueUnreferencedRefund(memo_id, money("1.00"), "X", j.card_a)).then_rejected("CREDIT_MEMO_LOCKED")
    j.run_processes()
    j.when(issue("60.01", source="REOPEN_INVOICES")).then_rejected("REFUND_EXCEEDS_REFUNDABLE")
    j.when(ExecuteRefundPlan(id)).then_rejected("INVALID_STATE", state="REFUNDING")
    j.when(CancelRefundOrchestration(id)).then_rejected("ORCHESTRATION_TOO_LATE", state="REFUNDING")


def test_an_orchestration_is_started_by_hand_for_its_own_invoice(j: Journey) -> None:
    memo(j, "10.00")
    j.when(AutomateRefund("none")).then_rejected("CREDIT_MEMO_NOT_FOUND")
    j.when(AutomateRefund("M"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(AutomateRefund("M")).then_rejected("REFERENCE_MISMATCH")
    j.given((CreditMemo, "M", CreditMemoLocked("refund:R")))
    j.when(AutomateRefund("M")).then_rejected("CREDIT_MEMO_LOCKED")


def test_only_a_leg_that_failed_is_placed_anew() -> None:
    j, id = orchestrated()
    j.run_processes()
    for command in (
        RetryRefundLeg(id, 1),
        ChooseRefundFallback(id, 1, "OPEN_CREDIT"),
        ResolveManualAction(id, 1, "OPEN_CREDIT", "note"),
    ):
        j.when(command).then_rejected("INVALID_STATE", state="REQUESTED")
    for command in (RetryRefundLeg(id, 2), RetryRefundLeg("none", 1)):
        j.when(command).then_rejected("ORCHESTRATION_NOT_FOUND")
    j.when(RetryRefundLeg(id, 1), account="B").then_rejected("ACCOUNT_MISMATCH")


def test_a_canceled_orchestration_leaves_everything_where_it_was() -> None:
    j, id = orchestrated()
    j.when(CancelRefundOrchestration(id, "customer agreed")).then_accepted()
    assert j.state(RefundOrchestration, id).status == "CANCELED"
    memo = j.state(CreditMemo, j.last_id(CreditMemo))
    assert (memo.locked_by, memo.balance) == (None, 40_00)
    assert j.payment("P")["applied"] == "100.00"
    j.when(ExecuteRefundPlan(id)).then_rejected("INVALID_STATE", state="CANCELED")
    assert j.state(Payment, "P").refund_reserved == 0


# -- what memos keep


def test_a_memo_keeps_the_method_that_it_is_paid_out_to(j: Journey) -> None:
    for id, draft in (("A", False), ("B", True)):
        line = NewLine("1", money("10.00"), Product(name="goodwill"))
        create = CreateCreditMemo("USD", (line,), "GOODWILL", id, draft, saved_payment_method_id=j.card_b)
        j.when(create).then_accepted()
        if draft:
            j.when(PostCreditMemo(id)).then_accepted()
        j.when(IssueUnreferencedRefund(id, money("1.00"), "X")).then_accepted()
        refund = j.state(Refund, j.last_id(Refund))
        assert refund.method.method_id == j.card_b


def test_a_converted_memo_keeps_the_method_of_its_invoice() -> None:
    j = Journey(convert_negative_lines=True)
    j.post("NEG", line("1", "-10.00"), saved_payment_method_id=j.card_b)
    assert j.state(CreditMemo, j.last_id(CreditMemo)).saved_payment_method_id == j.card_b


def test_a_payout_of_one_line_takes_no_other_and_keeps_its_notes(j: Journey) -> None:
    lines = tuple(NewLine(str(n), money(a), Product(name="x")) for n, a in enumerate(("120.00", "50.00")))
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M")).then_accepted()
    payout = IssueUnreferencedRefund("M", money("50.01"), "X", j.card_a, notes="by phone", memo_line_id="1")
    j.when(payout).then_rejected("CREDIT_BALANCE_EXCEEDED", available=50_00)
    j.when(replace(payout, memo_line_id="9")).then_rejected("INVOICE_LINE_NOT_FOUND")
    j.when(replace(payout, amount=money("20.00"))).then_accepted()
    memo = j.state(CreditMemo, "M")
    assert [memo.lines[id].refund_reserved for id in ("0", "1")] == [0, 20_00]
    (requested,) = [fact for kind, _, fact in j.facts() if kind == "refund"]
    assert requested.notes == "by phone"


def test_voiding_takes_back_charge_and_tax_apart(j: Journey) -> None:
    line = NewLine("1", money("10.00"), Product(name="x"), (MemoTax(money("0.80")),))
    j.when(CreateCreditMemo("USD", (line,), "GOODWILL", "M")).when(VoidCreditMemo("M")).then_accepted()
    voided = j.facts()[0][2]
    assert (voided.amount, voided.tax) == (money("10.80"), money("0.80"))
    assert postings(voided, {}) == [
        ("Customer credits", 1000, 0),
        ("Revenue", 0, 1000),
        ("Customer credits", 80, 0),
        ("Tax payable", 0, 80),
    ]


def test_evidence_is_more_than_blanks(j: Journey) -> None:
    j.request("P", "10.00")
    j.settle("P", Outcome("Indeterminate"))
    j.when(ResolvePaymentOutcome("P", "FAILED", "  ")).then_rejected("MALFORMED_REQUEST")
    assert j.outcome["field"] == "data.evidence"
    j.when(ResolvePaymentOutcome("P", "FAILED", "their statement of May 4")).then_accepted()


def test_the_invoice_s_balance_is_named_before_the_line_s_when_it_is_credited(j: Journey) -> None:
    invoice = j.post("INV", line("1", "10.00", "1.00"), line("2", "5.00"))
    too_much = CreditInvoice(invoice, (CreditedLine("1", money("10.00"), money("6.01")),), "X")
    j.when(too_much).then_rejected("INVOICE_BALANCE_EXCEEDED", available=16_00)
    j.when(CreditInvoice(invoice, (CreditedLine("1", money("10.00"), money("1.01")),), "X")).then_rejected(
        "LINE_BALANCE_EXCEEDED", available=11_00
    )
    j.when(CreditInvoice(invoice, (CreditedLine("1", money("10.01"), money("0.99")),), "X")).then_rejected(
        "LINE_BALANCE_EXCEEDED", available=10_00
    )


def test_a_conversion_by_hand_names_lines_or_none(j: Journey) -> None:
    invoice = j.post("NEG", line("1", "-10.00"), line("2", "-5.00"))
    j.when(ConvertNegativeInvoice(invoice, ())).then_rejected("MALFORMED_REQUEST")
    j.when(ConvertNegativeInvoice(invoice, ("2",))).then_accepted()
    assert j.balances(invoice)["lines"] == {"1": "-10.00", "2": "0.00"}
    j.when(ConvertNegativeInvoice(invoice, ("2",))).then_rejected("LINE_ALREADY_CONVERTED")
    j.when(ConvertNegativeInvoice(invoice)).then_accepted()
    assert [j.state(CreditMemo, id).total for id in j.ids(CreditMemo)] == [5_00, 10_00]


def test_a_payment_whose_reference_at_the_gateway_nobody_knows_is_neither_refunded_nor_voided_there(
    j: Journey,
) -> None:
    j.request("P", "10.00")
    j.settle("P", Outcome("Indeterminate"))
    j.when(ResolvePaymentOutcome("P", "PROCESSED", "it is on their statement")).then_accepted()
    j.when(IssueRefund("P", money("10.00"), "asked")).then_rejected("PAYMENT_NOT_GATEWAY_LINKED")
    j.when(CancelPayment("P")).then_rejected("PAYMENT_NOT_VOIDABLE")
    outside = RecordExternalRefund(
        money("10.00"), "CHECK", "cheque 9", NOW.date(), "asked", payment_id="P", refund_id="R"
    )
    j.when(outside).then_accepted()
    assert j.payment("P")["refunded"] == "10.00"
