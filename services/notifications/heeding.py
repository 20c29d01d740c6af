"""Heeding news that an answer could not have been: disputes, returns; and what a person must see.

Invariant: what nothing here acts upon, or what is refused, is a case for a
person; no news of a gateway's is ever without effect and without a trace.
"""

from __future__ import annotations

from events import ids
from events.operations import ExceptionResolved
from events.shapes import Outcome
from services.calls import calling
from services.calls.calling import DECLINES, GatewayCall
from services.commands import Id, Text, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.disputes import disputing
from services.disputes.disputing import RecordDisputeOpened, RecordDisputeOutcome
from services.errors import Rejected
from services.notifications.notification import MEANT, Named, case_id, raised
from services.payments import arriving, returning
from services.payments.arriving import RecordPaymentOutcome
from services.payments.returning import RecordPaymentReturn
from services.tenants.exceptions import ExceptionCase

DECIDED = {"DISPUTE_WON": "WON", "DISPUTE_LOST": "LOST"}

Meant = RecordDisputeOpened | RecordDisputeOutcome | RecordPaymentReturn | RecordPaymentOutcome

_RULES = {rule.command: rule for rule in (*disputing.SUBJECT.rules, *returning.RULES, *arriving.RULES)}


@command("payments.notification.heed.v1")
class HeedNotification(Named):
    """Act upon what a gateway tells of an account's operation, or show it to a person."""

    type: Text
    """The operation that it is about (SALE, REFUND, …), or DISPUTE, MANDATE, …"""
    outcome: Outcome
    operation_key: Token
    target_kind: Text
    target_id: Id
    gateway_ref: Text | None = None


def _needs(states: States, command: HeedNotification, context: Context) -> Needs:
    yield Need(ExceptionCase, case_id(command.inbox_id))
    yield from calling.needed(states, command.operation_key, context)
    meant = _meant(states.find(GatewayCall, command.operation_key), command, context)
    if meant is not None:
        yield from _RULES[type(meant)].needs(states, meant, context)


def heed(states: States, command: HeedNotification, context: Context) -> Changes:
    case = states.get(ExceptionCase, case_id(command.inbox_id))
    meant = _meant(states.get(GatewayCall, command.operation_key), command, context)
    why = "nothing here acts upon it"
    if meant is not None:
        try:
            return [*_RULES[type(meant)].decide(states, meant, context), *_closed(case, command)]
        except Rejected as refused:
            why = refused.message
    return [] if case.type else [_shown(command, why, context)]


def _meant(call: GatewayCall | None, command: HeedNotification, context: Context) -> Meant | None:
    if call is None or call.planned is None or command.target_kind != "payment":
        return None
    outcome = command.outcome
    if command.type == "DISPUTE":
        return RecordDisputeOpened(
            _dispute_id(command),
            command.target_id,
            outcome.processed_amount or call.planned.amount,
            outcome.raw_code or "no reason given",
            "NOTIFICATION",
            outcome.gateway_ref,
            outcome.gateway_date,
        )
    if command.type in DECIDED:
        decided = DECIDED[command.type]
        return RecordDisputeOutcome(_dispute_id(command), decided, "NOTIFICATION")  # type: ignore[arg-type]
    if command.type in MEANT and outcome.result_code in DECLINES:
        return _taken_back(call, command, context)
    return None


def _taken_back(call: GatewayCall, command: HeedNotification, context: Context) -> Meant:
    """A failure is a return only of what had succeeded."""
    outcome = command.outcome
    if call.status != "SUCCEEDED":
        return RecordPaymentOutcome(command.operation_key, "NOTIFICATION", outcome)
    return RecordPaymentReturn(
        command.target_id,
        outcome.raw_code or outcome.result_code,
        "NOTIFICATION",
        outcome.gateway_date or context.now,
        outcome.category,  # type: ignore[arg-type]
        outcome.hard,
        outcome.never_retry,
        outcome.gateway_ref,
    )


def _dispute_id(command: HeedNotification) -> str:
    """By the gateway's own reference of the dispute; where it has none, a payment has one dispute."""
    own = command.outcome.gateway_ref
    return ids.part_id(
        f"{command.gateway_id}/{own if own != command.gateway_ref else command.target_id}", "dispute"
    )


def _closed(case: ExceptionCase, command: HeedNotification) -> Changes:
    """Refused before, and taken now: nobody need look any more."""
    if not case.type or case.resolved:
        return []
    return [Change(ExceptionCase, case_id(command.inbox_id), ExceptionResolved("HEEDED", "taken at last"))]


def _shown(command: HeedNotification, why: str, context: Context) -> Change:
    code = f" ({command.outcome.raw_code})" if command.outcome.raw_code else ""
    told = f"{command.gateway_id} tells of {command.type} {command.outcome.result_code}{code}"
    return raised(
        "NOTIFICATION_UNHANDLED",
        command.inbox_id,
        f"{told}: {why}",
        context,
        (command.target_kind, command.target_id),
        command.outcome.processed_amount,
    )


RULES = (Rule(HeedNotification, _needs, heed),)
