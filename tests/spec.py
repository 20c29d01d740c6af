"""given(facts).when(command).then(facts), over any number of streams, through the real rules.

    spec.given((Payment, "P1", requested, processed)).when(UnapplyPayment(...)).then_rejected("ALREADY_UNAPPLIED")

Every command travels as bytes, every fact is folded from its bytes; a decision sees only the
streams that its rule names as needed, and is caught when it changes one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from events import ids, mapper
from events.money import Money, minor
from services import commands
from services.commands import Actor
from services.decision import Change, Claiming, Context, Documents, NotLoaded, Rule, State, States
from services.errors import Rejected

NOW = datetime(2026, 3, 5, 9, 0, tzinfo=UTC)
ROUNDS_MAX = 4

S = TypeVar("S", bound=State)
F = TypeVar("F")


def usd(amount: str) -> Money:
    return Money(minor(amount, "USD"), "USD")


def eur(amount: str) -> Money:
    return Money(minor(amount, "EUR"), "EUR")


def jpy(amount: str) -> Money:
    return Money(minor(amount, "JPY"), "JPY")


def kwd(amount: str) -> Money:
    return Money(minor(amount, "KWD"), "KWD")


@cache
def _subjects() -> tuple[dict[str, Any], dict[type[Any], Rule]]:
    from services.subjects import SUBJECTS

    folds = {subject.state.KIND: subject for subject in SUBJECTS}
    return folds, {rule.command: rule for subject in SUBJECTS for rule in subject.rules}


@dataclass
class Spec:
    """A world of one tenant.  Each step returns a new one, so that a beginning can be shared."""

    tenant: str = "t"
    account_id: str = "A1"
    now: datetime = NOW
    streams: dict[str, Any] = field(default_factory=dict)
    """Folded states, by stream."""
    log: tuple[tuple[str, object], ...] = ()
    """Every fact so far, with its stream."""
    homes: dict[str, str] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    made: tuple[Change, ...] = ()
    """What the last command changed."""
    claimed: tuple[Claiming, ...] = ()
    rejected: Rejected | None = None
    """Why the last command was refused."""
    command_id: UUID = ids.TENDER
    """The identity of the last command: ids of what it made follow from it."""

    # -- the beginning

    def given(self, *told: tuple[Any, ...], account_id: str | None = None) -> Spec:
        """`(State, id, fact, fact, …)`: what has happened to each stream so far."""
        spec = self._copy()
        for state, id, *facts in told:
            for fact in facts:
                spec._fold(state, id, fact, account_id or self.account_id)
        return spec

    def at(self, now: datetime) -> Spec:
        """The same, at another time."""
        spec = self._copy()
        spec.now = now
        return spec

    def of(self, account_id: str) -> Spec:
        """The same, with commands from another account."""
        spec = self._copy()
        spec.account_id = account_id
        return spec

    # -- the command

    def when(self, command: object, *, at: datetime | None = None, account_id: str | None = None) -> Spec:
        """Decide a command, and fold what it decided."""
        spec = self._copy()
        spec.now, spec.steps = at or self.now, self.steps + 1
        spec.made, spec.claimed, spec.rejected = (), (), None
        spec.command_id = ids.command_id(self.tenant, "spec", str(spec.steps))
        try:
            changes = spec._decide(command, account_id)
        except Rejected as rejected:
            spec.rejected = rejected
            return spec
        spec.made = tuple(change for change in changes if isinstance(change, Change))
        spec.claimed = tuple(change for change in changes if isinstance(change, Claiming))
        for claiming in spec.claimed:
            spec.claims[claiming.kind, claiming.key] = claiming.owner
        for change in spec.made:
            spec._fold(change.state, change.id, change.fact, spec._home(command, account_id), change.new)
        return spec

    def also_when(
        self, command: object, *, at: datetime | None = None, account_id: str | None = None
    ) -> Spec:
        """The next command, of a row that must all be accepted."""
        self.accepted()
        return self.when(command, at=at, account_id=account_id)

    # -- the end

    def then(self, *expected: tuple[Any, ...]) -> Spec:
        """Exactly these changes, whole, in this order: `(State, id, fact)`."""
        self.accepted()
        assert [(change.state, change.id, change.fact) for change in self.made] == list(expected)
        return self

    def then_happened(self, *facts: type[Any]) -> Spec:
        """Exactly these kinds of facts, in this order."""
        self.accepted()
        assert [type(change.fact).__name__ for change in self.made] == [fact.__name__ for fact in facts]
        return self

    def then_nothing(self) -> Spec:
        """Accepted, and nothing advanced: the repeat."""
        return self.then()

    def then_rejected(self, code: str, field: str | None = None, **details: object) -> Spec:
        """Refused with this code; `details` are those that must be given with it, such as `available`."""
        assert self.rejected is not None, f"accepted: {[change.fact for change in self.made]}"
        assert (self.rejected.code, self.rejected.message) == (code, self.rejected.message)
        assert {name: self.rejected.details.get(name) for name in details} == details
        assert field is None or self.rejected.field == field
        return self

    def accepted(self) -> Spec:
        assert self.rejected is None, f"{self.rejected.code}: {self.rejected.message}"
        return self

    # -- looking

    def state(self, state: type[S], id: str) -> S:
        """The state of a stream, as it is now."""
        return self.streams.get(ids.stream(self.tenant, state.KIND, id)) or state()

    def fact(self, kind: type[F]) -> F:
        """The one fact of this kind that the last command made."""
        found = [change.fact for change in self.made if isinstance(change.fact, kind)]
        assert len(found) == 1, f"{len(found)} of {kind.__name__}: {[c.fact for c in self.made]}"
        return found[0]

    def facts(self, state: type[State], id: str) -> list[object]:
        """Everything that has happened to a stream."""
        stream = ids.stream(self.tenant, state.KIND, id)
        return [fact for of, fact in self.log if of == stream]

    def id_of(self, part: str) -> str:
        """The id that the last command gave to something it made."""
        return ids.part_id(self.command_id, part)

    def documents(self, account_id: str | None = None) -> set[str]:
        """The open documents of an account: `payment-P1`."""
        return set(self._open(account_id or self.account_id))

    # -- how it is done

    def _copy(self) -> Spec:
        spec = copy.copy(self)
        for name in ("streams", "homes", "claims", "numbers"):
            setattr(spec, name, dict(getattr(self, name)))
        return spec

    def _home(self, command: object, account_id: str | None) -> str:
        rule = _subjects()[1][type(command)]
        return rule.home(command, self.tenant) if rule.home else account_id or self.account_id

    def _fold(self, state: type[Any], id: str, fact: object, home: str, new: bool = False) -> None:
        stream = ids.stream(self.tenant, state.KIND, id)
        assert not (new and stream in self.streams), f"{stream} is called new, but is not"
        folded = copy.deepcopy(self.streams.get(stream)) or state()
        arrived = mapper.decode(mapper.topic_of(fact), mapper.encode(fact))
        assert arrived == fact, f"{fact} does not survive its bytes: {arrived}"
        _subjects()[0][state.KIND].evolve(folded, arrived)
        folded.version += 1
        self.streams[stream], self.homes[stream] = folded, self.homes.get(stream, home)
        self.log = (*self.log, (stream, fact))

    def _decide(self, command: object, account_id: str | None) -> Sequence[Change | Claiming]:
        rule = _subjects()[1][type(command)]
        home = self._home(command, account_id)
        context = Context(self.tenant, home, self.command_id, self.now, Actor(), self._number)
        data = self._sent(command, home)
        loaded, documents = self._load(rule, data, context)
        before = copy.deepcopy(loaded)
        try:
            changes = rule.decide(States(self.tenant, loaded, documents), data, context)
        except NotLoaded as missing:
            raise AssertionError(
                f"{type(command).__name__} is decided on what it does not need: {missing}"
            ) from missing
        finally:
            assert loaded == before, f"deciding {type(command).__name__} changed a state"
        self._check(changes)
        return changes

    def _sent(self, command: object, home: str) -> Any:
        type, value = commands.encode(
            command, tenant=self.tenant, account_id=home, actor=Actor(), command_id=self.command_id
        )
        data = commands.decode(type, value).data
        if isinstance(data, Rejected):
            raise data
        return data

    def _load(
        self, rule: Rule, data: object, context: Context
    ) -> tuple[dict[str, Any], dict[str, list[str]]]:
        loaded: dict[str, Any] = {}
        documents: dict[str, list[str]] = {}
        for _ in range(ROUNDS_MAX):
            known = len(loaded) + len(documents)
            for need in list(rule.needs(States(self.tenant, loaded, documents), data, context)):
                if isinstance(need, Documents):
                    home = ids.home(self.tenant, need.account_id)
                    documents[home] = [f"{self.tenant}/{id}" for id in self._open(need.account_id)]
                else:
                    stream = ids.stream(self.tenant, need.state.KIND, need.id)
                    loaded.setdefault(stream, copy.deepcopy(self.streams.get(stream)) or need.state())
            if len(loaded) + len(documents) == known:
                return loaded, documents
        raise AssertionError(f"the needs of {type(data).__name__} do not settle in {ROUNDS_MAX} rounds")

    def _open(self, account_id: str) -> list[str]:
        skip = len(self.tenant) + 1
        return [
            stream[skip:]
            for stream, home in self.homes.items()
            if home == account_id and self.streams[stream].open
        ]

    def _check(self, changes: Sequence[Change | Claiming]) -> None:
        for claiming in changes:
            if isinstance(claiming, Claiming):
                owner = self.claims.get((claiming.kind, claiming.key), claiming.owner)
                if owner != claiming.owner:
                    raise Rejected(claiming.code, f"{claiming.kind} {claiming.key} is taken")

    def _number(self, prefix: str) -> str:
        self.numbers[prefix] = self.numbers.get(prefix, 0) + 1
        return f"{prefix}-{self.numbers[prefix]:06d}"
