"""The commands of the CLI, one function each; `tender --help` shows them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import orjson
from aiokafka import AIOKafkaConsumer
from cyclopts import App, Parameter
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from projections.explain import explain as explain_facts
from projections.models import TABLES
from projections.rebuild import rebuild
from projections.rows import PostgresRows
from projections.verify import verify as verify_all
from services import bootstrap, contracts, loop
from services.cli.bench import bench
from services.cli.gateways import gateways
from services.cli.notifications import notifications
from services.cli.output import Output, console, errors, show
from services.clock import SystemClock
from services.commands import Actor
from services.demo import report as demo_report
from services.demo import run as demo_run
from services.handler import Handler
from services.importing import posting
from services.importing.posting import Unreadable
from services.importing.sending import Planned, sender
from services.settings import Settings
from services.stack import Stack, attached, running
from services.store.postgres import PostgresStore
from services.subjects import SUBJECTS
from services.unparking import drop, release

app = App(name="tender", help="Payments and refunds, event by event.", version="0.1.0")
parked = App(name="parked", help="Commands that poisoned their key, and what waits behind them.")
projections = App(name="projections", help="Read models: where they stand, and building them anew.")
dead_letters = App(name="dead-letters", help="Records that were no commands.")
for group in (parked, projections, dead_letters, gateways, notifications, bench):
    app.command(group)

DataDir = Annotated[Path | None, Parameter(help="Where the embedded stack keeps its data.")]


def _settings(data_dir: Path | None, **changes: Any) -> Settings:
    settings = Settings()
    given = {name: value for name, value in {"data_dir": data_dir, **changes}.items() if value is not None}
    return settings.model_copy(update=given)


def _run(main: Coroutine[Any, Any, Any]) -> Any:
    try:
        return loop.run(main)
    except (RuntimeError, OSError) as problem:
        errors.print(f"[red]{problem}[/red]")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@asynccontextmanager
async def _reading(data_dir: Path | None) -> AsyncIterator[tuple[PostgresStore, PostgresRows]]:
    """The store and the read models of a running Tender."""
    async with (
        _attached(data_dir) as (settings, store),
        PostgresRows.connected(settings.database_url or "", TABLES) as rows,
    ):
        yield store, rows


@asynccontextmanager
async def _attached(data_dir: Path | None) -> AsyncIterator[tuple[Settings, PostgresStore]]:
    settings = attached(_settings(data_dir))
    async with bootstrap.store(settings) as store:
        yield settings, store


# -- running


@app.command
def up(*, data_dir: DataDir = None, http_port: int | None = None) -> None:
    """Run everything until Ctrl-C; with servers of your own where TENDER_… variables name them."""
    _run(_up(_settings(data_dir, http_port=http_port)))


async def _up(settings: Settings) -> None:
    async with running(settings, lambda said: errors.print(f"[dim]{said}[/dim]")) as stack:
        _where(stack)
        await _until_told()


def _where(stack: Stack) -> None:
    url = stack.http_url
    console.print(
        f"[bold green]Tender runs.[/bold green] HTTP {url}  ·  OpenAPI {url}/openapi.json  ·  {url}/metrics"
    )
    console.print(
        f"Kafka {stack.settings.kafka_bootstrap_servers}  ·  logs in {stack.settings.data_dir / 'logs'}"
    )


async def _until_told() -> None:
    told, here = asyncio.Event(), asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        here.add_signal_handler(ending, told.set)
    await told.wait()


@app.command
def demo(
    *,
    data_dir: DataDir = None,
    seed: int = 7,
    serve: bool = False,
    output: Output = "table",
    http_port: int | None = None,
) -> None:
    """A week of a real shop's invoices: posted, paid, cancelled, refunded, and reported to the penny."""
    settings = _settings(
        data_dir or Path(".tender/demo"),
        http_port=http_port or 0,
        simulator_seed=seed,
        gateway_lease_seconds=demo_run.LEASE_SECONDS,
    )
    sys.exit(_run(_demo(settings, seed, serve, output)))


async def _demo(settings: Settings, seed: int, serve: bool, output: Output) -> int:
    async with (
        running(settings, lambda said: errors.print(f"[dim]{said}[/dim]")) as stack,
        bootstrap.store(stack.settings) as store,
        PostgresRows.connected(stack.settings.database_url or "", TABLES) as rows,
        sender(
            store,
            stack.settings.kafka_bootstrap_servers or "",
            bootstrap.topics(stack.settings),
            demo_run.TENANT,
            demo_run.ACTOR,
            **bootstrap.security(stack.settings),
        ) as sending,
    ):
        with _progress() as progress:
            outcome = await demo_run.run(sending, rows, seed, _steps(progress))
        ok = await _report(rows, outcome, stack, output)
        if serve:
            _where(stack)
            await _until_told()
    return 0 if ok else 1


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors)


