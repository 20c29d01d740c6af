"""Expiring: an authorization's time is over when its gateway said it would be."""

from __future__ import annotations

from collections.abc import Iterable

from events.authorization import AuthorizationRecorded, PaymentAuthorized
from services.authorizing import ExpireAuthorization
from services.decision import Needs, States
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    return ()


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    if trigger.fact.expires_at is None:
        return []
    key = f"expiring:{trigger.stream_id}:expire:1"
    return [Send(ExpireAuthorization(trigger.stream_id), trigger.account_id, key, trigger.fact.expires_at)]


PROCESS = Process("expiring", (PaymentAuthorized, AuthorizationRecorded), needs, react)
