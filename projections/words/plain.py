"""What all words share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from events.shapes import Method

Words = Callable[[Any], str]


def plain(value: Any) -> str:
    """`REFUND_ORCHESTRATION`, or `CardLimit`, as a person writes it."""
    return _WORD_BEGINS.sub(" ", str(value)).replace("_", " ").lower()


_WORD_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def because(reason: str | None) -> str:
    """Behind a sentence, where there is a reason."""
    return f": {reason}" if reason else ""


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def failed(what: str) -> Words:
    def words(fact: Any) -> str:
        said = " ".join(filter(None, (fact.raw_code, fact.raw_message and f"({fact.raw_message})")))
        hard = "; trying again is of no use" if fact.hard else ""
        return f"{what} failed: {plain(fact.category)}{f', the gateway said {said}' if said else ''}{hard}"

    return words


def unknown(what: str) -> Words:
    return lambda fact: (
        f"No answer about the {what} ({plain(fact.reason)}): nothing is sent again, the gateway is asked "
        f"at {fact.next_query_at:%H:%M:%S}"
    )


def described(fact: Any) -> str:
    """Custom fields, all of them."""
    told = ", ".join(f"{name} {value}" for name, value in sorted(fact.custom_fields.items()))
    return f"Custom fields: {told or 'none any more'}"


def instrument(method: Method) -> str:
    return f"{method.network or method.type} {method.last4 or ''}".strip()


def told_later(fact: object) -> str:
    return "The gateway has it, and will tell later"


def held_for_review(fact: Any) -> str:
    return f"The gateway wants a person to look at it{because(fact.reason)}"


def customer_acts(fact: Any) -> str:
    return f"The customer must act first: {fact.action.type if fact.action else 'at his bank'}"
