"""Brings here what decisions will read, and hands out the numbers that they give."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain

from services.access.guarding import Guard
from services.attempt import Attempt, Item, Name
from services.cache import StateCache
from services.decision import Many, Names, Need, Needs, NumbersMissing, References, Rule
from services.store.protocol import Store

ROUNDS_MAX = 6
"""Needs that follow from needs: an outcome names its call, that its refund, that its orchestration, …"""
NUMBERS_BLOCK = 1000


@dataclass(slots=True)
class _Missing:
    """What commands need that is not here."""

    streams: set[str] = field(default_factory=set[str])
    homes: set[str] = field(default_factory=set[str])
    references: set[Name] = field(default_factory=set[Name])
    names: set[Name] = field(default_factory=set[Name])


class Loader:
    """It only brings here what will be read: what a decision reads without having named it is loaded
    then, and the read set is what was read."""

    def __init__(self, store: Store, cache: StateCache, guard: Guard) -> None:
        self._store, self._cache, self._guard = store, cache, guard

    async def load(self, items: Sequence[Item], attempt: Attempt) -> None:
        """Ask commands what they need, those that miss anything again, until nothing new is named."""
        for _ in range(ROUNDS_MAX + 1):
            missing = _Missing()
            items = [item for item in items if self._misses(item, attempt, missing)]
            if not items:
                return
            await self._cache.load(missing.streams, missing.homes)
            await self._cache.find(missing.references)
            for name in missing.references if attempt.behind else ():
                self._cache.references[name] = attempt.refer(*name, self._cache.references[name])
            attempt.list_what_moved(missing.homes)
            await self.find_owners(missing.names, attempt)
        raise AssertionError(f"needs name new streams after {ROUNDS_MAX} rounds")

    async def find_owners(self, names: Collection[Name], attempt: Attempt) -> None:
        if names:
            found = await self._store.claim_owners(list(names))
            attempt.owners.update((name, found.get(name)) for name in names)
            if attempt.behind is not None:
                ahead = attempt.behind.named
                attempt.owners.update((name, ahead[name]) for name in names if name in ahead)

    def _misses(self, item: Item, attempt: Attempt, missing: _Missing) -> bool:
        """Collect what a command needs that is not here; whether there is anything."""
        if item.rule is None:
            return False
        tenant, cache, misses = item.command.tenant, self._cache, False
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

    def _needs(self, item: Item, rule: Rule) -> Needs:
        command = item.command
        needs = rule.needs(item.states, command.data, item.context)
        if not self._guard.asks(command.actor):
            return needs
        return chain(self._guard.needs(item.states, command, item.context), needs)


class Numbers:
    """Human numbers, each block of a prefix reserved in the store before one of it is given."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left: dict[tuple[str, str], tuple[int, int]] = {}

    def next(self, tenant: str, prefix: str) -> str:
        """Raises `NumbersMissing` where none is reserved."""
        following, end = self._left.get((tenant, prefix), (0, 0))
        if following >= end:
            raise NumbersMissing(prefix)
        self._left[tenant, prefix] = following + 1, end
        return f"{prefix}-{following:06d}"

    async def reserve(self, tenant: str, prefix: str) -> None:
        first = await self._store.reserve_numbers(tenant, prefix, NUMBERS_BLOCK)
        self._left[tenant, prefix] = first, first + NUMBERS_BLOCK

    def kept(self) -> dict[tuple[str, str], tuple[int, int]]:
        """What is left now, for `restore`: a dry run uses none up."""
        return dict(self._left)

    def restore(self, kept: dict[tuple[str, str], tuple[int, int]]) -> None:
        self._left = kept
