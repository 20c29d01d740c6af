"""What is said of a posted invoice besides its money: excluded from payments, due later, held by another."""

from __future__ import annotations

from datetime import date

from events.invoice import (
    InvoiceCustomFieldsSet,
    InvoiceDueDateExtended,
    InvoiceExcludedFromPayments,
    InvoiceLocked,
    InvoiceUnlocked,
)
from services import custom_fields
from services.applications import guards
from services.commands import FreeText, Id, command
from services.custom_fields import FieldChanges
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices.invoice import Invoice
from services.schedules.moving import due_later, schedules_needed

PERSON = "USER"
"""The type of an actor who is no process: what a process locks, no person moves."""


@command("payments.invoice.exclude_from_payments.v1")
class ExcludeInvoiceFromPayments:
    """Collect nothing for an invoice by itself.

    One that a schedule collects already is `INVALID_STATE`: its schedule is canceled first.
    """

    invoice_id: Id
    reason: FreeText


@command("payments.invoice.set_custom_fields.v1")
class SetInvoiceCustomFields:
    """What is null is taken away, what is not named stays."""

    invoice_id: Id
    custom_fields: FieldChanges
    """Name to new value; null takes it away, and what is not named stays."""


@command("payments.invoice.extend_due_date.v1")
class ExtendDueDate:
    """Let the customer pay later; what is settled is not due any more."""

    invoice_id: Id
    due_date: date
    """The day by which it is to be paid now."""
    reason: FreeText | None = None


@command("payments.invoice.lock.v1")
class LockInvoice:
    """A process takes an invoice to itself: nobody else settles, credits, converts, extends or voids it."""

    invoice_id: Id


@command("payments.invoice.unlock.v1")
class UnlockInvoice:
    """Only the process that holds it lets it go."""

    invoice_id: Id


def _needs(
    states: States,
    command: ExcludeInvoiceFromPayments | SetInvoiceCustomFields | LockInvoice | UnlockInvoice,
    context: Context,
) -> Needs:
    yield Need(Invoice, command.invoice_id)


def _extend_needs(states: States, command: ExtendDueDate, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield from schedules_needed(states, command.invoice_id)


def posted(states: States, invoice_id: str, context: Context) -> Invoice:
    """Raises `INVOICE_NOT_FOUND`, `ACCOUNT_MISMATCH`, `INVALID_STATE`."""
    invoice = states.get(Invoice, invoice_id)
    guards.check_invoice(invoice, invoice_id, context)
    if invoice.status != "POSTED":
        raise invalid_state("invoice", invoice.status, ["POSTED"])
    return invoice


def set_custom_fields(states: States, command: SetInvoiceCustomFields, context: Context) -> Changes:
    invoice = states.get(Invoice, command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    after = custom_fields.changed(invoice.custom_fields, command.custom_fields)
    return [] if after is None else [Change(Invoice, command.invoice_id, InvoiceCustomFieldsSet(after))]


def exclude(states: States, command: ExcludeInvoiceFromPayments, context: Context) -> Changes:
    invoice = posted(states, command.invoice_id, context)
    if invoice.excluded:
        return []
    if invoice.schedule_ids:
        raise invalid_state("invoice", "SCHEDULED", ["NOT_SCHEDULED"])
    return [Change(Invoice, command.invoice_id, InvoiceExcludedFromPayments(command.reason))]


def extend(states: States, command: ExtendDueDate, context: Context) -> Changes:
    invoice = posted(states, command.invoice_id, context)
    if invoice.balance <= 0:
        raise invalid_state("invoice", invoice.settlement_status, ["NOT_SETTLED", "PARTIALLY_SETTLED"])
    guards.check_unlocked(invoice)
    assert invoice.due_date is not None
    if command.due_date <= invoice.due_date:
        raise Rejected("DATE_INVALID", f"it is due on {invoice.due_date} already", field="data.due_date")
    extended = InvoiceDueDateExtended(invoice.due_date, command.due_date, command.reason)
    return due_later(states, command.invoice_id, extended)


def lock(states: States, command: LockInvoice, context: Context) -> Changes:
    _check_process(context)
    invoice = posted(states, command.invoice_id, context)
    if invoice.locked_by == context.actor.id:
        return []
    guards.check_unlocked(invoice)
    return [Change(Invoice, command.invoice_id, InvoiceLocked(context.actor.id))]


def unlock(states: States, command: UnlockInvoice, context: Context) -> Changes:
    _check_process(context)
    invoice = states.get(Invoice, command.invoice_id)
    guards.check_invoice(invoice, command.invoice_id, context)
    if invoice.locked_by is None:
        return []
    if invoice.locked_by != context.actor.id:
        guards.check_unlocked(invoice)
    return [Change(Invoice, command.invoice_id, InvoiceUnlocked(context.actor.id))]


def _check_process(context: Context) -> None:
    if context.actor.type == PERSON:
        raise Rejected("FORBIDDEN", "only a process locks an invoice, or unlocks it")


RULES = (
    Rule(ExcludeInvoiceFromPayments, _needs, exclude),
    Rule(SetInvoiceCustomFields, _needs, set_custom_fields),
    Rule(ExtendDueDate, _extend_needs, extend),
    Rule(LockInvoice, _needs, lock),
    Rule(UnlockInvoice, _needs, unlock),
)
