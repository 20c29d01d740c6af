"""Purchase detail of sales, holds and captures: shared out over part payments, and always adding up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events import ids
from events.authorization import (
    AuthorizationCaptureRequested,
    AuthorizationEnhancedDataReduced,
    AuthorizationEnhancedDataRejected,
    AuthorizationRequested,
    PaymentAuthorized,
)
from events.enhanced import EnhancedData
from events.gateway_call import GatewayCallPlanned
from events.invoice import Product
from events.money import Money
from events.payment import PaymentEnhancedDataReduced, PaymentRequested
from events.shapes import Address, Outcome
from gateways.simulator.core import Simulator
from gateways.simulator.translation import to_request
from projections.explain import explain
from projections.folding import Folder
from projections.models import TABLES
from projections.operations import gateway_log
from services.accounts.billing_profile import DefineBillingProfile
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.capturing import CapturePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.calls.accompanying import PurchaseDetail
from services.calls.calling import GatewayCall
from services.calls.gateway import RegisterGateway
from services.invoices.posting import Line, PostInvoice, TaxLine
from services.payments.paying import ApplyTo, OneTimeMethod, ProcessPayment
from services.payments.payment import Payment
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import EVERYTHING, SUCCESS, Journey, line, money
from tests.spec import NOW

CARD = OneTimeMethod("card", "tok_1")
HELD = Outcome("Success", gateway_ref="auth_1")
DATA_REFUSED = Outcome("EnhancedDataRejected", raw_code="no_such_line")
BOLT = Product(sku="BOLT", name="Bolt", commodity_code="31161600")
BOLTS = Line(
    "1", money("190.00"), (TaxLine(money("15.68"), rate="8.25"),), product=BOLT,
    quantity="10", uom="EA", unit_price="20.00",
)  # fmt: skip
NUTS = Line("2", money("49.99"), (TaxLine(money("4.12"), rate="8.25"),), quantity="1", unit_price="49.99")
"""The worked example's: 259.79, of which 19.80 is tax."""


def shop(prorates: bool = False, **more: Any) -> Journey:
    can = replace(EVERYTHING, multi_capture=True, level2=True, level3=True, **more)
    j = Journey(capabilities=can, level2_level3_data=True)
    if prorates:
        gateway = RegisterGateway(
            "pro", "Pro", "sim", "env:NONE", "m2", "TEST", settings={"prorate_lines": "true"}
        )
        j.when(gateway).then_accepted()
    return j


def called(j: Journey, key: str) -> GatewayCallPlanned:
    planned = j.state(GatewayCall, key).planned
    assert planned is not None
    return planned


def sent(j: Journey, key: str) -> EnhancedData:
    data = called(j, key).enhanced
    assert data is not None
    return data


def adds_up(planned: GatewayCallPlanned) -> bool:
    """As the simulator, which knows nothing of how it was made, adds it up."""
    return Simulator().request(to_request(planned), NOW).body["result"] == "Success"


def authorize(j: Journey, amount: str, *invoices: str, **more: Any) -> None:
    command = AuthorizePayment(
        money(amount), "gw", NOW, method=CARD, authorization_id="A1", apply_to=invoices
    )
    j.when(replace(command, **more)).then_accepted()


def hold(j: Journey, amount: str, *invoices: str, **more: Any) -> None:
    authorize(j, amount, *invoices, **more)
    j.when(RecordAuthorizationOutcome("t:authorize:A1:1", "GATEWAY", HELD)).then_accepted()


def take(j: Journey, payment_id: str, amount: str, *invoices: str, **more: Any) -> None:
    command = CapturePayment("A1", money(amount), payment_id, apply_to=invoices)
    j.when(replace(command, **more)).then_accepted()


# -- holds and captures


def test_a_hold_for_an_invoice_goes_with_its_lines() -> None:
    j = shop()
    invoice = j.post("I1", BOLTS, NUTS)
    authorize(j, "259.79", invoice)
    j.then_types(AuthorizationRequested, GatewayCallPlanned)
    requested = j.facts()[0][2]
    assert (requested.invoice_ids, requested.level_requested) == ((invoice,), 3)
    data = sent(j, "t:authorize:A1:1")
    assert [line.product_code for line in data.lines] == ["BOLT", "2"]
    assert (data.total_tax_minor, data.invoice_number) == (1980, "I1")


def test_a_hold_for_a_part_says_that_its_lines_are_left_out() -> None:
    j = shop()
    authorize(j, "100.00", j.post("I1", BOLTS, NUTS))
    j.then_types(AuthorizationRequested, AuthorizationEnhancedDataReduced, GatewayCallPlanned)
    assert j.facts()[1][2] == AuthorizationEnhancedDataReduced(2, "PART_PAYMENT")
    assert (sent(j, "t:authorize:A1:1").total_tax_minor, sent(j, "t:authorize:A1:1").lines) == (762, ())


