"""`tender explain`, `verify`, `doctor`: why things are as they are, and whether they are right."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from projections.explain import explain as explain_facts
from projections.verify import verify as verify_all
from services.cli.output import Output, show
from services.cli.session import DataDir, Tenant, fail, reading, run, settings_of
from services.watching import doctor as examining

BEHIND_SECONDS = 10.0


def explain(
    id: Annotated[
        str, Parameter(help="INV-1, P-1, a refund, memo or orchestration; or a stream: payment-P-1.")
    ],
    *,
    tenant: Tenant = "acme",
    related: Annotated[
        bool, Parameter(help="Tell what the payments, memos and refunds in it did, too.")
    ] = False,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Why something is as it is: the chain of facts behind it, in words, with what was left after each.

    Examples:

        tender explain INV-1
        tender explain INV-1 --related
        tender explain PSI-000017
        tender explain pay-536365 --tenant shop --data-dir .tender/demo --output json
    """

    async def ask() -> list[dict[str, Any]]:
        async with reading(data_dir) as (store, rows):
            return await explain_facts(store, tenant, id, related=related, rows=rows)

    facts = run(ask())
    if not facts:
        fail(f"nothing of {tenant} is called {id}: is the tenant right? (--tenant)")
    columns = ["position", "at", "sentence", "left", "event_id"]
    if not related:
        columns.remove("event_id")
    show(facts, output, columns)


def verify(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Check the log's integrity and the conservation of money; 1 when something is violated."""

    async def ask() -> list[dict[str, Any]]:
        async with reading(data_dir) as (store, rows):
            await rows.wait_for((await store.head())[0], BEHIND_SECONDS)
            checks = await verify_all(rows)
            return [{"ok": not check.violations, **check._asdict()} for check in checks]

    checks = run(ask())
    show(checks, output)
    raise SystemExit(0 if all(check["ok"] for check in checks) else 1)


def doctor(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Whether what Tender needs is there and answers, and what to do where not; 1 if something is wrong."""
    findings = run(examining.examine(settings_of(data_dir)))
    show([finding._asdict() for finding in findings], output)
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)
