"""With which method an item is collected, where it names none.

The first that there is: the item's own, its schedule's, its invoice's, that of the invoice's billing
profile; then, of a schedule made by hand, the account's newest, and of any other the one of the account's
default profile, or the account's default.  Read models find it by the same rule (`projections.due`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from events.payment_method import BANK_DEBITS
from services.accounts import account
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.decision import Documents, Many, Needs, States
from services.invoices.invoice import Invoice
from services.schedules.schedule import Item, PaymentSchedule

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When a method was saved of which that is not known."""


def needed(states: States, schedule: PaymentSchedule, item: Item) -> Needs:
    """What `method_id_of` looks at besides the item's invoice and its account."""
    if schedule.origin == "MANUAL" and not _named(schedule, item):
        yield Documents(schedule.account_id)
        yield Many(SavedMethod, states.find_documents(schedule.account_id, SavedMethod))


def method_id_of(states: States, schedule: PaymentSchedule, item: Item, owner: Account) -> str | None:
    """A change later affects only later payments."""
    if named := _named(schedule, item):
        return named
    invoice = states.find(Invoice, item.shares[0].invoice_id) if item.shares else None
    meant = _meant_for(invoice, owner) if invoice else None
    newest = _newest(states, schedule.account_id) if schedule.origin == "MANUAL" else None
    return meant or newest or account.method_for(owner)


def _named(schedule: PaymentSchedule, item: Item) -> str | None:
    return item.plan.method_id or schedule.default_method_id


def of_invoice(invoice: Invoice, owner: Account) -> str | None:
    """What an invoice is paid with that a policy schedules."""
    return _meant_for(invoice, owner) or account.method_for(owner)


def _meant_for(invoice: Invoice, owner: Account) -> str | None:
    return invoice.saved_payment_method_id or account.profile_method(owner, invoice.profile_id)


def _newest(states: States, account_id: str) -> str | None:
    found = [states.find(SavedMethod, id) for id in states.find_documents(account_id, SavedMethod)]
    usable = [method for method in found if method and _stands_in(method)]
    return max((method.saved_at or LONG_AGO, method.method_id) for method in usable)[1] if usable else None


def _stands_in(method: SavedMethod) -> bool:
    """Whether it works, is the account's to use, and may be used without its holder."""
    return (
        method.status == "ACTIVE"
        and method.usage != "ON_SESSION"
        and (method.owner_type == "ACCOUNT" or method.shared)
        and (method.type not in BANK_DEBITS or method.mandate_reference is not None)
        and method.hard_blocked is None
    )