def test_a_hold_for_nothing_that_is_known_goes_without() -> None:
    j = shop()
    authorize(j, "100.00")
    j.then_types(AuthorizationRequested, GatewayCallPlanned)
    assert called(j, "t:authorize:A1:1").enhanced is None


def test_a_capture_of_all_goes_with_the_lines_and_is_applied_to_what_it_was_held_for() -> None:
    j = shop()
    invoice = j.post("I1", BOLTS, NUTS)
    hold(j, "259.79", invoice)
    take(j, "P1", "259.79")
    j.then_types(AuthorizationCaptureRequested, PaymentRequested, GatewayCallPlanned)
    assert j.facts()[1][2].level_requested == 3
    assert len(sent(j, "t:capture:P1:1").lines) == 2
    j.settle("P1", SUCCESS)
    assert j.balances(invoice)["balance"] == "0.00"


def test_part_captures_tell_of_the_tax_once_between_them() -> None:
    j = shop()
    hold(j, "259.79", j.post("I1", BOLTS, NUTS))
    taxes = list[int]()
    for n, amount in enumerate(("100.00", "100.00", "59.79")):
        take(j, f"P{n}", amount)
        assert PaymentEnhancedDataReduced(2, "PART_PAYMENT") in [fact for _, _, fact in j.facts()]
        data = sent(j, f"t:capture:P{n}:1")
        assert data.lines == ()
        taxes.append(data.total_tax_minor)
        j.settle(f"P{n}", SUCCESS)
    assert taxes == [762, 762, 456]
    assert sum(taxes) == 1980


def test_a_capture_may_name_other_invoices_than_its_hold() -> None:
    j = shop()
    hold(j, "259.79", j.post("I1", BOLTS, NUTS))
    other = j.post("I2", line("1", "50.00", "5.00"))
    take(j, "P1", "55.00", other)
    assert sent(j, "t:capture:P1:1").invoice_number == "I2"
    j.settle("P1", SUCCESS)
    assert j.balances(other)["balance"] == "0.00"


def test_what_was_said_of_a_hold_goes_with_its_captures() -> None:
    j = shop()
    said = PurchaseDetail(customer_code="PO-77", ship_from_postal_code="94107")
    hold(j, "259.79", j.post("I1", BOLTS, NUTS), enhanced_data=said)
    take(j, "P1", "259.79")
    data = sent(j, "t:capture:P1:1")
    assert (data.customer_code, data.ship_from_postal_code) == ("PO-77", "94107")
    assert data.reference_id == called(j, "t:capture:P1:1").merchant_reference


@pytest.mark.parametrize("operation", ["authorize", "capture"])
def test_a_hold_or_a_capture_refused_for_its_data_is_sent_without_them(operation: str) -> None:
    j = shop()
    invoice = j.post("I1", BOLTS, NUTS)
    if operation == "authorize":
        authorize(j, "259.79", invoice)
        j.when(RecordAuthorizationOutcome("t:authorize:A1:1", "GATEWAY", DATA_REFUSED)).then_accepted()
        assert AuthorizationEnhancedDataRejected(3, "no_such_line", None, 2, "t:authorize:A1:2") in [
            fact for _, _, fact in j.facts()
        ]
        assert called(j, "t:authorize:A1:2").enhanced is None
        j.when(RecordAuthorizationOutcome("t:authorize:A1:2", "GATEWAY", HELD)).then_accepted()
        assert any(isinstance(fact, PaymentAuthorized) for _, _, fact in j.facts())
        assert j.state(Authorization, "A1").balance == 25979
        take(j, "P1", "100.00")
        assert called(j, "t:capture:P1:1").enhanced is None, "nor are its captures sent with them"
        assert PaymentEnhancedDataReduced(0, "REFUSED_BEFORE") in [fact for _, _, fact in j.facts()]
        j.settle("P1", SUCCESS)
        take(j, "P2", "100.00", enhanced_data=PurchaseDetail("PO-77"))
        assert called(j, "t:capture:P2:1").enhanced is not None, "but with others they may be"
        return
    hold(j, "259.79", invoice)
    take(j, "P1", "259.79")
    j.settle("P1", DATA_REFUSED)
    again = called(j, "t:capture:P1:2")
    assert (again.enhanced, again.authorization_ref) == (None, "auth_1")
    j.settle("P1", SUCCESS)
    assert j.state(Authorization, "A1").captured == 25979
    assert j.state(Payment, "P1").applied == 25979


