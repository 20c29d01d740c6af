"""Expiring: an authorization's time is over when its gateway said so, a card's when its last month is."""

from __future__ import annotations

from collections.abc import Iterable

from events.authorization import AuthorizationRecorded, PaymentAuthorized
from events.payment_method import (
    PaymentMethodDetailsUpdated,
    PaymentMethodImported,
    PaymentMethodSaved,
    PaymentMethodTokenizationRequested,
)
from services.accounts.method_choice import ExpirePaymentMethod
from services.accounts.payment_method import SavedMethod, end_of_life
from services.authorizations.reversing import ExpireAuthorization
from services.decision import Need, Needs, States
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    if isinstance(trigger.fact, PaymentMethodDetailsUpdated):
        yield Need(SavedMethod, trigger.stream_id)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    match trigger.fact:
        case PaymentMethodSaved() | PaymentMethodImported() | PaymentMethodTokenizationRequested():
            return _method(trigger, trigger.fact)
        case PaymentMethodDetailsUpdated():  # it says only what has changed
            return _method(trigger, states.get(SavedMethod, trigger.stream_id))
        case _:
            return _authorization(trigger)


def _authorization(trigger: Trigger) -> Iterable[Send]:
    if trigger.fact.expires_at is None:
        return []
    key = f"expiring:{trigger.stream_id}:expire:1"
    return [Send(ExpireAuthorization(trigger.stream_id), trigger.account_id, key, trigger.fact.expires_at)]


_Dated = PaymentMethodSaved | PaymentMethodImported | PaymentMethodTokenizationRequested | SavedMethod


def _method(trigger: Trigger, method: _Dated) -> Iterable[Send]:
    """At each end that it was ever given: one that moved meanwhile decides nothing when it comes."""
    ends = end_of_life(method.expiry_month, method.expiry_year)
    if ends is None:
        return []
    key = f"expiring:{trigger.stream_id}:expire:{ends:%Y-%m}"
    return [Send(ExpirePaymentMethod(trigger.stream_id), trigger.account_id, key, ends)]


FACTS = (
    PaymentAuthorized,
    AuthorizationRecorded,
    PaymentMethodSaved,
    PaymentMethodImported,
    PaymentMethodTokenizationRequested,
    PaymentMethodDetailsUpdated,
)
PROCESS = Process("expiring", FACTS, needs, react)
