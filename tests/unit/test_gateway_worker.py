"""The gateway worker: a lane for each gateway, an end to every call, and answers handed back together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import Outcome
from services.calls.safety import Limits
from services.store.memory import MemoryStore
from services.store.protocol import Batch, StoreUnavailable, WorkDue, WorkPlanned
from services.workers import GatewayWorker
from tests.batches import NOW

GONE_ON = 5.0


class Moving:
    """A clock that moves on when a test says so."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class Outside:
    """Gateways of a test: what each does with a call."""

    def __init__(self, **acts: Callable[[GatewayCallPlanned], Awaitable[Outcome]]) -> None:
        self._acts = acts
        self.called: Counter[str] = Counter()
        self.limits: dict[str, Limits] = {}
        self.open_until: dict[str, datetime] = {}
        self.capabilities = Capabilities(("SALE",))

    async def of(self, tenant: str, gateway_id: str) -> Any:
        outside = self

        class Gateway:
            capabilities = outside.capabilities

            async def call(self, request: GatewayCallPlanned) -> Outcome:
                outside.called[gateway_id] += 1
                return await outside._acts[gateway_id](request)

            query = call

        return Gateway()

    async def limits_of(self, tenant: str, gateway_id: str) -> tuple[Limits, datetime | None]:
        return self.limits.get(gateway_id, Limits(at_once=5)), self.open_until.get(gateway_id)


async def approves(request: GatewayCallPlanned) -> Outcome:
    return Outcome("Success", gateway_ref="ref")


async def never_answers(request: GatewayCallPlanned) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


async def lost(request: GatewayCallPlanned) -> Outcome:
    return Outcome("Indeterminate")


def planned(gateway_id: str, *numbers: int) -> list[WorkPlanned]:
    made = []
    for n in numbers:
        key = f"{gateway_id}-{n}"
        fact = GatewayCallPlanned(
            "SALE", key, 1, "payment", "P", "a", gateway_id, Money(1, "USD"), "digest", "PAY-1"
        )
        made.append(WorkPlanned(key, "t/a", gateway_id, "SALE", fact, NOW))
    return made


@asynccontextmanager
async def working(
    outside: Outside, store: MemoryStore, clock: Moving, concurrency: int = 50, grace_seconds: float = 0.0
) -> AsyncIterator[GatewayWorker]:
    store.poll_seconds = 0.02
    worker = GatewayWorker(
        store,
        outside.of,
        clock,
        holder="w",
        limits_of=outside.limits_of,
        concurrency=concurrency,
        grace_seconds=grace_seconds,
    )
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def told(store: MemoryStore, count: int) -> list[dict[str, Any]]:
    """The commands in the outbox, once there are so many."""
    async with asyncio.timeout(GONE_ON):
        while True:
            due = await store.due_commands(NOW + timedelta(days=1), 0, 10_000)
            if len(due) >= count:
                return [{"type": each.type, **orjson.loads(each.body)} for each in due]
            await asyncio.sleep(0.01)


def results(commands: list[dict[str, Any]]) -> Counter[str]:
    return Counter(
        each["data"]["result"]["result_code"] for each in commands if "result" in each.get("data", {})
    )


async def test_a_gateway_that_never_answers_holds_up_no_other() -> None:
    outside, store = Outside(stuck=never_answers, well=approves), MemoryStore()
    await store.commit(Batch(work=[*planned("stuck", *range(40)), *planned("well", *range(40))]))
    async with working(outside, store, Moving(), concurrency=20):
        assert results(await told(store, 40)) == {"Success": 40}
    assert outside.called == {"stuck": 5, "well": 40}


async def test_a_call_ends_in_its_time_whatever_its_adapter_does() -> None:
    outside, store = Outside(stuck=never_answers), MemoryStore()
    outside.limits["stuck"] = Limits(at_once=5, call_seconds=0.05)
    await store.commit(Batch(work=planned("stuck", 1)))
    async with working(outside, store, Moving()):
        assert results(await told(store, 1)) == {"Indeterminate": 1}


