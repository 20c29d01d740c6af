"""Refund orchestrations: in turn, by the settings, when no plan can be made, given up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from events.invoice import Product
from events.orchestration import RefundOrchestrationFailed, RefundPlanMade
from events.payment import PaymentUnapplied
from events.shapes import Outcome
from services.applications.applying import ApplyCreditMemo, ApplyPayment, Target
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.invoices.invoice import Invoice
from services.invoices.posting import Term
from services.orchestrations.canceling import CancelRefundOrchestration
from services.orchestrations.falling_back import ChooseRefundFallback, RetryRefundLeg
from services.orchestrations.legs import RETRY_AFTER
from services.orchestrations.orchestrating import AutomateRefund, ExecuteRefundPlan
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.payment import Payment
from services.refunds.refund import Refund
from tests.journey import CARD_CLOSED, SOFT, SUCCESS, Journey, line, money
from tests.spec import NOW

PENDING = Outcome("Pending", gateway_ref="re_1")


def journey(**settings: Any) -> Journey:
    return Journey("recommended", auto_apply_credits_to_posted_invoices=False, **settings)


def reduced(j: Journey, amount: str = "40.00", paid: str = "100.00") -> str:
    """An invoice of 100.00, paid by P, of which a part is taken back."""
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", paid, invoice)
    j.post("NEG", line("1", f"-{amount}", of=("INV", "1")))
    return invoice


def orchestration(j: Journey, n: int = -1) -> RefundOrchestration:
    return j.state(RefundOrchestration, j.ids(RefundOrchestration)[n])


def memo(j: Journey, n: int = -1) -> CreditMemo:
    return j.state(CreditMemo, orchestration(j, n).credit_memo_id)


def answer_all(j: Journey, outcome: Outcome = SUCCESS) -> None:
    for refund in j.refunds():
        if refund.in_flight:
            j.answer_refund(refund.refund_id, outcome)


# -- in turn


def test_a_later_memo_of_the_same_invoice_queues_until_the_first_is_done() -> None:
    j = journey()
    invoice = reduced(j)
    j.at(timedelta(seconds=1))
    j.post("NEG2", line("1", "-10.00", of=("INV", "1")))
    j.run_processes()
    first, second = orchestration(j, 0), orchestration(j, 1)
    assert (first.status, second.status) == ("REFUNDING", "WAITING_FOR_PAYMENT")
    assert [refund.amount for refund in j.refunds()] == [40_00]
    j.when(ExecuteRefundPlan(second.orchestration_id)).then_accepted()
    (waiting,) = [fact for _, _, fact in j.facts()]
    assert (waiting.behind, waiting.payment_ids) == (first.orchestration_id, ())
    answer_all(j)
    j.run_processes()
    assert [refund.amount for refund in j.refunds()] == [40_00, 10_00]
    answer_all(j)
    assert (orchestration(j, 0).status, orchestration(j, 1).status) == ("COMPLETED", "COMPLETED")
    assert j.payment("P")["refunded"] == "50.00"
    assert j.state(Invoice, invoice).locked_by is None


def test_memos_of_different_invoices_do_not_wait_for_each_other() -> None:
    j = journey()
    reduced(j)
    other = j.post("OTHER", line("1", "30.00"))
    j.pay("Q", "30.00", other)
    j.post("NEG2", line("1", "-10.00", of=("OTHER", "1")))
    j.run_processes()
    assert [refund.amount for refund in j.refunds()] == [40_00, 10_00]


def test_money_on_its_way_to_the_invoice_is_waited_for() -> None:
    j = journey()
    invoice = j.post("INV", line("1", "100.00"))
    j.request("P", "100.00", invoice)
    j.settle("P", PENDING)
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    j.run_processes()
    assert orchestration(j).status == "WAITING_FOR_PAYMENT"
    assert j.balances(invoice)["balance"] == "100.00", "the memo is not used before that"
    j.settle("P", SUCCESS, "NOTIFICATION")
    j.run_processes()
    assert [refund.amount for refund in j.refunds()] == [40_00]


def test_when_the_money_does_not_come_the_customer_just_owes_less() -> None:
    j = journey()
    invoice = j.post("INV", line("1", "100.00"))
    j.request("P", "100.00", invoice)
    j.settle("P", PENDING)
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    j.run_processes()
    j.settle("P", CARD_CLOSED, "NOTIFICATION")
    j.run_processes()
    assert orchestration(j).status == "NO_REFUND_DUE"
    assert j.balances(invoice)["balance"] == "60.00"


# -- no plan can be made


def test_a_negative_invoice_that_comes_before_its_original_is_planned_again_when_that_is_there() -> None:
    j = journey()
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    j.run_processes()
    assert orchestration(j).status == "FAILED"
    assert memo(j).locked_by is not None, "nothing else uses it meanwhile"
    assert memo(j).balance == 40_00
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00", invoice)
    j.run_processes()
    assert j.at(NOW + RETRY_AFTER[0] - timedelta(seconds=1)).run_due() == []
    assert [type(c) for c in j.at(NOW + RETRY_AFTER[0]).run_due()] == [ExecuteRefundPlan]  # type: ignore[attr-defined]
    assert [refund.amount for refund in j.refunds()] == [40_00]


def test_what_cannot_be_planned_for_long_is_shown_to_a_person_who_can_give_it_up() -> None:
    j = journey()
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    j.run_processes()
    for delay in RETRY_AFTER:
        j.at(j.time + delay)
        assert [type(command) for command in j.run_due()] == [ExecuteRefundPlan]
        last = j.facts()
        j.run_processes()
    assert next(type(fact) for _, _, fact in last) is RefundOrchestrationFailed
    assert [fact.type for kind, _, fact in last if kind == "exception"] == ["ORCHESTRATION_STUCK"]
    assert j.at(timedelta(days=30)).run_due() == []  # type: ignore[attr-defined]
    j.when(CancelRefundOrchestration(orchestration(j).orchestration_id)).then_accepted()
    assert (memo(j).locked_by, memo(j).balance) == (None, 40_00)


def test_an_original_in_another_currency_leaves_open_credit() -> None:
    j = journey()
    j.post("INV", line("1", "100.00", currency="EUR"))
    j.post("NEG", line("1", "-40.00", of=("INV", "1")))
    j.run_processes()
    assert orchestration(j).status == "COMPLETED_WITH_OPEN_CREDIT"
    assert (memo(j).locked_by, memo(j).balance) == (None, 40_00)


# -- offset_before_refund


def owing(j: Journey) -> tuple[str, str, str]:
    """Three other invoices: two are due, the third is not."""
    older = j.post("OLDER", line("1", "10.00"), payment_term=Term(period_days=0))
    j.at(timedelta(minutes=1))
    newer = j.post("NEWER", line("1", "25.00"), payment_term=Term(period_days=0))
    return older, newer, j.post("LATER", line("1", "50.00"))


@pytest.mark.parametrize(
    ("offset", "balances", "refunded"),
    [("NONE", ["10.00", "25.00", "50.00"], [30_00]), ("ACCOUNT", ["0.00", "5.00", "50.00"], [])],
)
def test_the_account_s_due_invoices_come_before_a_refund_where_that_is_set(
    offset: str, balances: list[str], refunded: list[int]
) -> None:
    j = journey(offset_before_refund=offset)
    others = owing(j)
    reduced(j, "30.00")
    j.run_processes()
    assert [j.balances(id)["balance"] for id in others] == balances
    assert [refund.amount for refund in j.refunds()] == refunded


def test_what_is_left_after_offsetting_is_refunded() -> None:
    j = journey(offset_before_refund="ACCOUNT")
    older, newer, _ = owing(j)
    invoice = reduced(j, "40.00")
    j.run_processes()
    assert [refund.amount for refund in j.refunds()] == [5_00]
    answer_all(j)
    assert (memo(j).applied, memo(j).balance) == (40_00, 0)
    assert [j.balances(id)["status"] for id in (older, newer, invoice)] == ["SETTLED"] * 3
    assert (j.payment("P")["applied"], j.payment("P")["refunded"]) == ("95.00", "5.00")


def test_offsetting_passes_over_other_currencies_and_what_somebody_holds() -> None:
    j = journey(offset_before_refund="ACCOUNT")
    euro = j.post("EUR", line("1", "10.00", currency="EUR"), payment_term=Term(period_days=0))
    held = j.post("HELD", line("1", "10.00"), payment_term=Term(period_days=0))
    from events.invoice import InvoiceLocked

    j.given((Invoice, held, InvoiceLocked("refunding:other")))
    reduced(j)
    j.run_processes()
    assert [refund.amount for refund in j.refunds()] == [40_00]
    assert [j.balances(id)["balance"] for id in (euro, held)] == ["10.00", "10.00"]


# -- refund_unapply_strategy


def paid_in_three(j: Journey) -> str:
    """One payment of 60.00, applied in three parts; the newest is 20.00."""
    invoice = j.post("INV", line("1", "100.00"))
    j.pay("P", "60.00")
    for part in ("10.00", "30.00", "20.00"):
        j.at(timedelta(minutes=1)).when(ApplyPayment("P", invoice, money(part))).then_accepted()
    j.pay("Q", "40.00", invoice, j.card_b)
    j.post("NEG", line("1", "-45.00", of=("INV", "1")))
    j.run_processes()
    return invoice


@pytest.mark.parametrize(
    ("strategy", "taken_off", "reapplied"),
    [("FULL_THEN_REAPPLY", [10_00, 20_00, 30_00], "15.00"), ("PARTIAL", [20_00, 30_00], "5.00")],
)
def test_partial_takes_off_no_more_applications_than_the_refund_needs(
    strategy: str, taken_off: list[int], reapplied: str
) -> None:
    j = journey(refund_unapply_strategy=strategy)
    invoice = paid_in_three(j)
    planned = [fact for fact in j.all_facts() if isinstance(fact, RefundPlanMade)][-1]
    (selected,) = planned.selected
    assert (selected.payment_id, selected.refund, selected.reapply) == ("P", money("45.00"), money(reapplied))
    off = [fact for fact in j.all_facts() if isinstance(fact, PaymentUnapplied)]
    assert sorted(a.amount.amount_minor for fact in off for a in fact.applications) == taken_off
    assert (j.payment("P")["applied"], j.payment("P")["refund_reserved"]) == ("15.00", "45.00")
    assert j.balances(invoice)["balance"] == "0.00"
    answer_all(j)
    assert (j.payment("P")["refunded"], orchestration(j).status) == ("45.00", "COMPLETED")


def test_partial_works_for_fallbacks_too() -> None:
    j = journey(refund_unapply_strategy="PARTIAL")
    invoice = paid_in_three(j)
    j.answer_refund(j.last_id(Refund), CARD_CLOSED)
    j.run_processes()
    assert [(refund.payment_id, refund.amount) for refund in j.refunds()] == [("P", 45_00), ("Q", 40_00)]
    answer_all(j)
    assert (j.payment("P")["applied"], j.payment("Q")["refunded"]) == ("60.00", "40.00")
    assert j.balances(invoice)["balance"] == "0.00"
    assert memo(j).balance == 5_00


# -- statuses


def test_two_legs_await_the_gateway_once_neither_is_ours() -> None:
    j = journey()
    invoice = j.post("INV", line("1", "35.00"))
    j.pay("P", "20.00", invoice)
    j.pay("Q", "15.00", invoice, j.card_b)
    j.post("NEG", line("1", "-30.00", of=("INV", "1")))
    j.run_processes()
    first, second = j.ids(Refund)
    j.answer_refund(first, PENDING)
    assert orchestration(j).status == "REFUNDING", "the other leg proceeds"
    j.answer_refund(second, Outcome("Indeterminate"))
    assert orchestration(j).status == "AWAITING_GATEWAY"
    j.answer_refund(second, SOFT, "RECONCILER")
    assert orchestration(j).status == "REFUNDING", "it is ours again: tried once more in a minute"
    j.answer_refund(first, SUCCESS, "NOTIFICATION")
    j.run_processes()
    j.at(timedelta(minutes=1)).run_due()  # type: ignore[attr-defined]
    j.answer_refund(j.last_id(Refund), SUCCESS)
    assert orchestration(j).status == "COMPLETED"


# -- given up


def test_canceled_before_anything_moved_the_memo_is_open_credit() -> None:
    j = journey()
    invoice = reduced(j)
    id = orchestration(j).orchestration_id
    j.when(CancelRefundOrchestration(id, "changed our mind")).then_accepted()
    assert (memo(j).locked_by, memo(j).balance) == (None, 40_00)
    assert j.payment("P")["applied"] == "100.00"
    j.when(CancelRefundOrchestration(id)).then_rejected("ORCHESTRATION_TOO_LATE", state="CANCELED")
    j.run_processes()
    assert j.refunds() == []
    other = j.post("NEXT", line("1", "40.00"))
    j.when(ApplyCreditMemo(memo(j).credit_memo_id, (Target(other, money("40.00")),))).then_accepted()
    assert j.balances(invoice)["balance"] == "0.00"


@pytest.mark.parametrize("outcome", [None, PENDING, Outcome("Indeterminate"), SUCCESS])
def test_what_a_gateway_has_is_not_called_back(outcome: Outcome | None) -> None:
    j = journey()
    reduced(j)
    j.run_processes()
    if outcome:
        j.answer_refund(j.last_id(Refund), outcome)
    j.when(CancelRefundOrchestration(orchestration(j).orchestration_id)).then_rejected(
        "ORCHESTRATION_TOO_LATE"
    )


def test_while_every_leg_is_ours_again_all_that_moved_is_put_back() -> None:
    j = journey()
    invoice = reduced(j)
    j.run_processes()
    j.answer_refund(j.last_id(Refund), SOFT)
    j.run_processes()
    assert (j.payment("P")["applied"], j.payment("P")["refund_reserved"]) == ("60.00", "40.00")
    j.when(CancelRefundOrchestration(orchestration(j).orchestration_id)).then_accepted()
    assert j.payment("P") == {
        "status": "PROCESSED",
        "applied": "100.00",
        "unapplied": "0.00",
        "refunded": "0.00",
        "refund_reserved": "0.00",
    }
    assert (memo(j).applied, memo(j).balance, memo(j).locked_by) == (0, 40_00, None)
    state = j.state(Invoice, invoice)
    assert (state.balance, state.locked_by, orchestration(j).status) == (0, None, "CANCELED")
    assert [type(command) for command in j.at(timedelta(days=2)).run_due()] == [RetryRefundLeg]  # type: ignore[attr-defined]
    j.then_rejected("INVALID_STATE", state="FELL_BACK")


def test_one_leg_that_succeeded_makes_it_too_late() -> None:
    j = journey()
    invoice = j.post("INV", line("1", "35.00"))
    j.pay("P", "20.00", invoice)
    j.pay("Q", "15.00", invoice, j.card_b)
    j.post("NEG", line("1", "-30.00", of=("INV", "1")))
    j.run_processes()
    first, second = j.ids(Refund)
    j.answer_refund(first, SUCCESS)
    j.answer_refund(second, SOFT)
    j.when(CancelRefundOrchestration(orchestration(j).orchestration_id)).then_rejected(
        "ORCHESTRATION_TOO_LATE"
    )


def test_a_leg_that_a_person_has_is_put_back_too() -> None:
    j = journey(refund_failure_fallback=["MANUAL"])
    reduced(j)
    j.run_processes()
    j.answer_refund(j.last_id(Refund), CARD_CLOSED)
    j.run_processes()
    assert orchestration(j).status == "MANUAL_ACTION"
    j.when(CancelRefundOrchestration(orchestration(j).orchestration_id)).then_accepted()
    assert (memo(j).balance, j.payment("P")["applied"]) == (40_00, "100.00")


# -- by hand


def test_a_refund_is_automated_once_and_for_the_memo_s_own_invoice() -> None:
    j = Journey(convert_negative_lines=True)
    invoice = reduced(j)
    id = j.last_id(CreditMemo)
    j.when(AutomateRefund("none")).then_rejected("CREDIT_MEMO_NOT_FOUND")
    j.when(AutomateRefund(id, "other")).then_rejected("REFERENCE_MISMATCH", reference=invoice)
    j.when(AutomateRefund(id), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(AutomateRefund(id, invoice)).then_accepted()
    j.when(AutomateRefund(id)).then_rejected("ORCHESTRATION_EXISTS")
    j.run_processes()
    answer_all(j)
    assert j.payment("P")["refunded"] == "40.00"
    j.when(AutomateRefund(id)).then_rejected("CREDIT_BALANCE_EXCEEDED", available=0)


def test_a_memo_without_a_reference_is_no_refund() -> None:
    j = Journey()
    goodwill = NewLine("1", money("10.00"), Product(name="goodwill"))
    j.when(CreateCreditMemo("USD", (goodwill,), "GOODWILL", "M")).then_accepted()
    j.when(AutomateRefund("M")).then_rejected("REFERENCE_MISMATCH")


def test_commands_on_no_orchestration_or_somebody_else_s_are_refused() -> None:
    j = journey()
    reduced(j)
    id = orchestration(j).orchestration_id
    for command in (ExecuteRefundPlan("none"), CancelRefundOrchestration("none"), RetryRefundLeg("none", 1)):
        j.when(command).then_rejected("ORCHESTRATION_NOT_FOUND")
    for command in (
        ExecuteRefundPlan(id),
        CancelRefundOrchestration(id),
        ChooseRefundFallback(id, 1, "MANUAL"),
    ):
        j.when(command, account="B").then_rejected("ACCOUNT_MISMATCH")
    assert j.state(Payment, "P").applied == 100_00
