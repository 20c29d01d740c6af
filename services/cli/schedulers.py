"""`tender schedulers`: when batch runs start by themselves: made, listed, paused, resumed, ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
from cyclopts import App, Parameter

from projections.rows import PostgresRows
from services.cli import sending
from services.cli.listing import listed, named
from services.cli.output import Output, show
from services.cli.session import DataDir, Tenant, clock_of, fail, reading, run
from services.schedulers import preview
from services.schedulers.planning import Cadence
from services.schedulers.recurrence import FROM_THE_END, WEEKDAYS
from services.schedulers.scheduler import home_of

schedulers = App(name="schedulers", help="When payment batch runs start by themselves.")

LISTED = (
    "scheduler_id",
    "name",
    "status",
    "cadence_in_words",
    "next_run_at",
    "last_run_id",
    "last_run_status",
)
BEHIND_SECONDS = 10.0
AHEAD = ("local", "at", "moved", "run_id")

Id = Annotated[str, Parameter(help="The scheduler's id.")]
Reason = Annotated[str | None, Parameter(help="Why, in a few words.")]


@asynccontextmanager
async def _current(data_dir: Path | None) -> AsyncIterator[PostgresRows]:
    """The read models, as new as what was recorded when they were asked; a while later, as they are."""
    async with reading(data_dir) as (store, rows):
        await rows.wait_for((await store.head())[0], BEHIND_SECONDS)
        yield rows


@schedulers.command(name="list")
def list_schedulers(
    *,
    status: Annotated[str | None, Parameter(help="DRAFT, ACTIVE, INACTIVE or CANCELED.")] = None,
    tenant: Tenant = "acme",
    limit: int = 50,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Each with its cadence in words, when it fires next, and what its last run was."""

    async def ask() -> list[dict[str, Any]]:
        asked = {"sort": ["next_run_at"], "limit": [str(limit)], **({"status": [status]} if status else {})}
        async with _current(data_dir) as rows:
            return await listed(rows, tenant, "payment-schedulers", asked, data_dir)

    show(run(ask()), output, LISTED)


@schedulers.command(name="next")
def next_runs(
    id: Id,
    *,
    count: Annotated[int, Parameter(help="How many firings.")] = 10,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """When it fires next, and why not when it is planned; of one that rests, if it was activated now."""
    if not 1 <= count <= preview.COUNT_MAX:
        fail(f"--count is from 1 to {preview.COUNT_MAX}")

    async def ask() -> list[dict[str, Any]]:
        async with _current(data_dir) as rows:
            row = await named(rows, tenant, "payment-schedulers", id, data_dir, what="scheduler")
            return preview.next_runs(tenant, row, clock_of(data_dir).now(), count)

    show(run(ask()), output, AHEAD)


@schedulers.command
def create(
    id: Id,
    cadence: Annotated[Cadence, Parameter(help="How often it fires.")],
    *,
    at: Annotated[str, Parameter(help="The time of day, HH:MM.")],
    start: Annotated[str, Parameter(help="The first day, YYYY-MM-DD.")],
    end: Annotated[str | None, Parameter(help="The last day. MONTHLY needs one.")] = None,
    on: Annotated[
        str | None, Parameter(help="MONDAY; of a month: 31, LAST, SECOND_TO_LAST, or FIRST-MONDAY.")
    ] = None,
    rule: Annotated[str | None, Parameter(help="Of RULE: FREQ=MONTHLY;BYDAY=-1FR")] = None,
    zone: Annotated[str | None, Parameter(help="Its time zone. [default: the tenant's]")] = None,
    business_days: Annotated[bool, Parameter(help="Not on weekends and holidays.", negative="")] = False,
    calendar: Annotated[str | None, Parameter(help="Whose holidays: DE, GB-SCT, ECB.")] = None,
    label: Annotated[list[str] | None, Parameter(help="Only items with this matching value.")] = None,
    name: Annotated[str | None, Parameter(help="What people call it. [default: its id]")] = None,
    draft: Annotated[bool, Parameter(help="It fires nothing before it is resumed.", negative="")] = False,
    dry_run: Annotated[bool, Parameter(help="Only tell what would happen.", negative="")] = False,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Make one, active at once; criteria on more than the label go by `tender send payment_scheduler.create`.

    Examples:

        tender schedulers create nightly DAILY --at 02:30 --start 2026-01-01 --business-days --calendar DE
        tender schedulers create gold MONTHLY --on 31 --at 06:00 --start 2026-01-01 --end 2026-12-31 --label a
    """
    labels = {"field": "MATCHING_VALUE", "op": "IN_LIST", "values": label}
    given: dict[str, Any] = {
        "name": name or id,
        "cadence": cadence,
        "preferred_time": at,
        "start_date": start,
        "end_date": end,
        "recurs_on": _day(on) if on else None,
        "rule": rule,
        "time_zone": zone,
        "exclude_weekends_and_holidays": business_days or calendar is not None or None,
        "calendar": calendar,
        "criteria": {"match_type": "MATCH_ANY", "criteria": [labels]} if label else None,
        "status": "DRAFT" if draft else "ACTIVE",
    }
    _send("create", id, given, tenant, data_dir, output, dry_run)


def _day(on: str) -> dict[str, Any]:
    nth, _, weekday = on.upper().rpartition("-")
    if weekday in WEEKDAYS:
        return {"weekday": weekday, **({"nth": nth} if nth else {})}
    if on.isdigit() or on.upper() in FROM_THE_END:
        return {"day_of_month": int(on) if on.isdigit() else on.upper()}
    fail(f"--on {on}: a weekday, a day of the month, LAST, SECOND_TO_LAST, THIRD_TO_LAST, or FIRST-MONDAY")


@schedulers.command
def pause(
    id: Id,
    *,
    reason: Reason = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Fire nothing until it is resumed; what would have been due meanwhile is not made up for."""
    _send("deactivate", id, {"reason": reason}, tenant, data_dir, output)


@schedulers.command
def resume(id: Id, *, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table") -> None:
    """From now on it fires as it is planned; so does a draft."""
    _send("activate", id, {}, tenant, data_dir, output)


@schedulers.command
def end(
    id: Id,
    *,
    reason: Reason = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Its end, for ever."""
    _send("cancel", id, {"reason": reason}, tenant, data_dir, output)


@schedulers.command(name="run")
def run_now(id: Id, *, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table") -> None:
    """A run now, besides those that are planned."""
    _send("run", id, {}, tenant, data_dir, output)


def _send(
    verb: str,
    id: str,
    given: dict[str, Any],
    tenant: str,
    data_dir: DataDir,
    output: Output,
    dry_run: bool = False,
) -> None:
    data = {"scheduler_id": id, **{name: value for name, value in given.items() if value is not None}}
    sending.send(
        f"payment_scheduler.{verb}",
        orjson.dumps(data).decode(),
        account=home_of(id),
        tenant=tenant,
        dry_run=dry_run,
        data_dir=data_dir,
        output=output,
    )
