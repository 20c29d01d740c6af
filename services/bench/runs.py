"""A batch run from its start to its end, and its planning alone, beside what the gateway's own time allows.

Each item is an account's own invoice of one line with a card by default, so that nothing waits for another
of its account.  The clock runs from the command that starts the run until every item is charged, applied,
projected and published.  Beside it, in the same run: the gateway-bound minimum, which is the calls' number
times the gateway's time over the calls in the air, and the bare HTTP client on the same calls.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from events import ids
from events.criteria import Criteria, CriteriaGroup, Criterion
from events.ids import tenant_home
from events.money import Money
from events.run import PaymentBatchRunCreated
from projections.due import StoredDue
from projections.models import TABLES
from projections.rows import PostgresRows
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.bench.gateway import answering, bare
from services.bench.stage import SPINE_ROLES, Stage, cpu_seconds, peak_megabytes, staged
from services.bench.stream import TENANT, Made, made
from services.invoices.posting import Line, PostInvoice
from services.runs.batch_run import StartPaymentBatchRun, home_of
from services.selecting import frozen, pages
from services.tenants.tenant_settings import ChangeTenantSettings

RUN, FAR = "bench", date(2099, 1, 1)
WAIT_SECONDS = 1_800.0


@dataclass
class Running:
    items: int
    in_air: int
    delay_milliseconds: int
    seconds: float
    """From the start to the last event published."""
    steps: dict[str, float]
    """After so many seconds: all selected, the run completed."""
    bare_seconds: float
    """What the bare HTTP client takes for the same calls."""
    cpu_microseconds: dict[str, float]
    """Of each process, per item."""
    wrong: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def minimum_seconds(self) -> float:
        return self.items / self.in_air * self.delay_milliseconds / 1000

    @property
    def possible_seconds(self) -> float:
        """What the cores of this machine need, if nobody else were here."""
        return self.items * sum(self.cpu_microseconds.values()) / 1e6 / (os.cpu_count() or 1)

    @property
    def table(self) -> list[dict[str, Any]]:
        rows = (
            ("run: selected, charged, applied, projected, published", self.seconds),
            *((f"  {step}", seconds) for step, seconds in self.steps.items()),
            ("what this machine's cores need for it", self.possible_seconds),
            ("bare HTTP client, the calls alone", self.bare_seconds),
            (f"theoretical: {self.in_air} in {self.delay_milliseconds} ms", self.minimum_seconds),
        )
        return [
            {
                "what": what,
                "seconds": f"{seconds:.1f}",
                "items_a_second": round(self.items / seconds) if seconds else "",
                "of_the_minimum": f"{seconds / self.minimum_seconds:.1f} x",
            }
            for what, seconds in rows
        ]


async def running(
    folder: Path, items: int = 2_000, in_air: int = 1_000, delay_milliseconds: int = 50
) -> Running:
    """Measure, then look every item up; whatever is wrong is told in `wrong`."""
    async with answering(delay_milliseconds) as (url, played):
        alone, _ = await bare(url, in_air, items, played)
        async with staged(folder) as stage:
            limits = {"gateway_concurrency": in_air, "gateway_concurrency_each": in_air}
            stage.settings = stage.settings.model_copy(update={**limits, "simulator_url": url})
            async with stage.roles(SPINE_ROLES):
                await _prepare(stage, items)
            async with stage.roles({**SPINE_ROLES, "gateway": ("gateway",)}) as pids:
                await stage.warm()
                watched = {**pids, "the gateway": played, **stage.server_pids}
                used, began, at = cpu_seconds(watched), time.perf_counter(), datetime.now(UTC)
                start = made(StartPaymentBatchRun(RUN, FAR), home_of(RUN), "start")
                await stage.send([start])
                await _until_completed(stage)
                ended = await stage.quiet()
                cpu = {name: (s - used[name]) * 1e6 / items for name, s in cpu_seconds(watched).items()}
            steps = await _steps(stage, at)
            wrong = await _wrong(stage, items)
    return Running(items, in_air, delay_milliseconds, ended - began, steps, items / alone, cpu, wrong)


async def _prepare(stage: Stage, items: int) -> None:
    await stage.prepare(items)
    scheduled = ChangeTenantSettings({"create_payment_schedules": True})
    await stage.send([made(scheduled, tenant_home("settings", TENANT), "scheduled")])
    await stage.quiet()
    await stage.send(list(_defaults(items)))
    await stage.quiet()
    await stage.send(list(_invoices(items)))
    await stage.quiet()
    await stage.connection.execute("analyze")


def _defaults(items: int) -> Iterator[Made]:
    for n in range(items):
        method = ids.method_id(TENANT, f"A{n}", "m1", f"card-{n}")
        yield made(SetDefaultPaymentMethod(method), f"A{n}", f"default {n}")


def _invoices(items: int) -> Iterator[Made]:
    for n in range(items):
        line = Line("1", Money(1_000 + n % 1_000, "USD"))
        yield made(PostInvoice(f"I-{n}", "USD", (line,)), f"A{n}", f"post {n}")


async def _until_completed(stage: Stage) -> None:
    stream = f"{TENANT}/run-{RUN}"
    async with asyncio.timeout(WAIT_SECONDS):
        while not await stage.connection.fetchval(
            "select 1 from log where stream = $1 and topic = 'payment_batch_run.completed.v1'", stream
        ):
            await asyncio.sleep(0.02)


async def _steps(stage: Stage, began: datetime) -> dict[str, float]:
    topics = {"all selected": "selection_ended.v1", "completed": "completed.v1"}
    found = await stage.connection.fetch(
        "select topic, recorded_at from log where stream = $1", f"{TENANT}/run-{RUN}"
    )
    at = {row["topic"].removeprefix("payment_batch_run."): row["recorded_at"] for row in found}
    return {said: (at[topic] - began).total_seconds() for said, topic in topics.items()}


async def _wrong(stage: Stage, items: int) -> dict[str, int]:
    """Each item was charged and applied once, and the run says so."""
    schema = await stage.connection.fetchval("select active from read_models")
    told = await stage.connection.fetchrow(f"select * from {schema}.payment_batch_runs")
    counted = {
        "filtered": told["filtered"],
        "applied": told["applied"],
        "charged": await stage.connection.fetchval(
            "select count(distinct stream) from log where topic ~ '^payment\\.processed\\.'"
        ),
        "settled": await stage.connection.fetchval(
            f"select count(*) from {schema}.invoices where settlement_status = 'SETTLED'"
        ),
    }
    return {name: items - count for name, count in counted.items()}


# -- planning


@dataclass
class Planned:
    due: int
    taken: int
    seconds: float
    cpu_microseconds: dict[str, float]
    """Of ours and of PostgreSQL, per item that is due: they work side by side."""
    megabytes: float
    """The most that was held."""

    @property
    def possible(self) -> float:
        """Items a second that a core has time for, in the slower of the two."""
        slower = max(self.cpu_microseconds.values())
        return 1e6 / slower if slower else 0.0


@dataclass
class Planning:
    measured: list[Planned]

    @property
    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "items_due": each.due,
                "taken": each.taken,
                "seconds": f"{each.seconds:.2f}",
                "items_a_second": round(each.due / each.seconds),
                "what_a_core_has_time_for": round(each.possible),
                "megabytes": round(each.megabytes),
            }
            for each in self.measured
        ]


_CRITERIA = Criteria(
    "MATCH_ALL",
    (Criterion("METHOD_TYPE", "IN_LIST", ("card", "sepa_debit")),),
    (
        CriteriaGroup(
            "MATCH_ANY",
            (Criterion("MATCHING_VALUE", "EQUALS", ("1",)), Criterion("AMOUNT", "AT_LEAST", ("1500",))),
        ),
    ),
)

_DUE = """
insert into {s}.accounts (tenant_id, account_id, default_method_id)
    select 'bench', 'A' || n, 'M' || n from generate_series(1, $1::int / 10) n;
