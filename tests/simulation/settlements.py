"""What gateways pay out, and banks have: reports that are mostly true, and people who look at what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from events.money import Money
from gateways.simulator.core import Entry
from services.payouts.banking import AssignBankLine, RecordBankLine, ReportPayoutNotPaidIn
from services.payouts.payout import home_of
from services.payouts.reporting import (
    AssignPayoutLine,
    CloseSettlementReport,
    MatchPayoutLine,
    OpenSettlementReport,
    RecordPayoutLine,
    ReportPayout,
)
from services.payouts.settling import ReportMissingSettlement
from tests.simulation.bank import MAIN, key_of
from tests.simulation.workload import DAY, Said, Users, of, says

TAKEN = ("SALE", "CAPTURE")
GIVEN_BACK = ("REFUND", "UNREFERENCED_REFUND")


def _said(users: Users, command: Any) -> Said:
    return Said(command, home_of(command.gateway_id), f"{type(command).__name__} {users.number}")


@says(5)
def announce(users: Users, account: str) -> Said:
    """A payout of few lines; now and then another one, or one without any."""
    chosen = users.chosen
    ref, currency = f"po{chosen.randrange(12)}", chosen.choice(("GBP", "GBP", "JPY"))
    amount = Money(chosen.choice((0, 500, 1000)), currency)
    day = DAY + timedelta(days=chosen.randrange(3))
    return _said(users, ReportPayout(MAIN, ref, amount, chosen.choice((0, 1, 1, 2, 2)), day))


def _executed(users: Users) -> Entry | None:
    """Something that the gateway has done; all that it reports is true, but for amounts that are known."""
    kinds = (*TAKEN, *GIVEN_BACK)
    entries = [
        entry
        for entry in users.bank.simulator.entries.values()
        if entry.status in ("EXECUTED", "REVERSED") and entry.operation in kinds and entry.digest
    ]
    return users.chosen.choice(entries[-30:]) if entries else None


@says(14)
def settle(users: Users, account: str) -> Said | None:
    payouts = [payout for payout in users.seen.of["payout"].values() if payout.reported]
    entry = _executed(users)
    if not payouts or entry is None:
        return None
    chosen = users.chosen
    reported = chosen.choice(payouts[-6:]).reported
    currency = reported.amount.currency
    charged = Money(entry.amount_minor, entry.currency)
    gross, fee = charged.amount_minor, chosen.choice((0, 0, 15, 29))
    if entry.operation in GIVEN_BACK:
        gross, charged = -gross, -charged
    line = RecordPayoutLine(
        MAIN,
        reported.payout_ref,
        f"line{users.number}",
        "REFUND" if entry.operation in GIVEN_BACK else "PAYMENT",
        Money(gross, currency),
        Money(fee, currency),
        Money(gross - fee, currency),
        charged if entry.currency != currency else None,
        gateway_ref=entry.ref if chosen.random() < 0.8 else None,
        merchant_reference=entry.merchant_reference or None,
    )
    return _said(users, _varied(users, line, entry))


def _varied(users: Users, line: RecordPayoutLine, entry: Entry) -> RecordPayoutLine:
    """Now and then a fee, what nobody knows, what was taken back, or an amount that is not ours."""
    if entry.status == "REVERSED" and users.chosen.random() < 0.5:
        return _turned(replace(line, type="REFUND_REVERSED"))
    nothing = replace(line.gross, amount_minor=0)
    match users.chosen.randrange(12):
        case 0:
            named: dict[str, Any] = {"gateway_ref": None, "merchant_reference": None, "charged": None}
            type: Any = users.chosen.choice(("FEE", "ADJUSTMENT"))
            return replace(line, type=type, gross=nothing, net=-line.fee, **named)
        case 1 | 2:
            return replace(line, gateway_ref=f"theirs{users.number}", merchant_reference=None)
        case 3 if line.type == "PAYMENT":
            type = users.chosen.choice(("CHARGEBACK", "RETURN", "CHARGEBACK_REVERSED"))
            taken = replace(line, type=type)
            return taken if type == "CHARGEBACK_REVERSED" else _turned(taken)
        case 4 if line.charged is None and _is_known(users, entry):
            return replace(
                line,
                gross=line.gross + replace(nothing, amount_minor=1),
                net=line.net + replace(nothing, amount_minor=1),
            )
        case 5:
            return replace(line, line_ref=f"line{users.number % 20}")
        case _:
            return line


def _turned(line: RecordPayoutLine) -> RecordPayoutLine:
    gross, charged = -line.gross, -line.charged if line.charged else None
    return replace(line, gross=gross, net=gross - line.fee, charged=charged)


def _is_known(users: Users, entry: Entry) -> bool:
    call = users.seen.of["gwcall"].get(key_of(entry))
    if call is None or call.status != "SUCCEEDED" or call.planned.target_kind != "payment":
        return False
    return users.seen.of["payment"][call.planned.target_id].status == "PROCESSED"


def _unmatched(users: Users) -> Any:
    return users.pick("payoutline", lambda line: line.status == "UNMATCHED")


@says(3)
def look_again(users: Users, account: str) -> Said | None:
    line = _unmatched(users)
    if line is None:
        return None
    reported = line.reported
    ref = users.seen.of["payout"][reported.payout_id].reported.payout_ref
    match users.chosen.randrange(4):
        case 0:
            return _said(users, MatchPayoutLine(MAIN, ref, reported.line_ref))
        case 1:
            return _said(users, AssignPayoutLine(MAIN, ref, reported.line_ref, "nothing of ours"))
        case 2:
            return _said(
                users, AssignPayoutLine(MAIN, ref, reported.line_ref, "a guess", f"none{users.number}")
            )
        case _:
            call = users.pick("gwcall", lambda call: _may_be(call, reported))
            key = call.planned.idempotency_key if call else None
            return _said(users, AssignPayoutLine(MAIN, ref, reported.line_ref, "it is that", key))


def _may_be(call: Any, reported: Any) -> bool:
    """Of a payment or a refund that is known to have been carried out: else a guess would make it so."""
    kinds = {"PAYMENT": TAKEN, "REFUND": GIVEN_BACK}.get(reported.type, ())
    return call.status == "SUCCEEDED" and call.planned.operation in kinds


@says(4)
def statement(users: Users, account: str) -> Said | None:
    payout = users.pick("payout", lambda payout: payout.reported)
    chosen, number = users.chosen, users.number
    if payout is None:
        return None
    amount = payout.reported.amount
    text = f"SIM {payout.reported.payout_ref}" if chosen.random() < 0.6 else "SIM"
    if chosen.random() < 0.2:
        amount = replace(amount, amount_minor=amount.amount_minor + 1)
    line = RecordBankLine(
        MAIN, "main", f"b{number}", amount, DAY + timedelta(days=chosen.randrange(20)), text
    )
    if chosen.random() < 0.1:
        line = replace(line, reference=f"b{number % 10}")
    return _said(users, line)


@says(2)
def look_at_the_bank(users: Users, account: str) -> Said | None:
    line = users.pick("bankline", lambda line: line.status == "UNMATCHED")
    if line is None:
        return None
    reported = line.reported
    payout = users.pick("payout", lambda payout: payout.open)
    ref = payout.reported.payout_ref if payout and users.chosen.random() < 0.5 else None
    return _said(users, AssignBankLine(MAIN, "main", reported.reference, "he asked", ref))


@says(3)
def miss(users: Users, account: str) -> Said | None:
    """What should have been paid out, or in, and was not."""
    if users.chosen.random() < 0.3:
        payout = users.pick("payout", lambda payout: payout.open)
        return _said(users, ReportPayoutNotPaidIn(MAIN, payout.reported.payout_ref)) if payout else None
    payment = users.pick("payment", lambda p: p.status == "PROCESSED" and p.gateway_id)
    return of(users, payment, lambda p: ReportMissingSettlement(p.payment_id))


@says(3)
def file(users: Users, account: str) -> Said:
    """A file is opened, opened again with other content, or closed."""
    name = f"report{users.chosen.randrange(3)}"
    if users.seen.of["settlereport"].get(name) and users.chosen.random() < 0.6:
        return _said(users, CloseSettlementReport(name, MAIN, 1, 0, 0))
    digest = users.chosen.choice("ab")
    return _said(users, OpenSettlementReport(name, MAIN, "simulator", "file.csv", digest, 1, 0))


@says(4)
def wrong(users: Users, account: str) -> Said:
    """Of payouts, lines and statements that nobody knows, that were others before, or do not add up."""
    known = users.pick("payoutline", lambda line: line.reported)
    banked = users.pick("bankline", lambda line: line.reported)
    penny = Money(1, "GBP")
    line = RecordPayoutLine(MAIN, "never", "wrong", "FEE", penny, penny, Money(0, "GBP"))
    commands: list[Any] = [
        line,
        MatchPayoutLine(MAIN, "po0", "never"),
        AssignBankLine(MAIN, "main", "never", "x"),
        ReportPayoutNotPaidIn(MAIN, "never"),
        CloseSettlementReport("never", MAIN, 0, 0, 0),
    ]
    if known:
        payout = users.seen.of["payout"][known.reported.payout_id].reported
        nothing = Money(0, payout.amount.currency)
        again = replace(line, payout_ref=payout.payout_ref, gross=nothing, fee=nothing, net=nothing)
        uneven = replace(again, line_ref="uneven", gross=Money(1, payout.amount.currency))
        commands += [replace(again, line_ref=known.reported.line_ref), uneven] * 2
    if banked:
        other = Money(-1, "GBP")
        commands += [RecordBankLine(MAIN, "main", banked.reported.reference, other, DAY)] * 2
    return _said(users, users.chosen.choice(commands))
