"""`tender bench …`: how fast it is, beside what it is measured against."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import orjson
from cyclopts import App

from services.bench.spine import spine as measure_spine
from services.cli.output import Output, console, show

bench = App(name="bench", help="Measure: ratios in one run, on an embedded stack of their own.")


@bench.command
def spine(*, commands: int = 20_000, accounts: int = 200, output: Output = "table") -> None:
    """Commands in through Kafka, durable, projected, events out; beside the bare loop."""
    with tempfile.TemporaryDirectory(prefix="tender-bench-", ignore_cleanup_errors=True) as folder:
        told = asyncio.run(measure_spine(Path(folder), commands, accounts))
    if output == "json":
        console.print_json(orjson.dumps(told.whole()).decode())
    else:
        show(told.table, output)
        cpu = ", ".join(f"{name} {used:.0f}" for name, used in told.cpu_microseconds.items())
        console.print(
            f"{told.commands} commands, {told.events} events; worker {told.worker_megabytes:.0f} MB"
        )
        console.print(f"CPU per command, in µs: {cpu}")
        console.print(f"looked up afterwards, wrong: {told.wrong}")
    if any(told.wrong.values()):
        raise SystemExit(1)
