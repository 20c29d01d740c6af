"""Retrying: when what is planned is due, and who is looked at again once an account pays otherwise.

retry planned, or postponed -> carry it out, when it is due
account may be collected --> carry out what was postponed (held, suspended, by hand only: no longer)
account has another default -> what was given up is tried with it
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import get_args

from events.account import (
    AccountReactivated,
    AutoCollectSwitched,
    DefaultPaymentMethodSet,
    PaymentHoldReleased,
)
from events.retrying import ItemRetryPostponed, ItemRetryScheduled
from services.decision import Documents, Need, Needs, States
from services.processes.process import Process, Send, Trigger
from services.retries.retrying import CarryOutRetry, RearmItem
from services.schedules.schedule import PaymentSchedule

RELEASES = PaymentHoldReleased | AccountReactivated | AutoCollectSwitched
"""What lets an account be collected from again."""


def needs(states: States, trigger: Trigger) -> Needs:
    if isinstance(trigger.fact, DefaultPaymentMethodSet | RELEASES):
        yield Documents(trigger.account_id)
        for id in states.find_documents(trigger.account_id, PaymentSchedule):
            yield Need(PaymentSchedule, id)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    match trigger.fact:
        case ItemRetryScheduled() | ItemRetryPostponed():
            return [_when_due(trigger, trigger.fact, trigger.fact.at)] if trigger.fact.at else []
        case PaymentHoldReleased() | AccountReactivated() | AutoCollectSwitched():
            return list(_released(states, trigger))
        case _:
            return list(_rearmed(states, trigger))


def _when_due(trigger: Trigger, fact: ItemRetryScheduled | ItemRetryPostponed, at: datetime) -> Send:
    key = f"retrying:{fact.item_id}:{fact.attempt}:{at.isoformat()}"
    carry_out = CarryOutRetry(trigger.stream_id, fact.item_id, fact.attempt, at)
    return Send(carry_out, trigger.account_id, key, at)


def _released(states: States, trigger: Trigger) -> Iterable[Send]:
    for id in states.documents(trigger.account_id, PaymentSchedule):
        for item_id, item in states.get(PaymentSchedule, id).items.items():
            planned = item.retry.planned
            if planned and item.retry.kept_back == "ACCOUNT_ON_HOLD":
                carry_out = CarryOutRetry(id, item_id, planned.attempt, item.retry.due_at)
                key = f"retrying:{item_id}:released:{planned.attempt}-{trigger.occurred_at.isoformat()}"
                yield Send(carry_out, trigger.account_id, key)


def _rearmed(states: States, trigger: Trigger) -> Iterable[Send]:
    method_id = trigger.fact.method_id
    for id in states.documents(trigger.account_id, PaymentSchedule):
        schedule = states.get(PaymentSchedule, id)
        for item_id, item in schedule.items.items():
            if item.status == "FAILED" and item.retry.ended not in (None, "STOPPED"):
                key = f"retrying:{item_id}:rearm:{method_id}-{trigger.occurred_at.isoformat()}"
                yield Send(RearmItem(id, item_id, method_id), trigger.account_id, key)


PROCESS = Process(
    "retrying",
    (ItemRetryScheduled, ItemRetryPostponed, DefaultPaymentMethodSet, *get_args(RELEASES)),
    needs,
    react,
    documents=(PaymentSchedule,),
)
