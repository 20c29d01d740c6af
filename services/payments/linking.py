"""Payment links: made for an invoice, opened and paid by whoever holds them, over in time.

Invariant: a guest is charged at most what the invoice owes; his payment belongs to the invoice's account.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from events.money import Money
from events.payment import PaymentBegunByLink
from events.payment_link import (
    PaymentLinkCreated,
    PaymentLinkExpired,
    PaymentLinkOpened,
    PaymentLinkPaid,
    PaymentLinkPaymentBegun,
    PaymentLinkPaymentFailed,
)
from events.shapes import Method, Outcome
from services.accounts import account, payment_method
from services.accounts.payment_method import SavePaymentMethod
from services.applications import guards
from services.calls.accompanying import Payer, PurchaseDetail, paid_by
from services.calls.provider import MethodType
from services.commands import Amount, FreeText, Id, command
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States, Subject
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import asking, payment_link
from services.payments.asking import ApplyTo, Asked, OneTimeMethod
from services.payments.payment import Payment
from services.payments.payment_link import PaymentLink


@command("payments.payment_link.create.v1")
class CreatePaymentLink:
    """A link by which a guest can pay an invoice: its id, which nobody guesses, is all that he needs.

    Without an amount: what the invoice owes as he pays.  One that is not `single_use` takes payments
    until its invoice owes nothing.
    """

    invoice_id: Id
    payment_link_id: Id | None = None
    """An id of the caller's own that nobody guesses; without it, one is made."""
    amount: Amount | None = None
    """At most so much a payment; without it, what the invoice owes as it is paid."""
    single_use: bool = True
    expires_at: datetime | None = None
    """When nothing can be paid by it any more; without one, there is no such time."""
    comments: FreeText | None = None


@command("payments.payment_link.open.v1")
class OpenPaymentLink:
    """Somebody looks at it; the first time is recorded."""

    payment_link_id: Id


@command("payments.payment_link.pay.v1")
class PayByLink:
    """A guest pays, with a method that his gateway's component has tokenized; never with a number."""

    payment_link_id: Id
    method: OneTimeMethod
    """The token that the guest's browser got from the gateway's component."""
    gateway_id: Id
    amount: Amount | None = None
    """How much the guest pays; without it, what is asked for. Less than that, only by a link that is not for
    one use."""
    save_method: bool = False
    """True: keep it for the account, once it has paid."""
    fraud_context: Payer | None = None
    enhanced_data: PurchaseDetail | None = None


@command("payments.payment_link.expire.v1")
class ExpirePaymentLink:
    """Let nothing more be paid by a link."""

    payment_link_id: Id
    reason: FreeText | None = None
    due: bool = False
    """True: only if its time is over; else nothing happens."""


@command("payments.payment_link.keep_method.v1")
class KeepGuestMethod:
    """Tender's own: the method of a guest who wanted that is kept for the account."""

    payment_link_id: Id
    payment_id: Id


# -- made


def _create_needs(states: States, command: CreatePaymentLink, context: Context) -> Needs:
    if command.payment_link_id:
        yield Need(PaymentLink, command.payment_link_id)
    yield account.needed(context)
    yield Need(Invoice, command.invoice_id)


def create(states: States, command: CreatePaymentLink, context: Context) -> Changes:
    account.of(states, context)
    id = command.payment_link_id or context.new_id("payment-link")
    if command.payment_link_id and states.get(PaymentLink, id).status:
        raise Rejected("PAYMENT_LINK_EXISTS", f"the payment link {id} exists already")
    invoice = _owed(states, command.invoice_id, context)
    if command.amount:
        _check_amount(command.amount, Money(invoice.balance, invoice.currency), invoice)
    if command.expires_at and command.expires_at <= context.now:
        raise Rejected("DATE_INVALID", "a link expires in the future", field="data.expires_at")
    created = PaymentLinkCreated(
        payment_link_id=id,
        account_id=context.account_id,
        invoice_id=command.invoice_id,
        currency=invoice.currency,
        single_use=command.single_use,
        created_at=context.now,
        amount=command.amount,
        expires_at=command.expires_at,
        comments=command.comments,
    )
    return [Change(PaymentLink, id, created, new=command.payment_link_id is None)]


def _owed(states: States, invoice_id: str, context: Context) -> Invoice:
    invoice = states.get(Invoice, invoice_id)
    guards.check_invoice(invoice, invoice_id, context)
    guards.check_posted(invoice)
    if invoice.balance <= 0:
        raise Rejected("INVOICE_BALANCE_EXCEEDED", f"the invoice {invoice.number} owes nothing", available=0)
    return invoice


def _check_amount(amount: Money, most: Money, invoice: Invoice) -> None:
    if amount.currency != most.currency:
        raise currency_mismatch(most.currency, amount.currency, f"the invoice {invoice.number}")
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.amount")
    if amount.amount_minor > most.amount_minor:
        raise exceeded("INVOICE_BALANCE_EXCEEDED", amount, most, f"the invoice {invoice.number}")


# -- opened


def _open_needs(states: States, command: OpenPaymentLink, context: Context) -> Needs:
    yield Need(PaymentLink, command.payment_link_id)


def open_link(states: States, command: OpenPaymentLink, context: Context) -> Changes:
    link = payment_link.of(states, command.payment_link_id, context)
    if link.opened or link.status != "ACTIVE":
        return []
    return [Change(PaymentLink, command.payment_link_id, PaymentLinkOpened(context.now))]


# -- paid


def _pay_needs(states: States, command: PayByLink, context: Context) -> Needs:
    yield Need(PaymentLink, command.payment_link_id)
    yield account.needed(context)
    link = states.find(PaymentLink, command.payment_link_id)
    if link and link.invoice_id:
        yield Need(Invoice, link.invoice_id)
        yield from asking.needed(states, command.gateway_id, [ApplyTo(link.invoice_id)], context)


