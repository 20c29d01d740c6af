"""What follows a failed attempt: one value, another attempt or the end, each with the reasons in words.

Invariant: an instrument that a network says is never to be tried again is not, unless the
tenant has written down why; and no attempt is planned above what the card's network allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from events.retry import RetryDefinition, RetryIntervals
from services.retries import caps, timing
from services.retries.cycle import Wait
from services.retries.resolving import DEFAULTS, Resolved, resolve
from services.retries.timing import Failures, Hours


class Failure(NamedTuple):
    """A known decline.  What is pending or unknown never comes here."""

    category: str
    raw_code: str | None
    gateway_id: str
    method_id: str
    at: datetime
    hard: bool = False
    never_retry: bool = False


@dataclass(frozen=True)
class Terms:
    """What a cycle began under, and keeps to."""

    definition: RetryDefinition
    stagger_basis: str = "FIRST_FAILURE"
    hard_decline_policy: str = "SKIP_TO_ALTERNATE"
    allows_never_retry: bool = False
    """The tenant has written down why codes that are never to be retried may be."""
    network_caps: tuple[str, ...] = caps.AS_NETWORKS_COUNT
    hours: Hours | None = None
    """The definition's window, as it is for the account."""


class Instrument(NamedTuple):
    """One of the account's methods, as it is now."""

    method_id: str
    network: str | None = None
    unusable: str | None = None
    """Why it cannot be charged: expired, revoked, its gateway is off.  None where it can."""
    blocked: bool = False
    """Its last failure was a hard one: it stands in for no other."""
    attempts: tuple[datetime, ...] = ()
    """When this amount was tried with it, the latest last."""
    wait: Wait | None = None
    """Until when its network says to leave it alone."""


class Wallet(NamedTuple):
    own: str
    """The method of the item."""
    default: str | None
    instruments: Sequence[Instrument]
    """The one that was saved last comes last."""

    def of(self, method_id: str | None) -> Instrument | None:
        return next((each for each in self.instruments if each.method_id == method_id), None)


class Progress(NamedTuple):
    """Where a cycle stands when an attempt has failed."""

    first_failed_at: datetime
    made: int = 0
    """Retries so far; attempts that a person asked for are not among them."""
    extra: int = 0
    """Attempts that a person has added to what the rules allow."""
    spent: bool = False
    """The attempt that failed was the one that a hard decline had left."""


@dataclass(frozen=True)
class RetryAt:
    at: datetime
    attempt: int
    max: int
    method_id: str
    is_alternate: bool
    after_hard_decline: bool
    """It is the one attempt that a hard decline leaves."""
    resolved: Resolved
    why: tuple[str, ...]

    @property
    def is_last(self) -> bool:
        return self.attempt >= self.max


@dataclass(frozen=True)
class GiveUp:
    reason: str
    """EXHAUSTED, HARD_DECLINE, NEVER_RETRY, VALIDATION_FAILURE or NO_USABLE_METHOD."""
    resolved: Resolved
    why: tuple[str, ...]


Next = RetryAt | GiveUp


def decide_next(failure: Failure, progress: Progress, terms: Terms, wallet: Wallet, now: datetime) -> Next:
    """What to do about a failure: a ladder, whose first step that applies has the word."""
    found = resolve(terms.definition, failure.category, failure.gateway_id, failure.raw_code)
    attempt, most = progress.made + 1, found.intervals.attempts + progress.extra
    if failure.category == "ValidationFailure" and found.level == DEFAULTS:
        return GiveUp("VALIDATION_FAILURE", found, (found.why, "a failed check is retried only by a rule"))
    if progress.spent:
        return GiveUp("EXHAUSTED", found, ("the one attempt after a hard decline has failed too",))
    if attempt > most:
        return GiveUp("EXHAUSTED", found, (found.why, f"all {most} attempts were made"))
    again = _same_instrument(failure, found, terms)
    if not again.allowed and not again.follows_rules:
        return _skip_to_alternate(failure, progress, terms, wallet, now, found, again)
    chosen = _method(failure, attempt, most, terms, wallet, again.allowed)
    if chosen is None:
        return GiveUp(
            "NO_USABLE_METHOD" if again.allowed else "NEVER_RETRY", found, (found.why, again.why, _NO_OTHER)
        )
    planned = RetryAt(
        at=now,
        attempt=attempt,
        max=most,
        method_id=chosen.instrument.method_id,
        is_alternate=chosen.instrument.method_id != failure.method_id,
        after_hard_decline=False,
        resolved=found,
        why=(found.why, again.why, chosen.why),
    )
    return _timed(planned, found.intervals, failure, progress, terms, chosen.instrument, now)