async def test_an_adapter_that_raises_leaves_an_unknown_outcome_and_no_secret() -> None:
    async def raises(request: GatewayCallPlanned) -> Outcome:
        raise RuntimeError("the key is sk_topsecret")

    outside, store = Outside(broken=raises), MemoryStore()
    await store.commit(Batch(work=planned("broken", 1)))
    async with working(outside, store, Moving()):
        commands = await told(store, 1)
    assert results(commands) == {"Indeterminate": 1}
    assert "topsecret" not in str(commands)


async def test_no_more_calls_begin_than_the_rate_allows_until_time_moves_on() -> None:
    outside, store, clock = Outside(slow=approves), MemoryStore(), Moving()
    outside.limits["slow"] = Limits(at_once=100, per_second=20)
    await store.commit(Batch(work=planned("slow", *range(10))))
    async with working(outside, store, clock):
        first = len(await told(store, 3))
        for _ in range(20):
            await asyncio.sleep(0)
        assert outside.called["slow"] == first == 3, "the first, and a tenth of a second's worth"
        clock.time += timedelta(seconds=0.1)
        await told(store, 5)
    assert outside.called["slow"] == 5


async def test_a_gateway_without_answers_is_left_alone_and_its_circuit_opened() -> None:
    outside, store, clock = Outside(ill=lost), MemoryStore(), Moving()
    outside.limits["ill"] = Limits(at_once=1, failures_max=3)
    await store.commit(Batch(work=planned("ill", *range(10))))
    async with working(outside, store, clock):
        commands = await told(store, 4)
        await asyncio.sleep(0.05)
        assert outside.called["ill"] == 3
        (opened,) = [each for each in commands if each["type"] == "payments.gateway.open_circuit.v1"]
        assert (opened["data"]["gateway_id"], opened["data"]["seconds"]) == ("ill", 30)
        outside._acts["ill"] = approves
        clock.time += timedelta(seconds=30)
        later = await told(store, 12)
        closed = [each for each in later if each["type"] == "payments.gateway.close_circuit.v1"]
    assert len(closed) == 1
    assert outside.called["ill"] == 10


async def test_a_worker_that_comes_to_an_open_circuit_waits_for_its_time() -> None:
    outside, store, clock = Outside(ill=approves), MemoryStore(), Moving()
    outside.open_until["ill"] = NOW + timedelta(seconds=30)
    await store.commit(Batch(work=planned("ill", *range(5))))
    async with working(outside, store, clock):
        await told(store, 2)
        clock.time += timedelta(seconds=30)
        commands = await told(store, 6)
    assert [each["type"] for each in commands].count("payments.gateway.close_circuit.v1") == 1


async def test_a_registration_that_cannot_be_read_sends_nothing() -> None:
    class Away(Outside):
        async def limits_of(self, tenant: str, gateway_id: str) -> tuple[Limits, datetime | None]:
            raise StoreUnavailable("away")

    outside, store = Away(well=approves), MemoryStore()
    await store.commit(Batch(work=planned("well", 1)))
    async with working(outside, store, Moving()):
        assert results(await told(store, 1)) == {"SystemError": 1}
    assert outside.called["well"] == 0


async def test_answers_that_come_together_are_written_together() -> None:
    class Counting(MemoryStore):
        commits = 0

        async def commit(self, batch: Batch) -> Any:
            if batch.answered_work:
                self.commits += 1
                await asyncio.sleep(0.02)
            return await super().commit(batch)

    outside, store = Outside(well=approves), Counting()
    outside.limits["well"] = Limits(at_once=100)
    await store.commit(Batch(work=planned("well", *range(100))))
    async with working(outside, store, Moving(), concurrency=100):
        assert results(await told(store, 100)) == {"Success": 100}
    assert store.commits < 10


