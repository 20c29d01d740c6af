"""Questions of the CLI to read models: at the time of the Tender that runs over the data folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from projections import answering
from projections.queries import QUERIES
from projections.rows import PostgresRows
from services.cli.session import Trouble, clock_of


async def listed(
    rows: PostgresRows, tenant: str, name: str, asked: Mapping[str, Sequence[str]], data_dir: Path | None
) -> list[dict[str, Any]]:
    """A page of a read model; `asked` is what HTTP takes in the query.  Raises `BadQuery`."""
    found = await answering.page(rows, QUERIES[name], tenant, asked, now=clock_of(data_dir).now())
    return found["items"]


async def named(
    rows: PostgresRows, tenant: str, name: str, id: str, data_dir: Path | None, *, what: str
) -> dict[str, Any]:
    """The row with this id.  Raises `Trouble`: the tenant has no such `what`."""
    found = await answering.one(rows, QUERIES[name], tenant, id, now=clock_of(data_dir).now())
    if found is None:
        raise Trouble(f"{tenant} has no {what} {id}")
    return found