def _steps(progress: Progress) -> Callable[[str, int], Callable[[int], None]]:
    def step(name: str, of: int) -> Callable[[int], None]:
        task = progress.add_task(name, total=of)
        return lambda done: progress.update(task, completed=done)

    return step


async def _report(rows: PostgresRows, outcome: demo_run.Outcome, stack: Stack, output: Output) -> bool:
    found = await demo_report.figures(rows)
    checked = demo_report.checks(found, outcome)
    verified = await verify_all(rows)
    gateway = await demo_report.gateway_totals(stack.settings.simulator_url or "")
    if output == "json":
        whole = {
            "figures": {key: asdict(figure) for key, figure in found.items()},
            "reductions": {"count": outcome.reductions, "amount": outcome.reduced},
            "rejected": outcome.rejected,
            "unreadable_rows": len(outcome.reading.rejected),
            "gateway": gateway,
            "checks": [{**check._asdict(), "ok": check.ok} for check in checked],
            "verify": [check._asdict() for check in verified],
        }
        console.print_json(orjson.dumps(whole, default=str).decode())
    else:
        _print_report(found, checked, verified, outcome, stack)
    return all(check.ok for check in checked) and not any(check.violations for check in verified)


def _print_report(found: Any, checked: Any, verified: Any, outcome: demo_run.Outcome, stack: Stack) -> None:
    pounds = demo_report.pounds
    console.rule("[bold]a week of a gift shop")
    show(
        [{"": f.name, "count": f.count, "amount": pounds(f.amount), "note": f.note} for f in found.values()],
        "table",
    )
    console.print(
        f"\nbesides: {outcome.reductions} quantity reductions on paid invoices, {pounds(outcome.reduced)}"
    )
    rejected = [f"row {row.number}: {row.reason}" for row in outcome.reading.rejected]
    rejected += [f"{key}: {why}" for key, why in outcome.rejected]
    console.print(f"rejected lines and commands: {len(rejected)}")
    for line in rejected[:20]:
        console.print(f"  {line}")
    console.print("\n[bold]checked against an independent reading of the file[/bold]")
    for check in checked:
        mark = "[green]✔[/green]" if check.ok else f"[red]✘ found {check.found:,}[/red]"
        console.print(f"  {mark} {check.name}: {check.expected:,}")
    console.print("[bold]verified[/bold]")
    for check in verified:
        mark = "[green]✔[/green]" if not check.violations else f"[red]✘ {check.violations}[/red]"
        console.print(f"  {mark} {check.name}: {check.about}")
    tenant, url = demo_run.TENANT, stack.http_url
    console.print("\n[bold]where to look next[/bold] (while it serves: make demo ARGS=--serve)")
    console.print(f"  {url}/v1/{tenant}/refund-orchestrations    {url}/v1/{tenant}/exceptions")
    console.print(
        f"  {url}/v1/{tenant}/timeline?account_id=17850    tender explain pay-536365 --tenant {tenant}"
    )


# -- commands and events


@app.command
def send(
    type: str,
    body: str,
    *,
    tenant: str = "acme",
    account: str = "A-1",
    key: str | None = None,
    url: str = "http://127.0.0.1:8080",
    wait: int = 0,
    dry_run: bool = False,
) -> None:
    """Send a command by HTTP: its type (`payment.process`), and its data as JSON (`-`: standard input)."""
    data = orjson.loads(sys.stdin.read() if body == "-" else body)
    name = type if type.startswith("payments.") else f"payments.{type}"
    name = name if name.rpartition(".v")[2].isdigit() else f"{name}.v1"
    command = {"tenant_id": tenant, "account_id": account, "data": data, "dry_run": dry_run}
    headers = {"Idempotency-Key": key or str(uuid4()), "Prefer": f"wait={wait}"}
    try:
        answer = httpx.post(
            f"{url}/v1/commands/{name}", content=orjson.dumps(command), headers=headers, timeout=60
        )
    except httpx.HTTPError as problem:
        errors.print(f"[red]{url} does not answer: {problem}[/red]")
        sys.exit(1)
    console.print_json(answer.text)
    sys.exit(0 if answer.is_success else 1)


@app.command
def listen(
    *, data_dir: DataDir = None, results: bool = False, count: int = 0, output: Output = "table"
) -> None:
    """Print events as they come from Kafka (or command results), until Ctrl-C or `count` of them."""
    _run(_listen(attached(_settings(data_dir)), results, count, output))


