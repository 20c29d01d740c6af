"""How a decision is made: from the states that a command needs, to the changes that it makes.

    needs(states, command, context)  -> the states to load; asked again until it names no new one
    decide(states, command, context) -> changes, none for a fact that does not advance, or `Rejected`

Decisions are pure: time, ids and numbers come from the context.  States are never changed by a
decision; where one step builds on another, a `Draft` works on copies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast
from uuid import UUID

from events import ids
from services.commands import Actor


class State(Protocol):
    """The folded facts of one stream; `evolve` of its module changes it in place."""

    KIND: ClassVar[str]
    version: int

    @property
    def open(self) -> bool:
        """Whether it belongs to the account's open documents: something owed, owned or in flight."""
        ...


S = TypeVar("S", bound=State)
Evolve = Callable[[Any, Any], None]


class Need(NamedTuple):
    """A stream that a decision must see."""

    state: type[Any]
    id: str


class Documents(NamedTuple):
    """The list of an account's open documents, which a decision must see."""

    account_id: str


Needs = Iterable[Need | Documents]


class OpenDocument(NamedTuple):
    """A document that is owed, owned or in flight."""

    kind: str
    id: str


class Change(NamedTuple):
    """A fact for one stream."""

    state: type[Any]
    id: str
    fact: object
    new: bool = False
    """The stream was made by this very command: there is nothing to load."""


class Claiming(NamedTuple):
    """A name that must be free in the tenant; whose it becomes."""

    kind: str
    key: str
    owner: str
    code: str
    """The code of the rejection when it is taken."""


Changes = Sequence[Change | Claiming]


@dataclass(slots=True)
class Context:
    """What a decision may know besides the states and the command."""

    tenant: str
    account_id: str
    command_id: UUID
    now: datetime
    actor: Actor
    number: Callable[[str], str]
    """The next human number of a prefix: `context.number("PAY")` gives `PAY-000042`."""

    def new_id(self, part: str) -> str:
        """The id of something this command makes; the same for every repeat of the command."""
        return ids.part_id(self.command_id, part)


class NotLoaded(LookupError):
    """A decision asked for a state that is not loaded yet: its needs are asked again, then it is."""


class NumbersMissing(LookupError):
    """A prefix has run out of reserved numbers: a block is reserved, then the decision is made."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.prefix = prefix


class States:
    """The states loaded for one tenant's commands."""

    __slots__ = ("_documents", "_streams", "_tenant")

    def __init__(
        self, tenant: str, streams: Mapping[str, Any], documents: Mapping[str, Iterable[str]]
    ) -> None:
        self._tenant, self._streams, self._documents = tenant, streams, documents

    def get(self, state: type[S], id: str) -> S:
        """The state of a stream that `needs` has named; fresh (version 0) where nothing happened."""
        try:
            return self._streams[f"{self._tenant}/{state.KIND}-{id}"]
        except KeyError:
            raise NotLoaded(f"{state.KIND}-{id}") from None

    def find(self, state: type[S], id: str) -> S | None:
        """The same, or None while it is not loaded: for `needs`, which is asked in rounds."""
        return self._streams.get(f"{self._tenant}/{state.KIND}-{id}")

    def documents(self, account_id: str, state: type[Any]) -> list[str]:
        """The ids of an account's open documents of one kind, for decisions."""
        streams = self._documents.get(f"{self._tenant}/{account_id}")
        if streams is None:
            raise NotLoaded(f"documents of {account_id}")
        return self.find_documents(account_id, state)

    def all_documents(self, account_id: str) -> list[OpenDocument]:
        """Every open document of an account, whatever its kind."""
        streams = self._documents.get(f"{self._tenant}/{account_id}")
        if streams is None:
            raise NotLoaded(f"documents of {account_id}")
        return [OpenDocument(*ids.parts(stream)[1:]) for stream in streams]

    def find_documents(self, account_id: str, state: type[Any]) -> list[str]:
        """The same, or none while the list is not loaded: for `needs`."""
        streams = self._documents.get(f"{self._tenant}/{account_id}", ())
        kind = f"{self._tenant}/{state.KIND}-"
        return [stream[len(kind) :] for stream in streams if stream.startswith(kind)]


class Draft:
    """Changes so far, and the states as they will be after them."""

    def __init__(self, states: States, evolve: Mapping[type[Any], Evolve]) -> None:
        self._states, self._evolve = states, evolve
        self._copies: dict[tuple[type[Any], str], Any] = {}
        self.changes: list[Change | Claiming] = []

    def get(self, state: type[S], id: str) -> S:
        """A copy of the state with this draft's changes; reading it never changes the original."""
        if (state, id) not in self._copies:
            self._copies[state, id] = _copied(self._states.get(state, id))
        return self._copies[state, id]

    def record(self, state: type[Any], id: str, fact: object, new: bool = False) -> None:
        if new:
            self._copies[state, id] = state()
        target = self.get(state, id)
        if state in self._evolve:
            self._evolve[state](target, fact)
        target.version += 1
        self.changes.append(Change(state, id, fact, new))

    def extend(self, changes: Changes) -> None:
        """Record changes that a simple decision on this draft's states has made."""
        for change in changes:
            if isinstance(change, Change):
                self.record(*change)
            else:
                self.changes.append(change)


def _copied(state: S) -> S:
    """A copy as deep as states are: their mappings' entries may change in place, facts never do."""
    twin = copy.copy(state)
    for part in fields(cast("Any", state)):
        value = getattr(state, part.name)
        if isinstance(value, dict):
            entries = cast("dict[Any, Any]", value).items()
            setattr(twin, part.name, {k: copy.copy(v) if hasattr(v, "__slots__") else v for k, v in entries})
        elif isinstance(value, set):
            setattr(twin, part.name, set(cast("set[Any]", value)))
    return twin


class Rule(NamedTuple):
    """One command, and how it is decided."""

    command: type[Any]
    needs: Callable[[States, Any, Context], Needs]
    """The first is the command's own stream, whose version `expected_version` speaks of."""
    decide: Callable[[States, Any, Context], Changes]
    home: Callable[[Any, str], str] | None = None
    """The `account_id` of a command to a tenant-level stream, from its data and the tenant."""


@dataclass(frozen=True)
class Subject:
    """One kind of aggregate: its state, how facts change it, and the commands decided for it."""

    state: type[Any]
    evolve: Evolve
    rules: tuple[Rule, ...] = ()
