"""`tender statement`: what an account, or several, owed, did, and owe."""

from __future__ import annotations

import sys
from csv import DictReader
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from projections.asking import BadQuery
from projections.statement import DOCUMENTS, as_csv, group
from services.cli.output import Output, show, tell_json
from services.cli.session import DataDir, Tenant, attached_store, clock_of, fail, run

SHOWN = ["account_id", "at", "what", "change", "balance", "currency"]


def statement(
    account: Annotated[str, Parameter(help="Whose.")],
    *,
    begins: Annotated[
        str | None, Parameter(name="--from", help="2026-03-01T00:00:00Z; without it, with the account.")
    ] = None,
    ends: Annotated[str | None, Parameter(name="--to", help="Without it, now.")] = None,
    also: Annotated[list[str] | None, Parameter(help="Other accounts to put on it.")] = None,
    documents: Annotated[
        list[str] | None, Parameter(help=f"Only lines of these: {', '.join(DOCUMENTS)}.")
    ] = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    csv: Annotated[bool, Parameter(help="For a spreadsheet, whole.")] = False,
    pdf: Annotated[Path | None, Parameter(help="Into this file, to print.")] = None,
    output: Output = "table",
) -> None:
    """What an account owed, did, and owes, in any period.

    Examples:

        tender statement A-1 --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z
        tender statement A-1 --also A-2 --csv > march.csv
        tender statement A-1 --pdf march.pdf
    """
    given = {"from": begins, "to": ends, "documents": ",".join(documents or ()) or None}
    asked = {name: [text] for name, text in given.items() if text}

    async def ask() -> dict[str, Any] | None:
        async with attached_store(data_dir) as (_, store):
            return await group(store, tenant, [account, *(also or ())], asked, clock_of(data_dir).now())

    try:
        told = run(ask())
        if told is None:
            fail(f"{tenant} has no such account: is the tenant right? (--tenant)")
        page = None if pdf is None else _page(told)
    except BadQuery as bad:
        fail(f"{bad.field}: {bad}")
    if pdf is not None and page is not None:
        try:
            pdf.write_bytes(page)
        except OSError as why:
            fail(f"{pdf}: {why.strerror}")
    elif csv:
        sys.stdout.write(as_csv(told))
    elif output == "json":
        tell_json(told)
    else:
        show(list(DictReader(StringIO(as_csv(told)))), output, SHOWN)


def _page(told: dict[str, Any]) -> bytes:
    from projections.statement_pdf import as_pdf  # what draws pages takes a while to come

    return as_pdf(told)
