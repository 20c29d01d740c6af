"""Sending many commands through Kafka, each account's in order, and waiting for what becomes of each.

A command's identity follows from what it is about; sending a file again sends nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
from aiokafka import AIOKafkaProducer

from events import ids
from events.log import RecordedVerdict
from services.commands import TYPES, Actor, encode
from services.messages import SEAL, Seal, Topics
from services.store.protocol import Store, StoreUnavailable

T = TypeVar("T")

IN_FLIGHT_MAX = 2000
RESEND_SECONDS = 10.0


class Planned(NamedTuple):
    """A command to send, under the key that identifies it."""

    command: object
    account_id: str
    key: str


class Verdict(NamedTuple):
    status: str
    outcome: bytes
    position: int


def said(verdict: Verdict | RecordedVerdict) -> dict[str, Any]:
    """A verdict as a line of an import's: `{status, code?, message?, …}`."""
    return {"status": verdict.status, **orjson.loads(verdict.outcome)}


def said_before(verdict: RecordedVerdict, fingerprint: bytes, changed: str) -> dict[str, Any]:
    """What was decided in a run before; `changed` tells that its identity had other content then."""
    if verdict.fingerprint != fingerprint:
        return {"status": "REJECTED", "code": "IDEMPOTENCY_KEY_REUSED", "message": changed}
    return {**said(verdict), "replayed": True}


def chunks(items: Iterable[T], size: int = 2_000) -> Iterator[list[T]]:
    """In order, so many at a time as are asked for together."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


class Sender:
    """Sends, and learns the verdicts from the store: what is acknowledged is in the store."""

    def __init__(
        self,
        store: Store,
        producer: AIOKafkaProducer,
        topics: Topics,
        tenant: str,
        actor: Actor,
        seal: Seal | None = None,
    ) -> None:
        self._store, self._producer, self._topics = store, producer, topics
        self._tenant, self._actor, self._seal = tenant, actor, seal
        self._waiting: dict[UUID, asyncio.Future[Verdict]] = {}
        self._failure: Exception | None = None
        self._in_order = asyncio.Lock()
        """A producer whose batch is full lets whoever comes next pass by those who wait."""

    async def send_all(
        self, planned: Iterable[Planned], progress: Callable[[int], None] = lambda _: None
    ) -> list[Verdict]:
        """The verdict of each, in the order given.

        They are sent in that order; what must be decided after another belongs into a later call, since a
        broker may forget the first of two.
        """
        room, verdicts = asyncio.Semaphore(IN_FLIGHT_MAX), list[asyncio.Task[Verdict]]()
        done = 0

        def one_more(_: object) -> None:
            nonlocal done
            done += 1
            progress(done)
            room.release()

        for one in planned:
            await room.acquire()
            task = asyncio.create_task(self.send(one))
            task.add_done_callback(one_more)
            verdicts.append(task)
            await asyncio.sleep(0)
        return await asyncio.gather(*verdicts)

    async def send(self, planned: Planned) -> Verdict:
        """Send until there is a verdict: a broker that forgot it gets it again."""
        if self._failure:
            raise self._failure
        type = TYPES[planned.command.__class__]
        command_id = ids.command_id(self._tenant, type, planned.key)
        _, body = encode(
            planned.command,
            tenant=self._tenant,
            account_id=planned.account_id,
            actor=self._actor,
            idempotency_key=planned.key,
        )
        waiter = self._waiting.setdefault(command_id, asyncio.get_running_loop().create_future())
        headers = [("ce_type", type.encode()), ("ce_id", str(command_id).encode())]
        key = ids.home(self._tenant, planned.account_id).encode()
        if self._seal is not None:
            headers.append((SEAL, self._seal(headers[0][1], headers[1][1], key, body)))
        while True:
            async with self._in_order:
                sent = await self._producer.send(self._topics.commands, body, key=key, headers=headers)
            sent.add_done_callback(_heard)
            try:
                async with asyncio.timeout(RESEND_SECONDS):
                    return await asyncio.shield(waiter)
            except TimeoutError:
                continue

    async def run(self) -> None:
        """Hand verdicts to whoever waits; runs until cancelled.  Should it fail, so does whoever waits."""
        try:
            await self._listen()
        except Exception as failure:
            self._failure = failure
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(failure)
            raise

    async def _listen(self) -> None:
        _, seen = await self._store.head()
        async for _ in self._store.wakeups():
            with suppress(StoreUnavailable):  # it is asked again at the next wake-up
                while verdicts := await self._store.read_verdicts(seen, 5000):
                    for verdict in verdicts:
                        self._answer(verdict.command_id, _told(verdict))
                    seen = verdicts[-1].verdict_position
                unanswered = [id for id, waiter in self._waiting.items() if not waiter.done()]
                if unanswered:
                    await self._ask(unanswered[:IN_FLIGHT_MAX])

    async def _ask(self, command_ids: Sequence[UUID]) -> None:
        """Verdicts that are older than our looking: commands that were sent before."""
        for id, verdict in (await self._store.verdicts(command_ids)).items():
            self._answer(id, _told(verdict))

    def _answer(self, command_id: UUID, verdict: Verdict) -> None:
        waiter = self._waiting.get(command_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(verdict)


def _heard(sent: asyncio.Future[Any]) -> None:
    """A broker's failure is no news here: without a verdict the command is sent again."""
    if not sent.cancelled():
        sent.exception()


def _told(verdict: RecordedVerdict) -> Verdict:
    return Verdict(verdict.status, verdict.outcome, verdict.position)


@asynccontextmanager
async def sender(
    store: Store,
    bootstrap_servers: str,
    topics: Topics,
    tenant: str,
    actor: Actor,
    *,
    seal: Seal | None = None,
    **security: Any,
) -> AsyncIterator[Sender]:
    """`seal` is Tender's own: with it, the actor is taken to be who he is said to be."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        linger_ms=2,
        max_request_size=2 * 1024 * 1024,
        **security,
    )
    await producer.start()
    sending = Sender(store, producer, topics, tenant, actor, seal)
    running = asyncio.create_task(sending.run(), name="verdicts")
    try:
        yield sending
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await producer.stop()
