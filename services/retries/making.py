"""What a rule set is made of: intervals and rules as they are given, checked as they will be in effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from events.retry import RetryDefinition, RetryIntervals, RetryRule, RetryWindow
from services.accounts.preferences import check_calendar, check_zone
from services.commands import Id, Text
from services.errors import Rejected

VALUE_MAX = 60
MAX_MAX = 10
RULES_MAX = 500
PAY_DAY_WITHIN_DAYS_MAX = 15
"""Nobody waits for a pay day for longer than half a month."""

RetryCategory = Literal[
    "CardLimit",
    "PaymentProcessing",
    "PaymentInformation",
    "Security",
    "GatewayConnection",
    "ValidationFailure",
    "Unknown",
]
StaggerBasis = Literal["FIRST_FAILURE", "PREVIOUS_ATTEMPT"]
"""What the values of staggered intervals count from."""
HardDeclinePolicy = Literal["SKIP_TO_ALTERNATE", "FOLLOW_RULES", "FAIL"]
IntervalType = Literal["FIXED", "STAGGERED"]
Unit = Literal["MINUTES", "HOURS", "DAYS"]


@dataclass(frozen=True)
class Intervals:
    """FIXED has one value; STAGGERED one for each attempt, and no `max` means as many as there are values."""

    type: IntervalType
    """FIXED: one value, the same after every failure. STAGGERED: a value for each attempt, which ascend where
    they count from the first failure."""
    unit: Unit
    """What the values count."""
    values: tuple[int, ...]
    """How many units to wait, each from 1 to 60: one value, or of STAGGERED one for each attempt."""
    max: int | None = None
    """How many automatic retries there are at most, 1 to 10; FIXED needs it, STAGGERED ends with its
    values."""


@dataclass(frozen=True)
class Window:
    """Attempts are moved forward: into these hours, off weekends and holidays, onto the account's pay day.

    A zone or a calendar that is left out is the account's, or else the tenant's zone.
    """

    time_zone: Text | None = None
    """IANA name, such as `Europe/Berlin`; without it, the account's, or the tenant's."""
    from_hour: Annotated[int, Field(ge=0, le=23)] = 0
    to_hour: Annotated[int, Field(ge=1, le=24)] = 24
    skip_weekends: bool = False
    skip_holidays: bool = False
    calendar: Text | None = None
    """Whose holidays: `DE`, `GB-SCT`, `ECB`; without it, the account's."""
    pay_day_within_days: Annotated[int, Field(ge=0, le=PAY_DAY_WITHIN_DAYS_MAX)] = 0
    """An attempt that is due at most so many days before the account's pay day waits for it."""


@dataclass(frozen=True)
class NewRule:
    """What is left out of its intervals is the set's."""

    category: RetryCategory
    """The failures that it is for, in the same words for all gateways."""
    gateway_id: Id | None = None
    """Only of failures at this gateway."""
    raw_code: Text | None = None
    """Only of failures with this code of the gateway's own; upper and lower case are the same."""
    type: IntervalType | None = None
    """FIXED: one value, the same after every failure. STAGGERED: a value for each attempt."""
    unit: Unit | None = None
    """What the values count."""
    values: tuple[int, ...] | None = None
    max: int | None = None


Rules = Annotated[tuple[NewRule, ...], Field(max_length=RULES_MAX)]


