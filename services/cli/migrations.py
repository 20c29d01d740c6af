"""`tender migrations`: migrations of tokenized methods, how far each is, and the verdict on each row."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from services.cli.listing import listed, named
from services.cli.output import Output, show
from services.cli.session import DataDir, Tenant, reading, run

migrations = App(name="migrations", help="Methods that were tokenized elsewhere: jobs, and their rows.")

JOB = ("job_id", "status", "rows", "decided", "imported", "updated", "skipped", "rejected", "parked")
CHECKS = ("checks", "checks_passed", "checks_failed", "checks_unclear")
"""Of jobs whose cards are proved."""
ROW = ("row_no", "external_id", "outcome", "account_id", "method_id", "code", "message")


@migrations.command(name="list")
def list_migrations(
    *, tenant: Tenant = "acme", limit: int = 50, data_dir: DataDir = None, output: Output = "table"
) -> None:
    """The latest first, and how far each is."""

    async def ask() -> list[dict[str, Any]]:
        asked = {"sort": ["-created_at"], "limit": [str(limit)]}
        async with reading(data_dir) as (_, rows):
            return await listed(rows, tenant, "token-migrations", asked, data_dir)

    jobs = run(ask())
    show(jobs, output, (*JOB, *CHECKS) if any(job["verify"] for job in jobs) else JOB)


@migrations.command(name="rows")
def list_rows(
    job: Annotated[str, Parameter(help="The job's id.")],
    *,
    tenant: Tenant = "acme",
    outcome: Annotated[
        Literal["IMPORTED", "UPDATED", "SKIPPED", "REJECTED", "PARKED"] | None,
        Parameter(help="Only what became this."),
    ] = None,
    row: Annotated[int | None, Parameter(help="Only the row of this number, from 1.")] = None,
    external_id: Annotated[str | None, Parameter(help="Only the row of this name.")] = None,
    limit: int = 50,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """The verdict on each row, in the order of the file.

    Examples:

        tender migrations rows mig-0a1b --outcome REJECTED
        tender migrations rows mig-0a1b --external-id legacy-17
    """
    asked = {"outcome": outcome, "row_no": row, "external_id": external_id, "limit": limit}
    given = {name: [str(value)] for name, value in asked.items() if value is not None}

    async def ask() -> list[dict[str, Any]]:
        async with reading(data_dir) as (_, rows):
            await named(rows, tenant, "token-migrations", job, data_dir, what="migration")
            return await listed(rows, tenant, "token-migration-rows", {"job_id": [job], **given}, data_dir)

    show(run(ask()), output, ROW)