async def _listen(settings: Settings, results: bool, count: int, output: Output) -> None:
    topics = bootstrap.topics(settings)
    consumer = AIOKafkaConsumer(
        topics.results if results else topics.events,
        bootstrap_servers=settings.kafka_bootstrap_servers or "",
        auto_offset_reset="latest",
        **bootstrap.security(settings),
    )
    await consumer.start()
    try:
        heard = 0
        async for record in consumer:
            headers, value = (
                {name: (text or b"").decode() for name, text in record.headers},
                record.value or b"{}",
            )
            if output == "json":
                print(
                    orjson.dumps({"headers": headers, "data": orjson.loads(value)}).decode(),
                    flush=True,
                )
            else:
                console.print(f"[bold]{headers['ce_type']}[/bold] {headers['ce_subject']}", value.decode())
            heard += 1
            if heard == count:
                return
    finally:
        await consumer.stop()


@app.command(name="import")
def import_file(
    file: Path, *, tenant: str = "acme", data_dir: DataDir = None, verdicts: Path | None = None
) -> None:
    """Post every invoice of a retail CSV, or of JSON Lines of PostInvoice bodies; again, to resume.

    Each invoice's verdict is written to `{file}.verdicts.jsonl`, or where `--verdicts` says.
    """
    target = verdicts or file.with_suffix(file.suffix + ".verdicts.jsonl")
    sys.exit(_run(_import(file, tenant, data_dir, target)))


async def _import(file: Path, tenant: str, data_dir: Path | None, target: Path) -> int:
    planned, unreadable = _planned(file)
    async with _attached(data_dir) as (settings, store):
        kafka, topics = settings.kafka_bootstrap_servers or "", bootstrap.topics(settings)
        actor = Actor("USER", "import")
        async with sender(store, kafka, topics, tenant, actor, **bootstrap.security(settings)) as sending:
            with _progress() as progress:
                told = await sending.send_all(planned, _steps(progress)("invoices", len(planned)))
    rejected = 0
    with target.open("wb") as out:
        for one, verdict in zip(planned, told, strict=True):
            rejected += verdict.status != "ACCEPTED"
            line = {"invoice": one.key.removeprefix("import:"), "status": verdict.status}
            out.write(orjson.dumps(line | orjson.loads(verdict.outcome)) + b"\n")
        for bad in unreadable:
            out.write(
                orjson.dumps({"line": bad.number, "status": "UNREADABLE", "message": bad.reason}) + b"\n"
            )
    accepted = len(planned) - rejected
    console.print(f"{accepted} accepted, {rejected} rejected, {len(unreadable)} unreadable; see {target}")
    return 1 if rejected or unreadable else 0


def _planned(file: Path) -> tuple[list[Planned], list[Unreadable]]:
    if posting.is_retail(file):
        reading = posting.read_retail(file)
        invoices = [
            Planned(posting.of_retail(invoice), invoice.account_id, f"import:{invoice.invoice_no}")
            for invoice in reading.invoices
        ]
        return invoices, [Unreadable(row.number, row.reason) for row in reading.rejected]
    with file.open(encoding="utf-8") as lines:
        read = list(posting.from_json_lines(lines))
    return [one for one in read if isinstance(one, Planned)], [
        one for one in read if isinstance(one, Unreadable)
    ]


# -- asking


@app.command
def explain(id: str, *, tenant: str = "acme", data_dir: DataDir = None, output: Output = "table") -> None:
    """Why something is as it is: every fact about an invoice, payment, refund, memo or orchestration."""

    async def ask() -> list[dict[str, Any]]:
        async with _attached(data_dir) as (_, store):
            return await explain_facts(store, tenant, id)

    facts = _run(ask())
    if not facts:
        errors.print(f"[red]nothing of {tenant} is called {id}[/red]")
        sys.exit(1)
    show(facts, output, ("position", "at", "sentence", "event_id"))


