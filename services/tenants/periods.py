"""Accounting periods: the months of a legal entity in which nothing takes effect any more.

Invariant: a month is closed once it is over, so what takes effect now never meets a closed
one; what a user dates back into one is refused, and what a bank dates back takes effect on the first day
that is open, its true date kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from events.ids import tenant_home
from events.period import (
    AccountingPeriodClosed,
    AccountingPeriodEvent,
    AccountingPeriodOpened,
    AccountingPeriodReopened,
)
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state

DEFAULT_ENTITY = "default"
"""The legal entity of what names none."""

Month = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


@dataclass(slots=True)
class AccountingPeriods:
    """All months of one legal entity, so that the first open day is found by one reading."""

    KIND: ClassVar[str] = "period"

    version: int = 0
    legal_entity_id: str = ""
    months: dict[str, str] = field(default_factory=dict[str, str])
    """Month to OPEN, CLOSED or REOPENED; one that nobody spoke of is open."""

    @property
    def open(self) -> bool:
        return False


def evolve(periods: AccountingPeriods, event: AccountingPeriodEvent) -> None:
    periods.legal_entity_id = event.legal_entity_id
    match event:
        case AccountingPeriodOpened():
            periods.months[event.month] = "OPEN"
        case AccountingPeriodClosed():
            periods.months[event.month] = "CLOSED"
        case AccountingPeriodReopened():
            periods.months[event.month] = "REOPENED"


@command("payments.accounting_period.open.v1")
class OpenAccountingPeriod:
    """Say that a month is open.  One that nobody spoke of is open too."""

    month: Month
    legal_entity_id: Id = DEFAULT_ENTITY


@command("payments.accounting_period.close.v1")
class CloseAccountingPeriod:
    """From now on nothing takes effect in that month, which must be over."""

    month: Month
    legal_entity_id: Id = DEFAULT_ENTITY
    reason: FreeText | None = None


@command("payments.accounting_period.reopen.v1")
class ReopenAccountingPeriod:
    """Let money be dated in a closed month again."""

    month: Month
    legal_entity_id: Id = DEFAULT_ENTITY
    reason: FreeText | None = None


def needed(entity: str | None, at: date | datetime | None, context: Context) -> Iterable[Need]:
    """The periods that a date must be looked up in: those of this month and later cannot be closed."""
    if at is not None and _is_over(at, context):
        yield Need(AccountingPeriods, entity or DEFAULT_ENTITY)


def check_open(
    states: States | Draft, entity: str | None, at: date | datetime | None, context: Context
) -> None:
    """Raises `ACCOUNTING_PERIOD_CLOSED` for a date in a closed month."""
    for need in needed(entity, at, context):
        periods = _used(states, need, context)
        if at is not None and periods.months.get(_month(at)) == "CLOSED":
            first = _first_open(periods, at)
            raise Rejected(
                "ACCOUNTING_PERIOD_CLOSED",
                f"{_month(at)} is closed for {entity or DEFAULT_ENTITY}; the first open day is {first}",
                month=_month(at),
                first_open=first.isoformat(),
            )


def first_open(states: States | Draft, entity: str | None, at: datetime, context: Context) -> datetime:
    """When a fact takes effect that has happened at some time: then, or on the first open day after it."""
    for need in needed(entity, at, context):
        periods = _used(states, need, context)
        if periods.months.get(_month(at)) == "CLOSED":
            return datetime.combine(_first_open(periods, at), time(), UTC)
    return at


def _used(states: States | Draft, need: Need, context: Context) -> AccountingPeriods:
    """The periods, whose version the events of this decision record."""
    periods = states.get(AccountingPeriods, need.id)
    if periods.version:
        context.used[f"{AccountingPeriods.KIND}-{need.id}"] = periods.version
    return periods


def _is_over(at: date | datetime, context: Context) -> bool:
    """Whether its month is."""
    day = _day(at)
    return (day.year, day.month) < (context.now.year, context.now.month)


def _day(at: date | datetime) -> date:
    return at.astimezone(UTC).date() if isinstance(at, datetime) else at


def _month(at: date | datetime) -> str:
    return f"{_day(at):%Y-%m}"


def _first_open(periods: AccountingPeriods, at: date | datetime) -> date:
    day = _day(at)
    while periods.months.get(_month(day)) == "CLOSED":
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return day


Period = OpenAccountingPeriod | CloseAccountingPeriod | ReopenAccountingPeriod


def _needs(states: States, command: Period, context: Context) -> Needs:
    yield Need(AccountingPeriods, command.legal_entity_id)


def _status(states: States, command: Period) -> str:
    return states.get(AccountingPeriods, command.legal_entity_id).months.get(command.month, "")


def open_period(states: States, command: OpenAccountingPeriod, context: Context) -> Changes:
    if status := _status(states, command):
        raise invalid_state("period", status, ["NEW"])
    return [_changed(command, AccountingPeriodOpened(command.legal_entity_id, command.month))]


def close_period(states: States, command: CloseAccountingPeriod, context: Context) -> Changes:
    if _status(states, command) == "CLOSED":
        raise invalid_state("period", "CLOSED", ["OPEN", "REOPENED"])
    if command.month >= _month(context.now):
        raise Rejected("DATE_INVALID", f"{command.month} is not over yet", field="data.month")
    return [_changed(command, AccountingPeriodClosed(**vars(command)))]


def reopen_period(states: States, command: ReopenAccountingPeriod, context: Context) -> Changes:
    if (status := _status(states, command)) != "CLOSED":
        raise invalid_state("period", status or "OPEN", ["CLOSED"])
    return [_changed(command, AccountingPeriodReopened(**vars(command)))]


def _changed(command: Period, fact: AccountingPeriodEvent) -> Change:
    return Change(AccountingPeriods, command.legal_entity_id, fact)


def _home(command: Period, tenant: str) -> str:
    return tenant_home("period", command.legal_entity_id)


SUBJECT = Subject(
    AccountingPeriods,
    evolve,
    (
        Rule(OpenAccountingPeriod, _needs, open_period, _home),
        Rule(CloseAccountingPeriod, _needs, close_period, _home),
        Rule(ReopenAccountingPeriod, _needs, reopen_period, _home),
    ),
)
