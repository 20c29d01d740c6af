"""Criteria: which of the items that are due a run takes, read once and asked for each item.

Invariant: whatever is accepted as criteria can be asked of every item; a field that an item has nothing
in equals nothing, so only the negative tests of it are true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from events.criteria import Criteria, CriteriaGroup, Criterion, Due
from events.money import EXPONENTS
from services.custom_fields import NAME_PATTERN

CRITERIA_MAX, VALUES_MAX, VALUE_LENGTH_MAX = 50, 1_000, 200


Test = Callable[[Due], bool]
Read = Callable[[str], Any]


class _Field(NamedTuple):
    of: Callable[[Due], Any]
    read: Read = str
    """A value of the criterion, as the item has it.  Raises `ValueError`."""
    ordered: bool = False
    many: bool = False
    """The item has a collection of it: one of them is enough."""


def _currency(text: str) -> str:
    if text not in EXPONENTS:
        raise ValueError(f"{text} is no ISO 4217 currency")
    return text


def _minor(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("an amount is a whole number of minor units")
    return int(text)


def _invoice_ids(due: Due) -> tuple[str, ...]:
    return due.invoice_ids or ()


FIELDS: dict[str, _Field] = {
    "MATCHING_VALUE": _Field(operator.attrgetter("matching_value")),
    "ITEM": _Field(operator.attrgetter("item_id", "number"), many=True),
    "SCHEDULE": _Field(operator.attrgetter("payment_schedule_id")),
    "ACCOUNT": _Field(operator.attrgetter("account_id")),
    "INVOICE": _Field(_invoice_ids, many=True),
    "METHOD": _Field(operator.attrgetter("method_id")),
    "METHOD_TYPE": _Field(operator.attrgetter("method_type")),
    "GATEWAY": _Field(operator.attrgetter("gateway_id")),
    "CURRENCY": _Field(operator.attrgetter("currency"), _currency),
    "AMOUNT": _Field(operator.attrgetter("amount"), _minor, ordered=True),
    "DUE_DATE": _Field(operator.attrgetter("target_date"), date.fromisoformat, ordered=True),
}

CUSTOM = "CUSTOM_FIELD."
"""How a criterion's field begins that is about a custom field; its name follows."""
_NUMBER = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,16})?")
_CUSTOM_NAME = re.compile(NAME_PATTERN)

_LISTS = frozenset({"IN_LIST", "NOT_IN_LIST"})
_ORDERED = frozenset({"AT_LEAST", "AT_MOST", "BETWEEN"})
_OPS = frozenset({"EQUALS", "NOT_EQUALS"}) | _LISTS | _ORDERED
_JOINS: dict[str, Callable[[Iterable[bool]], bool]] = {
    "MATCH_ANY": any,
    "MATCH_ALL": all,
    "MATCH_NONE": lambda tests: not any(tests),
}


def matching(criteria: Criteria) -> Test:
    """The criteria as one test, to be asked of item after item."""
    tests = [_test(criterion) for criterion in criteria.criteria]
    tests += [
        _joined(group.match_type, [_test(each) for each in group.criteria]) for group in criteria.groups
    ]
    return _joined(criteria.match_type, tests) if tests else _always


def asks_for(criteria: Criteria, begins: str) -> bool:
    """Whether a field that begins so is tested."""
    groups = (criteria, *criteria.groups)
    return any(each.field.startswith(begins) for group in groups for each in group.criteria)


def _always(due: Due) -> bool:
    return True


def _joined(match_type: str, tests: Sequence[Test]) -> Test:
    if len(tests) == 1 and match_type != "MATCH_NONE":
        return tests[0]
    join = _JOINS[match_type]
    return lambda due: join(test(due) for test in tests)


def _test(criterion: Criterion) -> Test:
    if criterion.field.startswith(CUSTOM):
        return _custom_test(criterion)
    field = FIELDS[criterion.field]
    of, values = field.of, [field.read(value) for value in criterion.values]
    match criterion.op:
        case "AT_LEAST":
            return lambda due: of(due) >= values[0]
        case "AT_MOST":
            return lambda due: of(due) <= values[0]
        case "BETWEEN":
            return lambda due: values[0] <= of(due) <= values[1]
        case op:
            wanted, positive = frozenset(values), not op.startswith("NOT")
            if field.many:
                return lambda due: wanted.isdisjoint(of(due)) is not positive
            return lambda due: (of(due) in wanted) is positive


