"""Transferring: how money gets from a payment of one account to another account, and back.

reserved ---------------> the other account is asked to receive it, and at last to refuse what has not come
received, or refused ---> the first account hears of it: the money is gone, or free again
recalled ---------------> the other account is asked to give it back
given back, or kept ----> the first account hears of that
the bank took the payment back --> every transfer of it is recalled, by force
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

from events.money import Money
from events.payment import ChargebackLost, PaymentReturned
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferKept,
    PaymentTransferRecalled,
    PaymentTransferRecallRefused,
    PaymentTransferReceived,
    PaymentTransferRefused,
    PaymentTransferReserved,
)
from services.decision import Need, Needs, States
from services.payments.payment import Payment
from services.processes.process import Process, Send, Trigger
from services.transfers.receiving import ExpireTransfer, GiveTransferBack, ReceiveTransfer
from services.transfers.transferring import RecallTransfer, RecordTransferOutcome

EXPIRES_AFTER = timedelta(minutes=10)
"""What was reserved so long ago and has not arrived is refused, so that it is free again."""

_OVERDRAWING = (PaymentReturned, ChargebackLost, PaymentBalanceTransferred, PaymentTransferRecallRefused)
"""After these the bank may have taken money back that another account has by now."""

_Outcome = Literal["RECEIVED", "REFUSED", "GIVEN_BACK", "SENT_BACK", "KEPT"]


def needs(states: States, trigger: Trigger) -> Needs:
    if isinstance(trigger.fact, _OVERDRAWING):
        yield Need(Payment, trigger.stream_id)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    fact, id = trigger.fact, trigger.stream_id
    match fact:
        case PaymentTransferReserved():
            return _send(trigger, fact)
        case PaymentTransferReceived():
            return [_told(fact.from_account_id, fact.from_payment_id, id, "RECEIVED", fact.amount)]
        case PaymentTransferRefused():
            to = fact.from_account_id, fact.from_payment_id
            return [_told(*to, id, "REFUSED", fact.amount, fact.code, fact.message)]
        case PaymentTransferRecalled():
            asked = GiveTransferBack(fact.transfer_id, fact.amount, fact.forced)
            key = f"transferring:{fact.transfer_id}:give_back:{trigger.version}"
            return [Send(asked, fact.to_account_id, key)]
        case PaymentTransferGivenBack():
            to, step = (fact.to_account_id, fact.to_payment_id), trigger.version
            outcome = "GIVEN_BACK" if fact.asked else "SENT_BACK"
            return [_told(*to, id, outcome, fact.amount, step=step)]
        case PaymentTransferKept():
            to, step = (fact.to_account_id, fact.to_payment_id), trigger.version
            return [_told(*to, id, "KEPT", fact.amount, fact.code, fact.message, step)]
        case _:
            return list(_recalls(states, trigger))


def _send(trigger: Trigger, fact: PaymentTransferReserved) -> Iterable[Send]:
    of = fact.transfer_id, trigger.account_id, trigger.stream_id, fact.amount
    received = ReceiveTransfer(*of, fact.invoice_id, fact.line_id, fact.effective_at, fact.comments)
    key = f"transferring:{fact.transfer_id}"
    yield Send(received, fact.to_account_id, f"{key}:receive:1")
    due_at = fact.requested_at + EXPIRES_AFTER
    yield Send(ExpireTransfer(*of), fact.to_account_id, f"{key}:expire:1", due_at)


def _told(
    account_id: str,
    payment_id: str,
    transfer_id: str,
    outcome: _Outcome,
    amount: Money,
    code: str | None = None,
    message: str | None = None,
    step: int = 1,
) -> Send:
    told = RecordTransferOutcome(payment_id, transfer_id, outcome, amount, code, message)
    return Send(told, account_id, f"transferring:{transfer_id}:{outcome.lower()}:{step}")


def _recalls(states: States, trigger: Trigger) -> Iterable[Send]:
    """What the bank has taken back is looked for where it went."""
    payment = states.get(Payment, trigger.stream_id)
    if payment.overdrawn == 0:
        return
    for transfer in payment.transfers.values():
        if transfer.phase == "SENT":
            recall = RecallTransfer(
                payment.payment_id, transfer.transfer_id, "its bank took the payment back"
            )
            key = f"transferring:{transfer.transfer_id}:recall:{trigger.version}"
            yield Send(recall, trigger.account_id, key)


FACTS = (
    PaymentTransferReserved,
    PaymentTransferReceived,
    PaymentTransferRefused,
    PaymentTransferRecalled,
    PaymentTransferGivenBack,
    PaymentTransferKept,
    *_OVERDRAWING,
)
PROCESS = Process("transferring", FACTS, needs, react)
