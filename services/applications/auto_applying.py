"""Applying without being told where: what an account holds settles what it owes, as far as it goes.

Invariant: no more is applied than is free and open; what is locked, excluded from
payments or settled at another level is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.applications import application, guards, rule_applying
from services.applications.application import Source, Why
from services.commands import Id, command
from services.credits import writing_off
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
        _apply(draft, payment, payment.payment_id, invoice_id, level, context)


def _age(payment: Payment, invoice_id: str, context: Context) -> tuple[Any, ...]:
    meant = any(intended.invoice_id == invoice_id for intended in payment.intended)
    return not meant, payment.requested_at or context.now, payment.payment_id


def _apply_credits(draft: Draft, states: States, invoice_id: str, level: str, context: Context) -> None:
    """The account's open credits, oldest first, as far as they go."""
    held = [states.get(CreditMemo, id) for id in states.documents(context.account_id, CreditMemo)]
    for memo in sorted(held, key=lambda memo: (memo.posted_at or context.now, memo.credit_memo_id)):
        _apply(draft, memo, memo.credit_memo_id, invoice_id, level, context)


def _apply(
    draft: Draft, source: Source, source_id: str, invoice_id: str, level: str, context: Context
) -> None:
    invoice = draft.get(Invoice, invoice_id)
    amount = min(application.free(source), invoice.balance)
    if application.takes(invoice, source, level):
        why = Why(context.now, "RULE")
        application.apply(draft, type(source), source_id, invoice_id, amount, level, why, context)


def _needs(states: States, command: AutoApplyPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield tenant_settings.needed(context)
    yield from writing_off.small_needed(states, context)
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, Invoice):
        yield Need(Invoice, id)


def auto_apply(states: States, command: AutoApplyPayment, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    guards.check_processed(payment)
    level = tenant_settings.of(states, context)["application_level"]
    draft = Draft(states, {Payment: payments.evolve, Invoice: invoices.evolve})
    open = [states.get(Invoice, id) for id in states.documents(context.account_id, Invoice)]
    owed = [invoice for invoice in open if application.takes(invoice, payment, level)]
    meant = {intended.invoice_id: n for n, intended in enumerate(payment.intended)}
    owed.sort(key=lambda i: (meant.get(i.invoice_id, len(meant)), i.posted_at or context.now, i.invoice_id))
    for invoice in owed[: guards.TARGETS_MAX]:
        payment = draft.get(Payment, command.payment_id)
        _apply(draft, payment, command.payment_id, invoice.invoice_id, level, context)
    return writing_off.with_small_balances(states, draft.changes, context)


RULES = (Rule(AutoApplyPayment, _needs, auto_apply),)
