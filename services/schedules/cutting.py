"""Cutting: what was posted becomes payments to come.

Invariant: what is scheduled of an invoice is what it owes after credits and payments had their turn;
an invoice that is not scheduled says why, unless its tenant has no schedules at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from events.invoice import (
    InvoiceScheduled,
    InvoiceScheduleDeferred,
    ScheduleCreationFailed,
    ScheduleCreationSkipped,
)
from events.money import Money
from events.schedule import InvoiceShare, PaymentScheduleCreated, PaymentScheduleItemAdded, ScheduleItem
from events.schedule_policy import Detail, TreatmentAdded
from services.accounts import account
from services.accounts.account import Account
from services.commands import command
from services.decision import Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.invoices.invoice import Invoice
from services.schedules import methods, policy
from services.schedules.dates import Planned, Terms, planned
from services.schedules.outcomes import EVOLVE
from services.schedules.policy import SchedulePolicy
from services.schedules.schedule import PaymentSchedule
from services.tenants import exceptions, tenant_settings
from services.tenants.tenant_settings import TenantSettings


@command("payments.payment_schedule.cut.v1")
class CutSchedules:
    """Cut the schedules of the account's invoices that wait to be collected together.

    Without `cut_at`: of all of them, now, even of an account that is collected by hand.
    """

    cut_at: datetime | None = None
    """Only what waits for this instant; without it, all that waits, now."""


class Cut(NamedTuple):
    """By which policy, as it was then."""

    policy_id: str
    policy: SchedulePolicy
    treatment: TreatmentAdded

    @property
    def details(self) -> Sequence[Detail]:
        return self.policy.details[self.treatment.treatment_id]


@dataclass(frozen=True)
class Group:
    """Invoices that one schedule collects, in the order in which their money is applied."""

    invoices: tuple[Invoice, ...]
    method_id: str | None

    @property
    def total(self) -> int:
        return sum(invoice.balance for invoice in self.invoices)


# -- as an invoice is posted


def needed_on_posting(states: States, settings: TenantSettings, context: Context) -> Needs:
    if settings["create_payment_schedules"]:
        yield from policy.needed(states, context)


def on_posting(
    draft: Draft, states: States, invoice_id: str, settings: TenantSettings, context: Context
) -> None:
    """Cut a schedule for what a posted invoice still owes, or put it with the account's others."""
    invoice = draft.get(Invoice, invoice_id)
    owner = states.get(Account, context.account_id)
    if reason := _skipped(invoice, owner):
        draft.record(Invoice, invoice_id, ScheduleCreationSkipped(reason))
        return
    cut = _cut_by(states, invoice.currency, context)
    if cut is None:
        _not_created(draft, invoice, context)
    elif cut.treatment.grouping == "ACCOUNT":
        at = next_cut(settings, context.now)
        draft.record(Invoice, invoice_id, InvoiceScheduleDeferred(at))
    else:
        create(draft, Group((invoice,), methods.of_invoice(invoice, owner)), cut, settings, context)


def _skipped(invoice: Invoice, owner: Account) -> str | None:
    if invoice.balance <= 0:
        return "NOTHING_TO_COLLECT"
    if invoice.excluded:
        return "EXCLUDED_FROM_PAYMENTS"
    if not owner.auto_collect or owner.profiles.get(invoice.profile_id or owner.default_profile_id or ""):
        return "AUTOMATIC_PAYMENTS_SKIPPED"
    return None


def _cut_by(states: States, currency: str, context: Context) -> Cut | None:
    default = policy.default_of(states, context)
    if default is None or default[1].status != "ACTIVE":
        return None
    treatment = default[1].treatment(currency)
    return Cut(*default, treatment) if treatment else None


def _not_created(draft: Draft, invoice: Invoice, context: Context) -> None:
    draft.record(Invoice, invoice.invoice_id, ScheduleCreationFailed("NO_ACTIVE_TREATMENT"))
    message = "no active treatment says how it is collected"
    owed = Money(invoice.balance, invoice.currency)
    case = exceptions.raised(context, "SCHEDULE_NOT_CREATED", "invoice", invoice.invoice_id, message, owed)
    draft.changes.append(case)


def next_cut(settings: TenantSettings, now: datetime) -> datetime:
    """The next moment that it is the tenant's cut time, as an instant."""
    local = now.astimezone(ZoneInfo(settings["time_zone"]))
    at = time.fromisoformat(settings["schedule_cut_time"])
    cut = datetime.combine(local.date(), at, local.tzinfo)
    if cut <= local:
        cut = datetime.combine(local.date() + timedelta(days=1), at, local.tzinfo)
    return cut.astimezone(now.tzinfo)


# -- together


def _needs(states: States, command: CutSchedules, context: Context) -> Needs:
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield Documents(context.account_id)
    yield from policy.needed(states, context)
    for invoice_id in states.find_documents(context.account_id, Invoice):
        yield Need(Invoice, invoice_id)


