"""`tender demo`: a week of a real shop, and a report of it that a finance person reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from projections.models import TABLES
from projections.rows import PostgresRows
from projections.verify import Check as Verified
from projections.verify import verify as verify_all
from services import bootstrap
from services.cli.output import Output, Step, console, progress, steps, tell_json
from services.cli.running import HttpPort, say, tell_where, until_told
from services.cli.session import DataDir, run, settings_of
from services.demo import instalments, recovery, report
from services.demo import run as demo_run
from services.demo.report import Check, Figure, pounds
from services.demo.settling import paid_out
from services.importing.sending import sender
from services.running import broker
from services.running.stack import Stack, is_free, running
from services.settings import Settings
from services.store.postgres import PostgresStore

DATA_DIR = Path(".tender/demo")
REJECTED_SHOWN_MAX = 20


def demo(
    *,
    data_dir: DataDir = None,
    seed: Annotated[int, Parameter(help="What the gateway does, and which invoices are reduced.")] = 7,
    serve: Annotated[bool, Parameter(help="Keep running afterwards, to look around.", negative="")] = False,
    output: Output = "table",
    http_port: HttpPort = None,
) -> None:
    """A week of a real shop's invoices: posted, paid, cancelled, refunded, and reported to the penny.

    Everything goes through Kafka, to a gateway that declines some cards, loses some answers and settles some
    payments late. Then its first day again, sold on instalments: three months of nightly runs, declines and
    retries pass. Ends with 1 when a sum is not that of the file. Killed in the middle, run it again.

    Examples:

        tender demo
        tender demo --serve
    """
    settings = settings_of(
        data_dir or DATA_DIR,
        http_port=http_port if http_port is not None else _port(serve),
        simulator_seed=seed,
        sign_in="off",  # a shop of its own, on this machine only
        http_host="127.0.0.1",
        gateway_lease_seconds=demo_run.LEASE_SECONDS,
    )
    raise SystemExit(run(_demo(settings, seed, serve, output)))


def _port(serve: bool) -> int:
    """The usual one for who stays, if nobody has it; any other for who only passes by."""
    usual = settings_of(None)
    return usual.http_port if serve and is_free(usual.http_host, usual.http_port) else 0


async def _demo(settings: Settings, seed: int, serve: bool, output: Output) -> int:
    async with (
        running(settings, say) as stack,
        bootstrap.store(stack.settings) as store,
        PostgresRows.connected(stack.settings.database_url or "", TABLES) as rows,
        sender(
            store,
            stack.settings.kafka_bootstrap_servers or "",
            bootstrap.topics(stack.settings),
            demo_run.TENANT,
            demo_run.ACTOR,
            **broker.security(stack.settings),
        ) as sending,
    ):
        with progress() as shown:
            now, told, url = bootstrap.clock(stack.settings).now, steps(shown), stack.settings.simulator_url
            outcome = await demo_run.run(sending, rows, seed, told, now)
            await paid_out(store, sending, rows, url or "", outcome, told, now)
        week = await _week(rows, outcome, stack)
        with progress() as shown:
            months = await _three_months(store, rows, stack, steps(shown))
        ok = _report(week, months, await verify_all(rows), outcome, output)
        if output == "table":
            _tell_next(stack, serve)
        if serve:
            tell_where(stack)
            await until_told()
    return 0 if ok else 1


class _Part(NamedTuple):
    """One part of the demo, as it is reported."""

    figures: Mapping[str, Figure]
    checks: Sequence[Check]
    gateway: Mapping[str, Any]
    seconds: float = 0.0
    rejected: Sequence[tuple[str, str]] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def told(self) -> dict[str, Any]:
        return {
            "figures": {key: asdict(figure) for key, figure in self.figures.items()},
            "gateway": self.gateway,
            "checks": [{**check._asdict(), "ok": check.ok} for check in self.checks],
        }


async def _week(rows: PostgresRows, outcome: demo_run.Outcome, stack: Stack) -> _Part:
    figures = await report.figures(rows)
    gateway = await report.gateway_totals(stack.settings.simulator_url or "")
    return _Part(figures, report.checks(figures, outcome), gateway)


async def _three_months(
    store: PostgresStore, rows: PostgresRows, stack: Stack, step: Callable[[str, int], Step]
) -> _Part | None:
    """Only where time can be moved: on servers of one's own it passes as it does."""
    if stack.settings.clock_file is None:
        return None
    servers, topics = stack.settings.kafka_bootstrap_servers or "", bootstrap.topics(stack.settings)
    actor, signed = demo_run.ACTOR, broker.security(stack.settings)
    now = bootstrap.clock(stack.settings).now
    async with sender(store, servers, topics, instalments.TENANT, actor, **signed) as sending:
        outcome = await instalments.run(sending, rows, stack.http_url, now, step)
    figures, nights = await recovery.figures(rows), await recovery.nights(rows)
    gateway = await report.gateway_totals(stack.settings.simulator_url or "", instalments.TENANT)
    checked = recovery.checks(figures, nights, gateway, outcome)
    return _Part(figures, checked, gateway, outcome.seconds, outcome.rejected)


