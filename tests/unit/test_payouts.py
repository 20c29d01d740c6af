"""Payouts: three-way match of payment, gateway and bank, and whatever does not fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from events.money import Money
from events.operations import ExceptionRaised, ExceptionResolved
from events.payout import (
    BankLineMatched,
    BankLineSetAside,
    PaymentSettledByGateway,
    PaymentTakenBackByGateway,
    PayoutCompleted,
    PayoutLineBooked,
    PayoutLineMatched,
    PayoutLineUnmatched,
    PayoutPaidIn,
    RefundSettledByGateway,
)
from projections.folding import Folder, Rows
from projections.ledger import ledger_balances
from projections.models import TABLES
from services.disputes.disputing import RecordDisputeOpened, RecordDisputeOutcome
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from services.payouts.banking import AssignBankLine, RecordBankLine, ReportPayoutNotPaidIn
from services.payouts.payout import BankLine, Payout, PayoutLine, bank_line_id, line_id, payout_id
from services.payouts.reporting import (
    AssignPayoutLine,
    CloseSettlementReport,
    MatchPayoutLine,
    OpenSettlementReport,
    RecordPayoutLine,
    ReportPayout,
    ResolvePayoutCase,
)
from services.payouts.settling import ReportMissingSettlement
from services.refunds.refund import Refund
from services.refunds.refunding import IssueRefund
from tests.journey import CARD_CLOSED, SUCCESS, Journey, money

DAY = date(2026, 3, 4)
PO = payout_id("gw", "po_1")


@pytest.fixture
def j() -> Journey:
    """P 90.00, which the gateway calls ch_P."""
    j = Journey()
    paid(j, "P", "90.00")
    return j


def paid(j: Journey, id: str, amount: str, currency: str = "USD") -> None:
    j.request(id, amount, currency=currency)
    j.settle(id, replace(SUCCESS, gateway_ref=f"ch_{id}")).then_accepted()


def reported(j: Journey, amount: str, lines: int = 1, ref: str = "po_1", currency: str = "USD") -> Journey:
    j.when(ReportPayout("gw", ref, money(amount, currency), lines, DAY)).then_accepted()
    return j


def line(
    gross: str,
    fee: str = "0",
    type: str = "PAYMENT",
    ref: str | None = "ch_P",
    name: str = "txn_1",
    **more: Any,
) -> RecordPayoutLine:
    net = money(gross) - money(fee)
    return RecordPayoutLine("gw", "po_1", name, type, money(gross), money(fee), net, gateway_ref=ref, **more)  # type: ignore[arg-type]


def counted(j: Journey, command: RecordPayoutLine) -> Journey:
    """A line, and what its match becomes at its account."""
    j.when(command).then_accepted()
    j.run_processes()
    return j


def raised(j: Journey) -> list[tuple[str, str]]:
    return [(fact.type, fact.subject_id) for fact in j.all_facts() if isinstance(fact, ExceptionRaised)]


def rows(j: Journey) -> Rows:
    return Folder(TABLES).from_zero(j.events())


def books(j: Journey) -> dict[tuple[str, str], int]:
    """Debit less credit of each ledger account and currency, over all accounts."""
    sums: dict[tuple[str, str], int] = {}
    for (_, _, currency, name), row in rows(j)[ledger_balances].items():
        sums[name, currency] = sums.get((name, currency), 0) + row["debit"] - row["credit"]
    assert sum(sums.values()) == 0
    return {key: amount for key, amount in sums.items() if amount}


def test_a_payment_is_settled_less_its_fee_and_the_bank_has_it(j: Journey) -> None:
    reported(j, "87.20")
    counted(j, line("90.00", "2.80"))
    settled = PaymentSettledByGateway(
        PO, line_id("gw", "po_1", "txn_1"), money("90.00"), money("90.00"), money("2.80"), money("0")
    )
    assert settled in j.all_facts()
    assert PayoutCompleted(1, money("87.20"), money("0")) in j.all_facts()
    assert books(j) == {("Bank", "USD"): 8720, ("Gateway fees", "USD"): 280, ("Unapplied cash", "USD"): -9000}
    j.when(RecordBankLine("gw", "main", "7", money("87.20"), DAY, "ACME po_1 GATEWAY"))
    j.then_accepted()
    assert PayoutPaidIn(bank_line_id("main", "7"), money("87.20"), money("0"), DAY) in j.all_facts()
    assert j.state(Payout, PO).status == "PAID"
    assert raised(j) == []


def test_told_again_nothing_happens_and_other_content_is_refused(j: Journey) -> None:
    reported(j, "87.20").when(ReportPayout("gw", "po_1", money("87.20"), 1, DAY)).then_nothing()
    j.when(ReportPayout("gw", "po_1", money("87.21"), 1, DAY)).then_rejected("PAYOUT_EXISTS")
    counted(j, line("90.00", "2.80")).when(line("90.00", "2.80")).then_nothing()
    j.when(line("90.00", "2.79")).then_rejected("PAYOUT_LINE_EXISTS")
    j.when(RecordBankLine("gw", "main", "7", money("87.20"), DAY, "po_1")).then_accepted()
    j.when(RecordBankLine("gw", "main", "7", money("87.20"), DAY, "po_1")).then_nothing()
    j.when(RecordBankLine("gw", "main", "7", money("87.21"), DAY, "po_1")).then_rejected("BANK_LINE_EXISTS")


def test_guards_of_lines(j: Journey) -> None:
    j.when(line("90.00")).then_rejected("PAYOUT_NOT_FOUND")
    j.when(ReportPayout("nobody", "po_1", money("1"), 1)).then_rejected("GATEWAY_NOT_FOUND")
    reported(j, "90.00")
    j.when(replace(line("90.00"), net=money("89.00"))).then_rejected("LINE_AMOUNTS_DIFFER")
    euros = replace(line("90.00"), gross=money("90", "EUR"))
    j.when(euros).then_rejected("CURRENCY_MISMATCH", expected="USD")


def test_money_charged_in_another_currency_goes_through_the_exchange() -> None:
    j = Journey()
    paid(j, "P", "90.00", "EUR")
    reported(j, "94.00")
    counted(j, line("97.00", "3.00", charged=money("90.00", "EUR")))
    assert raised(j) == []
    assert books(j) == {
        ("Bank", "USD"): 9400,
        ("Gateway fees", "USD"): 300,
        ("Currency exchange", "USD"): -9700,
        ("Currency exchange", "EUR"): 9000,
        ("Unapplied cash", "EUR"): -9000,
    }


def test_missing_here_a_line_lies_in_suspense_until_it_fits(j: Journey) -> None:
    reported(j, "87.20")
    j.when(line("90.00", "2.80", ref="ch_Q")).then_accepted()
    id = line_id("gw", "po_1", "txn_1")
    assert raised(j) == [("PAYOUT_LINE_UNMATCHED", id)]
    assert j.state(PayoutLine, id).status == "UNMATCHED"
    assert books(j)["Settlement suspense", "USD"] == -9000
    j.when(MatchPayoutLine("gw", "po_1", "txn_1")).then_nothing()
    paid(j, "Q", "90.00")
    j.when(MatchPayoutLine("gw", "po_1", "txn_1"))
    j.then_types(PayoutLineMatched, ExceptionResolved)
    j.run_processes()
    assert j.state(Payment, "Q").settled == 9000
    assert books(j)["Bank", "USD"] == 8720
    assert ("Settlement suspense", "USD") not in books(j)


def test_a_person_says_what_a_line_is(j: Journey) -> None:
    reported(j, "87.20")
    j.when(line("90.00", "2.80", ref=None)).then_accepted()
    assign = AssignPayoutLine("gw", "po_1", "txn_1", "they mean P", j.state(Payment, "P").operation_key)
    j.when(replace(assign, operation_key="nothing")).then_rejected("OPERATION_NOT_FOUND")
    j.when(assign).then_types(PayoutLineMatched, ExceptionResolved)
    j.run_processes()
    assert j.state(Payment, "P").settled == 9000
    j.when(assign).then_nothing()


def test_a_line_that_is_nothing_of_ours_is_booked_by_a_person(j: Journey) -> None:
    reported(j, "87.20")
    j.when(line("90.00", "2.80", ref="theirs")).then_accepted()
    j.when(AssignPayoutLine("gw", "po_1", "txn_1", "another shop's"))
    j.then_types(PayoutLineBooked, ExceptionResolved)
    assert books(j)["Gateway adjustments", "USD"] == -9000


def test_fees_and_adjustments_are_booked_on_their_lines(j: Journey) -> None:
    reported(j, "-1.50", 2)
    j.when(line("0", "2.50", "FEE", None, "fee")).then_accepted()
    j.when(line("1.00", "0", "ADJUSTMENT", None, "adjustment")).then_accepted()
    assert books(j) == {
        ("Bank", "USD"): -150,
        ("Gateway fees", "USD"): 250,
        ("Gateway adjustments", "USD"): -100,
        ("Gateway clearing", "USD"): 9000,
        ("Unapplied cash", "USD"): -9000,
    }


def test_the_amount_differs(j: Journey) -> None:
    reported(j, "89.00")
    counted(j, line("89.00"))
    assert raised(j) == [("SETTLEMENT_AMOUNT_DIFFERS", "P")]
    assert j.state(Payment, "P").settled == 8900


def test_settled_twice_the_second_is_shown_and_in_excess(j: Journey) -> None:
    reported(j, "180.00", 2)
    counted(j, line("90.00"))
    counted(j, line("90.00", name="txn_2"))
    assert raised(j) == [("SETTLEMENT_DUPLICATE", "P")]
    assert j.state(Payment, "P").settled == 9000
    assert books(j)["Gateway clearing", "USD"] == -9000  # the gateway has paid too much


def test_what_was_taken_for_failed_and_is_paid_out_has_succeeded() -> None:
    j = Journey()
    j.request("P", "90.00")
    j.settle("P", CARD_CLOSED)
    reported(j, "90.00")
    counted(j, line("90.00", ref=None, merchant_reference=j.state(Payment, "P").number))
    payment = j.state(Payment, "P")
    assert (payment.status, payment.settled) == ("PROCESSED", 9000)
    assert raised(j) == [("LATE_SUCCESS", "P")]


def test_a_payment_whose_outcome_nobody_knew_is_known_by_its_payout() -> None:
    j = Journey()
    j.request("P", "90.00")
    reported(j, "90.00")
    counted(j, line("90.00", ref=None, merchant_reference=j.state(Payment, "P").number))
    assert (j.state(Payment, "P").status, j.state(Payment, "P").settled) == ("PROCESSED", 9000)
    assert raised(j) == []


def test_a_refund_is_taken_out_of_a_payout_and_comes_back(j: Journey) -> None:
    j.when(IssueRefund("P", money("40.00"), "asked", "UNAPPLIED", "R")).then_accepted()
    j.answer_refund("R", replace(SUCCESS, gateway_ref="re_1"))
    reported(j, "-40.50", 2)
    counted(j, line("-40.00", "0.50", "REFUND", "re_1"))
    taken = RefundSettledByGateway(
        PO, line_id("gw", "po_1", "txn_1"), money("40.00"), money("40.00"), money("0.50"), money("0")
    )
    assert taken in j.all_facts()
    assert raised(j) == []
    counted(j, line("40.00", "0", "REFUND_REVERSED", "re_1", "txn_2"))
    assert sorted(raised(j)) == [("PAYOUT_TOTAL_DIFFERS", PO), ("SETTLEMENT_UNEXPECTED", "R")]
    assert j.state(Refund, "R").settled == 0


def test_a_chargeback_costs_its_fee_once_whoever_tells_it_first(j: Journey) -> None:
    j.when(RecordDisputeOpened("D", "P", money("90.00"), "fraud", "NOTIFICATION")).then_accepted()
    reported(j, "-105.00")
    counted(j, line("-90.00", "15.00", "CHARGEBACK"))
    j.when(RecordDisputeOutcome("D", "LOST", "NOTIFICATION", money("15.00"))).then_accepted()
    assert books(j)["Dispute fees", "USD"] == 1500
    assert books(j)["Bank", "USD"] == -10500
    assert raised(j) == []


def test_a_fee_that_the_outcome_has_named_is_expected(j: Journey) -> None:
    j.when(RecordDisputeOpened("D", "P", money("90.00"), "fraud", "NOTIFICATION")).then_accepted()
    j.when(RecordDisputeOutcome("D", "LOST", "NOTIFICATION", money("15.00"))).then_accepted()
    reported(j, "-105.00")
    counted(j, line("-90.00", "15.00", "CHARGEBACK"))
    assert books(j)["Dispute fees", "USD"] == 1500
    taken = [fact for fact in j.all_facts() if isinstance(fact, PaymentTakenBackByGateway)]
    assert [fact.fee_expected for fact in taken] == [True]


@pytest.mark.parametrize("type", ["CHARGEBACK", "RETURN"])
def test_what_a_gateway_takes_back_and_nobody_told_of_is_shown(j: Journey, type: str) -> None:
    reported(j, "-90.00")
    counted(j, line("-90.00", "0", type))
    assert raised(j) == [("SETTLEMENT_UNEXPECTED", "P")]


def test_missing_there_a_payment_is_a_case_until_it_is_settled(j: Journey) -> None:
    j.when(ReportMissingSettlement("P")).then_accepted()
    assert raised(j) == [("SETTLEMENT_MISSING", "P")]
    j.when(ReportMissingSettlement("P")).then_nothing()
    reported(j, "90.00")
    counted(j, line("90.00"))
    assert ExceptionResolved("SETTLED", "its gateway has paid it out") in j.all_facts()
    j.cheque("C", "5.00", j.post("INV", *_lines()))
    j.when(ReportMissingSettlement("C")).then_rejected("PAYMENT_NOT_GATEWAY_LINKED")


def _lines() -> Any:
    from tests.journey import line as invoice_line

    return [invoice_line("1", "5.00")]


def test_lines_that_do_not_add_up_are_shown_and_a_late_line_mends_it(j: Journey) -> None:
    reported(j, "87.20")
    counted(j, line("90.00"))
    assert raised(j) == [("PAYOUT_TOTAL_DIFFERS", PO)]
    j.when(line("0", "2.80", "FEE", None, "fee")).then_accepted()
    assert ExceptionResolved("ADDED_UP", "the line that was missing is here") in j.all_facts()


def test_the_bank_comes_first_and_its_line_finds_its_payout_later(j: Journey) -> None:
    j.when(RecordBankLine("gw", "main", "7", money("87.20"), DAY, "GATEWAY")).then_accepted()
    id = bank_line_id("main", "7")
    assert raised(j) == [("BANK_LINE_UNMATCHED", id)]
    reported(j, "87.20")
    assert BankLineMatched(PO, "AMOUNT") in j.all_facts()
    assert ExceptionResolved("MATCHED", "its payout was reported after it") in j.all_facts()


def test_two_payouts_of_one_amount_need_a_name_or_a_person(j: Journey) -> None:
    reported(reported(j, "87.20"), "87.20", ref="po_2")
    j.when(RecordBankLine("gw", "main", "7", money("87.20"), DAY, "GATEWAY")).then_accepted()
    assert [type for type, _ in raised(j)] == ["BANK_LINE_UNMATCHED"]
    j.when(AssignBankLine("gw", "main", "7", "they say", "po_3")).then_rejected("PAYOUT_NOT_FOUND")
    j.when(AssignBankLine("gw", "main", "7", "they say", "po_2"))
    j.then_types(BankLineMatched, PayoutPaidIn, ExceptionResolved)
    j.when(AssignBankLine("gw", "main", "7", "again", "po_1")).then_rejected("INVALID_STATE")


def test_a_line_of_the_bank_that_is_no_payout_is_set_aside(j: Journey) -> None:
    j.when(RecordBankLine("gw", "main", "7", money("5.00"), DAY, "GATEWAY GIFT")).then_accepted()
    j.when(AssignBankLine("gw", "main", "7", "a gift")).then_types(BankLineSetAside, ExceptionResolved)
    assert not j.state(BankLine, bank_line_id("main", "7")).open


def test_the_bank_has_another_amount_than_the_payout_that_it_names(j: Journey) -> None:
    reported(j, "87.20")
    j.when(RecordBankLine("gw", "main", "7", money("80.00"), DAY, "po_1")).then_accepted()
    assert raised(j) == [("BANK_AMOUNT_DIFFERS", PO)]


def test_a_payout_that_the_bank_does_not_have_is_a_case_until_it_has(j: Journey) -> None:
    reported(j, "87.20").when(ReportPayoutNotPaidIn("gw", "po_1")).then_accepted()
    assert raised(j) == [("PAYOUT_NOT_PAID_IN", PO)]
    j.when(ReportPayoutNotPaidIn("gw", "po_1")).then_nothing()
    j.when(RecordBankLine("gw", "main", "7", money("87.20"), DAY, "po_1")).then_accepted()
    assert ExceptionResolved("PAID_IN", "the bank has it") in j.all_facts()


def test_a_person_closes_a_case(j: Journey) -> None:
    reported(j, "87.20")
    j.when(line("90.00", "2.80", ref="theirs"))
    assert (
        PayoutLineUnmatched("nothing of ours is called theirs", money("90.00"), money("2.80"))
        in j.all_facts()
    )
    (case,) = [id for kind, id, fact in j.facts() if isinstance(fact, ExceptionRaised)]
    j.when(ResolvePayoutCase("gw", case, "ASKED", "they are looking")).then_types(ExceptionResolved)
    j.when(ResolvePayoutCase("gw", case, "ASKED", "again")).then_nothing()
    j.when(ResolvePayoutCase("gw", "none", "ASKED", "x")).then_rejected("EXCEPTION_NOT_FOUND")


def test_a_report_is_opened_once_and_closed_once(j: Journey) -> None:
    opened = OpenSettlementReport("SR", "gw", "STRIPE", "file.csv", "ab", 3, 0)
    j.when(opened).then_accepted()
    j.when(opened).then_nothing()
    j.when(replace(opened, digest="cd")).then_rejected("SETTLEMENT_REPORT_EXISTS")
    j.when(CloseSettlementReport("SR", "gw", 3, 0, 0)).then_accepted()
    j.when(CloseSettlementReport("SR", "gw", 3, 0, 0)).then_nothing()
    j.when(CloseSettlementReport("SX", "gw", 3, 0, 0)).then_rejected("SETTLEMENT_REPORT_NOT_FOUND")


def test_cash_flow_has_what_the_ledger_has(j: Journey) -> None:
    from projections.cash_flow import cash_flow

    reported(j, "87.20")
    counted(j, line("90.00", "2.80"))
    ((_, row),) = rows(j)[cash_flow].items()
    shown = {name: row[name] for name in ("captured", "settled", "fees", "unapplied")}
    assert shown == {"captured": 9000, "settled": 8720, "fees": 280, "unapplied": 9000}
    assert Money(row["settled"] + row["fees"], "USD") == money("90.00")


def test_what_was_paid_out_is_not_voided_any_more(j: Journey) -> None:
    reported(j, "87.20")
    counted(j, line("90.00", "2.80"))
    j.when(CancelPayment("P")).then_rejected("PAYMENT_NOT_VOIDABLE")
    assert "paid it out" in j.outcome["message"]