class Making:
    """Makes parts of a definition of what is given.  Raises `RETRY_INTERVAL_INVALID`,
    `RETRY_MAX_INVALID`, `STAGGER_NOT_ASCENDING`, `RETRY_RULE_DUPLICATE`."""

    def __init__(self, number: Callable[[str], str], basis: str, place: str = "data") -> None:
        """`number` gives rules theirs; `place` is where it was given, which rejections name."""
        self._number, self._basis, self._place = number, basis, place

    def definition(
        self,
        intervals: Intervals,
        rules: Sequence[NewRule],
        use_alternate_method: bool,
        window: Window | None,
    ) -> RetryDefinition:
        """All of a set that was not there before."""
        made = self.intervals(intervals, f"{self._place}.intervals")
        return RetryDefinition(made, use_alternate_method, self.rules(rules, made, ()), self.window(window))

    def intervals(self, given: Intervals, field: str) -> RetryIntervals:
        values, max = given.values, given.max
        if any(not 0 < value <= VALUE_MAX for value in values):
            raise _invalid(f"a value is a whole number from 1 to {VALUE_MAX}", f"{field}.values")
        if given.type == "FIXED" and len(values) != 1:
            raise _invalid("fixed intervals have one value", f"{field}.values")
        if not values:
            raise _invalid("staggered intervals have a value for each attempt", f"{field}.values")
        if max is None and given.type == "FIXED":
            raise Rejected("RETRY_MAX_INVALID", "fixed intervals need a max", field=f"{field}.max")
        if max is not None and not 1 <= max <= MAX_MAX:
            raise Rejected("RETRY_MAX_INVALID", f"max is from 1 to {MAX_MAX}", field=f"{field}.max")
        if given.type == "FIXED":
            assert max is not None
            return RetryIntervals(given.type, given.unit, values, max, max)
        if len(values) > MAX_MAX:
            raise _invalid(f"there are at most {MAX_MAX} attempts", f"{field}.values")
        if self._basis == "FIRST_FAILURE" and sorted(set(values)) != list(values):
            raise Rejected(
                "STAGGER_NOT_ASCENDING",
                "values that count from the first failure must ascend",
                field=f"{field}.values",
            )
        return RetryIntervals(given.type, given.unit, values, max, min(max or MAX_MAX, len(values)))

    def rules(
        self, given: Sequence[NewRule], defaults: RetryIntervals, before: Iterable[RetryRule]
    ) -> tuple[RetryRule, ...]:
        numbers = {about(rule): rule.number for rule in before}
        seen = set[tuple[str, str | None, str | None]]()
        made: list[RetryRule] = []
        for place, rule in enumerate(given):
            key = about(rule)
            if key in seen:
                raise Rejected(
                    "RETRY_RULE_DUPLICATE",
                    f"two rules are about {' / '.join(filter(None, key))}",
                    field=f"{self._place}.rules.{place}",
                )
            seen.add(key)
            own = tuple(name for name in _OWN if getattr(rule, name) is not None)
            intervals = self.intervals(_inherited(rule, own, defaults), f"{self._place}.rules.{place}")
            number = numbers.get(key) or self._number("PRR")
            made.append(RetryRule(number, *key, intervals, own))
        return tuple(made)

    def window(self, given: Window | None) -> RetryWindow | None:
        if given is None:
            return None
        place = f"{self._place}.window"
        if given.to_hour <= given.from_hour:
            raise _invalid("the hours of a window end after they begin", f"{place}.to_hour")
        check_zone(given.time_zone, f"{place}.time_zone")
        check_calendar(given.calendar, f"{place}.calendar")
        if given.calendar is not None and not given.skip_holidays:
            raise _invalid("a calendar counts only where its holidays are skipped", f"{place}.calendar")
        return RetryWindow(**vars(given))


_OWN = ("type", "unit", "values", "max")


def _inherited(rule: NewRule, own: Iterable[str], defaults: RetryIntervals) -> Intervals:
    whole: dict[str, Any] = {name: getattr(defaults, name) for name in _OWN}
    return Intervals(**(whole | {name: getattr(rule, name) for name in own}))


def as_given(rule: RetryRule) -> NewRule:
    own: dict[str, Any] = {name: getattr(rule.intervals, name) for name in rule.own}
    return NewRule(rule.category, rule.gateway_id, rule.raw_code, **own)  # type: ignore[arg-type]


def about(rule: NewRule | RetryRule) -> tuple[str, str | None, str | None]:
    """Which failures it is about."""
    return rule.category, rule.gateway_id, (rule.raw_code or "").strip().lower() or None


def _invalid(message: str, field: str) -> Rejected:
    return Rejected("RETRY_INTERVAL_INVALID", message, field=field)
