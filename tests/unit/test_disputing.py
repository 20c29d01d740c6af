"""A chargeback, as a worked example, and whatever else may become of a dispute."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from events.dispute import DisputeEvidenceRequested
from events.invoice import InvoiceDisputed
from events.payment import ChargebackLost, ChargebackOpened
from services.accounts.account import CloseAccount
from services.disputes.dispute import Dispute
from services.disputes.disputing import (
    AcceptDispute,
    RecordDisputeOpened,
    RecordDisputeOutcome,
    SubmitDisputeEvidence,
)
from services.invoices.invoice import Invoice
from services.payments.arriving import RecordPaymentOutcome
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.payments.taking_back import CancelPayment
from services.refunds.refunding import IssueRefund, RecordExternalRefund
from tests.journey import CARD_CLOSED, SUCCESS, Journey, line, money


@pytest.fixture
def j() -> Journey:
    """P 90.00, applied to an invoice of 90.00."""
    j = Journey()
    j.pay("P", "90.00", j.post("INV", line("L1", "90.00")))
    return j


def invoice(j: Journey) -> Invoice:
    return j.state(Invoice, j.ids(Invoice)[0])


def opened(j: Journey, amount: str = "90.00", dispute_id: str = "D", payment_id: str = "P") -> Journey:
    fact = RecordDisputeOpened(dispute_id, payment_id, money(amount), "fraudulent", "NOTIFICATION")
    j.when(fact)
    return j


def ended(j: Journey, outcome: str, fee: str | None = None, dispute_id: str = "D") -> Journey:
    how = RecordDisputeOutcome(dispute_id, outcome, "NOTIFICATION", money(fee) if fee else None)  # type: ignore[arg-type]
    j.when(how)
    return j


def money_of(j: Journey, payment_id: str = "P") -> dict[str, int]:
    return {name: amount for name, amount in j.state(Payment, payment_id).buckets.items() if amount}


def test_opened_the_money_is_held_and_the_invoice_is_open_but_disputed(j: Journey) -> None:
    opened(j).then_accepted()
    assert money_of(j) == {"dispute_held": 9000}
    assert invoice(j).balance == 9000
    assert invoice(j).disputes == {"D": 9000}
    j.when(IssueRefund("P", money("10.00"), "asked", "UNAPPLIED")).then_rejected(
        "PAYMENT_DISPUTED", disputes=["D"]
    )


def test_won_it_is_applied_again_by_itself(j: Journey) -> None:
    ended(opened(j), "WON").then_accepted()
    assert money_of(j) == {"applied": 9000}
    assert (invoice(j).balance, invoice(j).settlement_status, invoice(j).disputes) == (0, "SETTLED", {})
    assert j.state(Dispute, "D").status == "WON"


def test_lost_the_money_is_gone_and_the_invoice_is_owed(j: Journey) -> None:
    ended(opened(j), "LOST", fee="15.00").then_accepted()
    assert (ChargebackLost("D", money("90.00"), money("0"), money("15.00"))) in [f for _, _, f in j.facts()]
    assert money_of(j) == {"disputed_lost": 9000}
    assert (invoice(j).balance, invoice(j).settlement_status, invoice(j).disputes) == (
        9000,
        "NOT_SETTLED",
        {},
    )


def test_a_part_is_disputed_and_only_that_is_taken_off_the_invoice(j: Journey) -> None:
    opened(j, "30.00").then_accepted()
    assert money_of(j) == {"applied": 6000, "dispute_held": 3000}
    assert invoice(j).balance == 3000
    assert InvoiceDisputed("D", "P", money("30.00")) in [fact for _, _, fact in j.facts()]


def test_what_is_unapplied_is_held_first() -> None:
    j = Journey()
    inv = j.post("INV", line("L1", "50.00"))
    j.pay("P", "90.00")
    j.apply("P", inv, "50.00")
    opened(j, "40.00").then_accepted()
    assert money_of(j) == {"applied": 5000, "dispute_held": 4000}
    assert (j.state(Invoice, inv).balance, j.state(Invoice, inv).disputes) == (0, {})


def test_what_was_refunded_before_left_twice_when_the_dispute_is_lost() -> None:
    j = Journey()
    j.pay("P", "90.00")
    j.when(IssueRefund("P", money("40.00"), "asked", "UNAPPLIED", "R")).then_accepted()
    j.answer_refund("R", SUCCESS)
    opened(j).then_accepted()
    assert ChargebackOpened("D", money("50.00")) in [fact for _, _, fact in j.facts()]
    ended(j, "LOST").then_accepted()
    assert money_of(j) == {"refunded": 4000, "disputed_lost": 5000}
    assert j.state(Payment, "P").overdrawn == 4000
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE")


def test_a_refund_on_its_way_keeps_its_money_and_gives_it_to_the_overdraft_when_it_fails() -> None:
    j = Journey()
    j.pay("P", "90.00")
    j.when(IssueRefund("P", money("40.00"), "asked", "UNAPPLIED", "R")).then_accepted()
    ended(opened(j), "LOST")
    assert money_of(j) == {"refund_reserved": 4000, "disputed_lost": 5000}
    j.answer_refund("R", CARD_CLOSED)
    assert money_of(j) == {"disputed_lost": 9000}
    assert j.state(Payment, "P").overdrawn == 0


def test_told_twice_nothing_happens(j: Journey) -> None:
    opened(opened(j)).then_nothing()
    ended(ended(j, "WON"), "WON").then_nothing()


def test_the_other_outcome_after_the_end_is_for_a_person(j: Journey) -> None:
    ended(ended(opened(j), "WON"), "LOST").then_accepted()
    ((kind, _, raised),) = j.facts()
    assert (kind, raised.type, raised.subject_id) == ("exception", "CONTRADICTED_OUTCOME", "D")
    assert money_of(j) == {"applied": 9000}


def test_evidence_is_due_then_submitted_and_then_it_cannot_be_accepted(j: Journey) -> None:
    due = datetime(2026, 3, 20, tzinfo=UTC)
    command = RecordDisputeOpened("D", "P", money("90.00"), "fraudulent", "NOTIFICATION", evidence_due_at=due)
    j.when(command).then_accepted()
    assert DisputeEvidenceRequested(due) in [fact for _, _, fact in j.facts()]
    j.when(SubmitDisputeEvidence("D", "signed delivery note")).then_accepted()
    assert j.state(Dispute, "D").status == "SUBMITTED"
    j.when(AcceptDispute("D", "too small")).then_rejected("INVALID_STATE", state="SUBMITTED")
    j.when(SubmitDisputeEvidence("D", "again")).then_rejected("INVALID_STATE", state="SUBMITTED")


def test_accepted_it_is_lost_and_the_bank_saying_so_later_changes_nothing(j: Journey) -> None:
    opened(j).when(AcceptDispute("D", "never sent", money("15.00"))).then_accepted()
    assert money_of(j) == {"disputed_lost": 9000}
    ended(j, "LOST").then_nothing()


def test_guards(j: Journey) -> None:
    ended(j, "WON").then_rejected("DISPUTE_NOT_FOUND")
    opened(j, payment_id="nobody").then_rejected("PAYMENT_NOT_FOUND")
    opened(j, "0").then_rejected("AMOUNT_NOT_POSITIVE")
    euros = RecordDisputeOpened("D", "P", money("90.00", "EUR"), "fraudulent", "NOTIFICATION")
    j.when(euros).then_rejected("CURRENCY_MISMATCH", expected="USD")
    j.request("waiting", "5.00")
    opened(j, payment_id="waiting").then_rejected("INVALID_STATE", state="REQUESTED")
    opened(j)
    how = RecordDisputeOutcome("D", "LOST", "NOTIFICATION", money("1.00", "EUR"))
    j.when(how).then_rejected("CURRENCY_MISMATCH", expected="USD")
    j.when(CancelPayment("P")).then_rejected("PAYMENT_DISPUTED")
    outside = RecordExternalRefund(money("1.00"), "CASH", "till", j.time.date(), "asked", "P")
    j.when(outside).then_rejected("PAYMENT_DISPUTED")


def test_an_orchestration_takes_nothing_from_a_disputed_payment() -> None:
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    inv = j.post("INV", line("L1", "100.00"))
    j.pay("P", "100.00", inv)
    opened(j, "10.00")
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")), original="INV")
    j.run_processes()
    assert j.refunds() == []
    assert money_of(j) == {"applied": 9000, "dispute_held": 1000}


def test_a_leg_whose_payment_is_disputed_meanwhile_is_placed_otherwise_at_its_retry() -> None:
    from services.orchestrations.orchestration import RefundOrchestration
    from tests.journey import SOFT

    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    inv = j.post("INV", line("L1", "100.00"))
    j.pay("P", "100.00", inv)
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")), original="INV")
    j.run_processes()
    (refund,) = j.refunds()
    j.answer_refund(refund.refund_id, SOFT)
    j.run_processes()
    opened(j, "20.00")
    j.at(max(send.due_at for send in j.later))
    j.run_due()
    j.run_processes()
    ro = j.state(RefundOrchestration, j.last_id(RefundOrchestration))
    assert (ro.status, ro.open_credit) == ("COMPLETED_WITH_OPEN_CREDIT", 5000)
    assert money_of(j) == {"applied": 8000, "dispute_held": 2000}


def test_what_is_being_voided_is_neither_held_nor_returned_as_well(j: Journey) -> None:
    j.pay("V", "20.00")
    j.when(CancelPayment("V")).then_accepted()
    opened(j, "20.00", payment_id="V").then_rejected("OPERATION_IN_FLIGHT")
    j.when(RecordPaymentReturn("V", "R01", "NOTIFICATION", j.time)).then_rejected("OPERATION_IN_FLIGHT")
    key = j.state(Payment, "V").cancellation_key
    assert key is not None
    j.when(RecordPaymentOutcome(key, "GATEWAY", SUCCESS)).then_accepted()
    assert j.state(Payment, "V").status == "CANCELED"
