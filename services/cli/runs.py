"""`tender runs`: batch runs begun, looked at, stopped and resumed; before one begins, what it would do."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import orjson
from cyclopts import App, Parameter

from projections.rows import PostgresRows
from services import bootstrap
from services.cli.listing import listed, named
from services.cli.output import Output, console, progress, show, steps, tell_json
from services.cli.sending import posted, told
from services.cli.session import DataDir, Tenant, fail, reading, run, settings_of
from services.runs.batch_run import home_of

runs = App(name="runs", help="Batch runs: what is due, collected together.")

LOOK_SECONDS = 0.3
ENDED = ("COMPLETED", "CANCELED", "FAILED", "STOPPED")
"""Statuses in which a run moves no more by itself."""

RUN = ("run_id", "number", "status", "run_date", "filtered", "processed", "failed", "skipped", "unclaimed")
ITEM = ("place", "number", "account_id", "amount", "outcome", "code", "gateway_id", "milliseconds")
PLANNED = ("place", "number", "account_id", "amount", "outcome", "code", "gateway_id")
COUNTERS = (
    *("filtered", "processed", "applied", "apply_failed", "awaiting_application", "failed"),
    *("canceled", "skipped", "unknown", "unclaimed"),
)

RunId = Annotated[str, Parameter(help="The run's id.")]
Url = Annotated[str | None, Parameter(help="Of Tender's HTTP. [default: of the one that runs here]")]
Due = Annotated[date | None, Parameter(name="--date", help="Items of this day or before. [default: today]")]
Label = Annotated[list[str] | None, Parameter(help="Only items with this matching value; may be repeated.")]
Currency = Annotated[list[str] | None, Parameter(help="Only of this currency; may be repeated.")]
Whole = Annotated[
    str | None,
    Parameter(help='Criteria as JSON: {"match_type": "MATCH_ANY", "criteria": […], "groups": […]}.'),
]
Retry = Annotated[bool, Parameter(help="What failed, and is to be tried again by now.", negative="")]
Most = Annotated[int | None, Parameter(help="No more items than this.")]
After = Annotated[int, Parameter(help="Decide the items behind this place.")]
Comments = Annotated[str | None, Parameter(help="Why, for who looks at it later.")]


@runs.command
def start(
    run_id: Annotated[str | None, Parameter(help="Its id. [default: made]")] = None,
    *,
    tenant: Tenant = "acme",
    due: Due = None,
    label: Label = None,
    currency: Currency = None,
    criteria: Whole = None,
    retry: Retry = False,
    max_items: Most = None,
    comments: Comments = None,
    watch: Annotated[bool, Parameter(help="Look on until it has ended.", negative="")] = False,
    url: Url = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Collect what is due; 1 when it was not accepted.

    Examples:

        tender runs start --label 1 --watch
        tender runs start nightly-17 --date 2026-04-06 --currency USD --currency EUR --max-items 1000
    """
    id = run_id or f"run-{uuid4()}"
    day = due or _today(data_dir)
    data = _data(id, day, criteria, label, currency, retry, max_items, comments)
    answer = posted("payment_batch_run.start", data, home_of(id), tenant, url, data_dir)
    told(answer, output, "payment_batch_run.start")
    if answer.is_success and watch:
        run(_watched(id, tenant, data_dir, output))
    raise SystemExit(0 if answer.is_success else 1)


