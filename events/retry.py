"""What can happen to a retry rule set (`retryset-{id}`), and to the list of them (`retrysets-{tenant}`)."""

from __future__ import annotations

from typing import Any

from events.catalog import fact
from events.frozen import frozen


@frozen
class RetryIntervals:
    """How long after a failure the next attempt is, and how many there are in all."""

    type: str
    """FIXED: one value, the same after every failure.  STAGGERED: a value for each attempt."""
    unit: str
    """MINUTES, HOURS or DAYS."""
    values: tuple[int, ...]
    max: int | None
    """As it was given; staggered intervals need none."""
    attempts: int
    """How many attempts there are in effect: staggered ones end with their values."""

    def told(self) -> dict[str, Any]:
        """As read models and answers show them."""
        return {**vars(self), "values": list(self.values)}


@frozen
class RetryWindow:
    """When attempts may be made, in somebody's time; what falls outside waits for the next moment inside."""

    time_zone: str | None = None
    """IANA name; an interval in DAYS keeps the time of day there.  None: the account's, or the tenant's."""
    from_hour: int = 0
    to_hour: int = 24
    """Exclusive; always after `from_hour`."""
    skip_weekends: bool = False
    skip_holidays: bool = False
    calendar: str | None = None
    """Whose holidays: a country's, or a part's of one, or a market's.  None: the account's."""
    pay_day_within_days: int = 0
    """An attempt that is due at most so many days before the account's pay day waits for it."""


@frozen
class RetryRule:
    """For failures of one category; the more it names besides, the earlier it is asked."""

    number: str
    """Its number, within its set."""
    category: str
    """The failures that it is for."""
    gateway_id: str | None
    """Only of failures at this gateway."""
    raw_code: str | None
    """In lower case."""
    intervals: RetryIntervals
    """As they are in effect: what the rule leaves out is the set's."""
    own: tuple[str, ...]
    """Which of type, unit, values and max the rule itself gives."""


@frozen
class RetryDefinition:
    """All that a rule set says, in one version of it."""

    intervals: RetryIntervals
    """For failures that no rule is about."""
    use_alternate_method: bool
    rules: tuple[RetryRule, ...]
    window: RetryWindow | None = None


@fact("retry_rule_set.created.v1")
class RetryRuleSetCreated:
    """As a draft, in version 1."""

    rule_set_id: str
    name: str
    definition: RetryDefinition
    description: str | None = None


@fact("retry_rule_set.rules_defined.v1")
class RetryRulesDefined:
    """The next version; cycles that began under an earlier one keep to that."""

    definition_version: int
    definition: RetryDefinition


@fact("retry_rule_set.activated.v1")
class RetryRuleSetActivated:
    """Failed collections may be tried again by it."""


@fact("retry_rule_set.deactivated.v1")
class RetryRuleSetDeactivated:
    """A draft again: no new cycle begins under it."""

    reason: str | None = None


@fact("retry_rule_sets.default_changed.v1")
class DefaultRetryRuleSetChanged:
    """Which set new cycles begin under; there is one at most."""

    rule_set_id: str | None
    """The default from now on; nothing, where there is none."""
    previous: str | None
    """The default before it, if there was one."""
    cause: str
    """ASKED, PRESET or DEACTIVATED."""


@fact("retry_rule_sets.group_decided.v1")
class RetriesOfGroupDecided:
    """How failed collections of an account group are retried, from the next failure on."""

    account_group: str
    retried: bool | None
    """None: as the tenant's setting `retry_failed_payments` says."""
    rule_set_id: str | None
    """None: by the default."""


RetryRuleSetEvent = RetryRuleSetCreated | RetryRulesDefined | RetryRuleSetActivated | RetryRuleSetDeactivated
RetryRuleSetsEvent = DefaultRetryRuleSetChanged | RetriesOfGroupDecided
