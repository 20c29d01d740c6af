"""A payout: what a gateway says that it pays to the bank, its lines, and the bank's own word for it.

Invariant: a line counts once, and a payout is complete when as many lines are here as were reported; what
its lines and its amount differ by is shown to a person, never hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from events import ids
from events.payout import (
    BankLineEvent,
    BankLineMatched,
    BankLineReported,
    BankLineSetAside,
    BankLineUnmatched,
    PayoutCompleted,
    PayoutEvent,
    PayoutLineBooked,
    PayoutLineCounted,
    PayoutLineEvent,
    PayoutLineMatched,
    PayoutLineReported,
    PayoutLineUnmatched,
    PayoutPaidIn,
    PayoutReported,
    SettlementReportClosed,
    SettlementReportOpened,
)

LineType = Literal[
    "PAYMENT", "REFUND", "REFUND_REVERSED", "CHARGEBACK", "CHARGEBACK_REVERSED", "RETURN", "FEE", "ADJUSTMENT"
]

ABOUT_NOTHING = frozenset({"FEE", "ADJUSTMENT"})
"""Lines that are about no operation of ours."""


def home_of(gateway_id: str) -> str:
    """All that a gateway pays out has one home: a bank's line finds the payouts that are open there."""
    return ids.tenant_home("payout", gateway_id)


def payout_id(gateway_id: str, payout_ref: str) -> str:
    return ids.part_id(f"{gateway_id}/{payout_ref}", "payout")


def line_id(gateway_id: str, payout_ref: str, line_ref: str) -> str:
    return ids.part_id(payout_id(gateway_id, payout_ref), f"line/{line_ref}")


def bank_line_id(bank_account: str, reference: str) -> str:
    return ids.part_id(f"{bank_account}/{reference}", "bank line")


def case_id(id: str) -> str:
    """A line is one case at most, however often it is looked at."""
    return ids.part_id(id, "exception")


@dataclass(slots=True)
class SettlementReport:
    """A gateway's settlement report: its rows, told one by one, and how many there were."""

    KIND: ClassVar[str] = "settlereport"

    version: int = 0
    opened: SettlementReportOpened | None = None
    closed: bool = False

    @property
    def open(self) -> bool:
        return False


def evolve_report(report: SettlementReport, event: SettlementReportOpened | SettlementReportClosed) -> None:
    match event:
        case SettlementReportOpened():
            report.opened = event
        case SettlementReportClosed():
            report.closed = True


@dataclass(slots=True)
class Payout:
    KIND: ClassVar[str] = "payout"

    version: int = 0
    reported: PayoutReported | None = None
    status: str = ""
    """Empty, OPEN, COMPLETE or PAID."""
    lines: int = 0
    total: int = 0
    paid: bool = False

    @property
    def open(self) -> bool:
        """Until the bank has it."""
        return self.reported is not None and not self.paid


def evolve(payout: Payout, event: PayoutEvent) -> None:
    match event:
        case PayoutReported():
            payout.reported, payout.status = event, "OPEN"
        case PayoutLineCounted():
            payout.lines, payout.total = event.lines, event.total.amount_minor
        case PayoutCompleted():
            payout.status = "PAID" if payout.paid else "COMPLETE"
        case PayoutPaidIn():
            payout.status, payout.paid = "PAID", True


@dataclass(slots=True)
class PayoutLine:
    """One line of a payout: the payment, refund, chargeback or fee that it is, or a case for a person."""

    KIND: ClassVar[str] = "payoutline"

    version: int = 0
    reported: PayoutLineReported | None = None
    status: str = ""
    """Empty, MATCHED, UNMATCHED or BOOKED."""
    matched: PayoutLineMatched | None = None

    @property
    def open(self) -> bool:
        return self.status == "UNMATCHED"


def evolve_line(line: PayoutLine, event: PayoutLineEvent) -> None:
    match event:
        case PayoutLineReported():
            line.reported = event
        case PayoutLineMatched():
            line.status, line.matched = "MATCHED", event
        case PayoutLineUnmatched():
            line.status = "UNMATCHED"
        case PayoutLineBooked():
            line.status = "BOOKED"


@dataclass(slots=True)
class BankLine:
    """One line of a bank's statement: the payout that it is, or none."""

    KIND: ClassVar[str] = "bankline"

    version: int = 0
    reported: BankLineReported | None = None
    status: str = ""
    """Empty, MATCHED, UNMATCHED or SET_ASIDE."""
    payout_id: str = ""

    @property
    def open(self) -> bool:
        return self.status == "UNMATCHED"


def evolve_bank_line(bank_line: BankLine, event: BankLineEvent) -> None:
    match event:
        case BankLineReported():
            bank_line.reported = event
        case BankLineMatched():
            bank_line.status, bank_line.payout_id = "MATCHED", event.payout_id
        case BankLineUnmatched():
            bank_line.status = "UNMATCHED"
        case BankLineSetAside():
            bank_line.status = "SET_ASIDE"
