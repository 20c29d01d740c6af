"""A card as its network sees it: one, whichever accounts have saved it, and how often it was refused.

Invariant: what is begun with a card that was refused the same amount of late counts from then on, until its
outcome is known; so two workers, or two accounts, never both take the last attempt that is left.  What its
network advises on trying it again, to wait or never to, holds for whatever it is asked for, until it is
charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

from events import ids
from events.card import (
    CardAdviceLifted,
    CardAdvised,
    CardAttempt,
    CardAttemptBegun,
    CardAttemptCleared,
    CardEvent,
    CardRefused,
)
from events.money import Money
from events.shapes import Method, Outcome
from gateways import codes
from services.accounts.payment_method import SavedMethod
from services.decision import Change, Context, Need, Needs, States, Subject

KEPT_DAYS = 999
"""No cap looks back further."""
KEPT_MAX = 2_000
"""So many attempts with a card are remembered."""


class Tried(NamedTuple):
    amount: Money
    at: datetime


class Advice(NamedTuple):
    """When a card may be tried again, as its network or its gateway says."""

    not_before: datetime | None
    """None: never."""
    network_advice: str | None = None


@dataclass(slots=True)
class Card:
    KIND: ClassVar[str] = "card"

    version: int = 0
    tries: dict[str, Tried] = field(default_factory=dict[str, Tried])
    """What counts, by payment or authorization: refused, or begun after a refusal and not known yet."""
    advice: dict[str, Advice] = field(default_factory=dict[str, Advice])
    """What was advised since it was last charged, by payment or authorization."""

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
        case CardAdvised():
            _advise(card, event)
        case CardAdviceLifted():
            card.advice.clear()


def _advise(card: Card, event: CardAdvised) -> None:
    """What the new advice covers is forgotten."""
    for id, advice in list(card.advice.items()):
        if event.not_before is None or (advice.not_before and advice.not_before <= event.not_before):
            del card.advice[id]
    card.advice[event.attempt.id] = advice_of(event)


def advice_of(event: CardAdvised) -> Advice:
    return Advice(event.not_before, event.network_advice)


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


def advised(states: States, method: SavedMethod, context: Context) -> Advice | None:
    """What holds now of what was advised about a method's card: never to try it, or the longest wait."""
    card_id = id_of(method, context.tenant)
    if card_id is None:
        return None
    told = states.get(Card, card_id).advice.values()
    if (never := next((advice for advice in told if advice.not_before is None), None)) is not None:
        return never
    waits = ((advice.not_before, advice) for advice in told if advice.not_before)
    until, longest = max(waits, key=lambda wait: wait[0], default=(context.now, None))
    return longest if context.now < until else None


def begun(
    states: States, method: SavedMethod, attempt_id: str, amount: Money, context: Context
) -> list[Change]:
    """An attempt is about to be made: it counts at once where the card was refused this amount before."""
    if not tried_with(states, method, amount, context):
        return []
    return [_change(method, CardAttemptBegun(attempt_of(method, attempt_id, amount), context.now), context)]


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
        attempt = attempt_of(method, attempt_id, amount)
        refused = CardRefused(attempt, context.now, outcome.raw_code)
        return [
            _change(method, fact, context) for fact in (refused, *advice_in(attempt, outcome, context.now))
        ]
    known, facts = states.get(Card, card_id), list[CardEvent]()
    if attempt_id in known.tries:
        facts.append(CardAttemptCleared(attempt_id))
    if known.advice:
        facts.append(CardAdviceLifted(attempt_id))
    return [_change(method, fact, context) for fact in facts]


def advice_in(attempt: CardAttempt, outcome: Outcome, at: datetime) -> list[CardAdvised]:
    """What a refusal says of the card; of one payment alone it says nothing else."""
    seconds = outcome.retry_after_seconds
    of_this_alone = codes.is_of_one_payment(outcome.raw_code)
    if of_this_alone or (seconds is None and not outcome.never_retry):
        return []
    until = None if outcome.never_retry else at + timedelta(seconds=seconds or 0)
    return [CardAdvised(attempt, at, until, outcome.network_advice, outcome.raw_code)]


def attempt_of(method: SavedMethod, id: str, amount: Money) -> CardAttempt:
    assert method.network
    return CardAttempt(id, method.account_id, method.method_id, method.network, amount)


def _change(method: SavedMethod, fact: CardEvent, context: Context) -> Change:
    card_id = id_of(method, context.tenant)
    assert card_id
    return Change(Card, card_id, fact, account_id=ids.tenant_home(Card.KIND, card_id))


SUBJECT = Subject(Card, evolve)
