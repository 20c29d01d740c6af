"""What gateways pay out, in words."""

from __future__ import annotations

from typing import Any

from events import payout as po
from projections.words.plain import Words, plain


def _paid_out(fact: po.PaymentSettledByGateway) -> str:
    exchanged = f", as {fact.settled}" if fact.settled != fact.amount else ""
    excess = f"; {fact.excess} too much" if fact.excess.amount_minor else ""
    fee = f", less {fact.fee} of fees" if fact.fee.amount_minor else ""
    return f"Its gateway has paid {fact.amount} out{exchanged}{fee}, with payout {fact.payout_id}{excess}"


def _line(fact: po.PayoutLineReported) -> str:
    fee = f" ({fact.gross} less {fact.fee})" if fact.fee.amount_minor else ""
    charged = f", charged as {fact.charged}" if fact.charged else ""
    named = fact.gateway_ref or fact.merchant_reference or "nothing"
    return (
        f"A line of payout {fact.payout_id}: {plain(fact.type)} of {fact.net}{fee}{charged}, naming {named}"
    )


def _completed(fact: po.PayoutCompleted) -> str:
    differs = f", {fact.difference} short of the payout" if fact.difference.amount_minor else ""
    return f"All {fact.lines} lines are here: {fact.total}{differs}"


def _paid_in(fact: po.PayoutPaidIn) -> str:
    differs = f", {fact.difference} off" if fact.difference.amount_minor else ""
    return f"The bank has it: {fact.amount} on {fact.booked_on}{differs}"


WORDS: dict[type[Any], Words] = {
    po.SettlementReportOpened: lambda f: (
        f"Settlement report {f.source} of {f.gateway_id} ({plain(f.format)}): {f.rows} rows"
    ),
    po.SettlementReportClosed: lambda f: (
        f"Imported: {f.accepted} accepted, {f.rejected} rejected, {f.unreadable} unreadable"
    ),
    po.PayoutReported: lambda f: (
        f"{f.gateway_id} pays {f.amount} out ({f.payout_ref}), in {f.lines} lines"
        f"{f', to arrive on {f.arrives_on}' if f.arrives_on else ''}"
    ),
    po.PayoutLineCounted: lambda f: f"Line {f.lines}: {f.net}, {f.total} so far",
    po.PayoutCompleted: _completed,
    po.PayoutPaidIn: _paid_in,
    po.PayoutLineReported: _line,
    po.PayoutLineMatched: lambda f: (
        f"It is {plain(f.target_kind)} {f.target_id}, by {plain(f.by)}"
    ),
    po.PayoutLineUnmatched: lambda f: f"In suspense: {f.reason}",
    po.PayoutLineBooked: lambda f: (
        f"Booked as {plain(f.type)}: {f.gross - f.fee}{f', {f.note}' if f.note else ''}"
    ),
    po.BankLineReported: lambda f: f"The bank has {f.amount} of {f.booked_on}: {f.text}",
    po.BankLineMatched: lambda f: f"It is payout {f.payout_id}, by {plain(f.by)}",
    po.BankLineUnmatched: lambda f: f"No payout fits: {f.reason}",
    po.BankLineSetAside: lambda f: f"No payout, says a person: {f.note}",
    po.PaymentSettledByGateway: _paid_out,
    po.PaymentTakenBackByGateway: lambda f: (
        f"Its gateway has {'taken' if f.amount.amount_minor > 0 else 'given back'} "
        f"{f.amount if f.amount.amount_minor > 0 else -f.amount} for a {plain(f.type)}, "
        f"with payout {f.payout_id}"
    ),
    po.RefundSettledByGateway: lambda f: (
        f"Its gateway has {'taken' if f.amount.amount_minor > 0 else 'given back'} "
        f"{f.amount if f.amount.amount_minor > 0 else -f.amount}, with payout {f.payout_id}"
    ),
}  # fmt: skip
