"""Micro-deposits: their holder says what they were, and the gateway whether that is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from events.payment_method import PaymentMethodActivated, PaymentMethodVerificationRequested
from events.shapes import Outcome
from services.accounts.payment_method import SavedMethod
from services.accounts.tokenizing import Bank, RecordTokenizationOutcome, TokenizePaymentMethod
from services.accounts.verifying import VerifyMicroDeposits
from services.calls.calling import GatewayCall
from services.payments.paying import ProcessPayment
from tests.journey import EVERYTHING, Journey, money
from tests.spec import NOW

CAN = replace(EVERYTHING, operations=(*EVERYTHING.operations, "TOKENIZE", "VERIFY"))
BANK = Bank("hdl_action", "us_bank_account", "021000021", last4="6789")
TOKENIZE = TokenizePaymentMethod("gw", "Ada", bank=BANK, mandate_reference="m-1", mandate_accepted_at=NOW)
RIGHT = Outcome("Success", gateway_ref="pm_1")
WRONG = Outcome(
    "ValidationError",
    raw_code="payment_method_microdeposit_verification_amounts_mismatch",
    category="Unknown",
)


def awaiting(capabilities: Any = CAN) -> tuple[Journey, str]:
    """A bank account that was sent micro-deposits, and its method's id."""
    j = Journey(capabilities=capabilities)
    j.when(TOKENIZE).then_accepted()
    id = j.last_id(SavedMethod)
    answer(j, Outcome("ActionRequired", gateway_ref="seti_1"))
    assert (j.state(SavedMethod, id).status, j.state(SavedMethod, id).awaits) == (
        "AWAITING",
        "MICRO_DEPOSITS",
    )
    return j, id


def answer(j: Journey, outcome: Outcome) -> Journey:
    j.when(RecordTokenizationOutcome(j.last_id(GatewayCall), "GATEWAY", outcome)).then_accepted()
    return j


def guess(j: Journey, id: str, *amounts: int) -> Journey:
    j.when(VerifyMicroDeposits(id, amounts or (32, 45)))
    return j


def test_the_right_amounts_make_it_usable() -> None:
    j, id = awaiting()
    guess(j, id).then_accepted()
    call = j.state(GatewayCall, j.last_id(GatewayCall)).planned
    assert (call.operation, call.payment_ref, call.micro_deposits.amounts_minor) == (
        "VERIFY",
        "seti_1",
        (32, 45),
    )
    answer(j, RIGHT)
    assert [type(fact) for _, kind, fact in j.facts() if kind == id] == [PaymentMethodActivated]
    method = j.state(SavedMethod, id)
    assert (method.status, method.token_ref, method.awaits) == ("ACTIVE", "pm_1", None)
    j.when(ProcessPayment(money(1), method_id=id)).then_accepted()


def test_the_third_wrong_guess_is_the_last() -> None:
    j, id = awaiting()
    for n in (1, 2):
        answer(guess(j, id, 1, n).then_accepted(), WRONG)  # type: ignore[arg-type]
        assert j.state(SavedMethod, id).status == "AWAITING"
    answer(guess(j, id, 3, 4).then_accepted(), WRONG)  # type: ignore[arg-type]
    assert j.state(SavedMethod, id).status == "ERRORED"
    guess(j, id).then_rejected("INVALID_STATE")


def test_where_the_gateway_takes_no_more_guesses_nobody_makes_one() -> None:
    j, id = awaiting()
    ended = replace(WRONG, raw_code="payment_method_microdeposit_verification_attempts_exceeded")
    answer(guess(j, id).then_accepted(), ended)  # type: ignore[arg-type]
    assert j.state(SavedMethod, id).status == "ERRORED"


def test_one_guess_at_a_time_and_none_once_it_is_known() -> None:
    j, id = awaiting()
    guess(j, id).then_accepted()
    guess(j, id).then_rejected("OPERATION_IN_FLIGHT")
    answer(j, RIGHT)
    guess(j, id).then_rejected("INVALID_STATE", state="ACTIVE")


def test_it_is_heard_by_notification_while_a_guess_is_compared() -> None:
    j, id = awaiting()
    tokenizing = j.last_id(GatewayCall)
    guess(j, id).then_accepted()
    verifying = j.last_id(GatewayCall)
    for call in (tokenizing, verifying):
        j.when(RecordTokenizationOutcome(call, "NOTIFICATION", RIGHT)).then_accepted()
    assert j.state(SavedMethod, id).status == "ACTIVE"


def test_saved_anew_after_it_failed_there_are_tries_again() -> None:
    j, id = awaiting()
    answer(guess(j, id).then_accepted(), replace(WRONG, raw_code="x_timeout"))  # type: ignore[arg-type]
    j.when(TOKENIZE).then_accepted()
    answer(j, Outcome("ActionRequired", gateway_ref="seti_2"))
    guess(j, id).then_accepted()
    [requested] = [f for _, _, f in j.facts() if isinstance(f, PaymentMethodVerificationRequested)]
    assert requested.attempt_no == 1
    answer(j, RIGHT)
    assert j.state(SavedMethod, id).status == "ACTIVE"


@pytest.mark.parametrize(
    "told", [{"amounts": (1,)}, {}, {"amounts": (1, 2), "descriptor_code": "SM11AA"}, {"amounts": (1, 100)}]
)
def test_two_amounts_or_a_code(told: dict[str, Any]) -> None:
    j, id = awaiting()
    j.when(VerifyMicroDeposits(id, **told)).then_rejected("MALFORMED_REQUEST")


def test_what_it_cannot_be_said_of() -> None:
    j, _ = awaiting()
    guess(j, "none").then_rejected("METHOD_NOT_FOUND")
    guess(j, j.card_a).then_rejected("INVALID_STATE")
    j, id = awaiting(replace(CAN, operations=(*EVERYTHING.operations, "TOKENIZE")))
    guess(j, id).then_rejected("GATEWAY_CAPABILITY_MISSING", operation="VERIFY")
    j.when(VerifyMicroDeposits(id, (1, 2)), account="B").then_rejected("METHOD_NOT_OWNED_BY_ACCOUNT")
