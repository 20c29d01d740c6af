"""The exceptions inbox: what a person must look at, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from events.money import Money
from events.operations import ExceptionRaised, ExceptionResolved
from events.shapes import Outcome
from services.commands import FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, not_found

TYPES = frozenset(
    [
        "AMOUNT_MISMATCH",
        "DUPLICATE_CHARGE",
        "ENHANCED_DATA_REJECTED",
        "UNMAPPED_CODE",
        "UNKNOWN_OUTCOME_EXPIRED",
        "NOTIFICATION_UNMATCHED",
        "NOTIFICATION_UNHANDLED",
        "APPLY_FAILED",
        "ITEM_CANCELED",
        "ITEM_WITHOUT_METHOD",
        "SCHEDULE_NOT_CREATED",
        "LATE_SUCCESS",
        "CONTRADICTED_OUTCOME",
        "ORCHESTRATION_STUCK",
        "REFUND_REVERSED",
        "RETURN_AFTER_REFUND",
        "PAYOUT_TOTAL_DIFFERS",
        "PAYOUT_LINE_UNMATCHED",
        "PAYOUT_NOT_PAID_IN",
        "BANK_LINE_UNMATCHED",
        "BANK_AMOUNT_DIFFERS",
        "SETTLEMENT_AMOUNT_DIFFERS",
        "SETTLEMENT_DUPLICATE",
        "SETTLEMENT_UNEXPECTED",
        "SETTLEMENT_MISSING",
        "REFUND_DUE",
        "ROUTING_UNAVAILABLE",
    ]
)


@dataclass(slots=True)
class ExceptionCase:
    KIND: ClassVar[str] = "exception"

    version: int = 0
    type: str = ""
    account_id: str = ""
    resolved: bool = False

    @property
    def open(self) -> bool:
        return False


def evolve(case: ExceptionCase, event: ExceptionRaised | ExceptionResolved) -> None:
    match event:
        case ExceptionRaised():
            case.type, case.account_id = event.type, event.account_id
        case ExceptionResolved():
            case.resolved = True


@command("payments.exception.resolve.v1")
class ResolveException:
    """Say what was done about an exception."""

    exception_id: Id
    """The exception that was dealt with."""
    resolution: Text
    """What was done, in a word of the tenant's own."""
    note: FreeText


def raised(
    context: Context, type: str, subject_kind: str, subject_id: str, message: str, amount: Money | None = None
) -> Change:
    """A new case about a subject; a command raises at most one of each type and subject."""
    assert type in TYPES, type
    exception_id = context.new_id(f"exception/{type}/{subject_id}")
    fact = ExceptionRaised(exception_id, type, context.account_id, subject_kind, subject_id, message, amount)
    return Change(ExceptionCase, exception_id, fact, new=True)


def unmapped(context: Context, subject_kind: str, subject_id: str, outcome: Outcome) -> Sequence[Change]:
    """A code that no map knows is shown to a person, who maps it."""
    if outcome.category != "Unknown":
        return []
    message = f"the code {outcome.raw_code} is in no code map"
    return [raised(context, "UNMAPPED_CODE", subject_kind, subject_id, message)]


def _needs(states: States, command: ResolveException, context: Context) -> Needs:
    yield Need(ExceptionCase, command.exception_id)


def resolve(states: States, command: ResolveException, context: Context) -> Changes:
    case = states.get(ExceptionCase, command.exception_id)
    if not case.type:
        raise not_found("EXCEPTION", command.exception_id)
    if case.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", "the exception belongs to another account")
    if case.resolved:
        return []
    return [Change(ExceptionCase, command.exception_id, ExceptionResolved(command.resolution, command.note))]


SUBJECT = Subject(ExceptionCase, evolve, (Rule(ResolveException, _needs, resolve),))
