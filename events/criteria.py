"""Which of the items that are due are meant: by a scheduler's word, or by a run's own."""

from __future__ import annotations

from events.frozen import frozen


@frozen
class Criterion:
    """One test of an item."""

    field: str
    """MATCHING_VALUE, ITEM, SCHEDULE, ACCOUNT, INVOICE, METHOD, METHOD_TYPE, GATEWAY, CURRENCY, AMOUNT or
    DUE_DATE."""
    op: str
    """EQUALS, NOT_EQUALS, IN_LIST, NOT_IN_LIST; of amounts and dates also AT_LEAST, AT_MOST, BETWEEN."""
    values: tuple[str, ...]
    """One; of a list as many as it has; of BETWEEN the first and the last.  An amount is in minor units."""


@frozen
class CriteriaGroup:
    """Tests that count as one in the criteria that they stand in."""

    match_type: str
    criteria: tuple[Criterion, ...]


@frozen
class Criteria:
    """MATCH_ANY: at least one is true; MATCH_NONE: none is; MATCH_ALL: each is.  None at all: all match."""

    match_type: str = "MATCH_ANY"
    criteria: tuple[Criterion, ...] = ()
    groups: tuple[CriteriaGroup, ...] = ()
    """Each is one more test: so AND and OR are joined."""
