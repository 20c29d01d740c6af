"""The states that decide about a failure, as they stood at each command of an account."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from events import ids
from events.log import Recorded
from events.mapper import decode
from services.accounts import account, card, payment_method
from services.accounts.account import Account
from services.accounts.card import Card
from services.accounts.payment_method import SavedMethod
from services.calls import gateway
from services.calls.gateway import Gateway
from services.decision import Evolve
from services.invoices import invoice
from services.invoices.invoice import Invoice
from services.retries import rule_set
from services.retries.rule_set import RetryRuleSet, RetryRuleSets
from services.schedules import schedule
from services.schedules.schedule import PaymentSchedule
from services.tenants import tenant_settings
from services.tenants.tenant_settings import TenantSettings

FOLDED: Mapping[type[Any], Evolve] = {
    Account: account.evolve,
    SavedMethod: payment_method.evolve,
    Card: card.evolve,
    Gateway: gateway.evolve,
    Invoice: invoice.evolve,
    PaymentSchedule: schedule.evolve,
    TenantSettings: tenant_settings.evolve,
    RetryRuleSet: rule_set.evolve,
    RetryRuleSets: rule_set.evolve_sets,
}

KINDS: Mapping[str, type[Any]] = {cast("Any", state).KIND: state for state in FOLDED}


class Streams(dict[str, Any]):
    """States by stream; one that nothing happened to is fresh."""

    def __missing__(self, stream: str) -> Any:
        _, kind, _ = ids.parts(stream)
        state = self[stream] = KINDS[kind]()
        return state

    def fold(self, stream: str, fact: Any) -> Any:
        state = self[stream]
        FOLDED[type(state)](state, fact)
        state.version += 1
        return state


class References:
    """Streams of the tenant, in the versions that decisions have rested on: workers may be behind the log."""

    def __init__(self, events: Iterable[Recorded]) -> None:
        self._events: dict[str, list[Recorded]] = defaultdict(list)
        for event in events:
            self._events[event.stream].append(event)
        self._positions = {
            stream: [event.position for event in events] for stream, events in self._events.items()
        }
        self._states = Streams()

    def at(self, position: int, versions: Mapping[str, int]) -> Mapping[str, Any]:
        """Each stream in the version that is named, or else as the log had it before `position`."""
        for stream, positions in self._positions.items():
            self._bring(stream, versions.get(stream, bisect_left(positions, position)))
        return self._states

    def _bring(self, stream: str, version: int) -> None:
        if self._states[stream].version == version:
            return
        if self._states[stream].version > version:
            del self._states[stream]
        for event in self._events[stream][self._states[stream].version : version]:
            self._states.fold(stream, decode(event.topic, event.data))
