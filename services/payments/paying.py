"""Paying: money is asked for at a gateway.

Invariant: the intent is durable before anything is sent.
"""

from __future__ import annotations

from typing import Literal

from events.shapes import Method
from services.accounts import account, payment_method
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.calls.accompanying import AdditionalData, Payer, PurchaseDetail, accompanying
from services.commands import Amount, FreeText, Id, command
from services.decision import Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected
from services.invoices.invoice import Invoice
from services.payments import asking, payment_group
from services.payments import payment as payments
from services.payments.asking import ApplyTo, Asked, OneTimeMethod
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from services.payments.placing import check_asked


@command("payments.payment.process.v1")
class ProcessPayment:
    """Take money in one step (a sale) with a saved method, or with a token used once."""

    amount: Amount
    """How much is taken: above 0."""
    payment_id: Id | None = None
    """An id of the caller's own for the payment; without it, one is made."""
    method_id: Id | None = None
    """The saved payment method that pays.  Without one, and without `method`: the first invoice's, its
    billing profile's, or the account's default."""
    method: OneTimeMethod | None = None
    """A token that is used once, instead of a saved payment method."""
    gateway_id: Id | None = None
    """The gateway of a one-time method; a saved method names its own."""
    apply_to: tuple[ApplyTo, ...] = ()
    """Invoices that it settles as soon as it has arrived, in turn; what they do not take stays unapplied."""
    billing_profile_id: Id | None = None
    """The billing profile whose method pays, where none is named; without one, that of the invoice that it is
    first meant for, or the account's default."""
    initiation: Literal["AD_HOC", "PORTAL", "PAY_LINK", "CHECKOUT", "BATCH_RUN"] = "AD_HOC"
    """Who begins it. PORTAL, PAY_LINK, CHECKOUT: the customer, who can answer his bank. AD_HOC: the merchant.
    BATCH_RUN: the merchant, and not while the account is on hold."""
    payment_group_id: Id | None = None
    new_payment_group: NewGroup | None = None
    fraud_context: Payer | None = None
    client_context: FreeText | None = None
    """Kept and sent as it is; nothing here reads it."""
    comments: FreeText | None = None
    additional_data: AdditionalData | None = None
    legal_entity_id: Id | None = None
    """The seller's company in whose books it is; without one, that of the invoice that it is first meant
    for."""
    initiation_source_id: Id | None = None
    """What it is begun for, such as an order: told to the gateway.  Without one: its first invoice."""
    enhanced_data: PurchaseDetail | None = None


def _method_id(states: States, command: ProcessPayment, context: Context) -> str | None:
    """The command's, its first invoice's, its billing profile's, the default profile's, the default."""
    if command.method_id or command.method:
        return command.method_id
    owner, invoice = states.find(Account, context.account_id), _first_invoice(states, command, context)
    if invoice and invoice.saved_payment_method_id:
        return invoice.saved_payment_method_id
    return account.method_for(owner, _profile_id(states, command, context)) if owner else None


def _first_invoice(states: States, command: ProcessPayment, context: Context) -> Invoice | None:
    invoice = states.find(Invoice, command.apply_to[0].invoice_id) if command.apply_to else None
    return invoice if invoice and invoice.account_id == context.account_id else None


def _profile_id(states: States, command: ProcessPayment, context: Context) -> str | None:
    invoice = _first_invoice(states, command, context)
    return command.billing_profile_id or (invoice.profile_id if invoice else None)


def _gateway_id(states: States, command: ProcessPayment, context: Context) -> str | None:
    method_id = _method_id(states, command, context)
    method = states.find(SavedMethod, method_id) if method_id else None
    if method is None or (method.portable and command.gateway_id):
        return command.gateway_id
    return method.gateway_id


def process_needs(states: States, command: ProcessPayment, context: Context) -> Needs:
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    yield account.needed(context)
    method_id, gateway_id = _method_id(states, command, context), _gateway_id(states, command, context)
    if method_id:
        yield Need(SavedMethod, method_id)
    yield from asking.needed(states, gateway_id, command.apply_to, context)
    yield from payment_group.needed(command.payment_group_id, command.new_payment_group)


def process(states: States, command: ProcessPayment, context: Context) -> Changes:
    owner = account.chargeable(states, context)
    payments.check_new(states, command.payment_id)
    if command.initiation == "BATCH_RUN":
        account.check_collectable(owner, context)
    account.check_profile(owner, command.billing_profile_id)
    method = _method(states, command, context)
    if command.amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a payment must be above 0", field="data.amount")
    check_asked(command.apply_to, command.amount)
    asked = Asked(
        command.payment_id or context.new_id("payment"),
        command.amount,
        method,
        command.apply_to,
        command.initiation,
        new=command.payment_id is None,
        payment_group_id=_group_id(command),
        profile_id=_profile_id(states, command, context),
        legal_entity_id=command.legal_entity_id,
        source_id=command.initiation_source_id,
        is_first=_is_first(states, command, context),
        detail=command.enhanced_data,
        besides=accompanying(command, owner),
    )
    groups = payment_group.joined(states, command.payment_group_id, command.new_payment_group, context)
    return [*groups, *asking.ask(states, asked, context)]


def _is_first(states: States, command: ProcessPayment, context: Context) -> bool:
    method_id = _method_id(states, command, context)
    return method_id is not None and payment_method.is_first_use(states.get(SavedMethod, method_id))


def _group_id(command: ProcessPayment) -> str | None:
    return (
        command.new_payment_group.payment_group_id if command.new_payment_group else command.payment_group_id
    )


def _method(states: States, command: ProcessPayment, context: Context) -> Method:
    if command.method:
        if command.method_id or not command.gateway_id:
            raise Rejected("METHOD_NOT_USABLE", "a one-time method needs a gateway_id, and no method_id")
        return Method(gateway_id=command.gateway_id, **vars(command.method))
    method_id = _method_id(states, command, context)
    if method_id is None:
        raise Rejected("NO_PAYMENT_METHOD", "the account has no default payment method")
    method = states.get(SavedMethod, method_id)
    payment_method.check_chargeable(method, method_id, context)
    return payment_method.snapshot(method, payment_method.gateway_for(method, command.gateway_id))


RULES = (Rule(ProcessPayment, process_needs, process),)
