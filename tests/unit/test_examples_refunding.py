"""Worked examples: a negative invoice becomes a credit memo, and its money goes back."""

from __future__ import annotations

from events.credit_memo import CreditMemoApplied, CreditMemoUnapplied
from events.money import major
from events.orchestration import RefundPlanMade
from events.payment import PaymentApplied, PaymentUnapplied
from services.credits.credit_memo import CreditMemo
from services.invoices.invoice import Invoice
from services.orchestrations.falling_back import ChooseRefundFallback
from services.orchestrations.orchestrating import ExecuteRefundPlan
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.payment import Payment
from services.refunds.refund import Refund
from tests.journey import CARD_CLOSED, SUCCESS, Journey, line, money


def journey() -> Journey:
    return Journey("recommended", auto_apply_credits_to_posted_invoices=False)


def memo_of(j: Journey) -> CreditMemo:
    return j.state(CreditMemo, j.last_id(CreditMemo))


def orchestration_of(j: Journey) -> RefundOrchestration:
    return j.state(RefundOrchestration, j.last_id(RefundOrchestration))


def selected(j: Journey) -> list[tuple[str, str, str, str]]:
    """(payment, unapply, reapply, refund) of the latest plan, in major units."""
    plan = [fact for fact in j.all_facts() if isinstance(fact, RefundPlanMade)][-1]
    amounts = ((p.payment_id, p.unapply, p.reapply, p.refund) for p in plan.selected)
    return [(id, *(f"{major(money.amount_minor, 'USD'):f}" for money in moved)) for id, *moved in amounts]  # type: ignore[misc]


def leftover(j: Journey) -> int:
    return [fact for fact in j.all_facts() if isinstance(fact, RefundPlanMade)][-1].leftover.amount_minor


def moved(j: Journey) -> list[tuple[str, str, str]]:
    """What the latest command has moved: (unapplied or applied, source, amount in major units), in order."""
    names = {
        PaymentUnapplied: "off",
        PaymentApplied: "on",
        CreditMemoUnapplied: "off",
        CreditMemoApplied: "on",
    }
    return [
        (names[type(fact)], "memo" if kind == "cm" else id, f"{major(fact.total.amount_minor, 'USD'):f}")
        for kind, id, fact in j.facts()
        if type(fact) in names
    ]


def refund_all(j: Journey) -> list[tuple[str, int]]:
    """Run the orchestration and let the gateway accept every leg; (payment, amount) in order."""
    j.run_processes()
    refunds = j.refunds()
    for refund in refunds:
        if refund.in_flight:
            j.answer_refund(refund.refund_id, SUCCESS)
    j.run_processes()
    return [(refund.payment_id, refund.amount) for refund in refunds]


def test_quantity_reduction_one_payment() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "3000.00"))
    j.pay("P1", "3000.00", inv)
    negative = j.post("NEG", line("L1", "-825.00", of=("INV", "L1")), original="INV")
    assert memo_of(j).locked_by is not None
    j.run_processes()
    assert selected(j) == [("P1", "3000.00", "2175.00", "825.00")]
    assert moved(j) == [("off", "P1", "3000.00"), ("on", "P1", "2175.00"), ("on", "memo", "825.00")]
    assert (leftover(j), j.balances(inv)["balance"]) == (0, "0.00")
    (refund,) = j.refunds()
    assert refund.method == j.state(Payment, "P1").method, "to P1's method"
    assert refund_all(j) == [("P1", 825_00)]
    assert j.payment("P1") == {
        "status": "PROCESSED",
        "applied": "2175.00",
        "unapplied": "0.00",
        "refunded": "825.00",
        "refund_reserved": "0.00",
    }
    memo = memo_of(j)
    assert (memo.total, memo.applied, memo.balance, memo.locked_by) == (825_00, 825_00, 0, None)
    assert j.balances(inv)["balance"] == "0.00"
    assert j.state(Invoice, inv).locked_by is None
    state = j.state(Invoice, negative)
    assert (state.total, state.lines["L1"].converted, state.balance) == (-825_00, -825_00, 0)
    assert state.settlement_status == "NOT_APPLICABLE"
    assert orchestration_of(j).status == "COMPLETED"


