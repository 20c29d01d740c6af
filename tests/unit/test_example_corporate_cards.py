"""Worked example of Level 2 and 3: what a corporate card's owner is shown, and what is left out when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from events.enhanced import EnhancedData, EnhancedLine
from events.gateway_call import GatewayCallPlanned
from events.invoice import Product
from events.payment import PaymentEnhancedDataReduced, PaymentRequested
from events.shapes import Address
from projections.explain import explain
from services.accounts.billing_profile import DefineBillingProfile
from services.calls.calling import GatewayCall
from services.invoices.posting import Line, TaxLine
from services.payments.paying import ApplyTo, ProcessPayment
from tests.journey import EVERYTHING, Journey, line, money

STRIPE_LIKE = replace(EVERYTHING, level2=True, level3=True, level3_max_lines=200)
BOLT = Product(sku="BOLT", name="Bolt", commodity_code="31161600")
LINE_1 = Line(
    "1", money("190.00"), (TaxLine(money("15.68"), rate="8.25"),), product=BOLT,
    quantity="10", uom="EA", unit_price="20.00",
)  # fmt: skip
LINE_2 = Line(
    "2", money("49.99"), (TaxLine(money("4.12"), rate="8.25"),), quantity="1", unit_price="49.99"
)  # fmt: skip


def shop(**more: Any) -> Journey:
    j = Journey(capabilities=replace(STRIPE_LIKE, **more), level2_level3_data=True)
    home = Address(postal_code="1000", country="BE")
    j.when(DefineBillingProfile("B", "Main", 1, is_default=True, shipping_address=home)).then_accepted()
    return j


def sent(j: Journey) -> EnhancedData | None:
    planned = j.state(GatewayCall, "t:sale:P1:1").planned
    return planned.enhanced


def left_out(j: Journey) -> PaymentEnhancedDataReduced:
    j.then_types(PaymentRequested, PaymentEnhancedDataReduced, GatewayCallPlanned)
    return j.facts()[1][2]


def test_a_whole_invoice_goes_with_its_lines() -> None:
    j = shop()
    j.request("P1", "259.79", j.post("I1", LINE_1, LINE_2))
    j.then_types(PaymentRequested, GatewayCallPlanned)
    data = sent(j)
    assert data is not None
    assert (data.discount_minor, data.total_tax_minor, data.tax_rate, data.duty_minor) == (
        1000,
        1980,
        "8.25",
        0,
    )
    assert (data.invoice_number, data.customer_code) == ("I1", "A")
    assert (data.ship_to_postal_code, data.ship_to_country) == ("1000", "BE")
    assert data.lines == (
        EnhancedLine("1", "BOLT", "Bolt", "10", 2000, 19000, "31161600", "EA", 1000, 1568, "8.25"),
        EnhancedLine("2", "2", "2", "1", 4999, 4999, tax_minor=412, tax_rate="8.25"),
    )
    assert [(one.discount_indicator, one.gross_net_indicator) for one in data.lines] == [
        (True, "N"),
        (False, "N"),
    ]


def test_a_part_payment_goes_with_its_share_of_the_tax_alone() -> None:
    j = shop()
    j.request("P1", "100.00", j.post("I1", LINE_1, LINE_2))
    assert left_out(j) == PaymentEnhancedDataReduced(2, "PART_PAYMENT")
    data = sent(j)
    assert data is not None
    assert (data.total_tax_minor, data.lines) == (762, ())


@pytest.mark.parametrize(("count", "lines"), [(200, 200), (201, 0)])
def test_200_lines_go_and_201_do_not(count: int, lines: int) -> None:
    j = shop()
    j.request("P1", count, j.post("I1", *(line(str(n), "1.00") for n in range(count))))
    data = sent(j)
    assert data is not None
    assert len(data.lines) == lines
    if not lines:
        assert left_out(j) == PaymentEnhancedDataReduced(2, "TOO_MANY_LINES")


@pytest.mark.parametrize(
    ("lines", "amount", "reason"),
    [
        ((line("1", 30), line("2", -10)), 20, "NEGATIVE_LINE"),
        ((replace(LINE_2, quantity="1.5"),), "54.11", "FRACTIONAL_QUANTITY"),
        ((replace(LINE_2, unit_price="49.98"),), "54.11", "TOTALS_DIFFER"),
        ((replace(LINE_2, unit_price="50.001"),), "54.11", "TOTALS_DIFFER"),
    ],
)
def test_what_a_network_would_refuse_is_left_out(lines: tuple[Line, ...], amount: int, reason: str) -> None:
    j = shop()
    j.request("P1", amount, j.post("I1", *lines))
    assert left_out(j) == PaymentEnhancedDataReduced(2, reason)


def test_a_gateway_of_level_2_gets_level_2() -> None:
    j = shop(level3=False)
    j.request("P1", "259.79", j.post("I1", LINE_1, LINE_2))
    assert left_out(j) == PaymentEnhancedDataReduced(2, "GATEWAY_LEVEL_2_ONLY")


def test_several_invoices_go_with_the_sum_of_their_taxes() -> None:
    j = shop()
    one, two = j.post("I1", line("1", 10, 1)), j.post("I2", line("1", 20, 2))
    j.when(ProcessPayment(money(33), "P1", j.card_a, apply_to=(ApplyTo(one), ApplyTo(two, money(22)))))
    assert left_out(j) == PaymentEnhancedDataReduced(2, "SEVERAL_INVOICES")
    data = sent(j)
    assert data is not None
    assert (data.total_tax_minor, data.tax_rate, data.invoice_number) == (300, "10.00", None)


def test_an_invoice_that_nobody_posted_describes_nothing() -> None:
    j = shop()
    j.request("P1", 10, "unknown")
    assert left_out(j) == PaymentEnhancedDataReduced(0, "NOT_A_POSTED_SALE")
    assert sent(j) is None


def test_nothing_goes_where_the_setting_is_off_or_the_gateway_takes_none() -> None:
    for j in (Journey(capabilities=STRIPE_LIKE), shop(level2=False)):
        j.request("P1", "259.79", j.post("I1", LINE_1, LINE_2))
        j.then_types(PaymentRequested, GatewayCallPlanned)
        assert sent(j) is None


def test_explain_shows_what_went_with_a_payment_and_what_was_left_out() -> None:
    j = shop()
    j.request("P1", "100.00", j.post("I1", LINE_1, LINE_2))
    told = asyncio.run(explain(j.store, "t", "P1"))
    assert [fact["type"] for fact in told] == [
        "payments.payment.requested.v3",
        "payments.payment.enhanced_data_reduced.v1",
        "payments.gateway_call.planned.v4",
    ]
    assert told[1]["data"] == {"level": 2, "reason": "PART_PAYMENT"}
    assert told[2]["data"]["enhanced"]["total_tax_minor"] == 762
