"""The rule set of a tenant that asks for what is recommended, and has none."""

from __future__ import annotations

from events.retry import (
    DefaultRetryRuleSetChanged,
    RetryRuleSetActivated,
    RetryRuleSetCreated,
)
from services.decision import Change, Context, Need, Needs, States
from services.retries.making import Intervals, Making, NewRule
from services.retries.rule_set import RetryRuleSet, RetryRuleSets, sets_needed

ID = "recommended"
RULES = (
    NewRule("CardLimit", type="STAGGERED", unit="DAYS", values=(1, 3, 5, 7, 14)),
    NewRule("GatewayConnection", type="STAGGERED", unit="HOURS", values=(1, 4, 12, 24, 48)),
)
"""No funds today may be funds after pay day; a line that is down is up again soon.  For the rest: the set's
own intervals, 1, 3, 7 and 14 days, and the alternate method on the last attempt."""
INTERVALS = Intervals("STAGGERED", "DAYS", (1, 3, 7, 14))


def needed(context: Context) -> Needs:
    yield sets_needed(context)
    yield Need(RetryRuleSet, ID)


def adopted(states: States, context: Context) -> list[Change]:
    """The recommended set, active and the default; nothing where there is a default."""
    if states.get(RetryRuleSets, context.tenant).default_id is not None:
        return []
    rule_set = states.get(RetryRuleSet, ID)
    changes: list[Change] = []
    if not rule_set.status:
        definition = Making(context.number, "FIRST_FAILURE").definition(INTERVALS, RULES, True, None)
        created = RetryRuleSetCreated(ID, "Recommended", definition, "What suits most tenants")
        changes.append(Change(RetryRuleSet, ID, created))
    if rule_set.status != "ACTIVE":
        changes.append(Change(RetryRuleSet, ID, RetryRuleSetActivated()))
    return [*changes, Change(RetryRuleSets, context.tenant, DefaultRetryRuleSetChanged(ID, None, "PRESET"))]