def cut_schedules(states: States, command: CutSchedules, context: Context) -> Changes:
    owner, settings = account.of(states, context), tenant_settings.of(states, context)
    if command.cut_at is not None and not owner.auto_collect:
        return []
    draft = Draft(states, EVOLVE)
    waiting = [
        states.get(Invoice, invoice_id) for invoice_id in states.documents(context.account_id, Invoice)
    ]
    due = [invoice for invoice in waiting if _is_cut(invoice, command.cut_at)]
    for (currency, method_id), invoices in _alike(due, owner).items():
        cut = _cut_by(states, currency, context)
        if cut is None:
            for invoice in invoices:
                _not_created(draft, invoice, context)
            continue
        for group in _grouped(invoices, cut.treatment, method_id):
            create(draft, group, cut, settings, context)
    return draft.changes


def _is_cut(invoice: Invoice, cut_at: datetime | None) -> bool:
    if invoice.cut_at is None or invoice.balance <= 0 or invoice.excluded:
        return False
    return cut_at is None or invoice.cut_at <= cut_at


def _alike(invoices: Iterable[Invoice], owner: Account) -> dict[tuple[str, str | None], list[Invoice]]:
    """By currency and method: what can be one payment."""
    alike: dict[tuple[str, str | None], list[Invoice]] = {}
    for invoice in invoices:
        alike.setdefault((invoice.currency, methods.of_invoice(invoice, owner)), []).append(invoice)
    return alike


def _grouped(
    invoices: Sequence[Invoice], treatment: TreatmentAdded, method_id: str | None
) -> Iterable[Group]:
    """From the earliest due date on, all that are due within the window; and again from the next."""
    left = sorted(invoices, key=lambda invoice: (_due(invoice), invoice.number, invoice.invoice_id))
    window = timedelta(days=treatment.due_date_window_days)
    while left:
        together = [invoice for invoice in left if _due(invoice) <= _due(left[0]) + window]
        together = together if treatment.grouping == "ACCOUNT" else left[:1]
        yield Group(tuple(together), method_id)
        left = left[len(together) :]


def _due(invoice: Invoice) -> date:
    assert invoice.due_date
    return invoice.due_date


# -- a schedule


def create(draft: Draft, group: Group, cut: Cut, settings: TenantSettings, context: Context) -> None:
    """A schedule for what its invoices owe, its items as the treatment says, in the same decision."""
    first = group.invoices[0]
    assert first.invoice_date
    id = context.new_id(f"schedule/{first.invoice_id}")
    whole = Money(group.total, first.currency)
    created = PaymentScheduleCreated(
        payment_schedule_id=id,
        number=context.number("PS"),
        account_id=context.account_id,
        total_requested=whole,
        reference_type="GROUP" if len(group.invoices) > 1 else "INVOICE",
        reference_id=None if len(group.invoices) > 1 else first.invoice_id,
        invoice_ids=tuple(invoice.invoice_id for invoice in group.invoices),
        origin="AUTOMATIC",
        status="OPEN",
        created_at=context.now,
        default_method_id=first.saved_payment_method_id,
        policy_id=cut.policy_id,
        policy_version=cut.policy.version,
        treatment_id=cut.treatment.treatment_id,
    )
    draft.record(PaymentSchedule, id, created, new=True)
    terms = Terms(tenant_settings.today(settings, context.now), first.invoice_date, _due(first))
    if len(group.invoices) == 1 and first.posted_date:
        terms = terms._replace(posted=first.posted_date)
    parts = planned(group.total, first.currency, cut.details, terms)
    for part, shares in zip(parts, _shares(group, parts), strict=True):
        _add_item(draft, id, part, shares, group.method_id, context)
    for invoice in group.invoices:
        draft.record(Invoice, invoice.invoice_id, InvoiceScheduled(id))


def _shares(group: Group, parts: Sequence[Planned]) -> Iterable[tuple[InvoiceShare, ...]]:
    """What of each part is meant for which invoice: the earliest due are paid first."""
    owed = {invoice.invoice_id: invoice.balance for invoice in group.invoices}
    currency = group.invoices[0].currency
    for part in parts:
        left, shares = part.amount, list[InvoiceShare]()
        for invoice_id, balance in owed.items():
            if taken := min(left, balance):
                shares.append(InvoiceShare(invoice_id, Money(taken, currency)))
                owed[invoice_id], left = balance - taken, left - taken
        yield tuple(shares)


def _add_item(
    draft: Draft,
    payment_schedule_id: str,
    part: Planned,
    shares: tuple[InvoiceShare, ...],
    method_id: str | None,
    context: Context,
) -> None:
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    item_id = context.new_id(f"item/{payment_schedule_id}/{len(schedule.items)}")
    missing = method_id is None or part.detail.method_selection == "MANUAL"
    amount = Money(part.amount, schedule.currency)
    item = ScheduleItem(
        item_id=item_id,
        number=context.number("PSI"),
        requested=amount,
        target_processing_date=part.day,
        status="DRAFT" if missing else "READY",
        shares=shares,
        matching_value=part.detail.matching_value,
        warning="NO_PAYMENT_METHOD" if missing else None,
    )
    draft.record(PaymentSchedule, payment_schedule_id, PaymentScheduleItemAdded(item))
    if missing:
        message = f"{item.number} waits for a payment method"
        case = exceptions.raised(context, "ITEM_WITHOUT_METHOD", "psi", item_id, message, amount)
        draft.changes.append(case)


RULES = (Rule(CutSchedules, _needs, cut_schedules),)
