"""A gateway that refuses the purchase detail is asked once more without it, and never for a doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from events.gateway_call import GatewayCallPlanned, GatewayCallRejected
from events.operations import ExceptionRaised
from events.payment import (
    PaymentEnhancedDataReduced,
    PaymentEnhancedDataRejected,
    PaymentFailed,
    PaymentProcessed,
    PaymentRequested,
)
from events.shapes import Outcome
from gateways.simulator.core import DATA_MISMATCH
from projections.explain import explain
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.authorizations.authorization import Authorization
from services.calls.calling import GatewayCall
from services.calls.gateway import RegisterGateway
from services.payments.arriving import RecordPaymentOutcome
from services.payments.payment import Payment
from services.retries.retrying import RetryItemNow
from services.tenants.exceptions import ExceptionCase
from tests.journey import EVERYTHING, SOFT, SUCCESS, Journey, line, money
from tests.retrying import NO_FUNDS, Retrying, fixed

DATA_REFUSED = Outcome(
    "EnhancedDataRejected",
    category="PaymentInformation",
    raw_code=DATA_MISMATCH,
    raw_message="the lines are not the amount",
)
UNKNOWN = Outcome("Indeterminate", raw_message="no answer came")


def shop() -> Journey:
    return Journey(capabilities=replace(EVERYTHING, level2=True, level3=True), level2_level3_data=True)


def asked(j: Journey) -> Journey:
    j.request("P1", "22.00", j.post("I1", line("1", "20.00", "2.00")))
    return j


def only(j: Journey, kind: type[Any]) -> Any:
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, kind)]
    return fact


def call(j: Journey, key: str) -> Any:
    return j.state(GatewayCall, key)


def test_it_is_sent_once_more_without_the_data_under_a_key_of_its_own() -> None:
    j = asked(shop())
    first = call(j, "t:sale:P1:1").planned
    assert first.enhanced.lines
    j.settle("P1", DATA_REFUSED)
    j.then_types(GatewayCallRejected, PaymentEnhancedDataRejected, GatewayCallPlanned, ExceptionRaised)
    _, rejected, planned, case = (fact for _, _, fact in j.facts())
    assert rejected == PaymentEnhancedDataRejected(
        3, DATA_MISMATCH, "the lines are not the amount", 2, "t:sale:P1:2"
    )
    assert planned == replace(
        first,
        idempotency_key="t:sale:P1:2",
        attempt_no=2,
        enhanced=None,
        request_digest=planned.request_digest,
    )
    assert planned.request_digest != first.request_digest
    assert (case.type, case.subject_id, case.amount) == ("ENHANCED_DATA_REJECTED", "P1", money("22.00"))
    assert j.state(Payment, "P1").status == "REQUESTED"


def test_then_it_is_a_payment_like_any_other() -> None:
    j = asked(shop())
    j.settle("P1", DATA_REFUSED).settle("P1", SUCCESS)
    assert j.payment("P1")["status"] == "PROCESSED"
    assert j.balances(j.post("I2", line("1", 1)))["balance"] == "1.00"
    assert j.state(Payment, "P1").applied == 2200


def test_a_second_refusal_for_data_that_were_not_sent_is_a_refusal() -> None:
    j = asked(shop())
    j.settle("P1", DATA_REFUSED).settle("P1", DATA_REFUSED)
    failed = only(j, PaymentFailed)
    assert (failed.result_code, failed.category) == ("ValidationError", "PaymentInformation")
    assert j.ids(GatewayCall) == ["t:sale:P1:1", "t:sale:P1:2"]


def test_a_doubt_is_never_sent_again_until_it_is_known_to_be_a_refusal() -> None:
    j = asked(shop())
    j.settle("P1", UNKNOWN)
    assert j.ids(GatewayCall) == ["t:sale:P1:1"]
    j.settle("P1", DATA_REFUSED, "RECONCILER")
    assert j.ids(GatewayCall) == ["t:sale:P1:1", "t:sale:P1:2"]
    assert j.state(Payment, "P1").operation_key == "t:sale:P1:2"


def test_a_refusal_that_is_told_twice_is_answered_once() -> None:
    j = asked(shop())
    j.settle("P1", DATA_REFUSED)
    j.when(RecordPaymentOutcome("t:sale:P1:1", "NOTIFICATION", DATA_REFUSED)).then_nothing()


def test_a_decline_is_no_refusal_of_the_data() -> None:
    j = asked(shop())
    j.settle("P1", SOFT)
    assert only(j, PaymentFailed).raw_code == "insufficient_funds"
    assert j.ids(GatewayCall) == ["t:sale:P1:1"]


@pytest.mark.parametrize("second", [SUCCESS, SOFT])
def test_money_that_came_by_the_first_key_after_all_is_counted_once(second: Outcome) -> None:
    j = asked(shop())
    j.settle("P1", DATA_REFUSED)
    j.when(RecordPaymentOutcome("t:sale:P1:1", "NOTIFICATION", SUCCESS)).then_accepted()
    assert j.payment("P1")["status"] == "PROCESSED"
    j.when(RecordPaymentOutcome("t:sale:P1:2", "GATEWAY", second)).then_accepted()
    facts = [fact for _, _, fact in j.facts()]
    assert not any(isinstance(fact, PaymentProcessed | PaymentFailed) for fact in facts)
    cases = [fact.type for fact in facts if isinstance(fact, ExceptionRaised)]
    assert cases == (["DUPLICATE_CHARGE"] if second is SUCCESS else [])
    assert j.state(Payment, "P1").amount == 2200


def test_the_first_keys_late_success_after_the_second_is_a_case() -> None:
    j = asked(shop())
    j.settle("P1", DATA_REFUSED).settle("P1", SUCCESS)
    j.when(RecordPaymentOutcome("t:sale:P1:1", "NOTIFICATION", SUCCESS)).then_accepted()
    assert [fact.type for _, _, fact in j.facts() if isinstance(fact, ExceptionRaised)] == [
        "DUPLICATE_CHARGE"
    ]
    assert j.state(Payment, "P1").amount == 2200


def test_explain_tells_both_calls_and_why() -> None:
    j = asked(shop())
    j.settle("P1", DATA_REFUSED).settle("P1", SUCCESS)
    told = asyncio.run(explain(j.store, "t", "P1"))
    keys = [fact["data"]["idempotency_key"] for fact in told if "gateway_call.planned" in fact["type"]]
    assert keys == ["t:sale:P1:1", "t:sale:P1:2"]
    assert any("refused the Level 3 data" in fact["sentence"] for fact in told)
    assert j.ids(ExceptionCase)
    assert not j.ids(Authorization)


# -- an item that is collected again


def failing_item() -> Retrying:
    """An item whose first attempt was refused for its data, and then declined without them."""
    can = replace(EVERYTHING, level2=True, level3=True)
    j = Retrying(fixed(1, "DAYS", 3), alternate=True, capabilities=can, level2_level3_data=True)
    j.owe().collect().answered(DATA_REFUSED).answered(NO_FUNDS)
    return j


def test_an_attempt_is_not_asked_for_with_data_that_its_gateway_refused_before() -> None:
    j = failing_item()
    for _ in range(2):  # what the second heard, the third remembers
        j.wait()
        reduced = j.of(PaymentEnhancedDataReduced)[-1]
        assert reduced == PaymentEnhancedDataReduced(0, "REFUSED_BEFORE")
        assert j.of(GatewayCallPlanned)[-1].enhanced is None
        assert j.of(PaymentRequested)[-1].level_requested is None
        j.answered(NO_FUNDS)
    assert len(j.of(PaymentEnhancedDataRejected)) == 1
    assert len(j.of(PaymentEnhancedDataReduced)) == 2


def test_nor_is_one_that_a_person_asks_for() -> None:
    j = failing_item()
    j.when(RetryItemNow(j.schedule_id, j.item_id, "he asked for it")).then_accepted()
    assert j.of(PaymentEnhancedDataReduced) == [PaymentEnhancedDataReduced(0, "REFUSED_BEFORE")]


def test_another_gateway_may_take_them() -> None:
    j = failing_item()
    j.when(RegisterGateway("gw2", "Other", "sim", "env:NONE", "m2", "TEST")).then_accepted()
    j.when(SavePaymentMethod("gw2", "tok_other", "card")).then_accepted()
    other = j.last_id(SavedMethod)
    j.when(RetryItemNow(j.schedule_id, j.item_id, "he asked for it", other)).then_accepted()
    planned = j.of(GatewayCallPlanned)[-1]
    assert planned.gateway_id == "gw2"
    assert planned.enhanced is not None
    assert not j.of(PaymentEnhancedDataReduced)
