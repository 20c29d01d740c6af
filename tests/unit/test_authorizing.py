"""Authorizations: held once, captured and reversed within what is held, and never both at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.authorization import (
    AuthorizationCanceled,
    AuthorizationCaptureFailed,
    AuthorizationCaptureRequested,
    AuthorizationCaptureSucceeded,
    AuthorizationDeclined,
    AuthorizationHeldForReview,
    AuthorizationRecorded,
    AuthorizationRequested,
    AuthorizationReversalFailed,
    AuthorizationReversalPending,
    AuthorizationReversalRequested,
    AuthorizationReversed,
    PaymentAuthorized,
)
from events.gateway_call import GatewayCallPlanned
from events.operations import ExceptionRaised, PaymentGroupCreated
from events.payment import PaymentRequested
from events.payment_method import PaymentMethodHealthChanged
from events.shapes import Method, Outcome
from projections.authorizations import authorizations
from projections.folding import Folder
from services.accounts.account import RegisterAccount
from services.accounts.method_choice import DeletePaymentMethod
from services.accounts.payment_method import SavedMethod, SavePaymentMethod, snapshot
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment, PostAuthorize, RecordExternalAuthorization
from services.authorizations.capturing import CapturePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome, RecordReversalOutcome, ResolveReview
from services.authorizations.reversing import CancelAuthorization, ExpireAuthorization, ReverseAuthorization
from services.calls.calling import GatewayCall
from services.calls.gateway import DeactivateGateway, RegisterGateway
from services.payments.asking import OneTimeMethod
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from tests.journey import CARD_CLOSED, EVERYTHING, SOFT, SUCCESS, Journey, line, money
from tests.spec import NOW

KEY = "t:authorize:PA1:1"
LATER = NOW + timedelta(days=7)
HELD = Outcome("Success", gateway_ref="auth_1", auth_code="A1", expires_at=LATER)
SILENCE = Outcome("Indeterminate", raw_message="read timeout")


def authorize(j: Journey, **more: Any) -> AuthorizePayment:
    return replace(AuthorizePayment(money("500.00"), "gw", NOW, j.card_a, authorization_id="PA1"), **more)


def requested(**capabilities: Any) -> Journey:
    j = Journey(capabilities=replace(EVERYTHING, **capabilities))
    j.when(authorize(j)).then_accepted()
    return j


def answered(j: Journey, outcome: Outcome, source: str = "GATEWAY") -> Journey:
    return j.when(RecordAuthorizationOutcome(KEY, source, outcome))  # type: ignore[arg-type, return-value]


def held(**capabilities: Any) -> Journey:
    j = answered(requested(**capabilities), HELD)
    j.then_accepted()
    return j


def capture(amount: str, payment_id: str = "P1", **more: Any) -> CapturePayment:
    return CapturePayment("PA1", money(amount), payment_id, **more)


def reverse(amount: str) -> ReverseAuthorization:
    return ReverseAuthorization("PA1", money(amount))


def reversal(j: Journey, outcome: Outcome, number: int = 1, source: str = "GATEWAY") -> Journey:
    return j.when(RecordReversalOutcome(f"t:reverse:PA1:{number}", source, outcome))  # type: ignore[arg-type, return-value]


def auth(j: Journey) -> Authorization:
    return j.state(Authorization, "PA1")


def types(j: Journey) -> list[type[Any]]:
    j.then_accepted()
    return [type(fact) for kind, _, fact in j.facts() if kind != "gwcall"]


def raised(j: Journey) -> list[str]:
    return [fact.type for _, _, fact in j.facts() if isinstance(fact, ExceptionRaised)]


# -- asking for it


def test_the_intent_and_the_call_are_one_decision() -> None:
    j = requested()
    method = snapshot(j.state(SavedMethod, j.card_a))
    intent = AuthorizationRequested(
        "PA1", "PA-000001", "A", money("500.00"), "gw", method, 1, KEY, NOW, NOW, initiation="AD_HOC"
    )
    call = GatewayCallPlanned(
        "AUTHORIZE", KEY, 1, "auth", "PA1", "A", "gw", money("500.00"), j.facts()[1][2].request_digest,
        "PA-000001", method,
    )  # fmt: skip
    j.then((Authorization, "PA1", intent), (GatewayCall, KEY, call))


def test_an_authorization_exists_once() -> None:
    j = requested()
    j.when(authorize(j)).then_rejected("AUTHORIZATION_EXISTS")


def test_without_an_id_it_is_given_one() -> None:
    j = Journey()
    j.when(authorize(j, authorization_id=None)).then_types(AuthorizationRequested, GatewayCallPlanned)


def test_nothing_is_held_where_it_cannot_be() -> None:
    j = Journey(capabilities=replace(EVERYTHING, currencies=("USD",)))
    j.when(RegisterGateway("gw-2", "Second", "sim", "env:NONE", "m2", "TEST")).then_accepted()
    for change, code in (
        ({"method_id": "nobody"}, "METHOD_NOT_FOUND"),
        ({"gateway_id": "gw-2"}, "METHOD_GATEWAY_MISMATCH"),
        ({"amount": money("0.00")}, "AMOUNT_NOT_POSITIVE"),
        ({"amount": money("5.00", "EUR")}, "GATEWAY_CURRENCY_UNSUPPORTED"),
    ):
        j.when(authorize(j, **change)).then_rejected(code)
    j.when(authorize(j), account="B").then_rejected("ACCOUNT_NOT_FOUND")
    j.when(DeactivateGateway("gw")).when(authorize(j)).then_rejected("GATEWAY_INACTIVE")


# -- groups


def test_an_operation_joins_a_group_that_exists_or_brings_a_new_one() -> None:
    j = Journey()
    new = NewGroup("order-1", "Order 1")
    j.when(authorize(j, new_payment_group=new))
    j.then_types(PaymentGroupCreated, AuthorizationRequested, GatewayCallPlanned)
    assert j.facts()[1][2].payment_group_id == "order-1"
    j.when(authorize(j, authorization_id="PA2", new_payment_group=new))
    j.then_types(AuthorizationRequested, GatewayCallPlanned)
    j.when(authorize(j, authorization_id="PA3", payment_group_id="order-1")).then_accepted()
    both = authorize(j, authorization_id="PA4", payment_group_id="order-1", new_payment_group=new)
    j.when(both).then_rejected("PAYMENT_GROUP_AMBIGUOUS")
    j.when(authorize(j, authorization_id="PA4", payment_group_id="order-2"))
    j.then_rejected("PAYMENT_GROUP_NOT_FOUND")


def test_a_group_belongs_to_one_account() -> None:
    j = Journey()
    j.when(authorize(j, new_payment_group=NewGroup("order-1"))).then_accepted()
    j.when(RegisterAccount("Bob"), account="B").when(SavePaymentMethod("gw", "tok_b", "card"), account="B")
    bobs = replace(authorize(j), authorization_id="PA2", method_id=j.last_id(SavedMethod))
    j.when(replace(bobs, payment_group_id="order-1"), account="B").then_rejected("PAYMENT_GROUP_NOT_FOUND")
    new = NewGroup("order-1")
    j.when(replace(bobs, new_payment_group=new), account="B").then_rejected("ACCOUNT_MISMATCH")


def test_a_capture_stays_in_the_group_of_its_authorization() -> None:
    j = Journey()
    j.when(authorize(j, new_payment_group=NewGroup("order-1")))
    answered(j, HELD).when(capture("1.00"))
    (intent,) = [fact for _, _, fact in j.facts() if isinstance(fact, PaymentRequested)]
    assert intent.payment_group_id == "order-1"


# -- recorded, not asked for


@pytest.mark.parametrize(
    ("kind", "mode"), [(PostAuthorize, "PLATFORM"), (RecordExternalAuthorization, "EXTERNAL")]
)
def test_what_was_obtained_elsewhere_is_recorded_and_can_be_captured(kind: Any, mode: str) -> None:
    j = Journey()
    j.when(kind(money("500.00"), "gw", "card", "tok_x", "auth_9", NOW, "PA1", LATER))
    recorded = AuthorizationRecorded(
        "PA1",
        "PA-000001",
        "A",
        money("500.00"),
        "gw",
        Method("card", "tok_x", "gw"),
        "auth_9",
        mode,
        NOW,
        LATER,
    )
    j.then((Authorization, "PA1", recorded))
    assert j.run_processes() == []
    assert [send.command for send in j.later] == [ExpireAuthorization("PA1")]
    j.when(capture("500.00")).then_types(AuthorizationCaptureRequested, PaymentRequested, GatewayCallPlanned)
    assert j.call_of("P1").planned.authorization_ref == "auth_9"


def test_a_recorded_authorization_joins_only_a_group_that_exists() -> None:
    j = Journey()
    obtained = PostAuthorize(
        money("500.00"), "gw", "card", "tok_x", "auth_9", NOW, payment_group_id="order-9"
    )
    j.when(obtained).then_rejected("PAYMENT_GROUP_NOT_FOUND")
    j.when(replace(obtained, payment_group_id=None, token_ref="4111111111111111"))
    j.then_rejected("CARD_DATA_FORBIDDEN")


# -- its outcome


def test_success_holds_the_money() -> None:
    j = held()
    fact = PaymentAuthorized("auth_1", "A1", LATER, "GATEWAY")
    assert [f for kind, _, f in j.facts() if kind == "auth"] == [fact]
    assert (auth(j).status, auth(j).balance) == ("PROCESSED", 500_00)
    answered(j, HELD, "NOTIFICATION").then_nothing()


def test_a_decline_fails_it_and_counts_against_the_method() -> None:
    j = answered(requested(), SOFT)
    assert types(j) == [AuthorizationDeclined, PaymentMethodHealthChanged]
    assert auth(j).status == "FAILED"
    j.when(capture("1.00")).then_rejected("INVALID_STATE", state="FAILED", allowed=["PROCESSED"])


def test_a_code_that_no_map_knows_is_shown_to_a_person() -> None:
    j = answered(requested(), replace(SOFT, category="Unknown", raw_code="zz_unheard_of"))
    assert raised(j) == ["UNMAPPED_CODE"]
    assert auth(j).status == "FAILED"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("Pending"), "PENDING"),
        (Outcome("ActionRequired"), "REQUIRES_ACTION"),
        (Outcome("RequiresReview"), "REQUIRES_REVIEW"),
        (SILENCE, "INDETERMINATE"),
    ],
)
def test_without_a_final_word_it_waits_until_someone_brings_it(outcome: Outcome, status: str) -> None:
    j = answered(requested(), outcome)
    assert (auth(j).status, raised(j)) == (status, [])
    j.when(DeletePaymentMethod(j.card_a)).then_rejected("METHOD_IN_USE", kind="auth")
    j.when(capture("1.00")).then_rejected("INVALID_STATE", state=status)
    assert types(answered(j, HELD, "NOTIFICATION")) == [PaymentAuthorized]


def test_a_person_resolves_a_review_with_evidence() -> None:
    j = answered(requested(), Outcome("RequiresReview"))
    j.when(ResolveReview("PA1", "MAYBE", "saw it")).then_rejected("MALFORMED_REQUEST")  # type: ignore[arg-type]
    j.when(ResolveReview("PA1", "PROCESSED", "saw it", "auth_7"))
    assert [f for kind, _, f in j.facts() if kind == "auth"] == [
        PaymentAuthorized("auth_7", None, None, "OPERATOR")
    ]
    j.when(ResolveReview("PA1", "FAILED", "no")).then_rejected("INVALID_STATE", state="PROCESSED")


def test_a_person_can_refuse_it() -> None:
    j = answered(requested(), SILENCE).when(ResolveReview("PA1", "FAILED", "they know nothing of it"))
    assert auth(j).status == "FAILED"


def test_nobody_resolves_what_was_only_just_asked() -> None:
    requested().when(ResolveReview("PA1", "FAILED", "no")).then_rejected("INVALID_STATE", state="REQUESTED")


def test_after_the_last_inquiry_a_person_must_look() -> None:
    j = Journey(unknown_outcome_poll=(30,))
    j.when(authorize(j))
    answered(j, SILENCE)
    answered(j, Outcome("NotFound"), "RECONCILER")
    assert types(j) == [AuthorizationHeldForReview, ExceptionRaised]
    assert raised(j) == ["UNKNOWN_OUTCOME_EXPIRED"]


def test_late_truth() -> None:
    j = answered(answered(requested(), SOFT), HELD, "NOTIFICATION")
    assert [f.late for _, _, f in j.facts() if isinstance(f, PaymentAuthorized)] == [True]
    assert raised(j) == ["LATE_SUCCESS"]
    assert auth(j).status == "PROCESSED"
    j = answered(held(), SOFT, "NOTIFICATION")
    assert (raised(j), auth(j).status) == (["CONTRADICTED_OUTCOME"], "PROCESSED")


def test_another_amount_than_asked_for_is_shown() -> None:
    j = answered(requested(), replace(HELD, processed_amount=money("400.00")))
    assert raised(j) == ["AMOUNT_MISMATCH"]


def test_only_its_own_account_hears_of_it() -> None:
    j = requested().when(RegisterAccount("Bob"), account="B")
    j.when(RecordAuthorizationOutcome(KEY, "GATEWAY", HELD), account="B").then_rejected("ACCOUNT_MISMATCH")


# -- capturing


def test_a_capture_is_a_payment_in_flight_on_its_authorization() -> None:
    j = held().when(capture("200.00"))
    j.then_types(AuthorizationCaptureRequested, PaymentRequested, GatewayCallPlanned)
    intent, call = j.facts()[1][2], j.facts()[2][2]
    assert (intent.type, intent.attempt_no, intent.authorization_id) == ("CAPTURE", 1, "PA1")
    assert intent.gateway_idempotency_key == call.idempotency_key == "t:capture:P1:1"
    assert (call.authorization_ref, call.final_capture) == ("auth_1", False)
    assert (auth(j).balance, auth(j).moving) == (300_00, 200_00)


def test_a_capture_that_succeeds_is_taken_and_applied_where_it_was_meant_to_go() -> None:
    j = held()
    invoice = j.post("INV-1", line("L1", "150.00"))
    j.when(capture("200.00", apply_to=(invoice,)))
    j.settle("P1", SUCCESS).then_accepted()
    assert (auth(j).captured, auth(j).balance, auth(j).moving) == (200_00, 300_00, 0)
    assert j.balances(invoice)["status"] == "SETTLED"
    assert j.payment("P1")["unapplied"] == "50.00"


def test_a_capture_that_fails_gives_the_amount_back() -> None:
    j = held().when(capture("200.00"))
    j.settle("P1", SOFT)
    assert AuthorizationCaptureFailed("P1", money("200.00")) in [fact for _, _, fact in j.facts()]
    assert (auth(j).captured, auth(j).balance) == (0, 500_00)


def test_a_capture_that_is_unknown_keeps_its_amount_in_flight() -> None:
    j = held().when(capture("200.00"))
    j.settle("P1", SILENCE)
    assert (auth(j).balance, auth(j).moving) == (300_00, 200_00)
    j.when(reverse("300.01")).then_rejected("REVERSAL_EXCEEDS_AUTHORIZATION", available=300_00)


def test_a_capture_that_succeeds_late_counts() -> None:
    j = held().when(capture("200.00"))
    j.settle("P1", SOFT).settle("P1", SUCCESS, "NOTIFICATION")
    assert (auth(j).captured, auth(j).balance) == (200_00, 300_00)


def test_all_of_it_captured_is_fully_captured() -> None:
    j = held().when(capture("500.00"))
    j.settle("P1", SUCCESS)
    assert (auth(j).status, auth(j).open) == ("FULLY_CAPTURED", False)
    j.when(capture("1.00", "P2")).then_rejected("INVALID_STATE", state="FULLY_CAPTURED")


def test_after_a_final_capture_the_rest_is_let_go() -> None:
    j = held().when(capture("200.00", final=True))
    assert j.call_of("P1").planned.final_capture
    j.settle("P1", SUCCESS)
    kinds = [type(fact) for kind, _, fact in j.facts() if kind == "auth"]
    assert kinds == [AuthorizationReversed, AuthorizationCaptureSucceeded]
    state = auth(j)
    assert (state.captured, state.reversed, state.status) == (200_00, 300_00, "FULLY_CAPTURED")
    assert not state.open


def test_a_final_capture_that_fails_lets_nothing_go() -> None:
    j = held().when(capture("200.00", final=True))
    j.settle("P1", CARD_CLOSED)
    assert auth(j).balance == 500_00


def test_one_capture_at_a_time_unless_the_gateway_takes_several() -> None:
    held().when(capture("1.00")).when(capture("1.00", "P2")).then_rejected("OPERATION_IN_FLIGHT")
    j = held(multi_capture=True).when(capture("1.00")).when(capture("1.00", "P2")).then_accepted()
    assert j.state(Authorization, "PA1").moving == 2_00


def test_what_is_captured_fits_what_is_held() -> None:
    j = held().when(capture("500.01")).then_rejected("CAPTURE_EXCEEDS_AUTHORIZATION", available=500_00)
    j.when(capture("0.00")).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(CapturePayment("PA1", money("1.00", "EUR"))).then_rejected("CURRENCY_MISMATCH")
    j.when(CapturePayment("PA9", money("1.00"))).then_rejected("AUTHORIZATION_NOT_FOUND")
    j.when(capture("1.00"), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.pay("P7", "1.00")
    j.when(capture("1.00", "P7")).then_rejected("PAYMENT_EXISTS")


def test_a_declared_tolerance_is_counted_once() -> None:
    j = held(overcapture_percent=10, multi_capture=True)
    j.when(capture("550.01")).then_rejected("CAPTURE_EXCEEDS_AUTHORIZATION", available=550_00)
    j.when(capture("540.00")).when(capture("10.01", "P2"))
    j.then_rejected("CAPTURE_EXCEEDS_AUTHORIZATION", available=10_00)
    j.when(capture("10.00", "P2")).then_accepted()
    j.settle("P1", SUCCESS).settle("P2", SUCCESS)
    assert (auth(j).captured, auth(j).status) == (550_00, "FULLY_CAPTURED")


def test_a_gateway_may_capture_or_reverse_only_all_of_it() -> None:
    j = held(partial_capture=False, partial_reversal=False)
    j.when(capture("1.00")).then_rejected("GATEWAY_CAPABILITY_MISSING", operation="partial_capture")
    j.when(reverse("1.00")).then_rejected("GATEWAY_CAPABILITY_MISSING", operation="partial_reversal")
    j.when(reverse("500.00")).then_accepted()


def test_what_is_held_is_captured_even_at_a_gateway_that_takes_nothing_new() -> None:
    held().when(DeactivateGateway("gw")).when(capture("1.00")).then_accepted()


# -- reversing and canceling


def test_a_reversal_is_in_flight_until_its_outcome() -> None:
    j = held().when(reverse("100.00"))
    j.then_types(AuthorizationReversalRequested, GatewayCallPlanned)
    assert j.facts()[1][2].idempotency_key == "t:reverse:PA1:1"
    assert (auth(j).balance, auth(j).moving, auth(j).reversed) == (400_00, 100_00, 0)
    assert types(reversal(j, Outcome("Success"))) == [AuthorizationReversed]
    assert (auth(j).balance, auth(j).moving, auth(j).reversed) == (400_00, 0, 100_00)
    reversal(j, Outcome("Success"), source="NOTIFICATION").then_nothing()


def test_each_reversal_is_an_attempt_of_its_own() -> None:
    j = held().when(reverse("100.00")).when(reverse("50.00"))
    assert j.facts()[1][2].idempotency_key == "t:reverse:PA1:2"
    reversal(j, Outcome("Success"), 2)
    assert (auth(j).reversed, auth(j).moving) == (50_00, 100_00)


def test_a_reversal_that_fails_gives_the_amount_back() -> None:
    j = held().when(reverse("100.00"))
    assert types(reversal(j, SOFT)) == [AuthorizationReversalFailed]
    assert auth(j).balance == 500_00


def test_a_reversal_that_succeeds_late_counts_and_is_shown() -> None:
    j = held().when(reverse("100.00"))
    reversal(reversal(j, SOFT), Outcome("Success"), source="NOTIFICATION")
    assert types(j) == [AuthorizationReversed, ExceptionRaised]
    assert (raised(j), auth(j).reversed) == (["LATE_SUCCESS"], 100_00)


def test_a_reversal_that_fails_after_success_is_shown_and_changes_nothing() -> None:
    j = held().when(reverse("100.00"))
    reversal(reversal(j, Outcome("Success")), SOFT, source="NOTIFICATION")
    assert (types(j), raised(j)) == ([ExceptionRaised], ["CONTRADICTED_OUTCOME"])
    assert auth(j).reversed == 100_00


def test_a_reversal_without_an_answer_waits_and_then_needs_a_person() -> None:
    j = Journey(unknown_outcome_poll=(30,))
    j.when(authorize(j))
    answered(j, HELD).when(reverse("100.00"))
    assert types(reversal(j, SILENCE)) == [AuthorizationReversalPending]
    reversal(j, Outcome("NotFound"), source="RECONCILER")
    assert raised(j) == ["UNKNOWN_OUTCOME_EXPIRED"]
    assert types(reversal(j, Outcome("Success"), source="OPERATOR")) == [AuthorizationReversed]


def test_all_of_it_reversed_is_fully_reversed() -> None:
    j = reversal(held().when(reverse("500.00")), Outcome("Success"))  # type: ignore[arg-type]
    assert auth(j).status == "FULLY_REVERSED"


def test_what_is_reversed_fits_what_is_held() -> None:
    j = held().when(reverse("500.01")).then_rejected("REVERSAL_EXCEEDS_AUTHORIZATION", available=500_00)
    j.when(reverse("0.00")).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(ReverseAuthorization("PA1", money("1.00", "EUR"))).then_rejected("CURRENCY_MISMATCH")


def test_canceling_reverses_all_of_it_first() -> None:
    j = held().when(CancelAuthorization("PA1"))
    j.then_types(AuthorizationReversalRequested, GatewayCallPlanned)
    j.when(CancelAuthorization("PA1")).then_rejected("OPERATION_IN_FLIGHT")
    j.when(capture("1.00")).then_rejected("CAPTURE_EXCEEDS_AUTHORIZATION", available=0)
    assert types(reversal(j, Outcome("Success"))) == [AuthorizationReversed, AuthorizationCanceled]
    assert (auth(j).status, auth(j).open) == ("CANCELED", False)


def test_a_cancellation_that_fails_cancels_nothing() -> None:
    j = reversal(held().when(CancelAuthorization("PA1")), SOFT)  # type: ignore[arg-type]
    assert (auth(j).status, auth(j).balance) == ("PROCESSED", 500_00)


def test_what_is_captured_in_part_cannot_be_canceled() -> None:
    j = held().when(capture("1.00"))
    j.when(CancelAuthorization("PA1")).then_rejected("OPERATION_IN_FLIGHT")
    j.settle("P1", SUCCESS).when(CancelAuthorization("PA1")).then_rejected("INVALID_STATE")


# -- expiring


def test_it_expires_once_and_not_before_its_time() -> None:
    j = held().when(ExpireAuthorization("PA1")).then_nothing()
    j.at(LATER).when(ExpireAuthorization("PA1")).then_accepted()
    j.when(ExpireAuthorization("PA1")).then_nothing()
    assert auth(j).open is False


def test_a_capture_that_was_on_its_way_when_it_expired_still_counts() -> None:
    j = held().when(capture("200.00")).at(LATER).when(ExpireAuthorization("PA1")).then_accepted()
    assert j.facts()[0][2].released == money("300.00")
    assert isinstance(j, Journey)
    j.settle("P1", SUCCESS)
    assert (auth(j).captured, auth(j).status, j.payment("P1")["unapplied"]) == (200_00, "EXPIRED", "200.00")


def test_what_was_all_captured_does_not_expire() -> None:
    j = held().when(capture("500.00"))
    j.settle("P1", SUCCESS)
    j.at(LATER).when(ExpireAuthorization("PA1")).then_nothing()


# -- whatever happens (A1)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["capture", "final", "reverse", "cancel", "succeed", "fail", "lose", "late", "expire"]
        ),
        st.integers(1, 300_00),
        st.integers(0, 3),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_captured_reversed_and_in_flight_never_exceed_what_is_held(steps: list[tuple[str, int, int]]) -> None:
    j, calls = held(multi_capture=True), Calls()
    for n, (step, amount, which) in enumerate(steps):
        _step(j, step, amount, which, n, calls)
        state = auth(j)
        assert 0 <= state.captured + state.reversed + state.moving <= state.amount + calls.late
        assert state.captured == sum(j.state(Payment, id).received for id in j.ids(Payment))
        assert state.balance >= 0
        assert shown(j) == (state.status, state.captured, state.reversed, state.moving, state.balance)


def shown(j: Journey) -> tuple[Any, ...]:
    """What the read model says of it, folded from zero."""
    rows = Folder((authorizations,)).from_zero(j.events())
    row = rows[authorizations]["t", "PA1"]
    return tuple(row[name] for name in ("status", "captured", "reversed", "in_flight", "balance"))


@dataclass
class Calls:
    open: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    late: int = 0
    """What the gateway did after all: only that may exceed what is held."""


def _step(j: Journey, step: str, minor: int, which: int, n: int, calls: Calls) -> None:
    amount = replace(money("0.00"), amount_minor=minor)
    match step:
        case "succeed" | "fail" | "lose":
            _answer(j, step, calls.open, which, calls)
            return
        case "late":
            _answer(j, step, calls.failed, which, calls)
            return
        case "expire":
            j.at(LATER if n > 10 else j.time).when(ExpireAuthorization("PA1")).then_accepted()
            return
        case "reverse":
            j.when(ReverseAuthorization("PA1", amount))
        case "cancel":
            j.when(CancelAuthorization("PA1"))
        case _:
            j.when(CapturePayment("PA1", amount, f"P{n}", final=step == "final"))
    if j.answer.status == "ACCEPTED":
        calls.open.append(j.facts()[-1][1])


def _answer(j: Journey, step: str, keys: list[str], which: int, calls: Calls) -> None:
    if not keys:
        return
    key = keys[which % len(keys)] if step == "lose" else keys.pop(which % len(keys))
    outcome = {"fail": SOFT, "lose": SILENCE}.get(step, SUCCESS)
    if key.startswith("t:capture:"):
        j.settle(key.split(":")[2], outcome).then_accepted()
    else:
        reversal(j, outcome, int(key.rpartition(":")[2])).then_accepted()
    if step == "fail":
        calls.failed.append(key)
    if step == "late":
        assert raised(j) == ["LATE_SUCCESS"]
        calls.late += j.state(GatewayCall, key).planned.amount.amount_minor


def test_a_token_used_once_is_held_and_captured() -> None:
    j = Journey()
    once = OneTimeMethod("card", "tok_once", last4="1881")
    j.when(AuthorizePayment(money(50), "gw", NOW, method=once, authorization_id="PA2")).then_accepted()
    held = j.state(Authorization, "PA2")
    assert (held.method.token_ref, held.method.gateway_id, held.method.method_id) == ("tok_once", "gw", None)
    j.when(RecordAuthorizationOutcome(held.operation_key, "GATEWAY", SUCCESS)).then_accepted()
    j.when(CapturePayment("PA2", money(50), "P2")).then_accepted()
    j.settle("P2", SUCCESS).then_accepted()
    assert j.payment("P2")["unapplied"] == "50.00"


def test_a_hold_needs_one_method() -> None:
    j = Journey()
    once = OneTimeMethod("card", "tok_once")
    j.when(AuthorizePayment(money(50), "gw", NOW)).then_rejected("NO_PAYMENT_METHOD")
    both = AuthorizePayment(money(50), "gw", NOW, j.card_a, once)
    j.when(both).then_rejected("NO_PAYMENT_METHOD")
