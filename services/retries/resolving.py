"""Which rule a failure meets: the one that names most of it, in Salesforce's order.

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


About = tuple[str, str | None, str | None]
"""A category, and the gateway and the code that a rule names besides."""


def levels(
    category: str, gateway_id: str | None, raw_code: str | None
) -> tuple[tuple[int, About | None, str], ...]:
    """What the rule of each level would be about, and in words; None where the failure names too little."""
    code = (raw_code or "").strip().lower() or None
    asked: tuple[About, ...] = (
        (category, gateway_id, code),
        (category, gateway_id, None),
        (category, None, code),
        (category, None, None),
    )
    needs = (bool(code and gateway_id), bool(gateway_id), bool(code), True)
    words = ("category, gateway and code", "category and gateway", "category and code", "category")
    return tuple(
        (level, about if has else None, " / ".join(filter(None, about)) if has else said)
        for level, (about, has, said) in enumerate(zip(asked, needs, words, strict=True), 1)
    )


def by_about(definition: RetryDefinition) -> dict[About, RetryRule]:
    """Its rules, each by what it is about."""
    return {(rule.category, rule.gateway_id, rule.raw_code): rule for rule in definition.rules}


def resolve(
    definition: RetryDefinition, category: str, gateway_id: str | None, raw_code: str | None
) -> Resolved:
    """The most specific rule that is about this failure, or the set's defaults."""
    rules = by_about(definition)
    for level, about, words in levels(category, gateway_id, raw_code):
        if about in rules:
            rule = rules[about]
            return Resolved(rule, level, rule.intervals, f"rule {rule.number} is about {words}")
    return Resolved(None, DEFAULTS, definition.intervals, f"no rule is about {category}: the set's intervals")
