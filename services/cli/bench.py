"""`tender bench …`: how fast it is, beside what it is measured against."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import orjson
from cyclopts import App

from services.bench.gateway import gateway as measure_gateway
from services.bench.idle import idle as measure_idle
from services.bench.importing import importing as measure_importing
from services.bench.latency import latency as measure_latency
from services.bench.reading import reading as measure_reading
from services.bench.runs import planning as measure_planning
from services.bench.runs import running as measure_running
from services.bench.spine import Spine
from services.bench.spine import spine as measure_spine
from services.cli.output import Output, console, show
from services.running import loop

T = TypeVar("T")

bench = App(name="bench", help="Measure: ratios in one run, on an embedded stack of their own.")


@bench.command
def spine(*, commands: int = 20_000, accounts: int = 200, past: int = 0, output: Output = "table") -> None:
    """Commands in through Kafka, durable, projected, events out; each looked up afterwards.

    `--past 5000000` puts so many events of a million other accounts into the log before.
    """
    told = _on_a_stack(lambda folder: measure_spine(folder, commands, accounts, past))
    _tell(told, output)
    if output == "table":
        _tell_spine(told)
    if any(told.wrong.values()):
        raise SystemExit(1)


@bench.command
def latency(*, rate: int = 200, seconds: int = 15, output: Output = "table") -> None:
    """From one command to its result, beside a bare round trip with one commit."""
    _tell(_on_a_stack(lambda folder: measure_latency(folder, rate, seconds)), output)


@bench.command
def reading(*, commands: int = 20_000, output: Output = "table") -> None:
    """Read models made anew, and asked over HTTP, beside COPY and a bare handler."""
    _tell(_on_a_stack(lambda folder: measure_reading(folder, commands)), output)


@bench.command
def gateway(
    *, in_air: int = 1_000, delay_milliseconds: int = 200, seconds: int = 15, output: Output = "table"
) -> None:
    """Gateway calls in the air from one worker, beside what the gateway's own time allows."""
    told = _on_a_stack(lambda folder: measure_gateway(folder, in_air, delay_milliseconds, seconds))
    _tell(told, output)
    if output == "table":
        console.print(
            f"at most {told.most} in the air; "
            f"memory {told.worker_megabytes_before:.0f} MB once warm, {told.worker_megabytes:.0f} MB at most"
        )
        for whose, cpu in (("", told.cpu_microseconds), (" of the bare client", told.bare_microseconds)):
            each = ", ".join(f"{name} {used:.0f}" for name, used in cpu.items())
            console.print(f"µs of a core for each call{whose}: {each}")


@bench.command
def run(
    *, items: int = 2_000, in_air: int = 1_000, delay_milliseconds: int = 50, output: Output = "table"
) -> None:
    """A batch run from its start to the last event published, beside what the gateway's own time allows.

    `--items 50000` for a night's.
    """
    told = _on_a_stack(lambda folder: measure_running(folder, items, in_air, delay_milliseconds))
    _tell(told, output)
    if output == "table":
        cpu = ", ".join(f"{name} {used:.0f}" for name, used in told.cpu_microseconds.items())
        console.print(f"CPU per item, in µs: {cpu}")
    if any(told.wrong.values()):
        console.print(f"[red]wrong: {told.wrong}[/red]")
        raise SystemExit(1)


@bench.command
def planning(*, items: int = 100_000, output: Output = "table") -> None:
    """What is due, selected, filtered and put on pages by gateway: of a tenth of it, then of all.

    `--items 1000000` for a million.
    """
    _tell(_on_a_stack(lambda folder: measure_planning(folder, items)), output)


@bench.command(name="import")
def bulk_import(*, rows: int = 100_000, accounts: int = 10_000, output: Output = "table") -> None:
    """Tokenized methods in records of 200, each row decided, beside a bare COPY of the same rows."""
    told = _on_a_stack(lambda folder: measure_importing(folder, rows, accounts))
    _tell(told, output)
    if output == "table":
        cpu = ", ".join(f"{name} {used:.0f}" for name, used in told.cpu_microseconds.items())
        console.print(f"CPU per method, in µs: {cpu}; the worker's memory: {told.worker_megabytes:.0f} MB")
    if any(told.wrong.values()):
        console.print(f"[red]wrong: {told.wrong}[/red]")
        raise SystemExit(1)


@bench.command
def idle(
    *, items: int = 1_000_000, schedulers: int = 200, seconds: int = 20, output: Output = "table"
) -> None:
    """What a service uses while nothing is due: with nothing planned, and with items and timers to come."""
    told = _on_a_stack(lambda folder: measure_idle(folder, items, schedulers, seconds))
    _tell(told, output)
    if output == "table":
        console.print(
            f"planned: {told.items} items, {told.timers} timers, {told.schedulers} active schedulers; "
            f"measured for {told.seconds} s each"
        )


def _on_a_stack(measure: Callable[[Path], Awaitable[T]]) -> T:
    async def run(folder: str) -> T:
        return await measure(Path(folder))

    with tempfile.TemporaryDirectory(prefix="tender-bench-", ignore_cleanup_errors=True) as folder:
        return loop.run(run(folder))


def _tell(told: Any, output: Output) -> None:
    if output == "json":
        console.print_json(orjson.dumps(asdict(told) | {"table": told.table}).decode())
    else:
        show(told.table, output)


def _tell_spine(told: Spine) -> None:
    cpu = ", ".join(f"{name} {used:.0f}" for name, used in told.cpu_microseconds.items())
    decided = round(told.commands / told.decided_seconds)
    console.print(f"{told.commands} commands, {told.events} events; {decided} commands/s decided and durable")
    console.print(f"CPU per command, in µs: {cpu}")
    console.print(f"the worker's memory at its peak: {told.worker_megabytes:.0f} MB")
    wrong = {name: count for name, count in told.wrong.items() if count}
    console.print(f"[red]wrong: {wrong}[/red]" if wrong else f"looked up, all right: {', '.join(told.wrong)}")
