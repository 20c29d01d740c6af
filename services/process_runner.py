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
from services.commands import Actor
from services.decision import Documents, Many, Need, States, Subject
from services.lease import Lease
from services.outbox import outbox_command
from services.processes.process import Process, Send, Trigger
from services.store.protocol import Batch, OutboxCommand, Store, StoreUnavailable, Tracking, TrackingMoved

NAME = "processes"
SPAN = 5_000
PAUSE_SECONDS = 1.0
GATHER_SECONDS = 0.02
"""Between steps that were not full: what comes close together is one transaction."""

Reaction = tuple[Process, Trigger]


async def reactions(given: Sequence[Reaction], cache: StateCache) -> list[list[Send]]:
    """What each process sends for its fact, on states loaded for all of them together."""
    ready = [
        (process, trigger, States(trigger.tenant, cache.streams, cache.documents))
        for process, trigger in given
    ]
    while True:
        streams, homes = set[str](), set[str]()
        for process, trigger, states in ready:
            for need in process.needs(states, trigger):
                if isinstance(need, Documents):
                    homes.add(ids.home(trigger.tenant, need.account_id))
                elif isinstance(need, Many):
                    streams |= {ids.stream(trigger.tenant, need.state.KIND, id) for id in need.ids}
                else:
                    assert isinstance(need, Need), "what a reference means is decided at the door"
                    streams.add(ids.stream(trigger.tenant, need.state.KIND, need.id))
        missing = (
            [stream for stream in streams if stream not in cache.streams],
            [home for home in homes if home not in cache.documents],
        )
        if not any(missing):
            return [list(process.react(states, trigger)) for process, trigger, states in ready]
        await cache.load(*missing)


class ProcessRunner:
    """One at a time, by lease.  It reads only the facts that some process reacts to."""

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
        kinds = {state.KIND for process in processes for state in process.documents}
        self._cache = StateCache(store, subjects, 10_000, sorted(kinds))
        self._by_topic: dict[str, list[Process]] = {}
        for process in processes:
            for fact in process.facts:
                self._by_topic.setdefault(TOPICS[fact], []).append(process)
        self._at: int | None = None

    async def run(self) -> None:
        """React to whatever is recorded; runs until cancelled."""
        async for _ in self._store.wakeups():
            try:
                while await self.step() >= SPAN:
                    pass
                await asyncio.sleep(GATHER_SECONDS)
            except (StoreUnavailable, TrackingMoved):
                await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> int:
        """React to the next events; how many were passed.  0 while another runner holds the lease."""
        after, self._at = self._at, None  # known again once this step has ended well
        if not await self.lease.held():
            return 0
        if after is None:
            after = await self._store.tracking(NAME)
        reached, events = await self._store.read_topics(after, SPAN, tuple(self._by_topic))
        if reached > after:
            outbox = await self._react(events)
            await self._store.commit(Batch(outbox=outbox, tracking=[Tracking(NAME, after, reached)]))
        self._at = reached
        return reached - after

    async def _react(self, events: Sequence[Recorded]) -> list[OutboxCommand]:
        self._cache.clear()
        triggers = {event.position: _trigger(event) for event in events}
        causes = [(process, event) for event in events for process in self._by_topic[event.topic]]
        sent = await reactions(
            [(process, triggers[event.position]) for process, event in causes], self._cache
        )
        outbox = [
            self._command(process, send, event)
            for (process, event), sends in zip(causes, sent, strict=True)
            if process.merge is None
            for send in sends
        ]
        return [*outbox, *self._merged(zip(causes, sent, strict=True))]

    def _merged(self, sent: Iterable[tuple[tuple[Process, Recorded], list[Send]]]) -> Iterable[OutboxCommand]:
        """What those that put their commands together send; the last fact is the cause of all."""
        gathered: dict[tuple[str, str], tuple[Process, Recorded, list[Send]]] = {}
        for (process, event), sends in sent:
            if process.merge is not None and sends:
                key = process.name, ids.parts(event.stream)[0]
                before = gathered[key][2] if key in gathered else list[Send]()
                before += sends
                gathered[key] = process, event, before
        for process, event, sends in gathered.values():
            assert process.merge
            for send in process.merge(sends):
                yield self._command(process, send, event)

    def _command(self, process: Process, send: Send, cause: Recorded) -> OutboxCommand:
        meta = orjson.loads(cause.meta)
        carried = {name: meta[name] for name in ("correlation_id", "traceparent") if name in meta}
        return outbox_command(
            send.command,
            send.key,
            tenant=ids.parts(cause.stream)[0],
            account_id=send.account_id,
            actor=Actor("SYSTEM", f"process:{process.name}"),
            meta=orjson.dumps({**carried, "causation_id": cause.event_id}),
            due_at=send.due_at or self._clock.now(),
        )


def _trigger(event: Recorded) -> Trigger:
    tenant, _, id = ids.parts(event.stream)
    account_id = event.home.partition("/")[2]
    return Trigger(tenant, account_id, id, decode(event.topic, event.data), event.occurred_at, event.version)