async def test_what_was_leased_ahead_begins_without_another_lease_and_never_too_many_at_once() -> None:
    in_air = most = 0

    async def quick(request: GatewayCallPlanned) -> Outcome:
        nonlocal in_air, most
        in_air += 1
        most = max(most, in_air)
        await asyncio.sleep(0.01)
        in_air -= 1
        return Outcome("Success", gateway_ref="ref")

    outside, store = Outside(well=quick), MemoryStore()
    outside.limits["well"] = Limits(at_once=20)
    await store.commit(Batch(work=planned("well", *range(200))))
    async with working(outside, store, Moving(), concurrency=20):
        assert results(await told(store, 200)) == {"Success": 200}
    assert (most, outside.called["well"]) == (20, 200)


async def test_what_was_leased_ahead_and_waits_too_long_is_not_sent() -> None:
    free, clock = asyncio.Event(), Moving()
    outside, store = Outside(slow=slow_at_first(free)), MemoryStore()
    outside.limits["slow"] = Limits(at_once=4)
    await store.commit(Batch(work=planned("slow", *range(7))))
    async with working(outside, store, clock, concurrency=4) as worker:
        await held_ahead(outside, worker, called=5)
        clock.time += timedelta(seconds=60)
        free.set()
        assert results(await told(store, 7)) == {"Success": 5, "SystemError": 2}
    assert outside.called["slow"] == 5


async def held_ahead(outside: Outside, worker: GatewayWorker, called: int) -> None:
    """Return once so many calls were sent, and others wait that were leased ahead."""
    async with asyncio.timeout(GONE_ON):
        while outside.called["slow"] < called or not any(queue.waiting for queue in worker._queues.values()):
            await asyncio.sleep(0.01)


def slow_at_first(free: asyncio.Event) -> Callable[[GatewayCallPlanned], Awaitable[Outcome]]:
    async def waits(request: GatewayCallPlanned) -> Outcome:
        if not request.idempotency_key.endswith("-0"):
            await free.wait()
        return Outcome("Success", gateway_ref="ref")

    return waits


@pytest.mark.parametrize("grace_seconds", [0.0, 5.0])
async def test_a_worker_that_ends_sends_nothing_more(grace_seconds: float) -> None:
    free = asyncio.Event()
    outside, store = Outside(slow=slow_at_first(free)), MemoryStore()
    outside.limits["slow"] = Limits(at_once=4)
    await store.commit(Batch(work=planned("slow", *range(7))))
    async with working(outside, store, Moving(), concurrency=4, grace_seconds=grace_seconds) as worker:
        await held_ahead(outside, worker, called=5)
        asyncio.get_running_loop().call_later(0.05, free.set)
    assert outside.called["slow"] == 5
    landed = {"Success": 5, "SystemError": 2} if grace_seconds else {"Success": 1}
    assert results(await told(store, sum(landed.values()))) == landed


async def test_the_grace_of_a_worker_that_ends_is_no_longer_than_it_is() -> None:
    outside, store = Outside(stuck=never_answers), MemoryStore()
    await store.commit(Batch(work=planned("stuck", 1)))
    async with working(outside, store, Moving(), grace_seconds=0.05):
        async with asyncio.timeout(GONE_ON):
            while not outside.called["stuck"]:
                await asyncio.sleep(0.01)
    assert await store.due_commands(NOW + timedelta(days=1), 0, 10) == []


@pytest.mark.parametrize("honours_keys", [True, False])
async def test_a_gateway_that_honours_keys_is_told_that_it_may_know_this_one(honours_keys: bool) -> None:
    heard: list[bool] = []

    async def hears(request: GatewayCallPlanned) -> Outcome:
        heard.append(request.duplicate_suspected)
        return Outcome("Success", gateway_ref="ref")

    store, clock, outside = MemoryStore(), Moving(), Outside(gw=hears)
    outside.capabilities = Capabilities(("SALE",), idempotency=honours_keys)
    await store.commit(Batch(work=planned("gw", 1)))
    async with working(outside, store, clock):
        await told(store, 1)
    await store.commit(Batch(work=[WorkDue("gw-1", "RESEND", NOW)]))
    clock.time += timedelta(seconds=1)
    async with working(outside, store, clock):
        answers = await told(store, 2)
    assert heard == [False, honours_keys]
    assert [answer["data"]["source"] for answer in answers] == ["GATEWAY", "GATEWAY"]
