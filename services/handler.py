"""A batch of commands, from the bus to the store: load once, decide each, append once.

Invariant: what the cache holds is what the log says.  A state is changed right after its decision,
so that the next command of the batch sees it; if the append then fails, for any reason, every state
that the batch touched leaves the cache before anything else happens.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.persistence import IntegrityError

from events.account import PersonalDataErased
from events.keeping import kept
from events.mapper import topic_of
from services import answers
from services.access.denial import CODES as DENIALS
from services.access.guarding import OPEN, Guard
from services.answers import Answer
from services.cache import StateCache
from services.calls.work import references_of, work_changes
from services.clock import Clock
from services.commands import Command
from services.decision import (
    Change,
    Changes,
    Claiming,
    Context,
    Many,
    Names,
    Need,
    Needs,
    NotLoaded,
    NumbersMissing,
    References,
    Releasing,
    Rule,
    States,
    Subject,
)
from services.errors import Rejected
from services.signing_in.denying import denial_of
from services.store.protocol import (
    Batch,
    Claim,
    DeadLetter,
    DocumentChange,
    NewEvent,
    NewVerdict,
    OffsetMove,
    OffsetMoved,
    ParkedCommand,
    Store,
    StoreConflict,
    StoreUnavailable,
)

ATTEMPTS_MAX = 20
"""How often a batch is decided anew after conflicts before its partition is given up for now."""
ROUNDS_MAX = 6
"""Needs that follow from needs: an outcome names its call, that its refund, that its orchestration, …"""
POISON_TRIES = 3
ACTOR_HEADER = "tender_actor"
"""Of a parked command: who was found to have sent it, whatever it says itself."""
NUMBERS_BLOCK = 1000


_Tenant = tuple[States, Callable[[str], str]]
"""Of one attempt: a tenant's states, and its next number of a prefix."""


@dataclass(slots=True)
class _Item:
    command: Command
    rule: Rule | None
    """None where the command's content has earned a rejection."""
    context: Context
    states: States
    answer: Answer | None = None


@dataclass(slots=True)
class _Touched:
    """A stream that a batch changes."""

    home: str
    was_open: bool
    is_open: bool


