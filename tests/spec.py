"""given(facts).when(command).then(facts), over as many streams as a decision touches.

    spec.given(("invoice", "i1", InvoicePosted(...))).when(ApplyPayment(...), account="a")
        .then(("payment", "p1", PaymentApplied(...)), ...)

Everything runs through the real handler on the store in memory: needs, decisions, the append.
"""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid5

import orjson

from events import ids
from events.log import Recorded, opened
from events.mapper import decode
from services.answers import Answer
from services.commands import Actor, encode
from services.commands import decode as decode_command
from services.handler import Handler
from services.store.memory import MemoryStore
from services.store.protocol import Batch, NewEvent
from services.subjects import SUBJECTS

T = TypeVar("T")

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_NAMES = UUID("00000000-0000-4000-8000-000000000000")


class Spec:
    """A tenant `t` on a store in memory; time stands still until `at` moves it."""

    def __init__(self, tenant: str = "t", account: str = "A") -> None:
        self.tenant, self.account, self.time = tenant, account, NOW
        self.store = MemoryStore(now=lambda: self.time)
        self.handler = Handler(self.store, SUBJECTS, self)
        self.answers: list[Answer] = []
        self._sent = 0

    def now(self) -> datetime:
        return self.time

    def at(self, time: datetime | timedelta) -> Spec:
        """Move the time: to an instant, or on by a while."""
        self.time = self.time + time if isinstance(time, timedelta) else time
        return self

    def given(self, *facts: tuple[type[Any], str, Any], account: str | None = None) -> Spec:
        """Facts that were recorded before."""
        for state, id, fact in facts:
            self._run(self._record(state, id, fact, account or self.account))
        self.handler.cache.clear()
        return self

    async def _record(self, state: type[Any], id: str, fact: Any, account: str) -> None:
        stream = f"{self.tenant}/{state.KIND}-{id}"
        version = len(await self.store.read_stream(stream)) + 1
        self._sent += 1
        event = NewEvent(
            stream,
            version,
            fact,
            f"{self.tenant}/{account}",
            uuid5(_NAMES, str(self._sent)),
            b"{}",
            self.time,
            True,
        )
        await self.store.commit(Batch(events=[event], known_position=10**9))

    def when(
        self, command: object, account: str | None = None, key: str | None = None, **envelope: Any
    ) -> Spec:
        """Send a command, as the bus would hand it on."""
        self._sent += 1
        type, body = encode(
            command,
            tenant=self.tenant,
            account_id=account or self._home(command),
            actor=Actor("USER", "tester"),
            idempotency_key=key or f"command-{self._sent}",
        )
        if envelope:
            body = orjson.dumps({**orjson.loads(body), **envelope})
        self.handler.cache.clear()  # so that a decision sees nothing but what its rule needs
        self.answers += self._run(self.handler.handle([decode_command(type, body)]))
        return self

    def _home(self, command: object) -> str:
        from services.subjects import RULES

        rule = RULES[type(command)]
        return rule.home(command, self.tenant) if rule.home else self.account

    @property
    def answer(self) -> Answer:
        return self.answers[-1]

    @property
    def outcome(self) -> dict[str, Any]:
        return orjson.loads(self.answer.outcome)

    def all_facts(self) -> list[Any]:
        """Every fact in the log, as it reads now."""
        events = self._run(opened(self.store, self._run(self.store.read(0, 1_000_000))))
        return [decode(event.topic, event.data) for event in events]

    def facts(self) -> list[tuple[str, str, Any]]:
        """(kind, id, fact) of what the last command has recorded."""
        command_id = self.answer.command.command_id
        events = self._run(opened(self.store, self._run(self.store.read(0, 1_000_000))))
        return [
            (*ids.parts(e.stream)[1:], decode(e.topic, e.data)) for e in events if e.command_id == command_id
        ]

    def events(self) -> list[Recorded]:
        """Everything in the log."""
        return list(self._run(self.store.read(0, 1_000_000)))

    def then_accepted(self) -> Spec:
        assert self.answer.status == "ACCEPTED", self.outcome
        return self

    def then(self, *facts: tuple[type[Any], str, Any]) -> Spec:
        self.then_accepted()
        assert self.facts() == [(state.KIND, id, fact) for state, id, fact in facts]
        return self

    def then_types(self, *types: type[Any]) -> Spec:
        """The kinds of facts, in order, where their content is checked elsewhere."""
        self.then_accepted()
        assert [type(fact) for _, _, fact in self.facts()] == list(types)
        return self

    def then_nothing(self) -> Spec:
        self.then_accepted()
        assert self.facts() == []
        return self

    def then_rejected(self, code: str, **details: Any) -> Spec:
        assert self.answer.status == "REJECTED", f"{self.answer.status}: {self.outcome}"
        assert self.outcome["code"] == code, self.outcome
        for name, value in details.items():
            assert self.outcome["details"][name] == value, self.outcome
        return self

    def state(self, state: type[Any], id: str) -> Any:
        """The state as the log has it, folded anew: what is cached must be equal to it."""
        stream = f"{self.tenant}/{state.KIND}-{id}"
        cached = self.handler.cache.streams.pop(stream, None)
        self._run(self.handler.cache.load([stream], []))
        folded = self.handler.cache.streams[stream]
        assert cached is None or cached == folded, f"the cache differs from the log: {cached} != {folded}"
        return folded

    def ids(self, state: type[Any]) -> list[str]:
        """The ids of all streams of a kind, in the order of their first event."""
        events = self._run(self.store.read(0, 1_000_000))
        found = [ids.parts(e.stream) for e in events if e.version == 1]
        return [id for _, kind, id in found if kind == state.KIND]

    def last_id(self, state: type[Any]) -> str:
        return self.ids(state)[-1]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end in one go: nothing here waits for anything, so there is no loop to wait in."""
        try:
            work.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("the handler on the store in memory waited for something")
