"""One gateway worker, with as many calls in the air as it may have, before a gateway that takes its time.

Work is put where decisions put it; a call is over when its answer is in the outbox.  The theoretical rate
is what would go through if nothing but the gateway took time; beside it stands the bare HTTP client.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from events.gateway import GatewayRegistered
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import Method
from gateways.direct import Direct
from gateways.simulator.translation import CAPABILITIES, to_request
from services import bootstrap
from services.bench.stage import Stage, cpu_seconds, peak_megabytes, staged
from services.clock import SystemClock
from services.running.supervisor import module_command
from services.store.protocol import Batch, NewEvent, WorkChange, WorkPlanned

TENANT, GATEWAY = "bench", "slow"
WARM_SECONDS = 2.0
PUT_MAX = 2_000

_OVER = "select count(*) from outbox_commands where type like 'payments.payment.record_outcome.%'"


@dataclass(frozen=True)
class Gateway:
    in_air: int
    """Calls in the air at a time, as asked for; `most` as the gateway saw them."""
    most: int
    delay_milliseconds: int
    calls_a_second: float
    bare_calls_a_second: float
    worker_megabytes: float
    worker_megabytes_before: float
    """At its peak, and when it had just begun to work."""
    cpu_microseconds: dict[str, float]
    """Of a core, for each call: the worker's, PostgreSQL's, and of the gateway that is played here."""
    bare_microseconds: dict[str, float]
    """The same for each call of the bare client: its own, and the gateway's."""

    @property
    def theoretical(self) -> float:
        return self.in_air / (self.delay_milliseconds / 1000)

    @property
    def possible(self) -> float:
        """Calls a second that the cores of this machine have time for, if nobody else were here."""
        used = sum(self.cpu_microseconds.values())
        return (os.cpu_count() or 1) * 1e6 / used if used else 0.0

    @property
    def table(self) -> list[dict[str, Any]]:
        rates = (
            ("worker: leased, called, handed back", self.calls_a_second),
            ("bare HTTP client", self.bare_calls_a_second),
            ("what this machine's cores have time for", self.possible),
            (f"theoretical: {self.in_air} in {self.delay_milliseconds} ms", self.theoretical),
        )
        return [
            {"what": what, "calls_a_second": f"{rate:.0f}", "share": f"{rate / self.theoretical:.0%}"}
            for what, rate in rates
        ]


async def gateway(
    folder: Path, in_air: int = 1_000, delay_milliseconds: int = 200, seconds: int = 15
) -> Gateway:
    calls = int(in_air / (delay_milliseconds / 1000) * (seconds + WARM_SECONDS)) + in_air
    async with answering(delay_milliseconds) as (url, played):
        alone, bare_cpu = await bare(url, in_air, min(calls, in_air * 10), played)
        async with staged(folder) as stage:
            limits = {"gateway_concurrency": in_air, "gateway_concurrency_each": in_air}
            stage.settings = stage.settings.model_copy(update={**limits, "simulator_url": url})
            await _put(stage, calls)
            async with stage.roles({"gateway": ("gateway",)}) as pids:
                watched = {"worker": pids["gateway"], "the gateway": played, **stage.server_pids}
                watched.pop("the broker", None)
                rate, cpu, before = await _steady(stage, watched, seconds, calls)
                peak = peak_megabytes(pids["gateway"])
        most = await _most(url)
    return Gateway(in_air, most, delay_milliseconds, rate, alone, peak, before, cpu, bare_cpu)


