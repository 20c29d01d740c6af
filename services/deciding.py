"""Deciding: one command of a batch after the other, each on what those before it have left.

Invariant: what breaks in a decision parks its command, and nothing else; what it misses is loaded, or
reserved, and it is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from services import answers
from services.access.guarding import Guard
from services.answers import Answer
from services.attempt import Attempt, Item, reason_of
from services.cache import StateCache
from services.commands import Command
from services.decision import Changes, Claiming, Need, NotLoaded, NumbersMissing, Rule
from services.errors import Rejected, Undecodable
from services.loading import Loader, Numbers
from services.store.protocol import StoreConflict, StoreUnavailable

LONG = 50
"""Changes of one command, or more: after it the loop lets the append that goes on beside have its turn."""


class Decider:
    def __init__(self, guard: Guard, cache: StateCache, loader: Loader, numbers: Numbers) -> None:
        self._guard, self._cache, self._loader, self._numbers = guard, cache, loader, numbers
        self.poisoned: dict[UUID, str] = {}
        """Commands whose own facts could not be folded: parked at their next decision."""

    async def decide_all(self, attempt: Attempt) -> None:
        seen = attempt.answers
        for item in attempt.items:
            id = item.command.command_id.int
            if item.answer is not None:
                seen[id] = item.answer
            elif id in seen:
                item.answer = answers.repeat_in_batch(item.command, seen[id])
            else:
                events = len(attempt.batch.events)
                item.answer = seen[id] = await self._decide(item, attempt)
                if attempt.behind is not None and len(attempt.batch.events) - events >= LONG:
                    await asyncio.sleep(0)

    async def _decide(self, item: Item, attempt: Attempt) -> Answer:
        command = item.command
        if item.rule is None and isinstance(command.data, Undecodable):
            return attempt.park(command, f"{command.data.code}: {command.data.reason}")
        if (denied := self._guard.denied(command.actor, command.type)) is not None:
            return attempt.reject(command, denied)
        if isinstance(command.data, Rejected):  # for its content, whatever came before it; and it is not kept
            return attempt.reject(command, command.data)
        if command.home in attempt.parked:
            return attempt.park(command, "an earlier command of this key is parked")
        if self.poisoned and command.command_id in self.poisoned:
            return attempt.park(command, self.poisoned.pop(command.command_id))
        numbers = self._numbers.kept() if command.dry_run else {}
        try:
            changes = await self.changes(item, attempt)
            if command.dry_run:
                self._numbers.restore(numbers)
                return answers.planned(command, changes, self._cache.position, self._cache.streams)
        except Rejected as rejected:
            return attempt.reject(command, rejected)
        except (StoreConflict, StoreUnavailable, asyncio.CancelledError):
            raise
        except Exception as poison:
            return attempt.park(command, reason_of(poison))
        return attempt.accept(command, changes, item.context)

    async def changes(self, item: Item, attempt: Attempt) -> Changes:
        """Decide one command; what turns out to be missing is loaded, or reserved, in between."""
        command, rule = item.command, item.rule
        if isinstance(command.data, Rejected):
            raise command.data
        assert rule is not None, f"nobody decides {type(command.data).__name__}"
        self._check_envelope(item, rule)
        item.context.parked = attempt.parked
        while True:
            try:
                if self._guard.asks(command.actor):
                    self._guard.check(item.states, command, item.context)
                changes = rule.decide(item.states, command.data, item.context)
            except NotLoaded:
                before = self._cache.size
                await self._loader.load([item], attempt)
                if self._cache.size == before:
                    raise
            except NumbersMissing as missing:
                await self._numbers.reserve(command.tenant, missing.prefix)
            else:
                claimings = [change for change in changes if isinstance(change, Claiming)]
                if claimings:
                    await self._check_claims(command, claimings, attempt)
                return changes

    def _check_envelope(self, item: Item, rule: Rule) -> None:
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

    async def _check_claims(self, command: Command, claimings: Sequence[Claiming], attempt: Attempt) -> None:
        names = [(command.tenant, claiming.kind, claiming.key) for claiming in claimings]
        await self._loader.find_owners([name for name in names if name not in attempt.owners], attempt)
        for name, claiming in zip(names, claimings, strict=True):
            if claiming.code and attempt.owners[name] not in (None, claiming.owner):
                raise Rejected(
                    claiming.code, f"the {claiming.kind.replace('_', ' ')} {claiming.key} is taken"
                )