@app.command
def verify(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Check the log's integrity and the conservation of money; 1 when something is violated."""

    async def ask() -> list[dict[str, Any]]:
        async with _reading(data_dir) as (store, rows):
            await rows.wait_for((await store.head())[0], 10.0)
            return [check._asdict() for check in await verify_all(rows)]

    checks = _run(ask())
    show(checks, output)
    sys.exit(1 if any(check["violations"] for check in checks) else 0)


@app.command
def doctor(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Whether what Tender needs is there and answers, and what to do where it does not."""
    findings = _run(_examine(_settings(data_dir)))
    show(findings, output)
    sys.exit(0 if all(finding["ok"] for finding in findings) else 1)


async def _examine(settings: Settings) -> Sequence[dict[str, Any]]:
    findings: list[dict[str, Any]] = [
        {
            "check": "Python 3.11 or newer",
            "ok": sys.version_info >= (3, 11),
            "advice": "install a newer Python",
        }
    ]
    try:
        there = attached(settings)
    except RuntimeError as absent:
        return [*findings, {"check": "a running Tender", "ok": False, "advice": str(absent)}]
    for name, advice, probe in (
        ("PostgreSQL", "see logs/postgres.log", _store_answers(there)),
        ("Kafka", "see logs/broker.log", _broker_answers(there)),
    ):
        findings.append({"check": name, "ok": await probe, "advice": advice})
    return findings


async def _store_answers(settings: Settings) -> bool:
    try:
        async with bootstrap.store(settings) as store:
            await store.head()
            return True
    except Exception:
        return False


async def _broker_answers(settings: Settings) -> bool:
    from services.kafka_admin import cluster_id

    try:
        return bool(await cluster_id(settings.kafka_bootstrap_servers or "", **bootstrap.security(settings)))
    except Exception:
        return False


# -- read models, parked commands, dead letters


@projections.command
def status(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """How far the read models have come."""

    async def ask() -> dict[str, Any]:
        async with _reading(data_dir) as (store, rows):
            active, (head, _) = await rows.active(), await store.head()
            at = await rows.position(active)
            return {"schema": active, "position": at, "log": head, "behind": head - at}

    show([_run(ask())], output)


@projections.command(name="rebuild")
def rebuild_all(
    *, data_dir: DataDir = None, switch: bool = True, force: bool = False, output: Output = "table"
) -> None:
    """Build all read models anew beside the live ones, compare row by row, and switch if nothing differs."""

    async def ask() -> dict[str, Any]:
        async with _reading(data_dir) as (store, rows):
            with _progress() as progress:
                task = progress.add_task("events", total=None)
                told = await rebuild(
                    store,
                    rows,
                    switch=switch,
                    force=force,
                    progress=lambda done, of: progress.update(task, completed=done, total=of),
                )
        differences = [f"{d.table} {d.key}: {', '.join(d.columns)}" for d in told.differences]
        return {
            "events": told.events,
            "rows": told.rows,
            "differences": differences,
            "switched": told.switched,
        }

    told = _run(ask())
    show([told], output)
    sys.exit(1 if told["differences"] else 0)


@parked.command(name="list")
def list_parked(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Which keys are parked, and why."""

    async def ask() -> list[dict[str, Any]]:
        async with _attached(data_dir) as (_, store):
            return [{"home": home, "reason": reason} for home, reason in (await store.parked_homes()).items()]

    show(_run(ask()), output)


@parked.command(name="show")
def show_parked(home: str, *, data_dir: DataDir = None, output: Output = "table") -> None:
    """The commands that wait behind a key, in order."""

    async def ask() -> list[dict[str, Any]]:
        async with _attached(data_dir) as (_, store):
            commands = await store.parked_commands(home)
            return [
                {"command_id": c.command_id, "type": c.type, "at": c.at, "reason": c.reason} for c in commands
            ]

    show(_run(ask()), output)


@parked.command(name="release")
def release_parked(home: str, *, data_dir: DataDir = None) -> None:
    """Decide a key's parked commands anew, in order."""

    async def ask() -> int:
        async with _attached(data_dir) as (_, store):
            return await release(store, Handler(store, SUBJECTS, SystemClock()), home)

    console.print(f"{_run(ask())} commands decided")


@parked.command(name="drop")
def drop_parked(
    home: str, command_id: UUID, *, reason: str, actor: str = "operator", data_dir: DataDir = None
) -> None:
    """Give up one parked command; who and why is recorded as an event."""

    async def ask() -> None:
        async with _attached(data_dir) as (_, store):
            await drop(store, SystemClock(), home, command_id, Actor("USER", actor), reason)

    _run(ask())
    console.print(f"dropped {command_id}")


@dead_letters.command(name="list")
def list_dead_letters(
    *, data_dir: DataDir = None, after: int = 0, limit: int = 50, output: Output = "table"
) -> None:
    """Records that were no commands: where they came from, and why."""

    async def ask() -> list[dict[str, Any]]:
        async with _attached(data_dir) as (_, store):
            return [
                {
                    "id": id,
                    "origin": f"{letter.topic}/{letter.partition}/{letter.offset}",
                    "code": letter.code,
                    "reason": letter.reason,
                    "at": letter.at,
                    "value": (letter.value or b"")[:80].decode("utf-8", "replace"),
                }
                for id, letter in await store.dead_letters(after, limit)
            ]

    show(_run(ask()), output)


@app.command(name="contracts")
def write_contracts() -> None:
    """Write the JSON Schemas and the AsyncAPI document of this version."""
    console.print(f"{contracts.write()} files in {contracts.CONTRACTS}")
