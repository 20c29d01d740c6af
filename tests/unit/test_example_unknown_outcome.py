"""Worked example: an unknown outcome, on a payment of 40.00 that was asked for by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from events.shapes import Outcome
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from tests.journey import SUCCESS, Journey, line

FOUND = Outcome("Success", gateway_ref="ch_77")
NOT_FOUND = Outcome("NotFound")


@pytest.fixture
def j() -> Journey:
    """An invoice of 40.00, and a sale for it, attempt 1."""
    j = Journey()
    j.request("psi-9", "40.00", j.post("INV-9", line("L1", "40.00")))
    assert j.state(Payment, "psi-9").operation_key == "t:sale:psi-9:1"
    return j


def timed_out(j: Journey) -> Journey:
    """The read timeout of 120 s is over."""
    sent_at = j.time
    j.at(timedelta(seconds=120)).settle("psi-9", Outcome("Indeterminate"), sent_at=sent_at)
    j.unknown_since = j.time  # type: ignore[attr-defined]
    return j


def inquire(j: Journey, seconds: int, outcome: Outcome, source: str = "RECONCILER") -> Journey:
    """`seconds` after it became unknown."""
    j.at(j.unknown_since + timedelta(seconds=seconds))  # type: ignore[attr-defined]
    return j.settle("psi-9", outcome, source)


def status(j: Journey) -> str:
    return j.state(Payment, "psi-9").status


def test_the_query_finds_it_after_ten_minutes(j: Journey) -> None:
    timed_out(j)
    assert status(j) == "INDETERMINATE"
    for seconds, following in ((30, 120), (120, 600)):
        inquire(j, seconds, NOT_FOUND)
        (queried,) = [fact for _, _, fact in j.facts()]
        assert queried.next_query_at == j.unknown_since + timedelta(seconds=following)  # type: ignore[attr-defined]
        assert status(j) == "INDETERMINATE"
    inquire(j, 600, FOUND)
    payment = j.state(Payment, "psi-9")
    assert (payment.status, payment.gateway_ref) == ("PROCESSED", "ch_77")
    assert j.payment("psi-9")["applied"] == "40.00"
    assert j.balances(j.ids(Invoice)[0])["status"] == "SETTLED"
    assert j.ids(Payment) == ["psi-9"], "processed once: there never was another attempt"


def test_the_notification_comes_first(j: Journey) -> None:
    timed_out(j)
    inquire(j, 30, NOT_FOUND)
    inquire(j, 45, FOUND, "NOTIFICATION")
    assert status(j) == "PROCESSED"
    inquire(j, 120, FOUND).then_nothing()
    inquire(j, 600, NOT_FOUND).then_nothing()


def test_connect_refused_is_sent_again_as_the_same_attempt(j: Journey) -> None:
    j.settle("psi-9", Outcome("SystemError", raw_message="connect refused")).then_accepted()
    assert status(j) == "REQUESTED"
    assert j.call_of("psi-9").planned.attempt_no == 1
    j.at(timedelta(seconds=1)).settle("psi-9", SUCCESS).then_accepted()
    payment = j.state(Payment, "psi-9")
    assert (payment.status, payment.attempt_no, payment.operation_key) == ("PROCESSED", 1, "t:sale:psi-9:1")