def pay(states: States, command: PayByLink, context: Context) -> Changes:
    link = payment_link.of(states, command.payment_link_id, context)
    owner = account.chargeable(states, context)
    _check_payable(link, context)
    invoice = _owed(states, link.invoice_id, context)
    guards.check_unlocked(invoice)
    amount = _amount(link, invoice, command)
    method = Method(gateway_id=command.gateway_id, **vars(command.method))
    payment_id = context.new_id("payment")
    targets = (ApplyTo(link.invoice_id, amount),)
    asked = Asked(
        payment_id,
        amount,
        method,
        targets,
        "PAY_LINK",
        new=True,
        profile_id=invoice.profile_id,
        source_id=command.payment_link_id,
        detail=command.enhanced_data,
        besides=paid_by(command.fraud_context, owner),
    )
    begun = PaymentLinkPaymentBegun(payment_id, amount, command.save_method)
    return [
        *asking.ask(states, asked, context),
        Change(Payment, payment_id, PaymentBegunByLink(command.payment_link_id)),
        Change(PaymentLink, command.payment_link_id, begun),
    ]


def _check_payable(link: PaymentLink, context: Context) -> None:
    if link.status == "EXPIRED" or (link.status == "ACTIVE" and link.is_over(context.now)):
        raise Rejected("PAYMENT_LINK_EXPIRED", "the link's time is over", expires_at=link.expires_at)
    if link.status != "ACTIVE":
        raise invalid_state("payment link", link.status, ["ACTIVE"])
    if link.paying:
        raise Rejected("OPERATION_IN_FLIGHT", "somebody pays by it now: wait for the outcome")


def _amount(link: PaymentLink, invoice: Invoice, command: PayByLink) -> Money:
    """What the link asks for, as far as the invoice still owes it."""
    owed = invoice.balance if link.amount is None else min(link.amount, invoice.balance)
    whole = Money(owed, invoice.currency)
    if command.amount is None or command.amount == whole:
        return whole
    _check_amount(command.amount, whole, invoice)
    if link.single_use:
        raise Rejected("MALFORMED_REQUEST", "a link for one use is paid whole", field="data.amount")
    return command.amount


def heard(
    states: States, payment: Payment, verdict: str, outcome: Outcome, changes: Changes, context: Context
) -> Sequence[Change]:
    """What follows for the link that a payment was begun by, from what was just decided for it."""
    id = payment.payment_link_id
    if id is None:
        return []
    link = states.get(PaymentLink, id)
    if verdict in ("PROCESSED", "LATE_SUCCESS"):
        received = outcome.processed_amount or Money(payment.amount, payment.currency)
        used_up = link.single_use or _settles(states, link, changes)
        saves = link.saves_method and link.paying == payment.payment_id
        return [
            Change(
                PaymentLink, id, PaymentLinkPaid(payment.payment_id, received, context.now, used_up, saves)
            )
        ]
    if verdict == "FAILED" and link.paying == payment.payment_id:
        failed = PaymentLinkPaymentFailed(payment.payment_id, outcome.result_code)
        return [Change(PaymentLink, id, failed)]
    return []


def _settles(states: States, link: PaymentLink, changes: Changes) -> bool:
    """Whether the invoice owes nothing once these changes are made."""
    draft = Draft(states, {Invoice: invoices.evolve})
    for change in changes:
        if isinstance(change, Change) and (change.state, change.id) == (Invoice, link.invoice_id):
            draft.record(*change)
    return draft.get(Invoice, link.invoice_id).balance <= 0


# -- kept


def _keep_needs(states: States, command: KeepGuestMethod, context: Context) -> Needs:
    yield Need(PaymentLink, command.payment_link_id)
    yield Need(Payment, command.payment_id)
    payment = states.find(Payment, command.payment_id)
    if payment and payment.method:
        yield from payment_method.save_needs(states, _saving(payment.method), context)


def keep(states: States, command: KeepGuestMethod, context: Context) -> Changes:
    payment_link.of(states, command.payment_link_id, context)
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    guards.check_processed(payment)
    if payment.payment_link_id != command.payment_link_id or payment.method is None:
        raise Rejected("REFERENCE_MISMATCH", "the payment was not begun by this link")
    return payment_method.save(states, _saving(payment.method), context)


def _saving(method: Method) -> SavePaymentMethod:
    return SavePaymentMethod(
        method.gateway_id,
        method.token_ref,
        cast("MethodType", method.type),
        gateway_reference=method.gateway_reference,
        network=method.network,
        last4=method.last4,
    )


# -- over


def _expire_needs(states: States, command: ExpirePaymentLink, context: Context) -> Needs:
    yield Need(PaymentLink, command.payment_link_id)


def expire(states: States, command: ExpirePaymentLink, context: Context) -> Changes:
    link = payment_link.of(states, command.payment_link_id, context)
    if command.due and (link.status != "ACTIVE" or not link.is_over(context.now)):
        return []
    if link.status != "ACTIVE":
        raise invalid_state("payment link", link.status, ["ACTIVE"])
    reason = "TIME_OVER" if command.due else command.reason or "ENDED_BY_HAND"
    return [Change(PaymentLink, command.payment_link_id, PaymentLinkExpired(reason))]


SUBJECT = Subject(
    PaymentLink,
    payment_link.evolve,
    (
        Rule(CreatePaymentLink, _create_needs, create),
        Rule(OpenPaymentLink, _open_needs, open_link),
        Rule(PayByLink, _pay_needs, pay),
        Rule(KeepGuestMethod, _keep_needs, keep),
        Rule(ExpirePaymentLink, _expire_needs, expire),
    ),
)
