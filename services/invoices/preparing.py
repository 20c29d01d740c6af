"""Drafts of invoices: written down, revised, given up, or posted; nothing is owed by one.

Invariant: a posting happens whole or not at all, so nothing is ever seen between DRAFT and
POSTED, and what cannot be posted is a draft still.
"""

from __future__ import annotations

from datetime import datetime

from events import ids
from events.invoice import InvoiceDraftCanceled, InvoiceDrafted, InvoiceRevised
from services.accounts import account
from services.applications import guards
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import invalid_state
from services.invoices import posting
from services.invoices.invoice import Invoice
from services.invoices.posting import Content
from services.tenants import tenant_settings


@command("payments.invoice.draft.v1")
class DraftInvoice(Content):
    """Write an invoice down that is not to be paid yet."""


@command("payments.invoice.revise_draft.v1")
class ReviseDraftInvoice(Content):
    """Say all of a draft anew; its `external_id` says which."""


@command("payments.invoice.post_draft.v1")
class PostDraftInvoice:
    """Post a draft as it stands."""

    invoice_id: Id
    posted_at: datetime | None = None
    """When it is posted, and takes effect for the books; now, where nothing is said."""


@command("payments.invoice.cancel_draft.v1")
class CancelDraftInvoice:
    """Give a draft up; its `external_id` stays taken."""

    invoice_id: Id
    reason: FreeText | None = None


def _draft_needs(states: States, command: DraftInvoice | ReviseDraftInvoice, context: Context) -> Needs:
    yield Need(Invoice, ids.invoice_id(context.tenant, command.external_id))
    yield account.needed(context)
    yield tenant_settings.needed(context)


def draft(states: States, command: DraftInvoice, context: Context) -> Changes:
    invoice_id = ids.invoice_id(context.tenant, command.external_id)
    account.of(states, context)
    posting.check_new(states.get(Invoice, invoice_id), command.external_id)
    posting.check_lines(command)
    content = posting.drafted(states, command, context)
    written = InvoiceDrafted(
        invoice_id, command.external_id, context.account_id, content, command.invoice_date
    )
    return [Change(Invoice, invoice_id, written), *posting.with_fields(command, context)]


def revise(states: States, command: ReviseDraftInvoice, context: Context) -> Changes:
    invoice_id = ids.invoice_id(context.tenant, command.external_id)
    account.of(states, context)
    invoice = _draft_of(states, invoice_id, context)
    posting.check_lines(command)
    content = posting.drafted(states, command, context)
    same = (content, command.invoice_date) == (invoice.draft, invoice.invoice_date)
    revised = InvoiceRevised(content, command.invoice_date)
    fields = [] if command.custom_fields == invoice.custom_fields else posting.with_fields(command, context)
    return [*([] if same else [Change(Invoice, invoice_id, revised)]), *fields]


def _draft_of(states: States, invoice_id: str, context: Context) -> Invoice:
    invoice = states.get(Invoice, invoice_id)
    guards.check_invoice(invoice, invoice_id, context)
    if invoice.status != "DRAFT":
        raise invalid_state("invoice", invoice.status, ["DRAFT"])
    return invoice


def _post_needs(states: States, command: PostDraftInvoice, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield account.needed(context)
    invoice = states.find(Invoice, command.invoice_id)
    if invoice and invoice.draft:
        yield from posting.needed(states, invoice.draft, command.posted_at, context)


def post(states: States, command: PostDraftInvoice, context: Context) -> Changes:
    account.of(states, context)
    invoice = _draft_of(states, command.invoice_id, context)
    assert invoice.draft is not None
    posted = posting.posted(invoice.draft, invoice, command.posted_at or context.now)
    return posting.carry_out(states, posted, context)


def _cancel_needs(states: States, command: CancelDraftInvoice, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)


def cancel(states: States, command: CancelDraftInvoice, context: Context) -> Changes:
    _draft_of(states, command.invoice_id, context)
    return [Change(Invoice, command.invoice_id, InvoiceDraftCanceled(command.reason))]


RULES = (
    Rule(DraftInvoice, _draft_needs, draft),
    Rule(ReviseDraftInvoice, _draft_needs, revise),
    Rule(PostDraftInvoice, _post_needs, post),
    Rule(CancelDraftInvoice, _cancel_needs, cancel),
)
