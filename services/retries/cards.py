"""An account's cards in what might have been: with what would have been tried in the place of what was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from events import ids
from events.log import Recorded
from events.mapper import decode
from events.money import Money
from services.accounts import card
from services.accounts.card import Card, Tried
from services.accounts.payment_method import SavedMethod
from services.decision import States
from services.retries.folding import Streams


class Cards:
    def __init__(self, tenant: str, streams: Streams, states: States) -> None:
        self._tenant, self._streams, self._states = tenant, streams, states
        self._made: dict[str, dict[str, Tried]] = defaultdict(dict)
        self._unmade = set[str]()

    @property
    def differ(self) -> bool:
        return bool(self._made or self._unmade)

    def key(self, method_id: str) -> str:
        """The card that a method is; the method, where nobody knows."""
        return self._id(method_id) or method_id

    def refused(self, method_id: str, payment_id: str, amount: Money, at: datetime) -> None:
        """An attempt that was not recorded."""
        if card_id := self._id(method_id):
            self._made[card_id][payment_id] = Tried(amount, at)
            self.put([method_id])

    def unmake(self, payment_id: str) -> None:
        """An attempt that was recorded, and would not have been made."""
        self._unmade.add(payment_id)

    def put(self, method_ids: Iterable[str]) -> None:
        """Have the cards of these methods be as they would be."""
        for card_id in filter(None, map(self._id, method_ids)) if self.differ else ():
            recorded = self._states.get(Card, card_id)
            kept = {id: tried for id, tried in recorded.tries.items() if id not in self._unmade}
            tries = sorted({**kept, **self._made[card_id]}.items(), key=lambda each: each[1].at)
            stream = ids.stream(self._tenant, Card.KIND, card_id)
            self._streams[stream] = Card(recorded.version, dict(tries))

    def _id(self, method_id: str) -> str | None:
        return card.id_of(self._states.get(SavedMethod, method_id), self._tenant)


def cards_of(tenant: str, events: Iterable[Recorded]) -> list[str]:
    """The cards that an account has ever saved, by its events."""
    methods = Streams()
    for event in events:
        if ids.parts(event.stream)[1] == SavedMethod.KIND:
            methods.fold(event.stream, decode(event.topic, event.data))
    return sorted(set(filter(None, (card.id_of(method, tenant) for method in methods.values()))))
