"""What would have been: an account's recorded declines, retried by another policy than they were.

Invariant: what is decided here is decided by the code that decides there (`failing`), on the states as they
stood then; so the policy that was in force decides again exactly what was recorded.

An item is followed as it was recorded for as long as both policies plan the same attempt.  From then on it
is tried as the other one plans it, under these assumptions:
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson

from events import ids
from events.log import Recorded
from events.mapper import decode
from events.money import Money
from events.retry import RetryDefinition
from events.retrying import (
    CollectionFailed,
    CollectionRecovered,
    DunningNoticed,
    ItemRetriesExhausted,
    ItemRetriesExtended,
    ItemRetriesStopped,
    ItemRetryPostponed,
    ItemRetryScheduled,
    ItemRetrySkipped,
    OfCollection,
    RetryingEvent,
)
from events.schedule import (
    PaymentScheduleItemApplied,
    PaymentScheduleItemApplyFailed,
    PaymentScheduleItemCanceled,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemOutcomeUnknown,
    PaymentScheduleItemPaymentFailed,
    PaymentScheduleItemProcessed,
)
from services.accounts.card import Card
from services.accounts.payment_method import SavedMethod
from services.calls.gateway import Gateway
from services.commands import Actor
from services.decision import Change, Context, Draft, States
from services.retries import failing, wallet
from services.retries.cards import Cards
from services.retries.failing import Following
from services.retries.folding import KINDS, References, Streams
from services.retries.rule_set import RetryRuleSet, RetryRuleSets
from services.retries.tally import Seen, Tally
from services.schedules import schedule as schedules
from services.schedules.schedule import PaymentSchedule
from services.tenants.tenant_settings import TenantSettings

ASSUMPTIONS = (
    "What succeeded at some time would have succeeded at any later time, with any method that is usable.",
    "What failed would have failed the same way at any time until the next attempt that was recorded.",
    "Nothing is known after the last attempt that was recorded: later ones fail, and what is given up then "
    "is told as undecided.",
    "What a person had collected would have come all the same; retries have not recovered it.",
    "What people skipped, stopped or extended, and what holds, locks and silent gateways postponed, counts "
    "for as long as both policies plan the same.",
    "What other accounts have tried with the same card counts as it was recorded.",
)
WHAT_IF = "what-if"
NOBODY = UUID(int=0)

REFERENCES = frozenset({TenantSettings.KIND, RetryRuleSet.KIND, RetryRuleSets.KIND, Gateway.KIND, Card.KIND})
"""Kinds of streams that decisions about an account's failures rest on, and that are not the account's."""

_Attempted = (
    PaymentScheduleItemClaimed
    | PaymentScheduleItemOutcomeUnknown
    | PaymentScheduleItemPaymentFailed
    | PaymentScheduleItemProcessed
    | PaymentScheduleItemApplied
    | PaymentScheduleItemApplyFailed
)
_Decided = ItemRetryScheduled | ItemRetriesExhausted | DunningNoticed | CollectionFailed


@dataclass(frozen=True)
class Policy:
    """What is tried instead of what was in force.  None: as the tenant's settings were."""

    definition: RetryDefinition
    stagger_basis: str | None = None
    hard_decline_policy: str | None = None
    keeps_caps: bool = True
    """Without, the rules alone decide, and what breaks a network's cap is counted."""

    @property
    def settings(self) -> dict[str, Any]:
        given = {"stagger_basis": self.stagger_basis, "hard_decline_policy": self.hard_decline_policy}
        kept = {name: value for name, value in given.items() if value is not None}
        return {
            "retry_failed_payments": True,
            **kept,
            **({} if self.keeps_caps else {"card_network_caps": ()}),
        }


@dataclass
class _Track:
    """One item, as it is tried by the other policy."""

    followed: bool = True
    """Both policies have planned the same so far."""
    refused: PaymentScheduleItemPaymentFailed | None = None
    """How it was refused the last time, as recorded."""
    succeeded: bool = False
    last_tried_at: datetime | None = None
    """When it was tried the last time, as recorded."""
    given_up_at: datetime | None = None
    """By the other policy, if it was."""
    amount: Money | None = None


@dataclass
class Replayed:
    history: Tally = field(default_factory=Tally)
    simulated: Tally = field(default_factory=Tally)
    decided: int = 0
    """Decisions that were made anew."""
    unlike: list[str] = field(default_factory=list[str])
    """The first items that fared differently, `{schedule}/{item}`."""
    diverged: int = 0

    def add(self, other: Replayed) -> None:
        self.history.add(other.history)
        self.simulated.add(other.simulated)
        self.decided, self.diverged = self.decided + other.decided, self.diverged + other.diverged
        self.unlike = [*self.unlike, *other.unlike][:UNLIKE_MAX]


