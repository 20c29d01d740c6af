"""Worked example: a batch run, its report, and the addendum of what came late."""

from __future__ import annotations

from datetime import UTC, datetime

from events.criteria import Criteria, Criterion
from events.run import PaymentBatchRunAmended, PaymentBatchRunCompleted
from events.shapes import Outcome
from projections.folding import Folder
from projections.models import TABLES
from projections.runs import payment_batch_run_items, payment_batch_runs
from services.accounts.account import PlacePaymentHold
from tests.journey import SOFT, SUCCESS, money
from tests.runs import DAY, Collection

LABEL = Criteria("MATCH_ANY", (Criterion("MATCHING_VALUE", "EQUALS", ("1",)),))
LOST = Outcome("Indeterminate", category="GatewayConnection", raw_message="no answer")


def due() -> Collection:
    """Six items with the label, one without it, and one that is due a day later."""
    j = Collection(reduced_balance_policy="CANCEL_ITEM")
    j.at(datetime(2026, 4, 6, 10, 0, tzinfo=UTC))
    for account, amount in (("A", "100.00"), ("B", "250.00"), ("C", "75.50"), ("E", "40.00"), ("F", "20.00")):
        j.owes(account, amount)
    j.owes("D", "12000", currency="JPY")
    j.owes("G", "500.00", label="2")
    j.owes("H", "500.00", on=DAY.replace(day=7))
    return j


def collected() -> Collection:
    j = due()
    j.start(criteria=LABEL)
    j.account = "C"
    j.cheque("CHEQUE", "15.50", j.invoices["C"])
    j.when(PlacePaymentHold("he asked"), account="F").then_accepted()
    j.run_processes()
    j.told("A", SUCCESS)
    j.told("B", SOFT)
    j.told("D", SUCCESS)
    j.told("E", LOST)
    j.run_processes()
    return j


def test_the_report_of_a_run() -> None:
    j = collected()
    assert j.counters() == {
        "filtered": 6,
        "processed": 2,
        "applied": 2,
        "failed": 1,
        "canceled": 1,
        "unknown": 1,
        "skipped": 1,
    }
    assert j.money() == {
        "USD": (money("485.50"), money("100.00")),
        "JPY": (money("12000", "JPY"), money("12000", "JPY")),
    }
    assert j.status() == "COMPLETED"
    assert j.outcomes() == {
        "A": ("APPLIED", ""),
        "B": ("FAILED", "insufficient_funds"),
        "C": ("CANCELED", "BALANCE_BELOW_ITEM"),
        "D": ("APPLIED", ""),
        "E": ("UNKNOWN", "UNKNOWN"),
        "F": ("SKIPPED", "ACCOUNT_ON_HOLD"),
    }
    assert j.item(j.schedules["F"]).status == "READY"
    assert [j.item(j.schedules[account]).status for account in "GH"] == ["READY", "READY"]


def test_what_comes_late_is_an_addendum() -> None:
    j = collected()
    j.at(datetime(2026, 4, 6, 10, 7, tzinfo=UTC))
    j.told("E", SUCCESS)
    j.run_processes()
    assert j.counters() == {
        "filtered": 6,
        "processed": 3,
        "applied": 3,
        "failed": 1,
        "canceled": 1,
        "skipped": 1,
    }
    assert j.money()["USD"] == (money("485.50"), money("140.00"))
    assert j.status() == "COMPLETED"
    [completed] = [fact for fact in j.all_facts() if isinstance(fact, PaymentBatchRunCompleted)]
    [amended] = [fact for fact in j.all_facts() if isinstance(fact, PaymentBatchRunAmended)]
    assert [(each.was, each.outcome) for each in amended.results] == [("UNKNOWN", "APPLIED")]
    assert completed.report.money != amended.report.money


def test_the_read_models_say_the_same() -> None:
    j = collected()
    j.at(datetime(2026, 4, 6, 10, 7, tzinfo=UTC))
    j.told("E", SUCCESS)
    j.run_processes()
    rows = Folder(TABLES).from_zero(j.events())
    [run] = rows[payment_batch_runs].values()
    counted = {name: run[name] for name in ("filtered", "processed", "applied", "failed", "canceled")}
    assert counted == {"filtered": 6, "processed": 3, "applied": 3, "failed": 1, "canceled": 1}
    assert (run["status"], run["number"], run["unclaimed"], run["unknown"]) == (
        "COMPLETED",
        "PBR-000001",
        0,
        0,
    )
    assert run["reasons"] == [
        {"name": "ACCOUNT_ON_HOLD", "count": 1},
        {"name": "BALANCE_BELOW_ITEM", "count": 1},
    ]
    assert run["failures"] == [
        {"category": "CardLimit", "gateway_id": "gw", "code": "insufficient_funds", "count": 1}
    ]
    assert [(each["was"], each["outcome"]) for each in run["addenda"]] == [("UNKNOWN", "APPLIED")]
    items = sorted(rows[payment_batch_run_items].values(), key=lambda row: row["place"])
    assert [row["account_id"] for row in items] == ["B", "D", "A", "C", "E", "F"]
    assert [row["collected"] for row in items] == [0, 12000, 10000, 0, 4000, 0]