def test_explain_tells_what_went_with_a_capture() -> None:
    j = shop()
    hold(j, "259.79", j.post("I1", BOLTS, NUTS))
    take(j, "P1", "100.00")
    told = asyncio.run(explain(j.store, "t", "P1"))
    sentences = [fact["sentence"] for fact in told]
    assert "The purchase detail goes without its lines: part payment" in sentences
    assert told[-1]["data"]["enhanced"]["total_tax_minor"] == 762


def test_the_gateways_log_shows_what_went_with_a_call_but_for_what_is_personal() -> None:
    j = shop()
    home = Address(postal_code="1000", country="BE")
    j.when(DefineBillingProfile("B", "Main", 1, is_default=True, shipping_address=home)).then_accepted()
    j.request("P1", "259.79", j.post("I1", BOLTS, NUTS))
    row = Folder(TABLES).from_zero(j.events())[gateway_log]["t", "t:sale:P1:1"]
    assert [one["product_code"] for one in row["enhanced"]["lines"]] == ["BOLT", "2"]
    assert (row["enhanced"]["total_tax_minor"], row["enhanced"]["ship_to_country"]) == (1980, "BE")
    assert "ship_to_postal_code" not in row["enhanced"]


# -- what its client says


def test_a_client_says_whose_purchase_it_is_and_where_it_goes() -> None:
    j = shop()
    said = PurchaseDetail("PO-77", "ORDER-9", None, "94107", "10001", "US")
    paid = ProcessPayment(money("259.79"), "P1", j.card_a, apply_to=(ApplyTo(j.post("I1", BOLTS, NUTS)),))
    j.when(replace(paid, enhanced_data=said)).then_accepted()
    data = sent(j, "t:sale:P1:1")
    assert (data.customer_code, data.reference_id) == ("PO-77", "ORDER-9")
    assert (data.ship_from_postal_code, data.ship_to_postal_code, data.ship_to_country) == (
        "94107",
        "10001",
        "US",
    )


def test_a_client_may_say_the_tax_of_what_has_no_invoice() -> None:
    j = shop()
    paid = ProcessPayment(money("108.00"), "P1", j.card_a, enhanced_data=PurchaseDetail(tax=money("8.00")))
    j.when(paid).then_types(PaymentRequested, GatewayCallPlanned)
    data = sent(j, "t:sale:P1:1")
    assert (data.total_tax_minor, data.tax_rate, data.lines, data.customer_code) == (800, "8.00", (), "A")


def test_the_legal_entity_says_whence_goods_are_shipped_and_the_profile_where_to() -> None:
    j = shop()
    j.when(ChangeTenantSettings({"ship_from_postal_codes": ("default=94107", "emea=1017 AB")}))
    home = Address(postal_code="1000", country="BE")
    j.when(DefineBillingProfile("B", "Main", 1, is_default=True, shipping_address=home)).then_accepted()
    for n, entity in enumerate((None, "emea", "apac")):
        invoice = j.post(f"I{n}", line("1", "10.00"), legal_entity_id=entity)
        j.request(f"P{n}", "10.00", invoice)
    told = [sent(j, f"t:sale:P{n}:1") for n in range(3)]
    assert [data.ship_from_postal_code for data in told] == ["94107", "1017 AB", None]
    assert {(data.ship_to_postal_code, data.ship_to_country) for data in told} == {("1000", "BE")}


# -- lines in proportion


def prorated(j: Journey, amount: str, *targets: ApplyTo) -> EnhancedData:
    command = ProcessPayment(money(amount), "P1", method=CARD, gateway_id="pro", apply_to=targets)
    j.when(command).then_types(PaymentRequested, GatewayCallPlanned)
    return sent(j, "t:sale:P1:1")


def test_a_gateway_that_prorates_lines_gets_the_part_of_each() -> None:
    j = shop(prorates=True)
    data = prorated(j, "100.00", ApplyTo(j.post("I1", BOLTS, NUTS)))
    assert data.total_tax_minor == 762
    assert [(one.quantity, one.line_item_total_minor, one.tax_minor) for one in data.lines] == [
        ("1", 7314, 603),
        ("1", 1924, 159),
    ]
    bolts = data.lines[0]
    assert (bolts.product_code, bolts.commodity_code, bolts.discount_minor) == ("BOLT", "31161600", 384)
    assert bolts.unit_price_minor - bolts.discount_minor == 7314
    assert data.discount_minor == 384
    assert adds_up(called(j, "t:sale:P1:1"))


