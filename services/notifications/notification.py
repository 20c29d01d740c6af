"""A gateway's notification: taken once, matched to the operation that it is about, replayed at will.

Invariant: one stream per notification, whose first version wins; it never moves money
itself, it only becomes the same report that the gateway's answer would have been.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import StringConstraints

from events import ids
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.notification import (
    NotificationDeferred,
    NotificationEvent,
    NotificationMatched,
    NotificationReceived,
    NotificationRejected,
    NotificationReplayed,
    NotificationUnmatched,
)
from events.operations import ExceptionRaised, ExceptionResolved
from events.shapes import Outcome
from services.calls.calling import GatewayCall
from services.calls.gateway import Gateway
from services.commands import FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Need, Needs, References, Rule, States
from services.errors import Rejected, not_found
from services.tenants.exceptions import ExceptionCase

MATCH_AGAIN_SECONDS = (5, 30, 120, 600, 3_600, 21_600, 86_400, 172_800, 259_200)
"""After its arrival; 72 hours later it is a case for a person."""

MEANT: dict[str, tuple[str, ...]] = {
    "SALE": ("SALE",),
    "AUTHORIZE": ("AUTHORIZE", "SALE"),
    "CAPTURE": ("CAPTURE", "SALE"),
    "REVERSE": ("REVERSE", "VOID"),
    "VOID": ("VOID", "REVERSE"),
    "REFUND": ("REFUND", "UNREFERENCED_REFUND"),
    "UNREFERENCED_REFUND": ("UNREFERENCED_REFUND", "REFUND"),
    "TOKENIZE": ("TOKENIZE",),
    "VERIFY": ("VERIFY",),
}
"""A type of news, and the operations that it may be about, the likeliest first: gateways have fewer words."""

CHARGES = ("SALE", "CAPTURE", "AUTHORIZE")
"""What other news (a dispute, a return) is about."""

EventId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


@dataclass(slots=True)
class Inbox:
    KIND: ClassVar[str] = "inbox"

    version: int = 0
    status: str = ""
    """Empty, WAITING (for something that it could be about), MATCHED, UNMATCHED, REJECTED."""
    received: NotificationReceived | None = None
    matched: NotificationMatched | None = None
    tries: int = 0
    replays: int = 0

    @property
    def open(self) -> bool:
        return False


def evolve(inbox: Inbox, event: NotificationEvent) -> None:
    match event:
        case NotificationReceived():
            inbox.status, inbox.received = "WAITING", event
        case NotificationDeferred():
            inbox.tries = event.tries
        case NotificationMatched():
            inbox.status, inbox.matched = "MATCHED", event
        case NotificationUnmatched():
            inbox.status = "UNMATCHED"
        case NotificationReplayed():
            inbox.replays = event.replay_no
        case NotificationRejected():
            inbox.status = "REJECTED"


@dataclass(frozen=True)
class Named:
    """Which notification: the gateway's own id of it."""

    gateway_id: Id
    provider_event_id: EventId

    @property
    def inbox_id(self) -> str:
        return ids.inbox_id(self.gateway_id, self.provider_event_id)


@command("payments.notification.receive.v1")
class ReceiveNotification(Named):
    """A gateway's own news of an operation, verified by its adapter; the bytes are under `raw_ref`."""

    type: Text
    """The operation that it is about (SALE, REFUND, …), or DISPUTE, MANDATE, PAYOUT, …"""
    outcome: Outcome
    digest: Text
    raw_ref: Text
    gateway_ref: Text | None = None
    merchant_reference: Text | None = None
    operation_key: Text | None = None


@command("payments.notification.reject.v1")
class RejectNotification(Named):
    """What came was not taken for the gateway's word."""

    reason: Literal["SIGNATURE", "STALE", "UNREADABLE"]
    """SIGNATURE: it is not the gateway's; STALE: it is too old; UNREADABLE: nobody knows what it says."""
    detail: FreeText
    digest: Text
    raw_ref: Text


@command("payments.notification.match.v1")
class MatchNotification(Named):
    """Look again for the operation that a notification is about."""


@command("payments.notification.replay.v1")
class ReplayNotification(Named):
    """Have a notification looked at again; what has taken effect does not do so again."""


@command("payments.notification.resolve.v1")
class ResolveNotification(Named):
    """What a person did about a notification that fits nothing, or could not be read."""

    resolution: Text
    note: FreeText


