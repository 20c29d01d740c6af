"""Worked example: an authorization, captured twice, reversed once, and expired on day 7."""

from __future__ import annotations

from datetime import timedelta

from events.authorization import AuthorizationExpired
from events.shapes import Outcome
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.capturing import CapturePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome, RecordReversalOutcome
from services.authorizations.reversing import ExpireAuthorization, ReverseAuthorization
from services.payments.payment import Payment
from tests.journey import SUCCESS, Journey, money
from tests.spec import NOW

DAY_7 = NOW + timedelta(days=7)


def authorized() -> Journey:
    """500.00 are held until day 7."""
    j = Journey()
    j.when(AuthorizePayment(money("500.00"), "gw", NOW, j.card_a, authorization_id="PA1")).then_accepted()
    held = Outcome("Success", gateway_ref="auth_1", auth_code="A1", expires_at=DAY_7)
    j.when(RecordAuthorizationOutcome("t:authorize:PA1:1", "GATEWAY", held)).then_accepted()
    j.run_processes()
    return j


def capture(j: Journey, payment_id: str, amount: str) -> None:
    j.when(CapturePayment("PA1", money(amount), payment_id)).then_accepted()
    j.settle(payment_id, SUCCESS).then_accepted()


def lifecycle() -> Journey:
    j = authorized()
    capture(j, "P1", "200.00")
    capture(j, "P2", "150.00")
    j.when(ReverseAuthorization("PA1", money("100.00"))).then_accepted()
    j.when(RecordReversalOutcome("t:reverse:PA1:1", "GATEWAY", Outcome("Success"))).then_accepted()
    return j


def test_captures_and_a_reversal_leave_50_00() -> None:
    j = lifecycle()
    auth = j.state(Authorization, "PA1")
    assert (auth.amount, auth.captured, auth.reversed, auth.balance) == (500_00, 350_00, 100_00, 50_00)
    assert auth.balance == 500_00 - 350_00 - 100_00
    assert [j.payment(id)["unapplied"] for id in ("P1", "P2")] == ["200.00", "150.00"]
    assert [j.state(Payment, id).type for id in ("P1", "P2")] == ["CAPTURE", "CAPTURE"]


def test_the_reversal_is_the_first_adjustment() -> None:
    j = authorized()
    j.when(ReverseAuthorization("PA1", money("100.00"))).then_accepted()
    assert j.facts()[0][2].number == "PAA-000001"


def test_a_capture_of_60_00_exceeds_what_is_left() -> None:
    j = lifecycle().when(CapturePayment("PA1", money("60.00")))
    j.then_rejected("CAPTURE_EXCEEDS_AUTHORIZATION", available=5000)


def test_on_day_7_the_rest_is_released() -> None:
    j = lifecycle().at(DAY_7)
    assert j.run_due() == [ExpireAuthorization("PA1")]
    j.then((Authorization, "PA1", AuthorizationExpired(money("50.00"))))
    assert j.state(Authorization, "PA1").status == "EXPIRED"
    assert j.state(Authorization, "PA1").balance == 0
    j.when(CapturePayment("PA1", money("10.00"))).then_rejected("AUTHORIZATION_EXPIRED")


def test_on_day_7_nothing_is_captured_even_if_nobody_has_said_that_it_expired() -> None:
    lifecycle().at(DAY_7).when(CapturePayment("PA1", money("10.00"))).then_rejected("AUTHORIZATION_EXPIRED")
