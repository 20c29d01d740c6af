"""The one door, from the inside: a command goes to the outbox, and its verdict is waited for.

Whoever cannot publish to Kafka himself (HTTP, the CLI) sends through here: the command is durable
before anything is answered, and the relay publishes it until it has a verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from events import ids
from events.log import Recorded, RecordedVerdict
from services.calls.calling import DATA_REJECTED
from services.commands import Command, decode
from services.errors import Rejected
from services.store.protocol import Batch, OutboxCommand, Store

FINAL = frozenset(
    {
        f"gateway_call.{ended}.v{version}"
        for ended in ("succeeded", "rejected", "outcome_resolved")
        for version in (1, 2)
    }
)
"""The facts that end a gateway call."""
SENT_AGAIN = frozenset({"payment.enhanced_data_rejected.v1", "authorization.enhanced_data_rejected.v1"})
"""The facts that tell of a call that goes again without its Level 2 and 3 data."""


@dataclass(frozen=True)
class Reply:
    """What became of a command: `verdict` is None while it is still on its way."""

    command_id: UUID
    verdict: RecordedVerdict | None
    replayed: bool = False
    gateway: tuple[Recorded, ...] = ()
    """The last event of each gateway call that the command planned, where the caller waited for them."""

    @property
    def outcome(self) -> dict[str, Any]:
        assert self.verdict is not None
        return orjson.loads(self.verdict.outcome)


class Door:
    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._waiting: dict[UUID, asyncio.Future[RecordedVerdict]] = {}
        self._moved = asyncio.Event()

    async def send(self, type: str, body: bytes, wait_seconds: float, gateway_seconds: float = 0.0) -> Reply:
        """Record the command for publication, and wait for its verdict, and then for its gateway calls.

        Raises `Undecodable`, and `Rejected` for content that could not be accepted or for an
        identity that was used with other content; a recorded rejection comes back as a verdict.
        """
        command = decode(type, body)
        if isinstance(command.data, Rejected):
            raise command.data
        if (known := await self._known(command)) is not None:
            return Reply(command.command_id, known, replayed=True)
        verdict = await self._verdict(command, self._row(command, body), wait_seconds)
        calls = await self._calls(verdict, gateway_seconds) if verdict and gateway_seconds else ()
        return Reply(command.command_id, verdict, gateway=calls)

    async def run(self) -> None:
        """Hand each new verdict to whoever waits for it; runs until cancelled."""
        _, seen = await self._store.head()
        async for _ in self._store.wakeups():
            while verdicts := await self._store.read_verdicts(seen, 1000):
                for verdict in verdicts:
                    waiter = self._waiting.get(verdict.command_id)
                    if waiter and not waiter.done() and verdict.status != "PARKED":
                        waiter.set_result(verdict)
                seen = verdicts[-1].verdict_position
            self._moved.set()
            self._moved = asyncio.Event()

    async def _known(self, command: Command) -> RecordedVerdict | None:
        known = (await self._store.verdicts([command.command_id])).get(command.command_id)
        if known is not None and known.fingerprint != command.fingerprint:
            raise Rejected("IDEMPOTENCY_KEY_REUSED", "this identity was used before, with other content")
        return known

    def _row(self, command: Command, body: bytes) -> OutboxCommand:
        return OutboxCommand(command.command_id, command.home, command.type, body, command.meta, self._now())

    async def _verdict(self, command: Command, row: OutboxCommand, seconds: float) -> RecordedVerdict | None:
        waiter = self._waiting.setdefault(command.command_id, asyncio.get_running_loop().create_future())
        try:
            await self._store.commit(Batch(outbox=[row]))
            async with asyncio.timeout(seconds):
                return await asyncio.shield(waiter)
        except TimeoutError:
            return (await self._store.verdicts([command.command_id])).get(command.command_id)
        finally:
            self._waiting.pop(command.command_id, None)

    async def _calls(self, verdict: RecordedVerdict, seconds: float) -> tuple[Recorded, ...]:
        streams = _gateway_calls(verdict)
        last = [await self._last(stream) for stream in streams]
        try:
            async with asyncio.timeout(seconds):
                while any(event.topic not in FINAL for event in last):
                    await self._moved.wait()
                    last = [await self._last(stream) for stream in streams]
        except TimeoutError:
            pass
        return tuple(last)

    async def _last(self, stream: str) -> Recorded:
        """A call's last event; of one that was refused for its data alone, that of the call without them."""
        events = await self._store.read_stream(stream)
        again = await self._sent_again(events)
        return await self._last(again) if again else events[-1]

    async def _sent_again(self, events: Sequence[Recorded]) -> str | None:
        outcome = orjson.loads(events[-1].data).get("outcome") or {}
        if outcome.get("result_code") != DATA_REJECTED:
            return None
        planned, tenant = orjson.loads(events[0].data), ids.parts(events[0].stream)[0]
        for told in await self._store.read_stream(
            f"{tenant}/{planned['target_kind']}-{planned['target_id']}"
        ):
            if told.topic in SENT_AGAIN:
                rejected = orjson.loads(told.data)
                if rejected["attempt_no"] == planned["attempt_no"] + 1:
                    return f"{tenant}/gwcall-{rejected['gateway_idempotency_key']}"
        return None


def _gateway_calls(verdict: RecordedVerdict) -> Sequence[str]:
    streams = orjson.loads(verdict.outcome).get("streams", {})
    return [stream for stream in streams if ids.parts(stream)[1] == "gwcall"]
