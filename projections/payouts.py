"""Payouts: what gateways pay to the bank, line by line, what is not matched, and what the bank has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.payout import (
    BankLineMatched,
    BankLineReported,
    BankLineSetAside,
    BankLineUnmatched,
    PayoutCompleted,
    PayoutLineBooked,
    PayoutLineCounted,
    PayoutLineMatched,
    PayoutLineReported,
    PayoutLineUnmatched,
    PayoutPaidIn,
    PayoutReported,
    SettlementReportClosed,
    SettlementReportOpened,
)
from projections.table import DAY, INSTANT, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

payouts = Table(
    "payouts",
    key=(TENANT, Column("payout_id", TEXT)),
    columns=(
        *text("gateway_id", "payout_ref", "status", "currency", "report_id", "bank_line_id"),
        *money("amount", "total", "difference", "fees", "unmatched", "bank_amount", "bank_difference"),
        Column("lines_reported", "int", 0),
        Column("lines", "int", 0),
        Column("lines_unmatched", "int", 0),
        Column("arrives_on", DAY),
        Column("booked_on", DAY),
        Column("reported_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="payout",
    indexes=(("tenant_id", "gateway_id"), ("tenant_id", "payout_ref")),
)

payout_lines = Table(
    "payout_lines",
    key=(TENANT, Column("line_id", TEXT)),
    columns=(
        *text("payout_id", "gateway_id", "line_ref", "type", "raw_type", "status", "currency"),
        *money("gross", "fee", "net"),
        *money("charged", currency="charged_currency"),
        *text("charged_currency", "gateway_ref", "original_ref", "merchant_reference"),
        *text("account_id", "target_kind", "target_id", "operation_key", "matched_by", "reason"),
        Column("happened_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="payoutline",
    indexes=(("tenant_id", "payout_id"), ("tenant_id", "status"), ("tenant_id", "target_id")),
)

bank_lines = Table(
    "bank_lines",
    key=(TENANT, Column("bank_line_id", TEXT)),
    columns=(
        *text("gateway_id", "bank_account", "reference", "text", "status", "currency"),
        *money("amount"),
        *text("payout_id", "matched_by", "reason"),
        Column("booked_on", DAY),
        Column("version", "int", 0),
    ),
    kind="bankline",
    indexes=(("tenant_id", "status"),),
)

settlement_reports = Table(
    "settlement_reports",
    key=(TENANT, Column("report_id", TEXT)),
    columns=(
        *text("gateway_id", "format", "source", "digest", "status"),
        Column("rows", "int", 0),
        Column("accepted", "int", 0),
        Column("rejected", "int", 0),
        Column("unreadable", "int", 0),
        Column("opened_at", INSTANT),
        Column("closed_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="settlereport",
)


def _row(at: Place, **changes: Any) -> Row:
    return Row((at.tenant, at.id), changes)


@settlement_reports.on(SettlementReportOpened)
def report_opened(fact: SettlementReportOpened, at: Place, own: Own) -> Iterable[Row]:
    names = ("gateway_id", "format", "source", "digest", "rows", "unreadable", "opened_at")
    yield _row(at, status="OPEN", **{name: getattr(fact, name) for name in names})


@settlement_reports.on(SettlementReportClosed)
def report_closed(fact: SettlementReportClosed, at: Place, own: Own) -> Iterable[Row]:
    counts = {name: getattr(fact, name) for name in ("accepted", "rejected", "unreadable")}
    yield _row(at, status="CLOSED", closed_at=at.time, **counts)


@payouts.on(PayoutReported)
def reported(fact: PayoutReported, at: Place, own: Own) -> Iterable[Row]:
    names = ("gateway_id", "payout_ref", "arrives_on", "report_id", "reported_at")
    yield _row(
        at,
        status="OPEN",
        currency=fact.amount.currency,
        amount=fact.amount.amount_minor,
        lines_reported=fact.lines,
        **{name: getattr(fact, name) for name in names},
    )


@payouts.on(PayoutLineCounted)
def counted(fact: PayoutLineCounted, at: Place, own: Own) -> Iterable[Row]:
    yield _row(at, lines=fact.lines, total=fact.total.amount_minor)


@payouts.on(PayoutCompleted)
def completed(fact: PayoutCompleted, at: Place, own: Own) -> Iterable[Row]:
    status = "PAID" if own["status"] == "PAID" else "COMPLETE"
    yield _row(at, status=status, difference=fact.difference.amount_minor)


@payouts.on(PayoutPaidIn)
def paid_in(fact: PayoutPaidIn, at: Place, own: Own) -> Iterable[Row]:
    yield _row(
        at,
        status="PAID",
        bank_line_id=fact.bank_line_id,
        bank_amount=fact.amount.amount_minor,
        bank_difference=fact.difference.amount_minor,
        booked_on=fact.booked_on,
    )


@payouts.on(PayoutLineReported)
def fee_of_line(fact: PayoutLineReported, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.payout_id), {"fees": Add(fact.fee.amount_minor)})


@payouts.on(PayoutLineUnmatched)
def line_in_suspense(fact: PayoutLineUnmatched, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, own["payout_id"]), _suspense(fact.gross.amount_minor - fact.fee.amount_minor, 1))


@payouts.on(PayoutLineMatched, PayoutLineBooked)
def line_out_of_suspense(fact: PayoutLineMatched | PayoutLineBooked, at: Place, own: Own) -> Iterable[Row]:
    if fact.was_unmatched:
        net = fact.gross.amount_minor - fact.fee.amount_minor
        yield Row((at.tenant, own["payout_id"]), _suspense(-net, -1))


def _suspense(net: int, lines: int) -> dict[str, Any]:
    return {"unmatched": Add(net), "lines_unmatched": Add(lines)}


@payout_lines.on(PayoutLineReported)
def line_reported(fact: PayoutLineReported, at: Place, own: Own) -> Iterable[Row]:
    names = ("payout_id", "gateway_id", "line_ref", "type", "raw_type", "happened_at")
    more = ("gateway_ref", "original_ref", "merchant_reference")
    charged = fact.charged or fact.gross
    yield _row(
        at,
        currency=fact.net.currency,
        gross=fact.gross.amount_minor,
        fee=fact.fee.amount_minor,
        net=fact.net.amount_minor,
        charged=charged.amount_minor,
        charged_currency=charged.currency,
        **{name: getattr(fact, name) for name in (*names, *more)},
    )


@payout_lines.on(PayoutLineMatched)
def line_matched(fact: PayoutLineMatched, at: Place, own: Own) -> Iterable[Row]:
    names = ("account_id", "target_kind", "target_id", "operation_key")
    told = {name: getattr(fact, name) for name in names}
    yield _row(at, status="MATCHED", matched_by=fact.by, reason=None, **told)


@payout_lines.on(PayoutLineUnmatched)
def line_unmatched(fact: PayoutLineUnmatched, at: Place, own: Own) -> Iterable[Row]:
    yield _row(at, status="UNMATCHED", reason=fact.reason)


@payout_lines.on(PayoutLineBooked)
def line_booked(fact: PayoutLineBooked, at: Place, own: Own) -> Iterable[Row]:
    yield _row(at, status="BOOKED", reason=fact.note)


@bank_lines.on(BankLineReported)
def bank_reported(fact: BankLineReported, at: Place, own: Own) -> Iterable[Row]:
    names = ("gateway_id", "bank_account", "reference", "text", "booked_on")
    told = {name: getattr(fact, name) for name in names}
    yield _row(at, currency=fact.amount.currency, amount=fact.amount.amount_minor, **told)


@bank_lines.on(BankLineMatched)
def bank_matched(fact: BankLineMatched, at: Place, own: Own) -> Iterable[Row]:
    yield _row(at, status="MATCHED", payout_id=fact.payout_id, matched_by=fact.by, reason=None)


@bank_lines.on(BankLineUnmatched)
def bank_unmatched(fact: BankLineUnmatched, at: Place, own: Own) -> Iterable[Row]:
    yield _row(at, status="UNMATCHED", reason=fact.reason)


@bank_lines.on(BankLineSetAside)
def bank_set_aside(fact: BankLineSetAside, at: Place, own: Own) -> Iterable[Row]:
    yield _row(at, status="SET_ASIDE", reason=fact.note)


TABLES = (payouts, payout_lines, bank_lines, settlement_reports)
