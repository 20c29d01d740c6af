"""An account's cards in what might have been: with what would have been tried in the place of what was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from events import ids
from events.log import Recorded
from events.mapper import decode
from events.money import Money
from events.schedule import PaymentScheduleItemPaymentFailed
from events.shapes import Outcome
from services.accounts import card
from services.accounts.card import Advice, Card, Tried
from services.accounts.payment_method import SavedMethod
from services.decision import States
from services.retries.folding import Streams


class Cards:
    def __init__(self, tenant: str, streams: Streams, states: States) -> None:
        self._tenant, self._streams, self._states = tenant, streams, states
        self._made: dict[str, dict[str, Tried]] = defaultdict(dict)
        self._advised: dict[str, dict[str, Advice]] = defaultdict(dict)
        self._unmade = set[str]()

    @property
    def differ(self) -> bool:
        return bool(self._made or self._unmade)

    def key(self, method_id: str) -> str:
        """The card that a method is; the method, where nobody knows."""
        return self._id(method_id) or method_id

    def refused(self, failed: PaymentScheduleItemPaymentFailed, amount: Money) -> None:
        """An attempt that was not recorded: it counts, and what its refusal advises holds."""
        if card_id := self._id(failed.method_id):
            id, at = failed.payment_id, failed.failed_at
            attempt = card.attempt_of(self._states.get(SavedMethod, failed.method_id), id, amount)
            self._made[card_id][id] = Tried(amount, at)
            for said in card.advice_in(attempt, _outcome(failed), at):
                self._advised[card_id][id] = card.advice_of(said)
            self.put([failed.method_id])

    def unmake(self, payment_id: str) -> None:
        """An attempt that was recorded, and would not have been made."""
        self._unmade.add(payment_id)

    def put(self, method_ids: Iterable[str]) -> None:
        """Have the cards of these methods be as they would be."""
        for card_id in filter(None, map(self._id, method_ids)) if self.differ else ():
            recorded = self._states.get(Card, card_id)
            kept = {id: tried for id, tried in recorded.tries.items() if id not in self._unmade}
            tries = sorted({**kept, **self._made[card_id]}.items(), key=lambda each: each[1].at)
            advice = {id: said for id, said in recorded.advice.items() if id not in self._unmade}
            stream = ids.stream(self._tenant, Card.KIND, card_id)
            self._streams[stream] = Card(recorded.version, dict(tries), advice | self._advised[card_id])

    def _id(self, method_id: str) -> str | None:
        return card.id_of(self._states.get(SavedMethod, method_id), self._tenant)


def _outcome(failed: PaymentScheduleItemPaymentFailed) -> Outcome:
    return Outcome(
        failed.result_code,
        failed.category,
        failed.hard,
        failed.never_retry,
        failed.raw_code,
        retry_after_seconds=failed.retry_after_seconds,
        network_advice=failed.network_advice,
    )


def cards_of(tenant: str, events: Iterable[Recorded]) -> list[str]:
    """The cards that an account has ever saved, by its events."""
    methods = Streams()
    for event in events:
        if ids.parts(event.stream)[1] == SavedMethod.KIND:
            methods.fold(event.stream, decode(event.topic, event.data))
    return sorted(set(filter(None, (card.id_of(method, tenant) for method in methods.values()))))