def test_a_refund_exceeding_one_payment() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "35.00"))
    j.pay("P1", "20.00", inv)
    j.pay("P2", "15.00", inv, j.card_b)
    j.post("NEG", line("L1", "-30.00", of=("INV", "L1")))
    j.run_processes()
    assert selected(j) == [("P1", "20.00", "0.00", "20.00"), ("P2", "15.00", "5.00", "10.00")]
    assert moved(j) == [
        ("off", "P1", "20.00"),
        ("off", "P2", "15.00"),
        ("on", "P2", "5.00"),
        ("on", "memo", "30.00"),
    ]
    assert refund_all(j) == [("P1", 20_00), ("P2", 10_00)]
    assert (j.payment("P1")["applied"], j.payment("P1")["refunded"]) == ("0.00", "20.00")
    assert (j.payment("P2")["applied"], j.payment("P2")["refunded"]) == ("5.00", "10.00")
    on_it = j.state(Invoice, inv)
    assert sum(a.amount for a in on_it.applications.values() if a.source_kind == "payment") == 5_00
    assert sum(a.amount for a in on_it.applications.values() if a.source_kind == "cm") == 30_00


def test_quantity_reduction_with_tax_and_two_original_payments() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "1200.00", "120.00"))
    j.pay("P1", "800.00", inv)
    j.pay("P2", "520.00", inv, j.card_b)
    untouched = j.state(Payment, "P2").version
    assert j.state(Invoice, inv).total == 1_320_00
    j.post("NEG", line("L1", "-270.00", "-27.00", of=("INV", "L1")))
    assert (memo_of(j).total, memo_of(j).tax) == (297_00, 27_00)
    j.run_processes()
    assert selected(j) == [("P1", "800.00", "503.00", "297.00")]
    assert moved(j) == [("off", "P1", "800.00"), ("on", "P1", "503.00"), ("on", "memo", "297.00")]
    assert refund_all(j) == [("P1", 297_00)]
    assert (j.payment("P1")["applied"], j.payment("P1")["refunded"]) == ("503.00", "297.00")
    assert j.state(Payment, "P2").version == untouched
    amounts = sorted(_by_source(j, inv).items())
    assert [amount for _, amount in amounts if _ != memo_of(j).credit_memo_id] == [503_00, 520_00]
    assert _by_source(j, inv)[memo_of(j).credit_memo_id] == 297_00
    assert sum(_by_source(j, inv).values()) == 503_00 + 520_00 + 297_00 == 1_320_00
    taxes = [a.tax_portion for a in j.state(Invoice, inv).applications.values()]
    assert sum(taxes) == 120_00, "its tax is covered to the last cent"


def _by_source(j: Journey, inv: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for application in j.state(Invoice, inv).applications.values():
        sums[application.source_id] = sums.get(application.source_id, 0) + application.amount
    return sums


def test_a_partly_paid_original_owes_less_and_nothing_is_sent_back() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "1000.00"))
    j.pay("P1", "400.00", inv)
    assert j.balances(inv)["balance"] == "600.00"
    j.post("NEG", line("L1", "-250.00", of=("INV", "L1")))
    assert refund_all(j) == []
    assert j.balances(inv)["balance"] == "350.00"
    assert orchestration_of(j).status == "NO_REFUND_DUE"
    assert memo_of(j).locked_by is None


def test_a_larger_memo_settles_the_rest_and_refunds_what_is_over() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "1000.00"))
    j.pay("P1", "400.00", inv)
    j.post("NEG", line("L1", "-700.00", of=("INV", "L1")))
    j.run_processes()
    assert selected(j) == [("P1", "400.00", "300.00", "100.00")]
    assert moved(j) == [
        ("on", "memo", "600.00"),
        ("off", "P1", "400.00"),
        ("on", "P1", "300.00"),
        ("on", "memo", "100.00"),
    ]
    assert refund_all(j) == [("P1", 100_00)]
    assert _by_source(j, inv) == {"P1": 300_00, memo_of(j).credit_memo_id: 700_00}
    assert j.balances(inv)["balance"] == "0.00"


