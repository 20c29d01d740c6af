"""Payment links: a guest pays an invoice of a business, once or in parts, in time or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.payment import PaymentBegunByLink
from events.payment_link import (
    PaymentLinkExpired,
    PaymentLinkOpened,
    PaymentLinkPaid,
    PaymentLinkPaymentBegun,
    PaymentLinkPaymentFailed,
)
from events.shapes import FraudContext
from services.accounts.payment_method import SavedMethod
from services.calls.accompanying import Payer, PurchaseDetail
from services.credits.writing_off import WriteOffInvoice
from services.invoices.invoice import Invoice
from services.payments.asking import OneTimeMethod
from services.payments.linking import (
    CreatePaymentLink,
    ExpirePaymentLink,
    KeepGuestMethod,
    OpenPaymentLink,
    PayByLink,
)
from services.payments.payment import Payment
from services.payments.payment_link import PaymentLink
from tests.journey import EVERYTHING, SOFT, SUCCESS, Journey, line, money

GUEST = OneTimeMethod("card", "tok_guest", network="visa", last4="1881")
PAY = PayByLink("L", GUEST, "gw")


def linked(
    amount: Any = None,
    capabilities: Capabilities = EVERYTHING,
    level2_level3_data: bool = False,
    **more: Any,
) -> Journey:
    """An invoice of 100.00, and the link L to pay it."""
    j = Journey(capabilities=capabilities, level2_level3_data=level2_level3_data)
    invoice = j.post("INV", line("1", 100))
    link = CreatePaymentLink(invoice, "L", money(amount) if amount else None, **more)
    j.when(link).then_accepted()
    return j


def test_a_guest_says_what_his_purchase_order_is_and_who_he_is() -> None:
    j = linked()
    j.when(replace(PAY, fraud_context=Payer("ada@example.org"), enhanced_data=PurchaseDetail("PO-77")))
    (planned,) = [fact for fact in told(j) if isinstance(fact, GatewayCallPlanned)]
    assert planned.enhanced is None, "the tenant sends no such data"
    assert planned.fraud_context == FraudContext("ada@example.org")
    j = linked(capabilities=replace(EVERYTHING, level2=True, level3=True), level2_level3_data=True)
    j.when(replace(PAY, enhanced_data=PurchaseDetail("PO-77", ship_to_country="BE"))).then_accepted()
    (planned,) = [fact for fact in told(j) if isinstance(fact, GatewayCallPlanned)]
    assert planned.enhanced
    assert (planned.enhanced.customer_code, planned.enhanced.ship_to_country) == ("PO-77", "BE")
    assert planned.enhanced.lines, "and the lines are the invoice's"


def facts_of_link(j: Journey) -> list[object]:
    return [fact for fact in told(j) if type(fact).__name__.startswith("PaymentLink")]


def told(j: Journey) -> list[object]:
    return [fact for _, _, fact in j.facts()]


def the_payment(j: Journey) -> str:
    return j.ids(Payment)[-1]


def invoice_of(j: Journey) -> str:
    return j.ids(Invoice)[0]


def test_a_guest_opens_it_and_pays_and_the_money_is_the_business_account_s() -> None:
    j = linked()
    j.when(OpenPaymentLink("L"))
    assert told(j) == [PaymentLinkOpened(j.time)]
    j.when(OpenPaymentLink("L")).then_nothing()
    j.when(PAY).then_accepted()
    payment = the_payment(j)
    assert facts_of_link(j) == [PaymentLinkPaymentBegun(payment, money(100))]
    assert PaymentBegunByLink("L") in told(j)
    j.settle(payment, SUCCESS).then_accepted()
    assert facts_of_link(j) == [PaymentLinkPaid(payment, money(100), j.time, used_up=True)]
    state = j.state(Payment, payment)
    assert (state.account_id, state.payment_link_id) == (j.account, "L")
    assert j.call_of(payment).planned.initiator == "CUSTOMER"
    assert j.balances(invoice_of(j))["status"] == "SETTLED"
    j.when(PAY).then_rejected("INVALID_STATE")


def test_a_payment_that_fails_leaves_it_to_be_paid_and_one_under_way_does_not() -> None:
    j = linked()
    j.when(PAY).then_accepted()
    payment = the_payment(j)
    j.when(replace(PAY, save_method=True)).then_rejected("OPERATION_IN_FLIGHT")
    j.settle(payment, SOFT).then_accepted()
    assert facts_of_link(j) == [PaymentLinkPaymentFailed(payment, "Decline")]
    j.when(PAY).then_accepted()
    j.settle(payment, SUCCESS).then_accepted()  # the first was executed after all
    assert facts_of_link(j) == [PaymentLinkPaid(payment, money(100), j.time, used_up=True)]


def test_one_that_is_not_for_one_use_takes_parts_until_nothing_is_owed() -> None:
    j = linked(single_use=False)
    j.when(replace(PAY, amount=money(30))).then_accepted()
    j.settle(the_payment(j), SUCCESS)
    assert [fact.used_up for fact in facts_of_link(j)] == [False]  # type: ignore[attr-defined]
    j.when(replace(PAY, amount=money(71))).then_rejected("INVOICE_BALANCE_EXCEEDED", available=7000)
    j.when(PAY).then_accepted()
    assert j.state(Payment, the_payment(j)).amount == 7000
    j.settle(the_payment(j), SUCCESS)
    assert [fact.used_up for fact in facts_of_link(j)] == [True]  # type: ignore[attr-defined]
    assert j.state(PaymentLink, "L").status == "PAID"


def test_never_more_is_charged_than_is_owed_and_for_one_use_never_less() -> None:
    j = linked(80)
    j.when(replace(PAY, amount=money(20))).then_rejected("MALFORMED_REQUEST")
    j.when(replace(PAY, amount=money(90))).then_rejected("INVOICE_BALANCE_EXCEEDED", available=8000)
    j.pay("P", 50, invoice_of(j))
    j.when(PAY).then_accepted()
    assert j.state(Payment, the_payment(j)).amount == 5000


def test_what_is_settled_otherwise_cannot_be_paid() -> None:
    j = linked()
    j.when(WriteOffInvoice(invoice_of(j), "GOODWILL")).then_accepted()
    j.when(PAY).then_rejected("INVOICE_BALANCE_EXCEEDED")
    j.when(CreatePaymentLink(invoice_of(j))).then_rejected("INVOICE_BALANCE_EXCEEDED")


def test_its_time_ends_it_and_a_person_may() -> None:
    j = linked(expires_at=None)
    j.when(ExpirePaymentLink("L", due=True)).then_nothing()
    j.when(ExpirePaymentLink("L", "sent by mistake"))
    assert told(j) == [PaymentLinkExpired("sent by mistake")]
    j.when(ExpirePaymentLink("L")).then_rejected("INVALID_STATE")
    j.when(PAY).then_rejected("PAYMENT_LINK_EXPIRED")


def test_a_timer_ends_it_and_nobody_pays_in_the_moment_before_it_comes() -> None:
    j = Journey()
    invoice = j.post("INV", line("1", 100))
    ends = j.time + timedelta(days=7)
    j.when(CreatePaymentLink(invoice, "L", expires_at=j.time)).then_rejected("DATE_INVALID")
    j.when(CreatePaymentLink(invoice, "L", expires_at=ends)).then_accepted()
    j.run_processes()
    j.at(ends).when(PAY).then_rejected("PAYMENT_LINK_EXPIRED")
    assert j.run_due() == [ExpirePaymentLink("L", due=True)]
    assert told(j) == [PaymentLinkExpired("TIME_OVER")]


def test_money_that_was_under_way_as_its_time_ended_still_counts() -> None:
    j = linked()
    j.when(PAY).then_accepted()
    payment = the_payment(j)
    j.when(ExpirePaymentLink("L")).then_accepted()
    j.settle(payment, SUCCESS).then_accepted()
    assert j.state(PaymentLink, "L").status == "PAID"


def test_the_guest_s_method_is_kept_only_if_he_wants_it_and_it_paid() -> None:
    for wanted, outcome in ((False, SUCCESS), (True, SOFT), (True, SUCCESS)):
        j = linked()
        before = j.ids(SavedMethod)
        j.when(replace(PAY, save_method=wanted)).then_accepted()
        j.settle(the_payment(j), outcome).then_accepted()
        j.run_processes()
        kept = [j.state(SavedMethod, id) for id in j.ids(SavedMethod) if id not in before]
        shown = [(m.account_id, m.token_ref, m.last4, m.network) for m in kept]
        expected = [(j.account, "tok_guest", "1881", "visa")] if wanted and outcome is SUCCESS else []
        assert shown == expected


def test_a_method_is_kept_of_a_payment_by_its_own_link_only() -> None:
    j = linked()
    j.pay("P", 10)
    j.when(KeepGuestMethod("L", "P")).then_rejected("REFERENCE_MISMATCH")
    j.when(KeepGuestMethod("L", "none")).then_rejected("PAYMENT_NOT_FOUND")


def test_only_tokens_are_taken_and_only_links_of_the_account() -> None:
    j = linked()
    number = OneTimeMethod("card", "4242424242424242")
    j.when(replace(PAY, method=number)).then_rejected("CARD_DATA_FORBIDDEN")
    j.when(replace(PAY, payment_link_id="none")).then_rejected("PAYMENT_LINK_NOT_FOUND")
    j.when(OpenPaymentLink("L"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(CreatePaymentLink(invoice_of(j), "L")).then_rejected("PAYMENT_LINK_EXISTS")
    j.when(CreatePaymentLink(invoice_of(j), amount=money(101))).then_rejected("INVOICE_BALANCE_EXCEEDED")
    j.when(CreatePaymentLink("none")).then_rejected("INVOICE_NOT_FOUND")
