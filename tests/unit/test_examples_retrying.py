"""Worked examples: failed items of real schedules are tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.payment_method import PaymentMethodRevoked
from events.retrying import (
    CollectionFailed,
    CollectionRecovered,
    DunningNoticed,
    ItemRetriesExhausted,
    ItemRetryScheduled,
)
from events.shapes import Outcome
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.retries.making import Intervals, NewRule
from services.schedules.schedule import PaymentSchedule
from tests.journey import SUCCESS, money
from tests.retrying import NO_FUNDS, STOLEN, Retrying, at, fixed

# -- fixed intervals


def test_fixed_retries() -> None:
    j = Retrying(fixed(6, "HOURS", 3)).at(at("03-02T09:00Z"))  # type: ignore[assignment]
    j.owe(j.card_a).collect().answered(NO_FUNDS)
    assert j.wait() == at("03-02T15:00Z")
    j.answered(NO_FUNDS, at("03-02T15:00:40Z"))
    assert j.wait() == at("03-02T21:00:40Z")
    j.answered(NO_FUNDS, at("03-02T21:01:10Z"))
    assert j.wait() == at("03-03T03:01:10Z")
    j.answered(NO_FUNDS)

    item = j.item
    assert (item.status, item.retry.made, item.retry.due_at, item.retry.ended) == (
        "FAILED",
        3,
        None,
        "EXHAUSTED",
    )
    assert [fact.max for fact in j.of(ItemRetryScheduled)] == [3, 3, 3]
    [exhausted], [failed] = j.of(ItemRetriesExhausted), j.of(CollectionFailed)
    assert (exhausted.attempts, failed.attempts, failed.reason, failed.hint) == (3, 4, "EXHAUSTED", "SUSPEND")
    assert failed.amount == money("100.00")
    assert [(fact.stage, fact.hint) for fact in j.of(DunningNoticed)] == [
        ("FIRST_FAILURE", "REMIND"),
        ("RETRY_FAILED", "REMIND"),
        ("LAST_ATTEMPT_NEXT", "WARN"),
    ]
    assert j.run_due() == []


# -- staggered intervals


STAGGERED = Intervals("STAGGERED", "DAYS", (1, 5, 10, 15))


@pytest.mark.parametrize(
    ("basis", "times"),
    [
        ("FIRST_FAILURE", ["03-03", "03-07", "03-12", "03-17"]),
        ("PREVIOUS_ATTEMPT", ["03-03", "03-08", "03-18", "04-02"]),
    ],
)
def test_staggered_retries(basis: str, times: list[str]) -> None:
    j = Retrying(STAGGERED, stagger_basis=basis).at(at("03-02T09:00Z"))  # type: ignore[assignment]
    j.owe(j.card_a).collect().answered(NO_FUNDS)
    made: list[datetime] = []
    while j.item.retry.due_at:
        made.append(j.wait())
        j.answered(NO_FUNDS)
    assert made == [at(f"{day}T09:00Z") for day in times]
    assert j.item.retry.ended == "EXHAUSTED"


def test_a_success_ends_it() -> None:
    j = Retrying(STAGGERED).at(at("03-02T09:00Z"))  # type: ignore[assignment]
    j.owe(j.card_a).collect().answered(NO_FUNDS)
    for _ in range(2):
        j.wait()
        j.answered(NO_FUNDS)
    assert j.wait() == at("03-12T09:00Z")
    j.answered(SUCCESS)
    assert (j.item.status, j.item.retry.made, j.item.retry.ended) == ("APPLIED", 3, "RECOVERED")
    [recovered] = j.of(CollectionRecovered)
    assert (recovered.attempts, recovered.retries, recovered.by) == (4, 3, "RETRY")
    assert (recovered.amount, recovered.category) == (money("100.00"), "CardLimit")
    assert j.at(at("04-30T09:00Z")).run_due() == []  # type: ignore[attr-defined]
    assert j.of(CollectionFailed) == []


# -- which rule


RULES = (
    NewRule("CardLimit", "Stripe3P", "insufficient_funds", "STAGGERED", "DAYS", (1, 3, 5)),
    NewRule("CardLimit", "Stripe3P", type="FIXED", unit="HOURS", values=(12,), max=2),
    NewRule("CardLimit", raw_code="29", type="FIXED", unit="DAYS", values=(1,), max=4),
    NewRule("CardLimit", type="FIXED", unit="DAYS", values=(2,), max=3),
)


@pytest.mark.parametrize(
    ("gateway", "outcome", "number", "level", "after", "max"),
    [
        ("Stripe3P", NO_FUNDS, "PRR-000001", 1, timedelta(days=1), 3),
        ("Stripe3P", Outcome("Decline", "CardLimit", raw_code="amount_too_large"), "PRR-000002", 2,
         timedelta(hours=12), 2),
        ("Adyen", Outcome("Decline", "CardLimit", raw_code="29"), "PRR-000003", 3, timedelta(days=1), 4),
        ("Adyen", Outcome("Decline", "CardLimit", raw_code="12"), "PRR-000004", 4, timedelta(days=2), 3),
        ("Adyen", Outcome("Decline", "Security", raw_code="x"), None, 5, timedelta(minutes=3), 5),
        ("Stripe3P", Outcome("Decline", "Security", raw_code="y"), None, 5, timedelta(minutes=3), 5),
    ],
)  # fmt: skip
def test_rule_resolution(
    gateway: str, outcome: Outcome, number: str | None, level: int, after: timedelta, max: int
) -> None:
    j = Retrying(fixed(3, "MINUTES", 5), *RULES)
    j.when(RegisterGateway(gateway, gateway, "sim", "env:NONE", "m2", "TEST")).then_accepted()
    j.when(SavePaymentMethod(gateway, "tok_there", "card")).then_accepted()
    j.owe(j.last_id(SavedMethod)).collect().answered(outcome)
    [planned] = j.of(ItemRetryScheduled)
    assert (planned.rule.number, planned.rule.match_level, planned.max) == (number, level, max)
    assert planned.at == j.time + after
    assert planned.why[0].startswith(f"rule {number} is about" if number else "no rule is about")


# -- another method at last


def alternating(**settings: Any) -> tuple[Retrying, str, str, str]:
    """SPM-1 is the item's, SPM-2 the account's default, SPM-3 was saved last."""
    j = Retrying(fixed(3, "MINUTES", 5), alternate=True, **settings)
    first, second = j.card_a, j.card_b
    j.when(SetDefaultPaymentMethod(second)).then_accepted()
    j.at(datetime(2026, 3, 3, tzinfo=UTC))
    third = j.card("tok_c")
    j.at(at("03-04T10:00Z"))
    return j, first, second, third


def methods_tried(j: Retrying, outcome: Outcome = NO_FUNDS) -> list[tuple[str, str]]:
    """Until it is given up: when each attempt was made, and with which method."""
    tried: list[tuple[str, str]] = []
    while j.item.retry.due_at:
        made = j.wait()
        payment = j.state(Payment, j.item.payment_id or "")
        tried.append((f"{made:%H:%M}", payment.method.method_id))
        j.answered(outcome)
    return tried


def test_the_last_retry_is_with_the_default_method() -> None:
    j, first, second, _ = alternating()
    j.owe(first).collect().answered(NO_FUNDS)
    assert methods_tried(j) == [
        ("10:03", first), ("10:06", first), ("10:09", first), ("10:12", first), ("10:15", second)
    ]  # fmt: skip
    assert [fact.is_alternate for fact in j.of(ItemRetryScheduled)] == [False] * 4 + [True]


def test_where_the_default_fails_it_is_the_latest_other() -> None:
    j, first, _, third = alternating()
    j.when(SetDefaultPaymentMethod(first)).then_accepted()
    j.owe(first).collect().answered(NO_FUNDS)
    assert methods_tried(j)[-1] == ("10:15", third)


def test_another_error_meets_another_rule() -> None:
    rule = NewRule("Security", type="STAGGERED", unit="MINUTES", values=(1, 2, 3, 4))
    j = Retrying(fixed(3, "MINUTES", 5), rule).at(at("03-04T10:00Z"))  # type: ignore[assignment]
    j.owe(j.card_a).collect().answered(NO_FUNDS)
    j.wait()
    j.answered(NO_FUNDS)
    assert j.wait() == at("03-04T10:06Z")
    j.answered(Outcome("Decline", "Security", raw_code="suspicious"))
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.attempt, planned.max, planned.at) == (3, 4, at("03-04T10:07Z"))


def test_a_stolen_card_leaves_one_attempt_with_another() -> None:
    j, first, second, _ = alternating()
    j.owe(first).collect().answered(STOLEN)
    assert j.state(SavedMethod, first).status == "REVOKED"
    assert len(j.of(PaymentMethodRevoked)) == 1
    assert methods_tried(j) == [("10:03", second)]
    assert j.item.retry.ended == "EXHAUSTED"
    [failed] = j.of(CollectionFailed)
    assert failed.attempts == 2


def test_under_follow_rules_it_is_like_a_soft_one() -> None:
    """As many attempts, at the same times; the revoked card itself can be charged no more."""
    j, first, second, third = alternating(hard_decline_policy="FOLLOW_RULES")
    j.owe(first).collect().answered(STOLEN)
    assert methods_tried(j) == [
        ("10:03", second), ("10:06", third), ("10:09", second), ("10:12", third), ("10:15", second)
    ]  # fmt: skip


# -- what a bank takes back


def test_what_a_bank_takes_back_is_tried_again() -> None:
    j = Retrying(fixed(9, "DAYS", 9), NewRule("CardLimit", unit="DAYS", values=(2,), max=2))
    j.at(at("05-05T10:00Z"))
    j.owe(j.card_a).collect().answered(SUCCESS)
    assert j.item.status == "APPLIED"
    j.at(at("05-08T14:00Z"))
    payment = j.item.payment_id or ""
    j.when(RecordPaymentReturn(payment, "R01", "NOTIFICATION", j.time, category="CardLimit")).then_accepted()
    j.run_processes()
    assert (j.item.status, j.state(PaymentSchedule, j.schedule_id).status) == ("FAILED", "OPEN")
    assert j.wait() == at("05-10T14:00Z")
    j.answered(NO_FUNDS)
    assert j.wait() == at("05-12T14:00Z")
    j.answered(NO_FUNDS)
    assert j.item.retry.ended == "EXHAUSTED"