def test_what_no_gateway_can_give_back_becomes_open_credit() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "500.00"))
    j.pay("P1", "200.00", inv)
    j.cheque("P2", "300.00", inv)
    j.post("NEG", line("L1", "-350.00", of=("INV", "L1")))
    j.run_processes()
    plan = [fact for fact in j.all_facts() if isinstance(fact, RefundPlanMade)][-1]
    assert [(c.payment_id, c.eligible, c.reason_if_not) for c in plan.candidates] == [
        ("P1", money("200.00"), None),
        ("P2", money("0.00"), "PAYMENT_NOT_GATEWAY_LINKED"),
    ]
    assert (selected(j), leftover(j)) == ([("P1", "200.00", "0.00", "200.00")], 150_00)
    assert refund_all(j) == [("P1", 200_00)]
    memo = memo_of(j)
    assert (memo.total, memo.applied, memo.balance) == (350_00, 200_00, 150_00)
    assert orchestration_of(j).status == "COMPLETED_WITH_OPEN_CREDIT"
    assert _by_source(j, inv) == {"P2": 300_00, memo.credit_memo_id: 200_00}
    from services.tenants.tenant_settings import ChangeTenantSettings

    j.when(ChangeTenantSettings({"auto_apply_credits_to_posted_invoices": True})).then_accepted()
    next_month = j.post("NEXT", line("L1", "90.00"))
    assert j.balances(next_month)["balance"] == "0.00"
    assert j.state(CreditMemo, memo.credit_memo_id).balance == 60_00


def step_by_step(j: Journey) -> tuple[list[object], list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """The two fallbacks as the process sends them, and what each of them moves."""
    ro = orchestration_of(j)
    sent: list[object] = [ChooseRefundFallback(ro.orchestration_id, 1, "OTHER_PAYMENT")]
    j.when(sent[0]).then_accepted()
    other = moved(j)
    assert (j.payment("P1")["applied"], j.payment("P1")["refund_reserved"]) == ("50.00", "10.00")
    assert (j.payment("P2")["applied"], j.payment("P2")["refund_reserved"]) == ("0.00", "40.00")
    sent.append(ChooseRefundFallback(ro.orchestration_id, 1, "OPEN_CREDIT"))
    j.when(sent[1]).then_accepted()
    return sent, other, moved(j)


def test_the_process_chooses_the_fallbacks_in_the_tenant_s_order() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "100.00"))
    j.pay("P1", "60.00", inv)
    j.pay("P2", "40.00", inv, j.card_b)
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")))
    j.run_processes()
    j.answer_refund(j.last_id(Refund), CARD_CLOSED)
    assert [(type(c), c.option) for c in j.run_processes()] == [  # type: ignore[attr-defined]
        (ChooseRefundFallback, "OTHER_PAYMENT"),
        (ChooseRefundFallback, "OPEN_CREDIT"),
    ]


def test_a_failed_refund_falls_back() -> None:
    j = journey()
    inv = j.post("INV", line("L1", "100.00"))
    j.pay("P1", "60.00", inv)
    j.pay("P2", "40.00", inv, j.card_b)
    j.post("NEG", line("L1", "-50.00", of=("INV", "L1")))
    assert [type(command) for command in j.run_processes()] == [ExecuteRefundPlan]
    (leg_1,) = j.refunds()
    assert (leg_1.payment_id, leg_1.amount) == ("P1", 50_00)
    assert j.payment("P1")["applied"] == "10.00"
    assert selected(j) == [("P1", "60.00", "10.00", "50.00")]
    assert moved(j) == [("off", "P1", "60.00"), ("on", "P1", "10.00"), ("on", "memo", "50.00")]
    j.answer_refund(leg_1.refund_id, CARD_CLOSED)
    _, other, rest = step_by_step(j)
    assert other == [("off", "P2", "40.00"), ("on", "P1", "40.00")], "P1 takes P2's place"
    assert rest == [("off", "memo", "50.00"), ("on", "P1", "10.00"), ("on", "memo", "40.00")]
    leg_2 = j.refunds()[-1]
    assert (leg_2.payment_id, leg_2.amount) == ("P2", 40_00)
    j.answer_refund(leg_2.refund_id, SUCCESS)
    assert j.payment("P1") == {
        "status": "PROCESSED",
        "applied": "60.00",
        "unapplied": "0.00",
        "refunded": "0.00",
        "refund_reserved": "0.00",
    }
    assert (j.payment("P2")["applied"], j.payment("P2")["refunded"]) == ("0.00", "40.00")
    memo = memo_of(j)
    assert (memo.applied, memo.balance) == (40_00, 10_00)
    assert _by_source(j, inv) == {"P1": 60_00, memo.credit_memo_id: 40_00}
    assert j.balances(inv) == {"balance": "0.00", "status": "SETTLED", "lines": {"L1": "0.00"}}
    assert orchestration_of(j).status == "COMPLETED_WITH_OPEN_CREDIT"
    got_back, credit, consumed = j.state(Payment, "P2").refunded, memo.balance, 100_00 - memo.total
    assert (got_back, credit, consumed) == (40_00, 10_00, 50_00)
    assert got_back + credit + consumed == 100_00, "what the customer paid"
