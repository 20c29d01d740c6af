"""Payments from outside that are written down before they count: edited, deleted, or posted.

Invariant: only drafts are edited or deleted; a draft is no money until it is posted.
"""

from __future__ import annotations

from datetime import date

from events.payment import (
    DraftPaymentDeleted,
    DraftPaymentEdited,
    ExternalPaymentDrafted,
    ExternalPaymentRecorded,
)
from services.accounts import account
from services.applications import guards
from services.commands import Amount, FreeText, Id, Text, command
from services.credits import writing_off
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import invalid_state
from services.invoices.invoice import Invoice
from services.payments import external, placing
from services.payments.asking import ApplyTo, entity_of
from services.payments.external import Instrument
from services.payments.payment import Payment
from services.tenants import periods, rates, tenant_settings


@command("payments.payment.edit_draft.v1")
class EditDraftPayment:
    """The whole draft, as it is to be from now on."""

    payment_id: Id
    amount: Amount
    instrument: Instrument
    reference: Text
    received_on: date


@command("payments.payment.delete_draft.v1")
class DeleteDraftPayment:
    """Give a draft up; one that was posted is not deleted."""

    payment_id: Id
    reason: FreeText | None = None


@command("payments.payment.post_draft.v1")
class PostDraftPayment:
    """The money counts from now on, and settles the invoices that are named."""

    payment_id: Id
    apply_to: tuple[ApplyTo, ...] = ()
    """Invoices that it settles at once, in turn; what they do not take stays unapplied."""


def _needs(states: States, command: EditDraftPayment | DeleteDraftPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)


def _draft_of(states: States, payment_id: str, context: Context) -> Payment:
    payment = states.get(Payment, payment_id)
    guards.check_payment(payment, payment_id, context)
    if payment.status != "DRAFT":
        raise invalid_state("payment", payment.status, ["DRAFT"])
    return payment


def edit(states: States, command: EditDraftPayment, context: Context) -> Changes:
    draft = _draft_of(states, command.payment_id, context).draft
    assert draft is not None
    external.check_recorded(command.amount, command.reference)
    edited = DraftPaymentEdited(command.amount, command.instrument, command.reference, command.received_on)
    if edited == DraftPaymentEdited(draft.amount, draft.instrument, draft.reference, draft.received_on):
        return []
    return [Change(Payment, command.payment_id, edited)]


def delete(states: States, command: DeleteDraftPayment, context: Context) -> Changes:
    if states.get(Payment, command.payment_id).status == "DELETED":
        return []
    _draft_of(states, command.payment_id, context)
    return [Change(Payment, command.payment_id, DraftPaymentDeleted(command.reason))]


def _post_needs(states: States, command: PostDraftPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    for target in command.apply_to:
        yield Need(Invoice, target.invoice_id)
    draft = states.find(Payment, command.payment_id)
    if draft and draft.draft:
        entity = _entity(states, draft.draft, command, context)
        yield from periods.needed(entity, draft.draft.received_on, context)
    yield from writing_off.small_needed(states, context)


def _entity(
    states: States, said: ExternalPaymentDrafted, command: PostDraftPayment, context: Context
) -> str | None:
    return said.legal_entity_id or entity_of(states, command.apply_to, context)


def post(states: States, command: PostDraftPayment, context: Context) -> Changes:
    account.of(states, context)
    said = _draft_of(states, command.payment_id, context).draft
    assert said is not None
    entity = _entity(states, said, command, context)
    periods.check_open(states, entity, said.received_on, context)
    placing.check_targets(states, command.apply_to, said.amount, context)
    recorded = ExternalPaymentRecorded(
        said.payment_id,
        said.number,
        said.account_id,
        said.amount,
        said.instrument,
        said.reference,
        said.received_on,
        context.now,
        said.payment_group_id,
        rates.snapshot(states, said.amount, said.received_on, context),
        entity,
    )
    draft = Draft(states, placing.EVOLVE)
    draft.record(Payment, command.payment_id, recorded)
    level = tenant_settings.of(states, context)["application_level"]
    placing.apply_now(draft, command.payment_id, command.apply_to, level, context)
    return writing_off.with_small_balances(states, draft.changes, context)


RULES = (
    Rule(EditDraftPayment, _needs, edit),
    Rule(DeleteDraftPayment, _needs, delete),
    Rule(PostDraftPayment, _post_needs, post),
)
