"""The process runner: tails the log, and turns recorded facts into commands in the outbox.

Its commands and its progress are one transaction: after a crash it reacts again from where its
progress stands, and the identities of its commands make the repetition harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import orjson

from events import ids
from events.catalog import TOPICS
from events.log import Recorded
from events.mapper import decode
from services.cache import StateCache
from services.clock import Clock
from services.commands import TYPES, Actor, encode
from services.decision import Documents, States, Subject
from services.lease import Lease
from services.processes.process import Process, Send, Trigger
from services.store.protocol import Batch, OutboxCommand, Store, StoreUnavailable, Tracking, TrackingMoved

NAME = "processes"
READ_MAX = 1000
PAUSE_SECONDS = 1.0


async def reactions(process: Process, trigger: Trigger, cache: StateCache) -> list[Send]:
    """What a process sends for a fact, on states loaded for it."""
    states = States(trigger.tenant, cache.streams, cache.documents)
    while True:
        streams, homes = set[str](), set[str]()
        for need in process.needs(states, trigger):
            if isinstance(need, Documents):
                homes.add(ids.home(trigger.tenant, need.account_id))
            else:
                streams.add(ids.stream(trigger.tenant, need.state.KIND, need.id))
        missing = streams - cache.streams.keys(), homes - cache.documents.keys()
        if not any(missing):
            return list(process.react(states, trigger))
        await cache.load(*missing)


class ProcessRunner:
    """One at a time, by lease."""

    def __init__(
        self,
        store: Store,
        processes: Sequence[Process],
        subjects: Iterable[Subject],
        clock: Clock,
        holder: str,
    ) -> None:
        self._store, self._clock = store, clock
        self.lease = Lease(store, NAME, holder, clock)
        self._cache = StateCache(store, subjects, 10_000)
        self._by_topic: dict[str, list[Process]] = {}
        for process in processes:
            for fact in process.facts:
                self._by_topic.setdefault(TOPICS[fact], []).append(process)

    async def run(self) -> None:
        """React to whatever is recorded; runs until cancelled."""
        async for _ in self._store.wakeups():
            try:
                while await self.step():
                    pass
            except (StoreUnavailable, TrackingMoved):
                await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> int:
        """React to the next events; how many there were.  0 while another runner holds the lease."""
        if not await self.lease.held():
            return 0
        after = await self._store.tracking(NAME)
        events = await self._store.read(after, READ_MAX)
        if not events:
            return 0
        self._cache.clear()
        outbox = [command for event in events for command in await self._react(event)]
        progress = Tracking(NAME, after, events[-1].position)
        await self._store.commit(Batch(outbox=outbox, tracking=[progress]))
        return len(events)

    async def _react(self, event: Recorded) -> list[OutboxCommand]:
        processes = self._by_topic.get(event.topic)
        if not processes:
            return []
        tenant, _, id = ids.parts(event.stream)
        account_id = event.home.partition("/")[2]
        trigger = Trigger(tenant, account_id, id, decode(event.topic, event.data), event.occurred_at)
        return [
            self._command(process, send, tenant, event)
            for process in processes
            for send in await reactions(process, trigger, self._cache)
        ]

    def _command(self, process: Process, send: Send, tenant: str, cause: Recorded) -> OutboxCommand:
        actor = Actor("SYSTEM", f"process:{process.name}")
        type, body = encode(
            send.command, tenant=tenant, account_id=send.account_id, actor=actor, idempotency_key=send.key
        )
        meta = orjson.loads(cause.meta)
        carried = {name: meta[name] for name in ("correlation_id", "traceparent") if name in meta}
        return OutboxCommand(
            ids.command_id(tenant, TYPES[send.command.__class__], send.key),
            ids.home(tenant, send.account_id),
            type,
            body,
            orjson.dumps({**carried, "causation_id": cause.event_id}),
            send.due_at or self._clock.now(),
        )
