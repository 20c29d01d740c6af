"""Read models tell what their facts do: of memos line by line, of refunds what they gave back,
of the rest what a person looks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from events.invoice import Product
from events.shapes import Outcome
from projections.accounts import accounts
from projections.authorizations import authorizations
from projections.credits import credit_memos, debit_memos
from projections.folding import Folder
from projections.invoices import invoices
from projections.methods import payment_methods
from projections.models import TABLES
from projections.operations import gateways
from projections.payments import payments
from projections.refunds import refunds
from projections.table import Table
from services.accounts.account import RegisterAccount
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.accounts.tokenizing import Bank, TokenizePaymentMethod
from services.applications.applying import ApplyCreditMemo, Target, UnapplyCreditMemo
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment, RecordExternalAuthorization
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.calls.gateway import DeactivateGateway, RegisterGateway
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, MemoTax, NewLine, PostCreditMemo, VoidCreditMemo
from services.credits.debiting import CreateDebitMemo
from services.payments.external import RecordExternalPayment
from services.refunds.refund import Refund
from services.refunds.refund_outcomes import RecordRefundOutcome
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund
from tests.journey import CARD_CLOSED, EVERYTHING, SUCCESS, Journey, line, money

TWO = (
    NewLine("1", money(60), Product(name="Chair")),
    NewLine("2", money(36), Product(name="Table"), (MemoTax(money(4)),)),
)


def rows(j: Journey, table: Table) -> dict[str, dict[str, Any]]:
    return {key[1]: row for key, row in Folder(TABLES).from_zero(j.events())[table].items()}


def lines(j: Journey, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(line[name] for name in names) for line in rows(j, credit_memos)["M"]["lines"]]


WHERE = ("applied_minor", "refund_reserved_minor", "refunded_minor", "balance_minor")


def credited(**more: Any) -> Journey:
    j = Journey()
    memo = CreateCreditMemo("USD", TWO, "GOODWILL", "M", saved_payment_method_id=j.card_a, **more)
    j.when(memo).then_accepted()
    return j


def as_it_is(j: Journey) -> None:
    """The row's lines are those of the stream."""
    memo = j.state(CreditMemo, "M")
    state = [(one.applied, one.refund_reserved, one.refunded, one.balance) for one in memo.lines.values()]
    assert lines(j, *WHERE) == state


def test_a_memo_tells_of_each_line_what_it_is_for_and_what_is_left() -> None:
    j = credited()
    told = lines(j, "product", "charge_minor", "tax_minor", "line_total_minor", "balance_minor")
    assert told == [("Chair", 6000, 0, 6000, 6000), ("Table", 3600, 400, 4000, 4000)]
    assert rows(j, credit_memos)["M"]["saved_payment_method_id"] == j.card_a
    owed = j.post("INV", line("1", 70))
    j.when(ApplyCreditMemo("M", (Target(owed, money(70)),))).then_accepted()
    assert lines(j, *WHERE) == [(6000, 0, 0, 0), (1000, 0, 0, 3000)]
    as_it_is(j)
    assert rows(j, credit_memos)["M"]["settlement_level"] == "INVOICE_LINE"
    for application in list(j.state(CreditMemo, "M").applications):
        j.when(UnapplyCreditMemo("M", application)).then_accepted()
    as_it_is(j)
    assert rows(j, credit_memos)["M"]["settlement_level"] is None


def test_a_memo_tells_of_which_line_a_refund_takes_and_whether_it_arrived() -> None:
    j = credited()
    for refund_id, outcome in (("R1", CARD_CLOSED), ("R2", SUCCESS)):
        paid = IssueUnreferencedRefund("M", money(70), "asked", j.card_a, refund_id, notes="he moved")
        j.when(paid).then_accepted()
        assert lines(j, *WHERE) == [(0, 6000, 0, 0), (0, 1000, 0, 3000)]
        j.answer_refund(refund_id, outcome)
        as_it_is(j)
    assert lines(j, "refunded_minor") == [(6000,), (1000,)]
    j.when(
        RecordRefundOutcome(j.state(Refund, "R2").operation_key, "NOTIFICATION", Outcome("Reversed"))
    ).then_accepted()
    as_it_is(j)
    assert lines(j, *WHERE) == [(0, 0, 0, 6000), (0, 0, 0, 4000)]


def test_nothing_is_left_of_a_draft_or_of_what_was_voided() -> None:
    j = credited(draft=True)
    assert lines(j, "balance_minor") == [(0,), (0,)]
    j.when(PostCreditMemo("M")).then_accepted()
    assert lines(j, "balance_minor") == [(6000,), (4000,)]
    j.when(VoidCreditMemo("M")).then_accepted()
    assert lines(j, "balance_minor") == [(0,), (0,)]