@dataclass(slots=True)
class _Attempt:
    """One try at a batch: what it has decided so far."""

    batch: Batch
    items: list[_Item]
    owners: dict[tuple[str, str, str], str | None]
    """Names whose owner is known, or known to be nobody; with what this batch claims and releases."""
    touched: dict[str, _Touched] = field(default_factory=dict[str, _Touched])
    answers: dict[int, Answer] = field(default_factory=dict[int, Answer])
    """By the command's id, as a number."""
    parked: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class _Missing:
    """What commands need that is not here."""

    streams: set[str] = field(default_factory=set[str])
    homes: set[str] = field(default_factory=set[str])
    references: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    names: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])


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
        self._numbers: dict[tuple[str, str], tuple[int, int]] = {}
        self._poisoned: dict[UUID, str] = {}
        """Commands whose own facts could not be folded: parked at their next decision."""
        self._failures: dict[str, int] = defaultdict(int)
        self._one_at_a_time = asyncio.Lock()

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

        Raises `OffsetMoved` (nothing was written), `StoreUnavailable` (ask again), and whatever an
        append of a single home key keeps failing with, until that key is parked.
        """
        async with self._one_at_a_time:
            for _ in range(ATTEMPTS_MAX):
                try:
                    return await self._attempt(commands, offsets, dead_letters, unparking)
                except OffsetMoved:
                    raise
                except _Poisoned as poisoned:
                    self._poisoned[poisoned.command_id] = poisoned.reason
                except (StoreConflict, IntegrityError):
                    await self.cache.catch_up()
            raise StoreUnavailable(f"the log moved under {ATTEMPTS_MAX} attempts")

    async def dry_run(self, command: Command) -> dict[str, Any]:
        """What a command would do now: `{position, events}`, or the `Rejected` that it would get.

        Nothing is recorded, and no id, claim or number is used up.
        """
        async with self._one_at_a_time:
            await self.cache.catch_up()
            attempt = self._begin([command], (), ())
            item = attempt.items[0]
            await self._load_needs(attempt.items, attempt)
            numbers = dict(self._numbers)
            try:
                changes = await self._changes(item, attempt)
            finally:
                self._numbers = numbers
            return {"position": self.cache.position, "events": list(self._planned(command, changes))}

    # -- one attempt

    async def _attempt(
        self,
        commands: Sequence[Command],
        offsets: Sequence[OffsetMove],
        dead_letters: Sequence[DeadLetter],
        unparking: str | None = None,
    ) -> list[Answer]:
        attempt = self._begin(commands, offsets, dead_letters)
        try:
            await self._answer_known(attempt, unparking)
            await self._load_needs([item for item in attempt.items if item.answer is None], attempt)
            await self._decide_all(attempt)
            return await self._append(attempt)
        except BaseException:
            self._evict(attempt)
            raise

    def _begin(
        self, commands: Sequence[Command], offsets: Sequence[OffsetMove], dead_letters: Sequence[DeadLetter]
    ) -> _Attempt:
        batch, now = Batch(offsets=list(offsets), dead_letters=list(dead_letters)), self._clock.now()
        tenants, owners = dict[str, _Tenant](), dict[tuple[str, str, str], str | None]()
        items: list[_Item] = []
        self.cache.references.clear()
        for command in commands:
            tenant = command.tenant
            if tenant not in tenants:
                tenants[tenant] = self._states(tenant, batch, owners), partial(self._number, tenant)
            states, number = tenants[tenant]
            context = Context(tenant, command.account_id, command.command_id, now, command.actor, number)
            items.append(_Item(command, self._rules.get(type(command.data)), context, states))
        return _Attempt(batch, items, owners)

    def _states(self, tenant: str, batch: Batch, owners: dict[tuple[str, str, str], str | None]) -> States:
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

    def _evict(self, attempt: _Attempt) -> None:
        self.cache.evict(attempt.touched, {touched.home for touched in attempt.touched.values()})

    async def _answer_known(self, attempt: _Attempt, unparking: str | None = None) -> None:
        """The inbox: a repeat gets its recorded verdict; another content under the same id does not."""
        if not attempt.items:
            return
        known = await self._store.verdicts([item.command.command_id for item in attempt.items])
        attempt.parked = set(await self._store.parked_homes()) - {unparking}
        if not known:
            return
        for item in attempt.items:
            verdict = known.get(item.command.command_id)
            if verdict is not None and verdict.status == "PARKED" and verdict.home == unparking:
                attempt.batch.unparked.append(verdict.command_id)
            elif verdict is not None:
                item.answer = answers.repeat(item.command, verdict)
                attempt.batch.repeated.append(verdict.command_id)

    async def _load_needs(self, items: Sequence[_Item], attempt: _Attempt) -> None:
        """Ask commands what they need, those that miss anything again, until nothing new is named.

        It only brings here what will be read: what a decision reads without having named it is loaded
        then, and the read set is what was read.
        """
        for _ in range(ROUNDS_MAX + 1):
            missing = _Missing()
            items = [item for item in items if self._misses(item, attempt, missing)]
            if not items:
                return
            await self.cache.load(missing.streams, missing.homes)
            await self.cache.find(missing.references)
            self._list_what_moved(missing.homes, attempt)
            await self._find_owners(missing.names, attempt)
        raise AssertionError(f"needs name new streams after {ROUNDS_MAX} rounds")

    async def _find_owners(self, names: Collection[tuple[str, str, str]], attempt: _Attempt) -> None:
        if names:
            found = await self._store.claim_owners(list(names))
            attempt.owners.update((name, found.get(name)) for name in names)

    def _list_what_moved(self, homes: Collection[str], attempt: _Attempt) -> None:
        """The store's lists are as before this batch: bring those of some homes up to it."""
        for stream, touched in attempt.touched.items():
            if touched.home in homes:
                self.cache.list_document(touched.home, stream, touched.is_open)

    def _misses(self, item: _Item, attempt: _Attempt, missing: _Missing) -> bool:
        """Collect what a command needs that is not here; whether there is anything."""
        if item.rule is None:
            return False
        tenant, cache, misses = item.command.tenant, self.cache, False
        for need in self._needs(item, item.rule):
            if isinstance(need, Need):
                stream = f"{tenant}/{need.state.KIND}-{need.id}"
                if stream not in cache.streams:
                    missing.streams.add(stream)
                    misses = True
            elif isinstance(need, Many):
                kind, known = f"{tenant}/{need.state.KIND}-", cache.streams
                new = [stream for id in need.ids if (stream := kind + id) not in known]
                missing.streams.update(new)
                misses = misses or bool(new)
            elif isinstance(need, References):
                name = tenant, need.gateway_id, need.reference
                if name not in cache.references:
                    missing.references.add(name)
                    misses = True
            elif isinstance(need, Names):
                owners = attempt.owners
                names = [name for key in need.keys if (name := (tenant, need.kind, key)) not in owners]
                missing.names.update(names)
                misses = misses or bool(names)
            else:
                home = f"{tenant}/{need.account_id}"
                if home not in cache.documents:
                    missing.homes.add(home)
                    misses = True
        return misses

    def _needs(self, item: _Item, rule: Rule) -> Needs:
        command = item.command
        needs = rule.needs(item.states, command.data, item.context)
        if not self._guard.asks(command.actor):
            return needs
        return chain(self._guard.needs(item.states, command, item.context), needs)

    async def _decide_all(self, attempt: _Attempt) -> None:
        seen = attempt.answers
        for item in attempt.items:
            id = item.command.command_id.int
            if item.answer is not None:
                seen[id] = item.answer
            elif id in seen:
                item.answer = answers.repeat_in_batch(item.command, seen[id])
            else:
                item.answer = seen[id] = await self._decide(item, attempt)

    async def _decide(self, item: _Item, attempt: _Attempt) -> Answer:
        command = item.command
        if (denied := self._guard.denied(command.actor, command.type)) is not None:
            return self._reject(command, denied, attempt)
        if isinstance(command.data, Rejected):  # for its content, whatever came before it; and it is not kept
            return self._reject(command, command.data, attempt)
        if command.home in attempt.parked:
            return self._park(command, "an earlier command of this key is parked", attempt)
        if self._poisoned and command.command_id in self._poisoned:
            return self._park(command, self._poisoned.pop(command.command_id), attempt)
        numbers = dict(self._numbers) if command.dry_run else {}
        try:
            changes = await self._changes(item, attempt)
            if command.dry_run:
                self._numbers = numbers
                return self._plan(command, changes)
        except Rejected as rejected:
            return self._reject(command, rejected, attempt)
        except (StoreConflict, StoreUnavailable, asyncio.CancelledError):
            raise
        except Exception as poison:
            return self._park(command, _reason(poison), attempt)
        return self._accept(command, changes, item.context, attempt)

    async def _changes(self, item: _Item, attempt: _Attempt) -> Changes:
        """Decide one command; what turns out to be missing is loaded, or reserved, in between."""
        command, rule = item.command, item.rule
        if isinstance(command.data, Rejected):
            raise command.data
        assert rule is not None, f"nobody decides {type(command.data).__name__}"
        if (denied := self._guard.denied(command.actor, command.type)) is not None:
            raise denied
        self._check_envelope(item, rule)
        item.context.parked = attempt.parked
        while True:
            try:
                if self._guard.asks(command.actor):
                    self._guard.check(item.states, command, item.context)
                changes = rule.decide(item.states, command.data, item.context)
            except NotLoaded:
                before = self.cache.size
                await self._load_needs([item], attempt)
                if self.cache.size == before:
                    raise
            except NumbersMissing as missing:
                await self._reserve(command.tenant, missing.prefix)
            else:
                claimings = [change for change in changes if isinstance(change, Claiming)]
                if claimings:
                    await self._check_claims(command, claimings, attempt)
                return changes

    def _check_envelope(self, item: _Item, rule: Rule) -> None:
        command = item.command
        if command.deadline is not None and item.context.now > command.deadline:
            raise Rejected("DEADLINE_EXCEEDED", f"its deadline was {command.deadline.isoformat()}")
        home = rule.home(command.data, command.tenant) if rule.home else None
        if (home is not None and home != command.account_id) or (
            home is None and command.account_id[0] == "~"
        ):
            wanted = home or "the account's id"
            raise Rejected("PARTITION_KEY_MISMATCH", f"its account_id must be {wanted}", field="account_id")
        if command.expected_version is not None:
            own = next(iter(rule.needs(item.states, command.data, item.context)))
            assert isinstance(own, Need)
            version = item.states.get(own.state, own.id).version
            if version != command.expected_version:
                raise Rejected("VERSION_CONFLICT", f"its version is {version}", version=version)

    async def _check_claims(self, command: Command, claimings: Sequence[Claiming], attempt: _Attempt) -> None:
        names = [(command.tenant, claiming.kind, claiming.key) for claiming in claimings]
        await self._find_owners([name for name in names if name not in attempt.owners], attempt)
        for name, claiming in zip(names, claimings, strict=True):
            if claiming.code and attempt.owners[name] not in (None, claiming.owner):
                raise Rejected(
                    claiming.code, f"the {claiming.kind.replace('_', ' ')} {claiming.key} is taken"
                )

    # -- what a decision becomes

    def _accept(self, command: Command, changes: Changes, context: Context, attempt: _Attempt) -> Answer:
        facts, versions = [change for change in changes if isinstance(change, Change)], dict[str, int]()
        try:
            for change in changes if len(facts) < len(changes) else ():
                if isinstance(change, Claiming):
                    self._claim(command, change, attempt)
                elif isinstance(change, Releasing):
                    self._release(command, change, attempt)
            self._record(command, facts, context, attempt, versions)
            self._list_documents(versions, attempt)
        except Exception as poison:
            raise _Poisoned(command.command_id, _reason(poison)) from poison
        return self._verdict(command, "ACCEPTED", kept({"streams": versions}), len(facts), attempt)

    def _record(
        self,
        command: Command,
        facts: Sequence[Change],
        context: Context,
        attempt: _Attempt,
        versions: dict[str, int],
    ) -> None:
        """Fold a command's facts into the states, and have them appended; `versions` is what they become."""
        tenant, now = command.tenant, context.now
        command_id, meta = command.command_id, _meta(command, context) if context.used else command.meta
        streams, touched, batch = self.cache.streams, attempt.touched, attempt.batch
        left = len(facts)
        for kind, id, fact, new, account_id in facts:
            left -= 1
            home = f"{tenant}/{account_id}" if account_id else command.home
            stream = f"{tenant}/{kind.KIND}-{id}"
            state = streams.get(stream)
            if state is None:
                if not new:
                    raise NotLoaded(stream)
                state = streams[stream] = kind()
            if stream not in touched:
                is_open = state.open
                touched[stream] = _Touched(home, is_open, is_open)
            self._evolve[kind](state, fact)
            version = versions[stream] = state.version = state.version + 1
            batch.events.append(NewEvent(stream, version, fact, home, command_id, meta, now, not left))
            if kind.KIND == "gwcall":
                batch.work.extend(work_changes(fact, id, home, now))
                batch.references.extend(references_of(tenant, state.planned, fact))
            elif isinstance(fact, PersonalDataErased):
                batch.erased.append(home)

    def _list_documents(self, changed: Iterable[str], attempt: _Attempt) -> None:
        """Keep the lists of open documents in step with streams that a command has opened or closed."""
        for stream in changed:
            touched, is_open = attempt.touched[stream], self.cache.streams[stream].open
            if is_open != touched.is_open:
                touched.is_open = is_open
                self.cache.list_document(touched.home, stream, is_open)

    def _claim(self, command: Command, claiming: Claiming, attempt: _Attempt) -> None:
        """A name that is free becomes its owner's; one that has an owner stays with it."""
        name = (command.tenant, claiming.kind, claiming.key)
        if attempt.owners[name] is None:
            attempt.owners[name] = claiming.owner
            attempt.batch.claims.append(Claim(*name, claiming.owner))

    def _release(self, command: Command, releasing: Releasing, attempt: _Attempt) -> None:
        claim = Claim(command.tenant, *releasing)
        if claim in attempt.batch.claims:
            attempt.batch.claims.remove(claim)
        else:
            attempt.batch.released_claims.append(claim)
        if attempt.owners.get(claim[:3]) in (None, claim.owner):
            attempt.owners[claim[:3]] = None

    def _reject(self, command: Command, rejected: Rejected, attempt: _Attempt) -> Answer:
        outcome = {"code": rejected.code, "message": rejected.message, "details": rejected.details}
        if rejected.field:
            outcome["field"] = rejected.field
        encoded = orjson.dumps(outcome, default=str)
        if rejected.code in DENIALS:
            attempt.batch.outbox.append(denial_of(command, rejected, self._clock.now()))
        if command.dry_run:
            return Answer(command, "REJECTED", encoded, self.cache.position, recorded=False)
        return self._verdict(command, "REJECTED", encoded, 0, attempt)

    def _park(self, command: Command, reason: str, attempt: _Attempt) -> Answer:
        attempt.parked.add(command.home)
        if command.command_id in attempt.batch.unparked:  # it keeps its place in the queue
            attempt.batch.unparked.remove(command.command_id)
            outcome = orjson.dumps({"code": "PARKED", "message": reason[:1000], "details": {}})
            return Answer(command, "PARKED", outcome, self.cache.position, recorded=False)
        headers = (
            ("ce_type", command.type.encode()),
            ("ce_id", str(command.command_id).encode()),
            (ACTOR_HEADER, orjson.dumps(command.actor)),
        )
        attempt.batch.parked.append(
            ParkedCommand(
                command.command_id,
                command.home,
                command.type,
                command.value,
                headers,
                reason[:1000],
                self._clock.now(),
            )
        )
        outcome = orjson.dumps({"code": "PARKED", "message": reason[:1000], "details": {}})
        return self._verdict(command, "PARKED", outcome, 0, attempt)

    def _set_aside(self, command: Command, reason: str, attempt: _Attempt) -> Answer:
        if isinstance(command.data, Rejected):
            return self._reject(command, command.data, attempt)
        return self._park(command, reason, attempt)

    def _verdict(
        self, command: Command, status: Any, outcome: bytes, events: int, attempt: _Attempt
    ) -> Answer:
        attempt.batch.verdicts.append(
            NewVerdict(
                command.command_id,
                command.home,
                command.type,
                command.fingerprint,
                status,
                outcome,
                events,
                command.meta,
            )
        )
        return Answer(command, status, outcome, 0, recorded=True)

    def _plan(self, command: Command, changes: Changes) -> Answer:
        planned = {"position": self.cache.position, "events": list(self._planned(command, changes))}
        return Answer(
            command, "PLANNED", orjson.dumps(planned, default=str), self.cache.position, recorded=False
        )

    def _planned(self, command: Command, changes: Changes) -> Iterable[dict[str, Any]]:
        versions: dict[str, int] = {}
        for change in changes:
            if isinstance(change, Change):
                stream = f"{command.tenant}/{change.state.KIND}-{change.id}"
                versions[stream] = versions.get(stream, self._version(stream)) + 1
                yield {
                    "stream": stream,
                    "version": versions[stream],
                    "type": f"payments.{topic_of(change.fact)}",
                    "data": change.fact,
                }

    def _version(self, stream: str) -> int:
        state = self.cache.streams.get(stream)
        return 0 if state is None else state.version

    # -- the append

    async def _append(self, attempt: _Attempt) -> list[Answer]:
        batch = attempt.batch
        batch.known_position = self.cache.position
        batch.read_streams.update(attempt.touched)
        batch.documents = [
            DocumentChange(touched.home, stream, touched.is_open)
            for stream, touched in attempt.touched.items()
            if touched.is_open != touched.was_open
        ]
        try:
            appended = await self._store.commit(batch)
        except (StoreConflict, StoreUnavailable, IntegrityError, asyncio.CancelledError):
            raise
        except Exception as failure:
            return await self._bisect(attempt, failure)
        if batch.events or batch.verdicts:
            if appended.first_position - 1 > self.cache.position:
                await self.cache.catch_up(keep=attempt.touched)
            else:
                self.cache.position = appended.position
        self.cache.touch(batch.read_streams)
        for home in batch.erased:
            self.cache.evict_subject(home)
        given = _answers(attempt)
        answers.place(given, batch, appended.first_position - 1)
        return given

    async def _bisect(self, attempt: _Attempt, failure: Exception) -> list[Answer]:
        """The append itself failed: find the home key that it fails for, and park that one alone."""
        self._evict(attempt)
        commands = [item.command for item in attempt.items]
        homes = list(dict.fromkeys(command.home for command in commands))
        offsets, letters = attempt.batch.offsets, attempt.batch.dead_letters
        if len(homes) > 1:
            half = set(homes[: len(homes) // 2])
            first = await self._attempt([c for c in commands if c.home in half], (), ())
            rest = await self._attempt([c for c in commands if c.home not in half], offsets, letters)
            by_place = {id(answer.command): answer for answer in (*first, *rest)}
            return [by_place[id(command)] for command in commands]
        if not homes:
            raise failure
        self._failures[homes[0]] += 1
        if self._failures[homes[0]] < POISON_TRIES:
            return await self._attempt(commands, offsets, letters)
        del self._failures[homes[0]]
        parking = self._begin(commands, offsets, letters)
        await self._answer_known(parking)
        for item in parking.items:
            item.answer = item.answer or self._set_aside(
                item.command, f"its append fails: {failure}", parking
            )
        return await self._append(parking)

    # -- numbers

    def _number(self, tenant: str, prefix: str) -> str:
        following, end = self._numbers.get((tenant, prefix), (0, 0))
        if following >= end:
            raise NumbersMissing(prefix)
        self._numbers[tenant, prefix] = following + 1, end
        return f"{prefix}-{following:06d}"

    async def _reserve(self, tenant: str, prefix: str) -> None:
        first = await self._store.reserve_numbers(tenant, prefix, NUMBERS_BLOCK)
        self._numbers[tenant, prefix] = first, first + NUMBERS_BLOCK


class _Poisoned(Exception):
    """A command's facts cannot be folded: the batch is done again without it."""

    def __init__(self, command_id: UUID, reason: str) -> None:
        super().__init__(reason)
        self.command_id, self.reason = command_id, reason


def _meta(command: Command, context: Context) -> bytes:
    """The command's, and the version of each reference stream of another home that decided it."""
    return kept({**orjson.loads(command.meta), "references": context.used})


def _answers(attempt: _Attempt) -> list[Answer]:
    given = [item.answer for item in attempt.items if item.answer is not None]
    assert len(given) == len(attempt.items)
    return given


def _reason(poison: Exception) -> str:
    return "".join(traceback.format_exception_only(poison)).strip()
