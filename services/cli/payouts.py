"""`tender payouts`: what gateways have paid out, and whether it is what we took and what the bank has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import orjson
from cyclopts import App, Parameter

from events import ids
from projections import answering
from projections.explain import told
from projections.models import TABLES
from projections.queries import QUERIES
from projections.rows import PostgresRows
from services import bootstrap
from services.cli.listing import listed
from services.cli.output import Output, console, progress, show, steps, tell_json
from services.cli.session import (
    DataDir,
    Tenant,
    Trouble,
    Verdicts,
    attached_store,
    clock_of,
    fail,
    reading,
    run,
    settings_of,
    verdicts_beside,
)
from services.commands import Actor
from services.importing import settlements, statements
from services.importing.sending import Planned, Sender, sender
from services.importing.settlements import Imported, Run
from services.payouts.banking import ReportPayoutNotPaidIn
from services.payouts.payout import home_of
from services.payouts.settling import ReportMissingSettlement
from services.running import broker
from services.running.stack import simulator_url
from services.signing_in import joining
from services.store.postgres import PostgresStore

payouts = App(name="payouts", help="What gateways pay to the bank: imported, matched, and what does not fit.")

ACTOR = Actor("USER", "payouts", ("OPERATOR",))
SHOWN_MAX = 20
SETTLE_SECONDS = 30.0
LISTED = (
    "arrives_on", "gateway_id", "payout_ref", "status", "currency", "amount", "fees", "lines",
    "lines_unmatched", "difference", "bank_amount",
)  # fmt: skip

GatewayId = Annotated[str, Parameter(help="The gateway whose money it is, as it is registered.")]
Gateway = Annotated[str | None, Parameter(help="Only of this gateway.")]


class _Session(NamedTuple):
    store: PostgresStore
    rows: PostgresRows
    sending: Sender


@asynccontextmanager
async def _session(data_dir: Path | None, tenant: str) -> AsyncIterator[_Session]:
    async with attached_store(data_dir, bus=True) as (settings, store):
        kafka, topics = settings.kafka_bootstrap_servers or "", bootstrap.topics(settings)
        seal = joining.seals(bootstrap.key_encryption(settings)).made
        async with (
            PostgresRows.connected(settings.database_url or "", TABLES) as rows,
            sender(store, kafka, topics, tenant, ACTOR, seal=seal, **broker.security(settings)) as sending,
        ):
            yield _Session(store, rows, sending)


@payouts.command(name="import")
def import_report(
    file: Annotated[Path, Parameter(help="The gateway's settlement report.")],
    *,
    gateway: GatewayId,
    format: Annotated[
        str | None, Parameter(help="stripe, adyen, gocardless or simulator. [default: the gateway's adapter]")
    ] = None,
    missing_after_days: Annotated[
        int, Parameter(help="A payment that is so much older than the report, and in none, is a case.")
    ] = 7,
    tenant: Tenant = "acme",
    verdicts: Verdicts = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Import a settlement report, a verdict for each row; 1 when any was not accepted, or fits nothing.

    Stripe: the itemized payout reconciliation report (CSV), with the columns payment_intent_id and charge_id.
    Adyen: the settlement details report (CSV). GoCardless: a payout and its items, as its API answers (JSON).
    Stopped in the middle, run it again: a line counts once, in whichever file it comes.

    Examples:

        tender payouts import payout_reconciliation.csv --gateway stripe-eu
        tender payouts import settlement_detail_report_batch_4.csv --gateway adyen --tenant shop
    """
    target = verdicts or verdicts_beside(file)

    async def do() -> tuple[Imported, int]:
        async with _session(data_dir, tenant) as session:
            form = format or await _adapter(session.rows, tenant, gateway, clock_of(data_dir).now())
            try:
                known = settlements.read(file, gateway, form)
            except (ValueError, OSError) as why:
                raise Trouble(f"{file}: {getattr(why, 'strerror', None) or why}") from why
            with progress() as shown:
                step = steps(shown)("lines", len(known.report.lines))
                imported = await settlements.import_file(
                    known, session.store, session.sending, tenant, ACTOR, step
                )
            missing = await _tell_missing(session, tenant, known, missing_after_days)
            return imported, missing

    imported, missing = run(do())
    target.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in imported.verdicts))
    _tell(imported, output, target, {"missing": missing})
    raise SystemExit(1 if imported.problems else 0)


