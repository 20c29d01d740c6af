"""How fast read models are made anew, and how fast they answer; each beside the bare thing."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from events import ids
from projections.models import TABLES
from projections.rebuild import rebuild
from projections.rows import PostgresRows
from services.bench.stage import Stage, staged
from services.bench.stream import TENANT, measured
from services.embedded import free_port
from services.running.supervisor import module_command
from services.store.postgres import PostgresStore

CONNECTIONS = 32
ACCOUNTS = 200


@dataclass(frozen=True)
class Reading:
    events: int
    rebuild_seconds: float
    copy_seconds: float
    """COPY out and in of the same rows of the log, indexes included."""
    tender_requests: float
    bare_requests: float
    """Requests per second, of one invoice's balance and of a bare handler's same row."""

    @property
    def table(self) -> list[dict[str, Any]]:
        rebuilt, copied = self.events / self.rebuild_seconds, self.events / self.copy_seconds
        asked, bare = self.tender_requests, self.bare_requests
        return [
            _row("rebuild, events/s; beside COPY out and in", rebuilt, copied),
            _row(
                "one invoice over HTTP, requests/s; beside a bare handler",
                asked,
                bare,
            ),
        ]


def _row(what: str, ours: float, bare: float) -> dict[str, Any]:
    return {"what": what, "tender": round(ours), "bare": round(bare), "share": f"{ours / bare:.0%}"}


async def reading(folder: Path, commands: int, seconds: float = 4.0) -> Reading:
    async with staged(folder) as stage:
        async with stage.roles():
            await stage.prepare(ACCOUNTS)
            await stage.send(list(measured(max(1, commands // 100), ACCOUNTS)))
            await stage.quiet()
        rebuild_seconds, events = await _rebuild(stage)
        copy_seconds = await _copy(stage)
        tender = await _tender_requests(stage, seconds)
        bare = await _bare_requests(stage, seconds)
        return Reading(events, rebuild_seconds, copy_seconds, tender, bare)


async def _rebuild(stage: Stage) -> tuple[float, int]:
    """Fold from zero beside the live rows; the comparison is not in the time."""
    url = stage.settings.database_url or ""
    store = await PostgresStore.connect(url)
    folded = list[float]()
    try:
        async with PostgresRows.connected(url, TABLES) as rows:
            began = time.perf_counter()
            report = await rebuild(
                store, rows, switch=False, progress=lambda done, of: folded.append(time.perf_counter())
            )
            assert not report.differences, report.differences[0]
            return folded[-1] - began, report.events
    finally:
        await store.close()


async def _copy(stage: Stage) -> float:
    await stage.connection.execute("create table log_again (like log including indexes)")
    buffer = io.BytesIO()
    began = time.perf_counter()
    await stage.connection.copy_from_table("log", output=buffer, format="binary")
    buffer.seek(0)
    await stage.connection.copy_to_table("log_again", source=buffer, format="binary")
    return time.perf_counter() - began


async def _tender_requests(stage: Stage, seconds: float) -> float:
    settings = stage.settings.model_copy(update={"http_port": free_port()})
    stage.settings = settings
    async with stage.roles({"http": ("http",)}):
        path = f"/v1/{TENANT}/invoices/{ids.invoice_id(TENANT, '0-0')}"
        await _answers(settings.http_port, path)
        return await _requests(settings.http_port, path, seconds)


async def _bare_requests(stage: Stage, seconds: float) -> float:
    """The same server and the same SELECT, in a process of its own too."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *module_command("services.bench.reading", stage.settings.database_url or "", str(port))
    )
    try:
        await _answers(port, "/")
        return await _requests(port, "/", seconds)
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int, path: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if await _requests(port, path, 0.05) > 0:
                    return
            except OSError:
                await asyncio.sleep(0.1)


async def _requests(port: int, path: str, seconds: float) -> float:
    """Over some kept connections, one request after the other on each."""
    ends = time.perf_counter() + seconds
    done = await asyncio.gather(*(_one_connection(port, path, ends) for _ in range(CONNECTIONS)))
    return sum(done) / seconds


async def _one_connection(port: int, path: str, ends: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    done = 0
    try:
        while time.perf_counter() < ends:
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                return 0
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            done += 1
    finally:
        writer.close()
    return done


async def _as_it_is(connection: object) -> None:
    """No reset between two requests: ours has none either."""


def _bare_app(database_url: str) -> Starlette:
    pools: dict[str, asyncpg.Pool] = {}

    async def one(request: Request) -> JSONResponse:
        if "pool" not in pools:
            pools["pool"] = await asyncpg.create_pool(database_url, min_size=1, max_size=8, reset=_as_it_is)
        row: Mapping[str, Any] = await pools["pool"].fetchrow(
            "select * from read_a.invoices where tenant_id = $1 and invoice_id = $2",
            TENANT,
            ids.invoice_id(TENANT, "0-0"),
        )
        return JSONResponse({name: str(value) for name, value in row.items()})

    return Starlette(routes=[Route("/", one)])


if __name__ == "__main__":
    uvicorn.run(
        _bare_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", loop="uvloop"
    )
