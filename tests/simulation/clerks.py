"""What a seed's clerks do: drafts, subscriptions, refunds that are said of later, and the forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from events.money import Money
from services.accounts.account import ErasePersonalData, PlacePaymentHold
from services.accounts.billing_profile import DefineBillingProfile
from services.invoices.invoice import Invoice
from services.invoices.posting import Content, Line, PostInvoice
from services.payments.checking_out import Checkout
from services.payments.drafting import DeleteDraftPayment, EditDraftPayment, PostDraftPayment
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.refunds.lining import ApplyRefund
from services.refunds.refund import Refund
from services.refunds.refunding import RecordExternalRefund
from tests.simulation.mistakes import POUND, provokes
from tests.simulation.virtual_loop import START
from tests.simulation.workload import DAY, Said, Users, chosen_currency, money, of, says, unpaid

SUBSCRIPTION = "SUBSCRIPTION"


@says(5)
def write_down(users: Users, account: str) -> Said | None:
    """A cheque is written down, and counts once it is posted; or it was a mistake."""
    draft = users.pick("payment", lambda p: p.status == "DRAFT")
    if draft is None or users.chosen.random() < 0.3:
        amount = money(users.chosen.randint(1, 4000), chosen_currency(users))
        id = f"P{users.number}"
        cheque = RecordExternalPayment(amount, "CHECK", "no 3", DAY, id, draft=True)
        return Said(cheque, account, f"draft {users.number}")
    return of(users, draft, lambda p: _what_becomes_of(users, p))


def _what_becomes_of(users: Users, draft: Any) -> object:
    id, amount = draft.payment_id, draft.draft.amount
    match users.chosen.randrange(4):
        case 0:
            return EditDraftPayment(id, money(amount.amount_minor + 1, amount.currency), "CHECK", "no 4", DAY)
        case 1:
            return DeleteDraftPayment(id, "it was another's")
        case _:
            invoice = users.pick("invoice", unpaid(draft.account_id, amount.currency))
            return PostDraftPayment(id, (ApplyTo(invoice.invoice_id),) if invoice else ())


@says(5)
def subscribe(users: Users, account: str) -> Said:
    """A subscription's invoice; or it shrinks, and the negative one says no more than whose it is."""
    chosen, number = users.chosen, users.number
    currency = "GBP" if account < "A3" else "JPY"
    shrinks = chosen.random() < 0.4
    amount = -chosen.randint(1, 400) if shrinks else chosen.randint(500, 3000)
    posted = PostInvoice(
        f"sub-{number}",
        currency,
        (Line("1", money(amount, currency)),),
        reference_type=SUBSCRIPTION,
        reference_id=f"S-{account}",
    )
    return Said(posted, account, f"subscription {number}")


@says(6)
def give_back_first(users: Users, account: str) -> Said | None:
    """Money is given back outside, and only later somebody says of what; too much, sometimes."""
    refund: Refund | None = users.pick("refund", lambda r: r.balance > 0)
    if refund is None or users.chosen.random() < 0.3:
        amount, id = money(users.chosen.randint(1, 500), chosen_currency(users)), f"R{users.number}"
        given = RecordExternalRefund(amount, "CASH", "till", DAY, "asked", refund_id=id)
        return Said(given, account, f"given {users.number}")
    slip = 7 if users.chosen.random() < 0.3 else 0
    return _lined(users, refund, refund.balance + slip)


def _lined(users: Users, refund: Refund, most: int) -> Said | None:
    def is_its(source: Any) -> bool:
        return (source.account_id, source.currency) == (refund.account_id, refund.currency)

    memo = users.pick("cm", lambda m: is_its(m) and m.balance > 0)
    if memo and users.chosen.random() < 0.5:
        amount = money(min(most, memo.balance), refund.currency)
        return of(
            users, refund, lambda r: ApplyRefund(r.refund_id, amount, credit_memo_id=memo.credit_memo_id)
        )
    payment = users.pick("payment", lambda p: is_its(p) and p.unapplied > 0)
    if payment is None:
        return None
    amount = money(min(most, payment.unapplied), refund.currency)
    return of(users, refund, lambda r: ApplyRefund(r.refund_id, amount, payment.payment_id))


@says(2)
def forget(users: Users, account: str) -> ErasePersonalData | None:
    """Somebody asks to be forgotten, late in the story: no more personal data is taken for him."""
    return ErasePersonalData("he asked") if users.number > 60 else None


@says(6)
def check_out(users: Users, account: str) -> Said | None:
    """A basket becomes an invoice and its payment at once; or a draft is paid as it is posted."""
    chosen, number = users.chosen, users.number
    method = users.pick("spm", lambda m: m.account_id == account and m.status == "ACTIVE")
    draft: Invoice | None = users.pick("invoice", lambda i: i.status == "DRAFT" and i.account_id == account)
    if method is None:
        return None
    if draft and draft.draft and chosen.random() < 0.5:
        owed = draft.draft.total
        return of(users, draft, lambda i: Checkout(owed, None, i.invoice_id, method_id=method.method_id))
    amount = money(chosen.randint(1, 4000), chosen_currency(users))
    basket = Content(f"basket-{number}", amount.currency, (Line("0", amount),))
    bought = Checkout(amount, basket, payment_id=f"P{number}", method_id=method.method_id)
    return Said(bought, account, f"check out {number}")


# -- what is wrong


@provokes("CHECKOUT_AMOUNT_MISMATCH")
def agree_to_another_amount(users: Users, account: str) -> Checkout:
    basket = Content(f"basket-{users.number}", POUND.currency, (Line("0", POUND + POUND),))
    return Checkout(POUND, basket, method_id=users.method(account))


@provokes("REFUND_BALANCE_EXCEEDED")
def say_too_much(users: Users, account: str) -> Said | None:
    refund = users.pick("refund", lambda r: r.status == "PROCESSED")
    if refund is None:
        return None

    def has_room(payment: Any) -> bool:
        own = (payment.account_id, payment.currency) == (refund.account_id, refund.currency)
        return own and payment.status == "PROCESSED" and payment.unapplied > refund.balance

    payment = users.pick("payment", has_room)
    if payment is None:
        return None
    much = Money(refund.balance + 1, refund.currency)
    return of(users, refund, lambda r: ApplyRefund(r.refund_id, much, payment.payment_id))


@provokes("ACCOUNT_ON_HOLD")
def collect_on_hold(users: Users, account: str) -> object:
    held = users.pick_id("account", lambda a: a.hold)
    if held is None:
        return PlacePaymentHold("he is ill", START + timedelta(days=1))
    collected = ProcessPayment(POUND, method_id=users.method(held), initiation="BATCH_RUN")
    return Said(collected, held, f"collect {users.number}")


@provokes("PERSONAL_DATA_ERASED")
def remember_the_forgotten(users: Users, account: str) -> Said | None:
    forgotten = users.pick_id("account", lambda a: a.erased)
    if forgotten is None:
        return None
    profile = DefineBillingProfile(f"new-{users.number}", "new", 1, bill_to_contact="Ada")
    return Said(profile, forgotten, f"remember {users.number}")
