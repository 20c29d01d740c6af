"""What three months of instalments came to: collected at once, recovered, given up; with its sums checked."""

from __future__ import annotations

from typing import Any, NamedTuple

from projections.rows import PostgresRows
from services.demo.instalments import TENANT, Outcome
from services.demo.report import Check, Figure


class _Asked(NamedTuple):
    """A figure as it is asked for: how many rows, and the sum of a column."""

    key: str
    group: str
    name: str
    where: str
    note: str = ""
    column: str = "requested"
    table: str = "schedule_items"


_COLLECTED = "t.processed > 0"
_AGAIN = f"{_COLLECTED} and t.attempts > 1"
_OTHER_CARD = (
    "exists (select 1 from {s}.payments p join {s}.accounts a using (tenant_id, account_id) "
    "where p.tenant_id = t.tenant_id and p.payment_id = t.payment_id and p.method_id <> a.default_method_id)"
)

_FIGURES = (
    _Asked("sold", "Sold", "invoices", "true", "the first day's sales of the file", "total", "invoices"),
    _Asked("planned", "Sold", "instalments", "true", "three for each, a month apart"),
    _Asked("at once", "Collected", "at the first attempt", f"{_COLLECTED} and t.attempts = 1", "at night"),
    *(
        _Asked(f"attempt {n}", "Recovered", f"at attempt {n}", f"{_COLLECTED} and t.attempts = {n}")
        for n in range(2, 7)
    ),
    _Asked("other card", "Recovered", "of these, with the other card", f"{_AGAIN} and {_OTHER_CARD}"),
    _Asked(
        "given up",
        "Not collected",
        "given up",
        "t.status = 'FAILED' and t.next_retry_at is null",
        "lost cards, and whom all rules failed: failed-collections",
    ),
    _Asked(
        "trying",
        "Not collected",
        "to be tried again",
        "t.status = 'FAILED' and t.next_retry_at is not null",
        "retry-queue",
    ),
    _Asked(
        "in doubt", "Not collected", "in doubt", "t.status = 'PROCESSING'", "asked about, never charged again"
    ),
    _Asked("to come", "Not collected", "to come", "t.status in ('READY', 'DRAFT')"),
    _Asked("open", "Owed", "open", "t.balance > 0", "what was not collected", "balance", "invoices"),
)
RECOVERED = tuple(asked.key for asked in _FIGURES if asked.group == "Recovered" and asked.key != "other card")
LEFT = ("given up", "trying", "in doubt", "to come")


async def figures(rows: PostgresRows) -> dict[str, Figure]:
    """Each figure with how many, from the read models; without attempts that recovered nothing."""
    schema, found = await rows.active(fresh=True), dict[str, Figure]()
    for asked in _FIGURES:
        row = await rows.pool.fetchrow(
            f"select count(*) as n, coalesce(sum(t.{asked.column}), 0)::bigint as amount "
            f"from {schema}.{asked.table} t where t.tenant_id = $1 and {asked.where.replace('{s}', schema)}",
            TENANT,
        )
        if row["n"] or asked.group != "Recovered":
            found[asked.key] = Figure(asked.group, asked.name, row["n"], row["amount"], asked.note)
    return found


async def nights(rows: PostgresRows) -> dict[str, int]:
    """Of the scheduler's runs: how many, over how many days, and what they say of their items."""
    schema = await rows.active(fresh=True)
    row = await rows.pool.fetchrow(
        f"""select count(*) as runs, count(distinct run_date) as dates,
            coalesce(max(run_date) - min(run_date) + 1, 0) as days,
            count(*) filter (where status = 'COMPLETED') as completed,
            coalesce(sum(filtered), 0)::int as filtered,
            coalesce(sum(processed + failed + canceled + skipped + unknown + unclaimed), 0)::int as accounted
        from {schema}.payment_batch_runs where tenant_id = $1 and planned_at is not null""",
        TENANT,
    )
    return dict(row)


def checks(
    found: dict[str, Figure], runs: dict[str, int], gateway: dict[str, Any], outcome: Outcome
) -> list[Check]:
    """Against the file, read by other code; against the gateway's books; and the money against itself."""
    amount = {key: figure.amount for key, figure in found.items()}
    collected = amount["at once"] + sum(amount.get(key, 0) for key in RECOVERED)
    counted = sum(found[key].count for key in ("at once", *RECOVERED, *LEFT) if key in found)
    foretold = sum(total["amount"]["amount_minor"] for total in outcome.foretold["totals"])
    came = foretold or amount["planned"]  # on a second time everything is over, and nothing foretold
    return [
        Check("commands that were refused", 0, len(outcome.rejected)),
        Check("invoices sold", outcome.sold.invoices, found["sold"].count),
        Check("invoices sold", outcome.sold.amount, amount["sold"], True),
        Check("instalments planned", outcome.sold.amount, amount["planned"], True),
        Check("foretold before the first night", amount["planned"], came, True),
        Check("collected + recovered + not collected", found["planned"].count, counted),
        Check(
            "collected + recovered + not collected",
            amount["planned"],
            collected + sum(amount[key] for key in LEFT),
            True,
        ),
        Check("taken by the gateway", gateway.get("GBP", {}).get("taken", 0), collected, True),
        Check("owed", amount["sold"] - collected, amount["open"], True),
        Check("nights, each with one run", runs["days"], runs["runs"]),
        Check("runs that are complete", runs["runs"], runs["completed"]),
        Check("items of the runs, each with what came of it", runs["filtered"], runs["accounted"]),
    ]
