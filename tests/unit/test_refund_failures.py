"""What becomes of a leg whose refund fails: one test for each way to fail and to fall back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from events.operations import ExceptionRaised
from events.shapes import Outcome
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.applications.applying import ApplyCreditMemo, Target, UnapplyCreditMemo
from services.credits.credit_memo import CreditMemo
from services.invoices.invoice import Invoice
from services.orchestrations.falling_back import ChooseRefundFallback, ResolveManualAction, RetryRefundLeg
from services.orchestrations.legs import RETRY_AFTER
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.payment import Payment
from services.refunds.refund import Refund
from tests.journey import CARD_CLOSED, SOFT, SUCCESS, Journey, line, money
from tests.spec import NOW

PENDING = Outcome("Pending", gateway_ref="re_1")
UNKNOWN = Outcome("Indeterminate", raw_message="no answer came")
REVERSED = Outcome("Reversed", raw_code="account_closed")


class Refunding(Journey):
    """100.00 paid by one payment; 40.00 of it are on their way back."""

    def __init__(self, **settings: Any) -> None:
        super().__init__("recommended", auto_apply_credits_to_posted_invoices=False, **settings)
        self.invoice = self.post("INV", line("1", "100.00"))
        self.when(SetDefaultPaymentMethod(self.card_b)).then_accepted()
        self.pay("P", "100.00", self.invoice)
        self.post("NEG", line("1", "-40.00", of=("INV", "1")))
        self.run_processes()

    @property
    def orchestration(self) -> RefundOrchestration:
        return self.state(RefundOrchestration, self.last_id(RefundOrchestration))

    @property
    def memo(self) -> CreditMemo:
        return self.state(CreditMemo, self.orchestration.credit_memo_id)

    def say(self, outcome: Outcome) -> list[str]:
        """What the gateway says about the latest refund; the commands that follow at once."""
        self.answer_refund(self.last_id(Refund), outcome)
        return [type(command).__name__ for command in self.run_processes()]

    def use_memo_elsewhere(self, amount: str) -> None:
        """Take the memo off the invoice, and settle another invoice with a part of it."""
        memo, other = self.memo, self.post("OTHER", line("1", amount))
        for id in list(memo.applications):
            self.when(UnapplyCreditMemo(memo.credit_memo_id, id)).then_accepted()
        target = Target(other, money(amount))
        self.when(ApplyCreditMemo(memo.credit_memo_id, (target,))).then_accepted()

    def check_settled(self) -> None:
        """Nothing is held any more, and every cent is in one place."""
        invoice, payment, memo = self.state(Invoice, self.invoice), self.state(Payment, "P"), self.memo
        assert (invoice.balance, invoice.locked_by, memo.locked_by) == (0, None, None)
        assert payment.reservations == {}
        assert payment.amount == payment.applied + payment.unapplied + payment.refunded
        assert memo.total == memo.applied + memo.refunded + memo.balance


def test_a_pending_leg_keeps_its_reservation() -> None:
    j = Refunding()
    assert j.say(PENDING) == []
    assert (j.orchestration.status, j.payment("P")["refund_reserved"]) == ("AWAITING_GATEWAY", "40.00")
    j.say(SUCCESS)
    assert (j.orchestration.status, j.payment("P")["refunded"]) == ("COMPLETED", "40.00")
    j.check_settled()


def test_a_code_that_no_map_knows_is_shown_to_a_person() -> None:
    j = Refunding()
    j.answer_refund(j.last_id(Refund), replace(SOFT, category="Unknown", raw_code="zz_unheard_of"))
    assert [fact.type for _, _, fact in j.facts() if isinstance(fact, ExceptionRaised)] == ["UNMAPPED_CODE"]


def test_a_leg_in_doubt_is_neither_retried_nor_placed_otherwise() -> None:
    j = Refunding()
    assert j.say(UNKNOWN) == []
    assert j.later == []
    id = j.orchestration.orchestration_id
    for command in (RetryRefundLeg(id, 1), ChooseRefundFallback(id, 1, "OPEN_CREDIT")):
        j.when(command).then_rejected("INVALID_STATE", state="PENDING")
    assert j.payment("P")["refund_reserved"] == "40.00"
    assert j.orchestration.status == "AWAITING_GATEWAY"


def test_a_soft_failure_is_tried_again_five_times_under_new_keys_then_placed_otherwise() -> None:
    j, keys = Refunding(), set[str]()
    for n, delay in enumerate(RETRY_AFTER, start=1):
        keys.add(j.state(Refund, j.last_id(Refund)).operation_key)
        assert j.say(SOFT) == []
        j.at(NOW + delay - timedelta(seconds=1))
        assert j.run_due() == []
        j.at(NOW + delay)
        assert [type(c) for c in j.run_due()] == [RetryRefundLeg]
        assert j.state(Refund, j.last_id(Refund)).attempt_no == n + 1
        assert j.payment("P")["refund_reserved"] == "40.00"
    assert len(keys) == 5
    assert j.say(SOFT) == ["ChooseRefundFallback", "ChooseRefundFallback"]
    assert j.orchestration.status == "COMPLETED_WITH_OPEN_CREDIT"
    assert (j.memo.balance, j.payment("P")["applied"]) == (40_00, "100.00")
    j.check_settled()


def test_a_retry_that_succeeds_completes() -> None:
    j = Refunding()
    j.say(SOFT)
    j.at(NOW + RETRY_AFTER[0]).run_due()  # type: ignore[attr-defined]
    j.say(SUCCESS)
    assert (j.orchestration.status, j.payment("P")["refunded"]) == ("COMPLETED", "40.00")
    j.check_settled()


def test_without_retry_in_the_list_a_soft_failure_goes_to_the_fallbacks_at_once() -> None:
    j = Refunding(refund_failure_fallback=["OPEN_CREDIT"])
    assert j.say(SOFT) == ["ChooseRefundFallback"]
    assert j.memo.balance == 40_00
    j.check_settled()


def test_an_unreferenced_fallback_pays_the_memo_out_to_the_default_method() -> None:
    j = Refunding(refund_failure_fallback=["UNREFERENCED"])
    assert j.say(CARD_CLOSED) == ["ChooseRefundFallback"]
    payout = j.state(Refund, j.last_id(Refund))
    assert (payout.type, payout.amount) == ("UNREFERENCED", 40_00)
    assert j.payment("P")["applied"] == "100.00"
    j.say(SUCCESS)
    assert (j.memo.refunded, j.memo.balance) == (40_00, 0)
    assert j.orchestration.status == "COMPLETED"
    j.check_settled()


def test_a_payout_that_fails_too_becomes_open_credit() -> None:
    j = Refunding(refund_failure_fallback=["UNREFERENCED"])
    j.say(CARD_CLOSED)
    assert j.state(Refund, j.last_id(Refund)).type == "UNREFERENCED"
    j.say(CARD_CLOSED)
    assert j.orchestration.status == "COMPLETED_WITH_OPEN_CREDIT"
    assert (j.memo.refunded, j.memo.balance) == (0, 40_00)
    j.check_settled()


@pytest.mark.parametrize(
    ("resolution", "status", "refunded", "credit"),
    [
        ("REFUNDED_EXTERNALLY", "COMPLETED", "40.00", 0),
        ("OPEN_CREDIT", "COMPLETED_WITH_OPEN_CREDIT", "0.00", 40_00),
    ],
)
def test_a_person_resolves_what_only_a_person_can(
    resolution: Any, status: str, refunded: str, credit: int
) -> None:
    j = Refunding(refund_failure_fallback=["MANUAL"])
    assert j.say(CARD_CLOSED) == ["ChooseRefundFallback"]
    assert j.orchestration.status == "MANUAL_ACTION"
    assert j.payment("P")["refund_reserved"] == "40.00"
    id = j.orchestration.orchestration_id
    if resolution == "REFUNDED_EXTERNALLY":
        j.when(ResolveManualAction(id, 1, resolution, "sent")).then_rejected("MALFORMED_REQUEST")
    j.when(ResolveManualAction(id, 1, resolution, "sent", "CHECK", "cheque 7")).then_accepted()
    assert (j.orchestration.status, j.payment("P")["refunded"], j.memo.balance) == (status, refunded, credit)
    j.check_settled()
    j.when(ResolveManualAction(id, 1, resolution, "again", "CHECK", "cheque 8")).then_rejected(
        "INVALID_STATE"
    )


def test_a_refund_that_comes_back_reopens_its_leg() -> None:
    j = Refunding()
    j.say(SUCCESS)
    assert j.orchestration.status == "COMPLETED"
    assert j.say(REVERSED) == ["ChooseRefundFallback", "ChooseRefundFallback"]
    assert j.orchestration.status == "COMPLETED_WITH_OPEN_CREDIT"
    assert (j.payment("P")["refunded"], j.payment("P")["applied"]) == ("0.00", "100.00")
    assert j.memo.balance == 40_00
    assert j.orchestration.refunded == 0
    j.check_settled()


def test_a_refund_that_came_back_before_anybody_heard_that_it_went_out_is_both() -> None:
    j = Refunding()
    assert j.say(UNKNOWN) == []
    assert j.say(REVERSED) == ["ChooseRefundFallback", "ChooseRefundFallback"]
    assert j.orchestration.status == "COMPLETED_WITH_OPEN_CREDIT"
    assert (j.payment("P")["refunded"], j.payment("P")["applied"]) == ("0.00", "100.00")
    assert j.say(SUCCESS) == []  # what was late is no news
    j.check_settled()


def test_what_was_taken_for_failed_and_came_back_is_where_it_was() -> None:
    j = Refunding()
    j.say(CARD_CLOSED)
    assert j.say(REVERSED) == []
    assert j.orchestration.status == "COMPLETED_WITH_OPEN_CREDIT"
    j.check_settled()


def test_a_payout_that_comes_back_becomes_open_credit() -> None:
    j = Refunding(refund_failure_fallback=["UNREFERENCED"])
    j.say(CARD_CLOSED)
    j.say(SUCCESS)
    assert j.memo.refunded == 40_00
    j.say(REVERSED)
    assert (j.memo.refunded, j.memo.balance) == (0, 40_00)
    assert j.orchestration.status == "COMPLETED_WITH_OPEN_CREDIT"
    j.check_settled()


def test_of_a_refund_that_comes_back_a_payout_gives_what_its_memo_still_has_and_the_rest_is_credit() -> None:
    j = Refunding(refund_failure_fallback=["UNREFERENCED"])
    j.say(SUCCESS)
    j.use_memo_elsewhere("15.00")
    assert j.say(REVERSED) == ["ChooseRefundFallback", "ChooseRefundFallback"]
    assert j.state(Refund, j.last_id(Refund)).amount == 25_00
    j.say(SUCCESS)
    assert j.orchestration.status == "COMPLETED"
    assert (j.orchestration.refunded, j.orchestration.open_credit) == (25_00, 15_00)
    assert (j.memo.applied, j.memo.refunded) == (15_00, 25_00)
    j.check_settled()


def test_of_a_refund_that_comes_back_nothing_is_paid_out_of_a_memo_that_is_used_up() -> None:
    j = Refunding(refund_failure_fallback=["UNREFERENCED"])
    j.say(SUCCESS)
    j.use_memo_elsewhere("40.00")
    j.say(REVERSED)
    assert (j.orchestration.status, j.orchestration.open_credit) == ("COMPLETED", 40_00)
    assert (j.memo.applied, j.payment("P")["applied"]) == (40_00, "100.00")
    j.check_settled()


def test_a_refund_that_comes_back_stays_on_the_payment_where_the_invoice_is_paid_by_others() -> None:
    j = Refunding(refund_failure_fallback=["OPEN_CREDIT"])
    j.say(SUCCESS)
    j.use_memo_elsewhere("40.00")
    j.pay("Q", "30.00", j.invoice)
    j.say(REVERSED)
    assert (j.payment("P")["applied"], j.payment("P")["unapplied"]) == ("70.00", "30.00")
    j.check_settled()