async def _put(stage: Stage, calls: int) -> None:
    """A registered gateway, and calls that were decided."""
    async with bootstrap.store(stage.settings) as opened:
        registered = GatewayRegistered(
            GATEWAY,
            "Slow",
            "sim",
            "env:NONE",
            "m-1",
            "TEST",
            "simulator",
            CAPABILITIES,
            connect_timeout_ms=30_000,
            read_timeout_ms=30_000,
        )
        now = SystemClock().now()
        event = NewEvent(
            f"{TENANT}/gw-{GATEWAY}", 1, registered, f"{TENANT}/~gateway/{GATEWAY}", uuid4(), b"{}", now, True
        )
        await opened.commit(Batch(events=[event], known_position=0))
        for begin in range(0, calls, PUT_MAX):
            part = [_planned(n) for n in range(begin, min(calls, begin + PUT_MAX))]
            await opened.commit(Batch(work=[_work(planned, now) for planned in part]))
    await stage.connection.execute("analyze gateway_work")


def _work(planned: GatewayCallPlanned, now: datetime) -> WorkChange:
    home = f"{TENANT}/{planned.account_id}"
    return WorkPlanned(planned.idempotency_key, home, GATEWAY, planned.operation, planned, now)


def _planned(n: int) -> GatewayCallPlanned:
    key = f"{TENANT}:sale:P-{n}:1"
    return GatewayCallPlanned(
        "SALE",
        key,
        1,
        "payment",
        f"P-{n}",
        f"A-{n % 500}",
        GATEWAY,
        Money(1999, "USD"),
        "0" * 64,
        f"PAY-{n}",
        method=Method("card", "tok_ok", GATEWAY),
    )


async def _steady(
    stage: Stage, watched: Mapping[str, int], seconds: int, calls: int
) -> tuple[float, dict[str, float], float]:
    """Calls a second, and µs of each process for one, once it is warm; and the worker's memory then."""
    while not await stage.connection.fetchval(_OVER):
        await asyncio.sleep(0.05)
    await asyncio.sleep(WARM_SECONDS)
    memory = peak_megabytes(watched["worker"])
    done, at, before = await stage.connection.fetchval(_OVER), time.perf_counter(), cpu_seconds(watched)
    await asyncio.sleep(seconds)
    while (more := await stage.connection.fetchval(_OVER)) == done:  # in bursts, on a busy machine
        await asyncio.sleep(0.05)
    then, after = time.perf_counter(), cpu_seconds(watched)
    assert more < calls, "it ran out of work before the time was over"
    return (more - done) / (then - at), _for_each(before, after, more - done), memory


def _for_each(before: Mapping[str, float], after: Mapping[str, float], calls: int) -> dict[str, float]:
    return {name: (after[name] - used) / max(1, calls) * 1e6 for name, used in before.items()}


async def bare(url: str, in_air: int, calls: int, played: int) -> tuple[float, dict[str, float]]:
    """The same requests by the HTTP client alone, as many in the air; and what each costs."""
    bodies = [orjson.dumps(to_request(_planned(n))) for n in range(calls)]
    left, watched = iter(bodies), {"the client": os.getpid(), "the gateway": played}
    async with Direct(url, 30_000, 30_000, connections_max=in_air) as http:
        begun, before = time.perf_counter(), _own_too(watched)
        await asyncio.gather(*(_send_all(http, left) for _ in range(in_air)))
        took = time.perf_counter() - begun
    return calls / took, _for_each(before, _own_too(watched), calls)


def _own_too(watched: Mapping[str, int]) -> dict[str, float]:
    """Our own time without that of our children, who are among the others."""
    return {**cpu_seconds(watched), "the client": time.process_time()}


async def _send_all(http: Direct, left: Any) -> None:
    for body in left:
        answer = await http.ask("POST", "/v1/operations", content=body)
        assert answer.status == 200


async def _most(url: str) -> int:
    async with Direct(url, 5_000, 5_000) as http:
        return orjson.loads((await http.ask("GET", "/most")).body)["most"]


@asynccontextmanager
async def answering(delay_milliseconds: int) -> AsyncIterator[tuple[str, int]]:
    command = module_command("services.bench.answering", str(delay_milliseconds))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}", process.pid
    finally:
        process.terminate()
        await process.wait()
