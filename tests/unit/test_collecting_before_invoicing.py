"""Money that is collected for an order waits for its invoice; items move with their invoice's due date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from events.schedule import PaymentScheduleItemApplied
from services.applications.applying import UnapplyPayment
from services.invoices.invoice import Invoice
from services.invoices.standing import ExtendDueDate
from services.payments.payment import Payment
from services.schedules.collected import RecordItemApplication
from services.schedules.collecting import CollectScheduleItem
from services.schedules.items import NewItem
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule
from tests.journey import SUCCESS, Journey, line, money
from tests.unit.test_examples_scheduling import collecting, grouped, own_policy, planned_items

DAY = date(2026, 3, 2)


def ordered(amount: int = 100, reference: str = "ORDER", parts: int = 1, **settings: Any) -> Journey:
    """So much was collected for the order O, in parts."""
    j = Journey(**settings)
    items = tuple(NewItem(money(amount // parts), DAY) for _ in range(parts))
    plan = CreatePaymentSchedule(reference, "O", items, "S", money(amount), default_method_id=j.card_a)  # type: ignore[arg-type]
    j.when(plan).then_accepted()
    for id in j.state(PaymentSchedule, "S").items:
        j.when(CollectScheduleItem("S", id)).then_accepted()
        j.settle(j.ids(Payment)[-1], SUCCESS).then_accepted()
    assert {item.status for item in j.state(PaymentSchedule, "S").items.values()} == {"PROCESSED"}
    return j


def of_order(j: Journey, amount: int, name: str = "INV", **more: Any) -> str:
    return j.post(name, line("1", amount), reference_type=more.pop("of", "ORDER"), reference_id="O", **more)


@pytest.mark.parametrize("reference", ["ORDER", "QUOTE", "CONTRACT"])
def test_the_invoice_of_a_record_takes_what_was_collected_for_it(reference: str) -> None:
    j = ordered(reference=reference)
    invoice = of_order(j, 100, of=reference)
    assert j.balances(invoice)["status"] == "SETTLED"
    [item] = j.state(PaymentSchedule, "S").items.values()
    assert (item.status, item.applied) == ("APPLIED", 10_000)
    assert j.state(PaymentSchedule, "S").status == "COMPLETED"
    told = [fact for kind, _, fact in j.facts() if kind == "ps"]
    applied = PaymentScheduleItemApplied(item.plan.item_id, j.ids(Payment)[0], money(100), money(0))
    assert told[0] == applied


def test_several_payments_settle_it_and_what_it_does_not_take_waits_for_the_next_invoice() -> None:
    j = ordered(parts=2)
    first = of_order(j, 60)
    assert j.balances(first)["status"] == "SETTLED"
    assert [item.status for item in j.state(PaymentSchedule, "S").items.values()] == ["APPLIED", "APPLIED"]
    second = of_order(j, 50, "INV-2")
    assert j.balances(second)["balance"] == "10.00"
    assert {j.payment(id)["unapplied"] for id in j.ids(Payment)} == {"0.00"}


def test_another_record_s_invoice_takes_nothing_of_it() -> None:
    j = ordered()
    other = j.post("INV", line("1", 100), reference_type="ORDER", reference_id="another")
    assert j.balances(other)["balance"] == "100.00"
    assert j.balances(of_order(j, 100, "I2", of="QUOTE"))["balance"] == "100.00"
    assert j.state(PaymentSchedule, "S").status == "OPEN"


def test_what_it_still_owes_is_scheduled() -> None:
    j = ordered(create_payment_schedules=True)
    of_order(j, 130)
    [planned] = [each for each in planned_items(j) if each[0] == 3_000]
    assert planned[2] == "DRAFT"  # the account has no default method


@pytest.mark.parametrize("reference", ["ORDER", "QUOTE", "CONTRACT"])
def test_what_is_applied_by_hand_is_applied_for_its_item_too(reference: str) -> None:
    j = ordered(reference=reference)
    invoice, payment = j.post("INV", line("1", 60)), j.ids(Payment)[0]
    j.apply(payment, invoice, 60).then_accepted()
    j.run_processes()
    [item] = j.state(PaymentSchedule, "S").items.values()
    assert (item.status, item.processed, item.applied) == ("APPLIED", 10_000, 6_000)
    assert j.state(PaymentSchedule, "S").status == "COMPLETED"
    j.apply(payment, j.post("INV-2", line("1", 40)), 40).then_accepted()
    assert j.run_processes() == []
    j.when(RecordItemApplication("S", item.plan.item_id)).then_nothing()


def test_what_is_taken_back_before_the_item_hears_of_it_leaves_it_waiting() -> None:
    j = ordered()
    invoice, payment = j.post("INV", line("1", 60)), j.ids(Payment)[0]
    j.apply(payment, invoice, 60).then_accepted()
    [application_id] = j.state(Payment, payment).applications
    j.when(UnapplyPayment(payment, application_id)).then_accepted()
    j.run_processes()
    [item] = j.state(PaymentSchedule, "S").items.values()
    assert (item.status, j.state(PaymentSchedule, "S").status) == ("PROCESSED", "OPEN")


# -- the due date


def extend(j: Journey, invoice: str, days: int) -> None:
    due = j.state(Invoice, invoice).due_date
    assert due is not None
    j.when(ExtendDueDate(invoice, due + timedelta(days=days))).then_accepted()


def test_what_waits_moves_with_the_due_date_and_what_was_collected_does_not() -> None:
    j = collecting().at(datetime(2026, 3, 5, 9, tzinfo=UTC))
    own_policy(j, date_offset_days=-3)
    invoice = j.post("INV", line("1", 240))
    [(amount, day, status)] = planned_items(j)
    extend(j, invoice, 14)
    assert planned_items(j) == [(amount, day + timedelta(days=14), status)]
    schedule = j.last_id(PaymentSchedule)
    [item] = j.state(PaymentSchedule, schedule).items.values()
    j.when(CollectScheduleItem(schedule, item.plan.item_id)).then_accepted()
    extend(j, invoice, 5)
    assert planned_items(j) == [(amount, day + timedelta(days=14), "PROCESSING")]


def test_invoices_that_are_collected_together_move_when_the_earliest_does() -> None:
    j = grouped().at(datetime(2026, 4, 1, 23, tzinfo=UTC))
    j.run_due()
    first, second = (invoice for invoice in j.ids(Invoice)[:2])
    extend(j, second, 3)
    assert planned_items(j)[0][1] == date(2026, 4, 6)
    extend(j, first, 10)  # now the later of the two, and still the earlier day
    assert planned_items(j)[0][1] == date(2026, 4, 16)
    extend(j, first, 30)
    assert planned_items(j)[0][1] == date(2026, 4, 24)


def test_days_that_people_have_named_stay() -> None:
    j = Journey()
    invoice = j.post("INV", line("1", 100))
    j.when(CreatePaymentSchedule("INVOICE", invoice, (NewItem(money(100), DAY),), "S")).then_accepted()
    extend(j, invoice, 14)
    assert planned_items(j) == [(10_000, DAY, "READY")]