def _custom_test(criterion: Criterion) -> Test:
    """Numbers are compared as numbers, texts as texts; one of the other kind, or none, equals nothing."""
    name = criterion.field.removeprefix(CUSTOM)
    wanted = [_comparable(text) for text in criterion.values]

    def of(due: Due) -> Comparable:
        value = (due.custom_fields or {}).get(name)
        if isinstance(value, bool):
            return str(value).lower()
        return Decimal(str(value)) if isinstance(value, int | float) else value

    match criterion.op:
        case "AT_LEAST":
            return lambda due: _not_after(wanted[0], of(due))
        case "AT_MOST":
            return lambda due: _not_after(of(due), wanted[0])
        case "BETWEEN":
            return lambda due: _not_after(wanted[0], of(due)) and _not_after(of(due), wanted[1])
        case op:
            known, positive = frozenset[Comparable]((*wanted, *criterion.values)), not op.startswith("NOT")
            return lambda due: (of(due) in known) is positive


Comparable = Decimal | str | None


def _comparable(text: str) -> Decimal | str:
    return Decimal(text) if _NUMBER.fullmatch(text) else text


def _not_after(a: Comparable, b: Comparable) -> bool:
    if isinstance(a, Decimal):
        return isinstance(b, Decimal) and a <= b
    return isinstance(a, str) and isinstance(b, str) and a <= b


def _checked(criteria: Criteria) -> Criteria:
    groups: list[Criteria | CriteriaGroup] = [criteria, *criteria.groups]
    if sum(len(group.criteria) for group in groups) > CRITERIA_MAX:
        raise _invalid(f"there are at most {CRITERIA_MAX} criteria")
    for group in groups:
        if group.match_type not in _JOINS:
            raise _invalid(f"a match type is {', '.join(_JOINS)}")
        if group is not criteria and not group.criteria:
            raise _invalid("a group without criteria says nothing")
        for criterion in group.criteria:
            _check(criterion)
    return criteria


def _check(criterion: Criterion) -> None:
    field, op, values = FIELDS.get(criterion.field), criterion.op, criterion.values
    if field is None and not _is_custom(criterion.field):
        raise _invalid(f"a criterion is about one of {', '.join(FIELDS)} or {CUSTOM}{{name}}")
    if op not in _OPS:
        raise _invalid(f"a criterion compares by one of {', '.join(sorted(_OPS))}")
    if op in _ORDERED and field is not None and not field.ordered:
        raise _invalid(f"{criterion.field} has no order: {op} says nothing of it")
    wanted = 2 if op == "BETWEEN" else 1
    if len(values) != wanted and op not in _LISTS:
        raise _invalid(f"{op} takes {wanted} value{'s' if wanted > 1 else ''}")
    if not 0 < len(values) <= VALUES_MAX or any(len(value) > VALUE_LENGTH_MAX for value in values):
        raise _invalid(f"a list has 1 to {VALUES_MAX} values of at most {VALUE_LENGTH_MAX} characters")
    read = field.read if field else str
    try:
        for value in values:
            read(value)
    except ValueError as error:
        raise _invalid(f"{criterion.field}: {error}") from error


def _is_custom(field: str) -> bool:
    return field.startswith(CUSTOM) and _CUSTOM_NAME.fullmatch(field.removeprefix(CUSTOM)) is not None


def _invalid(message: str) -> PydanticCustomError:
    return PydanticCustomError("criteria_invalid", "{what}", {"what": message})


Filter = Annotated[Criteria, AfterValidator(_checked)]
"""Criteria as a command takes them: whatever cannot be asked is `MALFORMED_REQUEST`."""

_SIGNS = {
    "EQUALS": "is", "NOT_EQUALS": "is not", "IN_LIST": "is one of", "NOT_IN_LIST": "is none of",
    "AT_LEAST": "is at least", "AT_MOST": "is at most", "BETWEEN": "is between",
}  # fmt: skip
_BETWEEN = {"MATCH_ANY": " or ", "MATCH_ALL": " and ", "MATCH_NONE": " or "}


def told(criteria: Criteria) -> str:
    """The criteria in words: `matching value is 1 or (currency is USD and amount is at least 5000)`."""
    parts = [_told(each) for each in criteria.criteria]
    parts += [f"({_told_of(group.match_type, map(_told, group.criteria))})" for group in criteria.groups]
    return _told_of(criteria.match_type, parts) if parts else "everything that is due"


def _told_of(match_type: str, parts: Iterable[str]) -> str:
    whole = _BETWEEN[match_type].join(parts)
    return f"not: {whole}" if match_type == "MATCH_NONE" else whole


def _told(criterion: Criterion) -> str:
    start, _, custom = criterion.field.partition(".")
    name = " ".join(filter(None, (start.lower().replace("_", " "), custom)))
    joined = " and ".join(criterion.values) if criterion.op == "BETWEEN" else ", ".join(criterion.values)
    return f"{name} {_SIGNS[criterion.op]} {joined}"
