"""Retry rule sets: what may be defined, versions that never change, one default, and what needs one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from events.retry import (
    DefaultRetryRuleSetChanged,
    RetryDefinition,
    RetryIntervals,
    RetryRule,
    RetryRulesDefined,
    RetryRuleSetActivated,
    RetryRuleSetCreated,
    RetryRuleSetDeactivated,
    RetryWindow,
)
from services.retries import recommended
from services.retries.defining import (
    ActivateRetryRuleSet,
    CreateRetryRuleSet,
    DeactivateRetryRuleSet,
    DefineRetryRules,
    SetDefaultRetryRuleSet,
)
from services.retries.making import Intervals, NewRule, Window
from services.retries.rule_set import RetryRuleSet, RetryRuleSets
from services.tenants.tenant_settings import ApplySettingsPreset, ChangeTenantSettings, TenantSettings
from tests.spec import Spec

SIX_HOURS = Intervals("FIXED", "HOURS", (6,), 3)
CREATE = CreateRetryRuleSet("Standard", SIX_HOURS, "std")
MADE = RetryIntervals("FIXED", "HOURS", (6,), 3, 3)


def created(**changes: Any) -> Spec:
    return Spec().when(replace(CREATE, **changes)).then_accepted()


def default(spec: Spec, id: str = "std") -> Spec:
    spec.when(ActivateRetryRuleSet(id)).then_accepted()
    return spec.when(SetDefaultRetryRuleSet(id)).then_accepted()


def test_a_rule_set_is_a_draft_first() -> None:
    fact = RetryRuleSetCreated("std", "Standard", RetryDefinition(MADE, False, ()))
    spec = Spec().when(CREATE).then((RetryRuleSet, "std", fact))
    assert spec.state(RetryRuleSet, "std").status == "DRAFT"
    spec.when(replace(CREATE, name="Other")).then_rejected("RULE_SET_EXISTS")


def test_what_a_rule_leaves_out_is_the_sets() -> None:
    """The rules of the worked example, one of each kind."""
    rules = (
        NewRule("CardLimit", "Stripe3P", " Insufficient_Funds ", "STAGGERED", "DAYS", (1, 3, 5)),
        NewRule("CardLimit", "Stripe3P", type="FIXED", unit="HOURS", values=(12,), max=2),
        NewRule("CardLimit", raw_code="29", unit="DAYS", values=(1,), max=4),
        NewRule("CardLimit", values=(2,)),
    )
    spec = created(intervals=Intervals("FIXED", "MINUTES", (3,), 5), rules=rules)
    held = spec.state(RetryRuleSet, "std").definition.rules
    assert held == (
        RetryRule(
            "PRR-000001", "CardLimit", "Stripe3P", "insufficient_funds",
            RetryIntervals("STAGGERED", "DAYS", (1, 3, 5), 5, 3), ("type", "unit", "values"),
        ),
        RetryRule(
            "PRR-000002", "CardLimit", "Stripe3P", None,
            RetryIntervals("FIXED", "HOURS", (12,), 2, 2), ("type", "unit", "values", "max"),
        ),
        RetryRule(
            "PRR-000003", "CardLimit", None, "29",
            RetryIntervals("FIXED", "DAYS", (1,), 4, 4), ("unit", "values", "max"),
        ),
        RetryRule(
            "PRR-000004", "CardLimit", None, None, RetryIntervals("FIXED", "MINUTES", (2,), 5, 5), ("values",)
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("intervals", "code"),
    [
        (Intervals("FIXED", "DAYS", (0,), 1), "RETRY_INTERVAL_INVALID"),
        (Intervals("FIXED", "DAYS", (61,), 1), "RETRY_INTERVAL_INVALID"),
        (Intervals("FIXED", "DAYS", (-1,), 1), "RETRY_INTERVAL_INVALID"),
        (Intervals("FIXED", "DAYS", (), 1), "RETRY_INTERVAL_INVALID"),
        (Intervals("FIXED", "DAYS", (1, 2), 1), "RETRY_INTERVAL_INVALID"),
        (Intervals("FIXED", "DAYS", (1,)), "RETRY_MAX_INVALID"),
        (Intervals("FIXED", "DAYS", (1,), 0), "RETRY_MAX_INVALID"),
        (Intervals("FIXED", "DAYS", (1,), 11), "RETRY_MAX_INVALID"),
        (Intervals("STAGGERED", "DAYS", ()), "RETRY_INTERVAL_INVALID"),
        (Intervals("STAGGERED", "DAYS", (1, 3, 3)), "STAGGER_NOT_ASCENDING"),
        (Intervals("STAGGERED", "DAYS", (3, 1)), "STAGGER_NOT_ASCENDING"),
        (Intervals("STAGGERED", "DAYS", (1, 61)), "RETRY_INTERVAL_INVALID"),
        (Intervals("STAGGERED", "DAYS", tuple(range(1, 12))), "RETRY_INTERVAL_INVALID"),
        (Intervals("STAGGERED", "DAYS", (1, 3), 11), "RETRY_MAX_INVALID"),
    ],
)
def test_intervals_that_cannot_be(intervals: Intervals, code: str) -> None:
    spec = Spec().when(replace(CREATE, intervals=intervals)).then_rejected(code)
    assert spec.outcome["field"].startswith("data.intervals.")
    spec.when(CREATE).then_accepted()
    whole = {name: getattr(intervals, name) for name in ("type", "unit", "values")}
    rule = NewRule("CardLimit", **whole, max=intervals.max)
    if intervals.max is not None or intervals.type == "STAGGERED":  # else the set's own max is inherited
        spec.when(DefineRetryRules("std", (rule,))).then_rejected(code)
        assert spec.outcome["field"].startswith("data.rules.0.")


@pytest.mark.parametrize(
    "intervals",
    [Intervals("FIXED", "DAYS", (60,), 10), Intervals("FIXED", "MINUTES", (1,), 1),
     Intervals("STAGGERED", "HOURS", tuple(range(51, 61)))],
)  # fmt: skip
def test_intervals_that_just_can_be(intervals: Intervals) -> None:
    created(intervals=intervals)


def test_values_from_one_attempt_to_the_next_need_not_ascend() -> None:
    spec = Spec().when(ChangeTenantSettings({"stagger_basis": "PREVIOUS_ATTEMPT"})).then_accepted()
    spec.when(replace(CREATE, intervals=Intervals("STAGGERED", "DAYS", (5, 3, 1)))).then_accepted()


def test_a_fixed_rule_in_a_staggered_set_needs_one_value_and_a_max() -> None:
    spec = created(intervals=Intervals("STAGGERED", "DAYS", (1, 3)))
    spec.when(DefineRetryRules("std", (NewRule("Security", type="FIXED"),)))
    spec.then_rejected("RETRY_INTERVAL_INVALID")
    spec.when(DefineRetryRules("std", (NewRule("Security", type="FIXED", values=(1,)),)))
    spec.then_rejected("RETRY_MAX_INVALID")


def test_two_rules_about_the_same_failures() -> None:
    twice = (NewRule("CardLimit", raw_code="A"), NewRule("CardLimit", raw_code="a ", max=2))
    Spec().when(replace(CREATE, rules=twice)).then_rejected("RETRY_RULE_DUPLICATE")


def test_every_definition_is_a_version_of_its_own() -> None:
    spec = created(rules=(NewRule("CardLimit", max=2), NewRule("Security", max=1)))
    first = spec.state(RetryRuleSet, "std").definition
    added = (NewRule("CardLimit", max=4), NewRule("Unknown"))
    spec.when(DefineRetryRules("std", added, add=True)).then_types(RetryRulesDefined)
    rule_set = spec.state(RetryRuleSet, "std")
    held = {rule.category: (rule.number, rule.intervals.attempts) for rule in rule_set.definition.rules}
    assert held == {
        "CardLimit": ("PRR-000001", 4),
        "Security": ("PRR-000002", 1),
        "Unknown": ("PRR-000003", 3),
    }
    assert rule_set.definitions[1] == first, "what began under version 1 ends under it"
    spec.when(DefineRetryRules("std", ())).then_types(RetryRulesDefined)
    assert spec.state(RetryRuleSet, "std").definition.rules == ()
    spec.when(DefineRetryRules("std", ())).then_nothing()


def test_rules_follow_the_sets_intervals_where_they_have_none() -> None:
    spec = created(rules=(NewRule("CardLimit", max=2),))
    change = DefineRetryRules("std", intervals=Intervals("FIXED", "DAYS", (1,), 5), use_alternate_method=True)
    spec.when(change).then_types(RetryRulesDefined)
    definition = spec.state(RetryRuleSet, "std").definition
    assert definition.rules[0].intervals == RetryIntervals("FIXED", "DAYS", (1,), 2, 2)
    assert definition.use_alternate_method


def test_a_window_has_hours_of_a_zone() -> None:
    office = Window("Europe/Berlin", 9, 17, skip_weekends=True)
    assert created(window=office).state(RetryRuleSet, "std").definition.window == RetryWindow(
        "Europe/Berlin", 9, 17, True
    )
    Spec().when(replace(CREATE, window=Window("UTC", 9, 9))).then_rejected("RETRY_INTERVAL_INVALID")
    Spec().when(replace(CREATE, window=Window("Mars/Olympus"))).then_rejected("MALFORMED_REQUEST")
    Spec().when(replace(CREATE, window=Window(skip_holidays=True, calendar="XX"))).then_rejected(
        "MALFORMED_REQUEST"
    )
    Spec().when(replace(CREATE, window=Window(calendar="DE"))).then_rejected("RETRY_INTERVAL_INVALID")


def test_one_default_takes_the_place_of_the_other() -> None:
    spec = default(created())
    spec.when(replace(CREATE, rule_set_id="new")).then_accepted()
    spec.when(SetDefaultRetryRuleSet("new")).then_rejected("INVALID_STATE", allowed=["ACTIVE"])
    spec.when(ActivateRetryRuleSet("new")).then((RetryRuleSet, "new", RetryRuleSetActivated()))
    change = DefaultRetryRuleSetChanged("new", "std", "ASKED")
    spec.when(SetDefaultRetryRuleSet("new")).then((RetryRuleSets, "t", change))
    spec.when(SetDefaultRetryRuleSet("new")).then_nothing()
    spec.when(ActivateRetryRuleSet("new")).then_nothing()


def test_retries_need_an_active_default() -> None:
    on, off = (ChangeTenantSettings({"retry_failed_payments": wanted}) for wanted in (True, False))
    spec = created().when(on).then_rejected("DEFAULT_RULE_SET_REQUIRED")
    default(spec).when(on).then_accepted()
    spec.when(DeactivateRetryRuleSet("std")).then_rejected("DEFAULT_RULE_SET_REQUIRED")
    spec.when(off).then_accepted()
    spec.when(DeactivateRetryRuleSet("std", "old")).then(
        (RetryRuleSet, "std", RetryRuleSetDeactivated("old")),
        (RetryRuleSets, "t", DefaultRetryRuleSetChanged(None, "std", "DEACTIVATED")),
    )
    spec.when(DeactivateRetryRuleSet("std")).then_nothing()
    spec.when(on).then_rejected("DEFAULT_RULE_SET_REQUIRED")


@pytest.mark.parametrize(
    "command",
    [
        ActivateRetryRuleSet("no"),
        DeactivateRetryRuleSet("no"),
        SetDefaultRetryRuleSet("no"),
        DefineRetryRules("no"),
    ],
)
def test_a_set_that_is_not_there(command: object) -> None:
    Spec().when(command).then_rejected("RULE_SET_NOT_FOUND")


def test_what_is_recommended_brings_a_rule_set_and_the_retries() -> None:
    spec = Spec().when(ApplySettingsPreset("recommended")).then_accepted()
    assert spec.state(RetryRuleSets, "t").default_id == recommended.ID
    rule_set = spec.state(RetryRuleSet, recommended.ID)
    assert rule_set.status == "ACTIVE"
    assert [rule.category for rule in rule_set.definition.rules] == ["CardLimit", "GatewayConnection"]
    assert spec.state(TenantSettings, "t")["retry_failed_payments"]
    spec.when(ApplySettingsPreset("recommended")).then_nothing()


def test_who_has_a_default_keeps_it() -> None:
    spec = default(created()).when(ApplySettingsPreset("recommended")).then_accepted()
    assert spec.state(TenantSettings, "t")["retry_failed_payments"]
    assert spec.state(RetryRuleSets, "t").default_id == "std"
    assert spec.state(RetryRuleSet, recommended.ID).status == ""


def test_the_recommended_set_comes_back_once_it_was_given_up() -> None:
    spec = Spec().when(ApplySettingsPreset("recommended")).then_accepted()
    spec.when(ApplySettingsPreset("bare")).then_accepted()
    spec.when(DeactivateRetryRuleSet(recommended.ID)).then_accepted()
    spec.when(ApplySettingsPreset("recommended")).then_accepted()
    assert spec.state(RetryRuleSet, recommended.ID).status == "ACTIVE"
    assert spec.state(RetryRuleSets, "t").default_id == recommended.ID
