"""A worked example of applying by rules, and what each rule does by itself."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from events.account import ApplicationRulesRun
from events.invoice import InvoiceLocked, Product
from services.accounts.account import Account
from services.applications.rule_applying import ApplyByRules
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SUCCESS, Journey, line, money


def journey(*rules: str, order: str = "CREDITS_FIRST", **settings: Any) -> Journey:
    return Journey(application_rules=rules, application_order=order, **settings)


def memo(j: Journey, id: str, amount: str) -> None:
    lines = (NewLine("1", money(amount), Product(name="seat")),)
    j.when(CreateCreditMemo("USD", lines, "goodwill", id)).then_accepted()


def run(j: Journey, since: date | None = None) -> ApplicationRulesRun:
    j.when(ApplyByRules(since)).then_accepted()
    (fact,) = [fact for kind, _, fact in j.facts() if kind == Account.KIND]
    return fact


def owed(j: Journey, *invoices: str) -> list[int]:
    return [j.state(Invoice, invoice).balance for invoice in invoices]


def test_credits_first_then_the_balances_that_match_then_the_highest() -> None:
    j = journey("MATCH_BALANCE", "HIGHEST_BALANCE", "OLDEST_INVOICE")
    inv1 = j.post("Inv1", line("L1", "50.00"), line("L2", "50.00"))
    inv2 = j.post("Inv2", line("L1", "150.00"), line("L2", "50.00"))
    memo(j, "CM1", "100.00")
    memo(j, "CM2", "75.00")
    j.pay("P1", "80.00")
    told = run(j)
    assert owed(j, inv1, inv2) == [0, 4500]
    assert j.balances(inv1)["status"] == "SETTLED"
    assert j.balances(inv2)["lines"] == {"L1": "0.00", "L2": "45.00"}
    assert [j.state(CreditMemo, id).balance for id in ("CM1", "CM2")] == [0, 0]
    assert j.state(Payment, "P1").unapplied == 0
    by_source = {(a.source_id, a.line_id): a.amount for a in j.state(Invoice, inv2).applications.values()}
    assert by_source == {("CM2", "L1"): 7500, ("P1", "L1"): 7500, ("P1", "L2"): 500}
    assert told == ApplicationRulesRun(
        ("MATCH_BALANCE", "HIGHEST_BALANCE", "OLDEST_INVOICE"), 1, 2, 1, 2, 2, all_considered=True
    )


def test_payments_come_first_where_that_is_the_order() -> None:
    j = journey("OLDEST_INVOICE", order="PAYMENTS_FIRST")
    inv = j.post("INV", line("L1", "100.00"))
    memo(j, "CM", "80.00")
    j.pay("P", "80.00")
    run(j)
    assert (j.state(Payment, "P").applied, j.state(CreditMemo, "CM").applied) == (8000, 2000)
    assert owed(j, inv) == [0]


def test_match_id_follows_what_a_payment_was_meant_for() -> None:
    j = journey("MATCH_ID")
    first, second = j.post("I1", line("L1", "10.00")), j.post("I2", line("L1", "10.00"))
    j.request("P", "10.00", second)
    j.pay("Q", "10.00", second)  # settles it before P arrives, so that P is left over
    j.settle("P", SUCCESS)
    assert j.state(Payment, "P").unapplied == 1000
    j.when(ApplyByRules()).then_nothing()
    assert owed(j, first, second) == [1000, 0]


def test_match_balance_takes_the_earliest_due_of_equals() -> None:
    j = journey("MATCH_BALANCE")
    later = j.post("I1", line("L1", "10.00"), invoice_date=date(2026, 3, 2))
    sooner = j.post("I2", line("L1", "10.00"), invoice_date=date(2026, 2, 2))
    j.pay("P", "10.00")
    run(j)
    assert owed(j, later, sooner) == [1000, 0]


def test_oldest_goes_on_until_the_source_is_empty() -> None:
    j = journey("OLDEST_INVOICE")
    invoices = [j.at(timedelta(days=1)).post(f"I{n}", line("L1", "10.00")) for n in range(3)]
    j.pay("P", "25.00")
    run(j)
    assert owed(j, *invoices) == [0, 0, 500]


def test_only_invoices_since_a_day_are_considered() -> None:
    j = journey("OLDEST_INVOICE")
    old = j.post("I1", line("L1", "10.00"))
    new = j.at(timedelta(days=3)).post("I2", line("L1", "10.00"))
    j.pay("P", "15.00")
    told = run(j, since=j.time.date())
    assert (owed(j, old, new), told.invoices_fetched) == ([1000, 0], 1)


def test_with_too_many_invoices_only_the_first_rule_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.applications.rule_applying.INVOICES_MAX", 1)
    j = journey("MATCH_BALANCE", "OLDEST_INVOICE")
    invoices = [j.post(f"I{n}", line("L1", f"{n}0.00")) for n in (1, 2)]
    j.pay("P", "20.00")
    j.pay("Q", "5.00")
    told = run(j)
    assert (owed(j, *invoices), told.rules, told.all_considered) == ([1000, 0], ("MATCH_BALANCE",), False)


def test_what_is_locked_is_passed_over_and_told() -> None:
    j = journey("OLDEST_INVOICE")
    held = j.post("I1", line("L1", "10.00"))
    free = j.post("I2", line("L1", "10.00"))
    j.given((Invoice, held, InvoiceLocked("refunding:x")))
    j.pay("P", "20.00")
    told = run(j)
    assert (owed(j, held, free), told.locked_invoices) == ([1000, 0], (held,))


def test_other_currencies_and_excluded_invoices_take_no_payment() -> None:
    j = journey("OLDEST_INVOICE")
    euros = j.post("I1", line("L1", "10.00", currency="EUR"))
    excluded = j.post("I2", line("L1", "10.00"), exclude_from_payments=True)
    j.pay("P", "20.00")
    j.when(ApplyByRules()).then_nothing()
    memo(j, "CM", "20.00")
    run(j)
    assert owed(j, euros, excluded) == [1000, 0]


def test_posting_applies_by_rules_instead_of_the_plain_way() -> None:
    j = journey("MATCH_BALANCE", rule_based_application=True, auto_apply_credits_to_posted_invoices=True)
    memo(j, "CM", "75.00")
    j.pay("P", "100.00")
    inv = j.post("I", line("L1", "100.00"))
    assert (owed(j, inv), j.state(CreditMemo, "CM").balance) == ([0], 7500)


def test_rules_need_to_be_set() -> None:
    Journey().when(ApplyByRules()).then_rejected("MALFORMED_REQUEST")
    Journey().when(ChangeTenantSettings({"rule_based_application": True})).then_rejected("MALFORMED_REQUEST")
    twice = ChangeTenantSettings({"application_rules": ("MATCH_ID", "MATCH_ID")})
    Journey().when(twice).then_rejected("MALFORMED_REQUEST")
