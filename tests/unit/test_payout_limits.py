"""Limits on refunds to methods that the money did not come from, and four eyes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from events.account import UnreferencedRefundCounted
from events.credit_memo import CreditMemoLocked
from events.invoice import Product
from events.money import Money
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.credits.crediting import CreateCreditMemo, NewLine
from services.orchestrations.falling_back import ChooseRefundFallback
from services.orchestrations.orchestration import RefundOrchestration
from services.refunds.approving import ApproveRefund
from services.refunds.refund import Refund
from services.refunds.refunding import IssueUnreferencedRefund
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import CARD_CLOSED, SUCCESS, Journey, line, money


def owing(amount: int = 100, **settings: object) -> Journey:
    """A memo M of so much, at a tenant with such limits."""
    j = Journey()
    j.when(ChangeTenantSettings(settings)).then_accepted()  # type: ignore[arg-type]
    lines = (NewLine("1", money(amount), Product(name="goodwill")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M")).then_accepted()
    return j


def pay_out(j: Journey, id: str, amount: int, outcome: object = SUCCESS) -> None:
    j.when(IssueUnreferencedRefund("M", money(amount), "asked", j.card_a, id)).then_accepted()
    j.answer_refund(id, outcome)  # type: ignore[arg-type]


def one_more(j: Journey, amount: int) -> Journey:
    j.when(IssueUnreferencedRefund("M", money(amount), "asked", j.card_a))
    return j


def test_so_often_and_no_more_until_days_have_passed() -> None:
    j = owing(unreferenced_refund_count_max=2, unreferenced_refund_days=7)
    pay_out(j, "R1", 1)
    pay_out(j, "R2", 1)
    one_more(j, 1).then_rejected("REFUND_LIMIT_EXCEEDED", available=0, days=7)
    one_more(j.at(timedelta(days=7)), 1).then_accepted()  # type: ignore[arg-type]


@pytest.mark.parametrize(("amount", "taken"), [(20, True), (21, False)])
def test_so_much_and_no_more(amount: int, taken: bool) -> None:
    j = owing(unreferenced_refund_amount_max=(money(50), Money(1, "JPY")))
    pay_out(j, "R1", 30)
    one_more(j, amount)
    if taken:
        j.then_accepted()
    else:
        j.then_rejected("REFUND_LIMIT_EXCEEDED", available=2_000)


def test_one_that_failed_counts_as_well() -> None:
    j = owing(unreferenced_refund_count_max=1)
    pay_out(j, "R1", 1, CARD_CLOSED)
    one_more(j, 1).then_rejected("REFUND_LIMIT_EXCEEDED")


def test_nothing_is_counted_where_nothing_is_limited() -> None:
    j = owing()
    pay_out(j, "R1", 1)
    assert not any(isinstance(fact, UnreferencedRefundCounted) for fact in j.all_facts())


def test_each_needs_a_second_person_where_the_tenant_says_so() -> None:
    j = owing(unreferenced_refund_approval=True, unreferenced_refund_count_max=1)
    j.when(IssueUnreferencedRefund("M", money(1), "asked", j.card_a, "R1")).then_accepted()
    assert j.state(Refund, "R1").status == "AWAITING_APPROVAL"
    j.when(ApproveRefund("R1")).then_rejected("SELF_APPROVAL_FORBIDDEN")
    j.when(
        ApproveRefund("R1"), actor={"type": "USER", "id": "another", "roles": ["OPERATOR"]}
    ).then_accepted()
    assert j.state(Refund, "R1").status == "REQUESTED"


def failed_leg(j: Journey) -> str:
    """A refund whose card is closed: its orchestration's leg has failed."""
    settings = {"convert_negative_lines": True, "issue_refunds_and_settle_balances": True}
    j.when(ChangeTenantSettings({**settings, "refund_failure_fallback": ("MANUAL",)})).then_accepted()
    j.when(SetDefaultPaymentMethod(j.card_a)).then_accepted()
    j.pay("P", 100, j.post("INV", line("1", 100)), j.card_b)
    j.post("NEG", line("1", -40, of=("INV", "1")), original="INV")
    j.run_processes()
    j.answer_refund(j.last_id(Refund), CARD_CLOSED)
    return j.last_id(RefundOrchestration)


def test_what_falls_back_to_another_method_keeps_to_the_limit() -> None:
    j = owing(unreferenced_refund_amount_max=(money(39),))
    ro = failed_leg(j)
    j.when(ChooseRefundFallback(ro, 1, "UNREFERENCED")).then_accepted()
    assert [leg.reason for _, _, leg in j.facts() if hasattr(leg, "reason")] == ["REFUND_LIMIT_EXCEEDED"]
    assert not any(isinstance(fact, CreditMemoLocked) for _, _, fact in j.facts())


def test_nobody_agrees_to_what_tender_itself_falls_back_to() -> None:
    j = owing(unreferenced_refund_approval=True)
    ro = failed_leg(j)
    tender = {"type": "SYSTEM", "id": "process:refunding", "roles": []}
    j.when(ChooseRefundFallback(ro, 1, "UNREFERENCED"), actor=tender).then_accepted()
    assert [leg.reason for _, _, leg in j.facts() if hasattr(leg, "reason")] == ["a person must agree to it"]
