"""What-if: recorded declines under another policy; the policy that was in force decides again the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from events import ids
from events.log import Recorded
from events.retry import RetryDefinition
from events.shapes import Outcome
from services.accounts.account import PlacePaymentHold, RegisterAccount, ReleasePaymentHold
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.accounts.preferences import SetCollectionPreferences
from services.payments.returning import RecordPaymentReturn
from services.retries.defining import DefineRetryRules
from services.retries.making import Intervals, Making, NewRule
from services.retries.retrying import ExtendItemRetries, RetryItemNow, SkipItemRetry, StopItemRetries
from services.retries.whatif import REFERENCES, Policy, Replay, Replayed
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SUCCESS
from tests.retrying import NO_FUNDS, STOLEN, Retrying, at, fixed

T = at("03-02T09:00Z")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def replayed(j: Retrying, policy: Policy | None = None, account: str = "A") -> Replayed:
    references: list[Recorded] = []
    own: list[Recorded] = []
    for event in j.events():
        of_tenant = ids.parts(event.stream)[1] in REFERENCES
        (references if of_tenant else own).append(event)
    return Replay("t", account, references, policy).run(own)


def policy(intervals: Intervals, *rules: NewRule, alternate: bool = False, **more: Any) -> Policy:
    made = Making(lambda prefix: f"{prefix}-1", "FIRST_FAILURE")
    defaults = made.intervals(intervals, "")
    return Policy(RetryDefinition(defaults, alternate, made.rules(rules, defaults, ())), **more)


def retrying(intervals: Intervals, *rules: NewRule, **more: Any) -> Retrying:
    return Retrying(intervals, *rules, **more).at(T)  # type: ignore[return-value]


def declined(j: Retrying, *outcomes: Outcome, method: str | None = None, name: str = "INV") -> Retrying:
    """An item that is collected, and retried as it is planned, with these outcomes."""
    j.owe(method or j.card_a, name).collect()
    for place, outcome in enumerate(outcomes):
        j.answered(outcome)
        if place + 1 < len(outcomes):
            j.wait()
    return j


# -- as it was


def soft() -> Retrying:
    return declined(retrying(fixed(6, "HOURS", 3)), *[NO_FUNDS] * 4)


def recovered() -> Retrying:
    return declined(retrying(Intervals("STAGGERED", "DAYS", (1, 5, 10))), NO_FUNDS, NO_FUNDS, SUCCESS)


def stolen() -> Retrying:
    j = retrying(fixed(3, "MINUTES", 5), alternate=True)
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    return declined(j, STOLEN, NO_FUNDS)


def redefined() -> Retrying:
    """The rules change in the middle: what began under the first version ends under it."""
    j = declined(retrying(fixed(6, "HOURS", 3)), NO_FUNDS)
    j.when(DefineRetryRules("set", intervals=fixed(1, "DAYS", 1))).then_accepted()
    j.wait()
    j.answered(NO_FUNDS)
    return declined(j, NO_FUNDS, SUCCESS, name="I2")


def by_people() -> Retrying:
    j = declined(retrying(fixed(1, "HOURS", 2)), NO_FUNDS)
    item = (j.schedule_id, j.item_id)
    j.when(SkipItemRetry(*item, "holidays")).then_accepted()
    j.run_processes()
    j.wait()
    j.answered(NO_FUNDS)
    j.when(ExtendItemRetries(*item, 1, "a good customer")).then_accepted()
    j.when(RetryItemNow(*item, "he called")).then_accepted()
    j.answered(NO_FUNDS)
    j.when(StopItemRetries(*item, "he is bankrupt")).then_accepted()
    j.when(RetryItemNow(*item, "he is not")).then_accepted()
    return j.answered(SUCCESS)


def held() -> Retrying:
    j = declined(retrying(fixed(1, "HOURS", 2)), NO_FUNDS)
    j.when(PlacePaymentHold("he moves")).then_accepted()
    j.at(T + HOUR).run_due()
    j.at(T + DAY)
    j.when(ReleasePaymentHold()).then_accepted()
    j.run_processes()
    return j.answered(SUCCESS)


def rearmed() -> Retrying:
    j = declined(retrying(fixed(1, "HOURS", 1)), NO_FUNDS, NO_FUNDS)
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    j.run_processes()
    j.run_due()
    return j.answered(SUCCESS)


def switched_off() -> Retrying:
    j = declined(retrying(fixed(1, "HOURS", 2)), NO_FUNDS)
    j.when(ChangeTenantSettings({"retry_failed_payments": False})).then_accepted()
    j.at(T + HOUR).run_due()
    return j


def taken_back() -> Retrying:
    j = declined(retrying(fixed(2, "DAYS", 2)), NO_FUNDS, SUCCESS)
    payment = j.item.payment_id or ""
    j.at(T + 9 * DAY)
    j.when(RecordPaymentReturn(payment, "R01", "NOTIFICATION", j.time, category="CardLimit")).then_accepted()
    j.run_processes()
    j.wait()
    return j.answered(SUCCESS)


MASTERCARD = SavePaymentMethod("gw", "tok_m", "card", network="Mastercard", fingerprint="fp-m")


def one_card() -> Retrying:
    """Two items of one card, of which its network allows two refusals a month: the first one has to wait."""
    j = retrying(fixed(1, "HOURS", 3), card_network_caps=("mastercard 2/30d",))
    j.when(MASTERCARD).then_accepted()
    card = j.last_id(SavedMethod)
    declined(j, NO_FUNDS, method=card)
    first = j.schedule_id, j.item_id
    declined(j, NO_FUNDS, method=card, name="I2")
    j.at(T + HOUR).run_due()
    j.run_processes()
    j.schedule_id, j.item_id = first
    j.wait()
    return j.answered(SUCCESS)


@pytest.mark.parametrize(
    "history",
    [soft, recovered, stolen, redefined, by_people, held, rearmed, switched_off, taken_back, one_card],
    ids=lambda history: history.__name__,
)
def test_the_policy_that_was_in_force_decides_again_exactly_what_was_recorded(history: Any) -> None:
    j = history()
    told = replayed(j)
    decisions = {event.command_id for event in j.events() if event.topic.startswith(DECISIONS)}
    assert (told.unlike, told.diverged, told.decided) == ([], 0, len(decisions))
    assert told.simulated.told() == told.history.told()
    assert told.history.by_currency["USD"].failed.count > 0


DECISIONS = (
    "payment_schedule.item_retry_scheduled.", "payment_schedule.item_retries_exhausted.",
    "dunning.noticed.", "collection.failed.",
)  # fmt: skip


def test_a_decision_that_was_another_is_named() -> None:
    """The replay notices: what was planned an hour late in the log is decided otherwise."""
    j = soft()
    events = j.events()
    spoilt = [
        event._replace(data=event.data.replace(b"2026-03-02T15:00:00", b"2026-03-02T16:00:00"))
        if event.topic.startswith("payment_schedule.item_retry_scheduled")
        else event
        for event in events
    ]
    j.events = lambda: spoilt  # type: ignore[method-assign]
    assert replayed(j).unlike == [f"{j.schedule_id}/{j.item_id}"]


def test_what_was_recorded_before_groups_were_told_is_decided_again_too() -> None:
    j = retrying(fixed(6, "HOURS", 1))
    j.when(SetCollectionPreferences("vip")).then_accepted()
    declined(j, NO_FUNDS, NO_FUNDS)
    events = [_before_groups(event) for event in j.events()]
    assert sum(event.topic.startswith(GROUPS_TOLD) for event in events) == 2
    j.events = lambda: events  # type: ignore[method-assign]
    assert replayed(j).unlike == []


GROUPS_TOLD = ("dunning.noticed.", "collection.failed.")


def _before_groups(event: Recorded) -> Recorded:
    if not event.topic.startswith(GROUPS_TOLD):
        return event
    told = orjson.loads(event.data)
    assert told.pop("account_group") == "vip"
    return event._replace(topic=event.topic.replace(".v2", ".v1"), data=orjson.dumps(told))


# -- otherwise


def test_more_patience_would_have_met_the_money_that_came_later() -> None:
    """History found the money on the tenth day; two attempts in two days would not have."""
    j = recovered()
    hasty = replayed(j, policy(fixed(1, "DAYS", 2)))
    usd = hasty.simulated.by_currency["USD"]
    assert (hasty.diverged, usd.attempts, usd.recovered.count, usd.given_up.count) == (1, 2, 0, 1)
    assert usd.undecided.count == 0
    patient = replayed(j, policy(fixed(7, "DAYS", 3)))
    usd = patient.simulated.by_currency["USD"]
    assert (usd.recovered.count, usd.recovered.amount_minor, usd.attempts) == (1, 10_000, 1)
    assert usd.seconds_to_recovery == [7 * 86_400]


def test_nobody_knows_what_attempts_after_the_last_recorded_one_would_have_met() -> None:
    longer = replayed(soft(), policy(fixed(2, "DAYS", 4)))
    usd = longer.simulated.by_currency["USD"]
    assert (usd.attempts, usd.recovered.count, usd.given_up.count, usd.undecided.count) == (4, 0, 1, 1)


def test_rules_that_leave_networks_out_of_account_are_told_what_they_break() -> None:
    j = retrying(fixed(1, "DAYS", 1))
    j.when(SavePaymentMethod("gw", "tok_m", "card", network="Mastercard")).then_accepted()
    declined(j, NO_FUNDS, NO_FUNDS, method=j.last_id(SavedMethod))
    often = policy(fixed(1, "HOURS", 10), keeps_caps=False)
    broken = replayed(j, often).simulated.cap_breaches
    kept = replayed(j, policy(fixed(1, "HOURS", 10))).simulated
    assert (broken, kept.cap_breaches, kept.moved_by_caps) == (1, 0, 1)


def test_what_another_policy_tries_with_a_card_counts_for_its_other_items() -> None:
    """Ten in a day is what Mastercard allows: two items of one card share them, whatever each has planned."""
    j = retrying(fixed(2, "DAYS", 1))
    j.when(MASTERCARD).then_accepted()
    card = j.last_id(SavedMethod)
    declined(j, NO_FUNDS, method=card)
    declined(j, NO_FUNDS, NO_FUNDS, method=card, name="I2")
    j.run_due()
    hourly = fixed(1, "HOURS", 9)
    free = replayed(j, policy(hourly, keeps_caps=False)).simulated
    kept = replayed(j, policy(hourly)).simulated
    assert (free.by_currency["USD"].attempts, kept.by_currency["USD"].attempts) == (18, 18)
    assert free.cap_breaches == 10, "of twenty attempts in ten hours"
    assert (kept.cap_breaches, kept.moved_by_caps > 0) == (0, True)


def test_breaches_are_counted_over_the_accounts_that_share_a_card() -> None:
    """Neither account alone tries it more often than ten times a day."""
    whole = Replayed()
    for account in ("A", "B"):
        j = retrying(fixed(2, "DAYS", 1))
        j.account = account
        j.when(RegisterAccount("Bob")) if account == "B" else None
        j.when(MASTERCARD).then_accepted()
        declined(j, NO_FUNDS, NO_FUNDS, method=j.last_id(SavedMethod))
        told = replayed(j, policy(fixed(1, "HOURS", 7), keeps_caps=False), account)
        assert told.simulated.cap_breaches == 0
        whole.add(told)
    assert whole.simulated.cap_breaches == 6
