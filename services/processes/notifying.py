"""Notifying: what a notification becomes once it is known what it is about.

matched, or replayed --> the report that the gateway's answer would have been
                     --> heeded: a dispute, a failure that may be a bank's return, and all else
deferred ------------> look again, when it is due
"""

from __future__ import annotations

from collections.abc import Iterable

from events.notification import (
    NotificationDeferred,
    NotificationMatched,
    NotificationReceived,
    NotificationReplayed,
)
from events.payment_method import BANK_DEBITS
from services.calls.calling import DECLINES, GatewayCall
from services.calls.reports import REPORTS
from services.decision import Need, Needs, States
from services.notifications.heeding import HeedNotification
from services.notifications.notification import MEANT, Inbox, MatchNotification
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    yield Need(Inbox, trigger.stream_id)
    inbox = states.find(Inbox, trigger.stream_id)
    if inbox and inbox.matched:
        yield Need(GatewayCall, inbox.matched.operation_key)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    inbox, fact, id = states.get(Inbox, trigger.stream_id), trigger.fact, trigger.stream_id
    if inbox.received is None:
        return []
    match fact:
        case NotificationDeferred():
            again = MatchNotification(inbox.received.gateway_id, inbox.received.provider_event_id)
            return [Send(again, trigger.account_id, f"notifying:{id}:match:{fact.tries}", fact.next_match_at)]
        case NotificationMatched():
            return [_told(states, inbox.received, fact, f"notifying:{id}:record:0")]
        case NotificationReplayed() if inbox.matched:
            key = f"notifying:{id}:record:{fact.replay_no}"
            return [_told(states, inbox.received, inbox.matched, key)]
        case _:
            return []


def _told(states: States, received: NotificationReceived, matched: NotificationMatched, key: str) -> Send:
    report = REPORTS.get(matched.operation)
    if report is not None and received.type in MEANT and not _may_be_a_return(states, received, matched):
        told = report(matched.operation_key, "NOTIFICATION", received.outcome)
        return Send(told, matched.account_id, key)
    heed = HeedNotification(
        received.gateway_id,
        received.provider_event_id,
        received.type,
        received.outcome,
        matched.operation_key,
        matched.target_kind,
        matched.target_id,
        received.gateway_ref,
    )
    return Send(heed, matched.account_id, key)


def _may_be_a_return(states: States, received: NotificationReceived, matched: NotificationMatched) -> bool:
    """Whether it is one depends on what is known of the payment when it is decided."""
    planned = states.get(GatewayCall, matched.operation_key).planned
    method = planned.method.type if planned and planned.method else None
    failed = received.outcome.result_code in DECLINES
    return failed and matched.operation in ("SALE", "CAPTURE") and method in BANK_DEBITS


PROCESS = Process(
    "notifying", (NotificationDeferred, NotificationMatched, NotificationReplayed), needs, react
)
