"""Every stable code, and how it comes about: one way for each, through the door.

`WAYS` is decisions' rejections: what was done before, and the command that earns the code.  `ELSEWHERE` is
the codes of the doors themselves, and which test shows each.  A code without a way fails this test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from events.invoice import Product
from events.shapes import Outcome
from services.access.api_key import CreateApiKey, RevokeApiKey
from services.accounts.account import (
    CloseAccount,
    ErasePersonalData,
    PlacePaymentHold,
    RegisterAccount,
)
from services.accounts.billing_profile import UpdateBillingProfile
from services.accounts.method_choice import DeletePaymentMethod, SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.applications.applying import (
    ApplyCreditMemo,
    Target,
    UnapplyPayment,
)
from services.authorizations.authorizing import AuthorizePayment, PostAuthorize, RecordExternalAuthorization
from services.authorizations.capturing import CapturePayment
from services.authorizations.reversing import ReverseAuthorization
from services.calls.gateway import DeactivateGateway, OpenCircuit, RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.credits.crediting import (
    CreateCreditMemo,
    NewLine,
    PostCreditMemo,
    VoidCreditMemo,
)
from services.disputes.disputing import RecordDisputeOpened, SubmitDisputeEvidence
from services.documents import codes
from services.errors import STATUS
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.invoice import Invoice
from services.invoices.posting import Content, Line, PostInvoice
from services.invoices.preparing import DraftInvoice
from services.migrations.migrating import ImportTokenizedPaymentMethod
from services.notifications.notification import ReplayNotification
from services.orchestrations.canceling import CancelRefundOrchestration
from services.orchestrations.orchestrating import AutomateRefund
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.arriving import RecordPaymentOutcome
from services.payments.checking_out import Checkout
from services.payments.paying import OneTimeMethod, ProcessPayment
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from services.payments.returning import WriteOffOverdraft
from services.payments.taking_back import CancelPayment
from services.payouts.banking import AssignBankLine
from services.payouts.reporting import MatchPayoutLine
from services.refunds.approving import ApproveRefund
from services.refunds.lining import ApplyRefund
from services.refunds.refund_outcomes import ResolveRefundOutcome
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from services.runs.batch_run import StartPaymentBatchRun, StopPaymentBatchRun
from services.tenants.exceptions import ResolveException
from services.tenants.tenant_settings import ChangeTenantSettings
from services.transfers.transferring import RecallTransfer
from tests.bad_input import BAD
from tests.journey import EVERYTHING, SUCCESS, Journey, line, money

Way = Callable[[Journey], object]
ONE = money(1)
SALE = ProcessPayment(ONE)
RUN = StartPaymentBatchRun("run-1", date(2026, 4, 6))
KEY = CreateApiKey("phil", "Portal", "portal", ("READ_ONLY",), "peal", "a" * 64)


def memo(j: Journey, amount: int = 10, id: str = "M") -> str:
    lines = (NewLine("1", money(amount), Product(name="goodwill")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", id)).then_accepted()
    return id


def paid(j: Journey, amount: int = 100, invoice: bool = True) -> str:
    """P of 100.00, applied to an invoice of as much."""
    inv = j.post("INV", line("1", 100))
    j.pay("P", amount, inv if invoice else None)
    return inv


def held(j: Journey) -> str:
    j.when(RecordExternalAuthorization(money(10), "gw", "card", "tok_a", "x1", j.time, "H")).then_accepted()
    return "H"


def orchestrated(j: Journey) -> str:
    """A memo that a refund orchestration holds, and its invoice too."""
    j.when(ChangeTenantSettings({"convert_negative_lines": True, "issue_refunds_and_settle_balances": True}))
    inv = paid(j)
    j.post("NEG", line("1", -40, of=("INV", "1")), original="INV")
    j.run_processes()
    return inv


def gateway(j: Journey, **differing: object) -> None:
    """Another gateway, `poor`, which can do less; P of 10.00 was paid with it."""
    can = replace(EVERYTHING, **differing)  # type: ignore[arg-type]
    j.when(RegisterGatewayProvider("poor", "Poor", "simulator", can)).then_accepted()
    j.when(RegisterGateway("poor", "Poor", "poor", "env:NONE", "m2", "TEST", minor_unit_overrides={"GBP": 5}))
    j.then_accepted()


def by(gateway_id: str, **more: object) -> ProcessPayment:
    return replace(SALE, method=OneTimeMethod("card", "tok_a"), gateway_id=gateway_id, **more)  # type: ignore[arg-type]


def expired(j: Journey) -> object:
    soon = j.time + timedelta(hours=1)
    j.when(PostAuthorize(money(10), "gw", "card", "tok_a", "x1", j.time, "H", soon)).then_accepted()
    return j.at(timedelta(hours=2)).when(CapturePayment("H", ONE))


def old_card(j: Journey) -> object:
    j.when(SavePaymentMethod("gw", "tok_old", "card", expiry_month=4, expiry_year=2026)).then_accepted()
    from services.accounts.payment_method import SavedMethod

    method = j.last_id(SavedMethod)
    return j.at(timedelta(days=100)).when(replace(SALE, method_id=method))


def revoked_card(j: Journey) -> object:
    j.request("Q", 1)
    lost = Outcome("PermanentFail", category="Security", raw_code="lost_card", hard=True, never_retry=True)
    j.settle("Q", lost)
    return j.when(replace(SALE, method_id=j.card_a))


def of_another_account(j: Journey) -> None:
    j.when(RegisterAccount("Bob"), account="B").then_accepted()


def disputed(j: Journey) -> object:
    paid(j)
    j.when(RecordDisputeOpened("D", "P", ONE, "fraud", "GATEWAY")).then_accepted()
    return j.when(IssueRefund("P", ONE, "asked"))


def canceling(j: Journey) -> object:
    j.pay("P", 10)
    return j.when(CancelPayment("P")).then_accepted().when(CancelPayment("P"))


def unapplied_before(j: Journey) -> object:
    paid(j)
    application = next(iter(j.state(Payment, "P").applications))
    return j.when(UnapplyPayment("P", application)).then_accepted().when(UnapplyPayment("P", application))


def a_part_of_an_application(j: Journey) -> object:
    paid(j)
    return j.when(UnapplyPayment("P", next(iter(j.state(Payment, "P").applications)), ONE))


def netted_at_invoice_level(j: Journey) -> object:
    j.when(ChangeTenantSettings({"application_level": "INVOICE"})).then_accepted()
    inv = j.post("INV", line("1", 100), line("2", -30))
    j.pay("P", 10, inv)
    return j.when(ConvertNegativeInvoice(inv))


def a_draft_paid(j: Journey) -> object:
    j.when(DraftInvoice("INV", "USD", (line("1", 10),))).then_accepted()
    j.pay("P", 10)
    return j.apply("P", j.last_id(Invoice), 1)


def converted_before(j: Journey) -> object:
    inv = j.post("NEG", line("1", -30))
    j.when(ConvertNegativeInvoice(inv)).then_accepted()
    return j.when(ConvertNegativeInvoice(inv, ("1",)))


def at_both_levels(j: Journey) -> object:
    j.when(ChangeTenantSettings({"application_level": "INVOICE"})).then_accepted()
    inv = j.post("INV", line("1", 100))
    j.pay("P", 10, inv)
    j.pay("Q", 10)
    return j.apply("Q", inv, 5, "1")


def self_approval(j: Journey) -> object:
    j.when(ChangeTenantSettings({"refund_approval_threshold": money(1)})).then_accepted()
    j.pay("P", 10)
    j.when(IssueRefund("P", money(5), "asked", refund_id="R")).then_accepted()
    return j.when(ApproveRefund("R"))


def external_refund(j: Journey) -> object:
    refund = RecordExternalRefund(money(5), "CASH", "till", j.time.date(), "asked", refund_id="R")
    j.when(refund).then_accepted()
    j.pay("P", 10)
    return j.when(ApplyRefund("R", money(6), payment_id="P"))


def window(j: Journey) -> object:
    gateway(j, refund_window_days={"card": 30})
    j.when(by("poor", payment_id="P")).then_accepted()
    j.settle("P", SUCCESS)
    return j.at(timedelta(days=31)).when(IssueRefund("P", ONE, "asked"))


def void_where_none_is_known(j: Journey) -> object:
    gateway(j, operations=("SALE", "REFUND"))
    j.when(by("poor", payment_id="P")).then_accepted()
    j.settle("P", SUCCESS)
    return j.when(CancelPayment("P"))


def used_in_flight(j: Journey) -> object:
    j.request("P", 1)
    return j.when(DeletePaymentMethod(j.card_a))


def used_memo(j: Journey) -> object:
    inv = j.post("INV", line("1", 100))
    memo(j)
    j.when(ApplyCreditMemo("M", (Target(inv, ONE),))).then_accepted()
    return j.when(VoidCreditMemo("M"))


def live_orchestration(j: Journey) -> str:
    orchestrated(j)
    return j.state(RefundOrchestration, j.last_id(RefundOrchestration)).credit_memo_id


def finished_orchestration(j: Journey) -> object:
    orchestrated(j)
    return j.when(CancelRefundOrchestration(j.last_id(RefundOrchestration)))


def erased(j: Journey) -> object:
    j.when(ErasePersonalData()).then_accepted()
    return j.when(SavePaymentMethod("gw", "tok_new", "card", holder_name="Ada"))


def no_consent(j: Journey) -> object:
    return j.when(SavePaymentMethod("gw", "tok_new", "card", merchant_created=True))


def production(j: Journey) -> object:
    j.when(ChangeTenantSettings({"production": True})).then_accepted()
    return j.when(RegisterGateway("g2", "Second", "sim", "env:NONE", "m3", "TEST"))


WAYS: dict[str, Way] = {
    # what a command itself gets wrong: tests.bad_input has every kind
    "AMOUNT_NOT_POSITIVE": lambda j: j.when(ProcessPayment(money(0), method_id=j.card_a)),
    "PAYMENT_GROUP_AMBIGUOUS": lambda j: j.when(
        replace(SALE, method_id=j.card_a, payment_group_id="one", new_payment_group=NewGroup("two"))
    ),
    "PARTITION_KEY_MISMATCH": lambda j: j.when(ChangeTenantSettings({"production": True}), account="A"),
    "DEADLINE_EXCEEDED": lambda j: j.when(CloseAccount(), deadline=(j.time - timedelta(days=1)).isoformat()),
    "VERSION_CONFLICT": lambda j: j.when(CloseAccount(), expected_version=7),
    # what is not there
    "ACCOUNT_NOT_FOUND": lambda j: j.when(CloseAccount(), account="nobody"),
    "INVOICE_NOT_FOUND": lambda j: j.when(ConvertNegativeInvoice("none")),
    "INVOICE_LINE_NOT_FOUND": lambda j: j.apply(j.pay("P", 1), j.post("INV", line("1", 5)), 1, "2"),
    "PAYMENT_NOT_FOUND": lambda j: j.when(CancelPayment("none")),
    "AUTHORIZATION_NOT_FOUND": lambda j: j.when(ReverseAuthorization("none", ONE)),
    "DISPUTE_NOT_FOUND": lambda j: j.when(SubmitDisputeEvidence("none", "a letter")),
    "REFUND_NOT_FOUND": lambda j: j.when(ResolveRefundOutcome("none", "FAILED", "a letter")),
    "CREDIT_MEMO_NOT_FOUND": lambda j: j.when(PostCreditMemo("none")),
    "APPLICATION_NOT_FOUND": lambda j: j.when(UnapplyPayment(j.pay("P", 1), "none")),
    "METHOD_NOT_FOUND": lambda j: j.when(replace(SALE, method_id="none")),
    "GATEWAY_NOT_FOUND": lambda j: j.when(by("none")),
    "ORCHESTRATION_NOT_FOUND": lambda j: j.when(CancelRefundOrchestration("none")),
    "OPERATION_NOT_FOUND": lambda j: j.when(RecordPaymentOutcome("none", "OPERATOR", SUCCESS)),
    "PAYMENT_GROUP_NOT_FOUND": lambda j: j.when(replace(SALE, method_id=j.card_a, payment_group_id="none")),
    "EXCEPTION_NOT_FOUND": lambda j: j.when(ResolveException("none", "IGNORED", "it is nothing")),
    "NOTIFICATION_NOT_FOUND": lambda j: j.when(ReplayNotification("gw", "none")),
    "TRANSFER_NOT_FOUND": lambda j: j.when(RecallTransfer(j.pay("P", 1), "none")),
    "BANK_LINE_NOT_FOUND": lambda j: j.when(AssignBankLine("gw", "main", "none", "it is ours")),
    "PAYOUT_LINE_NOT_FOUND": lambda j: j.when(MatchPayoutLine("gw", "po_1", "none")),
    "API_KEY_NOT_FOUND": lambda j: j.when(RevokeApiKey("nope")),
    "API_KEY_EXISTS": lambda j: (j.when(KEY).then_accepted(), j.when(replace(KEY, name="Another"))),
    "NOT_FOUND": lambda j: j.when(UpdateBillingProfile("none", "None", 1)),
    # what is there already, held, or done
    "INVOICE_DUPLICATE": lambda j: (
        j.post("INV", line("1", 5)),
        j.when(PostInvoice("INV", "USD", (Line("1", ONE),))),
    ),
    "ACCOUNT_EXISTS": lambda j: j.when(RegisterAccount("Ada")),
    "GATEWAY_EXISTS": lambda j: j.when(RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST")),
    "PAYMENT_EXISTS": lambda j: j.when(replace(SALE, payment_id=j.pay("P", 1), method_id=j.card_a)),
    "AUTHORIZATION_EXISTS": lambda j: j.when(
        AuthorizePayment(ONE, "gw", j.time, j.card_a, authorization_id=held(j))
    ),
    "RUN_NOT_FOUND": lambda j: j.when(StopPaymentBatchRun("none")),
    "RUN_EXISTS": lambda j: (j.when(RUN).then_accepted(), j.when(replace(RUN, is_retry=True))),
    "REFUND_EXISTS": lambda j: (
        j.pay("P", 10),
        j.when(IssueRefund("P", ONE, "asked", refund_id="R")).then_accepted(),
        j.when(IssueRefund("P", ONE, "asked", refund_id="R")),
    ),
    "CREDIT_MEMO_EXISTS": lambda j: (
        memo(j),
        j.when(CreateCreditMemo("USD", (NewLine("1", ONE, Product(name="x")),), "GOODWILL", "M")),
    ),
    "INVOICE_LOCKED": lambda j: j.when(ConvertNegativeInvoice(orchestrated(j))),
    "CREDIT_MEMO_LOCKED": lambda j: j.when(VoidCreditMemo(live_orchestration(j))),
    "ALREADY_UNAPPLIED": unapplied_before,
    "TARGET_NOT_POSTED": a_draft_paid,
    "TAX_STRATEGY_UNSUPPORTED": lambda j: j.when(
        CreateCreditMemo("USD", (NewLine("1", ONE, Product(name="x")),), "X", tax_strategy="CALCULATE")
    ),
    "LINE_ALREADY_CONVERTED": converted_before,
    "METHOD_IN_USE": used_in_flight,
    "ORCHESTRATION_EXISTS": lambda j: j.when(AutomateRefund(live_orchestration(j))),
    "ORCHESTRATION_TOO_LATE": finished_orchestration,
    "OPERATION_IN_FLIGHT": canceling,
    "IDEMPOTENCY_KEY_REUSED": lambda j: (
        j.when(PlacePaymentHold("one"), key="k").then_accepted(),
        j.when(PlacePaymentHold("two"), key="k"),
    ),
    # states
    "INVALID_STATE": lambda j: j.when(PostCreditMemo(memo(j))),
    "PAYMENT_NOT_PROCESSED": lambda j: j.when(IssueRefund(j.request("P", 1), ONE, "asked")),
    "PAYMENT_HAS_SETTLEMENTS": lambda j: (paid(j), j.when(CancelPayment("P"))),
    "PAYMENT_NOT_VOIDABLE": void_where_none_is_known,
    "PAYMENT_NOT_GATEWAY_LINKED": lambda j: (
        j.cheque("P", 1, j.post("INV", line("1", 5))),
        j.when(IssueRefund("P", ONE, "asked")),
    ),
    "PAYMENT_DISPUTED": disputed,
    "AUTHORIZATION_EXPIRED": expired,
    "INVOICE_HAS_SETTLEMENTS": netted_at_invoice_level,
    "CREDIT_MEMO_HAS_SETTLEMENTS": used_memo,
    "LINE_NOT_NEGATIVE": lambda j: j.when(ConvertNegativeInvoice(j.post("INV", line("1", 5)), ("1",))),
    "LINE_NOT_PAYABLE": lambda j: j.apply(j.pay("P", 1), j.post("INV", line("1", 5), line("2", -1)), 1, "2"),
    "SETTLEMENT_LEVEL_MISMATCH": at_both_levels,
    "PARTIAL_UNAPPLY_UNSUPPORTED": a_part_of_an_application,
    "ACCOUNT_ON_HOLD": lambda j: (
        j.when(PlacePaymentHold("he asked")).then_accepted(),
        j.when(replace(SALE, method_id=j.card_a, initiation="BATCH_RUN")),
    ),
    "ACCOUNT_HAS_BALANCE": lambda j: (j.pay("P", 1), j.when(CloseAccount())),
    "PERSONAL_DATA_ERASED": erased,
    "NOTHING_TO_CHANGE": lambda j: j.when(WriteOffOverdraft(j.pay("P", 1), "gone")),
    # money
    "PAYMENT_BALANCE_EXCEEDED": lambda j: j.apply(j.pay("P", 1), j.post("INV", line("1", 5)), 2),
    "INVOICE_BALANCE_EXCEEDED": lambda j: j.apply(j.pay("P", 9), j.post("INV", line("1", 5)), 6),
    "LINE_BALANCE_EXCEEDED": lambda j: j.apply(
        j.pay("P", 9), j.post("INV", line("1", 5), line("2", 5)), 6, "1"
    ),
    "CREDIT_BALANCE_EXCEEDED": lambda j: j.when(IssueUnreferencedRefund(memo(j), money(11), "asked")),
    "REFUND_EXCEEDS_UNAPPLIED": lambda j: (paid(j), j.when(IssueRefund("P", ONE, "asked"))),
    "REFUND_EXCEEDS_REFUNDABLE": lambda j: j.when(IssueRefund(j.pay("P", 1), money(2), "asked")),
    "REFUND_BALANCE_EXCEEDED": external_refund,
    "APPROVAL_REQUIRED": lambda j: (
        j.when(ChangeTenantSettings({"refund_approval_threshold": money(1)})).then_accepted(),
        j.when(
            RecordExternalRefund(money(5), "CASH", "till", j.time.date(), "asked"),
            actor={"type": "USER", "id": "olga", "roles": ["PAYMENT_OPERATIONS"]},
        ),
    ),
    "REFUND_LIMIT_EXCEEDED": lambda j: (
        j.when(ChangeTenantSettings({"unreferenced_refund_amount_max": (money(5),)})).then_accepted(),
        j.when(IssueUnreferencedRefund(memo(j), money(6), "asked", j.card_a)),
    ),
    "CAPTURE_EXCEEDS_AUTHORIZATION": lambda j: j.when(CapturePayment(held(j), money(11))),
    "REVERSAL_EXCEEDS_AUTHORIZATION": lambda j: j.when(ReverseAuthorization(held(j), money(11))),
    "CHECKOUT_AMOUNT_MISMATCH": lambda j: j.when(
        Checkout(ONE, Content("INV", "USD", (line("1", 2),)), method_id=j.card_a)
    ),
    "CURRENCY_MISMATCH": lambda j: j.apply(j.pay("P", 1), j.post("INV", line("1", 5)), 1, currency="EUR"),
    "ACCOUNT_MISMATCH": lambda j: (
        of_another_account(j),
        j.when(CancelPayment(j.pay("P", 1)), account="B"),
    ),
    "REFERENCE_MISMATCH": lambda j: j.when(AutomateRefund(memo(j))),
    "GATEWAY_AMOUNT_GRANULARITY": lambda j: (gateway(j), j.when(by("poor", amount=money("1.03", "GBP")))),
    # methods and gateways
    "METHOD_NOT_USABLE": lambda j: (
        of_another_account(j),
        j.when(SetDefaultPaymentMethod(j.card_a), account="B"),
    ),
    "METHOD_NOT_ACTIVE": revoked_card,
    "METHOD_EXPIRED": old_card,
    "METHOD_NOT_OWNED_BY_ACCOUNT": lambda j: (
        of_another_account(j),
        j.when(replace(SALE, method_id=j.card_a), account="B"),
    ),
    "METHOD_TYPE_UNSUPPORTED": lambda j: (
        gateway(j, method_types=("card",)),
        j.when(SavePaymentMethod("poor", "tok_i", "ideal")),
    ),
    "METHOD_GATEWAY_MISMATCH": lambda j: (
        gateway(j),
        j.when(replace(SALE, method_id=j.card_a, gateway_id="poor")),
    ),
    "METHOD_DUPLICATE": lambda j: (
        of_another_account(j),
        j.when(ImportTokenizedPaymentMethod("E", "gw", "tok_a", "card"), account="B"),
    ),
    "MANDATE_REQUIRED": no_consent,
    "NO_PAYMENT_METHOD": lambda j: j.when(SALE),
    "NO_REFUND_METHOD": lambda j: j.when(IssueUnreferencedRefund(memo(j), ONE, "asked")),
    "GATEWAY_INACTIVE": lambda j: (
        j.when(DeactivateGateway("gw")).then_accepted(),
        j.when(replace(SALE, method_id=j.card_a)),
    ),
    "GATEWAY_CAPABILITY_MISSING": lambda j: (gateway(j, operations=("REFUND",)), j.when(by("poor"))),
    "GATEWAY_CURRENCY_UNSUPPORTED": lambda j: (gateway(j, currencies=("GBP",)), j.when(by("poor"))),
    "GATEWAY_MODE_FORBIDDEN": production,
    "GATEWAY_CIRCUIT_OPEN": lambda j: (
        j.when(OpenCircuit("gw", "it does not answer", seconds=60)).then_accepted(),
        j.when(replace(SALE, method_id=j.card_a)),
    ),
    "REFUND_WINDOW_EXPIRED": window,
    # limits, and four eyes
    "TOO_MANY_TARGETS": lambda j: j.when(
        ApplyCreditMemo(memo(j), tuple(Target(f"i-{n}", ONE) for n in range(301)))
    ),
    "TOO_MANY_LINES": lambda j: j.when(
        PostInvoice("INV", "USD", tuple(Line(str(n), ONE) for n in range(2001)))
    ),
    "SELF_APPROVAL_FORBIDDEN": self_approval,
}

ELSEWHERE: dict[str, str] = {
    "ACCOUNT_NOT_VISIBLE": "e2e/test_sign_in.py",
    "FORBIDDEN": "unit/test_permissions.py",
    "UNAUTHENTICATED": "unit/test_signing_in.py",
    "AS_OF_SCOPE_REQUIRED": "integration/test_queries.py",
    "COMMAND_NOT_FOUND": "e2e/test_bad_input_http.py",
    "PARKED": "contract/test_store_contract.py",
    "PAYMENT_DECLINED": "e2e/test_http_journey.py",
    "READ_MODEL_BEHIND": "e2e/test_http_journey.py",
    "SIGNATURE_INVALID": "integration/test_notified_gateways.py",
    "STORE_UNAVAILABLE": "unit/test_hearing.py",
    "TOKENIZATION_DECLINED": "e2e/test_methods.py",
    "LINE_AMOUNTS_DIFFER": "unit/test_payouts.py",
    "BANK_LINE_EXISTS": "unit/test_payouts.py",
    "PAYOUT_EXISTS": "unit/test_payouts.py",
    "PAYOUT_LINE_EXISTS": "unit/test_payouts.py",
    "PAYOUT_NOT_FOUND": "unit/test_payouts.py",
    "SETTLEMENT_REPORT_EXISTS": "unit/test_payouts.py",
    "SETTLEMENT_REPORT_NOT_FOUND": "unit/test_payouts.py",
    "TOKEN_MIGRATION_EXISTS": "unit/test_migrating.py",
    "TOKEN_MIGRATION_NOT_FOUND": "unit/test_migrating.py",
}
"""Codes of doors and readers, and of subjects with a test of their own: the test that shows each."""

UNREACHED = {
    "ALLOCATION_WEIGHTS_ZERO": "what is divided is never 0 where a command has passed its guards",
}


def _known_elsewhere() -> set[str]:
    return {bad.code for bad in BAD} | ELSEWHERE.keys() | UNREACHED.keys()


@pytest.mark.parametrize("code", sorted(WAYS))
def test_how_it_comes_about(code: str) -> None:
    j = Journey()
    WAYS[code](j)
    j.then_rejected(code)
    assert j.facts() == [] or code == "IDEMPOTENCY_KEY_REUSED"


def test_every_code_has_a_way_or_a_test_of_its_own() -> None:
    """Subjects with tests of their own show their codes there; that an id is taken, or unknown, is plain."""
    others = [path for path in Path(__file__).parent.parent.rglob("test_*.py") if path != Path(__file__)]
    shown = set(re.findall(r"[A-Z]+(?:_[A-Z0-9]+)+", " ".join(path.read_text() for path in others)))
    special = {code for code in STATUS if not code.endswith(("_EXISTS", "_NOT_FOUND"))}
    assert sorted(special - WAYS.keys() - _known_elsewhere() - shown) == []


@pytest.mark.parametrize("code", sorted(ELSEWHERE))
def test_what_is_shown_elsewhere_is(code: str) -> None:
    assert code in (Path(__file__).parent.parent / ELSEWHERE[code]).read_text()


@pytest.mark.parametrize("code", sorted(WAYS))
def test_each_is_explained(code: str) -> None:
    said = codes.meaning(code)
    assert said != code.replace("_", " ").capitalize()
    assert f"| `{code}` | {said} | {codes.again(code)} |" in codes.page()
