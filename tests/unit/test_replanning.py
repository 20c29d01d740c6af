"""An executed orchestration whose payments a bank takes back, or disputes, before their legs are sent."""

from __future__ import annotations

from datetime import UTC, datetime

from events.operations import ExceptionRaised
from services.disputes.dispute import Dispute
from services.disputes.disputing import RecordDisputeOpened, RecordDisputeOutcome
from services.invoices.invoice import Invoice
from services.orchestrations.falling_back import ChooseRefundFallback, RetryRefundLeg
from services.orchestrations.orchestration import RefundOrchestration
from services.orchestrations.replanning import ReplanRefund
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from tests.journey import CARD_CLOSED, SOFT, SUCCESS, Journey, line, money

RETURNED_AT = datetime(2026, 5, 8, tzinfo=UTC)


def with_failed_leg(reduction: str = "-50.00", fallbacks: tuple[str, ...] | None = None) -> Journey:
    """INV of 100.00 paid by P 60.00 and Q 40.00; of a credit, the first leg has failed softly."""
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    if fallbacks:
        from services.tenants.tenant_settings import ChangeTenantSettings

        j.when(ChangeTenantSettings({"refund_failure_fallback": fallbacks})).then_accepted()
    inv = j.post("INV", line("L1", "100.00"))
    j.pay("P", "60.00", inv)
    j.pay("Q", "40.00", inv)
    j.post("NEG", line("L1", reduction, of=("INV", "L1")), original="INV")
    j.run_processes()
    j.answer_refund(j.refunds()[0].refund_id, SOFT)
    j.run_processes()
    return j


def ro(j: Journey) -> RefundOrchestration:
    return j.state(RefundOrchestration, j.last_id(RefundOrchestration))


def buckets(j: Journey, payment_id: str = "P") -> dict[str, int]:
    return {name: amount for name, amount in j.state(Payment, payment_id).buckets.items() if amount}


def returned(j: Journey, payment_id: str = "P") -> None:
    j.when(RecordPaymentReturn(payment_id, "R01", "NOTIFICATION", RETURNED_AT)).then_accepted()
    j.run_processes()


def disputed(j: Journey, amount: str, dispute_id: str = "D") -> None:
    j.when(RecordDisputeOpened(dispute_id, "P", money(amount), "fraud", "NOTIFICATION")).then_accepted()
    j.run_processes()


def test_a_return_ends_a_leg_that_waits_for_its_retry_at_once() -> None:
    j = with_failed_leg()
    returned(j)
    assert (ro(j).status, ro(j).refunded, ro(j).open_credit) == ("COMPLETED", 0, 0)
    assert (buckets(j), j.state(Payment, "P").overdrawn) == ({"returned": 6000}, 0)
    assert j.balances(j.ids(Invoice)[0])["balance"] == "10.00"  # 100.00 less 50.00 credit less 40.00 by Q


def test_the_other_legs_go_on() -> None:
    j = with_failed_leg("-80.00")
    returned(j)
    (other,) = [refund for refund in j.refunds() if refund.payment_id == "Q"]
    assert ro(j).status == "REFUNDING"
    j.answer_refund(other.refund_id, SUCCESS)
    assert (ro(j).status, ro(j).refunded) == ("COMPLETED", 2000)
    assert j.balances(j.ids(Invoice)[0])["balance"] == "0.00"


def test_a_dispute_of_all_holds_what_was_to_be_refunded_as_well() -> None:
    j = with_failed_leg()
    disputed(j, "60.00")
    assert buckets(j) == {"dispute_held": 6000}
    assert (j.state(Dispute, "D").held, ro(j).status, ro(j).open_credit) == (6000, "COMPLETED", 0)
    j.when(RecordDisputeOutcome("D", "LOST", "NOTIFICATION")).then_accepted()
    assert (buckets(j), j.state(Payment, "P").overdrawn) == ({"disputed_lost": 6000}, 0)


def test_a_dispute_that_is_won_says_what_is_due_to_the_customer() -> None:
    j = with_failed_leg()
    disputed(j, "60.00")
    j.when(RecordDisputeOutcome("D", "WON", "NOTIFICATION")).then_accepted()
    assert buckets(j) == {"applied": 1000, "unapplied": 5000}
    raised = [fact for fact in j.all_facts() if isinstance(fact, ExceptionRaised)]
    assert [(case.type, case.amount) for case in raised] == [("REFUND_DUE", money("50.00"))]


def test_a_dispute_of_a_part_holds_its_part_and_the_rest_goes_another_way() -> None:
    j = with_failed_leg()
    disputed(j, "30.00")  # 10.00 were on the invoice, 20.00 come from the leg
    assert j.state(Dispute, "D").held == 3000
    (other,) = [refund for refund in j.refunds() if refund.payment_id == "Q"]
    assert (other.amount, buckets(j)) == (3000, {"applied": 3000, "dispute_held": 3000})


def test_what_a_person_was_to_pay_out_is_not_due_any_more_either() -> None:
    j = with_failed_leg(fallbacks=("MANUAL",))
    assert ro(j).status == "MANUAL_ACTION"
    returned(j)
    assert (ro(j).status, buckets(j)) == ("COMPLETED", {"returned": 6000})


def test_a_leg_in_flight_waits_for_its_gateway_and_is_looked_at_when_it_fails() -> None:
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    inv = j.post("INV", line("L1", "60.00"))
    j.pay("P", "60.00", inv)
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")), original="INV")
    j.run_processes()
    disputed(j, "60.00")
    assert buckets(j) == {"dispute_held": 1000, "refund_reserved": 5000}
    j.answer_refund(j.refunds()[0].refund_id, SOFT)
    j.run_processes()
    assert (buckets(j), ro(j).status) == ({"dispute_held": 6000}, "COMPLETED")
    assert all(send.due_at > j.time for send in j.later)
    again = [send.command for send in j.later if isinstance(send.command, RetryRefundLeg)]
    assert again == [RetryRefundLeg(ro(j).orchestration_id, 1)], (
        "should the dispute be over before it is looked at"
    )


def test_a_person_who_chooses_a_fallback_is_told_the_same() -> None:
    j = with_failed_leg()
    j.when(RecordPaymentReturn("P", "R01", "NOTIFICATION", RETURNED_AT)).then_accepted()
    j.when(ChooseRefundFallback(ro(j).orchestration_id, 1, "OPEN_CREDIT")).then_accepted()
    assert (ro(j).status, ro(j).open_credit, buckets(j)) == ("COMPLETED", 0, {"returned": 6000})
    j.when(ReplanRefund(ro(j).orchestration_id)).then_nothing()


def test_a_dispute_that_finds_all_it_claims_leaves_the_leg_its_money() -> None:
    j = with_failed_leg("-20.00")
    disputed(j, "10.00")
    refunds = {refund.payment_id: refund.amount for refund in j.refunds()}
    assert refunds == {"P": 2000, "Q": 2000}
    assert buckets(j) == {"applied": 5000, "dispute_held": 1000}


def test_a_hard_failure_of_a_returned_payment_is_no_open_credit() -> None:
    j = Journey("recommended", auto_apply_credits_to_posted_invoices=False)
    inv = j.post("INV", line("L1", "60.00"))
    j.pay("P", "60.00", inv)
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")), original="INV")
    j.run_processes()
    returned(j)
    j.answer_refund(j.refunds()[0].refund_id, CARD_CLOSED)
    j.run_processes()
    assert (buckets(j), ro(j).status, ro(j).open_credit) == ({"returned": 6000}, "COMPLETED", 0)
