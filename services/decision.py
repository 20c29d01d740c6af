"""How a decision is made: from the states that a command needs, to the changes that it makes.

    needs(states, command, context)  -> the states to load; asked again until it names no new one
    decide(states, command, context) -> changes, none for a fact that does not advance, or `Rejected`

Decisions are pure: time, ids and numbers come from the context.  States are never changed by a
decision; where one step builds on another, a `Draft` works on copies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
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
T = TypeVar("T")
Evolve = Callable[[Any, Any], None]


class Need(NamedTuple):
    """A stream that a decision must see."""

    state: type[Any]
    id: str


class Many(NamedTuple):
    """Streams of one kind, for a command that is about many."""

    state: type[Any]
    ids: Collection[str]


class Documents(NamedTuple):
    """The list of an account's open documents, which a decision must see."""

    account_id: str


class References(NamedTuple):
    """The gateway calls that a reference of a gateway's, or of ours there, may mean.

    Each one that is found is for ever; one that is not found may come at any moment after.
    """

    gateway_id: str
    reference: str


class Names(NamedTuple):
    """Names that may be claimed, whose owners a decision must know."""

    kind: str
    keys: Collection[str]


Needs = Iterable[Need | Many | Documents | References | Names]


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
    account_id: str = ""
    """Whose stream it is, where a command is about many accounts."""


class Claiming(NamedTuple):
    """A name that must be free in the tenant; whose it becomes."""

    kind: str
    key: str
    owner: str
    code: str
    """The code of the rejection when it is taken; without one, it is left to whoever has it."""


class Releasing(NamedTuple):
    """A name that its owner no longer needs."""

    kind: str
    key: str
    owner: str


Changes = Sequence[Change | Claiming | Releasing]


Owners = Mapping[tuple[str, str, str], str | None]
"""(tenant, kind, key) of a name to who holds it; None: nobody."""


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
    parked: Collection[str] = ()
    """Homes whose commands wait behind one that cannot be decided."""
    used: dict[str, int] = field(default_factory=dict[str, int])
    """Reference streams of other homes that the decision rests on, with the version it read; its events
    record them."""
    _parts: ids.Parts | None = field(default=None, repr=False, compare=False)

    def new_id(self, part: str) -> str:
        """The id of something this command makes; the same for every repeat of the command."""
        self._parts = self._parts or ids.Parts(self.command_id)
        return self._parts.id(part)


class NotLoaded(LookupError):
    """A decision asked for a state that is not loaded yet: its needs are asked again, then it is."""


class NumbersMissing(LookupError):
    """A prefix has run out of reserved numbers: a block is reserved, then the decision is made."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.prefix = prefix


_NO_REFERENCES: Mapping[tuple[str, str, str], Sequence[str]] = {}

Listed = Mapping[str, Iterable[str]]
"""Open documents: each kind's ids."""


class States:
    """The states loaded for one tenant's commands.

    It keeps count of the streams, and of the homes' lists of documents, that anybody asks for.
    """

    __slots__ = (
        "_documents",
        "_owners",
        "_read_homes",
        "_read_streams",
        "_references",
        "_streams",
        "_tenant",
    )

    def __init__(
        self,
        tenant: str,
        streams: Mapping[str, Any],
        documents: Mapping[str, Listed],
        read_streams: set[str] | None = None,
        read_homes: set[str] | None = None,
        references: Mapping[tuple[str, str, str], Sequence[str]] = _NO_REFERENCES,
        owners: Owners | None = None,
    ) -> None:
        self._tenant, self._streams, self._documents = tenant, streams, documents
        self._owners: Owners = {} if owners is None else owners
        self._read_streams = set[str]() if read_streams is None else read_streams
        self._read_homes = set[str]() if read_homes is None else read_homes
        self._references = references

    def get(self, state: type[S], id: str) -> S:
        """The state of a stream; fresh (version 0) where nothing happened.  Raises `NotLoaded`."""
        stream = f"{self._tenant}/{state.KIND}-{id}"
        self._read_streams.add(stream)
        try:
            return self._streams[stream]
        except KeyError:
            raise NotLoaded(f"{state.KIND}-{id}") from None

    def find(self, state: type[S], id: str) -> S | None:
        """The same, or None while it is not loaded: for `needs`, which is asked in rounds."""
        stream = f"{self._tenant}/{state.KIND}-{id}"
        self._read_streams.add(stream)
        return self._streams.get(stream)

    def references(self, gateway_id: str, reference: str) -> Sequence[str]:
        """The idempotency keys of the calls that a reference may mean."""
        try:
            return self._references[self._tenant, gateway_id, reference]
        except KeyError:
            raise NotLoaded(f"reference {reference}") from None

    def find_references(self, gateway_id: str, reference: str) -> Sequence[str]:
        """The same, or none while they are not loaded: for `needs`."""
        return self._references.get((self._tenant, gateway_id, reference), ())

    def owner(self, kind: str, key: str) -> str | None:
        """Who holds a name that `needs` has named; nobody while that is not known."""
        return self._owners.get((self._tenant, kind, key))

    def documents(self, account_id: str, state: type[Any]) -> list[str]:
        """The ids of an account's open documents of one kind, for decisions.  Raises `NotLoaded`."""
        return list(self._listed(account_id).get(state.KIND, ()))

    def all_documents(self, account_id: str) -> list[OpenDocument]:
        """Every open document of an account, whatever its kind.  Raises `NotLoaded`."""
        return [OpenDocument(kind, id) for kind, ids in self._listed(account_id).items() for id in ids]

    def find_documents(self, account_id: str, state: type[Any]) -> list[str]:
        """The open documents of a kind, or none while the list is not loaded: for `needs`."""
        home = f"{self._tenant}/{account_id}"
        self._read_homes.add(home)
        return list(self._documents.get(home, _NOTHING).get(state.KIND, ()))

    def _listed(self, account_id: str) -> Listed:
        home = f"{self._tenant}/{account_id}"
        self._read_homes.add(home)
        listed = self._documents.get(home)
        if listed is None:
            raise NotLoaded(f"documents of {account_id}")
        return listed


