"""A bank takes a debit back, as a worked example, and returns that find the money gone."""

from __future__ import annotations

from datetime import UTC, datetime

from events.payment import PaymentReturned
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.invoices.invoice import Invoice
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn, WriteOffOverdraft
from services.refunds.refunding import IssueRefund
from tests.journey import CARD_CLOSED, SUCCESS, Journey, line, money

RETURNED_AT = datetime(2026, 5, 8, 14, 0, tzinfo=UTC)


def by_bank_account(j: Journey) -> str:
    bank_account = SavePaymentMethod(
        "gw", "tok_ach", "us_bank_account", last4="6789", mandate_reference="M-1"
    )
    j.when(bank_account).then_accepted()
    return j.last_id(SavedMethod)


def returned(j: Journey, code: str = "R01", payment_id: str = "P") -> Journey:
    j.when(RecordPaymentReturn(payment_id, code, "NOTIFICATION", RETURNED_AT))
    return j


def fact_of(j: Journey) -> PaymentReturned:
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, PaymentReturned)]
    return fact


def money_of(j: Journey) -> dict[str, int]:
    return {name: amount for name, amount in j.state(Payment, "P").buckets.items() if amount}


def test_r01_takes_it_back_and_the_invoice_is_owed_again() -> None:
    j = Journey()
    inv = j.post("INV", line("L1", "250.00"))
    j.pay("P", "250.00", inv, method=by_bank_account(j))
    returned(j, "R01").then_accepted()
    fact = fact_of(j)
    assert (fact.category, fact.hard, fact.never_retry) == ("CardLimit", False, False)
    assert (fact.returned, fact.overdrawn) == (money("250.00"), money("0"))
    assert (j.state(Payment, "P").status, money_of(j)) == ("RETURNED", {"returned": 25000})
    assert j.balances(inv) == {"balance": "250.00", "status": "NOT_SETTLED", "lines": {"L1": "250.00"}}
    returned(j, "R01").then_nothing()


def test_r10_means_never_again_with_this_mandate() -> None:
    j = Journey()
    method = by_bank_account(j)
    j.pay("P", "250.00", j.post("INV", line("L1", "250.00")), method=method)
    returned(j, "R10").then_accepted()
    fact = fact_of(j)
    assert (fact.category, fact.never_retry) == ("Security", True)
    assert j.state(SavedMethod, method).status == "REVOKED"


def test_after_a_refund_of_40_of_100_60_are_returned_and_40_are_overdrawn() -> None:
    j = Journey()
    j.pay("P", "100.00")
    j.when(IssueRefund("P", money("40.00"), "asked", "UNAPPLIED", "R")).then_accepted()
    j.answer_refund("R", SUCCESS)
    returned(j).then_accepted()
    assert (fact_of(j).returned, fact_of(j).overdrawn) == (money("60.00"), money("40.00"))
    raised = [fact for kind, _, fact in j.facts() if kind == "exception"]
    assert [(case.type, case.amount) for case in raised] == [("RETURN_AFTER_REFUND", money("40.00"))]
    assert (money_of(j), j.state(Payment, "P").overdrawn) == ({"refunded": 4000, "returned": 6000}, 4000)
    j.when(WriteOffOverdraft("P", "gone abroad")).then_accepted()
    assert j.state(Payment, "P").overdrawn == 0
    j.when(WriteOffOverdraft("P", "gone abroad")).then_rejected("NOTHING_TO_CHANGE")


def test_a_refund_that_fails_after_the_return_pays_for_the_overdraft() -> None:
    j = Journey()
    j.pay("P", "100.00")
    j.when(IssueRefund("P", money("40.00"), "asked", "UNAPPLIED", "R")).then_accepted()
    returned(j)
    j.answer_refund("R", CARD_CLOSED)
    assert (money_of(j), j.state(Payment, "P").overdrawn) == ({"returned": 10000}, 0)


def test_a_leg_of_a_returned_payment_leaves_no_credit_behind() -> None:
    """100.00 paid, 50.00 on their way back, then the bank takes all: the memo stays on the invoice."""
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    inv = j.post("INV", line("L1", "100.00"))
    j.pay("P", "100.00", inv)
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")), original="INV")
    j.run_processes()
    (refund,) = j.refunds()
    returned(j).then_accepted()
    assert j.balances(inv)["balance"] == "50.00"
    j.answer_refund(refund.refund_id, CARD_CLOSED)
    j.run_processes()
    ro = j.state(RefundOrchestration, j.last_id(RefundOrchestration))
    assert (ro.status, ro.open_credit, ro.refunded) == ("COMPLETED", 0, 0)
    assert (money_of(j), j.state(Payment, "P").overdrawn) == ({"returned": 10000}, 0)
    assert (j.balances(inv)["balance"], j.state(Invoice, inv).locked_by) == ("50.00", None)


def test_guards() -> None:
    j = Journey()
    returned(j, payment_id="nobody").then_rejected("PAYMENT_NOT_FOUND")
    j.request("P", "5.00")
    returned(j).then_rejected("INVALID_STATE", state="REQUESTED")
    j.when(WriteOffOverdraft("P", "x")).then_rejected("NOTHING_TO_CHANGE")


def test_an_unknown_code_is_soft_unless_the_caller_knows_better() -> None:
    j = Journey()
    j.pay("P", "5.00", method=by_bank_account(j))
    j.pay("Q", "5.00")
    returned(j, "R99").then_accepted()
    assert (fact_of(j).category, fact_of(j).hard) == ("Unknown", False)
    known = RecordPaymentReturn("Q", "mandate_gone", "NOTIFICATION", RETURNED_AT, "Security", hard=True)
    j.when(known).then_accepted()
    assert (fact_of(j).category, fact_of(j).hard) == ("Security", True)