@runs.command
def preview(
    *,
    tenant: Tenant = "acme",
    due: Due = None,
    label: Label = None,
    currency: Currency = None,
    criteria: Whole = None,
    retry: Retry = False,
    max_items: Most = None,
    after: After = 0,
    url: Url = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """What a run would select, charge, skip and cancel now; nothing happens.

    So many items are decided at a time; `--after` tells of the next.

    Examples:

        tender runs preview --label 1
        tender runs preview --date 2026-04-06 --currency USD --max-items 100
        tender runs preview --after 200
    """
    day = due or _today(data_dir)
    data = _data("preview", day, criteria, label, currency, retry, max_items, None)
    answer = posted(
        "payment_batch_run.start",
        data,
        home_of("preview"),
        tenant,
        url,
        data_dir,
        dry_run=True,
        params={"plan_after": after},
    )
    if not answer.is_success:
        told(answer, output, "payment_batch_run.start")
        raise SystemExit(1)
    plan = answer.json()["plan"]
    if output == "json":
        tell_json(plan)
        return
    console.print(
        f"{plan['selected']} selected ({plan['criteria']}); of {plan['planned']} of them: "
        f"{plan['charge']} charged, {plan['skip']} skipped, {plan['cancel']} canceled",
        highlight=False,
    )
    show(plan["items"], output, PLANNED)
    if plan["undecided"]:
        more = f": --after {plan['next_after']} tells of the next" if plan["next_after"] else ""
        console.print(f"{plan['undecided']} were not decided here{more}", highlight=False)


def _today(data_dir: Path | None) -> date:
    """As the Tender that runs here has it: its time may have been moved."""
    return bootstrap.clock(settings_of(data_dir)).now().date()


def _data(
    run_id: str,
    day: date,
    whole: str | None,
    labels: list[str] | None,
    currencies: list[str] | None,
    retry: bool,
    max_items: int | None,
    comments: str | None,
) -> dict[str, Any]:
    given = {"max_items": max_items, "comments": comments}
    return {
        "run_id": run_id,
        "run_date": day.isoformat(),
        "criteria": _criteria(whole, labels, currencies),
        "is_retry": retry,
        **{name: value for name, value in given.items() if value is not None},
    }


def _criteria(whole: str | None, labels: list[str] | None, currencies: list[str] | None) -> dict[str, Any]:
    """All of them must be true."""
    if whole is not None:
        if labels or currencies:
            fail("--criteria says everything: --label and --currency are ways to say less")
        try:
            return orjson.loads(whole)
        except orjson.JSONDecodeError as error:
            fail(f"the criteria are no JSON: {error}")
    fields = {"MATCHING_VALUE": labels, "CURRENCY": currencies}
    tests = [
        {"field": field, "op": "IN_LIST", "values": values} for field, values in fields.items() if values
    ]
    return {"match_type": "MATCH_ALL", "criteria": tests}


@runs.command(name="list")
def list_runs(
    *, tenant: Tenant = "acme", limit: int = 50, data_dir: DataDir = None, output: Output = "table"
) -> None:
    """The latest first, and how far each is."""

    async def ask() -> list[dict[str, Any]]:
        asked = {"sort": ["-created_at"], "limit": [str(limit)]}
        async with reading(data_dir) as (_, rows):
            return await listed(rows, tenant, "payment-batch-runs", asked, data_dir)

    show(run(ask()), output, RUN)


@runs.command(name="show")
def show_run(
    run_id: RunId,
    *,
    tenant: Tenant = "acme",
    outcome: Annotated[str | None, Parameter(help="Only items that became this.")] = None,
    limit: int = 50,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """A run's report, and its items in the order in which they were selected.

    Examples:

        tender runs show nightly-17
        tender runs show nightly-17 --outcome FAILED
    """
    asked = {"run_id": [run_id], "sort": ["place"], "limit": [str(limit)]}
    asked |= {"outcome": [outcome]} if outcome else {}

    async def ask() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with reading(data_dir) as (_, rows):
            found = await _run(rows, tenant, run_id, data_dir)
            return found, await listed(rows, tenant, "payment-batch-run-items", asked, data_dir)

    found, items = run(ask())
    if output == "json":
        tell_json({**found, "items": items})
        return
    _tell(found)
    show(items, output, ITEM)


@runs.command
def watch(
    run_id: RunId, *, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table"
) -> None:
    """Look on until a run has ended, or was stopped."""
    run(_watched(run_id, tenant, data_dir, output))


@runs.command
def stop(
    run_id: RunId,
    *,
    tenant: Tenant = "acme",
    reason: Annotated[str | None, Parameter(help="Why.")] = None,
    url: Url = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Claim nothing more for a run; it can be resumed."""
    _send("stop", {"run_id": run_id, "reason": reason}, tenant, url, data_dir, output)


@runs.command
def resume(
    run_id: RunId,
    *,
    tenant: Tenant = "acme",
    url: Url = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Go on with a run where it was stopped, or failed."""
    _send("resume", {"run_id": run_id}, tenant, url, data_dir, output)


@runs.command
def cancel(
    run_id: RunId,
    *,
    tenant: Tenant = "acme",
    reason: Annotated[str | None, Parameter(help="Why.")] = None,
    url: Url = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """End a run now: what is not claimed yet stays ready for others."""
    _send("cancel", {"run_id": run_id, "reason": reason}, tenant, url, data_dir, output)


def _send(
    verb: str, data: dict[str, Any], tenant: str, url: str | None, data_dir: Any, output: Output
) -> None:
    home = home_of(data["run_id"])
    answer = posted(f"payment_batch_run.{verb}", data, home, tenant, url, data_dir)
    told(answer, output, f"payment_batch_run.{verb}")
    raise SystemExit(0 if answer.is_success else 1)


async def _run(rows: PostgresRows, tenant: str, run_id: str, data_dir: Any) -> dict[str, Any]:
    return await named(rows, tenant, "payment-batch-runs", run_id, data_dir, what="run")


async def _watched(run_id: str, tenant: str, data_dir: Any, output: Output) -> None:
    async with reading(data_dir) as (_, rows):
        with progress() as shown:
            step = steps(shown)("items", 0)
            while True:
                found = await _run(rows, tenant, run_id, data_dir)
                reached = found["filtered"] - found["unclaimed"] - found["unknown"]
                step(reached, found["filtered"])
                if found["status"] in ENDED:
                    break
                await asyncio.sleep(LOOK_SECONDS)
    if output == "json":
        tell_json(found)
    else:
        _tell(found)


def _tell(found: dict[str, Any]) -> None:
    counted = ", ".join(f"{found[name]} {name.replace('_', ' ')}" for name in COUNTERS if found[name])
    console.print(
        f"{found['number']} {found['run_id']}: {found['status']}, {counted or 'nothing due'}",
        highlight=False,
        soft_wrap=True,
    )
    for kind in ("money", "failures", "reasons"):
        if found[kind]:
            show(found[kind], "table")
