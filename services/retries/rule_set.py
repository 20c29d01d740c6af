"""Rule sets: when failed collections are tried again, and how often.

Invariant: a tenant has one default at most, and it is active; a version of a set never
changes, so what began under it ends under it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from events.retry import (
    DefaultRetryRuleSetChanged,
    RetriesOfGroupDecided,
    RetryDefinition,
    RetryRulesDefined,
    RetryRuleSetActivated,
    RetryRuleSetCreated,
    RetryRuleSetDeactivated,
    RetryRuleSetEvent,
    RetryRuleSetsEvent,
)
from services.decision import Context, Need


@dataclass(slots=True)
class RetryRuleSet:
    KIND: ClassVar[str] = "retryset"

    version: int = 0
    status: str = ""
    """Empty, DRAFT, ACTIVE."""
    name: str = ""
    definitions: dict[int, RetryDefinition] = field(default_factory=dict[int, RetryDefinition])
    """Each version of what it says: running cycles may keep to any."""

    @property
    def open(self) -> bool:
        return False

    @property
    def latest(self) -> int:
        return len(self.definitions)

    @property
    def definition(self) -> RetryDefinition:
        return self.definitions[self.latest]


@dataclass(slots=True)
class RetryRuleSets:
    """Which of a tenant's sets is the default."""

    KIND: ClassVar[str] = "retrysets"

    version: int = 0
    default_id: str | None = None
    groups: dict[str, RetriesOfGroupDecided] = field(default_factory=dict[str, RetriesOfGroupDecided])
    """Account groups that are retried in a way of their own."""

    @property
    def open(self) -> bool:
        return False

    def of(self, account_group: str | None) -> str | None:
        """The set by which a group's cycles begin."""
        group = self.groups.get(account_group or "")
        return (group and group.rule_set_id) or self.default_id

    def retried(self, account_group: str | None, by_setting: bool) -> bool:
        group = self.groups.get(account_group or "")
        return by_setting if group is None or group.retried is None else group.retried


def evolve(rule_set: RetryRuleSet, event: RetryRuleSetEvent) -> None:
    match event:
        case RetryRuleSetCreated():
            rule_set.status, rule_set.name = "DRAFT", event.name
            rule_set.definitions[1] = event.definition
        case RetryRulesDefined():
            rule_set.definitions[event.definition_version] = event.definition
        case RetryRuleSetActivated():
            rule_set.status = "ACTIVE"
        case RetryRuleSetDeactivated():
            rule_set.status = "DRAFT"


def evolve_sets(sets: RetryRuleSets, event: RetryRuleSetsEvent) -> None:
    match event:
        case DefaultRetryRuleSetChanged():
            sets.default_id = event.rule_set_id
        case RetriesOfGroupDecided(retried=None, rule_set_id=None):
            sets.groups.pop(event.account_group, None)
        case RetriesOfGroupDecided():
            sets.groups[event.account_group] = event


def sets_needed(context: Context) -> Need:
    """Which set is the tenant's default, as any decision may need to know."""
    return Need(RetryRuleSets, context.tenant)
