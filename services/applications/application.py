"""Applications: the facts that move money from a payment or a credit memo to an invoice, and back.

Invariant: what leaves the source arrives at the invoice, in one decision; an application is whole,
is taken back once, and within a line covers charge and tax in proportion, to the last cent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from events.credit_memo import CreditMemoApplied, CreditMemoUnapplied
from events.frozen import frozen
from events.invoice import (
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoiceReopened,
    InvoiceScheduledBalanceChanged,
    InvoiceSettled,
    InvoiceSettlementStatusChanged,
)
from events.money import Money, allocate
from events.payment import PaymentApplied, PaymentUnapplied
from events.shapes import Applied
from services.applications.spreading import HIGHEST_FIRST, LineOrder, Share, spread
from services.credits.credit_memo import CreditMemo
from services.decision import Change, Context, Draft
from services.invoices.invoice import Application, Invoice
from services.payments.payment import Payment

Source = Payment | CreditMemo
"""What settles an invoice."""


class Moving(NamedTuple):
    """The facts that move money between one kind of source and an invoice."""

    applied: Callable[..., object]
    applied_on_invoice: Callable[..., object]
    unapplied: Callable[..., object]
    unapplied_on_invoice: Callable[..., object]


MOVING: dict[type[Source], Moving] = {
    Payment: Moving(PaymentApplied, InvoicePaymentApplied, PaymentUnapplied, InvoicePaymentUnapplied),
    CreditMemo: Moving(CreditMemoApplied, InvoiceCreditApplied, CreditMemoUnapplied, InvoiceCreditUnapplied),
}


@frozen
class Why:
    """What an application records besides the money."""

    effective_at: datetime
    cause: str = "MANUAL"
    comments: str | None = None


def place(
    source: Source, invoice: Invoice, shares: Sequence[Share], why: Why, context: Context, part: str = ""
) -> list[Change]:
    """Both streams' facts, and the settlement facts that follow.  Guards are the caller's."""
    id, free = _held(source)
    applied = _applied(invoice, shares, context, f"{part}{id}/{invoice.invoice_id}")
    amount = sum(share.amount for share in shares)
    level = "INVOICE" if shares[0].line_id is None else "INVOICE_LINE"
    common = (id, invoice.invoice_id, level, applied, Money(amount, invoice.currency))
    moving, live = MOVING[type(source)], len(invoice.applications) + len(applied)
    facts = (moving.applied, moving.applied_on_invoice)
    return _moved(source, invoice, facts, common, (free - amount, invoice.balance - amount), live, why)


def take_back(
    source: Source,
    invoice: Invoice,
    application_ids: Iterable[str],
    why: Why,
    context: Context,
    part: str = "",
) -> list[Change]:
    """Take whole applications of a source back from an invoice."""
    id, free = _held(source)
    was = [invoice.applications[id] for id in application_ids]
    back, amount = _taken_back(was, invoice.currency, context, part), sum(a.amount for a in was)
    common = (id, invoice.invoice_id, invoice.level or "INVOICE", back, Money(amount, invoice.currency))
    moving, live = MOVING[type(source)], len(invoice.applications) - len(was)
    facts = (moving.unapplied, moving.unapplied_on_invoice)
    return _moved(source, invoice, facts, common, (free + amount, invoice.balance + amount), live, why)


def apply(
    draft: Draft,
    kind: type[Source],
    source_id: str,
    invoice_id: str,
    amount: int,
    level: str,
    why: Why,
    context: Context,
    part: str = "",
    line_id: str | None = None,
    line_order: LineOrder = HIGHEST_FIRST,
) -> None:
    """Spread an amount of a draft's source over its invoice, and place it there."""
    if amount > 0:
        source, invoice = draft.get(kind, source_id), draft.get(Invoice, invoice_id)
        shares = spread(source, invoice, amount, level, line_id, line_order)
        draft.extend(place(source, invoice, shares, why, context, part))


def free(source: Source) -> int:
    """What of a source can settle something now."""
    if isinstance(source, CreditMemo):
        return source.balance if source.locked_by is None else 0
    usable = source.status == "PROCESSED" and source.cancellation_key is None
    return source.unapplied if usable else 0


def takes(invoice: Invoice, source: Source, level: str) -> bool:
    """Whether something is open there that a source may settle unasked."""
    if invoice.status != "POSTED" or invoice.balance <= 0 or invoice.locked_by is not None:
        return False
    collectable = isinstance(source, CreditMemo) or not (invoice.excluded or invoice.disputes)
    return collectable and invoice.currency == source.currency and invoice.level in (None, level)


