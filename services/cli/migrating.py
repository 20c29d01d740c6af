"""`tender import-methods`: a file of externally tokenized methods, each row with its verdict."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import orjson
from cyclopts import Parameter

from events import ids
from events.mapper import decode
from events.token_migration import TokenMigrationRowsDecided
from services.cli.output import Output, console, errors, progress, steps, tell_json
from services.cli.session import (
    DataDir,
    Tenant,
    Trouble,
    Verdicts,
    attached_store,
    clock_of,
    run,
    verdicts_beside,
)
from services.commands import Actor
from services.importing.methods import rows_of
from services.importing.migration import Job, Migration
from services.migrations.token_migration import TokenMigrationJob
from services.store.protocol import Store

ACTOR = Actor("USER", "import-methods", ("OPERATOR",))
OUTCOMES = ("IMPORTED", "UPDATED", "SKIPPED", "REJECTED", "PARKED")


def import_methods(
    file: Annotated[Path, Parameter(help="CSV (*.csv) with a heading, or JSON Lines.")],
    *,
    tenant: Tenant = "acme",
    job: Annotated[str | None, Parameter(help="The job's id. [default: made of the file's content]")] = None,
    mode: Annotated[
        Literal["UPSERT", "INSERT_ONLY"], Parameter(help="Whether a method that is there is updated.")
    ] = "UPSERT",
    strict: Annotated[
        bool, Parameter(help="With INSERT_ONLY: a method that is there is an error, else it is skipped.")
    ] = True,
    dry_run: Annotated[bool, Parameter(help="Decide every row, and import none.")] = False,
    verify: Annotated[
        bool, Parameter(help="Have the gateway prove each card's token, with a charge of nothing.")
    ] = False,
    verdicts: Verdicts = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Take over tokenized methods from elsewhere; 1 when any row was not taken.

    Columns: external_id, account_ref, merchant_account, gateway, method_type, token, and optionally
    gateway_reference, async_reference, holder, holder_email, expiry (12/29), last4, network, billing_line1,
    billing_line2, billing_city, billing_region, billing_postal_code, billing_country, sec_code, mandate_ref,
    network_transaction_id, extended_type, usage, nickname, is_default, consent_at.

    A row that holds a card number anywhere is refused, and nothing of it is kept.  Stopped in the middle, run
    it again: it goes on where it was.  The same file again changes nothing.

    Examples:

        tender import-methods methods.csv
        tender import-methods methods.jsonl --tenant shop --mode INSERT_ONLY --dry-run
        tender import-methods methods.csv --verify
    """
    target = verdicts or verdicts_beside(file)
    try:
        digest = _digest(file)
    except OSError as why:
        raise SystemExit(run(_trouble(f"{file}: {why.strerror}"))) from why
    asked = Job(tenant, job or f"mig-{digest[:16]}", ACTOR, mode, strict, dry_run, file.name, digest, verify)
    raise SystemExit(run(_import(file, asked, data_dir, target, output)))


async def _trouble(why: str) -> None:
    raise Trouble(why)


async def _import(file: Path, job: Job, data_dir: Path | None, target: Path, output: Output) -> int:
    async with attached_store(data_dir) as (_, store):
        migration = Migration(store, clock_of(data_dir), job, rows_of(file))
        with progress() as shown:
            step = steps(shown)("rows", 0)
            report = await migration.prepare()
            step(0, report.rows)
            async for decided in migration.run():
                step(decided)
        for warning in report.warnings:
            errors.print(warning, style="yellow", markup=False, highlight=False)
        counted = await asyncio.to_thread(_written, await _facts(store, job), target)
    _tell(counted, migration.replayed, job, target, output)
    return 1 if counted["REJECTED"] or counted["PARKED"] else 0


async def _facts(store: Store, job: Job) -> list[TokenMigrationRowsDecided]:
    """What became of the rows, chunk by chunk."""
    stream = ids.stream(job.tenant, TokenMigrationJob.KIND, job.job_id)
    facts = [decode(event.topic, event.data) for event in await store.read_stream(stream)]
    return [fact for fact in facts if isinstance(fact, TokenMigrationRowsDecided)]


def _written(facts: list[TokenMigrationRowsDecided], target: Path) -> Counter[str]:
    """One line for each row, in the order of the file."""
    rows = sorted((row for fact in facts for row in fact.rows), key=lambda row: row.row_no)
    with target.open("wb") as out:
        out.writelines(orjson.dumps(row) + b"\n" for row in rows)
    return Counter(row.outcome for row in rows)


def _tell(counted: Counter[str], replayed: bool, job: Job, target: Path, output: Output) -> None:
    if output == "json":
        counts = {name.lower(): counted[name] for name in OUTCOMES}
        tell_json({"job_id": job.job_id, **counts, "replayed": replayed, "verdicts": target})
        return
    told = ", ".join(f"{counted[name]:,} {name.lower()}" for name in OUTCOMES if counted[name])
    console.print(f"{told or 'no rows'}{' (handed in before)' if replayed else ''}", highlight=False)
    if job.verify and not job.dry_run and counted["IMPORTED"] + counted["UPDATED"]:
        console.print("cards are being proved: tender migrations list tells how many have passed")
    console.print(f"job {job.job_id}, a verdict for each: {target}", highlight=False, soft_wrap=True)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
