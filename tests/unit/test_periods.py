"""Accounting periods: nothing takes effect in a month that is closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from events.credit_memo import CreditMemoDrafted, CreditMemoPosted
from events.invoice import InvoicePaymentUnapplied, Product
from events.payment import PaymentReturned
from events.period import AccountingPeriodClosed, AccountingPeriodOpened, AccountingPeriodReopened
from projections.credits import credit_memos
from projections.folding import Folder
from projections.models import TABLES
from projections.payments import payments
from services.applications.allocating import AllocatePayment, MovePaymentApplications, Place
from services.applications.applying import ApplyPayment, UnapplyPayment
from services.authorizations.authorizing import RecordExternalAuthorization
from services.authorizations.capturing import CapturePayment
from services.credits.crediting import CreateCreditMemo, NewLine, PostCreditMemo
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.invoices.posting import PostInvoice
from services.invoices.preparing import DraftInvoice, PostDraftInvoice
from services.payments.asking import ApplyTo
from services.payments.drafting import PostDraftPayment
from services.payments.external import RecordExternalPayment
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.refunds.refunding import RecordExternalRefund
from services.tenants.periods import (
    AccountingPeriods,
    CloseAccountingPeriod,
    OpenAccountingPeriod,
    ReopenAccountingPeriod,
)
from tests.journey import Journey, line, money
from tests.spec import NOW

IN_JANUARY = datetime(2026, 1, 20, 12, tzinfo=UTC)
IN_FEBRUARY = datetime(2026, 2, 20, 12, tzinfo=UTC)


@pytest.fixture
def j() -> Journey:
    """It is March; January is closed."""
    return close(Journey(), "2026-01")


def close(j: Journey, *months: str, **more: Any) -> Journey:
    for month in months:
        j.when(CloseAccountingPeriod(month, **more)).then_accepted()
    return j


def test_a_month_is_opened_closed_and_reopened() -> None:
    j = Journey()
    months = AccountingPeriods, "default"
    j.when(OpenAccountingPeriod("2026-02")).then((*months, AccountingPeriodOpened("default", "2026-02")))
    j.when(OpenAccountingPeriod("2026-02")).then_rejected("INVALID_STATE", state="OPEN")
    closed = AccountingPeriodClosed("default", "2026-02", "audited")
    j.when(CloseAccountingPeriod("2026-02", reason="audited")).then((*months, closed))
    j.when(CloseAccountingPeriod("2026-02")).then_rejected("INVALID_STATE", state="CLOSED")
    reopened = AccountingPeriodReopened("default", "2026-02", "forgot one")
    j.when(ReopenAccountingPeriod("2026-02", reason="forgot one")).then((*months, reopened))
    j.when(ReopenAccountingPeriod("2026-02")).then_rejected("INVALID_STATE", state="REOPENED")
    close(j, "2026-02")
    j.when(ReopenAccountingPeriod("2025-12")).then_rejected("INVALID_STATE", allowed=["CLOSED"])
    j.when(CloseAccountingPeriod("2026-13")).then_rejected("MALFORMED_REQUEST")


def test_a_month_is_closed_once_it_is_over() -> None:
    j = Journey()
    for month in ("2026-03", "2026-04"):
        j.when(CloseAccountingPeriod(month)).then_rejected("DATE_INVALID")
    close(j.at(datetime(2026, 4, 1, tzinfo=UTC)), "2026-03")


def test_an_invoice_is_not_posted_into_a_closed_month(j: Journey) -> None:
    lines = (line("1", "10.00"),)
    j.when(PostInvoice("A", "USD", lines, posted_at=IN_JANUARY)).then_rejected(
        "ACCOUNTING_PERIOD_CLOSED", month="2026-01", first_open="2026-02-01"
    )
    j.when(DraftInvoice("A", "USD", lines)).then_accepted()
    id = j.outcome["streams"].popitem()[0].partition("invoice-")[2]
    j.when(PostDraftInvoice(id, IN_JANUARY)).then_rejected("ACCOUNTING_PERIOD_CLOSED")
    j.when(PostDraftInvoice(id, IN_FEBRUARY)).then_accepted()


def test_each_legal_entity_closes_its_own_books(j: Journey) -> None:
    lines = (line("1", "10.00"),)
    j.when(PostInvoice("A", "USD", lines, posted_at=IN_JANUARY, legal_entity_id="DE")).then_accepted()
    close(j, "2026-01", legal_entity_id="DE")
    j.when(PostInvoice("B", "USD", lines, posted_at=IN_JANUARY, legal_entity_id="DE")).then_rejected(
        "ACCOUNTING_PERIOD_CLOSED"
    )


def test_nothing_is_applied_or_taken_back_in_a_closed_month(j: Journey) -> None:
    a, b = j.post("A", line("1", "10.00")), j.post("B", line("1", "10.00"))
    j.pay("P", "10.00", a)
    (application,) = j.state(Payment, "P").applications
    j.pay("Q", "10.00")
    for command in (
        ApplyPayment("Q", b, money("1.00"), effective_at=IN_JANUARY),
        UnapplyPayment("P", application, effective_at=IN_JANUARY),
        AllocatePayment("Q", (Place(b),), effective_at=IN_JANUARY),
        AllocatePayment("Q", effective_at=IN_JANUARY),
        MovePaymentApplications("P", (application,), (Place(b),), effective_at=IN_JANUARY),
    ):
        j.when(command).then_rejected("ACCOUNTING_PERIOD_CLOSED")
    j.when(AllocatePayment("Q", effective_at=IN_FEBRUARY)).then_accepted()


def test_money_from_outside_is_not_dated_into_a_closed_month(j: Journey) -> None:
    january = date(2026, 1, 31)
    j.when(RecordExternalPayment(money("5.00"), "CASH", "till", january, "P")).then_rejected(
        "ACCOUNTING_PERIOD_CLOSED"
    )
    february = date(2026, 2, 1)
    j.when(RecordExternalPayment(money("5.00"), "CASH", "till", february, "P", draft=True)).then_accepted()
    close(j, "2026-02")
    j.when(PostDraftPayment("P")).then_rejected("ACCOUNTING_PERIOD_CLOSED", first_open="2026-03-01")
    j.when(RecordExternalPayment(money("5.00"), "CASH", "till", NOW.date(), "Q")).then_accepted()
    j.when(RecordExternalRefund(money("1.00"), "CASH", "till", january, "X", "Q")).then_rejected(
        "ACCOUNTING_PERIOD_CLOSED"
    )


def test_what_a_bank_has_done_takes_effect_on_the_first_open_day_its_own_date_kept(j: Journey) -> None:
    a = j.post("A", line("1", "10.00"))
    j.pay("P", "10.00", a)
    close(j, "2026-02")
    j.when(RecordPaymentReturn("P", "R01", "NOTIFICATION", IN_JANUARY)).then_accepted()
    facts = [fact for _, _, fact in j.facts()]
    (unapplied,) = [fact for fact in facts if isinstance(fact, InvoicePaymentUnapplied)]
    (returned,) = [fact for fact in facts if isinstance(fact, PaymentReturned)]
    assert unapplied.effective_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert returned.returned_at == IN_JANUARY


def test_events_record_the_version_of_the_periods_that_let_them_pass(j: Journey) -> None:
    j.when(PostInvoice("A", "USD", (line("1", "10.00"),), posted_at=IN_FEBRUARY)).then_accepted()
    assert orjson.loads(j.events()[-1].meta)["references"] == {"period-default": 1}
    j.post("B", line("1", "10.00"))
    assert "references" not in orjson.loads(j.events()[-1].meta), "today is never closed"
    close(j.at(timedelta(days=40)), "2026-02")
    j.when(PostInvoice("C", "USD", (line("1", "10.00"),), posted_at=NOW)).then_accepted()
    assert orjson.loads(j.events()[-1].meta)["references"] == {"period-default": 2}


def test_money_of_an_entity_is_dated_into_its_own_books(j: Journey) -> None:
    """January is closed for who names no entity; DE has closed February."""
    close(j, "2026-02", legal_entity_id="DE")
    january, february = date(2026, 1, 31), date(2026, 2, 10)
    cash = RecordExternalPayment(money("5.00"), "CASH", "till", february, "P", legal_entity_id="DE")
    j.when(cash).then_rejected("ACCOUNTING_PERIOD_CLOSED", month="2026-02")
    j.when(replace(cash, received_on=january)).then_accepted()
    refund = RecordExternalRefund(money("1.00"), "CASH", "till", february, "X", "P")
    j.when(refund).then_rejected("ACCOUNTING_PERIOD_CLOSED", month="2026-02")
    j.when(replace(refund, paid_on=january)).then_accepted()
    owed = j.post("A", line("1", "5.00"), legal_entity_id="DE")
    meant = replace(cash, payment_id="Q", legal_entity_id=None, apply_to=(ApplyTo(owed),))
    j.when(meant).then_rejected("ACCOUNTING_PERIOD_CLOSED", month="2026-02")
    written = replace(cash, payment_id="D", legal_entity_id=None, draft=True)
    j.when(written).then_accepted()
    j.when(PostDraftPayment("D", (ApplyTo(owed),))).then_rejected("ACCOUNTING_PERIOD_CLOSED")


def test_a_payment_is_in_the_books_of_what_it_pays() -> None:
    j = Journey()
    owed = j.post("A", line("1", "5.00"), legal_entity_id="DE")
    j.when(ProcessPayment(money("1.00"), "P", j.card_a, apply_to=(ApplyTo(owed),))).then_accepted()
    j.when(ProcessPayment(money("1.00"), "Q", j.card_a, legal_entity_id="FR")).then_accepted()
    j.when(RecordExternalAuthorization(money(5), "gw", "card", "tok", "ref", j.time, "H")).then_accepted()
    j.when(CapturePayment("H", money("1.00"), "R", apply_to=(owed,))).then_accepted()
    cash = RecordExternalPayment(money("1.00"), "CASH", "till", NOW.date(), "S", (ApplyTo(owed),))
    j.when(cash).then_accepted()
    j.when(replace(cash, payment_id="T", apply_to=(), legal_entity_id="FR", draft=True)).then_accepted()
    rows = Folder(TABLES).from_zero(j.events())[payments]
    assert [rows["t", id]["legal_entity_id"] for id in "PQRST"] == ["DE", "FR", "DE", "DE", "FR"]
    j.when(PostDraftPayment("T")).then_accepted()
    assert j.state(Payment, "T").legal_entity_id == "FR"


def test_a_memo_takes_effect_on_the_day_that_it_says_in_a_month_that_is_open(j: Journey) -> None:
    lines = (NewLine("1", money(20), Product(name="x")),)
    memo = CreateCreditMemo("USD", lines, "GOODWILL", "M", effective_date=IN_FEBRUARY.date())
    closed = replace(memo, effective_date=IN_JANUARY.date())
    j.when(closed).then_rejected("ACCOUNTING_PERIOD_CLOSED", month="2026-01", first_open="2026-02-01")
    j.when(memo).then_types(CreditMemoPosted)
    assert (j.facts()[0][2].effective_date, j.facts()[0][2].posted_at) == (IN_FEBRUARY.date(), j.time)
    invoice = j.post("INV", line("1", 100))
    part = CreditInvoice(
        invoice, (CreditedLine("1", money(10)),), "GOODWILL", effective_date=IN_JANUARY.date()
    )
    j.when(part).then_rejected("ACCOUNTING_PERIOD_CLOSED")
    j.when(replace(part, effective_date=IN_FEBRUARY.date())).then_accepted()
    assert j.facts()[0][2].effective_date == IN_FEBRUARY.date()


def test_a_draft_memo_is_posted_into_the_month_that_it_says(j: Journey) -> None:
    lines = (NewLine("1", money(20), Product(name="x")),)
    memo = CreateCreditMemo("USD", lines, "GOODWILL", "M", draft=True, effective_date=IN_FEBRUARY.date())
    j.when(memo).then_types(CreditMemoDrafted)
    assert Folder(TABLES).from_zero(j.events())[credit_memos]["t", "M"]["effective_date"] == date(2026, 2, 20)
    close(j, "2026-02")
    j.when(PostCreditMemo("M")).then_rejected("ACCOUNTING_PERIOD_CLOSED", month="2026-02")
    j.when(ReopenAccountingPeriod("2026-02")).then_accepted()
    j.when(PostCreditMemo("M")).then_types(CreditMemoPosted)
    assert j.facts()[0][2].effective_date == IN_FEBRUARY.date()


def test_a_draft_memo_without_a_day_takes_effect_when_it_is_posted(j: Journey) -> None:
    lines = (NewLine("1", money(20), Product(name="x")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M", draft=True)).then_accepted()
    j.at(timedelta(days=3))
    j.when(PostCreditMemo("M")).then_accepted()
    assert j.facts()[0][2].effective_date == j.time.date()
