"""The exceptions inbox: raised with a success or a failure, and resolved once by a person."""

from __future__ import annotations

from uuid import UUID

import pytest

from events.operations import ExceptionRaised, ExceptionResolved
from services.commands import Actor
from services.decision import Context
from services.tenants.exceptions import ExceptionCase, ResolveException, raised
from tests.journey import SOFT, SUCCESS, Journey, money
from tests.spec import NOW

CONTEXT = Context("t", "A", UUID(int=7), NOW, Actor(), lambda prefix: f"{prefix}-1")
RESOLVE = "refunded by hand", "the customer was called"


def with_case() -> tuple[Journey, str]:
    j = Journey()
    j.request("P1", "10.00")
    j.settle("P1", SOFT).settle("P1", SUCCESS, "NOTIFICATION").then_accepted()
    return j, j.last_id(ExceptionCase)


def test_a_case_says_what_happened_to_what() -> None:
    j, id = with_case()
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, ExceptionRaised)]
    message = "it had been taken for failed: see whether the customer paid twice"
    assert fact == ExceptionRaised(id, "LATE_SUCCESS", "A", "payment", "P1", message, money("10.00"))


def test_a_case_is_resolved_once_by_the_account_it_belongs_to() -> None:
    j, id = with_case()
    j.when(ResolveException(id, *RESOLVE), account="B").then_rejected("ACCOUNT_MISMATCH")
    j.when(ResolveException(id, *RESOLVE)).then((ExceptionCase, id, ExceptionResolved(*RESOLVE)))
    j.when(ResolveException(id, *RESOLVE)).then_nothing()


def test_an_unknown_case_is_not_found() -> None:
    Journey().when(ResolveException("nothing", *RESOLVE)).then_rejected("EXCEPTION_NOT_FOUND")


def test_a_command_raises_a_case_of_one_type_about_one_subject_once() -> None:
    cases = {
        raised(CONTEXT, type, "payment", id, "look").id
        for type in ("LATE_SUCCESS", "AMOUNT_MISMATCH")
        for id in ("P1", "P2")
        for _ in range(2)
    }
    assert len(cases) == 4


def test_a_type_that_nobody_knows_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        raised(CONTEXT, "SURPRISE", "payment", "P1", "look")