def test_it_gets_the_lines_of_several_invoices_told_apart() -> None:
    j = shop(prorates=True)
    one, two = j.post("I1", line("1", 10, 1)), j.post("I2", line("1", 20, 2))
    data = prorated(j, "22.00", ApplyTo(one), ApplyTo(two))
    assert [one.line_item_id for one in data.lines] == ["I1/1", "I2/1"]
    assert [one.line_item_total_minor + one.tax_minor for one in data.lines] == [1100, 1100]
    assert (data.total_tax_minor, data.invoice_number) == (200, None)


def test_it_gets_the_one_line_that_is_paid() -> None:
    j = shop(prorates=True)
    data = prorated(j, "27.05", ApplyTo(j.post("I1", BOLTS, NUTS), line_id="2"))
    assert [one.line_item_id for one in data.lines] == ["2"]
    assert (data.lines[0].line_item_total_minor, data.lines[0].tax_minor) == (2499, 206)


def test_in_turn_each_invoice_gets_what_the_one_before_it_left() -> None:
    j = shop()
    one, two = j.post("I1", line("1", 10, 1)), j.post("I2", line("1", 20, 2))
    j.when(ProcessPayment(money("16.50"), "P1", j.card_a, apply_to=(ApplyTo(one), ApplyTo(two))))
    assert sent(j, "t:sale:P1:1").total_tax_minor == 150


def test_what_is_more_than_the_invoice_is_no_sale_of_its_lines() -> None:
    j = shop(prorates=True)
    command = ProcessPayment(money("300.00"), "P1", method=CARD, gateway_id="pro")
    j.when(replace(command, apply_to=(ApplyTo(j.post("I1", BOLTS, NUTS)),)))
    assert PaymentEnhancedDataReduced(2, "TOTALS_DIFFER") in [fact for _, _, fact in j.facts()]
    assert sent(j, "t:sale:P1:1").total_tax_minor == 1980


# -- whatever the lines: what is sent adds up

CURRENCIES = ("USD", "JPY", "KWD")
slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def invoice_lines(draw: Any, currency: str) -> tuple[Line, ...]:
    made = list[Line]()
    for n in range(draw(st.integers(1, 5))):
        charge, tax = draw(st.integers(0, 5_000)), draw(st.integers(0, 900))
        taxes = (TaxLine(Money(tax, currency), rate="8.25"),) if tax else ()
        more: dict[str, str] = {}
        if draw(st.booleans()):
            places = {"USD": 2, "JPY": 0, "KWD": 3}[currency]
            price = Decimal(draw(st.integers(0, 5_000))).scaleb(-places)
            more = {"quantity": draw(st.sampled_from(("1", "2", "7", "1.5"))), "unit_price": f"{price:f}"}
        made.append(Line(str(n), Money(charge, currency), taxes, **more))
    return tuple(made)


@slow
@given(st.data())
def test_every_set_of_lines_that_is_sent_adds_up_to_the_cent(data: Any) -> None:
    """Paid at once, in parts, or several invoices together: the lines are the amount, and the taxes of an
    invoice's part payments are its tax."""
    currency, prorates = data.draw(st.sampled_from(CURRENCIES)), data.draw(st.booleans())
    j = shop(prorates=prorates)
    invoices, owed, tax = list[str](), 0, 0
    for n in range(data.draw(st.integers(1, 2))):
        lines = data.draw(invoice_lines(currency))
        total = sum(one.charge.amount_minor for one in lines)
        taxed = sum(t.amount.amount_minor for one in lines for t in one.taxes)
        if total + taxed:
            j.when(PostInvoice(f"I{n}", currency, lines)).then_accepted()
            invoices.append(ids.invoice_id(j.tenant, f"I{n}"))
            owed, tax = owed + total + taxed, tax + (taxed if total else 0)
    told, number = 0, 0
    while owed and invoices:
        number += 1
        amount = owed if number == 4 else data.draw(st.integers(1, owed))
        owed -= amount
        command = ProcessPayment(
            Money(amount, currency), f"P{number}", method=CARD, gateway_id="pro" if prorates else "gw",
            apply_to=tuple(ApplyTo(invoice) for invoice in invoices),
        )  # fmt: skip
        j.when(command).then_accepted()
        planned = called(j, f"t:sale:P{number}:1")
        assert planned.enhanced is not None
        told += planned.enhanced.total_tax_minor
        assert 0 <= planned.enhanced.total_tax_minor <= amount
        assert planned.enhanced.discount_minor == sum(one.discount_minor for one in planned.enhanced.lines)
        assert adds_up(planned), planned.enhanced
        if planned.enhanced.lines == ():
            assert any(isinstance(fact, PaymentEnhancedDataReduced) for _, _, fact in j.facts())
        j.settle(f"P{number}", replace(SUCCESS, gateway_ref=f"ch_{number}"))
    assert told == tax
