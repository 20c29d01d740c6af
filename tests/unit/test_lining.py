"""External refunds that are lined later: with a payment, a memo, or in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from events.invoice import Product
from events.payment import RefundAppliedToPayment
from events.refund import RefundApplied
from projections.folding import Folder
from projections.ledger import ledger_balances
from projections.models import TABLES
from services.accounts.account import CloseAccount
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.payments.payment import Payment
from services.refunds.lining import ApplyRefund
from services.refunds.refund import Refund
from services.refunds.refunding import RecordExternalRefund
from tests.journey import Journey, money
from tests.spec import NOW

GIVEN_BACK = RecordExternalRefund(money("30.00"), "WIRE", "wire 9", NOW.date(), "GOODWILL", refund_id="R")
LINED = ApplyRefund("R", money("20.00"), payment_id="P")


def given_back() -> Journey:
    """100.00 are on account, 50.00 are credit, and 30.00 were given back for nobody has said what."""
    j = Journey()
    j.pay("P", "100.00")
    line = NewLine("1", money("50.00"), Product(name="x"))
    j.when(CreateCreditMemo("USD", (line,), "X", "M")).when(GIVEN_BACK).then_accepted()
    return j


def ledger(j: Journey) -> dict[str, int]:
    rows = Folder(TABLES).from_zero(j.events())[ledger_balances]
    return {account: row["debit"] - row["credit"] for (*_, account), row in rows.items()}


def test_until_it_is_lined_it_has_a_balance_and_takes_nothing() -> None:
    j = given_back()
    assert j.state(Refund, "R").balance == 30_00
    assert (j.payment("P")["unapplied"], j.state(CreditMemo, "M").balance) == ("100.00", 50_00)
    assert (ledger(j)["Refunds to be lined"], ledger(j)["Bank"]) == (30_00, -30_00)
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE")


def test_it_is_lined_in_parts_with_what_it_gave_back() -> None:
    j = given_back().when(LINED)
    amount = money("20.00")
    j.then(
        (Payment, "P", RefundAppliedToPayment("R", amount, reserved=False)),
        (Refund, "R", RefundApplied("payment", "P", amount)),
    )
    j.when(replace(LINED, amount=money("4.00"))).then_accepted()
    j.when(ApplyRefund("R", money("6.00"), credit_memo_id="M")).then_accepted()
    assert (j.state(Refund, "R").balance, j.state(Refund, "R").applied) == (0, 30_00)
    assert (j.payment("P")["unapplied"], j.payment("P")["refunded"]) == ("76.00", "24.00")
    assert (j.state(CreditMemo, "M").refunded, j.state(CreditMemo, "M").balance) == (6_00, 44_00)
    assert ledger(j)["Refunds to be lined"] == 0


def test_what_was_lined_as_it_was_recorded_is_booked_once() -> None:
    j = Journey()
    j.pay("P", "100.00")
    j.when(replace(GIVEN_BACK, payment_id="P")).then_accepted()
    assert (ledger(j)["Unapplied cash"], ledger(j).get("Refunds to be lined")) == (-70_00, None)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (replace(LINED, refund_id="none"), "REFUND_NOT_FOUND"),
        (replace(LINED, payment_id="none"), "PAYMENT_NOT_FOUND"),
        (replace(LINED, payment_id=None), "MALFORMED_REQUEST"),
        (replace(LINED, credit_memo_id="M"), "MALFORMED_REQUEST"),
        (replace(LINED, payment_id=None, credit_memo_id="none"), "CREDIT_MEMO_NOT_FOUND"),
        (replace(LINED, amount=money("1.00", "EUR")), "CURRENCY_MISMATCH"),
        (replace(LINED, amount=money("0.00")), "AMOUNT_NOT_POSITIVE"),
        (replace(LINED, amount=money("30.01")), "REFUND_BALANCE_EXCEEDED"),
    ],
)
def test_what_cannot_be_lined_is_refused(command: ApplyRefund, code: str) -> None:
    given_back().when(command).then_rejected(code)


def test_no_more_is_taken_than_is_free() -> None:
    j = Journey()
    j.pay("P", "10.00")
    j.when(GIVEN_BACK).when(LINED).then_rejected("REFUND_EXCEEDS_UNAPPLIED", available=10_00)


def test_only_refunds_that_went_out_on_this_account_are_lined() -> None:
    j = given_back()
    j.when(LINED, account="B").then_rejected("ACCOUNT_MISMATCH")
    from services.refunds.refunding import IssueRefund

    j.when(IssueRefund("P", money("1.00"), "X", refund_id="S")).then_accepted()
    j.when(replace(LINED, refund_id="S")).then_rejected("INVALID_STATE", state="REQUESTED")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"reference": " "}, "MALFORMED_REQUEST"),
        ({"amount": money("0.00")}, "AMOUNT_NOT_POSITIVE"),
        ({"payment_id": "P", "credit_memo_id": "M"}, "MALFORMED_REQUEST"),
    ],
)
def test_a_refund_outside_says_what_it_must(more: dict[str, Any], code: str) -> None:
    given_back().when(replace(GIVEN_BACK, refund_id="S", **more)).then_rejected(code)
