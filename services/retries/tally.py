"""What became of failed collections, counted: what was recovered and given up, when, and at what price."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from events.money import Money
from events.retrying import CollectionFailed, CollectionRecovered, ItemRetryPostponed, ItemRetryScheduled
from events.schedule import PaymentScheduleItemClaimed, PaymentScheduleItemPaymentFailed
from services.retries import caps

BY_CAP = "not before"
"""What a plan says that a network's cap has moved."""
POSTPONED_BY_CAP, POSTPONED_BY_ADVICE = "NETWORK_CAP", "NETWORK_ADVICE"
"""Why an attempt waits whose card was tried for something else meanwhile, as often as its network allows."""


@dataclass
class Sum:
    count: int = 0
    amount_minor: int = 0

    def add(self, amount_minor: int, count: int = 1) -> None:
        self.count, self.amount_minor = self.count + count, self.amount_minor + amount_minor


@dataclass
class Figures:
    """Of one currency."""

    failed: Sum = field(default_factory=Sum)
    """Cycles that began: first failures, and what banks took back."""
    recovered: Sum = field(default_factory=Sum)
    """By automatic retries."""
    by_hand: Sum = field(default_factory=Sum)
    given_up: Sum = field(default_factory=Sum)
    undecided: Sum = field(default_factory=Sum)
    """Of what was given up: where nobody knows how the last attempts would have fared."""
    attempts: int = 0
    """Automatic retries."""
    attempts_by_number: Counter[int] = field(default_factory=Counter[int])
    recovered_by_number: Counter[int] = field(default_factory=Counter[int])
    by_category: dict[str, dict[str, Sum]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Sum))
    )
    """Of first failures: what failed, and what of it was recovered by retries."""
    seconds_to_recovery: list[int] = field(default_factory=list[int])

    def add(self, other: Figures) -> None:
        for name in _SUMS:
            theirs: Sum = getattr(other, name)
            getattr(self, name).add(theirs.amount_minor, theirs.count)
        self.attempts += other.attempts
        self.attempts_by_number += other.attempts_by_number
        self.recovered_by_number += other.recovered_by_number
        self.seconds_to_recovery += other.seconds_to_recovery
        for category, sums in other.by_category.items():
            for name, part in sums.items():
                self.by_category[category][name].add(part.amount_minor, part.count)

    def told(self) -> dict[str, Any]:
        seconds = sorted(self.seconds_to_recovery)
        return {
            **{name: _told(getattr(self, name)) for name in _SUMS},
            "recovery_rate_basis_points": _rate(self.recovered, self.failed),
            "attempts": self.attempts,
            "by_attempt": [
                {"attempt": number, "attempts": made, "recovered": self.recovered_by_number[number]}
                for number, made in sorted(self.attempts_by_number.items())
            ],
            "by_category": [
                {
                    "category": category,
                    **{name: _told(sums[name]) for name in ("failed", "recovered")},
                    "recovery_rate_basis_points": _rate(sums["recovered"], sums["failed"]),
                }
                for category, sums in sorted(self.by_category.items())
            ],
            "seconds_to_recovery": {
                "median": _quantile(seconds, 50),
                "nine_of_ten": _quantile(seconds, 90),
                "longest": _quantile(seconds, 100),
            },
        }


_SUMS = ("failed", "recovered", "by_hand", "given_up", "undecided")


def _told(sum: Sum) -> dict[str, int]:
    return {"count": sum.count, "amount_minor": sum.amount_minor}


def _rate(part: Sum, whole: Sum) -> int | None:
    return part.amount_minor * 10_000 // whole.amount_minor if whole.amount_minor else None


