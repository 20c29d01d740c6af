"""Worked examples: invoices, payments, applications."""

from __future__ import annotations

import orjson
import pytest

from events.invoice import InvoiceSettled
from events.payment import PaymentApplied
from services.applications.applying import ApplyPayment, UnapplyPayment
from services.commands import Actor, Command, decode, encode
from services.credits.credit_memo import CreditMemo
from services.handler import Handler
from services.invoices.invoice import Invoice
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from services.store.protocol import Appended, Batch, StoreConflict
from services.subjects import SUBJECTS
from tests.journey import SUCCESS, Journey, line, money
from tests.spec import NOW


@pytest.fixture
def j() -> Journey:
    return Journey()


def test_sale_and_full_settlement(j: Journey) -> None:
    inv = j.post("INV-1", line("L1", "100.00", "8.00"))
    j.pay("P1", "108.00")
    assert j.payment("P1") == {
        "status": "PROCESSED",
        "applied": "0.00",
        "unapplied": "108.00",
        "refunded": "0.00",
        "refund_reserved": "0.00",
    }
    j.apply("P1", inv, "108.00").then_accepted()
    (applied,) = [fact for _, _, fact in j.facts() if type(fact).__name__ == "PaymentApplied"]
    assert [(a.charge_portion, a.tax_portion) for a in applied.applications] == [
        (money("100.00"), money("8.00"))
    ]
    assert j.balances(inv) == {"balance": "0.00", "status": "SETTLED", "lines": {"L1": "0.00"}}
    assert [fact.full_settlement_date for _, _, fact in j.facts() if isinstance(fact, InvoiceSettled)] == [
        NOW.date()
    ]
    assert j.payment("P1")["unapplied"] == "0.00"


def partly_paid(j: Journey) -> str:
    inv = j.post("INV-2", line("L1", 500), line("L2", 300), line("L3", 200))
    j.pay("P1", "650.00")
    j.apply("P1", inv, "650.00").then_accepted()
    return inv


def test_partial_payment_across_lines(j: Journey) -> None:
    inv = partly_paid(j)
    assert j.state(Invoice, inv).total == 1_000_00
    (applied,) = [fact for _, _, fact in j.facts() if isinstance(fact, PaymentApplied)]
    assert [(a.line_id, a.amount) for a in applied.applications] == [
        ("L1", money("500.00")),
        ("L2", money("150.00")),
    ]
    lines = {"L1": "0.00", "L2": "150.00", "L3": "200.00"}
    assert j.balances(inv) == {"balance": "350.00", "status": "PARTIALLY_SETTLED", "lines": lines}
    assert j.payment("P1")["unapplied"] == "0.00"
    j.pay("P2", "175.00")
    j.apply("P2", inv, "175.00").then_accepted()
    assert j.balances(inv)["lines"]["L3"] == "25.00"
    assert j.balances(inv)["balance"] == "175.00"


def unapplied_from_l2(j: Journey) -> tuple[str, str]:
    inv = partly_paid(j)
    j.pay("P2", "175.00")
    j.apply("P2", inv, "175.00").then_accepted()
    applications = j.state(Invoice, inv).applications.values()
    (on_l2,) = [a.application_id for a in applications if a.source_id == "P1" and a.line_id == "L2"]
    return inv, on_l2


def test_unapply_and_correct(j: Journey) -> None:
    inv, on_l2 = unapplied_from_l2(j)
    j.when(UnapplyPayment("P1", on_l2, money("100.00"))).then_rejected("PARTIAL_UNAPPLY_UNSUPPORTED")
    j.when(UnapplyPayment("P1", on_l2)).then_accepted()
    (unapplied,) = [fact for kind, _, fact in j.facts() if kind == "payment"]
    assert unapplied.applications[0].related_application_id == on_l2
    assert j.state(Payment, "P1").unapplied_ids == {on_l2}, "the original's flag is Yes"
    assert j.balances(inv)["lines"]["L2"] == "300.00"
    assert j.payment("P1")["unapplied"] == "150.00"
    assert j.balances(inv)["balance"] == "325.00"
    j.when(UnapplyPayment("P1", on_l2)).then_rejected("ALREADY_UNAPPLIED")


