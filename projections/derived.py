"""Fields that follow from a row and from what day it is: told, and asked for, but not kept.

Each is given twice: as SQL, by which lists are filtered and sorted, and as a function of the row, by which
it is told.  A test holds that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from projections import (
    access,
    account_balances,
    accounts,
    credits,
    invoices,
    operations,
    payments,
    refunds,
    retries,
    runs,
    schedulers,
    schedules,
)
from projections.table import Column, Table

Row = Mapping[str, Any]
Rows = Mapping[Table, Mapping[tuple[Any, ...], Row]]

BUCKETS = ((1, 30, "1-30"), (31, 60, "31-60"), (61, 90, "61-90"))


@dataclass(frozen=True)
class Derived:
    type: str
    sql: str
    """Of the row `t`; `{now}` is the instant asked at, `{s}` the schema."""
    of: Callable[[Row, datetime, Rows], Any] | None
    """Of the row itself; None: it looks at other tables, and SQL has read it already."""
    elsewhere: Callable[[Row, datetime, Rows], Any] | None = None
    """The same from rows in memory, for one that looks at other tables."""


_TODAY = "({now} at time zone 'UTC')::date"
S = "{s}"


def _days_since(column: str) -> Derived:
    def of(row: Row, now: datetime, rows: Rows) -> int | None:
        at = row[column]
        return None if at is None else (now.astimezone(UTC).date() - at.astimezone(UTC).date()).days

    return Derived("int", f"({_TODAY} - (t.{column} at time zone 'UTC')::date)", of)


def _days_open(row: Row, now: datetime, rows: Rows) -> int | None:
    """From its posting until it was settled, or until today."""
    if row["posted_date"] is None:
        return None
    until = row["full_settlement_date"] or now.astimezone(UTC).date()
    return max(0, (until - row["posted_date"]).days)


def _days_overdue(row: Row, now: datetime, rows: Rows) -> int:
    if row["due_date"] is None or row["balance"] <= 0:
        return 0
    return max(0, (now.astimezone(UTC).date() - row["due_date"]).days)


def _bucket(row: Row, now: datetime, rows: Rows) -> str | None:
    """`current`, `1-30`, `31-60`, `61-90` or `90+`; nothing where nothing is owed."""
    if row["balance"] <= 0:
        return None
    days = _days_overdue(row, now, rows)
    if days == 0:
        return "current"
    return next((name for first, last, name in BUCKETS if first <= days <= last), "90+")


_OVERDUE_SQL = f"(case when t.balance > 0 then greatest(0, {_TODAY} - t.due_date) else 0 end)"
_UP_TO = ((0, "current"), *((last, name) for _, last, name in BUCKETS))
_BUCKET_SQL = (
    "(case when t.balance <= 0 then null "
    + " ".join(f"when {_OVERDUE_SQL} <= {last} then '{name}'" for last, name in _UP_TO)
    + " else '90+' end)"
)


def _open_because(row: Row, now: datetime, rows: Rows) -> str:
    if row["refund_reserved"]:
        return "a refund of the rest is under way"
    if row["applied"] or row["refunded"]:
        return "what was left after it was used"
    return "no invoice to take it from" if row["reference_invoice_id"] is None else "not applied yet"


_OPEN_BECAUSE_SQL = (
    "(case when t.refund_reserved <> 0 then 'a refund of the rest is under way' "
    "when t.applied <> 0 or t.refunded <> 0 then 'what was left after it was used' "
    "when t.reference_invoice_id is null then 'no invoice to take it from' else 'not applied yet' end)"
)


def _unapplied_because(row: Row, now: datetime, rows: Rows) -> str:
    if row["refund_reserved"]:
        return "a refund of the rest is under way"
    return "more was paid than applied" if row["applied"] or row["refunded"] else "not applied yet"


_UNAPPLIED_BECAUSE_SQL = (
    "(case when t.refund_reserved <> 0 then 'a refund of the rest is under way' "
    "when t.applied <> 0 or t.refunded <> 0 then 'more was paid than applied' else 'not applied yet' end)"
)

_HELD_IN = (
    "unapplied_payments",
    "reserved_for_refunds",
    "reserved_for_transfers",
    "open_credit",
    "reserved_credit",
)
_HELD = " + ".join(f"t.{column}" for column in _HELD_IN)


def net_balance(row: Row) -> int:
    """Open invoices less what is unapplied, reserved, and held as credit."""
    return row["open_receivables"] + row["overdrawn"] - sum(row[column] for column in _HELD_IN)


def _mine(table: Table, row: Row, rows: Rows) -> list[Row]:
    """The rows of another table that are of the same account and currency."""
    return [
        other
        for other in rows.get(table, {}).values()
        if (other["account_id"], other["currency"]) == (row["account_id"], row["currency"])
    ]


_SAME = "o.tenant_id = t.tenant_id and o.account_id = t.account_id and o.currency = t.currency"


def _overdue(row: Row, now: datetime, rows: Rows) -> int:
    return sum(
        each["balance"] for each in _mine(invoices.invoices, row, rows) if _days_overdue(each, now, rows)
    )


def _next_due(row: Row, now: datetime, rows: Rows) -> Any:
    today = now.astimezone(UTC).date()
    due = [each["due_date"] for each in _mine(invoices.invoices, row, rows) if each["balance"] > 0]
    return min((day for day in due if day >= today), default=None)


def _next_scheduled(row: Row, now: datetime, rows: Rows) -> Any:
    """The first day on which something that is ready may be collected; that of one overdue is over."""
    mine = _mine(schedules.schedule_items, row, rows)
    ready = [each for each in mine if each["status"] == "READY"]
    days: list[date] = [max(e["target_processing_date"], e["skipped_until"] or date.min) for e in ready]
    return min(days, default=None)


def _pending_refunds(row: Row, now: datetime, rows: Rows) -> int:
    return sum(each["amount"] for each in _mine(refunds.refunds, row, rows) if each["status"] in _UNDER_WAY)


_UNDER_WAY = ("REQUESTED", "PENDING", "INDETERMINATE", "REQUIRES_REVIEW")


def _account_credit(row: Row) -> int:
    """What the account holds and nothing has taken yet: unapplied money and open credit."""
    return row["unapplied_payments"] + row["open_credit"]


def _debit_memos(row: Row, now: datetime, rows: Rows) -> int:
    mine = _mine(credits.debit_memos, row, rows)
    return sum(each["total"] for each in mine if (each["status"], each["invoicing"]) == ("POSTED", "PENDING"))


def _account(column: str) -> Derived:
    def elsewhere(row: Row, now: datetime, rows: Rows) -> Any:
        found = rows.get(accounts.accounts, {}).get((row["tenant_id"], row["account_id"]))
        return found[column] if found else None

    same = "(o.tenant_id, o.account_id) = (t.tenant_id, t.account_id)"
    sql = f"(select o.{column} from {S}.accounts o where {same})"
    return Derived("text", sql, None, elsewhere)


def _last_run(column: str) -> Derived:
    def elsewhere(row: Row, now: datetime, rows: Rows) -> Any:
        found = rows.get(runs.payment_batch_runs, {}).get((row["tenant_id"], row["last_run_id"]))
        return found[column] if found else None

    same = "(o.tenant_id, o.run_id) = (t.tenant_id, t.last_run_id)"
    sql = f"(select o.{column} from {S}.payment_batch_runs o where {same})"
    return Derived("text", sql, None, elsewhere)


def _key_status(row: Row, now: datetime, rows: Rows) -> str:
    if row["revoked_at"] is not None:
        return "REVOKED"
    return "EXPIRED" if row["expires_at"] is not None and row["expires_at"] <= now else "ACTIVE"


_KEY_STATUS_SQL = (
    "(case when t.revoked_at is not null then 'REVOKED' when t.expires_at <= {now} then 'EXPIRED' "
    "else 'ACTIVE' end)"
)

_ACCOUNT_BALANCE: dict[str, Derived] = {
    "net_balance": Derived(
        "bigint", f"(t.open_receivables + t.overdrawn - ({_HELD}))", lambda row, now, rows: net_balance(row)
    ),
    "account_credit": Derived(
        "bigint", "(t.unapplied_payments + t.open_credit)", lambda row, now, rows: _account_credit(row)
    ),
    "overdue": Derived(
        "bigint",
        f"(select coalesce(sum(o.balance), 0)::bigint from {S}.invoices o "
        f"where {_SAME} and o.balance > 0 and o.due_date < {_TODAY})",
        None,
        _overdue,
    ),
    "next_due": Derived(
        "date",
        f"(select min(o.due_date) from {S}.invoices o "
        f"where {_SAME} and o.balance > 0 and o.due_date >= {_TODAY})",
        None,
        _next_due,
    ),
    "next_scheduled_collection": Derived(
        "date",
        f"(select min(greatest(o.target_processing_date, o.skipped_until)) from {S}.schedule_items o "
        f"where {_SAME} and o.status = 'READY')",
        None,
        _next_scheduled,
    ),
    "pending_refunds": Derived(
        "bigint",
        f"(select coalesce(sum(o.amount), 0)::bigint from {S}.refunds o "
        f"where {_SAME} and o.status in {_UNDER_WAY})",
        None,
        _pending_refunds,
    ),
    "debit_memos": Derived(
        "bigint",
        f"(select coalesce(sum(o.total), 0)::bigint from {S}.debit_memos o "
        f"where {_SAME} and o.status = 'POSTED' and o.invoicing = 'PENDING')",
        None,
        _debit_memos,
    ),
    "default_method_id": _account("default_method_id"),
    "hold_reason": _account("hold_reason"),
}

_RATE_SQL = (
    "(case when t.attempted_amount > 0 then (t.recovered_amount * 10000 / t.attempted_amount)::int end)"
)


def _rate(row: Row, now: datetime, rows: Rows) -> int | None:
    attempted = row["attempted_amount"]
    return row["recovered_amount"] * 10_000 // attempted if attempted > 0 else None


def _success_percent(row: Row, now: datetime, rows: Rows) -> int | None:
    """Of what was answered, how much was paid."""
    answered = row["processed"] + row["failed"]
    return 100 * row["processed"] // answered if answered else None


def _milliseconds(row: Row, now: datetime, rows: Rows) -> int | None:
    """From its claim to its answer."""
    if row["claimed_at"] is None or row["answered_at"] is None:
        return None
    return round((row["answered_at"] - row["claimed_at"]).total_seconds() * 1000)


DERIVED: dict[str, dict[str, Derived]] = {
    invoices.invoices.name: {
        "days_open": Derived(
            "int",
            f"(case when t.posted_date is not null "
            f"then greatest(0, coalesce(t.full_settlement_date, {_TODAY}) - t.posted_date) end)",
            _days_open,
        ),
        "days_overdue": Derived("int", _OVERDUE_SQL, _days_overdue),
        "overdue_bucket": Derived("text", _BUCKET_SQL, _bucket),
    },
    account_balances.account_balances.name: _ACCOUNT_BALANCE,
    payments.payments.name: {
        "age_days": _days_since("requested_at"),
        "has_unapplied": Derived("bool", "(t.unapplied > 0)", lambda row, now, rows: row["unapplied"] > 0),
        "unapplied_because": Derived("text", _UNAPPLIED_BECAUSE_SQL, _unapplied_because),
    },
    credits.credit_memos.name: {
        "age_days": _days_since("posted_at"),
        "open_because": Derived("text", _OPEN_BECAUSE_SQL, _open_because),
    },
    runs.payment_batch_runs.name: {
        "success_percent": Derived(
            "int",
            "(case when t.processed + t.failed > 0 then 100 * t.processed / (t.processed + t.failed) end)",
            _success_percent,
        )
    },
    runs.payment_batch_run_items.name: {
        "milliseconds": Derived(
            "int", "(extract(epoch from t.answered_at - t.claimed_at) * 1000)::int", _milliseconds
        )
    },
    refunds.refunds.name: {"age_days": _days_since("requested_at")},
    refunds.orchestrations.name: {"age_days": _days_since("requested_at")},
    access.api_keys.name: {"status": Derived("text", _KEY_STATUS_SQL, _key_status)},
    schedulers.payment_schedulers.name: {"last_run_status": _last_run("status")},
    operations.exceptions.name: {"age_days": _days_since("raised_at")},
    retries.performance.name: {"recovery_rate_basis_points": Derived("int", _RATE_SQL, _rate)},
}
"""By table, then by field."""


def columns_of(table: Table) -> tuple[Column, ...]:
    """The table's derived fields as columns, for who describes them."""
    return tuple(Column(name, derived.type) for name, derived in DERIVED.get(table.name, {}).items())
