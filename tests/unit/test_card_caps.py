"""Networks count what is tried with a card: for whatever item, by whatever account, also while under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from events.card import CardAttemptBegun, CardAttemptCleared, CardRefused
from events.retrying import ItemRetryPostponed
from services.accounts.account import RegisterAccount
from services.accounts.card import Card
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.retries.retrying import RetryItemNow
from services.schedules.collecting import CollectScheduleItem
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule, NewItem
from tests.journey import SUCCESS, line, money
from tests.retrying import NO_FUNDS, Retrying, at, fixed
from tests.unit.test_races import race

T = at("03-02T09:00Z")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VISA = SavePaymentMethod("gw", "tok_v", "card", network="Visa", fingerprint="fp-1")


class Shop(Retrying):
    """Items of 100.00, of one account or of two, collected with one Visa card."""

    def __init__(self, *caps: str, **settings: Any) -> None:
        super().__init__(fixed(1, "HOURS", 3), card_network_caps=caps, **settings)
        self.at(T)
        self.visa = self.saved(VISA)

    def saved(self, card: SavePaymentMethod, account: str | None = None) -> str:
        self.when(card, account=account).then_accepted()
        return self.last_id(SavedMethod)

    def another(self, card: SavePaymentMethod = VISA) -> str:
        """A second account, with its own record of a card."""
        self.account = "B"
        self.when(RegisterAccount("Bob")).then_accepted()
        return self.saved(card)

    def owed(self, method: str, amount: str = "100.00", name: str = "INV") -> tuple[str, str]:
        """Another item; the one before goes on by itself."""
        invoice = self.post(f"{name}-{len(self.ids(PaymentSchedule))}", line("1", amount))
        item = NewItem(money(amount), date(2026, 3, 2), method)
        self.when(CreatePaymentSchedule("INVOICE", invoice, (item,))).then_accepted()
        self.schedule_id = self.last_id(PaymentSchedule)
        [self.item_id] = self.state(PaymentSchedule, self.schedule_id).items
        return self.schedule_id, self.item_id

    def refused(self, method: str, amount: str = "100.00") -> tuple[str, str]:
        owed = self.owed(method, amount)
        self.collect()
        self.answered(NO_FUNDS)
        return owed

    def look_at(self, item: tuple[str, str], account: str = "A") -> Shop:
        (self.schedule_id, self.item_id), self.account = item, account
        return self


def collected(item: tuple[str, str]) -> CollectScheduleItem:
    return CollectScheduleItem(*item)


def test_what_was_tried_for_another_item_counts() -> None:
    """Planned while there was room for it, an attempt waits once there is none."""
    j = Shop("visa 2/30d")
    first = j.refused(j.visa)
    assert j.item.retry.due_at == T + HOUR
    second = j.refused(j.visa)
    assert j.item.retry.due_at == T + 30 * DAY, "two refusals are all that Visa allows: both were just now"
    j.look_at(first).at(T + HOUR).run_due()
    assert (j.item.status, j.item.retry.due_at, j.item.retry.kept_back) == (
        "FAILED",
        T + 30 * DAY,
        "NETWORK_CAP",
    )
    assert [fact.reason for fact in j.of(ItemRetryPostponed)] == ["NETWORK_CAP"]
    j.run_processes()
    j.at(T + 30 * DAY).run_due()
    states = [j.look_at(item).item.status for item in (first, second)]
    assert states == ["PROCESSING", "PROCESSING"], "both refusals are thirty days old"


def test_the_same_card_of_another_account_counts() -> None:
    j = Shop("visa 1/30d")
    j.refused(j.visa)
    other = j.another()
    item = j.owed(other)
    j.when(collected(item)).then_rejected("RETRY_NOT_POSSIBLE")
    assert "visa allows 1 attempts" in j.outcome["message"]
    j.at(T + 30 * DAY)
    j.when(collected(item)).then_accepted()


@pytest.mark.parametrize(
    ("card", "amount"),
    [
        (VISA, "99.99"),
        (replace(VISA, fingerprint="fp-2"), "100.00"),
        (replace(VISA, network="Amex", fingerprint="fp-3"), "100.00"),
        (replace(VISA, network=None, fingerprint="fp-4"), "100.00"),
    ],
    ids=["another amount", "another card", "another network", "nobody knows the network"],
)
def test_what_a_network_does_not_count_with_it_is_free(card: SavePaymentMethod, amount: str) -> None:
    j = Shop("visa 1/30d")
    j.refused(j.visa)
    j.when(collected(j.owed(j.another(card), amount))).then_accepted()


def test_what_is_under_way_counts_and_counts_no_longer_once_it_succeeds() -> None:
    j = Shop("visa 2/30d")
    first, second = j.refused(j.visa), j.owed(j.visa)
    j.look_at(first).wait()
    assert len(j.of(CardAttemptBegun)) == 1
    j.when(collected(second)).then_rejected("RETRY_NOT_POSSIBLE")
    j.answered(SUCCESS)
    assert len(j.of(CardAttemptCleared)) == 1
    j.when(collected(second)).then_accepted()


def test_a_card_that_was_never_refused_leaves_no_trace() -> None:
    j = Shop("visa 1/30d")
    for _ in range(3):
        j.owed(j.visa)
        j.collect()
        j.answered(SUCCESS)
    assert j.ids(Card) == []


def test_payments_and_authorizations_count_that_no_item_asked_for() -> None:
    j = Shop("visa 2/30d")
    j.request("P", "100.00", method=j.visa)
    j.settle("P", NO_FUNDS)
    held = AuthorizePayment(money("100.00"), "gw", T, authorization_id="X", method_id=j.visa)
    j.when(held).then_accepted()
    key = j.state(Authorization, "X").operation_key
    j.when(RecordAuthorizationOutcome(key, "GATEWAY", NO_FUNDS)).then_accepted()
    assert [(fact.attempt.id, fact.raw_code) for fact in j.of(CardRefused)] == [
        ("P", "insufficient_funds"),
        ("X", "insufficient_funds"),
    ]
    j.when(collected(j.owed(j.visa))).then_rejected("RETRY_NOT_POSSIBLE")


async def test_of_two_workers_only_one_takes_the_last_attempt_of_a_card() -> None:
    """Two accounts, one card: each worker sees room for one; who commits second decides anew."""
    j = Shop("visa 2/30d")
    first, second = j.refused(j.visa), j.owed(j.visa)
    j.handler.cache.clear()
    now, run = RetryItemNow(*first, "he called"), collected(second)
    accepted, rejected = await race(j, now, run)
    assert (accepted.status, rejected.status) == ("ACCEPTED", "REJECTED")
    assert b"RETRY_NOT_POSSIBLE" in rejected.outcome
