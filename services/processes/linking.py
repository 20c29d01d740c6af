"""Linking: a payment link ends at its time, and the method of a guest who wanted that is kept."""

from __future__ import annotations

from collections.abc import Iterable

from events.payment_link import PaymentLinkCreated, PaymentLinkPaid
from services.decision import Needs, States
from services.payments.linking import ExpirePaymentLink, KeepGuestMethod
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    return ()


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    match trigger.fact:
        case PaymentLinkCreated(expires_at=expires_at) if expires_at:
            key = f"linking:{trigger.stream_id}:expire:1"
            expire = ExpirePaymentLink(trigger.stream_id, due=True)
            return [Send(expire, trigger.account_id, key, expires_at)]
        case PaymentLinkPaid(saves_method=True):
            payment_id = trigger.fact.payment_id
            key = f"linking:{trigger.stream_id}:keep:{payment_id}"
            return [Send(KeepGuestMethod(trigger.stream_id, payment_id), trigger.account_id, key)]
        case _:
            return []


PROCESS = Process("linking", (PaymentLinkCreated, PaymentLinkPaid), needs, react)
