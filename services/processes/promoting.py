"""Promoting: an account that lost its default method gets the next in its order, where that is wanted."""

from __future__ import annotations

from collections.abc import Iterable

from events.account import DefaultPaymentMethodCleared
from services.accounts.method_choice import PromoteBackupPaymentMethod
from services.accounts.method_health import LOST
from services.decision import Needs, States
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    return ()


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    if trigger.fact.reason not in LOST:
        return []
    key = f"promoting:{trigger.account_id}:{trigger.fact.method_id}:{trigger.occurred_at.isoformat()}"
    return [Send(PromoteBackupPaymentMethod(), trigger.account_id, key)]


PROCESS = Process("promoting", (DefaultPaymentMethodCleared,), needs, react)