_NOTHING: Listed = {}


class Draft:
    """Changes so far, and the states as they will be after them."""

    def __init__(self, states: States, evolve: Mapping[type[Any], Evolve]) -> None:
        self._states, self._evolve = states, evolve
        self._copies: dict[tuple[type[Any], str], Any] = {}
        self.changes: list[Change | Claiming | Releasing] = []

    def get(self, state: type[S], id: str) -> S:
        """A copy of the state with this draft's changes; reading it never changes the original."""
        if (state, id) not in self._copies:
            self._copies[state, id] = _copied(self._states.get(state, id))
        return self._copies[state, id]

    def record(
        self, state: type[Any], id: str, fact: object, new: bool = False, account_id: str = ""
    ) -> None:
        if new:
            self._copies[state, id] = state()
        target = self.get(state, id)
        if state in self._evolve:
            self._evolve[state](target, fact)
        target.version += 1
        self.changes.append(Change(state, id, fact, new, account_id))

    def extend(self, changes: Changes) -> None:
        """Record changes that a simple decision on this draft's states has made."""
        for change in changes:
            if isinstance(change, Change):
                self.record(*change)
            else:
                self.changes.append(change)


class Ahead(States):
    """States as changes so far will leave them: for many small decisions in one, each on those before it.

    Nothing is copied but what is looked at again after it has changed.
    """

    __slots__ = ("_evolve", "_facts", "_named", "_new")

    def __init__(self, states: States, evolve: Mapping[type[Any], Evolve]) -> None:
        super().__init__(
            states._tenant,
            states._streams,
            states._documents,
            states._read_streams,
            states._read_homes,
            states._references,
            states._owners,
        )
        self._evolve = evolve
        self._facts: dict[tuple[type[Any], str], list[object]] = {}
        self._new = set[tuple[type[Any], str]]()
        self._named: dict[tuple[str, str], str | None] = {}

    def get(self, state: type[S], id: str) -> S:
        facts = self._facts.get((state, id))
        if facts is None:
            return super().get(state, id)
        seen = state() if (state, id) in self._new else _copied(super().get(state, id))
        for fact in facts:
            self._evolve[state](seen, fact)
            seen.version += 1
        return seen

    def owner(self, kind: str, key: str) -> str | None:
        named = self._named
        return named[kind, key] if (kind, key) in named else super().owner(kind, key)

    def take(self, changes: Changes) -> None:
        for change in changes:
            if isinstance(change, Change):
                stream = change.state, change.id
                self._facts.setdefault(stream, []).append(change.fact)
                if change.new:
                    self._new.add(stream)
            elif isinstance(change, Releasing):
                self._named[change.kind, change.key] = None
            elif self.owner(change.kind, change.key) is None:
                self._named[change.kind, change.key] = change.owner


def _copied(state: S) -> S:
    """A copy as deep as states are: their mappings' entries may change in place, facts never do."""
    twin = _twin(state)
    for name in _containers(type(state)):
        value = getattr(state, name)
        if isinstance(value, dict):
            entries = cast("dict[Any, Any]", value).items()
            setattr(twin, name, {key: _twin(entry) for key, entry in entries})
        else:
            setattr(twin, name, copy.copy(value))
    return twin


def _twin(value: T) -> T:
    """A shallow copy of what is changed in place, which has slots; `copy.copy` takes ten times as long."""
    parts = _parts_of(type(value))
    return value if parts is None else type(value)(*parts(value))


@cache
def _parts_of(cls: type[Any]) -> Callable[[Any], tuple[Any, ...]] | None:
    if not is_dataclass(cls) or "__slots__" not in vars(cls):
        return None
    first, *others = (part.name for part in fields(cls))
    return attrgetter(first, *others) if others else lambda value: (getattr(value, first),)


@cache
def _containers(cls: type[Any]) -> tuple[str, ...]:
    """The fields of a state that hold mappings and sets: those that each instance has its own of."""
    return tuple(part.name for part in fields(cls) if part.default_factory is not MISSING)


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
