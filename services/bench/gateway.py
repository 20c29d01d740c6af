"""One gateway worker, with as many calls in the air as it may have, before a gateway that takes its time.

Work is put where decisions put it; a call is over when its answer is in the outbox.  The theoretical rate
is what would go through if nothing but the gateway took time; beside it stands the bare HTTP client.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
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
from gateways.http import Client, client
from gateways.simulator.translation import CAPABILITIES, to_request
from services import bootstrap
from services.bench.stage import Stage, cpu_seconds, peak_megabytes, staged
from services.clock import SystemClock
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
    worker_microseconds: float
    """Of a core, for each call."""

    @property
    def theoretical(self) -> float:
        return self.in_air / (self.delay_milliseconds / 1000)

    @property
    def table(self) -> list[dict[str, Any]]:
        rates = (
            ("worker: leased, called, handed back", self.calls_a_second),
            ("bare HTTP client", self.bare_calls_a_second),
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
    async with _answering(delay_milliseconds) as url:
        bare = await _bare(url, in_air, min(calls, in_air * 10))
        async with staged(folder) as stage:
            limits = {"gateway_concurrency": in_air, "gateway_concurrency_each": in_air}
            stage.settings = stage.settings.model_copy(update={**limits, "simulator_url": url})
            await _put(stage, calls)
            async with stage.roles({"gateway": ("gateway",)}) as pids:
                rate, cpu, before = await _steady(stage, pids["gateway"], seconds, calls)
                peak = peak_megabytes(pids["gateway"])
        most = await _most(url)
    return Gateway(in_air, most, delay_milliseconds, rate, bare, peak, before, cpu)


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
        method=Method("CARD", "tok_ok", GATEWAY),
    )


async def _steady(stage: Stage, pid: int, seconds: int, calls: int) -> tuple[float, float, float]:
    """Calls a second, and the worker's µs for each, once it is warm; and its memory then."""
    while not await stage.connection.fetchval(_OVER):
        await asyncio.sleep(0.05)
    await asyncio.sleep(WARM_SECONDS)
    memory = peak_megabytes(pid)
    done, at, used = await stage.connection.fetchval(_OVER), time.perf_counter(), cpu_seconds({"w": pid})["w"]
    await asyncio.sleep(seconds)
    more, then = await stage.connection.fetchval(_OVER), time.perf_counter()
    worked = cpu_seconds({"w": pid})["w"] - used
    assert more < calls, "it ran out of work before the time was over"
    return (more - done) / (then - at), worked / max(1, more - done) * 1e6, memory


async def _bare(url: str, in_air: int, calls: int) -> float:
    """The same requests by the HTTP client alone, as many in the air."""
    bodies = [orjson.dumps(to_request(_planned(n))) for n in range(calls)]
    left = iter(bodies)
    async with client(30_000, 30_000, base_url=url, connections_max=in_air) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(_send_all(http, left) for _ in range(in_air)))
        return calls / (time.perf_counter() - begun)


async def _send_all(http: Client, left: Any) -> None:
    for body in left:
        answer = await http.ask("POST", "/v1/operations", content=body)
        assert answer.status == 200


async def _most(url: str) -> int:
    async with client(5_000, 5_000, base_url=url) as http:
        return orjson.loads((await http.ask("GET", "/most")).body)["most"]


@asynccontextmanager
async def _answering(delay_milliseconds: int) -> AsyncIterator[str]:
    arguments: Sequence[str] = ("-m", "services.bench.answering", str(delay_milliseconds))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()
