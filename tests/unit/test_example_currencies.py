"""Worked example of currencies: a minor unit is not always a hundredth."""

from __future__ import annotations

import pytest

from events.gateway_call import GatewayCallPlanned
from events.money import Money, major, minor
from events.payment import PaymentRequested
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.calls.calling import GatewayCall
from services.calls.gateway import RegisterGateway
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from tests.journey import Journey


@pytest.mark.parametrize(
    ("currency", "charge", "right", "times_100"),
    [("USD", "10.00", 1000, 1000), ("JPY", "1000", 1000, 100_000), ("KWD", "10.500", 10_500, 1050)],
)
def test_the_minor_amount_has_the_exponent_of_its_currency(
    currency: str, charge: str, right: int, times_100: int
) -> None:
    assert minor(charge, currency) == right
    assert f"{major(right, currency):f}" == charge
    assert int(float(charge) * 100) == times_100, "what an adapter for one currency would send"


@pytest.mark.parametrize(("currency", "amount_minor"), [("USD", 1000), ("JPY", 1000), ("KWD", 10_500)])
def test_the_gateway_is_told_the_minor_amount_as_it_is(currency: str, amount_minor: int) -> None:
    j = Journey()
    j.when(ProcessPayment(Money(amount_minor, currency), "P1", j.card_a))
    j.then_types(PaymentRequested, GatewayCallPlanned)
    planned = j.state(GatewayCall, "t:sale:P1:1").planned
    assert planned.amount == Money(amount_minor, currency)


def at_a_gateway_for_tens_of_fils() -> tuple[Journey, str]:
    j = Journey()
    j.when(
        RegisterGateway("gw-kw", "Kuwait", "sim", "env:NONE", "m2", "TEST", minor_unit_overrides={"KWD": 10})
    )
    j.then_accepted().when(SavePaymentMethod("gw-kw", "tok_kw", "card")).then_accepted()
    return j, j.last_id(SavedMethod)


def test_kwd_10_505_is_refused_and_the_amounts_beside_it_are_named() -> None:
    j, card = at_a_gateway_for_tens_of_fils()
    j.when(ProcessPayment(Money(10_505, "KWD"), "P1", card))
    j.then_rejected("GATEWAY_AMOUNT_GRANULARITY", nearest=[10_500, 10_510])
    assert j.state(Payment, "P1").status == "", "nothing is charged"


@pytest.mark.parametrize("amount_minor", [10_500, 10_510])
def test_kwd_10_500_and_10_510_are_taken(amount_minor: int) -> None:
    j, card = at_a_gateway_for_tens_of_fils()
    j.when(ProcessPayment(Money(amount_minor, "KWD"), "P1", card)).then_accepted()


def test_below_the_smallest_step_only_the_step_is_named() -> None:
    j, card = at_a_gateway_for_tens_of_fils()
    j.when(ProcessPayment(Money(5, "KWD"), "P1", card))
    j.then_rejected("GATEWAY_AMOUNT_GRANULARITY", nearest=[10])


def test_other_currencies_of_that_gateway_are_as_fine_as_their_minor_unit() -> None:
    j, card = at_a_gateway_for_tens_of_fils()
    j.when(ProcessPayment(Money(1, "USD"), "P1", card)).then_accepted()
