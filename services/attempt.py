"""One try at a batch: what its commands' decisions have become so far, ready to be appended."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from events.account import PersonalDataErased
from events.keeping import kept
from services.access.denial import CODES as DENIALS
from services.answers import Answer
from services.cache import StateCache
from services.calls.work import references_of, work_changes
from services.commands import Command
from services.decision import (
    Change,
    Changes,
    Claiming,
    Context,
    Evolve,
    NotLoaded,
    Releasing,
    Rule,
    States,
)
from services.errors import Rejected, Undecodable
from services.signing_in.denying import denial_of
from services.store.protocol import Batch, Claim, DocumentChange, NewEvent, NewVerdict, ParkedCommand

ACTOR_HEADER = "tender_actor"
"""Of a parked command: who was found to have sent it, whatever it says itself; none of one that nobody has
read yet, which Tender itself has sent: there it says who."""

Name = tuple[str, str, str]
"""That is unique: its tenant, kind and key."""


class Poisoned(Exception):
    """A command's facts cannot be folded: the batch is done again without it."""

    def __init__(self, command_id: UUID, reason: str) -> None:
        super().__init__(reason)
        self.command_id, self.reason = command_id, reason


@dataclass(slots=True)
class Item:
    command: Command
    rule: Rule | None
    """None where the command's content has earned a rejection, or cannot be read."""
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
class Attempt:
    """A decision that is accepted is folded into the cache at once, so that the next one sees it."""

    cache: StateCache
    evolve: Mapping[type, Evolve]
    now: datetime
    batch: Batch
    items: list[Item]
    owners: dict[Name, str | None]
    """Names whose owner is known, or known to be nobody; with what this batch claims and releases."""
    touched: dict[str, _Touched] = field(default_factory=dict[str, _Touched])
    answers: dict[int, Answer] = field(default_factory=dict[int, Answer])
    """By the command's id, as a number."""
    parked: set[str] = field(default_factory=set[str])
    named: dict[Name, str | None] = field(default_factory=dict[Name, "str | None"])
    """Names that this batch claims and releases, with whom it leaves them to."""
    behind: Attempt | None = None
    """The one that is still being appended: the store does not tell of it yet."""

    def accept(self, command: Command, changes: Changes, context: Context) -> Answer:
        """Raises `Poisoned` where its facts cannot be folded."""
        facts, versions = [change for change in changes if isinstance(change, Change)], dict[str, int]()
        try:
            for change in changes if len(facts) < len(changes) else ():
                if isinstance(change, Claiming):
                    self._claim(command, change)
                elif isinstance(change, Releasing):
                    self._release(command, change)
            self._record(command, facts, context, versions)
            self._list_documents(versions)
        except Exception as poison:
            raise Poisoned(command.command_id, reason_of(poison)) from poison
        return self._verdict(command, "ACCEPTED", kept({"streams": versions}), len(facts))

    def reject(self, command: Command, rejected: Rejected) -> Answer:
        outcome = {"code": rejected.code, "message": rejected.message, "details": rejected.details}
        if rejected.field:
            outcome["field"] = rejected.field
        encoded = orjson.dumps(outcome, default=str)
        if rejected.code in DENIALS:
            self.batch.outbox.append(denial_of(command, rejected, self.now))
        if command.dry_run:
            return Answer(command, "REJECTED", encoded, self.cache.position, recorded=False)
        return self._verdict(command, "REJECTED", encoded, 0)

    def park(self, command: Command, reason: str) -> Answer:
        self.parked.add(command.home)
        outcome = orjson.dumps({"code": "PARKED", "message": reason[:1000], "details": {}})
        if command.command_id in self.batch.unparked:  # it keeps its place in the queue
            self.batch.unparked.remove(command.command_id)
            return Answer(command, "PARKED", outcome, self.cache.position, recorded=False)
        headers = [("ce_type", command.type.encode()), ("ce_id", str(command.command_id).encode())]
        if not isinstance(command.data, Undecodable):
            headers.append((ACTOR_HEADER, orjson.dumps(command.actor)))
        self.batch.parked.append(
            ParkedCommand(
                command.command_id,
                command.home,
                command.type,
                command.value,
                tuple(headers),
                reason[:1000],
                self.now,
            )
        )
        return self._verdict(command, "PARKED", outcome, 0)

    def set_aside(self, command: Command, reason: str) -> Answer:
        if isinstance(command.data, Rejected):
            return self.reject(command, command.data)
        return self.park(command, reason)

    def list_what_moved(self, homes: Collection[str]) -> None:
        """The store's lists are as before this batch: bring those of some homes up to it."""
        if self.behind is not None:
            self.behind.list_what_moved(homes)
        for stream, touched in self.touched.items() if homes else ():
            if touched.home in homes:
                self.cache.list_document(touched.home, stream, touched.is_open)

    def refer(self, tenant: str, gateway_id: str, reference: str, found: Sequence[str]) -> Sequence[str]:
        """What the store has found of a reference, with what is being appended."""
        if self.behind is None:
            return found
        name = tenant, gateway_id, reference
        return [*found, *(key for *other, key in self.behind.batch.references if tuple(other) == name)]

    def has_read(self, moved: Collection[tuple[str, str]]) -> bool:
        """Whether any of (home, stream) each that others have changed was read."""
        self.batch.read_streams.update(self.touched)
        streams, homes = self.batch.read_streams, self.batch.read_homes
        return any(stream in streams or home in homes for home, stream in moved)

    def complete(self) -> Batch:
        """The batch, with all that is known only once everything is decided."""
        batch = self.batch
        batch.known_position = self.cache.position
        batch.read_streams.update(self.touched)
        batch.documents = [
            DocumentChange(touched.home, stream, touched.is_open)
            for stream, touched in self.touched.items()
            if touched.is_open != touched.was_open
        ]
        return batch

    def evict(self) -> None:
        """What the cache holds of it is not what the log says."""
        self.cache.evict(self.touched, {touched.home for touched in self.touched.values()})

    @property
    def given(self) -> list[Answer]:
        given = [item.answer for item in self.items if item.answer is not None]
        assert len(given) == len(self.items)
        return given

    def _record(
        self, command: Command, facts: Sequence[Change], context: Context, versions: dict[str, int]
    ) -> None:
        """Fold a command's facts into the states, and have them appended; `versions` is what they become."""
        tenant, now = command.tenant, context.now
        command_id, meta = command.command_id, _meta(command, context) if context.used else command.meta
        streams, touched, batch = self.cache.streams, self.touched, self.batch
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
            self.evolve[kind](state, fact)
            version = versions[stream] = state.version = state.version + 1
            batch.events.append(NewEvent(stream, version, fact, home, command_id, meta, now, not left))
            if kind.KIND == "gwcall":
                batch.work.extend(work_changes(fact, id, home, now, seen=state.sent_at is not None))
                batch.references.extend(references_of(tenant, state.planned, fact))
            elif isinstance(fact, PersonalDataErased):
                batch.erased.append(home)

    def _list_documents(self, changed: Iterable[str]) -> None:
        """Keep the lists of open documents in step with streams that a command has opened or closed."""
        for stream in changed:
            touched, is_open = self.touched[stream], self.cache.streams[stream].open
            if is_open != touched.is_open:
                touched.is_open = is_open
                self.cache.list_document(touched.home, stream, is_open)

    def _claim(self, command: Command, claiming: Claiming) -> None:
        """A name that is free becomes its owner's; one that has an owner stays with it."""
        name = (command.tenant, claiming.kind, claiming.key)
        if self.owners[name] is None:
            self.owners[name] = self.named[name] = claiming.owner
            self.batch.claims.append(Claim(*name, claiming.owner))

    def _release(self, command: Command, releasing: Releasing) -> None:
        claim = Claim(command.tenant, *releasing)
        if claim in self.batch.claims:
            self.batch.claims.remove(claim)
        else:
            self.batch.released_claims.append(claim)
        if self.owners.get(claim[:3]) in (None, claim.owner):
            self.owners[claim[:3]] = self.named[claim[:3]] = None

    def _verdict(self, command: Command, status: Any, outcome: bytes, events: int) -> Answer:
        self.batch.verdicts.append(
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


def reason_of(poison: Exception) -> str:
    return "".join(traceback.format_exception_only(poison)).strip()


def _meta(command: Command, context: Context) -> bytes:
    """The command's, and the version of each reference stream of another home that decided it."""
    return kept({**orjson.loads(command.meta), "references": context.used})
