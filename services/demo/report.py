"""The demo's report: sums that a finance person reads, each checked against the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from projections.rows import PostgresRows
from services.demo.run import TENANT, Outcome


@dataclass(frozen=True)
class Figure:
    group: str
    name: str
    count: int
    amount: int
    """In pence."""
    note: str = ""


class Check(NamedTuple):
    name: str
    expected: int
    found: int
    is_money: bool = False
    """In pence; else a count."""

    @property
    def ok(self) -> bool:
        return self.expected == self.found


class _Asked(NamedTuple):
    """A figure as it is asked for: how many rows of a table, and the sum of a column."""

    key: str
    group: str
    name: str
    table: str
    column: str
    where: str
    note: str = ""


_REDUCTION = "external_id like 'R-%'"
_OF_REDUCTIONS = f"source_invoice_id in (select invoice_id from {{s}}.invoices where {_REDUCTION})"

_FIGURES = (
    _Asked("posted", "Invoiced", "posted", "invoices", "total", "total > 0"),
    _Asked(
        "nothing to pay",
        "Invoiced",
        "posted at 0.00",
        "invoices",
        "total",
        "total = 0",
        "Not Applicable: not paid",
    ),
    _Asked("cancelled", "Invoiced", "cancellations", "invoices", "total", f"total < 0 and not {_REDUCTION}"),
    _Asked(
        "reduced",
        "Invoiced",
        "quantity reductions",
        "invoices",
        "total",
        _REDUCTION,
        "the demo's own, not in the file: a seeded 5 % of paid invoices",
    ),
    _Asked(
        "captured",
        "Paid",
        "captured by card",
        "payments",
        "received",
        "status = 'PROCESSED' and type = 'SALE'",
    ),
    _Asked(
        "cash",
        "Paid",
        "cash at the till",
        "payments",
        "received",
        "type = 'EXTERNAL'",
        "without a CustomerID",
    ),
    _Asked(
        "declined", "Paid", "declined by the card", "payments", "amount", "status = 'FAILED'", "no money came"
    ),
    _Asked(
        "in doubt",
        "Paid",
        "in doubt",
        "payments",
        "amount",
        "in_flight",
        "the gateway's answer was lost: it is asked, never charged again",
    ),
    _Asked("applied", "Where it is", "applied to invoices", "payments", "applied", "applied > 0"),
    _Asked(
        "refunded",
        "Where it is",
        "refunded to the card",
        "refunds",
        "amount",
        "status = 'PROCESSED'",
        "of cancellations and reductions",
    ),
    _Asked(
        "refunds in doubt",
        "Where it is",
        "refunds in doubt",
        "refunds",
        "amount",
        "status in ('REQUESTED', 'PENDING', 'INDETERMINATE')",
        "asked about, never sent twice",
    ),
    _Asked(
        "credited",
        "Credited",
        "credit memos of cancellations",
        "credit_memos",
        "total",
        f"not {_OF_REDUCTIONS}",
        "one for each original invoice, and one for what has none",
    ),
    _Asked(
        "reductions credited",
        "Credited",
        "credit memos of reductions",
        "credit_memos",
        "total",
        _OF_REDUCTIONS,
    ),
    _Asked(
        "credit applied",
        "Credited",
        "applied to the invoice taken back",
        "credit_memos",
        "applied",
        "applied > 0",
        "its payment is freed and refunded, or less is owed",
    ),
    _Asked(
        "open credit",
        "Credited",
        "open credit",
        "credit_memos",
        "balance",
        "balance > 0",
        "no sale in the file to give it back for",
    ),
    _Asked(
        "settled",
        "At the bank",
        "card payments paid out",
        "payments",
        "settled",
        "settled > 0",
        "by the gateway's own settlement report",
    ),
    _Asked("fees", "At the bank", "the gateway's fees", "payouts", "fees", "true"),
    _Asked(
        "paid in",
        "At the bank",
        "payouts on the bank's statement",
        "payouts",
        "bank_amount",
        "status = 'PAID'",
    ),
    _Asked("open", "Owed", "open", "invoices", "balance", "balance > 0", "of cards that were declined"),
)


async def figures(rows: PostgresRows) -> dict[str, Figure]:
    """Each figure with how many, from the read models."""
    schema, found = await rows.active(fresh=True), dict[str, Figure]()
    for asked in _FIGURES:
        row = await rows.pool.fetchrow(
            f"select count(*) as n, coalesce(sum({asked.column}), 0)::bigint as amount "
            f"from {schema}.{asked.table} where tenant_id = $1 and {asked.where.format(s=schema)}",
            TENANT,
        )
        found[asked.key] = Figure(asked.group, asked.name, row["n"], row["amount"], asked.note)
    return found


def checks(found: dict[str, Figure], outcome: Outcome) -> list[Check]:
    """The report against the file, read by other code; and the money against itself."""
    sums = outcome.sums
    amount = {key: figure.amount for key, figure in found.items()}
    received = amount["captured"] + amount["cash"]
    return [
        Check("invoices posted", sums.positive_count, found["posted"].count),
        Check("invoices posted", sums.positive, amount["posted"], True),
        Check("invoices of 0.00", sums.zero_count, found["nothing to pay"].count),
        Check("cancellations", sums.negative_count, found["cancelled"].count),
        Check("cancellations", sums.negative, amount["cancelled"], True),
        Check("cancellations credited", -sums.negative, amount["credited"], True),
        Check(
            "taken back from a sale of the file, or reduced",
            sums.returned + outcome.reduced,
            amount["credit applied"],
            True,
        ),
        Check("cash at the till", sums.till, amount["cash"], True),
        Check(
            "card sales = captured + declined + in doubt",
            sums.positive - sums.till,
            amount["captured"] + amount["declined"] + amount["in doubt"],
            True,
        ),
        Check("captured = paid out by the gateway", amount["captured"], amount["settled"], True),
        Check(
            "captured - refunded - fees = on the bank's statement",
            amount["captured"] - amount["refunded"] - amount["fees"],
            amount["paid in"],
            True,
        ),
        Check("received = applied + refunded", received, amount["applied"] + amount["refunded"], True),
        Check(
            "posted - cancelled - reduced = received - refunded + open - open credit",
            sums.positive + sums.negative - outcome.reduced,
            received - amount["refunded"] + amount["open"] - amount["open credit"],
            True,
        ),
    ]


def pounds(amount: int) -> str:
    """As a person reads it: `-60,310.15`."""
    whole, pence = divmod(abs(amount), 100)
    return f"{'-' if amount < 0 else ''}{whole:,}.{pence:02d}"


async def gateway_totals(simulator_url: str, tenant: str = TENANT) -> dict[str, Any]:
    """What the gateway itself says it moved."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{simulator_url}/v1/totals", params={"keys": f"{tenant}:"})).json()
