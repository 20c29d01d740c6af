"""What is null is left out of a fact's JSON, and reads as null all the same."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import orjson
import pytest

from events.mapper import decode, encode
from events.money import Money
from events.payment import PaymentProcessed
from events.shapes import Intended

PROCESSED = PaymentProcessed(Money(1, "USD"), "r", None, "GATEWAY")


def test_what_is_null_by_default_and_null_is_not_written() -> None:
    assert orjson.loads(encode(Intended("I1"))) == {"invoice_id": "I1"}
    assert orjson.loads(encode(Intended("I1", line_id="2"))) == {"invoice_id": "I1", "line_id": "2"}


def test_what_has_another_default_or_none_is_written() -> None:
    assert orjson.loads(encode(PROCESSED)) == {
        "processed_amount": {"amount_minor": 1, "currency": "USD"},
        "gateway_ref": "r",
        "gateway_date": None,
        "source": "GATEWAY",
        "late": False,
    }


def test_the_class_answers_for_what_is_not_there() -> None:
    intended = Intended("I1")
    assert intended.amount is None
    assert replace(intended, line_id="2") == Intended("I1", line_id="2")
    assert replace(Intended("I1", line_id="2"), line_id=None) == intended


@pytest.mark.parametrize("said", [{}, {"auth_code": None, "network_transaction_id": None}])
def test_a_null_that_was_written_and_one_that_was_left_out_read_alike(said: dict[str, None]) -> None:
    data = orjson.dumps({**orjson.loads(encode(PROCESSED)), **said})
    assert decode("payment.processed.v2", data) == PROCESSED


def test_nobody_sets_what_was_left_out() -> None:
    with pytest.raises(FrozenInstanceError):
        Intended("I1").amount = Money(1, "USD")  # type: ignore[misc]
