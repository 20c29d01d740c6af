"""Facts in words: one sentence each, with its amounts; a module for each part of the language.

A fact without words of its own is told by its name and its fields.
"""

from __future__ import annotations

from typing import Any

from events.money import Money
from projections.words import accounts, collecting, gateways, holds, payments, payouts, receivables, refunds
from projections.words.plain import plain

_WORDS = {
    fact: words
    for part in (receivables, payments, holds, refunds, gateways, accounts, collecting, payouts)
    for fact, words in part.WORDS.items()
}


def sentence(fact: object) -> str:
    """One fact as a person would say it."""
    said = _WORDS.get(type(fact))
    return said(fact) if said else _by_fields(fact)


_TOLD = "number type status amount total processed_amount refund_target category raw_code".split()
_MORE = "reason reason_code cause operation invoice_id payment_id refund_id credit_memo_id".split()


def _by_fields(fact: Any) -> str:
    """Its name, and of its fields those that a person asks for first."""
    told = [
        _word(name, value) for name in (*_TOLD, *_MORE) if (value := getattr(fact, name, None)) is not None
    ]
    name = type(fact).__name__
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return f"{words.capitalize()}: {', '.join(told)}" if told else words.capitalize()


def _word(name: str, value: Any) -> str:
    if isinstance(value, Money):
        return str(value)
    if name.endswith("_id"):
        return f"{name.removesuffix('_id').replace('_', ' ')} {value}"
    return plain(value) if name in ("type", "status", "cause") else f"{value}"