insert into {s}.payment_methods (tenant_id, method_id, type, gateway_id)
    select 'bench', 'M' || n, 'card', 'gw' || n % 3 from generate_series(1, $1::int / 10) n;
insert into {s}.payment_schedules (tenant_id, payment_schedule_id, status)
    select 'bench', 'S' || n, 'OPEN' from generate_series(1, $1::int) n;
insert into {s}.schedule_items (tenant_id, item_id, payment_schedule_id, account_id, number, currency,
        status, target_processing_date, requested, attempts, matching_value)
    select 'bench', gen_random_uuid(), 'S' || n, 'A' || 1 + n % ($1::int / 10),
        'PSI-' || lpad(n::text, 8, '0'), 'USD', 'READY', date '2026-01-01' + n % 30,
        1000 + n % 1000, 0, (n % 3)::text
    from generate_series(1, $1::int) n
"""


async def planning(folder: Path, items: int = 100_000) -> Planning:
    """Planned: selected, filtered, and put on pages by gateway; a tenth of it first, then all."""
    measured = list[Planned]()
    for count in (items // 10, items):
        async with staged(folder / str(count)) as stage:
            measured.append(await _planned(stage, count))
    return Planning(measured)


async def _planned(stage: Stage, count: int) -> Planned:
    schema = await stage.connection.fetchval("select active from read_models")
    for statement in _DUE.replace("{s}", schema).replace("$1::int", str(count)).split(";"):
        await stage.connection.execute(statement)
    await stage.connection.execute("analyze")
    run = PaymentBatchRunCreated(RUN, "PBR-1", FAR, _CRITERIA, datetime.now(UTC))
    postgres = {"PostgreSQL": stage.server_pids["PostgreSQL"]}
    async with PostgresRows.connected(stage.settings.database_url or "", TABLES) as rows:
        taken = 0
        used, ours, began = cpu_seconds(postgres), time.process_time(), time.perf_counter()
        async for page in pages(StoredDue(rows), TENANT, run):
            taken += Counter(item.gateway_id for item in map(frozen, page.items)).total()
        seconds, mine = time.perf_counter() - began, time.process_time() - ours
        cpu = {"ours": mine, "PostgreSQL": cpu_seconds(postgres)["PostgreSQL"] - used["PostgreSQL"]}
    each = {name: spent * 1e6 / count for name, spent in cpu.items()}
    return Planned(count, taken, seconds, each, peak_megabytes(os.getpid()))
