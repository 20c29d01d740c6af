"""A batch of commands, from the bus to the store: load once, decide each, append once.

Invariant: what the cache holds is what the log says, or will once the batch in flight is appended.  A
state is changed right after its decision, so that the next command sees it, and the next batch too, which
is decided while this one is being appended; if the append then fails, for any reason, every state that
either has touched leaves the cache before anything else happens, and both are decided anew, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from eventsourcing.persistence import IntegrityError

from services import answers
from services.access.guarding import OPEN, Guard
from services.answers import Answer
from services.attempt import Attempt, Item, Name, Poisoned, reason_of
from services.cache import StateCache
from services.clock import Clock
from services.commands import Command
from services.deciding import Decider
from services.decision import Context, States, Subject
from services.loading import Loader, Numbers
from services.store.protocol import (
    Appended,
    Batch,
    DeadLetter,
    OffsetMove,
    OffsetMoved,
    Store,
    StoreConflict,
    StoreUnavailable,
)

ATTEMPTS_MAX = 20
"""How often a batch is decided anew after conflicts before its partition is given up for now."""
POISON_TRIES = 3

_Tenant = tuple[States, Callable[[str], str]]
"""Of one attempt: a tenant's states, and its next number of a prefix."""

_AGAIN = (StoreConflict, IntegrityError, Poisoned)
"""What an attempt ends with that is made anew."""

_KNOWN = (StoreConflict, StoreUnavailable, IntegrityError, asyncio.CancelledError)
"""What an append may fail with for no fault of a command's."""

Landed = Callable[[Sequence[Answer]], None]
_Append = Callable[[Attempt], Awaitable[list[Answer]]]


class _Part(NamedTuple):
    """What is decided, and appended in one transaction."""

    commands: Sequence[Command]
    offsets: Sequence[OffsetMove] = ()
    dead_letters: Sequence[DeadLetter] = ()
    unparking: str | None = None


class _Flight(NamedTuple):
    """A part that is decided, and being appended."""

    part: _Part
    attempt: Attempt
    appending: asyncio.Task[Appended]
    landed: Landed


