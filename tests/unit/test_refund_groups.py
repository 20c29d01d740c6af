"""Payment groups hold refunds too: those of their payments, and those that name one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from events.invoice import Product
from events.refund import ExternalRefundRecorded, RefundApprovalRequested, RefundRequested
from projections.folding import Folder
from projections.models import TABLES
from projections.refunds import refunds
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.capturing import CapturePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.credits.crediting import CreateCreditMemo, NewLine
from services.payments.external import RecordExternalPayment
from services.payments.paying import ProcessPayment
from services.payments.payment_group import NewGroup
from services.refunds.approving import ApproveRefund
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from tests.journey import SUCCESS, Journey, line, money

GROUP = NewGroup("order-1")


def sold(**settings: Any) -> Journey:
    """100 dollars of the group `order-1`."""
    j = Journey(**settings)
    sale = ProcessPayment(money(100), payment_id="P", method_id=j.card_a, new_payment_group=GROUP)
    j.when(sale).then_accepted()
    j.settle("P", SUCCESS)
    return j


def group_of(j: Journey, kind: type[Any]) -> str | None:
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, kind)]
    return fact.payment_group_id


def told(j: Journey, refund_id: str) -> str | None:
    return Folder(TABLES).from_zero(j.events())[refunds]["t", refund_id]["payment_group_id"]


def test_a_refund_is_in_the_group_of_its_payment() -> None:
    j = sold()
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    assert group_of(j, RefundRequested) == told(j, "R") == "order-1"
    by_hand = RecordExternalRefund(money(10), "CASH", "till", j.time.date(), "asked", "P", refund_id="X")
    j.when(by_hand).then_accepted()
    assert group_of(j, ExternalRefundRecorded) == told(j, "X") == "order-1"


def test_it_is_while_it_awaits_its_approval_and_after() -> None:
    j = sold(refund_approval_threshold={"amount_minor": 1000, "currency": "USD"})
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    assert group_of(j, RefundApprovalRequested) == told(j, "R") == "order-1"
    j.when(ApproveRefund("R"), actor={"type": "USER", "id": "second"}).then_accepted()
    assert group_of(j, RefundRequested) == "order-1"


def test_a_refund_of_a_capture_is_in_the_group_of_its_authorization() -> None:
    j = Journey()
    asked = AuthorizePayment(
        money(100), "gw", j.time, j.card_a, authorization_id="A", new_payment_group=GROUP
    )
    j.when(asked).then_accepted()
    j.when(RecordAuthorizationOutcome(j.state(Authorization, "A").operation_key, "GATEWAY", SUCCESS))
    j.when(CapturePayment("A", money(100), payment_id="P")).then_accepted()
    j.settle("P", SUCCESS)
    j.when(IssueRefund("P", money(40), "asked", refund_id="R")).then_accepted()
    assert told(j, "R") == "order-1"


def test_so_is_what_an_orchestration_asks_for() -> None:
    j = Journey("recommended", apply_converted_credit_to_source_invoice=False)
    invoice = j.post("INV", line("1", 100))
    sale = ProcessPayment(money(100), payment_id="P", method_id=j.card_a, new_payment_group=GROUP)
    j.when(sale).then_accepted()
    j.settle("P", SUCCESS)
    j.apply("P", invoice, 100).then_accepted()
    j.post("NEG", line("1", -40, of=("INV", "1")))
    j.run_processes()
    (refund,) = Folder(TABLES).from_zero(j.events())[refunds].values()
    assert (refund["orchestration_id"] is not None, refund["payment_group_id"]) == (True, "order-1")


def test_a_payout_of_credit_joins_the_group_that_it_names() -> None:
    j = sold()
    lines = (NewLine("1", money(20), Product(name="x")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M")).then_accepted()
    payout = IssueUnreferencedRefund("M", money(20), "asked", j.card_a, "R", payment_group_id="order-1")
    j.when(replace(payout, payment_group_id="order-2")).then_rejected("PAYMENT_GROUP_NOT_FOUND")
    j.when(payout).then_accepted()
    assert group_of(j, RefundRequested) == told(j, "R") == "order-1"


def test_one_that_awaits_its_approval_keeps_it() -> None:
    j = sold(unreferenced_refund_approval=True)
    lines = (NewLine("1", money(20), Product(name="x")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M")).then_accepted()
    payout = IssueUnreferencedRefund("M", money(20), "asked", j.card_a, "R", payment_group_id="order-1")
    j.when(payout).then_accepted()
    j.when(ApproveRefund("R"), actor={"type": "USER", "id": "second"}).then_accepted()
    assert group_of(j, RefundRequested) == "order-1"


@pytest.mark.parametrize("named", [None, "order-1"])
def test_money_given_back_outside_joins_the_group_that_it_names(named: str | None) -> None:
    j = sold()
    cash = RecordExternalPayment(money(10), "CASH", "till", j.time.date(), payment_id="C")
    j.when(cash).then_accepted()
    back = RecordExternalRefund(money(10), "CASH", "till", j.time.date(), "asked", "C")
    j.when(replace(back, payment_group_id="order-2")).then_rejected("PAYMENT_GROUP_NOT_FOUND")
    j.when(replace(back, payment_group_id=named)).then_accepted()
    assert group_of(j, ExternalRefundRecorded) == named
