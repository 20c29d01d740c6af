"""Checkout: an invoice posted and paid in one decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from events import ids
from events.catalog import TOPICS
from events.invoice import InvoicePosted
from events.payment import PaymentRequested
from events.shapes import FraudContext
from services.calls.accompanying import Payer, PurchaseDetail
from services.calls.calling import GatewayCall
from services.invoices.invoice import Invoice
from services.invoices.posting import Content
from services.invoices.preparing import DraftInvoice
from services.payments.checking_out import Checkout
from services.payments.paying import OneTimeMethod
from services.payments.payment import Payment
from tests.journey import CARD_CLOSED, EVERYTHING, SUCCESS, Journey, line, money

CONTENT = Content("INV", "USD", (line("1", 60), line("2", 40)))


def checkout(j: Journey, **more: object) -> Checkout:
    return Checkout(money(100), CONTENT, payment_id="P", method_id=j.card_a, **more)  # type: ignore[arg-type]


def test_an_invoice_is_posted_and_paid_in_one_decision() -> None:
    j = Journey()
    j.when(checkout(j)).then_accepted()
    assert {InvoicePosted, PaymentRequested} <= {type(fact) for _, _, fact in j.facts()}
    j.settle("P", SUCCESS)
    assert j.balances(ids.invoice_id(j.tenant, "INV")) == {
        "balance": "0.00",
        "status": "SETTLED",
        "lines": {"1": "0.00", "2": "0.00"},
    }
    assert j.payment("P")["unapplied"] == "0.00"


def test_a_draft_is_checked_out_by_its_id_with_the_method_that_it_names() -> None:
    j = Journey()
    said = replace(CONTENT, saved_payment_method_id=j.card_b)
    j.when(DraftInvoice(**vars(said))).then_accepted()
    invoice = ids.invoice_id(j.tenant, "INV")
    j.when(Checkout(money(100), invoice_id=invoice, payment_id="P")).then_accepted()
    method = j.state(Payment, "P").method
    assert method is not None
    assert method.method_id == j.card_b
    assert j.state(Invoice, invoice).status == "POSTED"


@pytest.mark.parametrize("amount", [99, 101])
def test_what_is_paid_is_what_is_owed(amount: int) -> None:
    j = Journey()
    j.when(replace(checkout(j), amount=money(amount))).then_rejected("CHECKOUT_AMOUNT_MISMATCH", owed=10_000)
    assert j.state(Invoice, ids.invoice_id(j.tenant, "INV")).status == ""


def test_credit_that_settles_a_part_as_the_invoice_is_posted_is_not_paid_again() -> None:
    j = Journey("recommended", auto_apply_payments_to_posted_invoices=True)
    j.pay("OLD", 30)
    j.when(checkout(j)).then_rejected("CHECKOUT_AMOUNT_MISMATCH", owed=7_000)
    j.when(replace(checkout(j), amount=money(70))).then_accepted()
    j.settle("P", SUCCESS)
    assert j.balances(ids.invoice_id(j.tenant, "INV"))["status"] == "SETTLED"
    assert j.payment("P")["unapplied"] == "0.00"


def test_rules_that_apply_credit_as_it_is_posted_are_heeded_as_well() -> None:
    j = Journey("recommended", rule_based_application=True, application_rules=["OLDEST_INVOICE"])
    j.pay("OLD", 30)
    j.when(replace(checkout(j), amount=money(70))).then_accepted()


def test_what_the_payment_breaks_posts_nothing() -> None:
    j = Journey()
    j.when(replace(checkout(j), method_id=None)).then_rejected("NO_PAYMENT_METHOD")
    j.when(replace(checkout(j), amount=money(100, "EUR"))).then_rejected("CURRENCY_MISMATCH")
    j.when(replace(checkout(j), invoice_id="x")).then_rejected("MALFORMED_REQUEST")
    j.when(replace(checkout(j), invoice=None)).then_rejected("MALFORMED_REQUEST")
    j.when(replace(checkout(j), invoice=None, invoice_id="x")).then_rejected("INVOICE_NOT_FOUND")
    assert j.state(Invoice, ids.invoice_id(j.tenant, "INV")).status == ""


def test_a_guest_s_card_is_used_once_and_a_decline_leaves_the_invoice_owed() -> None:
    j = Journey()
    guest = replace(checkout(j), method_id=None, method=OneTimeMethod("card", "tok_g"), gateway_id="gw")
    j.when(guest).then_accepted()
    j.settle("P", CARD_CLOSED)
    assert j.balances(ids.invoice_id(j.tenant, "INV"))["balance"] == "100.00"


def test_an_invoice_is_checked_out_once() -> None:
    j = Journey()
    j.when(checkout(j)).then_accepted()
    j.when(replace(checkout(j), payment_id="Q")).then_rejected("INVOICE_DUPLICATE")


def test_a_preview_says_what_would_happen_and_does_none_of_it() -> None:
    j = Journey()
    planned = j.when(checkout(j), dry_run=True).outcome["events"]
    assert planned[0]["type"] == f"payments.{TOPICS[InvoicePosted]}"
    assert f"payments.{TOPICS[PaymentRequested]}" in {event["type"] for event in planned}
    assert j.state(Invoice, ids.invoice_id(j.tenant, "INV")).status == ""


def test_what_the_buyer_says_of_it_goes_with_the_sale() -> None:
    j = Journey(capabilities=replace(EVERYTHING, level2=True, level3=True), level2_level3_data=True)
    j.when(
        checkout(
            j,
            fraud_context=Payer(ip_address="203.0.113.7"),
            client_context="cart 9",
            comments="by noon",
            additional_data={"channel": "web"},
            initiation_source_id="ORDER-9",
            enhanced_data=PurchaseDetail("PO-77"),
        )
    ).then_accepted()
    planned = j.state(GatewayCall, "t:sale:P:1").planned
    assert planned is not None
    assert planned.enhanced is not None
    assert (planned.enhanced.customer_code, len(planned.enhanced.lines)) == ("PO-77", 2)
    assert planned.fraud_context == FraudContext(ip_address="203.0.113.7")
    assert (planned.client_context, planned.comments) == ("cart 9", "by noon")
    assert (planned.additional_data, planned.initiation_source_id) == ({"channel": "web"}, "ORDER-9")
