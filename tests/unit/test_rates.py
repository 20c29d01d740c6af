"""Exchange rates, and what money was worth in the tenant's reporting currency when it moved."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from events.authorization import AuthorizationRecorded, PaymentAuthorized
from events.credit_memo import CreditMemoPosted
from events.debit_memo import DebitMemoPosted
from events.dispute import DisputeAccepted, DisputeLost
from events.exchange_rates import ExchangeRatesPublished
from events.invoice import InvoicePosted, Product
from events.money import Money
from events.payment import (
    ChargebackLost,
    ExternalPaymentRecorded,
    PaymentCanceled,
    PaymentProcessed,
    PaymentReturned,
)
from events.refund import ExternalRefundRecorded, RefundProcessed, RefundReversed
from events.shapes import Corporate, Outcome
from projections.authorizations import authorizations
from projections.cash_flow import corporate_cash_flow
from projections.credits import credit_memos, debit_memos
from projections.disputes import disputes
from projections.folding import Folder
from projections.invoices import invoices
from projections.models import TABLES
from projections.payments import payments
from projections.rates import exchange_rates
from projections.refunds import refunds
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment, RecordExternalAuthorization
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.credits.crediting import CreateCreditMemo, NewLine, PostCreditMemo, VoidCreditMemo
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.credits.debiting import CreateDebitMemo
from services.credits.writing_off import ReverseWriteOff, WriteOffInvoice
from services.disputes.disputing import AcceptDispute, RecordDisputeOpened, RecordDisputeOutcome
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.invoice import Invoice
from services.invoices.voiding import VoidInvoice
from services.payments.arriving import RecordPaymentOutcome
from services.payments.drafting import PostDraftPayment
from services.payments.external import RecordExternalPayment
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.payments.taking_back import CancelPayment
from services.refunds.refund import Refund
from services.refunds.refund_outcomes import RecordRefundOutcome, ResolveRefundOutcome
from services.refunds.refunding import IssueRefund, RecordExternalRefund
from services.tenants.rates import DAYS_MAX, ExchangeRates, PublishExchangeRates, converted, evolve
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SUCCESS, Journey, line, money

DAY = date(2026, 3, 1)
IN_EUROS = {"corporate_currency": "EUR", "rate_source": "ECB"}
PUBLISHED = PublishExchangeRates("ECB", "EUR", DAY, {"USD": "0.85", "JPY": "0.0061"})


def reporting(**settings: Any) -> Journey:
    """Euros, at 0.85 to the dollar."""
    j = Journey(**{**IN_EUROS, **settings})
    j.when(PUBLISHED).then_accepted()
    return j


def worth(j: Journey, kind: type[Any]) -> Corporate | None:
    (fact,) = [fact for fact in j.all_facts() if isinstance(fact, kind)]
    return fact.corporate


def euros(amount: str, rate: str = "0.85", day: date = DAY) -> Corporate:
    return Corporate(money(amount, "EUR"), rate, day)


# -- rates


def test_rates_are_published_by_the_day_and_corrected() -> None:
    j = Journey()
    fact = ExchangeRatesPublished("ECB", "EUR", DAY, {"USD": "0.85", "JPY": "0.0061"})
    j.when(PUBLISHED).then((ExchangeRates, "ECB", fact))
    j.when(PUBLISHED).then_nothing()
    corrected = PublishExchangeRates("ECB", "EUR", DAY, {"USD": "0.86", "JPY": "0.0061"})
    j.when(corrected).then((ExchangeRates, "ECB", ExchangeRatesPublished("ECB", "EUR", DAY, {"USD": "0.86"})))
    rows = Folder(TABLES).from_zero(j.events())[exchange_rates]
    assert {key[3:]: row["rate"] for key, row in rows.items()} == {
        ("USD", DAY): "0.86",
        ("JPY", DAY): "0.0061",
    }


@pytest.mark.parametrize(("currency", "rate"), [("EUR", "1"), ("USD", "0"), ("USD", "0.000")])
def test_what_is_no_rate_is_refused(currency: str, rate: str) -> None:
    Journey().when(PublishExchangeRates("ECB", "EUR", DAY, {currency: rate})).then_rejected(
        "MALFORMED_REQUEST"
    )


def test_the_latest_rate_of_a_day_or_before_counts_and_old_ones_are_forgotten() -> None:
    rates = ExchangeRates()
    for n in range(DAYS_MAX + 10):
        day = DAY + timedelta(days=2 * n)
        evolve(rates, ExchangeRatesPublished("ECB", "EUR", day, {"USD": str(n)}))
    first = DAY + timedelta(days=20)
    assert rates.rate("USD", "EUR", first - timedelta(days=1)) is None
    assert rates.rate("USD", "EUR", first + timedelta(days=3)) == (first + timedelta(days=2), "11")
    assert rates.rate("GBP", "EUR", first) is None


@pytest.mark.parametrize(
    ("amount", "rate", "currency", "becomes"),
    [
        (Money(1000, "USD"), "0.85", "EUR", 850),
        (Money(1, "USD"), "0.5", "EUR", 1),
        (Money(-1, "USD"), "0.5", "EUR", -1),
        (Money(1000, "JPY"), "0.0061", "EUR", 610),
        (Money(1234, "KWD"), "3.25", "USD", 401),
        (Money(1000, "USD"), "149.5", "JPY", 1495),
    ],
)
def test_currencies_of_every_exponent_are_converted(
    amount: Money, rate: str, currency: str, becomes: int
) -> None:
    assert converted(amount, rate, currency) == Money(becomes, currency)


# -- snapshots


def test_what_is_invoiced_and_arrives_says_what_it_is_worth() -> None:
    j = reporting()
    id = j.post("INV", line("1", 100))
    j.pay("P", 100, id)
    assert worth(j, InvoicePosted) == euros("85.00")
    assert worth(j, PaymentProcessed) == euros("85.00")
    rows = Folder(TABLES).from_zero(j.events())
    assert rows[invoices]["t", id]["corporate_amount"] == 8500
    row = rows[payments]["t", "P"]
    assert (row["corporate_currency"], row["corporate_amount"], row["corporate_rate"]) == (
        "EUR",
        8500,
        "0.85",
    )


def test_what_is_given_back_does_too() -> None:
    j = reporting()
    j.pay("P", 100)
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    j.when(RecordRefundOutcome(j.state(Refund, "R").operation_key, "GATEWAY", SUCCESS)).then_accepted()
    assert worth(j, RefundProcessed) == euros("34.00")
    by_hand = RecordExternalRefund(money(10), "CASH", "till", j.time.date(), "asked", payment_id="P")
    j.when(by_hand).then_accepted()
    assert worth(j, ExternalRefundRecorded) == euros("8.50")


def test_a_person_who_says_that_a_refund_went_out_needs_the_rates_too() -> None:
    j = reporting()
    j.pay("P", 100)
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    lost = Outcome("Indeterminate")
    j.when(RecordRefundOutcome(j.state(Refund, "R").operation_key, "GATEWAY", lost)).then_accepted()
    j.when(ResolveRefundOutcome("R", "PROCESSED", "seen at the gateway")).then_accepted()
    assert worth(j, RefundProcessed) == euros("34.00")


def test_money_from_outside_counts_on_the_day_that_it_came() -> None:
    j = reporting()
    later = DAY + timedelta(days=1)
    j.when(PublishExchangeRates("ECB", "EUR", later, {"USD": "0.90"})).then_accepted()
    cash = RecordExternalPayment(money(10), "CASH", "till", DAY, payment_id="P")
    j.when(cash).then_accepted()
    assert worth(j, ExternalPaymentRecorded) == euros("8.50")
    j = reporting()
    written = RecordExternalPayment(money(10), "CASH", "till", DAY, payment_id="P", draft=True)
    j.when(written).then_accepted()
    j.when(PostDraftPayment("P")).then_accepted()
    assert worth(j, ExternalPaymentRecorded) == euros("8.50")


def test_the_reporting_currency_itself_needs_no_rate() -> None:
    j = Journey(corporate_currency="USD")
    j.pay("P", 100)
    assert worth(j, PaymentProcessed) == Corporate(money(100), "1", j.time.date())


@pytest.mark.parametrize("settings", [{}, {"corporate_currency": "EUR"}, {**IN_EUROS, "rate_source": "X"}])
def test_without_a_rate_there_is_no_snapshot_and_the_payment_proceeds(settings: dict[str, Any]) -> None:
    j = Journey(**settings)
    j.when(PUBLISHED).then_accepted()
    j.pay("P", 100, j.post("INV", line("1", 100)))
    assert worth(j, PaymentProcessed) is None
    assert worth(j, InvoicePosted) is None


def test_what_was_recorded_keeps_its_snapshot() -> None:
    j = reporting()
    j.pay("P", 100)
    corrected = PublishExchangeRates("ECB", "EUR", DAY, {"USD": "0.99"})
    j.when(corrected).then_accepted()
    assert worth(j, PaymentProcessed) == euros("85.00")


@pytest.mark.parametrize("value", ["XYZ", 1, "not an id!"])
def test_a_setting_that_is_no_currency_or_source_is_refused(value: object) -> None:
    j = Journey()
    for name in ("corporate_currency",) if value == "XYZ" else ("corporate_currency", "rate_source"):
        j.when(ChangeTenantSettings({name: value})).then_rejected("MALFORMED_REQUEST")  # type: ignore[dict-item]


def test_credit_debit_and_holds_say_what_they_are_worth() -> None:
    j = reporting()
    id = j.post("INV", line("1", 100))
    lines = (NewLine("1", money(20), Product(name="x")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M")).then_accepted()
    assert worth(j, CreditMemoPosted) == euros("17.00", day=DAY)
    j.when(VoidCreditMemo("M")).then_accepted()
    assert worth(j, DebitMemoPosted) == euros("17.00")
    j.when(AuthorizePayment(money(50), "gw", j.time, j.card_a, authorization_id="A")).then_accepted()
    j.when(RecordAuthorizationOutcome(j.state(Authorization, "A").operation_key, "GATEWAY", SUCCESS))
    j.then_accepted()
    assert worth(j, PaymentAuthorized) == euros("42.50")
    held = RecordExternalAuthorization(money(10), "gw", "card", "tok_x", "ref_x", j.time, "B")
    j.when(held).then_accepted()
    assert worth(j, AuthorizationRecorded) == euros("8.50")
    rows = Folder(TABLES).from_zero(j.events())
    assert rows[credit_memos]["t", "M"]["corporate_amount"] == 1700
    assert [row["corporate_amount"] for row in rows[debit_memos].values()] == [1700]
    assert [rows[authorizations]["t", id]["corporate_amount"] for id in "AB"] == [4250, 850]
    assert rows[invoices]["t", id]["corporate_amount"] == 8500


@pytest.mark.parametrize("how", ["credited", "written off", "voided", "drafted", "small"])
def test_every_memo_does_however_it_comes_about(how: str) -> None:
    j = reporting(small_balance_write_off=[{"amount_minor": 200, "currency": "USD"}])
    id = j.post("INV", line("1", 100))
    lines = (NewLine("1", money(100), Product(name="x")),)
    match how:
        case "credited":
            j.when(CreditInvoice(id, (CreditedLine("1", money(100)),), "GOODWILL")).then_accepted()
        case "written off":
            j.when(WriteOffInvoice(id, "GONE")).then_accepted()
        case "voided":
            j.when(VoidInvoice(id)).then_accepted()
        case "drafted":
            j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M", draft=True)).then_accepted()
            j.when(PostCreditMemo("M")).then_accepted()
        case _:
            j.pay("P", 99, id)
            assert worth(j, CreditMemoPosted) == euros("0.85")
            return
    assert worth(j, CreditMemoPosted) == euros("85.00")


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_converted_memo_does_too(by_hand: bool) -> None:
    j = reporting(convert_negative_lines=not by_hand)
    j.post("NEG", line("1", -40))
    if by_hand:
        j.when(ConvertNegativeInvoice(j.last_id(Invoice))).then_accepted()
    assert worth(j, CreditMemoPosted) == euros("34.00")


@pytest.mark.parametrize("later", [True, False])
def test_a_debit_memo_does_too(later: bool) -> None:
    j = reporting()
    lines = (NewLine("1", money(20), Product(name="x")),)
    j.when(CreateDebitMemo("USD", lines, "FEE", "D", invoice_later=later)).then_accepted()
    assert worth(j, DebitMemoPosted) == euros("17.00")
    taken = reporting()
    taken.when(WriteOffInvoice(taken.post("INV", line("1", 20)), "GONE")).then_accepted()
    taken.when(ReverseWriteOff(taken.last_id(Invoice))).then_accepted()
    assert worth(taken, DebitMemoPosted) == euros("17.00")


# -- what is lost again


LATER = DAY + timedelta(days=3)


def paid_then_dearer() -> Journey:
    """100 dollars came at 0.85; now a dollar is 0.90 euros."""
    j = reporting()
    j.pay("P", 100)
    j.when(PublishExchangeRates("ECB", "EUR", LATER, {"USD": "0.90"})).then_accepted()
    j.at(timedelta(days=3))
    return j


def flow(j: Journey) -> dict[str, int]:
    """What moved in euros, all days and methods together."""
    moved = Counter[str]()
    for row in Folder(TABLES).from_zero(j.events())[corporate_cash_flow].values():
        assert row["corporate_currency"] == "EUR"
        moved.update({name: row[name] for name in ("captured", *LOST) if row[name]})
    return dict(moved)


LOST = ("refunded", "came_back", "canceled", "returned", "charged_back")


def test_what_a_bank_takes_back_is_told_at_the_rate_of_its_day() -> None:
    j = paid_then_dearer()
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    j.answer_refund("R", SUCCESS)
    j.when(RecordPaymentReturn("P", "R01", "NOTIFICATION", j.time)).then_accepted()
    assert worth(j, PaymentReturned) == euros("90.00", "0.90", LATER), "with what is overdrawn"
    assert flow(j) == {"captured": 8500, "refunded": 3600, "returned": 9000}
    told = {"amount_minor": 9000, "currency": "EUR", "rate": "0.90", "date": LATER.isoformat()}
    row = Folder(TABLES).from_zero(j.events())[payments]["t", "P"]
    assert row["losses"] == [{"cause": "RETURNED", "amount_minor": 10000, "corporate": told}]
    assert row["corporate_amount"] == 8500


def test_it_counts_by_the_rate_of_the_day_that_the_bank_names() -> None:
    j = paid_then_dearer()
    j.when(RecordPaymentReturn("P", "R01", "NOTIFICATION", j.time - timedelta(days=2))).then_accepted()
    assert worth(j, PaymentReturned) == euros("85.00")


@pytest.mark.parametrize("accepted", [True, False])
def test_a_lost_dispute_is_told_too(accepted: bool) -> None:
    j = paid_then_dearer()
    j.when(RecordDisputeOpened("D", "P", money(60), "fraudulent", "NOTIFICATION")).then_accepted()
    assert flow(j) == {"captured": 8500}, "nothing is lost yet"
    if accepted:
        j.when(AcceptDispute("D", "too small", money(15))).then_accepted()
    else:
        j.when(RecordDisputeOutcome("D", "LOST", "NOTIFICATION", money(15))).then_accepted()
    assert worth(j, ChargebackLost) == euros("54.00", "0.90", LATER)
    assert worth(j, DisputeAccepted if accepted else DisputeLost) == euros("54.00", "0.90", LATER)
    assert flow(j) == {"captured": 8500, "charged_back": 5400}
    rows = Folder(TABLES).from_zero(j.events())
    assert rows[disputes]["t", "D"]["corporate_amount"] == 5400
    assert [loss["cause"] for loss in rows[payments]["t", "P"]["losses"]] == ["CHARGED_BACK"]


def test_a_dispute_that_is_won_has_lost_nothing() -> None:
    j = paid_then_dearer()
    j.when(RecordDisputeOpened("D", "P", money(60), "fraudulent", "NOTIFICATION")).then_accepted()
    j.when(RecordDisputeOutcome("D", "WON", "NOTIFICATION")).then_accepted()
    assert flow(j) == {"captured": 8500}
    assert Folder(TABLES).from_zero(j.events())[disputes]["t", "D"]["corporate_currency"] is None


def test_a_refund_that_comes_back_is_told_too() -> None:
    j = paid_then_dearer()
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    j.answer_refund("R", SUCCESS)
    j.answer_refund("R", Outcome("Reversed", raw_code="account_closed"), "NOTIFICATION")
    assert worth(j, RefundReversed) == euros("36.00", "0.90", LATER)
    assert flow(j) == {"captured": 8500, "refunded": 3600, "came_back": 3600}
    row = Folder(TABLES).from_zero(j.events())[refunds]["t", "R"]
    assert (row["status"], row["came_back"]["corporate"]["amount_minor"]) == ("REVERSED", 3600)


@pytest.mark.parametrize("at_the_gateway", [True, False])
def test_a_canceled_payment_is_told_too(at_the_gateway: bool) -> None:
    j = paid_then_dearer() if at_the_gateway else reporting()
    if not at_the_gateway:
        j.when(RecordExternalPayment(money(100), "CASH", "till", DAY, payment_id="P")).then_accepted()
    j.when(CancelPayment("P")).then_accepted()
    if at_the_gateway:
        key = j.state(Payment, "P").cancellation_key
        assert key
        j.when(RecordPaymentOutcome(key, "GATEWAY", SUCCESS)).then_accepted()
    expected = euros("90.00", "0.90", LATER) if at_the_gateway else euros("85.00")
    assert worth(j, PaymentCanceled) == expected
    assert flow(j)["canceled"] == expected.amount.amount_minor


def test_without_a_rate_a_loss_has_no_worth_and_is_recorded() -> None:
    j = Journey(corporate_currency="EUR")
    j.pay("P", 100)
    j.when(RecordPaymentReturn("P", "R01", "NOTIFICATION", j.time)).then_accepted()
    assert worth(j, PaymentReturned) is None
    rows = Folder(TABLES).from_zero(j.events())
    assert rows[payments]["t", "P"]["losses"] == [{"cause": "RETURNED", "amount_minor": 10000}]
    assert corporate_cash_flow not in rows
