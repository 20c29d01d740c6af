"""Settlement reports as gateways write them: columns and values as their documentation shows them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import orjson
import pytest

from events.money import Money
from gateways.settlements import FORMATS, Line, Payout, Report
from gateways.settlements import simulator as of_simulator
from gateways.simulator.core import Entry
from gateways.simulator.settling import settlement

# ruff: noqa: E501  lines of files as they are

STRIPE = """\
"automatic_payout_id","automatic_payout_effective_at","balance_transaction_id","created_utc","created",\
"available_on_utc","available_on","currency","gross","fee","net","reporting_category","source_id","description",\
"customer_facing_amount","customer_facing_currency","payment_intent_id","charge_id"
"po_1","2026-03-04 00:00:00","txn_1","2026-03-02 09:00:00","2026-03-02 09:00:00","2026-03-04 00:00:00",\
"2026-03-04 00:00:00","usd","97.00","3.12","93.88","charge","ch_1","Order 7","90.00","eur","pi_1","ch_1"
"po_1","2026-03-04 00:00:00","txn_2","2026-03-02 10:00:00","2026-03-02 10:00:00","","","usd","-40.00","0.00",\
"-40.00","refund","re_1","","-40.00","usd","pi_1","ch_1"
"po_1","2026-03-04 00:00:00","txn_3","2026-03-02 11:00:00","","","","usd","-20.00","15.00","-35.00","dispute",\
"dp_1","","","","pi_2","ch_2"
"po_1","2026-03-04 00:00:00","txn_4","2026-03-02 12:00:00","","","","usd","-2.00","0.00","-2.00","fee","fee_1",\
"Radar","","","",""
"po_1","2026-03-04 00:00:00","txn_5","2026-03-02 13:00:00","","","","usd","1.00","0.00","1.01","charge","ch_3",\
"","","","pi_3","ch_3"
"""

ADYEN = """\
Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,\
Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,\
Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),\
Payment Method Variant,Modification Merchant Reference,Batch Number
TestCompany,TestMerchant,PSP0000000000001,PAY-000001,visa,2026-03-02 11:26:49,UTC,Settled,PSP000000000000A,GBP,\
,5.00,1,GBP,,4.88,,0.04,0.01,0.07,visaclassic,,4
TestCompany,TestMerchant,PSP0000000000002,PAY-000002,mc,2026-03-02 12:00:00,CET,Settled,PSP000000000000B,USD,\
,13.00,0.76923,GBP,,9.80,0.20,,,,mc,,4
TestCompany,TestMerchant,PSP0000000000001,PAY-000001,visa,2026-03-02 13:00:00,UTC,Refunded,PSP000000000000C,GBP,\
2.00,,1,GBP,2.00,,,,,,visaclassic,REF-000001,4
TestCompany,TestMerchant,,,,2026-03-03 00:00:00,UTC,Fee,Transaction Fees March,,,,,GBP,0.30,,,,,,,,4
TestCompany,TestMerchant,,,,2026-03-04 00:00:00,UTC,MerchantPayout,"TX001 batch 4, TestMerchant",,,,,GBP,\
12.38,,,,,,,,4
TestCompany,TestMerchant,,,,2026-03-04 00:00:00,UTC,DepositCorrection,,,,,,GBP,0.005,,,,,,,,4
"""


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def gbp(minor: int) -> Money:
    return Money(minor, "GBP")


def test_stripe_payout_reconciliation_itemized() -> None:
    report = FORMATS["stripe"](STRIPE)
    assert report.payouts == [Payout("po_1", usd(9388 - 4000 - 3500 - 200), 4, date(2026, 3, 4))]
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    charge = Line(
        1, "po_1", "txn_1", "PAYMENT", usd(9700), usd(312), usd(9388), Money(9000, "EUR"), "pi_1", "ch_1", None,
        "charge", at,
    )  # fmt: skip
    assert report.lines[0] == charge
    refund, dispute, fee = report.lines[1:]
    assert (refund.type, refund.gateway_ref, refund.gross, refund.charged) == (
        "REFUND",
        "re_1",
        usd(-4000),
        None,
    )
    assert (dispute.type, dispute.gateway_ref, dispute.fee) == ("CHARGEBACK", "pi_2", usd(1500))
    assert (fee.type, fee.gross, fee.fee, fee.net) == ("FEE", usd(0), usd(200), usd(-200))
    assert [(bad.row, bad.reason) for bad in report.unreadable] == [
        (5, "1.00 USD less 0.00 USD is not 1.01 USD")
    ]


def test_adyen_settlement_details() -> None:
    report = FORMATS["adyen"](ADYEN)
    assert report.payouts == [Payout("TestMerchant:4", gbp(1238), 4, date(2026, 3, 4))]
    settled, exchanged, refunded, fee = report.lines
    assert (settled.gross, settled.fee, settled.net, settled.charged) == (gbp(500), gbp(12), gbp(488), None)
    named = settled.gateway_ref, settled.original_ref, settled.merchant_reference
    assert named == ("PSP000000000000A", "PSP0000000000001", "PAY-000001")
    assert (exchanged.gross, exchanged.fee, exchanged.charged) == (gbp(1000), gbp(20), usd(1300))
    assert (refunded.type, refunded.gross, refunded.merchant_reference) == ("REFUND", gbp(-200), "REF-000001")
    assert (fee.type, fee.net, fee.gateway_ref) == ("FEE", gbp(-30), None)
    assert sum(line.net.amount_minor for line in report.lines) == 488 + 980 - 200 - 30
    assert [bad.row for bad in report.unreadable] == [6]


def test_gocardless_payout_items() -> None:
    links = {"payment": "PM1", "mandate": "MD1"}
    told = {
        "payouts": {"id": "PO1", "amount": 8999, "currency": "GBP", "arrival_date": "2026-03-04"},
        "payout_items": [
            {"type": "payment_paid_out", "amount": "10000.0", "links": links},
            {"type": "gocardless_fee", "amount": "-0.5", "links": links},
            {"type": "gocardless_fee", "amount": "-0.5", "links": links},
            {"type": "payment_refunded", "amount": "-1000.0", "links": {"payment": "PM0", "refund": "RF1"}},
            {"type": "payment_charged_back", "amount": "much", "links": links},
        ],
    }
    report = FORMATS["gocardless"](orjson.dumps(told).decode())
    assert report.payouts == [Payout("PO1", gbp(8999), 4, date(2026, 3, 4))]
    paid, half, other_half, refund = report.lines
    assert (paid.type, paid.net, paid.gateway_ref) == ("PAYMENT", gbp(10000), "PM1")
    assert (half.fee, other_half.fee) == (gbp(1), gbp(0))
    assert half.line_ref != other_half.line_ref
    assert (refund.type, refund.gateway_ref, refund.original_ref) == ("REFUND", "RF1", "PM0")
    assert sum(line.net.amount_minor for line in report.lines) == 8999
    assert [bad.reason for bad in report.unreadable] == ["PO1: it has no amount"]


def test_what_is_no_such_file_says_so() -> None:
    with pytest.raises(ValueError, match="it has no column automatic_payout_id"):
        FORMATS["stripe"]("a,b\n1,2\n")
    with pytest.raises(ValueError, match="this is no JSON"):
        FORMATS["gocardless"]("a,b")
    with pytest.raises(ValueError, match="payouts and payout_items"):
        FORMATS["gocardless"]("{}")


def entry(ref: str, operation: str, amount: int, status: str = "EXECUTED", **more: str) -> Entry:
    at = "2026-03-02T09:00:00+00:00"
    return Entry(f"key-{ref}", "d", operation, amount, "GBP", "tok", ref, at, status, **more)


def settled(*entries: Entry, paid_in: str | None = None, rate: str = "1") -> Report:
    rows = settlement(entries, date(2026, 3, 3), paid_in, Decimal(rate))
    return FORMATS["simulator"](of_simulator.write(rows))


def test_the_simulator_pays_out_what_is_final_and_its_report_adds_up() -> None:
    report = settled(
        entry("a", "SALE", 10_000),
        entry("b", "SALE", 5_000, "DECLINED"),
        entry("c", "SALE", 3_000),
        entry("d", "VOID", 3_000, of="c"),
        entry("e", "REFUND", 2_000, "REVERSED", of="a", reversal_at="2026-03-02T10:00:00+00:00"),
    )
    ((payout), lines) = (report.payouts[0], report.lines)
    assert [line.type for line in lines] == ["PAYMENT", "REFUND", "REFUND_REVERSED", "FEE"]
    assert (lines[0].gross, lines[0].fee, lines[0].net) == (gbp(10_000), gbp(160), gbp(9_840))
    assert payout.amount == gbp(9_840 - 25) == gbp(sum(line.net.amount_minor for line in lines))
    assert (payout.lines, payout.arrives_on) == (4, date(2026, 3, 4))


def test_the_simulator_pays_out_in_another_currency() -> None:
    (paid, _) = settled(entry("a", "SALE", 10_000), paid_in="EUR", rate="1.1555").lines
    assert (paid.gross, paid.charged) == (Money(11_555, "EUR"), gbp(10_000))


def test_a_day_that_is_not_over_has_no_payout() -> None:
    assert settlement([entry("a", "SALE", 10_000)], date(2026, 3, 2)) == []
