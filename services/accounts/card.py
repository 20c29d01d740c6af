"""A card as its network sees it: one, whichever accounts have saved it, and how often it was refused.

Invariant: what is begun with a card that was refused the same amount of late counts from then on, until its
outcome is known; so two workers, or two accounts, never both take the last attempt that is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

from events import ids
from events.card import CardAttempt, CardAttemptBegun, CardAttemptCleared, CardEvent, CardRefused
from events.money import Money
from events.shapes import Method, Outcome
from services.accounts.payment_method import SavedMethod
from services.decision import Change, Context, Need, Needs, States, Subject

KEPT_DAYS = 999
"""No cap looks back further."""
KEPT_MAX = 2_000
"""So many attempts with a card are remembered."""


class Tried(NamedTuple):
    amount: Money
    at: datetime


@dataclass(slots=True)
class Card:
    KIND: ClassVar[str] = "card"

    version: int = 0
    tries: dict[str, Tried] = field(default_factory=dict[str, Tried])
    """What counts, by payment or authorization: refused, or begun after a refusal and not known yet."""

    @property
    def open(self) -> bool:
        return False

    def tried(self, amount: Money) -> Mapping[str, datetime]:
        """When this amount was tried, by attempt."""
        return {id: tried.at for id, tried in self.tries.items() if tried.amount == amount}


def evolve(card: Card, event: CardEvent) -> None:
    match event:
        case CardAttemptBegun():
            _count(card, event.attempt, event.begun_at)
        case CardRefused():
            _count(card, event.attempt, event.refused_at)
        case CardAttemptCleared():
            card.tries.pop(event.attempt_id, None)


def _count(card: Card, attempt: CardAttempt, at: datetime) -> None:
    card.tries.pop(attempt.id, None)
    card.tries[attempt.id] = Tried(attempt.amount, at)
    for id, tried in list(card.tries.items()):
        if len(card.tries) <= KEPT_MAX and at - tried.at <= timedelta(days=KEPT_DAYS):
            break
        del card.tries[id]


def id_of(method: SavedMethod, tenant: str) -> str | None:
    """The card that a method is; None where it is none, or nobody knows whose network it is of."""
    if method.type != "card" or not method.network or not method.fingerprint:
        return None
    return ids.card_id(tenant, method.merchant_account_id, method.fingerprint)


def needed(states: States, method_id: str | None, context: Context) -> Needs:
    """The card that a saved method is, once the method is here."""
    method = states.find(SavedMethod, method_id) if method_id else None
    card_id = id_of(method, context.tenant) if method else None
    if card_id:
        yield Need(Card, card_id)


def tried_with(
    states: States, method: SavedMethod, amount: Money, context: Context
) -> Mapping[str, datetime]:
    card_id = id_of(method, context.tenant)
    return states.get(Card, card_id).tried(amount) if card_id else {}


def begun(
    states: States, method: SavedMethod, attempt_id: str, amount: Money, context: Context
) -> list[Change]:
    """An attempt is about to be made: it counts at once where the card was refused this amount before."""
    if not tried_with(states, method, amount, context):
        return []
    return [_change(method, CardAttemptBegun(_attempt(method, attempt_id, amount), context.now), context)]


def after_outcome(
    states: States,
    used: Method | None,
    attempt_id: str,
    amount: Money,
    outcome: Outcome,
    succeeded: bool,
    context: Context,
) -> list[Change]:
    """What an outcome means for the card that was used, if one was that its network counts."""
    method = states.get(SavedMethod, used.method_id) if used and used.method_id else None
    card_id = id_of(method, context.tenant) if method else None
    if method is None or card_id is None:
        return []
    if not succeeded:
        refused = CardRefused(_attempt(method, attempt_id, amount), context.now, outcome.raw_code)
        return [_change(method, refused, context)]
    if attempt_id not in states.get(Card, card_id).tries:
        return []
    return [_change(method, CardAttemptCleared(attempt_id), context)]


def _attempt(method: SavedMethod, id: str, amount: Money) -> CardAttempt:
    assert method.network
    return CardAttempt(id, method.account_id, method.method_id, method.network, amount)


def _change(method: SavedMethod, fact: CardEvent, context: Context) -> Change:
    card_id = id_of(method, context.tenant)
    assert card_id
    return Change(Card, card_id, fact, account_id=ids.tenant_home(Card.KIND, card_id))


SUBJECT = Subject(Card, evolve)