UNLIKE_MAX = 20


class Replay:
    """One account's events, and those of `REFERENCES` that they rest on, by position.

    `policy` None: as it was.
    """

    def __init__(
        self, tenant: str, account_id: str, references: Sequence[Recorded], policy: Policy | None
    ) -> None:
        self._tenant, self._account_id, self._policy = tenant, account_id, policy
        self._streams, self._documents = Streams(), dict[str, None]()
        self._references = References(references)
        self._states = States(
            tenant, self._streams, {f"{tenant}/{account_id}": {SavedMethod.KIND: self._documents}}
        )
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._cards = Cards(tenant, self._streams, self._states)
        self.replayed = Replayed()

    def run(self, events: Iterable[Recorded]) -> Replayed:
        for _, group in groupby(events, lambda event: event.command_id):
            self._command(list(group))
        self._attempts(None)
        for track in self._tracks.values():
            since, last = track.given_up_at, track.last_tried_at
            if not track.followed and track.amount and since and last and since > last:
                self.replayed.simulated.undecided(track.amount)
        return self.replayed

    def _command(self, group: Sequence[Recorded]) -> None:
        self._attempts(group[0].occurred_at)
        self._refer(group)
        facts = [
            (ids.parts(event.stream), decode(event.topic, event.data), event)
            for event in group
            if ids.parts(event.stream)[1] in KINDS
        ]
        just_now = [
            Change(SavedMethod, id, fact) for (_, kind, id), fact, _ in facts if kind == SavedMethod.KIND
        ]
        for (_, id), of_schedule in groupby(
            [each for each in facts if each[0][1] == PaymentSchedule.KIND], lambda each: each[0][1:]
        ):
            self._schedule(id, [fact for _, fact, _ in of_schedule], just_now, group[0])
        for (_, kind, id), fact, event in facts:
            if kind not in (PaymentSchedule.KIND, *REFERENCES):
                self._fold(event.stream, fact)
            if kind == SavedMethod.KIND:
                (self._open if self._streams[event.stream].open else self._close)(id)

    def _open(self, method_id: str) -> None:
        self._documents[method_id] = None

    def _close(self, method_id: str) -> None:
        self._documents.pop(method_id, None)

    def _fold(self, stream: str, fact: Any) -> None:
        self._streams.fold(stream, fact)

    def _refer(self, group: Sequence[Recorded]) -> None:
        """The tenant's streams in the versions that the command's decision rests on."""
        named: dict[str, int] = orjson.loads(group[0].meta).get("references") or {}
        versions = {f"{self._tenant}/{name}": version for name, version in named.items()}
        self._streams |= self._references.at(group[0].position, versions)
        if self._policy is not None:
            self._put_policy(self._policy)
            self._cards.put(self._documents)

    def _put_policy(self, policy: Policy) -> None:
        mine = RetryRuleSet(1, "ACTIVE", WHAT_IF, {1: policy.definition})
        self._streams[ids.stream(self._tenant, RetryRuleSet.KIND, WHAT_IF)] = mine
        self._streams[ids.stream(self._tenant, RetryRuleSets.KIND, self._tenant)] = RetryRuleSets(1, WHAT_IF)
        settings = ids.stream(self._tenant, TenantSettings.KIND, self._tenant)
        as_it_was: TenantSettings = self._streams[settings]
        self._streams[settings] = TenantSettings(as_it_was.version, {**as_it_was.values, **policy.settings})

    # -- what was recorded of a schedule

    def _schedule(self, id: str, facts: Sequence[Any], just_now: Sequence[Change], cause: Recorded) -> None:
        items = {fact.item_id for fact in facts if isinstance(fact, _Attempted | RetryingEvent)}
        for fact in facts:
            if not isinstance(fact, _Attempted | RetryingEvent):
                self._fold(ids.stream(self._tenant, PaymentSchedule.KIND, id), fact)
                if isinstance(fact, PaymentScheduleItemCanceled):
                    self._track(id, fact.item_id).given_up_at = None
        for item_id in sorted(items):
            mine = [f for f in facts if isinstance(f, _Attempted | RetryingEvent) and f.item_id == item_id]
            self._item(id, item_id, mine, just_now, cause)

    def _item(
        self, id: str, item_id: str, facts: Sequence[Any], just_now: Sequence[Change], cause: Recorded
    ) -> None:
        track, item = self._track(id, item_id), self._schedules(id).items[item_id]
        self.replayed.history.take(facts, self._seen, cause.occurred_at)
        self._wait_for_network(id, item_id, track, facts, cause.occurred_at)
        before, due = item.retry, item.retry.due_at
        for fact in facts:
            self._observe(track, fact, cause.occurred_at)
            returned = isinstance(fact, PaymentScheduleItemPaymentFailed) and fact.taken_back is not None
            track.followed = track.followed or (returned and item.retry.ended == "RECOVERED")
            if track.followed and not isinstance(fact, _Decided):
                self._apply(id, fact)
        if not track.followed:
            self._by_hand(id, item_id, track, facts, cause.occurred_at)
            return
        self.replayed.simulated.take(
            [f for f in facts if not isinstance(f, _Decided)], self._seen, cause.occurred_at
        )
        recorded = [fact for fact in facts if isinstance(fact, _Decided)]
        if not recorded:
            return
        draft = Draft(self._states, {PaymentSchedule: schedules.evolve})
        self._decide(
            draft, id, item_id, facts, just_now, cause, due or (before.planned and before.planned.at)
        )
        decided = [change.fact for change in draft.changes if isinstance(change, Change)]
        self.replayed.decided += 1
        same = _same(decided, recorded) if self._policy is None else _plan(decided) == _plan(recorded)
        for fact in decided:
            self._apply(id, fact)
        self.replayed.simulated.take(decided, self._seen, cause.occurred_at)
        if not same:
            self._diverge(id, item_id, track)
            self._note_end(track, decided, cause.occurred_at)

    def _decide(
        self,
        draft: Draft,
        id: str,
        item_id: str,
        facts: Sequence[Any],
        just_now: Sequence[Change],
        cause: Recorded,
        due: datetime | None,
    ) -> None:
        """Anew what was decided then: by the same code, for the same reason."""
        context = self._context(cause.occurred_at)
        following = Following(draft, self._states, id, item_id, context)
        kinds: dict[type[Any], Any] = {type(fact): fact for fact in facts}
        scheduled: ItemRetryScheduled | None = kinds.get(ItemRetryScheduled)
        if PaymentScheduleItemPaymentFailed in kinds:
            failing.after_failure(draft, self._states, id, item_id, just_now, context)
        elif ItemRetriesStopped in kinds:
            following.give_up("STOPPED")
        elif ItemRetrySkipped in kinds:
            following.carry_on(counted_from=due)
        elif ItemRetriesExtended in kinds:
            following.carry_on(cause="EXTENDED")
        elif scheduled and scheduled.cause == "REARMED" and (pinned := following.pinned()):
            following.plan_rearmed(scheduled.method_id, pinned)
        else:
            planned = following.item.retry.planned
            following.carry_on(cause=planned.cause if planned else "AUTOMATIC")

    def _observe(self, track: _Track, fact: Any, at: datetime) -> None:
        match fact:
            case PaymentScheduleItemClaimed():
                track.last_tried_at, track.amount = at, fact.amount
                if not track.followed:
                    self._cards.unmake(fact.payment_id)
            case PaymentScheduleItemPaymentFailed():
                track.refused, track.succeeded = fact, False
            case PaymentScheduleItemProcessed():
                track.succeeded = True
            case _:
                pass

    def _by_hand(self, id: str, item_id: str, track: _Track, facts: Sequence[Any], at: datetime) -> None:
        """What a person collected would have been collected all the same."""
        for fact in facts:
            if isinstance(fact, CollectionRecovered) and fact.tried is None:
                item = self._schedules(id).items[item_id]
                if item.retry.ended not in ("RECOVERED", "CANCELED"):
                    processed = [f for f in facts if isinstance(f, PaymentScheduleItemProcessed)]
                    self._apply(id, processed[0])
                    track.given_up_at = None
                    self.replayed.simulated.take([fact], self._seen, at)

    # -- what would have been tried

    def _attempts(self, before: datetime | None) -> None:
        """Every attempt that the other policy has planned before an instant, in order."""
        while due := min(self._planned(before), default=None):
            _, id, item_id = due
            self._attempt(id, item_id)

    def _planned(self, before: datetime | None) -> Iterator[tuple[datetime, str, str]]:
        for (id, item_id), track in self._tracks.items():
            if not track.followed:
                at = self._schedules(id).items[item_id].retry.due_at
                if at and (before is None or at <= before):
                    yield at, id, item_id

    def _attempt(self, id: str, item_id: str) -> None:
        track, schedule = self._track(id, item_id), self._schedules(id)
        item = schedule.items[item_id]
        planned = item.retry.planned
        assert planned
        amount, at = Money(item.requested, schedule.currency), item.retry.due_at or planned.at
        if postponed := self._postponed(id, item_id, at):
            self._take(id, [postponed], at)
            return
        method = self._states.get(SavedMethod, planned.method_id)
        if wallet.barred(self._states, method, self._context(at)):
            draft = Draft(self._states, {PaymentSchedule: schedules.evolve})
            Following(draft, self._states, id, item_id, self._context(at)).carry_on(cause=planned.cause)
            self._take(id, _facts(draft), at)
            self._note_end(track, _facts(draft), at)
            return
        gateway_id = method.gateway_id
        payment_id = f"{WHAT_IF}:{item_id}:{item.attempts + 1}"
        claimed = PaymentScheduleItemClaimed(
            item_id, payment_id, item.attempts + 1, amount, planned.method_id, gateway_id, "RETRY"
        )
        track.amount = amount
        self._take(id, [claimed], at)
        if track.succeeded:
            before = item.retry
            processed = PaymentScheduleItemProcessed(item_id, payment_id, amount, False)
            draft = Draft(self._states, {PaymentSchedule: schedules.evolve})
            draft.record(PaymentSchedule, id, processed)
            failing.after_success(draft, self._states, id, item_id, before, False, self._context(at))
            self._take(id, _facts(draft), at)
            return
        assert track.refused
        refused = track.refused
        failed = PaymentScheduleItemPaymentFailed(
            item_id, payment_id, claimed.attempt_no, refused.result_code, refused.category, refused.raw_code,
            refused.hard, refused.never_retry, planned.method_id, gateway_id, at,
            retry_after_seconds=refused.retry_after_seconds, network_advice=refused.network_advice,
        )  # fmt: skip
        self._cards.refused(failed, amount)
        draft = Draft(self._states, {PaymentSchedule: schedules.evolve})
        draft.record(PaymentSchedule, id, failed)
        failing.after_failure(draft, self._states, id, item_id, (), self._context(at))
        self._take(id, _facts(draft), at)
        self._note_end(track, _facts(draft), at)

    def _wait_for_network(
        self, id: str, item_id: str, track: _Track, facts: Sequence[Any], at: datetime
    ) -> None:
        """A retry that was made, and would have had to wait: its card was tried otherwise meanwhile."""
        if not track.followed or not self._cards.differ:
            return
        if not any(isinstance(fact, PaymentScheduleItemClaimed) and fact.cause == "RETRY" for fact in facts):
            return
        if postponed := self._postponed(id, item_id, at):
            self._diverge(id, item_id, track)
            self._take(id, [postponed], at)

    def _postponed(self, id: str, item_id: str, at: datetime) -> ItemRetryPostponed | None:
        """Of what is due: that it must wait for its card's network, now that other things were tried."""
        planned = self._schedules(id).items[item_id].retry.planned
        draft = Draft(self._states, {PaymentSchedule: schedules.evolve})
        until = Following(draft, self._states, id, item_id, self._context(at)).network_allows_at()
        if planned is None or until is None:
            return None
        return ItemRetryPostponed(item_id, planned.attempt, *until)

    def _diverge(self, id: str, item_id: str, track: _Track) -> None:
        track.followed = False
        self.replayed.diverged += 1
        self.replayed.unlike = [*self.replayed.unlike, f"{id}/{item_id}"][:UNLIKE_MAX]

    def _take(self, id: str, facts: Sequence[Any], at: datetime) -> None:
        for fact in facts:
            self._apply(id, fact)
        self.replayed.simulated.take(facts, self._seen, at)

    def _note_end(self, track: _Track, facts: Sequence[Any], at: datetime) -> None:
        if any(isinstance(fact, CollectionFailed) for fact in facts):
            track.given_up_at = at

    # -- helpers

    def _apply(self, id: str, fact: Any) -> None:
        self._fold(ids.stream(self._tenant, PaymentSchedule.KIND, id), fact)

    def _schedules(self, id: str) -> PaymentSchedule:
        return self._states.get(PaymentSchedule, id)

    def _track(self, id: str, item_id: str) -> _Track:
        return self._tracks.setdefault((id, item_id), _Track())

    def _seen(self, method_id: str) -> Seen:
        return Seen(self._cards.key(method_id), self._states.get(SavedMethod, method_id).network)

    def _context(self, now: datetime) -> Context:
        return Context(self._tenant, self._account_id, NOBODY, now, Actor("PROCESS", WHAT_IF, ()), _no_number)


def _no_number(prefix: str) -> str:
    raise AssertionError(f"what follows a failure needs no number {prefix}")


def _facts(draft: Draft) -> list[Any]:
    return [change.fact for change in draft.changes if isinstance(change, Change)]


def _same(decided: Sequence[Any], recorded: Sequence[Any]) -> bool:
    """Fact by fact; what was recorded before accounts' groups were told tells none."""
    if any(isinstance(fact, OfCollection) and fact.account_group is None for fact in recorded):
        decided = [replace(f, account_group=None) if isinstance(f, OfCollection) else f for f in decided]
    return list(decided) == list(recorded)


def _plan(decided: Sequence[Any]) -> tuple[datetime, str] | None:
    """What is done because of it: when, and with which method; None: no more."""
    for fact in decided:
        if isinstance(fact, ItemRetryScheduled):
            return fact.at, fact.method_id
    return None
