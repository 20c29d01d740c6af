"""Approvals: above the threshold, nothing goes back before a second person has agreed."""

from __future__ import annotations

from typing import Any

import pytest

from events.invoice import Product
from events.orchestration import RefundLegFellBack
from events.refund import RefundApproved, RefundRequested
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.disputes.disputing import RecordDisputeOpened
from services.invoices.invoice import Invoice
from services.orchestrations.falling_back import ChooseRefundFallback, ResolveManualAction
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.payment import Payment
from services.refunds.approving import ApproveRefund, CancelRefund, RejectRefund
from services.refunds.refund import Refund
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import CARD_CLOSED, SUCCESS, Journey, line, money
from tests.spec import NOW

GRACE = {"type": "USER", "id": "grace"}


@pytest.fixture
def j() -> Journey:
    """A threshold of 500.00, and P with 1,000.00 unapplied."""
    j = Journey()
    j.when(ChangeTenantSettings({"refund_approval_threshold": money("500.00")})).then_accepted()
    j.pay("P", "1000.00")
    return j


def asked(j: Journey, amount: str, source: Any = "UNAPPLIED", refund_id: str = "R") -> Journey:
    return j.when(IssueRefund("P", money(amount), "goodwill", source, refund_id)).then_accepted()  # type: ignore[return-value]


def money_of(j: Journey) -> dict[str, int]:
    return {name: amount for name, amount in j.state(Payment, "P").buckets.items() if amount}


def test_at_the_threshold_nobody_is_asked(j: Journey) -> None:
    asked(j, "500.00")
    assert j.state(Refund, "R").status == "REQUESTED"


def test_above_it_the_money_is_held_and_nothing_is_sent(j: Journey) -> None:
    asked(j, "500.01")
    assert j.state(Refund, "R").status == "AWAITING_APPROVAL"
    assert money_of(j) == {"unapplied": 49999, "refund_reserved": 50001}
    assert "gwcall" not in {kind for kind, _, _ in j.facts()}


def test_another_currency_than_the_thresholds_always_needs_an_approval(j: Journey) -> None:
    j.pay("E", "1.00", currency="EUR")
    j.when(IssueRefund("E", money("1.00", "EUR"), "goodwill", "UNAPPLIED", "RE")).then_accepted()
    assert j.state(Refund, "RE").status == "AWAITING_APPROVAL"


def test_approved_by_another_it_goes_out_under_its_own_number(j: Journey) -> None:
    number = asked(j, "600.00").state(Refund, "R").number
    j.when(ApproveRefund("R"), actor=GRACE).then_accepted()
    facts = [fact for _, _, fact in j.facts()]
    assert RefundApproved("grace") in facts
    (requested,) = [fact for fact in facts if isinstance(fact, RefundRequested)]
    assert (requested.number, requested.requested_by) == (number, "tester")
    assert money_of(j) == {"unapplied": 40000, "refund_reserved": 60000}
    j.answer_refund("R", SUCCESS)
    assert (j.state(Refund, "R").status, money_of(j)) == (
        "PROCESSED",
        {"unapplied": 40000, "refunded": 60000},
    )
    j.when(ApproveRefund("R"), actor=GRACE).then_rejected("INVALID_STATE", state="PROCESSED")


def test_who_asked_does_not_approve(j: Journey) -> None:
    asked(j, "600.00").when(ApproveRefund("R")).then_rejected("SELF_APPROVAL_FORBIDDEN")


@pytest.mark.parametrize("command", [RejectRefund("R", "already replaced"), CancelRefund("R")])
def test_rejected_or_taken_back_the_money_is_free(j: Journey, command: object) -> None:
    asked(j, "600.00").when(command, actor=GRACE).then_accepted()
    assert (j.state(Refund, "R").status, money_of(j)) == ("CANCELED", {"unapplied": 100000})
    j.when(ApproveRefund("R"), actor=GRACE).then_rejected("INVALID_STATE", state="CANCELED")


def test_invoices_are_reopened_only_by_the_approval(j: Journey) -> None:
    inv = j.post("INV", line("L1", "1000.00"))
    j.apply("P", inv, "1000.00")
    asked(j, "600.00", "REOPEN_INVOICES")
    assert (j.state(Invoice, inv).balance, money_of(j)) == (0, {"applied": 100000})
    j.when(ApproveRefund("R"), actor=GRACE).then_accepted()
    assert (j.state(Invoice, inv).balance, money_of(j)) == (
        60000,
        {"applied": 40000, "refund_reserved": 60000},
    )


def test_what_it_shall_take_is_looked_at_again(j: Journey) -> None:
    inv = j.post("INV", line("L1", "1000.00"))
    j.apply("P", inv, "1000.00")
    asked(j, "600.00", "REOPEN_INVOICES")
    asked(j, "500.00", "REOPEN_INVOICES", "R2")
    j.when(ApproveRefund("R"), actor=GRACE).then_rejected("REFUND_EXCEEDS_REFUNDABLE", available=50000)
    j.when(RecordDisputeOpened("D", "P", money("1.00"), "fraud", "NOTIFICATION")).then_accepted()
    j.when(ApproveRefund("R"), actor=GRACE).then_rejected("PAYMENT_DISPUTED")
    j.when(RejectRefund("R", "disputed"), actor=GRACE).then_accepted()
    j.when(ApproveRefund("nobody"), actor=GRACE).then_rejected("REFUND_NOT_FOUND")


