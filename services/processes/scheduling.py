"""Scheduling: what follows for payment schedules from facts of their account and their invoices.

deferred to the end of the day -> cut the account's schedules, then
invoice owes another amount ----> its schedules follow, where they ask for more
account has a method -----------> what waited for one is released
money is applied by hand -------> the item that has collected it, and waited for that, is applied
"""

from __future__ import annotations

from collections.abc import Iterable

from events.account import DefaultPaymentMethodSet
from events.invoice import InvoiceScheduledBalanceChanged, InvoiceScheduleDeferred
from events.payment import PaymentApplied
from services.decision import Documents, Need, Needs, States
from services.payments.payment import Payment
from services.processes.process import Process, Send, Trigger
from services.schedules.collected import RecordItemApplication, waits
from services.schedules.cutting import CutSchedules
from services.schedules.following import FollowInvoiceBalance
from services.schedules.items import ReleaseWaitingItems, waits_for_method
from services.schedules.schedule import PaymentSchedule

_ON_ARRIVAL = "PAYMENT"
"""Why money is applied as it arrives: its item is told in the same decision."""


def needs(states: States, trigger: Trigger) -> Needs:
    match trigger.fact:
        case InvoiceScheduledBalanceChanged():
            for id in trigger.fact.payment_schedule_ids:
                yield Need(PaymentSchedule, id)
        case DefaultPaymentMethodSet():
            yield Documents(trigger.account_id)
            for id in states.find_documents(trigger.account_id, PaymentSchedule):
                yield Need(PaymentSchedule, id)
        case PaymentApplied() if trigger.fact.cause != _ON_ARRIVAL:
            yield Need(Payment, trigger.stream_id)
            payment = states.find(Payment, trigger.stream_id)
            if payment and payment.schedule_item:
                yield Need(PaymentSchedule, payment.schedule_item.payment_schedule_id)
        case _:
            pass


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    fact, account_id = trigger.fact, trigger.account_id
    match fact:
        case InvoiceScheduleDeferred():
            key = f"scheduling:{account_id}:cut:{fact.cut_at.isoformat()}"
            return [Send(CutSchedules(fact.cut_at), account_id, key, fact.cut_at)]
        case InvoiceScheduledBalanceChanged():
            return list(_follow(states, trigger))
        case PaymentApplied():
            return list(_applied(states, trigger))
        case _:
            return list(_release(states, trigger))


def _follow(states: States, trigger: Trigger) -> Iterable[Send]:
    fact: InvoiceScheduledBalanceChanged = trigger.fact
    for id in fact.payment_schedule_ids:
        schedule = states.get(PaymentSchedule, id)
        if schedule.open and schedule.live_for(trigger.stream_id) > fact.balance.amount_minor:
            key = f"scheduling:{id}:follow:{trigger.stream_id}-{schedule.version}-{fact.balance.amount_minor}"
            yield Send(FollowInvoiceBalance(id, trigger.stream_id), trigger.account_id, key)


def _release(states: States, trigger: Trigger) -> Iterable[Send]:
    for id in states.documents(trigger.account_id, PaymentSchedule):
        schedule = states.get(PaymentSchedule, id)
        if any(waits_for_method(item) for item in schedule.items.values()):
            key = f"scheduling:{id}:release:{schedule.version}"
            yield Send(ReleaseWaitingItems(id), trigger.account_id, key)


def _applied(states: States, trigger: Trigger) -> Iterable[Send]:
    if trigger.fact.cause == _ON_ARRIVAL:
        return
    payment = states.get(Payment, trigger.stream_id)
    if payment.schedule_item is None:
        return
    id, item_id = payment.schedule_item.payment_schedule_id, payment.schedule_item.item_id
    if waits(states.get(PaymentSchedule, id).items[item_id], payment):
        key = f"scheduling:{id}:applied:{trigger.stream_id}-{trigger.version}"
        yield Send(RecordItemApplication(id, item_id), trigger.account_id, key)


PROCESS = Process(
    "scheduling",
    (InvoiceScheduleDeferred, InvoiceScheduledBalanceChanged, DefaultPaymentMethodSet, PaymentApplied),
    needs,
    react,
    documents=(PaymentSchedule,),
)