@payouts.command
def bank(
    file: Annotated[Path, Parameter(help="A statement of the bank: CSV, MT940, or camt.053.")],
    *,
    gateway: GatewayId,
    account: Annotated[str, Parameter(help="What the bank account is called here: not its number.")] = "main",
    word: Annotated[
        list[str] | None,
        Parameter(help="Lines with this in their text are of the gateway. [default: the gateway's adapter]"),
    ] = None,
    currency: Annotated[str | None, Parameter(help="Where the file has no column for it.")] = None,
    missing_after_days: Annotated[
        int, Parameter(help="A payout so much older than the statement, and not in it, is a case.")
    ] = 7,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Match a bank statement with the payouts of a gateway; 1 when a line fits none.

    A CSV has columns for date, amount, text, and best also for currency and reference. A line is the
    payout that it names, or the only open one of its amount.

    Examples:

        tender payouts bank 2026-03.csv --gateway stripe-eu --account main --word STRIPE
    """

    async def do() -> tuple[Imported, int, int]:
        async with _session(data_dir, tenant) as session:
            words = word or [await _adapter(session.rows, tenant, gateway, clock_of(data_dir).now())]
            try:
                statement = statements.read(file, gateway, account, words, currency)
            except (ValueError, OSError) as why:
                raise Trouble(f"{file}: {getattr(why, 'strerror', None) or why}") from why
            deciding = Run(session.store, session.sending, tenant, ACTOR)
            told = await deciding.decide([statements.planned(line) for line in statement.lines])
            imported = Imported(decided_before=deciding.decided_before)
            for line, verdict in zip(statement.lines, told, strict=True):
                streams = verdict.pop("streams", {})
                shown = any("/exception-" in stream for stream in streams)
                named = {"row": line.row, "line": line.command.reference, **verdict}
                imported.verdicts.append({**named, "shown": "BANK_LINE"} if shown else named)
            imported.verdicts += [
                {"row": bad.row, "status": "UNREADABLE", "message": bad.reason}
                for bad in statement.unreadable
            ]
            late = await _tell_not_paid_in(session, tenant, gateway, statement.last_day, missing_after_days)
            return imported, late, statement.other

    imported, late, other = run(do())
    _tell(imported, output, None, {"not_paid_in": late, "of_others": other})
    raise SystemExit(1 if imported.problems else 0)


@payouts.command(name="list")
def list_payouts(
    *,
    gateway: Gateway = None,
    status: Annotated[str | None, Parameter(help="OPEN, COMPLETE or PAID.")] = None,
    limit: int = 50,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """The latest first."""
    given = {"gateway_id": gateway, "status": status, "sort": "-reported_at", "limit": str(limit)}
    show(run(_page(data_dir, tenant, "payouts", given)), output, LISTED)


@payouts.command
def unmatched(
    *, gateway: Gateway = None, limit: int = 50, tenant: Tenant = "acme", data_dir: DataDir = None,
    output: Output = "table",
) -> None:  # fmt: skip
    """Lines of payouts that fit nothing of ours: their money lies in suspense."""
    given = {"gateway_id": gateway, "limit": str(limit)}
    names = ("line_id", "gateway_id", "type", "line_ref", "gateway_ref", "currency", "net", "reason")
    show(run(_page(data_dir, tenant, "unmatched-payout-lines", given)), output, names)


@payouts.command(name="show")
def show_payout(
    payout: Annotated[str, Parameter(help="Its id, or the gateway's name of it.")],
    *,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """What became of a payout, in words, and its lines."""

    async def ask() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with reading(data_dir) as (store, rows):
            id = await _one(rows, tenant, payout, clock_of(data_dir).now())
            events = await store.read_stream(ids.stream(tenant, "payout", id))
            facts = [told(event) for event in events if not event.topic.startswith("payout.line_counted")]
            asked = {"payout_id": [id], "limit": ["200"]}
            return facts, await listed(rows, tenant, "payout-lines", asked, data_dir)

    facts, lines = run(ask())
    if output == "json":
        tell_json({"facts": facts, "lines": lines})
        return
    show(facts, output, ("at", "sentence"))
    show(
        lines,
        output,
        ("type", "line_ref", "status", "target_id", "currency", "gross", "fee", "net", "reason"),
    )


@payouts.command
def simulated(
    *,
    until: Annotated[
        str | None, Parameter(help="Days before this one: 2026-03-05. [default: today, too]")
    ] = None,
    paid_in: Annotated[str | None, Parameter(help="Everything in this currency.")] = None,
    rate: Annotated[str, Parameter(help="What one unit of another currency is then worth.")] = "1",
    data_dir: DataDir = None,
) -> None:
    """The settlement report of the simulator that runs beside `tender up`, as its gateway would send it.

    Examples:

        tender payouts simulated > report.csv
        tender payouts import report.csv --gateway gw
    """
    url = simulator_url(settings_of(data_dir))
    if url is None:
        fail("no simulator runs here: start it with `tender up`")
    tomorrow = (clock_of(data_dir).now() + timedelta(days=1)).date().isoformat()
    asked = {"until": until or tomorrow, "rate": rate} | ({"paid_in": paid_in} if paid_in else {})
    answer = httpx.get(f"{url}/v1/settlement-report", params=asked, timeout=60)
    sys.stdout.write(answer.raise_for_status().text)


async def _page(
    data_dir: Path | None, tenant: str, name: str, given: dict[str, str | None]
) -> list[dict[str, Any]]:
    async with reading(data_dir) as (_, rows):
        asked = {key: [value] for key, value in given.items() if value is not None}
        return await listed(rows, tenant, name, asked, data_dir)


async def _one(rows: PostgresRows, tenant: str, payout: str, now: datetime) -> str:
    if await answering.one(rows, QUERIES["payouts"], tenant, payout, now=now):
        return payout
    found = await answering.page(rows, QUERIES["payouts"], tenant, {"payout_ref": [payout]}, now=now)
    if len(found["items"]) != 1:
        raise Trouble(f"{tenant} has {len(found['items']) or 'no'} payouts that are called {payout}")
    return found["items"][0]["payout_id"]


async def _adapter(rows: PostgresRows, tenant: str, gateway: str, now: datetime) -> str:
    found = await answering.one(rows, QUERIES["gateways"], tenant, gateway, now=now)
    if found is None:
        raise Trouble(f"{tenant} has no gateway {gateway}")
    return found["adapter_key"] or found["provider_id"]


# -- what is not there


async def _tell_missing(session: _Session, tenant: str, file: settlements.File, days: int) -> int:
    """Payments that are older than what was paid out, and in no payout: each is a case for a person."""
    latest = max((line.happened_at for line in file.report.lines if line.happened_at), default=None)
    if latest is None:
        return 0
    await _until_settled(session.rows, tenant, file)
    schema = await session.rows.active()
    late = await session.rows.pool.fetch(
        f"select payment_id, account_id from {schema}.payments where tenant_id = $1 and gateway_id = $2 "
        "and status = 'PROCESSED' and settled = 0 and processed_at < $3 order by payment_id",
        tenant,
        file.gateway_id,
        latest - timedelta(days=days),
    )
    commands = [
        Planned(
            ReportMissingSettlement(row["payment_id"]),
            row["account_id"],
            f"missing:{file.report_id}:{row['payment_id']}",
        )
        for row in late
    ]
    told = await Run(session.store, session.sending, tenant, ACTOR).decide(commands)
    return sum(bool(verdict.get("streams")) for verdict in told)


async def _until_settled(rows: PostgresRows, tenant: str, file: settlements.File) -> None:
    """Lines that were matched are settled by a process: a payment must not be missed meanwhile."""
    loop = asyncio.get_running_loop()
    deadline, schema = loop.time() + SETTLE_SECONDS, await rows.active()
    while loop.time() < deadline:
        behind = await rows.pool.fetchval(
            "select (select position from head) > "
            f"(select position from read_progress where schema = '{schema}') "
            f"or exists (select 1 from {schema}.payout_lines l join {schema}.payments p "
            "on p.tenant_id = l.tenant_id and p.payment_id = l.target_id "
            "where l.tenant_id = $1 and l.payout_id = any($2) "
            "and l.type = 'PAYMENT' and l.status = 'MATCHED' and p.settled + p.settled_excess = 0)",
            tenant,
            file.payouts,
        )
        if not behind:
            return
        await asyncio.sleep(0.1)


async def _tell_not_paid_in(
    session: _Session, tenant: str, gateway: str, last_day: date | None, days: int
) -> int:
    if last_day is None:
        return 0
    schema = await session.rows.active()
    late = await session.rows.pool.fetch(
        f"select payout_ref from {schema}.payouts where tenant_id = $1 and gateway_id = $2 "
        "and status <> 'PAID' and coalesce(arrives_on, reported_at::date) < $3 order by payout_ref",
        tenant,
        gateway,
        last_day - timedelta(days=days),
    )
    day = datetime.combine(last_day, time(), UTC).date()
    commands = [
        Planned(
            ReportPayoutNotPaidIn(gateway, row["payout_ref"]),
            home_of(gateway),
            f"not-paid-in:{day}:{gateway}:{row['payout_ref']}",
        )
        for row in late
    ]
    told = await Run(session.store, session.sending, tenant, ACTOR).decide(commands)
    return sum(bool(verdict.get("streams")) for verdict in told)


def _tell(imported: Imported, output: str, target: Path | None, more: dict[str, int]) -> None:
    counts = {name: imported.count(name) for name in ("ACCEPTED", "REJECTED", "PARKED", "UNREADABLE")}
    if output == "json":
        told: dict[str, Any] = {name.lower(): count for name, count in counts.items()}
        told |= {"decided_before": imported.decided_before, "problems": imported.problems[:SHOWN_MAX], **more}
        tell_json({**told, "verdicts": target})
        return
    console.print(
        ", ".join(f"{count:,} {name.lower()}" for name, count in counts.items() if count) or "nothing"
    )
    for name, count in more.items():
        if count:
            console.print(f"{count:,} {name.replace('_', ' ')}", highlight=False)
    shown = [
        {
            "row": line.get("row"),
            "line": line.get("line") or line.get("payout"),
            "status": line["status"],
            "why": ": ".join(filter(None, (line.get("shown") or line.get("code"), line.get("message")))),
        }
        for line in imported.problems[:SHOWN_MAX]
    ]
    if shown:
        show(shown, "table")
    if target:
        console.print(f"a verdict for each: {target}", highlight=False, soft_wrap=True)
