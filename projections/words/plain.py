"""What all words share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

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
