"""The simulator's process: `python -m gateways.simulator --port 9321 --ledger FOLDER --seed 7`.

Its ledger is a file of JSON lines, on disk before an answer leaves: neither a crash of its own nor
one of Tender's forgets a charge.  It listens on loopback only, and with `--notify-to PREFIX` tells what
it does to the address that each request names, if that begins so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateways.settlements import simulator as settlements
from gateways.simulator.adapter import NOTIFY_URL
from gateways.simulator.behaviour import ScriptRule
from gateways.simulator.core import Entry, Simulator, dumped, loaded
from gateways.simulator.moved_time import MovedTime
from gateways.simulator.sending import Sending
from gateways.simulator.settling import settlement


class Ledger:
    """An append-only file; the last line of a key is what counts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "ledger.jsonl"
        self._file = self._path.open("ab")

    def entries(self) -> list[Entry]:
        lines = self._path.read_bytes().split(b"\n")
        return [loaded(line) for line in lines[:-1] if line]

    def write(self, entry: Entry) -> None:
        self._file.write(dumped(entry) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def create_app(simulator: Simulator, sending: Sending, now: Callable[[], datetime]) -> Starlette:
    async def operate(request: Request) -> Response:
        url = request.headers.get(NOTIFY_URL, "")
        reply = simulator.request(orjson.loads(await request.body()), now(), url)
        await asyncio.sleep(reply.delay_seconds)
        if reply.kind == "BUSY":
            return Response(status_code=503, headers={"retry-after": str(reply.body["retry_after"])})
        return Response(status_code=504) if reply.kind == "LOST" else _json(reply.body)

    async def inquire(request: Request) -> Response:
        answer = simulator.query(request.path_params["key"], now())
        return Response(status_code=404) if answer is None else _json(answer)

    async def ledger(request: Request) -> Response:
        return _json(list(simulator.entries.values()))

    async def totals(request: Request) -> Response:
        return _json(simulator.moved(request.query_params.get("keys", "")))

    async def settled(request: Request) -> Response:
        """`until=2026-03-05` (a day that is not over has no payout), `paid_in=EUR&rate=1.08`.

        `keys=acme:` tells only of one tenant, where several share the simulator.
        """
        asked = request.query_params
        until = date.fromisoformat(asked["until"]) if "until" in asked else now().date()
        simulator.let_time_pass(now())
        rate = Decimal(asked.get("rate", "1"))
        entries = simulator.entries_of(asked.get("keys", ""))
        rows = settlement(entries, until, asked.get("paid_in"), rate)
        return Response(settlements.write(rows), media_type="text/csv")

    async def script(request: Request) -> Response:
        simulator.script.extend(ScriptRule(**rule) for rule in orjson.loads(await request.body()))
        return _json({"rules": len(simulator.script)})

    async def time_passes(request: Request) -> Response:
        """Let happen what is due by now; what is left to happen by itself."""
        return _json(sending.let_time_pass()._asdict())

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(sending.run(), name="send notifications")
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/v1/operations", operate, methods=["POST"]),
            Route("/v1/operations/{key}", inquire),
            Route("/v1/ledger", ledger),
            Route("/v1/totals", totals),
            Route("/v1/settlement-report", settled),
            Route("/v1/script", script, methods=["POST"]),
            Route("/v1/time", time_passes, methods=["POST"]),
        ],
    )


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m gateways.simulator", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--ledger", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--notify-to", default="", metavar="PREFIX")
    arguments.add_argument("--mood", default="mix", help="how it notifies: see notifying.py")
    arguments.add_argument("--clock", type=Path, metavar="FILE", help="how far time is moved ahead")
    given = arguments.parse_args()
    now = MovedTime(given.clock).now if given.clock else partial(datetime.now, UTC)
    ledger, sending = Ledger(given.ledger), Sending(given.notify_to, given.mood, now)
    simulator = sending.simulator = Simulator(given.seed, write=ledger.write, tell=sending.tell)
    for entry in ledger.entries():
        simulator.restore(entry)
    app = create_app(simulator, sending, now)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
