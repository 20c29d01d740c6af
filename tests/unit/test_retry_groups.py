"""Account groups are retried in a way of their own; accounts say where and when their payers are at home."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from events.retrying import CollectionFailed, ItemRetryScheduled
from events.shapes import Outcome
from projections.folding import Folder
from projections.models import TABLES
from projections.retries import performance
from services.accounts.account import Account
from services.accounts.preferences import SetCollectionPreferences
from services.retries import precedence
from services.retries.caps import AS_NETWORKS_COUNT
from services.retries.defining import (
    ActivateRetryRuleSet,
    CreateRetryRuleSet,
    DeactivateRetryRuleSet,
    DecideRetriesOfGroup,
)
from services.retries.making import Window
from services.retries.precedence import About
from services.retries.rule_set import RetryRuleSet, RetryRuleSets
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SUCCESS
from tests.retrying import NO_FUNDS, Retrying, at, fixed
from tests.unit.test_examples_retrying import RULES

T = at("03-06T09:00Z")  # a Friday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def retrying(**settings: Any) -> Retrying:
    """The tenant's set waits an hour, that of the group `vip` a day."""
    j = Retrying(fixed(1, "HOURS", 3), **settings)
    j.when(CreateRetryRuleSet("Gentle", fixed(1, "DAYS", 3), "gentle")).then_accepted()
    j.when(ActivateRetryRuleSet("gentle")).then_accepted()
    return j.at(T)  # type: ignore[return-value]


def of_group(j: Retrying, group: str = "vip") -> Retrying:
    j.when(SetCollectionPreferences(group)).then_accepted()
    return j


def failed(j: Retrying) -> Retrying:
    return j.owe(j.card_a).collect().answered(NO_FUNDS)


def test_a_group_has_a_rule_set_of_its_own_and_others_have_the_default() -> None:
    j = retrying()
    j.when(DecideRetriesOfGroup("vip", rule_set_id="gentle")).then_accepted()
    failed(j)
    assert j.of(ItemRetryScheduled)[-1].at == T + HOUR
    failed(of_group(j))
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.at, planned.rule.rule_set_id) == (T + DAY, "gentle")


def test_a_cycle_keeps_to_its_set_when_the_group_gets_another() -> None:
    j = failed(retrying())
    j.when(DecideRetriesOfGroup("vip", rule_set_id="gentle")).then_accepted()
    of_group(j).wait()
    j.answered(NO_FUNDS)
    assert j.of(ItemRetryScheduled)[-1].rule.rule_set_id == "set"


def test_a_group_is_not_retried_where_the_tenant_is() -> None:
    j = of_group(retrying())
    j.when(DecideRetriesOfGroup("vip", retried=False)).then_accepted()
    failed(j)
    assert [fact.reason for fact in j.of(CollectionFailed)] == ["RETRIES_OFF"]


def test_a_group_is_retried_where_the_tenant_is_not() -> None:
    j = retrying()
    j.when(ChangeTenantSettings({"retry_failed_payments": False})).then_accepted()
    j.when(DecideRetriesOfGroup("vip", retried=True)).then_accepted()
    failed(j)
    assert j.of(ItemRetryScheduled) == []
    failed(of_group(j))
    assert len(j.of(ItemRetryScheduled)) == 1


def test_a_group_has_no_way_of_its_own_any_more() -> None:
    j = of_group(retrying())
    j.when(DecideRetriesOfGroup("vip")).then_nothing()
    j.when(DecideRetriesOfGroup("vip", False)).then_accepted()
    j.when(DecideRetriesOfGroup("vip", False)).then_nothing()
    j.when(DecideRetriesOfGroup("vip")).then_accepted()
    assert j.state(RetryRuleSets, "t").groups == {}
    failed(j)
    assert len(j.of(ItemRetryScheduled)) == 1


def test_a_set_that_a_group_is_retried_by_stays_active() -> None:
    j = retrying()
    j.when(DecideRetriesOfGroup("vip", rule_set_id="gentle")).then_accepted()
    j.when(DeactivateRetryRuleSet("gentle")).then_rejected(
        "DEFAULT_RULE_SET_REQUIRED", account_groups=["vip"]
    )
    j.when(DecideRetriesOfGroup("vip", False, "gentle")).then_accepted()
    j.when(DeactivateRetryRuleSet("gentle")).then_accepted()
    j.when(DecideRetriesOfGroup("slow", rule_set_id="gentle")).then_rejected("INVALID_STATE")
    j.when(DecideRetriesOfGroup("slow", rule_set_id="none")).then_rejected("RULE_SET_NOT_FOUND")


def test_a_group_needs_a_set_to_be_retried_by() -> None:
    j = retrying()
    j.when(ChangeTenantSettings({"retry_failed_payments": False})).then_accepted()
    j.when(DeactivateRetryRuleSet("set")).then_accepted()
    j.when(DecideRetriesOfGroup("vip", True)).then_rejected("DEFAULT_RULE_SET_REQUIRED")
    j.when(DecideRetriesOfGroup("vip", True, "gentle")).then_accepted()