class Handler:
    def __init__(
        self,
        store: Store,
        subjects: Iterable[Subject],
        clock: Clock,
        *,
        guard: Guard = OPEN,
        cached_streams_max: int = 200_000,
    ) -> None:
        subjects = tuple(subjects)
        self._store, self._clock, self._guard = store, clock, guard
        self._rules = {rule.command: rule for subject in subjects for rule in subject.rules}
        self._evolve = {subject.state: subject.evolve for subject in subjects}
        self.cache = StateCache(store, subjects, cached_streams_max)
        self._loader, self._numbers = Loader(store, self.cache, guard), Numbers(store)
        self._decider = Decider(guard, self.cache, self._loader, self._numbers)
        self._one_at_a_time = asyncio.Lock()
        self._flight: _Flight | None = None

    async def handle(
        self,
        commands: Sequence[Command],
        offsets: Sequence[OffsetMove] = (),
        dead_letters: Sequence[DeadLetter] = (),
        *,
        unparking: str | None = None,
    ) -> list[Answer]:
        """Decide a batch and append it, with its offsets, in one transaction.

        `unparking` names the parked home key whose commands these are: they are decided anew.

        Raises `OffsetMoved` (nothing was written), `StoreUnavailable` (ask again).
        """
        async with self._one_at_a_time:
            await self._land()
            return await self._until_done(_Part(commands, offsets, dead_letters, unparking))

    async def begin(
        self,
        commands: Sequence[Command],
        offsets: Sequence[OffsetMove],
        dead_letters: Sequence[DeadLetter],
        landed: Landed,
    ) -> None:
        """Decide a batch while the one before it is still being appended.

        `landed` hears the answers once the batch is in the store: when the next one begins, or `land` is
        called.  Raises what `handle` raises, for this batch or for the one before it, of which then neither
        is in flight any more.
        """
        part = _Part(commands, offsets, dead_letters)
        async with self._one_at_a_time:
            if self._flight and not _may_follow(part, self._flight.attempt):
                await self._land()
            attempt = await self._decided_ahead(part)
            if not await self._land(attempt) and attempt is not None:
                attempt.evict()
                attempt = None
            if attempt is None:
                landed(await self._until_done(part))
                return
            attempt.behind = None
            batch = attempt.complete()
            self.cache.touch(batch.read_streams, attempt.touched)
            self._flight = _Flight(part, attempt, asyncio.ensure_future(self._store.commit(batch)), landed)

    async def land(self) -> None:
        """Wait until the batch in flight, if there is one, is in the store.  Raises as `begin` does."""
        async with self._one_at_a_time:
            await self._land()

    async def abandon(self) -> None:
        """Forget the batch in flight: whether it is in the store, the store knows."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.appending.cancel()
            await asyncio.gather(flight.appending, return_exceptions=True)
            flight.attempt.evict()

    async def dry_run(self, command: Command) -> dict[str, Any]:
        """What a command would do now: `{position, events}`, or the `Rejected` that it would get.

        Nothing is recorded, and no id, claim or number is used up.
        """
        if (denied := self._guard.denied(command.actor, command.type)) is not None:
            raise denied
        async with self._one_at_a_time:
            await self._land()
            await self.cache.catch_up()
            attempt = self._begin(_Part([command]))
            item = attempt.items[0]
            await self._loader.load(attempt.items, attempt)
            numbers = self._numbers.kept()
            try:
                changes = await self._decider.changes(item, attempt)
            finally:
                self._numbers.restore(numbers)
            return answers.plan(command, changes, self.cache.position, self.cache.streams)

    # -- one attempt, and one behind it

    async def _until_done(self, part: _Part) -> list[Answer]:
        for _ in range(ATTEMPTS_MAX):
            try:
                return await self._attempt(part)
            except OffsetMoved:
                raise
            except _AGAIN as again:
                await self._learn(again)
        raise StoreUnavailable(f"the log moved under {ATTEMPTS_MAX} attempts")

    async def _learn(self, again: Exception) -> None:
        if isinstance(again, Poisoned):
            self._decider.poisoned[again.command_id] = again.reason
        else:
            await self.cache.catch_up()

    async def _attempt(self, part: _Part, append: _Append | None = None) -> list[Answer]:
        attempt = await self._decided(part)
        try:
            return await (append or self._append)(attempt)
        except BaseException:
            attempt.evict()
            raise

    async def _decided(self, part: _Part) -> Attempt:
        """A part, decided on what the cache and the store hold, and what is in flight will leave."""
        attempt = self._begin(part)
        attempt.behind = self._flight.attempt if self._flight else None
        try:
            await self._answer_known(attempt, part.unparking)
            await self._loader.load([item for item in attempt.items if item.answer is None], attempt)
            await self._decider.decide_all(attempt)
            return attempt
        except BaseException:
            attempt.evict()
            raise

    async def _decided_ahead(self, part: _Part) -> Attempt | None:
        """The same; None where it must be decided once what is in flight has landed."""
        try:
            return await self._decided(part)
        except (*_AGAIN, StoreUnavailable) as again:
            if self._flight is None:
                if isinstance(again, StoreUnavailable):
                    raise
                await self._learn(again)
            return None

    async def _land(self, behind: Attempt | None = None) -> bool:
        """Wait for what is in flight; whether what was decided behind it still holds.

        It is decided anew, should its append have failed, or have found that others were quicker.
        """
        flight = self._flight
        if flight is None:
            return True
        try:
            await asyncio.wait([flight.appending])
        except asyncio.CancelledError:
            if behind is not None:
                behind.evict()
            raise
        self._flight = None
        failed = flight.appending.cancelled() or flight.appending.exception() is not None
        if failed and behind is not None:
            behind.evict()
        try:
            given = await self._append(flight.attempt, flight.appending)
        except BaseException as again:
            flight.attempt.evict()
            if isinstance(again, OffsetMoved) or not isinstance(again, _AGAIN):
                raise
            await self._learn(again)
            given = await self._until_done(flight.part)
        flight.landed(given)
        return not failed and not (behind and behind.has_read(flight.appending.result().moved))

    def _begin(self, part: _Part) -> Attempt:
        batch, now = (
            Batch(offsets=list(part.offsets), dead_letters=list(part.dead_letters)),
            self._clock.now(),
        )
        tenants, owners = dict[str, _Tenant](), dict[Name, str | None]()
        items: list[Item] = []
        self.cache.references.clear()
        for command in part.commands:
            tenant = command.tenant
            if tenant not in tenants:
                tenants[tenant] = self._states(tenant, batch, owners), partial(self._numbers.next, tenant)
            states, number = tenants[tenant]
            context = Context(tenant, command.account_id, command.command_id, now, command.actor, number)
            items.append(Item(command, self._rules.get(type(command.data)), context, states))
        return Attempt(self.cache, self._evolve, now, batch, items, owners)

    def _states(self, tenant: str, batch: Batch, owners: dict[Name, str | None]) -> States:
        """A tenant's cached states; what is read of them is the batch's read set."""
        cache = self.cache
        return States(
            tenant,
            cache.streams,
            cache.documents,
            batch.read_streams,
            batch.read_homes,
            cache.references,
            owners,
        )

    async def _answer_known(self, attempt: Attempt, unparking: str | None = None) -> None:
        """The inbox: a repeat gets its recorded verdict; another content under the same id does not."""
        if not attempt.items:
            return
        known = await self._store.verdicts([item.command.command_id for item in attempt.items])
        attempt.parked = set(await self._store.parked_homes()) - {unparking}
        if attempt.behind is not None:
            attempt.parked |= {parked.home for parked in attempt.behind.batch.parked}
        if not known:
            return
        for item in attempt.items:
            verdict = known.get(item.command.command_id)
            if verdict is not None and verdict.status == "PARKED" and verdict.home == unparking:
                attempt.batch.unparked.append(verdict.command_id)
            elif verdict is not None:
                item.answer = answers.repeat(item.command, verdict)
                attempt.batch.repeated.append(verdict.command_id)

    # -- the append

    async def _append(self, attempt: Attempt, appending: Awaitable[Appended] | None = None) -> list[Answer]:
        try:
            return await self._append_whole(attempt, appending)
        except _KNOWN:
            raise
        except Exception as failure:
            return await self._bisect(attempt, failure)

    async def _append_whole(
        self, attempt: Attempt, appending: Awaitable[Appended] | None = None
    ) -> list[Answer]:
        batch = attempt.batch
        appended = await (appending or self._store.commit(attempt.complete()))
        if batch.events or batch.verdicts:
            self.cache.move_to(appended.position, appended.moved)
        if appending is None:
            self.cache.touch(batch.read_streams)
        for home in batch.erased:
            self.cache.evict_subject(home)
        given = attempt.given
        answers.place(given, batch, appended.first_position - 1)
        return given

    async def _bisect(self, attempt: Attempt, failure: Exception) -> list[Answer]:
        """The append itself failed: find the home key that it fails for, and park that one alone."""
        attempt.evict()
        commands = [item.command for item in attempt.items]
        homes = list(dict.fromkeys(command.home for command in commands))
        offsets, letters = attempt.batch.offsets, attempt.batch.dead_letters
        if len(homes) > 1:
            half = set(homes[: len(homes) // 2])
            first = await self._attempt(_Part([c for c in commands if c.home in half]))
            rest = await self._attempt(_Part([c for c in commands if c.home not in half], offsets, letters))
            by_place = {id(answer.command): answer for answer in (*first, *rest)}
            return [by_place[id(command)] for command in commands]
        if not homes:
            raise _takes_nothing(failure) from failure
        return await self._append_or_park(_Part(commands, offsets, letters), failure)

    async def _append_or_park(self, part: _Part, failure: Exception) -> list[Answer]:
        """A single key's: tried again, then parked; a store that takes not even that is at fault itself."""
        for _ in range(POISON_TRIES - 1):
            try:
                return await self._attempt(part, self._append_whole)
            except (*_KNOWN, Poisoned):
                raise
            except Exception as again:
                failure = again
        parking = self._begin(part)
        await self._answer_known(parking)
        for item in parking.items:
            item.answer = item.answer or parking.set_aside(item.command, f"its append fails: {failure}")
        try:
            return await self._append_whole(parking)
        except _KNOWN:
            raise
        except Exception as nobodys:
            raise _takes_nothing(nobodys) from nobodys


def _takes_nothing(failure: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the store takes nothing: {reason_of(failure)}")


def _may_follow(part: _Part, flying: Attempt) -> bool:
    """Whether a part can be decided before what is in flight has landed: whether it needs nothing of it
    that only the store tells."""
    if flying.batch.erased or any(command.dry_run for command in part.commands):
        return False
    return not any(command.command_id.int in flying.answers for command in part.commands)
