"""Checking out: an invoice is posted and its money asked for in one decision, or nothing happens at all.

Invariant: what is paid is what the invoice owes once it is posted, neither more nor less.
With `dry_run` it is a preview; what arrives is applied as that of every payment that names its invoice.
"""

from __future__ import annotations

from datetime import datetime

from events import ids
from events.money import Money
from services.accounts import account
from services.accounts.account import Account
from services.calls.accompanying import AdditionalData, Payer, PurchaseDetail
from services.commands import Amount, FreeText, Id, command
from services.decision import Ahead, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch
from services.invoices import invoice as invoices
from services.invoices import posting, preparing
from services.invoices.invoice import Invoice
from services.invoices.posting import Content, PostInvoice
from services.invoices.preparing import PostDraftInvoice
from services.payments import paying
from services.payments import payment as payments
from services.payments.asking import ApplyTo
from services.payments.paying import OneTimeMethod, ProcessPayment
from services.payments.payment import Payment

_EVOLVE = {Invoice: invoices.evolve, Payment: payments.evolve, Account: account.evolve}
"""What a posting may have changed that a payment looks at."""


@command("payments.invoice.checkout.v1")
class Checkout:
    """Post an invoice, new or a draft, and take all that it owes in one sale."""

    amount: Amount
    """What the buyer has agreed to: the invoice's total, less what the posting itself has settled."""
    invoice: Content | None = None
    """A new invoice; either this or `invoice_id`."""
    invoice_id: Id | None = None
    """A draft that is posted; either this or `invoice`."""
    posted_at: datetime | None = None
    payment_id: Id | None = None
    """An id of the caller's own for the payment; without it, one is made."""
    method_id: Id | None = None
    """The saved payment method; without one, and without `method`, the invoice's, its billing profile's, or
    the account's default."""
    method: OneTimeMethod | None = None
    """A token that is used once, instead of a saved payment method."""
    gateway_id: Id | None = None
    """The gateway of a one-time method."""
    billing_profile_id: Id | None = None
    """The billing profile whose method pays, where none is named; without one, the invoice's or the account's
    default."""
    fraud_context: Payer | None = None
    client_context: FreeText | None = None
    """Kept and sent as it is; nothing here reads it."""
    comments: FreeText | None = None
    additional_data: AdditionalData | None = None
    initiation_source_id: Id | None = None
    """What it is begun for, such as an order: told to the gateway.  Without one: the invoice."""
    enhanced_data: PurchaseDetail | None = None


def _invoice_id(command: Checkout, context: Context) -> str:
    if command.invoice:
        return ids.invoice_id(context.tenant, command.invoice.external_id)
    return command.invoice_id or ""


def _sale(states: States, command: Checkout, invoice_id: str) -> ProcessPayment:
    """The payment: its method and profile are the invoice's, as it will be posted, where none is named."""
    draft = states.find(Invoice, invoice_id)
    content = command.invoice or (draft.draft if draft else None)
    method_id, profile_id = command.method_id, command.billing_profile_id
    if content:
        method_id = method_id or (None if command.method else content.saved_payment_method_id)
        profile_id = profile_id or content.profile_id
    return ProcessPayment(
        command.amount,
        payment_id=command.payment_id,
        method_id=method_id,
        method=command.method,
        gateway_id=command.gateway_id,
        apply_to=(ApplyTo(invoice_id, command.amount),),
        billing_profile_id=profile_id,
        initiation="CHECKOUT",
        fraud_context=command.fraud_context,
        client_context=command.client_context,
        comments=command.comments,
        additional_data=command.additional_data,
        initiation_source_id=command.initiation_source_id,
        enhanced_data=command.enhanced_data,
    )


def _needs(states: States, command: Checkout, context: Context) -> Needs:
    invoice_id = _invoice_id(command, context)
    yield Need(Invoice, invoice_id)
    draft = states.find(Invoice, invoice_id)
    content = command.invoice or (draft.draft if draft else None)
    if content:
        yield from posting.needed(states, content, command.posted_at, context)
    yield from paying.process_needs(states, _sale(states, command, invoice_id), context)


def check_out(states: States, command: Checkout, context: Context) -> Changes:
    if (command.invoice is None) == (command.invoice_id is None):
        raise Rejected("MALFORMED_REQUEST", "give a new invoice or a draft's id", field="data.invoice")
    invoice_id = _invoice_id(command, context)
    sale = _sale(states, command, invoice_id)
    posted = _posted(states, command, context)
    after = Ahead(states, _EVOLVE)
    after.take(posted)
    _check_amount(after.get(Invoice, invoice_id), command.amount)
    return [*posted, *paying.process(after, sale, context)]


def _posted(states: States, command: Checkout, context: Context) -> Changes:
    if command.invoice is None:
        return preparing.post(states, PostDraftInvoice(command.invoice_id or "", command.posted_at), context)
    return posting.post(states, PostInvoice(**vars(command.invoice), posted_at=command.posted_at), context)


def _check_amount(invoice: Invoice, amount: Money) -> None:
    if amount.currency != invoice.currency:
        raise currency_mismatch(invoice.currency, amount.currency, f"invoice {invoice.number}")
    if amount.amount_minor != invoice.balance:
        owed = Money(invoice.balance, invoice.currency)
        raise Rejected(
            "CHECKOUT_AMOUNT_MISMATCH",
            f"the invoice owes {owed}, and {amount} was agreed to",
            field="data.amount",
            owed=invoice.balance,
        )


RULES = (Rule(Checkout, _needs, check_out),)