# -- where and when its payer is at home


def test_an_accounts_own_zone_and_calendar_say_when_it_is_tried() -> None:
    """Friday evening in Lisbon, and Good Friday, are no times to collect."""
    j = Retrying(fixed(1, "DAYS", 9), window=Window(None, 9, 17, skip_weekends=True, skip_holidays=True))
    j.when(SetCollectionPreferences(time_zone="America/New_York", calendar="US")).then_accepted()
    j.at(at("01-16T18:00Z"))
    failed(j)  # Friday; Monday is Martin Luther King's day
    assert j.of(ItemRetryScheduled)[-1].at == at("01-20T14:00Z")


def test_preferences_are_whole_and_known() -> None:
    j = Retrying(fixed(1, "DAYS", 9))
    everything = SetCollectionPreferences("retail", "Europe/Berlin", "DE", 25)
    j.when(everything).then_accepted()
    j.when(everything).then_nothing()
    j.when(SetCollectionPreferences(pay_day=1)).then_accepted()
    assert j.state(Account, "A").preferences.account_group is None
    j.when(SetCollectionPreferences(time_zone="Mars/Olympus")).then_rejected("MALFORMED_REQUEST")
    j.when(SetCollectionPreferences(calendar="XX")).then_rejected("MALFORMED_REQUEST")


# -- which rule, and why


def told(*about: str | None) -> tuple[Any, ...]:
    j = Retrying(fixed(3, "MINUTES", 5), *RULES)
    said = precedence.told(j.state(RetryRuleSet, "set").definition, About(*about))  # type: ignore[arg-type]
    assert [level["matched"] for level in said["levels"]].count(True) == 1
    assert [level["level"] for level in said["levels"]] == [1, 2, 3, 4, 5]
    return said["match_level"], said["rule_number"], [level["why"] for level in said["levels"]]


NO_RULE, USED, LATER = "the set has no such rule", "this one is used", "a rule that names more comes first"
UNNAMED, OWN = "the failure names no such thing", "the set's own intervals, for what no rule is about"


def test_which_rule_is_met_is_told_level_by_level() -> None:
    assert told("CardLimit", "Stripe3P", " Insufficient_Funds ") == (
        1, "PRR-000001", [USED, LATER, NO_RULE, LATER, OWN]
    )  # fmt: skip
    assert told("CardLimit", "Stripe3P", "29") == (2, "PRR-000002", [NO_RULE, USED, LATER, LATER, OWN])
    assert told("CardLimit", "Adyen", "29") == (3, "PRR-000003", [NO_RULE, NO_RULE, USED, LATER, OWN])
    assert told("CardLimit") == (4, "PRR-000004", [UNNAMED, UNNAMED, UNNAMED, USED, OWN])
    assert told("Security", "Adyen", "x") == (5, None, [NO_RULE] * 4 + [OWN])


def test_what_is_left_of_a_networks_caps_is_told() -> None:
    assert [cap["span_hours"] for cap in precedence.caps_told(AS_NETWORKS_COUNT)] == [720, 24, 720]
    past = [T - hours * HOUR for hours in range(10, 0, -1)]
    day, month = precedence.caps_left(AS_NETWORKS_COUNT, "Mastercard", past, T)
    assert (day["made"], day["left"], day["not_before"]) == (10, 0, T + 14 * HOUR)
    assert (month["made"], month["left"], month["not_before"]) == (10, 25, None)
    assert precedence.caps_left(AS_NETWORKS_COUNT, None, past, T) == []


def test_what_was_recovered_is_told_by_group() -> None:
    """Attempts, what came of them, and what was given up: under the group that the account was in then."""
    j = retrying()
    _collected(of_group(j), NO_FUNDS, SUCCESS)
    _collected(of_group(j, "retail"), NO_FUNDS, NO_FUNDS, NO_FUNDS, NO_FUNDS)
    rows = Folder(TABLES).from_zero(j.events())[performance].values()
    names = ("attempts", "recovered", "given_up")
    assert {(row["account_group"], row["attempt"]): tuple(row[name] for name in names) for row in rows} == {
        ("vip", 0): (1, 0, 0),
        ("vip", 1): (1, 1, 0),
        ("retail", 0): (1, 0, 0),
        ("retail", 1): (1, 0, 0),
        ("retail", 2): (1, 0, 0),
        ("retail", 3): (1, 0, 1),
        ("", 0): (0, 0, 0),
    }


def _collected(j: Retrying, *outcomes: Outcome) -> None:
    j.owe(j.card_a).collect()
    for place, outcome in enumerate(outcomes):
        j.answered(outcome)
        if place + 1 < len(outcomes):
            j.wait()
