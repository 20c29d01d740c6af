"""Which rule a failure meets, told level by level; and what a card's network allows, told in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.retry import RetryDefinition, RetryRule
from services.retries import caps
from services.retries.resolving import DEFAULTS, by_about, levels, resolve


@dataclass(frozen=True)
class About:
    """A failure, or one that may come."""

    category: str
    gateway_id: str | None = None
    raw_code: str | None = None


def told(definition: RetryDefinition, about: About) -> dict[str, Any]:
    """The rule that a failure meets, and why: each of the five levels, in the order of asking."""
    found = resolve(definition, about.category, about.gateway_id, about.raw_code)
    rules = by_about(definition)
    asked = [
        _level(number, key, words, rules.get(key) if key else None, number == found.level)
        for number, key, words in levels(about.category, about.gateway_id, about.raw_code)
    ]
    defaults = {
        "level": DEFAULTS,
        "about": "any failure",
        "rule_number": None,
        "matched": found.level == DEFAULTS,
        "why": "the set's own intervals, for what no rule is about",
    }
    return {
        **vars(about),
        "match_level": found.level,
        "rule_number": found.rule.number if found.rule else None,
        "intervals": found.intervals.told(),
        "own": list(found.rule.own) if found.rule else [],
        "use_alternate_method": definition.use_alternate_method,
        "levels": [*asked, defaults],
        "why": found.why,
    }


def _level(number: int, key: object, words: str, rule: RetryRule | None, matched: bool) -> dict[str, Any]:
    if key is None:
        why = "the failure names no such thing"
    elif rule is None:
        why = "the set has no such rule"
    else:
        why = "this one is used" if matched else "a rule that names more comes first"
    number_of_rule = rule.number if rule else None
    return {"level": number, "about": words, "rule_number": number_of_rule, "matched": matched, "why": why}


def caps_told(texts: Iterable[str]) -> list[dict[str, Any]]:
    """The tenant's caps, as they are in effect."""
    hour = timedelta(hours=1)
    return [
        {"network": cap.network, "attempts": cap.attempts, "span_hours": cap.span // hour, "words": str(cap)}
        for text in texts
        if (cap := caps.parsed(text))
    ]


def caps_left(
    texts: Iterable[str], network: str | None, past: Sequence[datetime], now: datetime
) -> list[dict[str, Any]]:
    """What is left of each cap that a card is under, for one amount; `past` are the attempts at it."""
    told: list[dict[str, Any]] = []
    for cap in caps.of_network(texts, network):
        made = sum(now - cap.span < at for at in past)
        allowed, moved = caps.earliest(now, past, [cap])
        told.append(
            {
                "words": str(cap),
                "made": made,
                "left": max(0, cap.attempts - made),
                "not_before": allowed if moved else None,
            }
        )
    return told
