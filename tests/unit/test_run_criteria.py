"""Criteria of batch runs: what they may say, and which items they mean."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from events.criteria import Criteria, CriteriaGroup, Criterion
from events.run import PaymentBatchRunCreated
from services.runs.batch_run import PaymentBatchRun, StartPaymentBatchRun
from services.runs.criteria import CUSTOM, FIELDS, Due, Filter, matching, told
from tests.spec import NOW, Spec

ITEM = Due(
    item_id="i-1",
    payment_schedule_id="ps-1",
    account_id="A",
    number="PSI-000001",
    target_date=date(2026, 4, 6),
    amount=10_000,
    currency="USD",
    matching_value="1",
    method_id="spm-1",
    method_type="CARD",
    gateway_id="gw",
    invoice_ids=("inv-1", "inv-2"),
    custom_fields={"region": "EMEA", "priority": 3, "discount": 0.5, "strategic": True, "code": "007"},
)
BARE = ITEM._replace(
    matching_value=None,
    method_id=None,
    method_type=None,
    gateway_id=None,
    invoice_ids=(),
    custom_fields=None,
)


def one(field: str, op: str, *values: str) -> Criteria:
    return Criteria(criteria=(Criterion(field, op, values),))


@pytest.mark.parametrize(
    ("criterion", "item", "bare"),
    [
        (("MATCHING_VALUE", "EQUALS", "1"), True, False),
        (("MATCHING_VALUE", "NOT_EQUALS", "1"), False, True),
        (("MATCHING_VALUE", "IN_LIST", "0", "1"), True, False),
        (("MATCHING_VALUE", "NOT_IN_LIST", "0", "1"), False, True),
        (("ITEM", "EQUALS", "PSI-000001"), True, True),
        (("ITEM", "IN_LIST", "i-1"), True, True),
        (("ITEM", "NOT_EQUALS", "i-1"), False, False),
        (("SCHEDULE", "EQUALS", "ps-2"), False, False),
        (("ACCOUNT", "NOT_IN_LIST", "B", "C"), True, True),
        (("INVOICE", "EQUALS", "inv-2"), True, False),
        (("INVOICE", "NOT_IN_LIST", "inv-2"), False, True),
        (("METHOD", "EQUALS", "spm-1"), True, False),
        (("METHOD_TYPE", "IN_LIST", "CARD", "SEPA_DEBIT"), True, False),
        (("GATEWAY", "NOT_EQUALS", "gw"), False, True),
        (("CURRENCY", "EQUALS", "EUR"), False, False),
        (("AMOUNT", "AT_LEAST", "10000"), True, True),
        (("AMOUNT", "AT_MOST", "9999"), False, False),
        (("AMOUNT", "BETWEEN", "1", "10000"), True, True),
        (("AMOUNT", "EQUALS", "10000"), True, True),
        (("DUE_DATE", "AT_MOST", "2026-04-05"), False, False),
        (("DUE_DATE", "BETWEEN", "2026-04-06", "2026-04-06"), True, True),
        (("CUSTOM_FIELD.region", "EQUALS", "EMEA"), True, False),
        (("CUSTOM_FIELD.region", "NOT_IN_LIST", "EMEA", "APAC"), False, True),
        (("CUSTOM_FIELD.region", "BETWEEN", "E", "F"), True, False),
        (("CUSTOM_FIELD.region", "AT_LEAST", "5"), False, False),
        (("CUSTOM_FIELD.priority", "EQUALS", "3.0"), True, False),
        (("CUSTOM_FIELD.priority", "IN_LIST", "1", "3"), True, False),
        (("CUSTOM_FIELD.priority", "AT_LEAST", "10"), False, False),
        (("CUSTOM_FIELD.priority", "BETWEEN", "-1", "3"), True, False),
        (("CUSTOM_FIELD.discount", "AT_MOST", "0.5"), True, False),
        (("CUSTOM_FIELD.strategic", "EQUALS", "true"), True, False),
        (("CUSTOM_FIELD.strategic", "EQUALS", "1"), False, False),
        (("CUSTOM_FIELD.code", "EQUALS", "007"), True, False),
        (("CUSTOM_FIELD.code", "EQUALS", "7"), False, False),
    ],
)
def test_each_test_of_an_item(criterion: tuple[str, ...], item: bool, bare: bool) -> None:
    matches = matching(one(*criterion))
    assert (matches(ITEM), matches(BARE)) == (item, bare)


def test_every_field_is_tested_here() -> None:
    marks: Any = test_each_test_of_an_item
    tested = {case[0][0] for case in marks.pytestmark[0].args[1]}
    assert {name for name in tested if not name.startswith(CUSTOM)} == set(FIELDS)


def test_without_criteria_everything_matches_and_the_simple_form_is_any_or_none() -> None:
    label, euros = Criterion("MATCHING_VALUE", "EQUALS", ("1",)), Criterion("CURRENCY", "EQUALS", ("EUR",))
    answers = {
        match_type: matching(Criteria(match_type, (label, euros)))(ITEM)
        for match_type in ("MATCH_ANY", "MATCH_ALL", "MATCH_NONE")
    }
    assert answers == {"MATCH_ANY": True, "MATCH_ALL": False, "MATCH_NONE": False}
    assert matching(Criteria())(BARE)
    assert matching(Criteria("MATCH_NONE"))(BARE)
    assert matching(Criteria("MATCH_NONE", (euros,)))(ITEM)


_TRUE, _FALSE = Criterion("ACCOUNT", "EQUALS", ("A",)), Criterion("ACCOUNT", "EQUALS", ("B",))


@given(
    st.sampled_from(("MATCH_ANY", "MATCH_ALL", "MATCH_NONE")),
    st.lists(st.booleans(), max_size=3),
    st.lists(
        st.tuples(
            st.sampled_from(("MATCH_ANY", "MATCH_ALL", "MATCH_NONE")), st.lists(st.booleans(), min_size=1)
        ),
        max_size=3,
    ),
)
def test_and_and_or_are_joined_by_groups(
    outer: str, plain: list[bool], groups: list[tuple[str, list[bool]]]
) -> None:
    def tests(values: list[bool]) -> tuple[Criterion, ...]:
        return tuple(_TRUE if value else _FALSE for value in values)

    def joined(match_type: str, values: list[bool]) -> bool:
        return {"MATCH_ANY": any(values), "MATCH_ALL": all(values), "MATCH_NONE": not any(values)}[match_type]

    criteria = Criteria(outer, tests(plain), tuple(CriteriaGroup(how, tests(of)) for how, of in groups))
    values = [*plain, *(joined(how, of) for how, of in groups)]
    assert matching(criteria)(ITEM) is (joined(outer, values) if values else True)


def test_criteria_are_told_in_words() -> None:
    criteria = Criteria(
        "MATCH_ANY",
        (Criterion("MATCHING_VALUE", "IN_LIST", ("1", "2")),),
        (
            CriteriaGroup(
                "MATCH_ALL",
                (Criterion("CURRENCY", "EQUALS", ("USD",)), Criterion("AMOUNT", "BETWEEN", ("1", "5"))),
            ),
            CriteriaGroup("MATCH_NONE", (Criterion("GATEWAY", "NOT_EQUALS", ("gw",)),)),
        ),
    )
    assert told(criteria) == (
        "matching value is one of 1, 2 or (currency is USD and amount is between 1 and 5)"
        " or (not: gateway is not gw)"
    )
    assert told(Criteria()) == "everything that is due"
    assert told(one("CUSTOM_FIELD.Region_2", "EQUALS", "EMEA")) == "custom field Region_2 is EMEA"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Criteria("MATCH_SOME"), "match type"),
        (one("COLOUR", "EQUALS", "red"), "is about one of"),
        (one("CUSTOM_FIELD.", "EQUALS", "red"), "is about one of"),
        (one("CUSTOM_FIELD.a b", "EQUALS", "red"), "is about one of"),
        (one("CUSTOM_FIELD.a", "LIKE", "red"), "compares by"),
        (one("ACCOUNT", "LIKE", "A"), "compares by"),
        (one("ACCOUNT", "AT_LEAST", "A"), "has no order"),
        (one("AMOUNT", "BETWEEN", "1"), "takes 2 values"),
        (one("ACCOUNT", "EQUALS"), "takes 1 value"),
        (one("ACCOUNT", "IN_LIST"), "1 to 1000 values"),
        (one("ACCOUNT", "EQUALS", "A" * 201), "at most 200"),
        (one("AMOUNT", "EQUALS", "1.50"), "minor units"),
        (one("CURRENCY", "EQUALS", "XXL"), "no ISO 4217"),
        (one("DUE_DATE", "AT_MOST", "2026-02-30"), "DUE_DATE"),
        (Criteria(criteria=(_TRUE,) * 51), "at most 50"),
        (Criteria(groups=(CriteriaGroup("MATCH_ANY", ()),)), "says nothing"),
    ],
)
def test_what_cannot_be_asked_is_refused(bad: Criteria, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(Filter).validate_python(bad)


@pytest.mark.parametrize("field", ["AMOUNT", "DUE_DATE"])
@pytest.mark.parametrize("op", ["AT_LEAST", "AT_MOST", "BETWEEN", "IN_LIST"])
def test_what_is_accepted_can_be_asked(field: str, op: str) -> None:
    value = {"AMOUNT": "1", "DUE_DATE": "2026-01-01"}[field]
    values = [value] * (2 if op == "BETWEEN" else 1)
    criteria = TypeAdapter(Filter).validate_python(one(field, op, *values))
    assert matching(criteria)(BARE) in (True, False)


RUN = StartPaymentBatchRun("r", date(2026, 4, 6), one("CURRENCY", "EQUALS", "USD"), "nightly", NOW)


def test_a_run_starts_once_for_its_firing() -> None:
    spec = Spec().when(RUN)
    created = PaymentBatchRunCreated(
        "r", "PBR-000001", RUN.run_date, RUN.criteria, NOW, scheduler_id="nightly", planned_at=NOW
    )
    spec.then((PaymentBatchRun, "r", created))
    spec.when(RUN).then_nothing()
    spec.when(StartPaymentBatchRun("r", date(2026, 4, 6))).then_rejected("RUN_EXISTS")


def test_a_run_by_hand_is_named_once() -> None:
    by_hand = StartPaymentBatchRun("r", date(2026, 4, 6))
    Spec().when(by_hand).then_accepted().when(by_hand).then_rejected("RUN_EXISTS")
