"""Worked example: a refund that refers to no payment; a credit memo is paid out to a saved card."""

from __future__ import annotations

from events.invoice import Product
from events.shapes import Outcome
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.refunds.refund import Refund
from services.refunds.refunding import IssueUnreferencedRefund
from tests.journey import CARD_CLOSED, SUCCESS, Journey, money

PENDING = Outcome("Pending", gateway_ref="re_1")


def memo_of(*charges: str) -> Journey:
    j = Journey()
    lines = tuple(
        NewLine(f"L{n}", money(charge), Product(name="seat")) for n, charge in enumerate(charges, 1)
    )
    j.when(CreateCreditMemo("USD", lines, "goodwill", "CM")).then_accepted()
    return j


def refund(j: Journey, amount: str) -> Journey:
    j.when(IssueUnreferencedRefund("CM", money(amount), "goodwill", j.card_a, "R"))
    return j


def amounts(j: Journey) -> dict[str, int]:
    memo = j.state(CreditMemo, "CM")
    return {"open": memo.balance, "reserved": memo.refund_reserved, "refunded": memo.refunded}


def test_sync() -> None:
    j = memo_of("200.00")
    refund(j, "200.00").then_accepted()
    j.answer_refund("R", SUCCESS)
    state = j.state(Refund, "R")
    assert (state.status, state.balance) == ("PROCESSED", 0)
    assert amounts(j) == {"open": 0, "reserved": 0, "refunded": 20000}


def test_async_confirmed() -> None:
    j = memo_of("200.00")
    refund(j, "200.00")
    j.answer_refund("R", PENDING)
    assert j.state(Refund, "R").status == "PENDING"
    assert amounts(j) == {"open": 0, "reserved": 20000, "refunded": 0}
    j.answer_refund("R", SUCCESS, "NOTIFICATION")
    assert amounts(j) == {"open": 0, "reserved": 0, "refunded": 20000}


def test_async_rejected() -> None:
    j = memo_of("200.00")
    refund(j, "200.00")
    j.answer_refund("R", PENDING)
    j.answer_refund("R", CARD_CLOSED, "NOTIFICATION")
    assert j.state(Refund, "R").status == "FAILED"
    assert amounts(j) == {"open": 20000, "reserved": 0, "refunded": 0}


def test_line_level_takes_the_largest_open_line_first() -> None:
    j = memo_of("120.00", "50.00", "30.00")
    refund(j, "160.00").then_accepted()
    j.answer_refund("R", SUCCESS)
    lines = j.state(CreditMemo, "CM").lines
    assert [(line.refunded, line.balance) for line in lines.values()] == [(12000, 0), (4000, 1000), (0, 3000)]


def test_more_than_there_is() -> None:
    refund(memo_of("200.00"), "250.00").then_rejected("CREDIT_BALANCE_EXCEEDED", available=20000)
