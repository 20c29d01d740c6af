"""Linking: a payment link ends at its time, and the method of a guest who wanted that is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from events.payment_link import PaymentLinkCreated, PaymentLinkPaid
from services.accounts.payment_method import MethodType, SavePaymentMethod
from services.decision import Need, Needs, States
from services.payments.linking import ExpirePaymentLink
from services.payments.payment import Payment
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    if isinstance(trigger.fact, PaymentLinkPaid) and trigger.fact.saves_method:
        yield Need(Payment, trigger.fact.payment_id)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    match trigger.fact:
        case PaymentLinkCreated(expires_at=expires_at) if expires_at:
            key = f"linking:{trigger.stream_id}:expire:1"
            expire = ExpirePaymentLink(trigger.stream_id, due=True)
            return [Send(expire, trigger.account_id, key, expires_at)]
        case PaymentLinkPaid(saves_method=True):
            return [_saved(states, trigger)]
        case _:
            return []


def _saved(states: States, trigger: Trigger) -> Send:
    paid: PaymentLinkPaid = trigger.fact
    method = states.get(Payment, paid.payment_id).method
    assert method is not None
    save = SavePaymentMethod(
        method.gateway_id,
        method.token_ref,
        cast("MethodType", method.type),
        gateway_reference=method.gateway_reference,
        network=method.network,
        last4=method.last4,
    )
    return Send(save, trigger.account_id, f"linking:{trigger.stream_id}:save:{paid.payment_id}")


PROCESS = Process("linking", (PaymentLinkCreated, PaymentLinkPaid), needs, react)