# -- what it is about


class _Told(NamedTuple):
    """By what a notification may be matched."""

    gateway_id: str
    type: str
    gateway_ref: str | None
    merchant_reference: str | None
    operation_key: str | None

    @property
    def references(self) -> Iterable[tuple[str, str]]:
        if self.gateway_ref:
            yield "GATEWAY_REFERENCE", self.gateway_ref
        if self.merchant_reference:
            yield "MERCHANT_REFERENCE", self.merchant_reference


def _told(by: ReceiveNotification | NotificationReceived) -> _Told:
    return _Told(by.gateway_id, by.type, by.gateway_ref, by.merchant_reference, by.operation_key)


def _match_needs(states: States, told: _Told) -> Needs:
    for _, reference in told.references:
        yield References(told.gateway_id, reference)
        for key in states.find_references(told.gateway_id, reference):
            yield Need(GatewayCall, key)
    if told.operation_key:
        yield Need(GatewayCall, told.operation_key)


def match(states: States, told: _Told) -> NotificationMatched | None:
    """The one operation that it is about: by the gateway's reference, by ours, by the key (3.7, rule 3).

    An authorization, its captures and its reversals may share a reference; a key is of one of them.
    """
    named = _named(states, told)
    for by, reference in told.references:
        keys = states.references(told.gateway_id, reference)
        if named is not None and named.idempotency_key in keys:
            return _matched(named, by)
        found = None if named else _only([states.get(GatewayCall, key) for key in keys], told)
        if found is not None:
            return _matched(found, by)
    return _matched(named, "OPERATION_KEY") if named else None


def _named(states: States, told: _Told) -> GatewayCallPlanned | None:
    """The operation whose key it carries, if it can be about that one."""
    planned = states.get(GatewayCall, told.operation_key).planned if told.operation_key else None
    if planned is None or planned.gateway_id != told.gateway_id:
        return None
    return planned if planned.operation in MEANT.get(told.type, CHARGES) else None


def _only(calls: Sequence[GatewayCall], told: _Told) -> GatewayCallPlanned | None:
    """Of calls that share a reference the one that is meant: of the likeliest kind, still open, or done."""
    ours = [call for call in calls if call.planned and call.planned.gateway_id == told.gateway_id]
    for operation in MEANT.get(told.type, CHARGES):
        meant = [call for call in ours if call.planned and call.planned.operation == operation]
        still_open = [call for call in meant if not call.known]
        done = [call for call in meant if call.status == "SUCCEEDED"]
        for choice in (meant, still_open or done):
            if len(choice) == 1:
                return choice[0].planned
    return None


def _matched(planned: GatewayCallPlanned, by: str) -> NotificationMatched:
    return NotificationMatched(
        planned.target_kind,
        planned.target_id,
        planned.account_id,
        planned.operation,
        planned.idempotency_key,
        by,
    )


# -- decisions


def _receive_needs(states: States, command: ReceiveNotification, context: Context) -> Needs:
    yield Need(Inbox, command.inbox_id)
    yield Need(Gateway, command.gateway_id)
    yield from _match_needs(states, _told(command))


def receive(states: States, command: ReceiveNotification, context: Context) -> Changes:
    id = command.inbox_id
    if states.get(Inbox, id).status:
        return []
    if not states.get(Gateway, command.gateway_id).status:
        raise not_found("GATEWAY", command.gateway_id)
    received = NotificationReceived(
        command.gateway_id,
        command.provider_event_id,
        command.type,
        command.outcome,
        command.digest,
        command.raw_ref,
        context.now,
        command.gateway_ref,
        command.merchant_reference,
        command.operation_key,
    )
    found = match(states, _told(command))
    return [Change(Inbox, id, received), Change(Inbox, id, found or _deferred(received, 0))]


def _deferred(received: NotificationReceived, tries: int) -> NotificationDeferred:
    at = received.received_at + timedelta(seconds=MATCH_AGAIN_SECONDS[tries])
    return NotificationDeferred(tries + 1, at)


def _reject_needs(states: States, command: RejectNotification, context: Context) -> Needs:
    yield Need(Inbox, command.inbox_id)


