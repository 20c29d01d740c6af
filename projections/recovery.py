"""What retries have recovered, summed by one thing: where they do well, and where they are wasted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.money import Money
from projections.retries import performance
from projections.rows import PostgresRows

BY = ("account_group", "category", "gateway_id", "rule_set_id", "rule_number", "attempt", "period")
FILTERS = (*(name for name in BY if name != "attempt"), "currency")

_TRIED = ("attempts", "recovered")
_COUNTED = (*_TRIED, "recovered_by_hand", "given_up")


async def recovery(rows: PostgresRows, tenant: str, by: str, kept: Mapping[str, str]) -> list[dict[str, Any]]:
    """By currency, and by one of `BY`; of rows that are as `kept` says, whose names are of `FILTERS`.

    Attempt 0 is the first one, attempt n the n-th automatic retry; by anything else retries are summed, and
    first attempts left out.
    """
    assert by in BY
    assert kept.keys() <= set(FILTERS)
    sums = ", ".join(_sum(column, by) for name in _COUNTED for column in (name, _amount(name)))
    where = "".join(f" and {name} = ${n}" for n, name in enumerate(kept, 2))
    found = await rows.pool.fetch(
        f"select currency, {by} as key, {sums} from {await rows.active()}.{performance.name} "
        f"where tenant_id = $1{where} group by currency, {by} order by currency, {by}",
        tenant,
        *kept.values(),
    )
    return [_told(row, by) for row in found if any(row[name] for name in _COUNTED)]


def _amount(name: str) -> str:
    """The column of the money of what is counted."""
    return "attempted_amount" if name == "attempts" else f"{name}_amount"


def _sum(column: str, by: str) -> str:
    of_retries = by != "attempt" and column in (*_TRIED, *map(_amount, _TRIED))
    only = " filter (where attempt > 0)" if of_retries else ""
    return f"coalesce(sum({column}){only}, 0)::bigint as {column}"


def _told(row: Mapping[str, Any], by: str) -> dict[str, Any]:
    whole, part = row["attempted_amount"], row["recovered_amount"]
    return {
        by: row["key"],
        **{name: row[name] for name in _COUNTED},
        **{column: Money(row[column], row["currency"]) for column in map(_amount, _COUNTED)},
        "recovery_rate_basis_points": part * 10_000 // whole if whole else None,
    }