def _quantile(ordered: list[int], percent: int) -> int | None:
    return ordered[max(0, (len(ordered) * percent + 99) // 100 - 1)] if ordered else None


@dataclass
class _Cycle:
    amount: Money
    category: str
    began: datetime
    retries: int = 0


class Seen(NamedTuple):
    """A method as a network sees it."""

    card: str
    network: str | None


@dataclass
class _Try:
    at: datetime
    refused_at: datetime | None = None


class Tally:
    def __init__(self) -> None:
        self.by_currency: dict[str, Figures] = defaultdict(Figures)
        self.moved_by_caps = 0
        self._cycles: dict[str, _Cycle] = {}
        self._asked: dict[str, Money] = {}
        self._tries: dict[tuple[Seen, Money], list[_Try]] = defaultdict(list)
        self._latest: dict[str, _Try] = {}

    @property
    def cap_breaches(self) -> int:
        """Attempts that were made with a card which was refused as often as its network allows."""
        return sum(_breaches(seen.network, tries) for (seen, _), tries in self._tries.items())

    def take(self, facts: Iterable[Any], seen: Callable[[str], Seen], at: datetime) -> None:
        for fact in facts:
            match fact:
                case PaymentScheduleItemClaimed():
                    self._claimed(fact, seen(fact.method_id), at)
                case PaymentScheduleItemPaymentFailed():
                    self._failed(fact)
                case CollectionRecovered():
                    self._recovered(fact, at)
                case CollectionFailed():
                    self.by_currency[fact.amount.currency].given_up.add(fact.amount.amount_minor)
                case ItemRetryScheduled():
                    self.moved_by_caps += any(BY_CAP in why for why in fact.why)
                case ItemRetryPostponed():
                    self.moved_by_caps += fact.reason == POSTPONED_BY_CAP
                case _:
                    pass

    def undecided(self, amount: Money) -> None:
        self.by_currency[amount.currency].undecided.add(amount.amount_minor)

    def add(self, other: Tally) -> None:
        """What was counted elsewhere, of other items: of the same cards, perhaps."""
        for currency, figures in other.by_currency.items():
            self.by_currency[currency].add(figures)
        for of_card, tries in other._tries.items():
            self._tries[of_card] += tries
        self.moved_by_caps += other.moved_by_caps

    def told(self) -> dict[str, Any]:
        return {
            "cap_breaches": self.cap_breaches,
            "moved_by_caps": self.moved_by_caps,
            "by_currency": {code: figures.told() for code, figures in sorted(self.by_currency.items())},
        }

    def _claimed(self, fact: PaymentScheduleItemClaimed, seen: Seen, at: datetime) -> None:
        self._asked[fact.item_id] = fact.amount
        made = self._latest[fact.item_id] = _Try(at)
        self._tries[seen, fact.amount].append(made)
        cycle = self._cycles.get(fact.item_id)
        if fact.cause == "RETRY" and cycle:
            cycle.retries += 1
            figures = self.by_currency[fact.amount.currency]
            figures.attempts += 1
            figures.attempts_by_number[cycle.retries] += 1

    def _failed(self, fact: PaymentScheduleItemPaymentFailed) -> None:
        if fact.item_id in self._latest:
            self._latest[fact.item_id].refused_at = fact.failed_at
        asked = fact.taken_back or self._asked.get(fact.item_id)
        if asked is None or (fact.item_id in self._cycles and not fact.taken_back):
            return
        self._cycles[fact.item_id] = _Cycle(asked, fact.category, fact.failed_at)
        figures = self.by_currency[asked.currency]
        figures.failed.add(asked.amount_minor)
        figures.by_category[fact.category]["failed"].add(asked.amount_minor)

    def _recovered(self, fact: CollectionRecovered, at: datetime) -> None:
        figures, cycle = self.by_currency[fact.amount.currency], self._cycles.pop(fact.item_id, None)
        if fact.tried is None:
            figures.by_hand.add(fact.amount.amount_minor)
            return
        figures.recovered.add(fact.amount.amount_minor)
        if cycle:
            figures.recovered_by_number[cycle.retries] += 1
            figures.by_category[cycle.category]["recovered"].add(fact.amount.amount_minor)
            figures.seconds_to_recovery.append(int((at - cycle.began).total_seconds()))


def _breaches(network: str | None, tries: Sequence[_Try]) -> int:
    mine = caps.of_network(caps.AS_NETWORKS_COUNT, network)
    if not mine:
        return 0
    refused = sorted(made.refused_at for made in tries if made.refused_at)
    found = (caps.earliest(made.at, _before(made, refused), mine)[1] for made in tries)
    return sum(broken is not None for broken in found)


def _before(made: _Try, refused: Sequence[datetime]) -> Sequence[datetime]:
    """Refusals that were known when it was made; its own may bear the same time."""
    known = bisect_right(refused, made.at)
    return refused[: known - (made.refused_at is not None and made.refused_at <= made.at)]