def test_over_application_is_rejected(j: Journey) -> None:
    inv, on_l2 = unapplied_from_l2(j)
    j.when(UnapplyPayment("P1", on_l2)).then_accepted()
    j.apply("P1", inv, "400.00").then_rejected("PAYMENT_BALANCE_EXCEEDED", available=15000)
    j.apply("P1", inv, "50.00", "L3").then_rejected("LINE_BALANCE_EXCEEDED", available=2500)
    j.pay("PE", "10.00", currency="EUR")
    j.apply("PE", inv, "10.00", currency="EUR").then_rejected("CURRENCY_MISMATCH")
    assert j.facts() == []


def test_two_operators_apply_one_payment_to_two_invoices_at_once(j: Journey) -> None:
    """Both have seen 100.00: one commits; the other's commit meets what has moved, and is decided again."""
    one, two = j.post("INV-A", line("L1", 80)), j.post("INV-B", line("L1", 80))
    j.pay("P", "100.00")
    other = Handler(j.store, SUBJECTS, j)
    dry = other.dry_run(a_command(ApplyPayment("P", two, money("80.00")), "looks first"))
    assert len(j._run(dry)["events"]) == 4
    j.apply("P", one, "80.00").then_accepted()
    conflicts = _count_conflicts(j)
    (late,) = j._run(other.handle([a_command(ApplyPayment("P", two, money("80.00")), "second")]))
    assert conflicts == ["ReadSetMoved"]
    outcome = orjson.loads(late.outcome)
    assert (late.status, outcome["code"]) == ("REJECTED", "PAYMENT_BALANCE_EXCEEDED")
    assert outcome["details"] == {"available": 2000}
    assert not [event for event in j.events() if event.command_id == late.command.command_id]
    assert [j.balances(id)["balance"] for id in (one, two)] == ["0.00", "80.00"]


def a_command(command: object, key: str) -> Command:
    type, body = encode(
        command, tenant="t", account_id="A", actor=Actor("USER", "other"), idempotency_key=key
    )
    return decode(type, body)


def _count_conflicts(j: Journey) -> list[str]:
    """The store's conflicts from now on, by name."""
    commit, conflicts = j.store.commit, list[str]()

    async def counted(batch: Batch) -> Appended:
        try:
            return await commit(batch)
        except StoreConflict as conflict:
            conflicts.append(type(conflict).__name__)
            raise

    j.store.commit = counted  # type: ignore[method-assign]
    return conflicts


def test_the_same_key_twice_is_one_payment(j: Journey) -> None:
    forty = ProcessPayment(money("40.00"), method_id=j.card_a)
    j.when(forty, key="click").then_accepted()
    first = j.answer
    j.when(forty, key="click")
    assert j.answer.replayed
    assert j.answer.outcome == first.outcome
    assert len(j.ids(Payment)) == 1
    j.when(ProcessPayment(money("41.00"), method_id=j.card_a), key="click").then_rejected(
        "IDEMPOTENCY_KEY_REUSED"
    )


def test_the_same_news_three_times_is_one_fact(j: Journey) -> None:
    j.request("P", "40.00")
    j.settle("P", SUCCESS, "NOTIFICATION").then_accepted()
    version = j.state(Payment, "P").version
    j.settle("P", SUCCESS, "NOTIFICATION").then_nothing()
    j.settle("P", SUCCESS, "NOTIFICATION").then_nothing()
    assert j.state(Payment, "P").version == version


def test_a_failure_after_success_is_an_exception_and_no_change(j: Journey) -> None:
    from events.shapes import Outcome

    j.pay("P", "40.00")
    version = j.state(Payment, "P").version
    j.settle("P", Outcome("Decline", raw_code="do_not_honor"), "NOTIFICATION").then_accepted()
    assert [type(fact).__name__ for _, _, fact in j.facts()] == ["GatewayOutcomeResolved", "ExceptionRaised"]
    assert j.state(Payment, "P").version == version
    assert j.payment("P")["status"] == "PROCESSED"


def test_a_mixed_invoice_uses_its_own_credit() -> None:
    j = Journey("recommended")
    inv = j.post("INV-M", line("L1", 400), line("L2", -100))
    memo = j.state(CreditMemo, j.last_id(CreditMemo))
    assert (memo.total, memo.balance) == (100_00, 0)
    state = j.state(Invoice, inv)
    assert (state.total, state.lines["L2"].converted, state.lines["L2"].balance) == (300_00, -100_00, 0)
    assert j.balances(inv)["balance"] == "300.00"
    converted = next(
        fact for _, _, fact in j.facts() if type(fact).__name__ == "NegativeInvoiceLinesConverted"
    )
    assert converted.balance == money("400.00")
    assert j.run_processes() == []
