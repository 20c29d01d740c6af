"""Guards that many decisions share: each one rule, each named by its code.

They are asked in one order: existence, ownership, state, lock, currency, sign, own balance, the target
invoice's balance, the target line's.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime

from events.money import Money
from services.credits.credit_memo import CreditMemo
from services.decision import Context, Needs, States
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state, not_found
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.tenants import periods, tenant_settings

TARGETS_MAX = 300


def check_payment(payment: Payment, payment_id: str, context: Context) -> None:
    if not payment.status:
        raise not_found("PAYMENT", payment_id)
    if payment.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the payment {payment_id} belongs to another account")


def check_processed(payment: Payment) -> None:
    if payment.status != "PROCESSED":
        raise Rejected("PAYMENT_NOT_PROCESSED", f"the payment is {payment.status}", state=payment.status)
    if payment.cancellation_key is not None:
        raise Rejected("OPERATION_IN_FLIGHT", "the payment is being canceled")


def check_payment_balance(payment: Payment, asked: Money) -> None:
    if asked.amount_minor > payment.unapplied:
        available = Money(payment.unapplied, payment.currency)
        raise exceeded("PAYMENT_BALANCE_EXCEEDED", asked, available, f"payment {payment.number}")


def check_memo(memo: CreditMemo, credit_memo_id: str, context: Context, *allowed: str) -> None:
    """Raises `CREDIT_MEMO_NOT_FOUND`, `ACCOUNT_MISMATCH`, `INVALID_STATE` (POSTED, if nothing else is
    allowed), `CREDIT_MEMO_LOCKED`."""
    check_memo_known(memo, credit_memo_id, context)
    check_memo_free(memo, *allowed)


def check_memo_known(memo: CreditMemo, credit_memo_id: str, context: Context) -> None:
    if not memo.status:
        raise not_found("CREDIT_MEMO", credit_memo_id)
    if memo.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the credit memo {credit_memo_id} belongs to another account")


def check_memo_free(memo: CreditMemo, *allowed: str) -> None:
    allowed = allowed or ("POSTED",)
    if memo.status not in allowed:
        raise invalid_state("credit memo", memo.status, allowed)
    if memo.locked_by is not None:
        raise Rejected(
            "CREDIT_MEMO_LOCKED", f"the credit memo is held by {memo.locked_by}", by=memo.locked_by
        )


def check_movable(memo: CreditMemo) -> None:
    """A write-off belongs to its invoice: it is reversed there, and settles nothing else."""
    if memo.category == "INVOICE_WRITE_OFF":
        raise Rejected("REFERENCE_MISMATCH", "it is a write-off: reverse that, on its invoice")


def check_memo_balance(memo: CreditMemo, asked: Money, balance: int | None = None) -> None:
    """No more than the memo has, or one of its lines."""
    balance = memo.balance if balance is None else balance
    if asked.amount_minor > balance:
        available = Money(balance, memo.currency)
        raise exceeded("CREDIT_BALANCE_EXCEEDED", asked, available, f"credit memo {memo.number}")


def check_invoice(invoice: Invoice, invoice_id: str, context: Context) -> None:
    if not invoice.status:
        raise not_found("INVOICE", invoice_id)
    if invoice.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the invoice {invoice_id} belongs to another account")


def check_posted(invoice: Invoice) -> None:
    if invoice.status != "POSTED":
        raise Rejected("TARGET_NOT_POSTED", f"the invoice is {invoice.status}", state=invoice.status)


def check_unlocked(invoice: Invoice) -> None:
    if invoice.locked_by is not None:
        raise Rejected("INVOICE_LOCKED", f"the invoice is held by {invoice.locked_by}", by=invoice.locked_by)


def dated(invoice: Invoice, effective_at: datetime | None, context: Context) -> Needs:
    """What a date of the caller's must be looked up in, for an invoice."""
    return periods.needed(invoice.legal_entity_id, effective_at, context)


def check_period(states: States, invoice: Invoice, effective_at: datetime | None, context: Context) -> None:
    periods.check_open(states, invoice.legal_entity_id, effective_at, context)


def check_line(invoice: Invoice, line_id: str | None) -> None:
    if line_id is not None and line_id not in invoice.lines:
        raise not_found("INVOICE_LINE", line_id)


def check_money(amount: Money, source_currency: str, invoice: Invoice) -> None:
    if source_currency != invoice.currency:
        raise currency_mismatch(invoice.currency, source_currency, f"invoice {invoice.number}")
    if amount.currency != invoice.currency:
        raise currency_mismatch(invoice.currency, amount.currency, f"invoice {invoice.number}")
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.amount")


def check_sum(amount: Money, currency: str) -> None:
    """An amount of a source's own, above 0."""
    if amount.currency != currency:
        raise currency_mismatch(currency, amount.currency, "the source")
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.amount")


def check_room(invoice: Invoice, amount: Money, line_id: str | None) -> None:
    """The invoice's balance, then the line's."""
    if amount.amount_minor > invoice.balance:
        available = Money(max(invoice.balance, 0), invoice.currency)
        raise exceeded("INVOICE_BALANCE_EXCEEDED", amount, available, f"invoice {invoice.number}")
    line = invoice.lines[line_id] if line_id else None
    if line and line.line.line_total.amount_minor <= 0:
        raise Rejected("LINE_NOT_PAYABLE", f"line {line_id} owes nothing")
    if line and amount.amount_minor > line.balance:
        available = Money(line.balance, invoice.currency)
        raise exceeded("LINE_BALANCE_EXCEEDED", amount, available, f"line {line_id}")


def level_of(states: States, context: Context, line_id: str | None) -> str:
    return "INVOICE_LINE" if line_id else tenant_settings.of(states, context)["application_level"]


def check_level(invoice: Invoice, level: str) -> None:
    if invoice.level is not None and invoice.level != level:
        raise Rejected("SETTLEMENT_LEVEL_MISMATCH", f"the invoice is settled at level {invoice.level}")


def check_targets(targets: Sequence[Hashable]) -> None:
    if not targets or len(set(targets)) != len(targets):
        raise Rejected("MALFORMED_REQUEST", "name at least one target, each once", field="data")
    if len(targets) > TARGETS_MAX:
        raise Rejected("TOO_MANY_TARGETS", f"name at most {TARGETS_MAX} targets", limit=TARGETS_MAX)


def total(amounts: Iterable[Money], currency: str) -> Money:
    return Money(sum(amount.amount_minor for amount in amounts), currency)