def reject(states: States, command: RejectNotification, context: Context) -> Changes:
    id = command.inbox_id
    if states.get(Inbox, id).status:
        return []
    rejected = NotificationRejected(
        command.gateway_id, command.reason, command.detail, command.digest, command.raw_ref, context.now
    )
    changes = [Change(Inbox, id, rejected)]
    if command.reason == "UNREADABLE":
        changes.append(raised("NOTIFICATION_UNHANDLED", id, f"it cannot be read: {command.detail}", context))
    return changes


def _again_needs(states: States, command: MatchNotification | ReplayNotification, context: Context) -> Needs:
    yield Need(Inbox, command.inbox_id)
    yield Need(ExceptionCase, case_id(command.inbox_id))
    inbox = states.find(Inbox, command.inbox_id)
    if inbox and inbox.received:
        yield from _match_needs(states, _told(inbox.received))


def match_again(states: States, command: MatchNotification, context: Context) -> Changes:
    id = command.inbox_id
    inbox = states.get(Inbox, id)
    if inbox.status != "WAITING" or inbox.received is None:
        return []
    if (found := match(states, _told(inbox.received))) is not None:
        return [Change(Inbox, id, found)]
    if inbox.tries < len(MATCH_AGAIN_SECONDS):
        return [Change(Inbox, id, _deferred(inbox.received, inbox.tries))]
    reason = f"in 72 hours nothing turned up that {_words(inbox.received)} could be about"
    unmatched = Change(Inbox, id, NotificationUnmatched(reason))
    return [
        unmatched,
        raised("NOTIFICATION_UNMATCHED", id, reason, context, amount=inbox.received.outcome.processed_amount),
    ]


def _words(received: NotificationReceived) -> str:
    named = received.gateway_ref or received.merchant_reference or received.operation_key or "no reference"
    return f"{received.type} {received.outcome.result_code} of {received.gateway_id} ({named})"


def replay(states: States, command: ReplayNotification, context: Context) -> Changes:
    id = command.inbox_id
    inbox = states.get(Inbox, id)
    if inbox.received is None:
        raise not_found("NOTIFICATION", id)
    replayed = Change(Inbox, id, NotificationReplayed(inbox.replays + 1))
    if inbox.status == "MATCHED":
        return [replayed]
    found = match(states, _told(inbox.received))
    if found is None:
        return [replayed]
    return [replayed, Change(Inbox, id, found), *_settled(states, id, "matched after all")]


def _settled(states: States, inbox_id: str, note: str) -> Sequence[Change]:
    """The case that a person had of it is over."""
    case = states.get(ExceptionCase, case_id(inbox_id))
    if not case.type or case.resolved:
        return []
    return [Change(ExceptionCase, case_id(inbox_id), ExceptionResolved("MATCHED", note))]


def _resolve_needs(states: States, command: ResolveNotification, context: Context) -> Needs:
    yield Need(ExceptionCase, case_id(command.inbox_id))


def resolve(states: States, command: ResolveNotification, context: Context) -> Changes:
    id = case_id(command.inbox_id)
    case = states.get(ExceptionCase, id)
    if not case.type:
        raise not_found("EXCEPTION", id)
    if case.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the exception belongs to the account {case.account_id}")
    if case.resolved:
        return []
    return [Change(ExceptionCase, id, ExceptionResolved(command.resolution, command.note))]


def case_id(inbox_id: str) -> str:
    """A notification is one case at most, however often it is looked at."""
    return ids.part_id(inbox_id, "exception")


def raised(
    type: str,
    inbox_id: str,
    message: str,
    context: Context,
    subject: tuple[str, str] | None = None,
    amount: Money | None = None,
) -> Change:
    """The case that a person gets; about the notification itself, where it is about nothing else."""
    id, (kind, about) = case_id(inbox_id), subject or ("inbox", inbox_id)
    fact = ExceptionRaised(id, type, context.account_id, kind, about, message, amount)
    return Change(ExceptionCase, id, fact, new=True)


def _home(command: Named, tenant: str) -> str:
    return ids.notification_home(command.inbox_id)


RULES = (
    Rule(ReceiveNotification, _receive_needs, receive, _home),
    Rule(RejectNotification, _reject_needs, reject, _home),
    Rule(MatchNotification, _again_needs, match_again, _home),
    Rule(ReplayNotification, _again_needs, replay, _home),
    Rule(ResolveNotification, _resolve_needs, resolve, _home),
)
