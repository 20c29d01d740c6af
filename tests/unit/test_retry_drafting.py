"""Rule sets that are only asked about: the same as the command would make, refused for the same reasons."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.errors import Rejected
from services.retries.defining import CreateRetryRuleSet
from services.retries.drafting import drafted
from services.retries.making import Intervals, NewRule, Window
from services.retries.rule_set import RetryRuleSet
from tests.journey import Journey

PATIENT: dict[str, Any] = {
    "name": "Patient",
    "intervals": {"type": "STAGGERED", "unit": "DAYS", "values": [1, 5, 10]},
    "use_alternate_method": True,
    "rules": [
        {"category": "CardLimit", "gateway_id": "gw", "values": [2, 4]},
        {"category": "CardLimit", "raw_code": "Insufficient_Funds", "max": 1},
    ],
    "window": {"from_hour": 8, "to_hour": 20, "skip_weekends": True},
}


def asked(rule_set: Any, **more: Any) -> bytes:
    return orjson.dumps({"rule_set": rule_set, **more})


def test_a_draft_says_what_the_rule_set_would_that_the_command_makes() -> None:
    j = Journey()
    rules = (
        NewRule("CardLimit", "gw", values=(2, 4)),
        NewRule("CardLimit", raw_code="Insufficient_Funds", max=1),
    )
    intervals, window = Intervals("STAGGERED", "DAYS", (1, 5, 10)), Window(None, 8, 20, skip_weekends=True)
    j.when(CreateRetryRuleSet("Patient", intervals, "set", None, True, rules, window)).then_accepted()
    made = j.state(RetryRuleSet, "set").definition
    policy = drafted(asked(PATIENT)).policy("FIRST_FAILURE")
    mine = policy.definition
    assert (mine.intervals, mine.window, mine.use_alternate_method) == (made.intervals, made.window, True)
    assert [(rule.raw_code, rule.intervals, rule.own) for rule in mine.rules] == [
        (rule.raw_code, rule.intervals, rule.own) for rule in made.rules
    ]
    assert [rule.number for rule in mine.rules] == ["draft-1", "draft-2"]
    assert (policy.stagger_basis, policy.hard_decline_policy, policy.keeps_caps) == (None, None, True)


def test_what_is_asked_besides_stands_for_the_settings() -> None:
    more = {"stagger_basis": "PREVIOUS_ATTEMPT", "hard_decline_policy": "FAIL", "network_caps": "IGNORE"}
    falling = {**PATIENT, "intervals": {"type": "STAGGERED", "unit": "DAYS", "values": [9, 1]}, "rules": []}
    policy = drafted(asked(falling, **more)).policy("FIRST_FAILURE")
    assert (policy.stagger_basis, policy.hard_decline_policy) == ("PREVIOUS_ATTEMPT", "FAIL")
    assert (policy.definition.intervals.values, policy.keeps_caps) == ((9, 1), False)


def changed(*path: Any, to: Any) -> dict[str, Any]:
    whole = orjson.loads(orjson.dumps(PATIENT))
    into = whole
    for part in path[:-1]:
        into = into[part]
    into[path[-1]] = to
    return whole


@pytest.mark.parametrize(
    ("rule_set", "code", "field"),
    [
        ([], "MALFORMED_REQUEST", "rule_set"),
        ({**PATIENT, "colour": "red"}, "UNKNOWN_FIELD", "rule_set.colour"),
        (changed("rules", 1, "category", to="Cards"), "MALFORMED_REQUEST", "rule_set.rules.1.category"),
        (changed("intervals", "values", to=["1"]), "MALFORMED_REQUEST", "rule_set.intervals.values.0"),
        (changed("intervals", "values", to=[1, 61]), "RETRY_INTERVAL_INVALID", "rule_set.intervals.values"),
        (changed("intervals", "values", to=[5, 1]), "STAGGER_NOT_ASCENDING", "rule_set.intervals.values"),
        (changed("rules", 1, "max", to=11), "RETRY_MAX_INVALID", "rule_set.rules.1.max"),
        (changed("rules", 1, to=PATIENT["rules"][0]), "RETRY_RULE_DUPLICATE", "rule_set.rules.1"),
        (changed("window", "to_hour", to=7), "RETRY_INTERVAL_INVALID", "rule_set.window.to_hour"),
        (changed("window", "time_zone", to="Moon/Base"), "MALFORMED_REQUEST", "rule_set.window.time_zone"),
    ],
)
def test_a_bad_one_is_refused_and_the_field_is_named(rule_set: Any, code: str, field: str) -> None:
    with pytest.raises(Rejected) as refused:
        drafted(asked(rule_set)).policy("FIRST_FAILURE")
    assert (refused.value.code, refused.value.field) == (code, field)
