"""Applying without being told where: what an account holds settles what it owes, as far as it goes.

Invariant (domain 2.6, 2.8): no more is applied than is free and open; what is locked, excluded from
payments or settled at another level is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.applications import application, rule_applying, spreading
from services.applications.application import Why
from services.applications.applying import TARGETS_MAX, check_payment, check_processed
from services.commands import Id, command
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments.payment import Payment
from services.tenants import tenant_settings

ON_POSTING: Mapping[str, type[Any]] = {
    "auto_apply_payments_to_posted_invoices": Payment,
    "auto_apply_credits_to_posted_invoices": CreditMemo,
}
"""Setting to the kind of money that it applies when an invoice is posted."""


@command("payments.payment.auto_apply.v1")
class AutoApplyPayment:
    """Apply a payment's unapplied money: to the invoices that it was meant for, then to the oldest."""

    payment_id: Id


def applies(settings: tenant_settings.TenantSettings) -> bool:
    return settings["rule_based_application"] or any(settings[name] for name in ON_POSTING)


def needed_on_posting(states: States, settings: tenant_settings.TenantSettings, context: Context) -> Needs:
    if settings["rule_based_application"]:
        yield from rule_applying.needed(states, context)
        return
    kinds = [kind for setting, kind in ON_POSTING.items() if settings[setting]]
    if kinds:
        yield Documents(context.account_id)
    for kind in kinds:
        for id in states.find_documents(context.account_id, kind):
            yield Need(kind, id)


def on_posting(
    draft: Draft,
    states: States,
    invoice_id: str,
    settings: tenant_settings.TenantSettings,
    context: Context,
) -> None:
    """What the account holds settles its new invoice: by rules, or each kind that is switched on, in turn."""
    if settings["rule_based_application"]:
        rule_applying.run(draft, states, settings, context, also=[invoice_id])
        return
    steps: list[Callable[[Draft, States, str, str, Context], None]] = []
    if settings["auto_apply_payments_to_posted_invoices"] and not draft.get(Invoice, invoice_id).excluded:
        steps.append(_apply_payments)
    if settings["auto_apply_credits_to_posted_invoices"]:
        steps.append(_apply_credits)
    for step in steps if settings["application_order"] == "PAYMENTS_FIRST" else reversed(steps):
        step(draft, states, invoice_id, settings["application_level"], context)


def _apply_payments(draft: Draft, states: States, invoice_id: str, level: str, context: Context) -> None:
    """Those that were meant for it first, then the oldest."""
    held = [states.get(Payment, id) for id in states.documents(context.account_id, Payment)]
    for payment in sorted(held, key=lambda payment: _age(payment, invoice_id, context)):
        _apply(draft, payment, invoice_id, level, context)


def _age(payment: Payment, invoice_id: str, context: Context) -> tuple[Any, ...]:
    meant = any(intended.invoice_id == invoice_id for intended in payment.intended)
    return not meant, payment.requested_at or context.now, payment.payment_id


def _apply(draft: Draft, payment: Payment, invoice_id: str, level: str, context: Context) -> None:
    invoice = draft.get(Invoice, invoice_id)
    usable = payment.status == "PROCESSED" and payment.cancellation_key is None
    amount = min(payment.unapplied, invoice.balance)
    if usable and amount > 0 and payment.currency == invoice.currency and invoice.level in (None, level):
        shares = spreading.spread_payment(invoice, amount, level)
        draft.extend(application.place(payment, invoice, shares, Why(context.now, "RULE"), context))


def _apply_credits(draft: Draft, states: States, invoice_id: str, level: str, context: Context) -> None:
    """The account's open credits, oldest first, as far as they go (domain 3.1, b)."""
    for memo in _open_credits(states, draft.get(Invoice, invoice_id).currency, context):
        invoice = draft.get(Invoice, invoice_id)
        amount = min(memo.balance, invoice.balance)
        if amount > 0 and invoice.level in (None, level):
            shares = spreading.spread_memo(memo, invoice, amount, level)
            draft.extend(application.place(memo, invoice, shares, Why(context.now, "RULE"), context))


def _open_credits(states: States, currency: str, context: Context) -> Iterable[CreditMemo]:
    memos = [states.get(CreditMemo, id) for id in states.documents(context.account_id, CreditMemo)]
    usable = [memo for memo in memos if memo.balance > 0 and memo.currency == currency and not memo.locked_by]
    return sorted(usable, key=lambda memo: (memo.posted_at or context.now, memo.credit_memo_id))


def _needs(states: States, command: AutoApplyPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield tenant_settings.needed(context)
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, Invoice):
        yield Need(Invoice, id)


def auto_apply(states: States, command: AutoApplyPayment, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    check_payment(payment, command.payment_id, context)
    check_processed(payment)
    level = tenant_settings.of(states, context)["application_level"]
    draft = Draft(states, {Payment: payments.evolve, Invoice: invoices.evolve})
    owed = [states.get(Invoice, id) for id in states.documents(context.account_id, Invoice)]
    meant = [intended.invoice_id for intended in payment.intended]
    owed = [invoice for invoice in owed if _takes(invoice)]
    owed.sort(
        key=lambda i: (
            meant.index(i.invoice_id) if i.invoice_id in meant else len(meant),
            i.posted_at or context.now,
            i.invoice_id,
        )
    )
    for invoice in owed[:TARGETS_MAX]:
        _apply(draft, draft.get(Payment, command.payment_id), invoice.invoice_id, level, context)
    return draft.changes


def _takes(invoice: Invoice) -> bool:
    collectable = not invoice.excluded and not invoice.disputes
    return invoice.status == "POSTED" and invoice.locked_by is None and collectable


RULES = (Rule(AutoApplyPayment, _needs, auto_apply),)
