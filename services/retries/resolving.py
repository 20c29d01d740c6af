"""Which rule a failure meets: the one that names most of it (domain 2.13).

Level 1: category, gateway and code.  2: category and gateway.  3: category and code.  4: category.
5: none; the set's own intervals.
"""

from __future__ import annotations

from typing import NamedTuple

from events.retry import RetryDefinition, RetryIntervals, RetryRule

DEFAULTS = 5


class Resolved(NamedTuple):
    rule: RetryRule | None
    level: int
    intervals: RetryIntervals
    why: str

    @property
    def names_the_code(self) -> bool:
        return self.rule is not None and self.rule.raw_code is not None


def resolve(
    definition: RetryDefinition, category: str, gateway_id: str | None, raw_code: str | None
) -> Resolved:
    """The most specific rule that is about this failure, or the set's defaults."""
    code = (raw_code or "").strip().lower() or None
    rules = {(rule.category, rule.gateway_id, rule.raw_code): rule for rule in definition.rules}
    levels = (
        (code and gateway_id, (category, gateway_id, code), f"{category} / {gateway_id} / {code}"),
        (gateway_id, (category, gateway_id, None), f"{category} / {gateway_id}"),
        (code, (category, None, code), f"{category} / {code}"),
        (category, (category, None, None), category),
    )
    for level, (named, about, words) in enumerate(levels, 1):
        if named and about in rules:
            rule = rules[about]
            return Resolved(rule, level, rule.intervals, f"rule {rule.number} is about {words}")
    return Resolved(None, DEFAULTS, definition.intervals, f"no rule is about {category}: the set's intervals")
