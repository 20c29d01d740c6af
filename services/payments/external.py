"""Money from outside any gateway: cash, a cheque, a transfer, recorded with its reference."""

from __future__ import annotations

from datetime import date
from typing import Literal

from events.money import Money
from events.payment import (
    ExternalPaymentDrafted,
    ExternalPaymentRecorded,
)
from services.accounts import account
from services.commands import Amount, Id, Text, command
from services.credits import writing_off
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments import payment_group
from services.payments.asking import ApplyTo, entity_of
from services.payments.payment import Payment
from services.payments.placing import EVOLVE, apply_now, check_targets
from services.tenants import periods, rates, tenant_settings

Instrument = Literal["CASH", "CHECK", "WIRE", "OTHER"]
"""How money arrives outside any gateway."""


@command("payments.payment.record_external.v1")
class RecordExternalPayment:
    """Money that arrived outside any gateway; its reference is mandatory.

    As a draft it counts for nothing until it is posted.
    """

    amount: Amount
    """How much arrived: above 0."""
    instrument: Instrument
    reference: Text
    """What the money is known by outside, such as the number of the cheque or the bank's reference."""
    received_on: date
    payment_id: Id | None = None
    """An id of the caller's own for the payment; without it, one is made."""
    apply_to: tuple[ApplyTo, ...] = ()
    """Invoices that it settles at once, in turn; what they do not take stays unapplied."""
    payment_group_id: Id | None = None
    draft: bool = False
    """True: it is kept as a draft, and counts for nothing until it is posted."""
    legal_entity_id: Id | None = None
    """The seller's company in whose books it is; without one, that of the invoice that it is first meant
    for."""


def _entity(states: States, command: RecordExternalPayment, context: Context) -> str | None:
    return command.legal_entity_id or entity_of(states, command.apply_to, context)


def _external_needs(states: States, command: RecordExternalPayment, context: Context) -> Needs:
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    for target in command.apply_to:
        yield Need(Invoice, target.invoice_id)
    yield from periods.needed(_entity(states, command, context), command.received_on, context)
    yield from writing_off.small_needed(states, context)
    yield from payment_group.needed(command.payment_group_id, None)


def record_external(states: States, command: RecordExternalPayment, context: Context) -> Changes:
    account.of(states, context)
    payments.check_new(states, command.payment_id)
    check_recorded(command.amount, command.reference)
    entity = _entity(states, command, context)
    periods.check_open(states, entity, command.received_on, context)
    if command.draft and command.apply_to:
        raise Rejected(
            "MALFORMED_REQUEST",
            "a draft settles nothing: name invoices as you post it",
            field="data.apply_to",
        )
    check_targets(states, command.apply_to, command.amount, context)
    groups = payment_group.joined(states, command.payment_group_id, None, context)
    payment_id = command.payment_id or context.new_id("payment")
    head = (
        payment_id,
        context.number("PAY"),
        context.account_id,
        command.amount,
        command.instrument,
        command.reference,
        command.received_on,
        context.now,
        command.payment_group_id,
    )
    if command.draft:
        recorded = ExternalPaymentDrafted(*head, entity)
    else:
        worth = rates.snapshot(states, command.amount, command.received_on, context)
        recorded = ExternalPaymentRecorded(*head, worth, entity)
    draft = Draft(states, EVOLVE)
    draft.extend(groups)
    draft.record(Payment, payment_id, recorded, new=command.payment_id is None)
    level = tenant_settings.of(states, context)["application_level"]
    apply_now(draft, payment_id, command.apply_to, level, context)
    return writing_off.with_small_balances(states, draft.changes, context)


def check_recorded(amount: Money, reference: str) -> None:
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a payment must be above 0", field="data.amount")
    if not reference.strip():
        raise Rejected(
            "MALFORMED_REQUEST", "a payment from outside needs a reference", field="data.reference"
        )


RULES = (Rule(RecordExternalPayment, _external_needs, record_external),)
