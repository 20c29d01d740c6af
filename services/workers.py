"""Gateway workers: they send what was decided, and inquire about what is not known.  Nothing else.

Invariant: a lease that says "sent at" is committed before the first byte leaves; whoever takes such a
lease over inquires, and never sends.  An answer goes back as a command, and ends the lease only when
its event is in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson

from events import ids
from events.gateway_call import GatewayCallPlanned
from events.mapper import decode
from events.shapes import Outcome
from gateways.protocol import Gateway
from services.authorizing import RecordAuthorizationOutcome, RecordReversalOutcome
from services.calling import Report, Source
from services.clock import Clock
from services.commands import TYPES, Actor, encode
from services.paying import RecordPaymentOutcome
from services.refund_outcomes import RecordRefundOutcome
from services.store.protocol import Batch, OutboxCommand, Store, StoreUnavailable, Work, WorkAnswered

PAUSE_SECONDS = 0.5
ACTOR = Actor("SYSTEM", "gateway-worker")

REPORTS: dict[str, type[Report]] = {
    "SALE": RecordPaymentOutcome,
    "CAPTURE": RecordPaymentOutcome,
    "VOID": RecordPaymentOutcome,
    "AUTHORIZE": RecordAuthorizationOutcome,
    "REVERSE": RecordReversalOutcome,
    "REFUND": RecordRefundOutcome,
    "UNREFERENCED_REFUND": RecordRefundOutcome,
}

TAKEN_OVER = Outcome(
    "Indeterminate", category="GatewayConnection", raw_message="the worker that sent it is gone"
)


class GatewayWorker:
    """`gateway_of(tenant, gateway_id)` gives the adapter of a registered gateway."""

    def __init__(
        self,
        store: Store,
        gateway_of: Callable[[str, str], Awaitable[Gateway]],
        clock: Clock,
        *,
        holder: str,
        concurrency: int = 200,
        lease_seconds: float = 180.0,
    ) -> None:
        self._store, self._gateway_of, self._clock = store, gateway_of, clock
        self._holder, self._concurrency, self._lease_seconds = holder, concurrency, lease_seconds
        self._claims = 0
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled; what is in the air then is taken over later, as unknown."""
        try:
            async for _ in self._store.wakeups():
                try:
                    while await self.step():
                        await self._until_free()
                except StoreUnavailable:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            for call in self._calls:
                call.cancel()

    async def step(self) -> int:
        """Lease what is due, as far as there is room, and begin it; how much that was."""
        room = self._concurrency - len(self._calls)
        if room <= 0:
            return 0
        self._claims += 1
        lease = f"{self._holder}#{self._claims}"
        leased = await self._store.claim_work(lease, self._clock.now(), self._lease_seconds, room)
        for work in leased:
            call = asyncio.create_task(self._work(work, lease), name=f"{work.mode} {work.key}")
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return len(leased)

    async def idle(self) -> None:
        """Return once nothing is in the air."""
        while self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def _until_free(self) -> None:
        if len(self._calls) >= self._concurrency:
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)

    async def _work(self, work: Work, lease: str) -> None:
        planned = decode("gateway_call.planned.v1", work.request)
        tenant = work.home.partition("/")[0]
        if work.taken_over:
            report = self._report(work, "RECONCILER", TAKEN_OVER)
        else:
            gateway = await self._gateway_of(tenant, work.gateway_id)
            ask = self._send if work.mode == "SEND" else self._inquire
            report = await ask(gateway, planned, work)
        await self._hand_back(work, lease, planned, report)

    async def _send(self, gateway: Gateway, planned: GatewayCallPlanned, work: Work) -> Report:
        return self._report(work, "GATEWAY", await gateway.call(planned))

    async def _inquire(self, gateway: Gateway, planned: GatewayCallPlanned, work: Work) -> Report:
        found = await gateway.query(planned)
        if found is not None:
            return self._report(work, "RECONCILER", found)
        can = gateway.capabilities
        trusted = can.query_by_reference and can.read_your_writes_seconds is not None
        return replace(self._report(work, "RECONCILER", Outcome("NotFound")), not_executed=trusted)

    def _report(self, work: Work, source: Source, outcome: Outcome) -> Report:
        return REPORTS[work.operation](work.key, source, outcome, sent_at=work.sent_at)

    async def _hand_back(self, work: Work, lease: str, planned: GatewayCallPlanned, report: Report) -> None:
        """Put the answer into the outbox; a store that is away is waited for, the gateway not asked again."""
        tenant, _, account_id = work.home.partition("/")
        place = (work.sent_at or self._clock.now()) if work.mode == "SEND" else self._clock.now()
        key = f"calling:{work.key}:{work.mode}{'-over' if work.taken_over else ''}:{place.isoformat()}"
        type, body = encode(report, tenant=tenant, account_id=account_id, actor=ACTOR, idempotency_key=key)
        meta = orjson.dumps({"correlation_id": planned.target_id, "causation_id": work.key})
        command_id = ids.command_id(tenant, TYPES[report.__class__], key)
        while True:
            now = self._clock.now()
            answer = OutboxCommand(command_id, work.home, type, body, meta, now)
            try:
                await self._store.commit(
                    Batch(outbox=[answer], answered_work=[WorkAnswered(work.key, lease)])
                )
                return
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
