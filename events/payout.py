"""What can happen to money on its way from a gateway to the bank: reports, payouts, their lines, bank lines.

A line of a payout that is about an operation of ours is settled on that operation's own stream
(`payment.settled_by_gateway`, `refund.settled_by_gateway`, …); what is about none is booked on the line.
"""

from __future__ import annotations

from datetime import date, datetime

from events.catalog import fact
from events.money import Money


@fact("settlement_report.opened.v1")
class SettlementReportOpened:
    """A file of a gateway's: its lines follow, one command each (stream `settlereport-{id}`)."""

    report_id: str
    gateway_id: str
    format: str
    source: str
    """The file's name."""
    digest: str
    """SHA-256 in hex of its bytes."""
    rows: int
    unreadable: int
    opened_at: datetime


@fact("settlement_report.closed.v1")
class SettlementReportClosed:
    """Every row has a verdict."""

    accepted: int
    rejected: int
    unreadable: int


@fact("payout.reported.v1")
class PayoutReported:
    """A gateway says what it pays out (stream `payout-{id}`); below zero, what it debits."""

    payout_id: str
    gateway_id: str
    payout_ref: str
    """The gateway's own name of it."""
    amount: Money
    lines: int
    """How many lines make it up, as reported."""
    reported_at: datetime
    """When it was recorded."""
    arrives_on: date | None = None
    report_id: str | None = None
    """The settlement report that it comes from."""


@fact("payout.line_counted.v1")
class PayoutLineCounted:
    """A line of the report was counted into the payout's sums."""

    line_id: str
    """The id of the payout's line here."""
    net: Money
    lines: int
    """How many are here now."""
    total: Money
    """The sum of the lines that are here."""


@fact("payout.completed.v1")
class PayoutCompleted:
    """As many lines as were reported are here."""

    lines: int
    """How many lines it has."""
    total: Money
    """The sum of the lines."""
    difference: Money
    """The reported amount less the sum of the lines: nothing, if all is well."""


@fact("payout.paid_in.v1")
class PayoutPaidIn:
    """The bank's statement has it."""

    bank_line_id: str
    amount: Money
    difference: Money
    """What the bank says less what the gateway says."""
    booked_on: date


PayoutEvent = PayoutReported | PayoutLineCounted | PayoutCompleted | PayoutPaidIn


@fact("payout_line.reported.v1")
class PayoutLineReported:
    """One line of a payout (stream `payoutline-{id}`); amounts are as they change the payout."""

    line_id: str
    """The id of the line here."""
    payout_id: str
    gateway_id: str
    line_ref: str
    type: str
    """PAYMENT, REFUND, REFUND_REVERSED, CHARGEBACK, CHARGEBACK_REVERSED, RETURN, FEE or ADJUSTMENT."""
    gross: Money
    """In the payout's currency; below zero, where the gateway takes it."""
    fee: Money
    """Above zero, where it costs."""
    net: Money
    charged: Money | None = None
    """The same as `gross` in the currency of the operation, where that is another."""
    gateway_ref: str | None = None
    original_ref: str | None = None
    """The reference of what it builds on."""
    merchant_reference: str | None = None
    raw_type: str | None = None
    happened_at: datetime | None = None


@fact("payout_line.matched.v1")
class PayoutLineMatched:
    """It is about an operation of ours."""

    target_kind: str
    """payment or refund."""
    target_id: str
    account_id: str
    operation_key: str
    by: str
    """GATEWAY_REFERENCE, ORIGINAL_REFERENCE, MERCHANT_REFERENCE or OPERATOR."""
    gross: Money
    fee: Money
    was_unmatched: bool = False


@fact("payout_line.unmatched.v1")
class PayoutLineUnmatched:
    """Nothing of ours fits: its money lies in suspense, and a person must look."""

    reason: str
    gross: Money
    fee: Money


@fact("payout_line.booked.v1")
class PayoutLineBooked:
    """It is about no operation: a fee of the gateway's, or an adjustment."""

    type: str
    """FEE or ADJUSTMENT."""
    gross: Money
    fee: Money
    was_unmatched: bool = False
    note: str | None = None


PayoutLineEvent = PayoutLineReported | PayoutLineMatched | PayoutLineUnmatched | PayoutLineBooked


@fact("bank_line.reported.v1")
class BankLineReported:
    """A line of a bank statement that may be a payout of a gateway (stream `bankline-{id}`)."""

    bank_line_id: str
    gateway_id: str
    bank_account: str
    """A name of ours for it, never its number."""
    amount: Money
    booked_on: date
    text: str
    reference: str | None = None
    """The bank's own reference of the line: unique at its account."""


@fact("bank_line.matched.v1")
class BankLineMatched:
    """It is this payout, arrived at the bank."""

    payout_id: str
    by: str
    """REFERENCE, AMOUNT or OPERATOR."""


@fact("bank_line.unmatched.v1")
class BankLineUnmatched:
    """No payout is known that it could be: a case for a person."""

    reason: str


@fact("bank_line.set_aside.v1")
class BankLineSetAside:
    """It is no payout of a gateway, says a person."""

    note: str


BankLineEvent = BankLineReported | BankLineMatched | BankLineUnmatched | BankLineSetAside


# -- on the streams of what is settled


@fact("payment.settled_by_gateway.v1")
class PaymentSettledByGateway:
    """The gateway pays a payment out, less its fee."""

    payout_id: str
    line_id: str
    """The id of the payout's line here."""
    amount: Money
    """In the payment's currency."""
    settled: Money
    fee: Money
    excess: Money
    """The part of `amount` that was never received, or is settled already."""


@fact("payment.taken_back_by_gateway.v1")
class PaymentTakenBackByGateway:
    """A gateway takes a disputed or returned payment out of a payout, or gives it back (below zero)."""

    payout_id: str
    line_id: str
    """The id of the payout's line here."""
    type: str
    """CHARGEBACK, CHARGEBACK_REVERSED or RETURN."""
    amount: Money
    settled: Money
    fee: Money
    fee_expected: bool = False
    """The dispute's outcome had named the fee already."""


@fact("refund.settled_by_gateway.v1")
class RefundSettledByGateway:
    """A gateway takes a refund out of a payout; below zero, one that came back."""

    payout_id: str
    line_id: str
    """The id of the payout's line here."""
    amount: Money
    settled: Money
    fee: Money
    excess: Money
    """The part of `amount` that was never refunded here, or is settled already."""
