"""Accounting periods: which months of which legal entity are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.period import AccountingPeriodClosed, AccountingPeriodOpened, AccountingPeriodReopened
from projections.table import INSTANT, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

accounting_periods = Table(
    "accounting_periods",
    key=(TENANT, Column("legal_entity_id", TEXT), Column("month", TEXT)),
    columns=(*text("status", "reason"), Column("since", INSTANT)),
)

_STATUS: Mapping[type[Any], str] = {
    AccountingPeriodOpened: "OPEN",
    AccountingPeriodClosed: "CLOSED",
    AccountingPeriodReopened: "REOPENED",
}


@accounting_periods.on(*_STATUS)
def changed(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    said = {"status": _STATUS[type(fact)], "reason": getattr(fact, "reason", None), "since": at.time}
    yield Row((at.tenant, fact.legal_entity_id, fact.month), said)


TABLES = (accounting_periods,)
