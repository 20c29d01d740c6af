"""Drafts of invoices, and what is said of posted ones besides their money."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from events import ids
from events.invoice import (
    InvoiceDraftCanceled,
    InvoiceDrafted,
    InvoiceDueDateExtended,
    InvoiceLocked,
    InvoicePosted,
    InvoiceRevised,
    InvoiceUnlocked,
    Product,
)
from services.accounts.account import CloseAccount
from services.accounts.billing_profile import DefineBillingProfile
from services.applications.allocating import AllocatePayment, Place
from services.applications.applying import ApplyPayment
from services.credits.crediting import NewLine
from services.credits.debiting import CreateDebitMemo
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, PostInvoice, Term
from services.invoices.preparing import (
    CancelDraftInvoice,
    DraftInvoice,
    PostDraftInvoice,
    ReviseDraftInvoice,
)
from services.invoices.standing import (
    ExcludeInvoiceFromPayments,
    ExtendDueDate,
    LockInvoice,
    UnlockInvoice,
)
from services.orchestrations.orchestration import RefundOrchestration
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import Journey, line, money
from tests.spec import NOW

DUNNING = {"type": "SERVICE", "id": "process:dunning"}
OTHER = {"type": "SYSTEM", "id": "process:other"}


@pytest.fixture
def j() -> Journey:
    return Journey()


def draft(j: Journey, external_id: str, *lines: Line, **more: Any) -> str:
    j.when(DraftInvoice(external_id, "USD", lines or (line("1", "50.00", "4.00"),), **more)).then_accepted()
    return ids.invoice_id("t", external_id)


# -- drafts


def test_a_draft_is_written_revised_and_posted(j: Journey) -> None:
    id = draft(j, "INV")
    j.then_types(InvoiceDrafted)
    assert (j.state(Invoice, id).status, j.state(Invoice, id).balance) == ("DRAFT", 0)
    revised = ReviseDraftInvoice("INV", "USD", (line("1", "70.00", "7.00"), line("2", "3.00")), number="N-1")
    j.when(revised).then_types(InvoiceRevised)
    j.when(revised).then_nothing()
    j.at(timedelta(days=3)).when(PostDraftInvoice(id)).then_types(InvoicePosted)
    (posted,) = [fact for _, _, fact in j.facts()]
    assert (posted.number, posted.external_id, posted.total) == ("N-1", "INV", money("80.00"))
    assert (posted.posted_date, posted.due_date) == (j.time.date(), j.time.date() + timedelta(days=30))
    assert j.balances(id) == {
        "balance": "80.00",
        "status": "NOT_SETTLED",
        "lines": {"1": "77.00", "2": "3.00"},
    }


def test_a_posted_draft_is_what_posting_it_at_once_would_have_been(j: Journey) -> None:
    said: dict[str, Any] = {
        "invoice_date": date(2026, 2, 20),
        "payment_term": Term("EOM_PLUS_X", 10),
        "legal_entity_id": "DE",
        "profile_id": "p",
        "saved_payment_method_id": "m",
        "exclude_from_payments": True,
    }
    lines = (line("1", "50.00", "4.00"), line("2", "-10.00"))
    j.when(PostDraftInvoice(draft(j, "A", *lines, **said))).then_accepted()
    (drafted,) = [fact for _, _, fact in j.facts()]
    j.when(PostInvoice("A2", "USD", lines, **said)).then_accepted()
    (at_once,) = [fact for _, _, fact in j.facts()]
    names = vars(at_once).keys() - {"invoice_id", "external_id", "number"}
    assert {name: getattr(drafted, name) for name in names} == {
        name: getattr(at_once, name) for name in names
    }


def test_posting_a_draft_settles_and_converts_like_posting() -> None:
    j = Journey(auto_apply_payments_to_posted_invoices=True, convert_negative_lines=True)
    j.pay("P", "10.00")
    id = draft(j, "INV", line("1", "50.00"), line("2", "-20.00"))
    j.when(PostDraftInvoice(id)).then_accepted()
    assert j.balances(id)["lines"] == {"1": "40.00", "2": "0.00"}


def test_a_whole_invoice_posts_its_draft_too(j: Journey) -> None:
    id = draft(j, "INV")
    assert j.post("INV", line("1", "9.00")) == id
    assert (j.state(Invoice, id).status, j.state(Invoice, id).draft) == ("POSTED", None)
    j.when(PostDraftInvoice(id)).then_rejected("INVALID_STATE", state="POSTED", allowed=["DRAFT"])


def test_a_draft_is_given_up_and_its_id_stays_taken(j: Journey) -> None:
    id = draft(j, "INV")
    j.when(CancelDraftInvoice(id, "wrong customer")).then_types(InvoiceDraftCanceled)
    for command in (CancelDraftInvoice(id), PostDraftInvoice(id)):
        j.when(command).then_rejected("INVALID_STATE", state="CANCELED")
    revise = ReviseDraftInvoice("INV", "USD", (line("1", "1.00"),))
    j.when(revise).then_rejected("INVALID_STATE", state="CANCELED")
    j.when(DraftInvoice("INV", "USD", (line("1", "1.00"),))).then_rejected("INVOICE_DUPLICATE")
    j.when(PostInvoice("INV", "USD", (line("1", "1.00"),))).then_rejected("INVOICE_DUPLICATE")


def test_nothing_settles_a_draft(j: Journey) -> None:
    id = draft(j, "INV")
    j.pay("P", "10.00")
    j.when(ApplyPayment("P", id, money("1.00"))).then_rejected("TARGET_NOT_POSTED", state="DRAFT")
    j.when(AllocatePayment("P", (Place(id),))).then_rejected("TARGET_NOT_POSTED")
    j.when(ExtendDueDate(id, date(2030, 1, 1))).then_rejected("INVALID_STATE", state="DRAFT")
    j.when(ExcludeInvoiceFromPayments(id, "x")).then_rejected("INVALID_STATE")


def test_a_draft_that_cannot_be_posted_is_a_draft_still(j: Journey) -> None:
    id = draft(j, "INV")
    j.when(CloseAccount()).then_accepted()
    j.when(PostDraftInvoice(id)).then_rejected("INVALID_STATE", state="CLOSED")
    assert j.state(Invoice, id).status == "DRAFT"


def test_guards_of_drafts(j: Journey) -> None:
    two = (line("1", "1.00"), line("1", "2.00"))
    for command, code in (
        (DraftInvoice("A", "USD", ()), "MALFORMED_REQUEST"),
        (DraftInvoice("A", "USD", two), "MALFORMED_REQUEST"),
        (DraftInvoice("A", "EUR", two[:1]), "CURRENCY_MISMATCH"),
        (DraftInvoice("A", "USD", (Line("1", money("1.00")),) * 2001), "TOO_MANY_LINES"),
        (ReviseDraftInvoice("A", "USD", two[:1]), "INVOICE_NOT_FOUND"),
        (PostDraftInvoice("none"), "INVOICE_NOT_FOUND"),
        (CancelDraftInvoice("none"), "INVOICE_NOT_FOUND"),
    ):
        j.when(command).then_rejected(code)
    id = draft(j, "INV")
    j.when(DraftInvoice("INV", "USD", two[:1])).then_rejected("INVOICE_DUPLICATE", state="DRAFT")
    j.when(ReviseDraftInvoice("INV", "USD", ())).then_rejected("MALFORMED_REQUEST")
    j.when(CancelDraftInvoice(id), account="B").then_rejected("ACCOUNT_MISMATCH")


@pytest.mark.parametrize(
    ("term", "due"),
    [
        (Term("PERIOD_BASED", 20), date(2026, 3, 25)),
        (Term("EOM_PLUS_X", 0), date(2026, 3, 31)),
        (Term("EOM_PLUS_X", 10), date(2026, 4, 10)),
    ],
)
@pytest.mark.parametrize("drafted_first", [False, True])
def test_when_an_invoice_is_due(j: Journey, term: Term, due: date, drafted_first: bool) -> None:
    j.at(datetime(2026, 3, 5, tzinfo=UTC))
    if drafted_first:
        j.when(PostDraftInvoice(draft(j, "INV-3", line("1", "240.00"), payment_term=term))).then_accepted()
        (posted,) = [fact for _, _, fact in j.facts()]
        assert posted.due_date == due
    else:
        assert j.state(Invoice, j.post("INV-3", line("1", "240.00"), payment_term=term)).due_date == due


# -- later due


def test_a_due_date_is_extended_while_something_is_owed(j: Journey) -> None:
    id = j.post("INV", line("1", "10.00"))
    due = NOW.date() + timedelta(days=30)
    j.when(ExtendDueDate(id, due)).then_rejected("DATE_INVALID")
    j.when(ExtendDueDate(id, due + timedelta(days=1), "he asked")).then(
        (Invoice, id, InvoiceDueDateExtended(due, due + timedelta(days=1), "he asked"))
    )
    j.pay("P", "10.00", id)
    j.when(ExtendDueDate(id, date(2030, 1, 1))).then_rejected("INVALID_STATE", state="SETTLED")
    j.when(ExtendDueDate("none", due)).then_rejected("INVOICE_NOT_FOUND")
    j.when(ExtendDueDate(id, due), account="B").then_rejected("ACCOUNT_MISMATCH")


# -- held by a process


def test_a_process_holds_an_invoice_against_everybody_else(j: Journey) -> None:
    id = j.post("INV", line("1", "10.00"))
    j.when(LockInvoice(id)).then_rejected("FORBIDDEN")
    j.when(LockInvoice(id), actor=DUNNING).then((Invoice, id, InvoiceLocked("process:dunning")))
    j.when(LockInvoice(id), actor=DUNNING).then_nothing()
    j.when(LockInvoice(id), actor=OTHER).then_rejected("INVOICE_LOCKED", by="process:dunning")
    j.pay("P", "10.00")
    j.apply("P", id, "1.00").then_rejected("INVOICE_LOCKED")
    j.when(ExtendDueDate(id, date(2030, 1, 1))).then_rejected("INVOICE_LOCKED")
    j.when(UnlockInvoice(id), actor=OTHER).then_rejected("INVOICE_LOCKED")
    j.when(UnlockInvoice(id)).then_rejected("FORBIDDEN")
    j.when(UnlockInvoice(id), actor=DUNNING).then((Invoice, id, InvoiceUnlocked("process:dunning")))
    j.when(UnlockInvoice(id), actor=DUNNING).then_nothing()
    j.apply("P", id, "1.00").then_accepted()


def test_an_orchestration_waits_for_who_holds_its_invoice() -> None:
    j = Journey("recommended")
    id = j.post("INV", line("1", "100.00"))
    j.pay("P", "100.00", id)
    j.when(LockInvoice(id), actor=DUNNING).then_accepted()
    j.post("NEG", line("1", "-30.00", of=("INV", "1")))
    j.run_processes()
    (ro,) = j.ids(RefundOrchestration)
    assert j.state(RefundOrchestration, ro).status == "WAITING_FOR_PAYMENT"
    j.when(UnlockInvoice(id), actor=DUNNING).then_accepted()
    j.run_processes()
    assert j.state(RefundOrchestration, ro).status in ("REFUNDING", "AWAITING_GATEWAY")
    assert j.payment("P")["refund_reserved"] == "30.00"


def test_settings_know_small_balances() -> None:
    change = ChangeTenantSettings({"small_balance_write_off": (money("0.50"), money("1", "JPY"))})
    Journey().when(change).then_accepted()
    for bad in ((money("0.50"), money("0.60")), (money("0.00"),), True):
        Journey().when(ChangeTenantSettings({"small_balance_write_off": bad})).then_rejected(
            "MALFORMED_REQUEST"
        )  # type: ignore[dict-item]


# -- when it is due where it does not say


TERMS = ("net14=PERIOD_BASED+14", "eom=EOM_PLUS_X+0", "default=PERIOD_BASED+60")


def with_profiles(*terms: str) -> Journey:
    """Billing profiles: one pays in 14 days, the default at the month's end, one names no term."""
    j = Journey(payment_terms=terms)
    j.when(DefineBillingProfile("fast", "Fast", 1, payment_term_id="net14")).then_accepted()
    j.when(DefineBillingProfile("main", "Main", 1, is_default=True, payment_term_id="eom")).then_accepted()
    j.when(DefineBillingProfile("other", "Other", 1, payment_term_id="unheard-of")).then_accepted()
    return j