def _held(source: Source) -> tuple[str, int]:
    """The source's id, and what of it is free to be applied."""
    if isinstance(source, Payment):
        return source.payment_id, source.unapplied
    return source.credit_memo_id, source.balance


def _moved(
    source: Source,
    invoice: Invoice,
    facts: tuple[Callable[..., object], Callable[..., object]],
    common: tuple[object, ...],
    left: tuple[int, int],
    live: int,
    why: Why,
) -> list[Change]:
    """The same on both streams, each with what is left on it, and what follows for the invoice."""
    tail = (why.effective_at, why.cause, why.comments)
    on_source, on_invoice = (Money(amount, invoice.currency) for amount in left)
    return [
        Change(type(source), _held(source)[0], facts[0](*common, on_source, *tail)),
        Change(Invoice, invoice.invoice_id, facts[1](*common, on_invoice, *tail)),
        *_settlement(invoice, left[1], live, why),
    ]


def _applied(invoice: Invoice, shares: Sequence[Share], context: Context, part: str) -> tuple[Applied, ...]:
    """Each share with its charge and tax; two shares on one line are covered one after the other."""
    currency, applied = invoice.currency, list[Applied]()
    for share, (charge, tax) in zip(shares, portions(invoice, shares), strict=True):
        amount, id = share.amount, share.line_id
        application_id = context.new_id(f"{part}/{id}/{share.source_line_id}")
        money = Money(amount, currency), Money(charge, currency), Money(tax, currency)
        applied.append(Applied(application_id, *money, id, share.source_line_id))
    return tuple(applied)


def portions(invoice: Invoice, shares: Sequence[Share]) -> list[tuple[int, int]]:
    """The charge and the tax that shares would cover, each."""
    covered = dict[str | None, tuple[int, int]]()
    found: list[tuple[int, int]] = []
    for share in shares:
        amount, id = share.amount, share.line_id
        if id not in covered:
            covered[id] = _uncovered(invoice, id)
        balance, tax_left = covered[id]
        tax = _tax_of(share, balance, tax_left)
        covered[id] = balance - amount, tax_left - tax
        found.append((amount - tax, tax))
    return found


def _tax_of(share: Share, balance: int, tax_left: int) -> int:
    """What was said, or what falls to it; whoever settles all that is open settles all of its tax."""
    if share.amount == balance:
        return tax_left
    return allocate(share.amount, (balance - tax_left, tax_left))[1] if share.tax is None else share.tax


def _uncovered(invoice: Invoice, line_id: str | None) -> tuple[int, int]:
    """What is open, and how much of it is tax."""
    if line_id is None:
        return invoice.balance, invoice.tax_left
    line = invoice.lines[line_id]
    return line.balance, line.tax_left


def _taken_back(
    was: Iterable[Application], currency: str, context: Context, part: str
) -> tuple[Applied, ...]:
    return tuple(
        Applied(
            context.new_id(f"{part}unapply/{application.application_id}"),
            Money(application.amount, currency),
            Money(application.charge_portion, currency),
            Money(application.tax_portion, currency),
            application.line_id,
            application.source_line_id,
            application.application_id,
        )
        for application in was
    )


def _settlement(invoice: Invoice, balance: int, live: int, why: Why) -> list[Change]:
    """The status is derived from the balance, never set."""
    status = settlement_status(invoice.total, balance, live)
    facts: list[object] = []
    if status != invoice.settlement_status:
        facts.append(InvoiceSettlementStatusChanged(invoice.settlement_status, status))
    if status == "SETTLED" and invoice.settlement_status != "SETTLED":
        facts.append(InvoiceSettled(why.effective_at.date()))
    if invoice.settlement_status == "SETTLED" and status != "SETTLED":
        facts.append(InvoiceReopened(Money(balance, invoice.currency)))
    if invoice.schedule_ids:
        scheduled = tuple(sorted(invoice.schedule_ids))
        facts.append(InvoiceScheduledBalanceChanged(scheduled, Money(balance, invoice.currency)))
    return [Change(Invoice, invoice.invoice_id, fact) for fact in facts]


def settlement_status(total: int, balance: int, live_applications: int) -> str:
    if total <= 0:
        return "NOT_APPLICABLE"
    if balance == 0:
        return "SETTLED"
    return "PARTIALLY_SETTLED" if live_applications else "NOT_SETTLED"
