"""An idle service: what it uses of a core while nothing is due, with nothing planned, and with a great deal.

What is to come is a row that an index has in the order of its time, and nobody looks at it before.  The two
are measured one after the other on one database: as it is when a tenant has just begun, then with items,
schedulers and timers of the years to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from events import ids
from events.money import Money
from projections.schedules import schedule_items
from services.bench.stage import SPINE_ROLES, Stage, cpu_seconds, staged
from services.bench.stream import TENANT, Made, made
from services.clock import SystemClock
from services.schedulers.planning import CreatePaymentScheduler
from services.schedulers.scheduler import home_of
from services.schedules.items import NewItem
from services.schedules.scheduling import CreatePaymentSchedule
from services.tenants.tenant_settings import ACTIVE_SCHEDULERS_MAX, ChangeTenantSettings

ROLES = {**SPINE_ROLES, "gateway": ("gateway",)}
SETTLE_SECONDS = 6.0
"""What has just begun takes its leases, and warms up."""
ITEMS_EACH = 12
"""Of a schedule."""

_LOG = f"""
insert into log
select $1::bigint + n, one.home, '{TENANT}/ps-F' || n / {ITEMS_EACH}, n % {ITEMS_EACH} + 1, topic, data,
    gen_random_uuid(), meta, occurred_at, recorded_at, true
from generate_series(1, $2::bigint) n,
    (select * from log where topic = 'payment_schedule.item_added.v1' limit 1) one
"""

_OPEN = f"""
insert into account_documents
select '{TENANT}/A0', '{TENANT}/ps-F' || n from generate_series(1, $1::bigint / {ITEMS_EACH}) n
"""

_TIMERS = """
insert into outbox_commands (command_id, home, type, body, meta, due_at)
select gen_random_uuid(), home, type, body, meta, now() + interval '1 day' + n * interval '1 minute'
from generate_series(1, $1::bigint) n,
    (select * from outbox_commands where type like 'payments.payment_scheduler.fire.%' limit 1) one
"""

_ROWS = {
    "item_id": "'F' || n",
    "payment_schedule_id": f"'F' || n / {ITEMS_EACH}",
    "target_processing_date": "current_date + 1 + (n % 730)::int",
}


@dataclass(frozen=True)
class Idle:
    seconds: int
    items: int
    """In the read model, each due on a day to come."""
    schedulers: int
    """Active."""
    timers: int
    """In the outbox, none of them due."""
    empty: dict[str, float]
    full: dict[str, float]
    """Thousandths of a core, of each process: with nothing planned, and with all of it."""

    @property
    def table(self) -> list[dict[str, Any]]:
        rows = [_row(name, self.empty[name], self.full[name]) for name in self.full]
        return [*rows, _row("all", sum(self.empty.values()), sum(self.full.values()))]


def _row(what: str, empty: float, full: float) -> dict[str, Any]:
    told = {"with_nothing_planned": empty, "with_all_of_it": full, "more": full - empty}
    return {"thousandths_of_a_core": what, **{name: f"{used:.1f}" for name, used in told.items()}}


async def idle(folder: Path, items: int = 1_000_000, schedulers: int = 200, seconds: int = 20) -> Idle:
    async with staged(folder) as stage:
        async with stage.roles(ROLES):
            await stage.prepare(1)
        empty = await _used(stage, seconds)
        async with stage.roles(ROLES):
            for commands in (_room(), list(_begun(min(schedulers, ACTIVE_SCHEDULERS_MAX)))):
                await stage.send(commands)
                await stage.quiet()
        await _fill(stage, items)
        full = await _used(stage, seconds)
        return Idle(seconds, *await _planned(stage), empty, full)


def _room() -> list[Made]:
    """For more schedulers than a tenant has unless it says so; decided before they are."""
    room = ChangeTenantSettings({"active_schedulers_max": ACTIVE_SCHEDULERS_MAX})
    return [made(room, ids.tenant_home("settings", TENANT), "room")]


def _begun(schedulers: int) -> Iterable[Made]:
    """A schedule with an item, and schedulers, as anybody makes them; no run of theirs is near."""
    later = date.today() + timedelta(days=365)  # noqa: DTZ011 - whichever day it is here
    amount = Money(1_000, "USD")
    yield made(CreatePaymentSchedule("ORDER", "O", (NewItem(amount, later),), "F", amount), "A0", "schedule")
    for n in range(schedulers):
        at = f"{n % 24:02}:{n % 60:02}"
        planned = CreatePaymentScheduler(f"S{n}", f"S{n}", "DAILY", later, at, status="ACTIVE")
        yield made(planned, home_of(f"S{n}"), f"scheduler {n}")


async def _fill(stage: Stage, items: int) -> None:
    """The same many times over: in the log, among open documents, in the read model, and as timers."""
    ask = stage.connection
    position = await ask.fetchval("select position from head")
    names, table = schedule_items.names, f"{await _schema(stage)}.{schedule_items.name}"
    values = ", ".join(_ROWS.get(name, f"one.{name}") for name in names)
    await ask.execute(_LOG, position, items)
    await ask.execute(_OPEN, items)
    await ask.execute(_TIMERS, items)
    await ask.execute(
        f"insert into {table} ({', '.join(names)}) select {values} "
        f"from generate_series(1, $1::bigint) n, (select * from {table} limit 1) one",
        items,
    )
    await stage.pass_over(items)
    for filled in ("log", "account_documents", "outbox_commands", table):
        await ask.execute(f"vacuum analyze {filled}")
    await ask.execute("checkpoint")  # so that nobody writes it out while we measure


async def _planned(stage: Stage) -> tuple[int, int, int]:
    """What there is, as the database has it."""
    schema, now = await _schema(stage), SystemClock().now()
    items = f"select count(*) from {schema}.schedule_items where target_processing_date > current_date"
    active = f"select count(*) from {schema}.payment_schedulers where status = 'ACTIVE' and next_run_at > $1"
    timers = "select count(*) from outbox_commands where due_at > $1"
    ask = stage.connection
    return await ask.fetchval(items), await ask.fetchval(active, now), await ask.fetchval(timers, now)


async def _schema(stage: Stage) -> str:
    return await stage.connection.fetchval("select active from read_models")


async def _used(stage: Stage, seconds: int) -> dict[str, float]:
    """Of each process, while nothing happens."""
    async with stage.roles(ROLES) as pids:
        await stage.warm()
        await asyncio.sleep(SETTLE_SECONDS)
        watched = {**pids, **stage.server_pids}
        before = cpu_seconds(watched)
        await asyncio.sleep(seconds)
        after = cpu_seconds(watched)
        return {name: (after[name] - before[name]) * 1_000 / seconds for name in watched}