_NO_OTHER = "no other method can be charged"


class _Again(NamedTuple):
    """Whether the instrument that failed may be tried again."""

    allowed: bool
    follows_rules: bool
    """The rules' attempts are made, with whatever instrument may be."""
    why: str


def _same_instrument(failure: Failure, found: Resolved, terms: Terms) -> _Again:
    asked = found.names_the_code or terms.hard_decline_policy == "FOLLOW_RULES"
    by = "a rule names the code" if found.names_the_code else "hard declines follow the rules here"
    if failure.never_retry:
        if asked and terms.allows_never_retry:
            return _Again(True, True, f"never to be retried, yet {by}, and the tenant has said why")
        return _Again(False, asked, "its network says that this instrument is never to be tried again")
    if failure.hard:
        return _Again(asked, asked, by if asked else "a hard decline: this instrument would fail again")
    return _Again(True, True, "a soft decline: the same instrument may do later")


def _skip_to_alternate(
    failure: Failure,
    progress: Progress,
    terms: Terms,
    wallet: Wallet,
    now: datetime,
    found: Resolved,
    again: _Again,
) -> Next:
    """One attempt with another instrument, at the next interval (3.3, step 3)."""
    reason = "NEVER_RETRY" if failure.never_retry else "HARD_DECLINE"
    if terms.hard_decline_policy == "FAIL":
        return GiveUp(reason, found, (again.why, "hard declines end the collection here"))
    if not terms.definition.use_alternate_method:
        return GiveUp(reason, found, (again.why, "the rule set uses no alternate method"))
    other = _alternate(failure.method_id, wallet)
    if other is None:
        return GiveUp(reason, found, (again.why, _NO_OTHER))
    attempt = progress.made + 1
    planned = RetryAt(
        at=now,
        attempt=attempt,
        max=attempt,
        method_id=other.method_id,
        is_alternate=True,
        after_hard_decline=True,
        resolved=found,
        why=(found.why, again.why, f"one attempt with {_named(other, wallet)}"),
    )
    return _timed(planned, found.intervals, failure, progress, terms, other, now)


def _timed(
    planned: RetryAt,
    intervals: RetryIntervals,
    failure: Failure,
    progress: Progress,
    terms: Terms,
    instrument: Instrument,
    now: datetime,
) -> RetryAt:
    """When: by the intervals, in the window, and not before the card's network advises or allows another."""
    failures, hours = Failures(progress.first_failed_at, failure.at), terms.hours
    at = timing.next_at(intervals, planned.attempt, failures, terms.stagger_basis, now, hours)
    if instrument.wait is not None and at < instrument.wait.until:
        at = timing.moved_into(hours, instrument.wait.until)
        planned = replace(planned, why=(*planned.why, f"{instrument.wait}: not before"))
    of_card = caps.of_network(terms.network_caps, instrument.network)
    allowed, cap = caps.earliest(at, instrument.attempts, of_card)
    if cap is None:
        return replace(planned, at=at)
    return replace(planned, at=timing.moved_into(hours, allowed), why=(*planned.why, f"{cap}: not before"))


# -- with which method


class _Chosen(NamedTuple):
    instrument: Instrument
    why: str


def _method(
    failure: Failure, attempt: int, most: int, terms: Terms, wallet: Wallet, same_allowed: bool
) -> _Chosen | None:
    """The item's own until the last attempt; then, where that is wanted, another (3.3, step 6)."""
    own = wallet.of(wallet.own)
    barred = not same_allowed and wallet.own == failure.method_id
    can_own = own is not None and own.unusable is None and not barred
    alternate = terms.definition.use_alternate_method
    if alternate and (attempt >= most or not can_own):
        other = _alternate(failure.method_id, wallet)
        if other is not None:
            when = "the last attempt" if attempt >= most else "its own method cannot be charged"
            return _Chosen(other, f"{when}: with {_named(other, wallet)}")
    if can_own:
        assert own is not None
        return _Chosen(own, "with its own method")
    return None


def _alternate(failing: str, wallet: Wallet) -> Instrument | None:
    """The account's default; where that is what fails or cannot be charged, the other that was saved last."""
    default = wallet.of(wallet.default)
    if default is not None and default.method_id != failing and _can_stand_in(default):
        return default
    others = (each for each in reversed(wallet.instruments) if each.method_id != failing)
    return next((each for each in others if _can_stand_in(each)), None)


def _can_stand_in(instrument: Instrument) -> bool:
    return instrument.unusable is None and not instrument.blocked


def _named(instrument: Instrument, wallet: Wallet) -> str:
    is_default = instrument.method_id == wallet.default
    return f"the account's {'default' if is_default else 'latest other'} method {instrument.method_id}"