def _report(
    week: _Part,
    months: _Part | None,
    verified: Sequence[Verified],
    outcome: demo_run.Outcome,
    output: Output,
) -> bool:
    if output == "json":
        tell_json(
            {
                **week.told(),
                "rejected_rows": [asdict(row) for row in outcome.reading.rejected],
                "rejected_commands": [*outcome.rejected, *(months.rejected if months else ())],
                "three_months": months and {**months.told(), "seconds": months.seconds},
                "verify": [check._asdict() for check in verified],
            }
        )
    else:
        console.print()
        console.rule("[bold]A week of a gift shop, 1 to 8 December 2010, in GBP")
        console.print(_statement(week.figures))
        _tell_rejected(outcome)
        _tell_checks(week.checks)
        _tell_gateway(week.figures, week.gateway.get("GBP", {}))
        if months:
            _tell_months(months)
        _tell_verified(verified)
    parts_hold = week.ok and (months is None or months.ok)
    return parts_hold and not any(check.violations for check in verified)


def _tell_months(months: _Part) -> None:
    console.print()
    console.rule(f"[bold]Three months of instalments, in {months.seconds:.0f} seconds")
    console.print(_statement(months.figures))
    for key, refused in months.rejected[:REJECTED_SHOWN_MAX]:
        console.print(f"  {key}: {refused}", markup=False, highlight=False)
    _tell_checks(months.checks, "against the file, and the gateway's own books")


def _statement(figures: Mapping[str, Figure]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_column("amount", justify="right")
    table.add_column("")
    for group, of_it in groupby(figures.values(), key=lambda figure: figure.group):
        table.add_row(Text(group, "bold"))
        for figure in of_it:
            table.add_row(
                f"  {figure.name}", f"{figure.count:,}", pounds(figure.amount), Text(figure.note, "dim")
            )
    return table


def _tell_rejected(outcome: demo_run.Outcome) -> None:
    lines = [f"row {row.number}, invoice {row.invoice_no}: {row.reason}" for row in outcome.reading.rejected]
    commands = [f"{key}: {why}" for key, why in outcome.rejected]
    console.print(
        f"\nRejected: {len(lines)} of {outcome.sums.rows:,} lines, {len(commands)} commands", highlight=False
    )
    for line in [*lines, *commands][:REJECTED_SHOWN_MAX]:
        console.print(f"  {line}", markup=False, highlight=False)
    if (more := len(lines) + len(commands) - REJECTED_SHOWN_MAX) > 0:
        console.print(f"  and {more} more: tender demo --output json")


def _tell_checks(
    checked: Sequence[Check], against: str = "against the file, read again by other code"
) -> None:
    console.print(f"\n[bold]Checked[/bold] {against}:")
    for check in checked:
        shown = pounds if check.is_money else "{:,}".format
        mark, style = ("✔", "green") if check.ok else ("✘", "red")
        wrong = "" if check.ok else f", but Tender has {shown(check.found)}"
        _line(mark, style, f"{check.name}: {shown(check.expected)}{wrong}")


def _tell_gateway(figures: Mapping[str, Figure], moved: Mapping[str, Any]) -> None:
    console.print("[bold]Agreed[/bold] with the gateway's own books:")
    for name, key, theirs in (("taken", "captured", "taken"), ("given back", "refunded", "given_back")):
        ours, said = figures[key].amount, moved.get(theirs, 0)
        mark, style = ("✔", "green") if ours == said else ("✘", "red")
        _line(
            mark, style, f"{name}: {pounds(said)}" + ("" if ours == said else f", Tender says {pounds(ours)}")
        )


def _tell_verified(verified: Sequence[Verified]) -> None:
    broken = [check for check in verified if check.violations]
    console.print("[bold]Verified[/bold], as `tender verify` does:")
    if not broken:
        _line("✔", "green", f"{len(verified)} rules of the log and of the money hold for every row")
    for check in broken:
        _line("✘", "red", f"{check.name}: {check.violations} times not ({check.about})")


def _line(mark: str, style: str, text: str) -> None:
    console.print(Text.assemble("  ", (mark, style), " ", text), soft_wrap=True)


def _tell_next(stack: Stack, serve: bool) -> None:
    url, tenant = stack.http_url, demo_run.TENANT
    folder = "" if stack.embedded is None else f" --data-dir {stack.settings.data_dir}"
    if not serve:
        console.print("\n[bold]Where to look next[/bold]: keep it running, it is all recorded")
        console.print("  make demo ARGS=--serve", highlight=False)
        return
    console.print("\n[bold]Where to look next[/bold]")
    for what, where in (
        ("everything there is", f"{url}/"),
        (
            "cards that were declined",
            f"{url}/v1/{tenant}/payments?status=FAILED&fields=payment_id,amount,raw_code",
        ),
        ("how money went back", f"{url}/v1/{tenant}/refund-orchestrations?status=COMPLETED"),
        ("credit that is open", f"{url}/v1/{tenant}/open-credits?sort=-balance"),
        ("what one customer did", f"{url}/v1/{tenant}/timeline?account_id=17850"),
        ("what reached the bank", f"{url}/v1/{tenant}/payouts"),
        ("what was recovered", f"{url}/v1/{instalments.TENANT}/collection-performance"),
        ("every night's run", f"{url}/v1/{instalments.TENANT}/payment-batch-runs?sort=-run_date"),
        ("one invoice in words", f"tender explain 536365 --tenant {tenant}{folder}"),
    ):
        console.print(f"  {what:<25} {where}", highlight=False, soft_wrap=True)
    console.print()
