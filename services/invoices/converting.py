"""Converting: the negative lines of a posted invoice become credit memos, one for each original invoice.

Invariant: a converted line has balance 0, and its value is on exactly one memo.  What has an
original and is not used up by the invoice itself goes to the refund orchestration, locked from the
first moment; what has none is open credit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from events import ids
from events.credit_memo import CreditMemoLine, CreditMemoLocked, CreditMemoPosted
from events.invoice import ConvertedLine, InvoiceLine, NegativeInvoiceLinesConverted, Tax
from events.money import Money
from events.orchestration import RefundOrchestrationRequested
from services.applications import application, guards
from services.applications.application import Why
from services.commands import Id, command
from services.credits import credit_memo
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, not_found
from services.invoices import invoice
from services.invoices.invoice import Invoice, LineState
from services.orchestrations import orchestration
from services.orchestrations.orchestration import RefundOrchestration
from services.payments import payment
from services.payments.payment import Payment
from services.schedules import schedule
from services.schedules.schedule import PaymentSchedule
from services.tenants import rates, tenant_settings
from services.tenants.tenant_settings import TenantSettings

_EVOLVE = {
    Invoice: invoice.evolve,
    Payment: payment.evolve,
    CreditMemo: credit_memo.evolve,
    RefundOrchestration: orchestration.evolve,
    PaymentSchedule: schedule.evolve,
}


def evolve_posting(states: States) -> Draft:
    """A draft for decisions about posting and conversion; what is new starts empty."""
    return Draft(states, _EVOLVE)


def convert(
    draft: Draft, invoice_id: str, line_ids: Sequence[str] | None, context: Context, settings: TenantSettings
) -> None:
    """Convert the named negative lines, or all, and let the invoice itself use the credit first."""
    for original, lines in _by_original(draft.get(Invoice, invoice_id), line_ids).items():
        _convert_group(draft, draft.get(Invoice, invoice_id), original, lines, context)
        memo_id = _memo_id(context, original)
        if (
            settings["apply_converted_credit_to_source_invoice"]
            or settings["issue_refunds_and_settle_balances"]
        ):
            _net(draft, invoice_id, memo_id, context, settings["application_level"])
        memo = draft.get(CreditMemo, memo_id)
        if settings["issue_refunds_and_settle_balances"] and original and memo.balance > 0:
            request_refund(draft, memo, original, context, "AUTOMATIC", invoice_id)


def request_refund(
    draft: Draft,
    memo: CreditMemo,
    original: str,
    context: Context,
    trigger: str,
    negative_invoice_id: str | None,
) -> None:
    """Start an orchestration, and lock its memo, so that nothing else can use the credit."""
    orchestration_id = ids.part_id(memo.credit_memo_id, f"orchestration/{memo.version}")
    draft.record(CreditMemo, memo.credit_memo_id, CreditMemoLocked(orchestration.holder(orchestration_id)))
    requested = RefundOrchestrationRequested(
        orchestration_id,
        memo.credit_memo_id,
        original,
        context.account_id,
        Money(memo.balance, memo.currency),
        trigger,
        context.now,
        negative_invoice_id,
    )
    draft.record(RefundOrchestration, orchestration_id, requested, new=True)


def _by_original(invoice: Invoice, line_ids: Sequence[str] | None) -> dict[str | None, list[LineState]]:
    groups: dict[str | None, list[LineState]] = defaultdict(list)
    for line in invoice.lines.values():
        wanted = line.line.line_id in line_ids if line_ids is not None else True
        if wanted and line.line.line_total.amount_minor < 0 and line.converted == 0:
            reference = line.line.reference
            groups[reference.invoice_id if reference else invoice.original_invoice_id].append(line)
    return dict(groups)


def _memo_id(context: Context, original: str | None) -> str:
    return context.new_id(f"memo/{original or 'none'}")


def convert_alone(draft: Draft, invoice_id: str, context: Context) -> str | None:
    """Convert what is negative into one memo that nothing else comes of; its id, if there is any."""
    invoice = draft.get(Invoice, invoice_id)
    lines = [line for lines in _by_original(invoice, None).values() for line in lines]
    if not lines:
        return None
    _convert_group(draft, invoice, None, lines, context)
    return _memo_id(context, None)


def _convert_group(
    draft: Draft, invoice: Invoice, original: str | None, lines: Sequence[LineState], context: Context
) -> None:
    currency, memo_id = invoice.currency, _memo_id(context, original)
    total = Money(sum(line.line.line_total.amount_minor for line in lines), currency)
    today = context.now.date()
    charge = sum(line.line.charge.amount_minor for line in lines)
    converted = NegativeInvoiceLinesConverted(
        memo_id,
        tuple(ConvertedLine(line.line.line_id, line.line.line_total) for line in lines),
        total,
        Money(invoice.balance, currency) - total,
    )
    posted = CreditMemoPosted(
        credit_memo_id=memo_id,
        number=context.number("CM"),
        account_id=context.account_id,
        currency=currency,
        category="REFERENCED" if original else "STANDALONE",
        source_action="NEGATIVE_INVOICE_LINE_CONVERSION",
        lines=tuple(_memo_line(line.line) for line in lines),
        total_charge=Money(-charge, currency),
        total_tax=Money(charge, currency) - total,
        total=-total,
        reason_code="NEGATIVE_INVOICE",
        posted_at=context.now,
        effective_date=today,
        reference_invoice_id=original,
        source_invoice_id=invoice.invoice_id,
        saved_payment_method_id=invoice.saved_payment_method_id,
        billing_profile_id=invoice.profile_id,
        legal_entity_id=invoice.legal_entity_id,
        tax_strategy="COPY_FROM_INVOICE_LINE",
        corporate=rates.snapshot(draft, -total, today, context),
    )
    draft.record(Invoice, invoice.invoice_id, converted)
    draft.record(CreditMemo, memo_id, posted, new=True)


def _memo_line(line: InvoiceLine) -> CreditMemoLine:
    taxes = tuple(Tax(-tax.amount, tax.name, tax.code, tax.rate) for tax in line.taxes)
    reference = line.reference.line_id if line.reference else None
    return CreditMemoLine(
        line.line_id,
        -line.charge,
        -line.line_total,
        taxes,
        line.product,
        reference,
        source_line_id=line.line_id,
    )


def _net(draft: Draft, invoice_id: str, memo_id: str, context: Context, level: str) -> None:
    """A mixed invoice uses its own credit first."""
    invoice, memo = draft.get(Invoice, invoice_id), draft.get(CreditMemo, memo_id)
    amount = min(memo.balance, invoice.balance)
    why = Why(context.now, "RULE")
    application.apply(draft, CreditMemo, memo_id, invoice_id, amount, invoice.level or level, why, context)


@command("payments.invoice.convert_negative_lines.v1")
class ConvertNegativeInvoice:
    """Convert by hand what was posted while conversion was off; without `lines`, all negative lines."""

    invoice_id: Id
    lines: tuple[Id, ...] | None = None
    """Which negative lines; without it, all of them."""


def _needs(states: States, command: ConvertNegativeInvoice, context: Context) -> Needs:
    yield Need(Invoice, command.invoice_id)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)


def convert_by_hand(states: States, command: ConvertNegativeInvoice, context: Context) -> Changes:
    posted = states.get(Invoice, command.invoice_id)
    guards.check_invoice(posted, command.invoice_id, context)
    guards.check_posted(posted)
    guards.check_unlocked(posted)
    if command.lines == ():
        raise Rejected("MALFORMED_REQUEST", "name at least one line, or none for all", field="data.lines")
    _check_convertible(posted, command.lines)
    draft = evolve_posting(states)
    convert(draft, command.invoice_id, command.lines, context, tenant_settings.of(states, context))
    return draft.changes


def _check_convertible(posted: Invoice, line_ids: Sequence[str] | None) -> None:
    for line_id in line_ids or ():
        if line_id not in posted.lines:
            raise not_found("INVOICE_LINE", line_id)
        if posted.lines[line_id].line.line_total.amount_minor >= 0:
            raise Rejected("LINE_NOT_NEGATIVE", f"line {line_id} is not negative")
        if posted.lines[line_id].converted:
            raise Rejected("LINE_ALREADY_CONVERTED", f"line {line_id} was converted")
    if posted.level == "INVOICE":
        raise Rejected(
            "INVOICE_HAS_SETTLEMENTS", "its negative lines are netted in what was applied to the whole"
        )
    negative = [line for line in posted.lines.values() if line.line.line_total.amount_minor < 0]
    if not negative:
        raise Rejected("LINE_NOT_NEGATIVE", "the invoice has no negative line")
    if all(line.converted for line in negative):
        raise Rejected("LINE_ALREADY_CONVERTED", "every negative line was converted")


RULES = (Rule(ConvertNegativeInvoice, _needs, convert_by_hand),)
