"""The demo's report: sums that a finance person reads, each checked against the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from events.money import Money
from projections.rows import PostgresRows
from services.demo.run import TENANT, Outcome
from services.importing.retail import CURRENCY


@dataclass(frozen=True)
class Figure:
    name: str
    count: int
    amount: int
    """In pence."""
    note: str = ""


class Check(NamedTuple):
    name: str
    expected: int
    found: int

    @property
    def ok(self) -> bool:
        return self.expected == self.found


_FIGURES = (
    ("posted", "invoices posted", "invoices", "total", "total > 0", ""),
    ("nothing to pay", "invoices of 0.00", "invoices", "total", "total = 0", "posted, Not Applicable"),
    (
        "cancelled",
        "negative invoices of the file",
        "invoices",
        "total",
        "total < 0 and external_id not like 'R-%'",
        "",
    ),
    (
        "captured",
        "card payments that arrived",
        "payments",
        "received",
        "status = 'PROCESSED' and type = 'SALE'",
        "",
    ),
    ("cash", "cash at the till", "payments", "received", "type = 'EXTERNAL'", ""),
    ("declined", "card payments declined", "payments", "amount", "status = 'FAILED'", ""),
    (
        "in doubt",
        "payments whose outcome is not known yet",
        "payments",
        "amount",
        "in_flight",
        "asked about until they are",
    ),
    ("applied", "payments applied to invoices", "payments", "applied", "applied > 0", ""),
    (
        "credited",
        "credit memos from cancellations",
        "credit_memos",
        "total",
        "source_invoice_id in (select invoice_id from {s}.invoices where external_id not like 'R-%')",
        "",
    ),
    (
        "refunded",
        "refunds that went back",
        "refunds",
        "amount",
        "status = 'PROCESSED'",
        "reductions included",
    ),
    (
        "open credit",
        "credit that customers hold",
        "credit_memos",
        "balance",
        "balance > 0",
        "nothing to refund it from",
    ),
    ("open", "what customers still owe", "invoices", "balance", "balance > 0", ""),
)


async def figures(rows: PostgresRows) -> dict[str, Figure]:
    """Each figure with how many, from the read models."""
    schema, found = await rows.active(fresh=True), dict[str, Figure]()
    for key, name, table, column, where, note in _FIGURES:
        row = await rows.pool.fetchrow(
            f"select count(*) as n, coalesce(sum({column}), 0)::bigint as amount from {schema}.{table} "
            f"where tenant_id = $1 and {where.format(s=schema)}",
            TENANT,
        )
        found[key] = Figure(name, row["n"], row["amount"], note)
    return found


def checks(found: dict[str, Figure], outcome: Outcome) -> list[Check]:
    """The report against the file, read by other code; and the money against itself."""
    sums = outcome.sums
    received = found["captured"].amount + found["cash"].amount
    return [
        Check("positive invoices", sums.positive_count, found["posted"].count),
        Check("positive invoices, pence", sums.positive, found["posted"].amount),
        Check("invoices of 0.00", sums.zero_count, found["nothing to pay"].count),
        Check("cancellations", sums.negative_count, found["cancelled"].count),
        Check("cancellations, pence", sums.negative, found["cancelled"].amount),
        Check("cancellations credited, pence", -sums.negative, found["credited"].amount),
        Check("till sales, pence", sums.till, found["cash"].amount),
        Check(
            "card sales: captured, declined or in doubt, pence",
            sums.positive - sums.till,
            found["captured"].amount + found["declined"].amount + found["in doubt"].amount,
        ),
        Check(
            "received = applied + refunded, pence",
            received,
            found["applied"].amount + found["refunded"].amount,
        ),
        Check(
            "posted + cancelled + reduced = received - refunded + open - open credit, pence",
            sums.positive + sums.negative - outcome.reduced,
            received - found["refunded"].amount + found["open"].amount - found["open credit"].amount,
        ),
    ]


def pounds(amount: int) -> str:
    return str(Money(amount, CURRENCY))


async def gateway_totals(simulator_url: str) -> dict[str, Any]:
    """What the gateway itself says it moved."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{simulator_url}/v1/totals")).json()