def test_a_payout_of_a_memo_awaits_its_approval_too(j: Journey) -> None:
    lines = (NewLine("1", money("700.00"), Product(name="goodwill")),)
    j.when(CreateCreditMemo("USD", lines, "goodwill", "M")).then_accepted()
    payout = IssueUnreferencedRefund("M", money("600.00"), "goodwill", j.card_b, "R")
    j.when(payout).then_accepted()
    memo = j.state(CreditMemo, "M")
    assert (memo.balance, memo.refund_reserved, memo.locked_by) == (10000, 60000, "refund:R")
    j.when(ApproveRefund("R"), actor=GRACE).then_accepted()
    j.answer_refund("R", SUCCESS)
    memo = j.state(CreditMemo, "M")
    assert (memo.balance, memo.refunded, memo.refund_reserved, memo.locked_by) == (10000, 60000, 0, None)


def test_a_rejected_payout_lets_go_of_its_memo(j: Journey) -> None:
    j.when(
        CreateCreditMemo("USD", (NewLine("1", money("700.00"), Product(name="goodwill")),), "goodwill", "M")
    ).then_accepted()
    j.when(IssueUnreferencedRefund("M", money("600.00"), "goodwill", j.card_b, "R")).then_accepted()
    j.when(RejectRefund("R", "no"), actor=GRACE).then_accepted()
    memo = j.state(CreditMemo, "M")
    assert (memo.balance, memo.refund_reserved, memo.locked_by) == (70000, 0, None)


# -- what has left already


OPERATIONS = {"type": "USER", "id": "olga", "roles": ["PAYMENT_OPERATIONS"]}
ADMIN = {"type": "USER", "id": "ada", "roles": ["PAYMENT_ADMIN"]}


def cash(amount: str) -> RecordExternalRefund:
    return RecordExternalRefund(money(amount), "CASH", "till", NOW.date(), "goodwill", "P", refund_id="R")


def test_money_that_was_given_back_outside_needs_who_may_approve_it(j: Journey) -> None:
    j.when(cash("500.01"), actor=OPERATIONS).then_rejected("APPROVAL_REQUIRED", threshold=50000)
    assert money_of(j) == {"unapplied": 100000}
    j.when(cash("500.01"), actor=ADMIN).then_accepted()
    assert j.state(Refund, "R").status == "PROCESSED"


def test_up_to_the_threshold_anybody_records_it_who_may(j: Journey) -> None:
    j.when(cash("500.00"), actor=OPERATIONS).then_accepted()


def failed_leg(j: Journey, fallback: tuple[str, ...]) -> str:
    """A refund of 600.00 whose card is closed."""
    settings = {"convert_negative_lines": True, "issue_refunds_and_settle_balances": True}
    j.when(ChangeTenantSettings({**settings, "refund_failure_fallback": fallback})).then_accepted()
    j.when(SetDefaultPaymentMethod(j.card_a)).then_accepted()
    j.pay("Q", 1000, j.post("INV", line("1", 1000)), j.card_b)
    j.post("NEG", line("1", -600, of=("INV", "1")), original="INV")
    j.run_processes()
    j.answer_refund(j.last_id(Refund), CARD_CLOSED)
    j.run_processes()
    return j.last_id(RefundOrchestration)


def test_what_a_person_paid_out_for_a_leg_needs_it_too(j: Journey) -> None:
    ro = failed_leg(j, ("MANUAL",))
    paid = ResolveManualAction(ro, 1, "REFUNDED_EXTERNALLY", "by wire", "WIRE", "W-1")
    clerk = {"type": "USER", "id": "carl", "roles": ["CREDIT_MEMO_OPERATIONS"]}
    j.when(paid, actor=clerk).then_rejected("APPROVAL_REQUIRED")
    j.when(paid, actor=ADMIN).then_accepted()


def test_nothing_goes_to_another_method_unasked_above_the_threshold(j: Journey) -> None:
    elsewhere = ChooseRefundFallback(failed_leg(j, ("MANUAL",)), 1, "UNREFERENCED")
    j.when(elsewhere, actor={"type": "SYSTEM", "id": "process:refunding"}).then_accepted()
    [told] = [fact for _, _, fact in j.facts() if isinstance(fact, RefundLegFellBack)]
    assert (told.reason, told.amount) == ("a person must agree to it", money(0))
    j.when(elsewhere, actor=ADMIN).then_accepted()
    [told] = [fact for _, _, fact in j.facts() if isinstance(fact, RefundLegFellBack)]
    assert (told.reason, told.amount) == ("paid out to a saved method", money(600))
