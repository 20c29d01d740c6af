"""Allocating one source over many invoices, and moving what is applied to other ones, in one decision.

Invariant: what is taken off in a move is applied again or free again, at once; what no
target takes stays on its source: a payment's as unapplied money, a memo's as open credit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from events.frozen import frozen
from events.money import Money
from services.applications import application, guards
from services.applications.application import Source, Why
from services.applications.spreading import HIGHEST_FIRST, LineOrder
from services.commands import Amount, FreeText, Id, command
from services.credits import credit_memo as memos
from services.credits import writing_off
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected, exceeded, not_found
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments.payment import Payment
from services.tenants import tenant_settings

_EVOLVE = {Payment: payments.evolve, CreditMemo: memos.evolve, Invoice: invoices.evolve}

Order = Literal["AS_NAMED", "OLDEST_FIRST", "EARLIEST_DUE_FIRST", "HIGHEST_BALANCE_FIRST"]
"""Which invoice is settled first."""


@frozen
class Place:
    """An invoice, or one line of it; without an amount, as much as it takes and is left."""

    invoice_id: Id
    amount: Amount | None = None
    """So much of it; without it, as much as is owed there and is left."""
    line_id: Id | None = None
    """One line of the invoice; without it, the invoice."""


@command("payments.payment.allocate.v1")
class AllocatePayment:
    """Apply a payment's unapplied money, or `amount` of it, to several invoices and lines at once.

    Without targets, to all that the account owes, the oldest first unless an order is named; what nothing
    takes stays unapplied.
    """

    payment_id: Id
    targets: tuple[Place, ...] = ()
    """Which invoices, or lines of them, it goes to; without any, all that the account owes."""
    amount: Amount | None = None
    """So much of the unapplied money; without it, all of it."""
    order: Order | None = None
    line_order: LineOrder = HIGHEST_FIRST
    effective_at: datetime | None = None
    comments: FreeText | None = None


@command("payments.credit_memo.allocate.v1")
class AllocateCreditMemo:
    """The same for a credit memo; what nothing takes stays open credit."""

    credit_memo_id: Id
    targets: tuple[Place, ...] = ()
    """Which invoices, or lines of them, it goes to; without any, all that the account owes."""
    amount: Amount | None = None
    """So much of the open credit; without it, all of it."""
    order: Order | None = None
    line_order: LineOrder = HIGHEST_FIRST
    effective_at: datetime | None = None
    comments: FreeText | None = None


@command("payments.payment.move_applications.v1")
class MovePaymentApplications:
    """Take whole applications off and apply their money to other invoices or lines, in one step.

    What the targets do not take is unapplied afterwards.
    """

    payment_id: Id
    application_ids: tuple[Id, ...]
    targets: tuple[Place, ...]
    order: Order | None = None
    line_order: LineOrder = HIGHEST_FIRST
    effective_at: datetime | None = None
    comments: FreeText | None = None


@command("payments.credit_memo.move_applications.v1")
class MoveCreditMemoApplications:
    """The same for a credit memo: what the targets do not take is open credit afterwards."""

    credit_memo_id: Id
    application_ids: tuple[Id, ...]
    targets: tuple[Place, ...]
    order: Order | None = None
    line_order: LineOrder = HIGHEST_FIRST
    effective_at: datetime | None = None
    comments: FreeText | None = None


Allocate = AllocatePayment | AllocateCreditMemo
Move = MovePaymentApplications | MoveCreditMemoApplications


def _kind(command: Allocate | Move) -> type[Source]:
    return Payment if isinstance(command, AllocatePayment | MovePaymentApplications) else CreditMemo


def _id(command: Allocate | Move) -> str:
    if isinstance(command, AllocatePayment | MovePaymentApplications):
        return command.payment_id
    return command.credit_memo_id


def _checked(states: States, command: Allocate | Move, context: Context) -> Source:
    source = states.get(_kind(command), _id(command))
    if isinstance(source, Payment):
        guards.check_payment(source, _id(command), context)
        guards.check_processed(source)
    else:
        guards.check_memo(source, _id(command), context)
    return source


# -- allocating


def _allocate_needs(states: States, command: Allocate, context: Context) -> Needs:
    yield Need(_kind(command), _id(command))
    yield tenant_settings.needed(context)
    targets = [target.invoice_id for target in command.targets]
    if not targets:
        yield Documents(context.account_id)
        targets = states.find_documents(context.account_id, Invoice)
    yield from _invoices_needed(states, targets, command, context)


def _invoices_needed(
    states: States, invoice_ids: Iterable[str], command: Allocate | Move, context: Context
) -> Needs:
    yield from writing_off.small_needed(states, context)
    for id in invoice_ids:
        yield Need(Invoice, id)
        if command.effective_at and (invoice := states.find(Invoice, id)):
            yield from guards.dated(invoice, command.effective_at, context)


def allocate(states: States, command: Allocate, context: Context) -> Changes:
    source = _checked(states, command, context)
    if command.targets:
        _check_targets(states, source, command, context)
    elif command.order == "AS_NAMED":
        raise Rejected("MALFORMED_REQUEST", "name targets, or another order", field="data.order")
    draft, most = Draft(states, _EVOLVE), application.free(source)
    if command.amount is not None:
        guards.check_sum(command.amount, source.currency)
        _check_most(source, command.amount, most)
        most = command.amount.amount_minor
    targets = command.targets or _all_owed(states, source, command, context)
    _spread_out(draft, command, targets, most, states, context)
    if not draft.changes:
        raise Rejected("NOTHING_TO_CHANGE", "nothing of it is free, or nothing is owed that takes it")
    return writing_off.with_small_balances(states, draft.changes, context)


def _check_targets(states: States, source: Source, command: Allocate | Move, context: Context) -> None:
    guards.check_targets([(target.invoice_id, target.line_id) for target in command.targets])
    for target in command.targets:
        invoice = states.get(Invoice, target.invoice_id)
        guards.check_invoice(invoice, target.invoice_id, context)
        guards.check_line(invoice, target.line_id)
        guards.check_posted(invoice)
        guards.check_unlocked(invoice)
        guards.check_period(states, invoice, command.effective_at, context)
        guards.check_money(target.amount or Money(1, source.currency), source.currency, invoice)


def _check_most(source: Source, asked: Money, most: int) -> None:
    """No more than the source gives now."""
    if asked.amount_minor > most:
        code = "PAYMENT_BALANCE_EXCEEDED" if isinstance(source, Payment) else "CREDIT_BALANCE_EXCEEDED"
        raise exceeded(code, asked, Money(most, source.currency), f"the source {source.number}")


def _all_owed(states: States, source: Source, command: Allocate, context: Context) -> Sequence[Place]:
    """What the account owes and a source may settle unasked."""
    level = tenant_settings.of(states, context)["application_level"]
    open = [states.get(Invoice, id) for id in states.documents(context.account_id, Invoice)]
    owed = [invoice for invoice in open if application.takes(invoice, source, level)]
    for invoice in owed:
        guards.check_period(states, invoice, command.effective_at, context)
    return [Place(invoice.invoice_id) for invoice in owed]


def _spread_out(
    draft: Draft,
    command: Allocate | Move,
    targets: Sequence[Place],
    most: int,
    states: States,
    context: Context,
) -> None:
    """Each target in its turn; one with an amount gets all of it, the others what fits."""
    why, kind = Why(command.effective_at or context.now, comments=command.comments), _kind(command)
    source = draft.get(kind, _id(command))
    named = guards.total((target.amount for target in targets if target.amount), source.currency)
    _check_most(source, named, most)
    for n, target in enumerate(_in_order(draft, targets, command)[: guards.TARGETS_MAX]):
        invoice = draft.get(Invoice, target.invoice_id)
        level = guards.level_of(states, context, target.line_id)
        amount = _amount(invoice, target, most)
        guards.check_level(invoice, level)
        application.apply(
            draft,
            kind,
            _id(command),
            target.invoice_id,
            amount,
            level,
            why,
            context,
            f"{n}/",
            target.line_id,
            command.line_order,
        )
        most -= amount


def _amount(invoice: Invoice, target: Place, most: int) -> int:
    """Raises `INVOICE_BALANCE_EXCEEDED`, `LINE_BALANCE_EXCEEDED`, `LINE_NOT_PAYABLE`."""
    if target.amount is not None:
        guards.check_room(invoice, target.amount, target.line_id)
        return target.amount.amount_minor
    room = invoice.balance
    if target.line_id is not None:
        room = min(room, invoice.lines[target.line_id].balance)
    return max(0, min(room, most))


def _in_order(draft: Draft, targets: Sequence[Place], command: Allocate | Move) -> list[Place]:
    """Named amounts first, so that what takes the rest does not take theirs; then by the order."""
    order: Order = command.order or ("AS_NAMED" if command.targets else "OLDEST_FIRST")
    by = _ORDERS[order]
    ranked = sorted(targets, key=lambda target: by(draft.get(Invoice, target.invoice_id)))
    return sorted(ranked, key=lambda target: target.amount is None)


_LAST = date.max
_ORDERS: Mapping[Order, Callable[[Invoice], Any]] = {
    "AS_NAMED": lambda invoice: 0,
    "OLDEST_FIRST": lambda invoice: (invoice.posted_at, invoice.invoice_id),
    "EARLIEST_DUE_FIRST": lambda invoice: (invoice.due_date or _LAST, invoice.invoice_id),
    "HIGHEST_BALANCE_FIRST": lambda invoice: (-invoice.balance, invoice.invoice_id),
}


# -- moving


def _move_needs(states: States, command: Move, context: Context) -> Needs:
    yield Need(_kind(command), _id(command))
    yield tenant_settings.needed(context)
    source = states.find(_kind(command), _id(command))
    known = source.applications if source else {}
    settled = [known[id].invoice_id for id in command.application_ids if id in known]
    targets = [target.invoice_id for target in command.targets]
    yield from _invoices_needed(states, [*settled, *targets], command, context)


def move(states: States, command: Move, context: Context) -> Changes:
    source = _checked(states, command, context)
    if not command.application_ids or len(set(command.application_ids)) != len(command.application_ids):
        raise Rejected(
            "MALFORMED_REQUEST", "name at least one application, each once", field="data.application_ids"
        )
    if len(command.application_ids) > guards.TARGETS_MAX:
        raise Rejected("TOO_MANY_TARGETS", f"move at most {guards.TARGETS_MAX}", limit=guards.TARGETS_MAX)
    taken = [_application(source, id) for id in command.application_ids]
    for was in taken:
        invoice = states.get(Invoice, was.invoice_id)
        guards.check_posted(invoice)
        guards.check_unlocked(invoice)
        guards.check_period(states, invoice, command.effective_at, context)
    if isinstance(source, CreditMemo):
        guards.check_movable(source)
    _check_targets(states, source, command, context)
    draft = Draft(states, _EVOLVE)
    _take_off(draft, command, taken, context)
    _spread_out(draft, command, command.targets, sum(was.amount for was in taken), states, context)
    return writing_off.with_small_balances(states, draft.changes, context)


def _application(source: Source, id: str) -> Any:
    if id in source.unapplied_ids:
        raise Rejected("ALREADY_UNAPPLIED", f"the application {id} was taken back")
    if id not in source.applications:
        raise not_found("APPLICATION", id)
    return source.applications[id]


def _take_off(draft: Draft, command: Move, taken: Iterable[Any], context: Context) -> None:
    why = Why(command.effective_at or context.now, comments=command.comments)
    by_invoice: dict[str, list[str]] = {}
    for was in taken:
        by_invoice.setdefault(was.invoice_id, []).append(was.application_id)
    for invoice_id, ids in by_invoice.items():
        source, invoice = draft.get(_kind(command), _id(command)), draft.get(Invoice, invoice_id)
        draft.extend(application.take_back(source, invoice, ids, why, context))


RULES = (
    Rule(AllocatePayment, _allocate_needs, allocate),
    Rule(AllocateCreditMemo, _allocate_needs, allocate),
    Rule(MovePaymentApplications, _move_needs, move),
    Rule(MoveCreditMemoApplications, _move_needs, move),
)
