"""Which of the items that are due are meant: by a scheduler's word, or by a run's own."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from events.custom import CustomFields
from events.frozen import frozen


@frozen
class Criterion:
    """One test of an item."""

    field: str
    """MATCHING_VALUE, ITEM, SCHEDULE, ACCOUNT, INVOICE, METHOD, METHOD_TYPE, GATEWAY, CURRENCY, AMOUNT,
    DUE_DATE, or CUSTOM_FIELD.{name}: as the item has it, else its schedule, its invoice, its account."""
    op: str
    """EQUALS, NOT_EQUALS, IN_LIST, NOT_IN_LIST; of amounts, dates and custom fields also AT_LEAST, AT_MOST,
    BETWEEN."""
    values: tuple[str, ...]
    """One; of a list as many as it has; of BETWEEN the first and the last.  An amount is in minor units."""


@frozen
class CriteriaGroup:
    """Tests that count as one in the criteria that they stand in."""

    match_type: str
    criteria: tuple[Criterion, ...]
    """The single tests."""


@frozen
class Criteria:
    """MATCH_ANY: at least one is true; MATCH_NONE: none is; MATCH_ALL: each is.  None at all: all match."""

    match_type: str = "MATCH_ANY"
    criteria: tuple[Criterion, ...] = ()
    """The single tests; without any, and without groups, all match."""
    groups: tuple[CriteriaGroup, ...] = ()
    """Each is one more test: so AND and OR are joined."""


class Due(NamedTuple):
    """An item that may be collected, and what would be used to collect it, as read models have it."""

    item_id: str
    payment_schedule_id: str
    account_id: str
    number: str
    target_date: date
    amount: int
    currency: str
    attempts: int = 0
    matching_value: str | None = None
    method_id: str | None = None
    method_type: str | None = None
    gateway_id: str | None = None
    invoice_ids: tuple[str, ...] | None = None
    """None where nobody has asked for them."""
    custom_fields: CustomFields | None = None
    """As criteria mean them; None where nobody has asked for them."""
