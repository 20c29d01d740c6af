"""Custom fields, as commands take them, and what setting some of them makes of those that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from events.custom import CustomFields
from services.errors import Rejected

FIELDS_MAX, TEXT_LENGTH_MAX, NUMBER_MAX = 20, 200, 10**15
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,39}$"

NOT_LOOKED_AT = frozenset({"amount_minor", "network_transaction_id"})
"""By these names a number is taken for no card's (`events.card_numbers`)."""


def _looked_at(name: str) -> str:
    if name in NOT_LOOKED_AT:
        raise PydanticCustomError("name_taken", "{name} is no name for a custom field", {"name": name})
    return name


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(_looked_at)]
Value = (
    Annotated[str, StringConstraints(max_length=TEXT_LENGTH_MAX)]
    | bool
    | Annotated[int, Field(ge=-NUMBER_MAX, le=NUMBER_MAX)]
    | Annotated[float, Field(ge=-NUMBER_MAX, le=NUMBER_MAX, allow_inf_nan=False)]
)

GivenFields = Annotated[dict[Name, Value], Field(max_length=FIELDS_MAX)]
"""All of an object's, as it begins."""

FieldChanges = Annotated[dict[Name, Value | None], Field(min_length=1, max_length=2 * FIELDS_MAX)]
"""Some of an object's: what is null is taken away, what is not named stays."""


def changed(known: Mapping[str, Any], changes: Mapping[str, Any]) -> CustomFields | None:
    """All of them afterwards; None where nothing changes.  Raises `MALFORMED_REQUEST`."""
    merged = {**known, **changes}
    after = {name: value for name, value in merged.items() if value is not None}
    if len(after) > FIELDS_MAX:
        message = f"there are at most {FIELDS_MAX} custom fields"
        raise Rejected("MALFORMED_REQUEST", message, field="data.custom_fields")
    return None if _alike(after, known) else after


def facts(fact: Callable[[CustomFields], Any], given: Mapping[str, Any] | None) -> list[Any]:
    """What to record besides an object that begins with some."""
    return [fact(dict(given))] if given else []


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """True is not 1 here."""
    return a == b and all(type(value) is type(b[name]) for name, value in a.items())