def test_a_debit_memo_tells_what_it_charges_for() -> None:
    j = Journey()
    j.when(CreateDebitMemo("USD", TWO, "FEE", "D")).then_accepted()
    told = rows(j, debit_memos)["D"]["lines"]
    assert [(one["product"], one["tax_minor"]) for one in told] == [("Chair", 0), ("Table", 400)]
    assert "balance_minor" not in told[0]


def test_a_refund_tells_why_with_what_and_what_it_gave_back() -> None:
    j = Journey()
    j.pay("P", 100)
    j.when(IssueRefund("P", money(40), "asked", refund_id="R", notes="he moved")).then_accepted()
    j.answer_refund("R", SUCCESS)
    row = rows(j, refunds)["R"]
    assert (row["notes"], row["method_id"]) == ("he moved", j.card_a)
    assert row["lines"] == [{"target_kind": "payment", "target_id": "P", "amount_minor": 4000}]


def test_payments_and_holds_tell_what_the_gateway_called_them() -> None:
    j = Journey()
    j.request("P", 10)
    said = Outcome(
        "Success", gateway_ref="ch_1", auth_code="A1", network_transaction_id="nti_1", gateway_date=j.time
    )
    j.settle("P", said).then_accepted()
    row = rows(j, payments)["P"]
    assert (row["auth_code"], row["network_transaction_id"], row["gateway_date"]) == ("A1", "nti_1", j.time)
    assert row["attempt_no"] == 1
    cash = RecordExternalPayment(money(5), "CASH", "till", j.time.date(), "C")
    j.when(cash).then_accepted()
    assert rows(j, payments)["C"]["received_on"] == j.time.date()
    j.when(AuthorizePayment(money(50), "gw", j.time, j.card_a, authorization_id="A")).then_accepted()
    j.when(RecordAuthorizationOutcome(j.state(Authorization, "A").operation_key, "GATEWAY", said))
    j.then_accepted()
    known = RecordExternalAuthorization(
        money(10), "gw", "card", "tok_x", "ref_x", j.time, "B", gateway_auth_code="B1"
    )
    j.when(known).then_accepted()
    held = rows(j, authorizations)
    shown = ("processing_mode", "method_id", "auth_code", "network_transaction_id", "effective_at")
    assert [held["A"][name] for name in shown] == ["PLATFORM", j.card_a, "A1", "nti_1", j.time]
    assert [held["B"][name] for name in shown] == ["EXTERNAL", None, "B1", None, j.time]


def test_documents_methods_accounts_and_gateways_tell_their_terms() -> None:
    j = Journey()
    id = j.post("INV", line("1", 10), saved_payment_method_id=j.card_a)
    row = rows(j, invoices)[id]
    assert (row["payment_term"], row["saved_payment_method_id"]) == ("PERIOD_BASED+30", j.card_a)
    assert row["lines"][0]["type"] == "CHARGE"
    bank = SavePaymentMethod("gw", "tok_b1", "us_bank_account", bank_name="First", sec_code="WEB")
    j.when(bank).then_accepted()
    saved = rows(j, payment_methods)[j.last_id(SavedMethod)]
    assert (saved["bank_name"], saved["sec_code"], saved["card_category"]) == ("First", "WEB", None)
    j.when(RegisterAccount("Bo", ("USD", "EUR")), account="B").then_accepted()
    assert rows(j, accounts)["B"]["currencies"] == ["USD", "EUR"]
    second = RegisterGateway(
        "g2", "Second", "sim", "env:NONE", "m3", "TEST", "acct_9", rate_limit_per_second=7
    )
    j.when(second).then_accepted()
    j.when(DeactivateGateway("g2", "it is sold")).then_accepted()
    gateway = rows(j, gateways)["g2"]
    assert (gateway["external_reference"], gateway["rate_limit_per_second"]) == ("acct_9", 7)
    assert (gateway["status"], gateway["status_reason"]) == ("INACTIVE", "it is sold")


def test_methods_tell_whose_they_are_however_they_came() -> None:
    operations = (*EVERYTHING.operations, "TOKENIZE")
    j = Journey(capabilities=replace(EVERYTHING, operations=operations))
    contacts = SavePaymentMethod("gw", "tok_c", "card", owner_type="CONTACT", contact_id="C1")
    j.when(contacts).then_accepted()
    saved = j.last_id(SavedMethod)
    bank = Bank("hdl_ok", "us_bank_account", "110000000", last4="6789", bank_name="First")
    j.when(TokenizePaymentMethod("gw", "Ada L", bank=bank)).then_accepted()
    asked = j.last_id(SavedMethod)
    told = rows(j, payment_methods)
    shown = ("owner_type", "contact_id", "bank_name", "status")
    assert [told[saved][name] for name in shown] == ["CONTACT", "C1", None, "ACTIVE"]
    assert [told[asked][name] for name in shown] == ["ACCOUNT", None, "First", "AWAITING"]