def posted_term(j: Journey, external_id: str, **more: Any) -> str:
    id = j.post(external_id, line("1", "10.00"), **more)
    (fact,) = [fact for _, stream, fact in j.facts() if stream == id and isinstance(fact, InvoicePosted)]
    assert j.state(Invoice, id).due_date == fact.due_date
    return fact.payment_term


def test_an_invoice_without_a_term_has_its_profiles_or_the_tenants() -> None:
    j = with_profiles(*TERMS)
    assert posted_term(j, "A", profile_id="fast") == "PERIOD_BASED+14"
    assert posted_term(j, "B") == "EOM_PLUS_X+0", "the default profile's"
    assert posted_term(j, "C", profile_id="other") == "EOM_PLUS_X+0", "it names none that is known"
    assert posted_term(j, "D", profile_id="fast", payment_term=Term(period_days=3)) == "PERIOD_BASED+3"
    assert posted_term(Journey(payment_terms=TERMS), "E") == "PERIOD_BASED+60"
    assert posted_term(with_profiles(), "F", profile_id="fast") == "PERIOD_BASED+30", "no term is known"


def test_a_draft_keeps_the_term_that_it_was_written_with() -> None:
    j = with_profiles(*TERMS)
    id = draft(j, "INV", line("1", "10.00"), profile_id="fast")
    j.when(ChangeTenantSettings({"payment_terms": ()})).then_accepted()
    j.when(PostDraftInvoice(id)).then_accepted()
    assert j.state(Invoice, id).due_date == j.time.date() + timedelta(days=14)


def test_a_debit_memos_invoice_has_it_too() -> None:
    j = with_profiles(*TERMS)
    lines = (NewLine("1", money("20.00"), Product(name="x")),)
    j.when(CreateDebitMemo("USD", lines, "FEE", "D", profile_id="fast")).then_accepted()
    (fact,) = [fact for fact in j.all_facts() if isinstance(fact, InvoicePosted)]
    assert fact.payment_term == "PERIOD_BASED+14"
