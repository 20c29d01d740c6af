"""What a seed's people do with payment schedules: policies, items, promises, and collecting them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from events.money import Money
from services.accounts.account import SetAccountCustomFields
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.applications.applying import ApplyPayment, UnapplyPayment
from services.invoices.standing import SetInvoiceCustomFields
from services.payments.taking_back import CancelPayment
from services.schedules.collecting import CollectScheduleItem, RetryApplication
from services.schedules.cutting import CutSchedules
from services.schedules.items import (
    AddScheduleItem,
    CancelScheduleItem,
    ChangeScheduleItem,
    NewItem,
    ReleaseScheduleItem,
    SetItemCustomFields,
    SkipScheduleItem,
)
from services.schedules.policy import (
    ActivateSchedulePolicy,
    AddTreatment,
    AddTreatmentDetail,
    CreateSchedulePolicy,
    Cut,
    DeactivateSchedulePolicy,
    DefineDistribution,
    SetDefaultSchedulePolicy,
)
from services.schedules.promising import CancelPromise, Part, RecordPromise
from services.schedules.schedule import Item, PaymentSchedule
from services.schedules.scheduling import (
    CancelPaymentSchedule,
    CreatePaymentSchedule,
    OpenPaymentSchedule,
    SetScheduleCustomFields,
)
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.simulation.mistakes import POUND, provokes
from tests.simulation.workload import DAY, Said, Users, home_of, money, of, says, unpaid

POLICY = "own"
"""The policy of a seed, besides the first one."""


def at_home(users: Users, command: object) -> Said:
    return Said(command, home_of(command), f"{type(command).__name__} {users.number}")


# -- how it is collected


@says(1)
def switch(users: Users, account: str) -> Said:
    """Schedules on or off, what becomes of items whose invoice owes less, and of what was paid twice."""
    chosen = users.chosen
    policy = chosen.choice(("REDUCE_ITEM", "CANCEL_ITEM"))
    changes = {"create_payment_schedules": chosen.random() < 0.7, "reduced_balance_policy": policy}
    changes |= {"refund_duplicate_charges": policy == "REDUCE_ITEM"}
    return at_home(users, ChangeTenantSettings(changes))


@says(10)
def plan(users: Users, account: str) -> Said:
    """A policy comes to be, step by step, and to be the default."""
    chosen, name = users.chosen, POLICY
    known = users.seen.of["pspolicy"].get(name)
    if known is None or not known.status:
        return at_home(users, CreateSchedulePolicy(name, name))
    if not known.treatments:
        grouping = chosen.choice(("INVOICE", "ACCOUNT"))
        currency = chosen.choice((None, None, "GBP"))
        return at_home(users, AddTreatment(name, "t", "T", "INVOICE_POSTED", grouping, 30, currency))
    if not known.details["t"]:
        cut = chosen.choice((Cut(), Cut("EQUAL_INSTALLMENTS", 3), Cut("FIXED_AMOUNT", amount=POUND)))
        select = chosen.choice(("MOST_RECENT_AUTOPAY", "DEFAULT_SAVED_METHOD", "MANUAL"))
        detail = AddTreatmentDetail(name, "t", "d", "100", -3, False, select, distribution=cut)
        return at_home(users, detail)
    if known.status != "ACTIVE":
        define = DefineDistribution(name, "t", "d", Cut("EQUAL_INSTALLMENTS", 2))
        return at_home(
            users, chosen.choice((define, ActivateSchedulePolicy(name), ActivateSchedulePolicy(name)))
        )
    if chosen.random() < 0.3:
        return at_home(users, DeactivateSchedulePolicy(name, "replaced"))
    return at_home(users, SetDefaultSchedulePolicy(name))


# -- schedules and their items


@says(4)
def schedule(users: Users, account: str) -> Said | None:
    """By hand: for an invoice, or for what nothing was posted for yet."""
    chosen, number = users.chosen, users.number
    draft = chosen.random() < 0.3
    if chosen.random() < 0.3:
        items = (NewItem(POUND, DAY), NewItem(POUND, DAY, draft=True))
        made = CreatePaymentSchedule(
            "ORDER", f"O{number}", items, f"S{number}", Money(300, "GBP"), draft=draft
        )
        return Said(made, account, f"schedule {number}")
    invoice = users.pick("invoice", unpaid(account))
    if invoice is None:
        return None
    amount = money(users.part(invoice.balance), invoice.currency)
    made = CreatePaymentSchedule(
        "INVOICE", invoice.invoice_id, (NewItem(amount, DAY),), f"S{number}", draft=draft
    )
    return of(users, invoice, lambda _: made)


def _item(users: Users, wanted: Callable[[Item], bool]) -> tuple[PaymentSchedule, str] | None:
    def has(schedule: PaymentSchedule) -> bool:
        return any(wanted(item) for item in schedule.items.values())

    schedule = users.pick("ps", has)
    if schedule is None:
        return None
    found = [id for id, item in schedule.items.items() if wanted(item)]
    return schedule, users.chosen.choice(found)


def _about(
    users: Users, wanted: Callable[[Item], bool], say: Callable[[PaymentSchedule, str], object]
) -> Said | None:
    found = _item(users, wanted)
    return of(users, found[0], lambda schedule: say(schedule, found[1])) if found else None


@says(14)
def collect(users: Users, account: str) -> Said | None:
    """Whoever has no default method is asked for one first."""
    cause: Any = users.chosen.choice(("NOW", "RUN", "RETRY"))

    def say(schedule: PaymentSchedule, id: str) -> object:
        owner = users.seen.of["account"][schedule.account_id]
        if owner.default_method_id is None:
            return SetDefaultPaymentMethod(users.method(schedule.account_id))
        return CollectScheduleItem(schedule.payment_schedule_id, id, cause)

    return _about(users, lambda item: item.status in ("DRAFT", "READY", "FAILED"), say)


@says(5)
def change(users: Users, account: str) -> Said | None:
    """An item is changed, left out for a while, released, canceled, or another is added."""
    chosen, later = users.chosen, DAY + timedelta(days=users.chosen.randint(1, 90))

    def say(schedule: PaymentSchedule, id: str) -> object:
        ps, item = schedule.payment_schedule_id, schedule.items[id]
        match chosen.randrange(6):
            case 0:
                amount = money(users.part(item.requested), schedule.currency)
                return ChangeScheduleItem(ps, id, amount, later, reason="he asked")
            case 1:
                return SkipScheduleItem(ps, id, later, "on holiday")
            case 2:
                return CancelScheduleItem(ps, id, "he asked")
            case 3:
                return AddScheduleItem(ps, NewItem(money(1, schedule.currency), later))
            case 4:
                return CancelPaymentSchedule(ps, "he asked")
            case _:
                return ReleaseScheduleItem(ps, id)

    return _about(users, lambda item: item.status != "CANCELED", say)


@says(2)
def release(users: Users, account: str) -> Said | None:
    drafted = users.pick("ps", lambda s: s.status == "DRAFT")
    if drafted is not None and users.chosen.random() < 0.5:
        return of(users, drafted, lambda s: OpenPaymentSchedule(s.payment_schedule_id))
    return _about(
        users,
        lambda item: item.status == "DRAFT",
        lambda s, id: ReleaseScheduleItem(s.payment_schedule_id, id),
    )


@says(1)
def apply_again(users: Users, account: str) -> Said | None:
    return _about(
        users,
        lambda item: item.status == "APPLY_FAILED",
        lambda s, id: RetryApplication(s.payment_schedule_id, id),
    )


@says(3)
def describe(users: Users, account: str) -> object | None:
    """Custom fields of an account, an invoice, a schedule or an item; some are taken away again."""
    chosen = users.chosen
    fields = {"region": chosen.choice(("north", "south", None)), "tier": chosen.randint(1, 3)}
    match chosen.randrange(4):
        case 0:
            return SetAccountCustomFields(fields)
        case 1:
            invoice = users.pick("invoice")
            return of(users, invoice, lambda i: SetInvoiceCustomFields(i.invoice_id, fields))
        case 2:
            schedule = users.pick("ps")
            return of(users, schedule, lambda s: SetScheduleCustomFields(s.payment_schedule_id, fields))
        case _:
            return _about(
                users,
                lambda item: True,
                lambda s, id: SetItemCustomFields(s.payment_schedule_id, id, fields),
            )


@says(4)
def take_back(users: Users, account: str) -> Said | None:
    """What an item has collected is given back by hand, once it settles nothing."""

    def collected(payment: Any) -> bool:
        return payment.schedule_item and payment.status == "PROCESSED" and not payment.refunds

    whole = users.pick("payment", lambda p: collected(p) and p.unapplied == p.amount)
    payment = whole or users.pick("payment", collected)
    if payment is None:
        return None
    settles = next(iter(payment.applications), None)
    if settles is None:
        return of(users, payment, lambda p: CancelPayment(p.payment_id))
    return of(users, payment, lambda p: UnapplyPayment(p.payment_id, settles))


@says(2)
def apply_what_waits(users: Users, account: str) -> Said | None:
    """What was collected for no invoice yet settles one by hand."""
    payment = users.pick("payment", lambda p: p.schedule_item and p.unapplied > 0)
    if payment is None:
        return None
    invoice = users.pick("invoice", unpaid(payment.account_id))
    if invoice is None:
        return None
    amount = money(min(payment.unapplied, invoice.balance), payment.currency)
    return of(users, payment, lambda p: ApplyPayment(p.payment_id, invoice.invoice_id, amount))


@says(1)
def cut_now(users: Users, account: str) -> CutSchedules:
    return CutSchedules()


@says(4)
def promise(users: Users, account: str) -> Said | None:
    known = users.pick_id("promise", lambda p: p.status in ("RECORDED", "BROKEN"))
    if known and users.chosen.random() < 0.3:
        return of(users, users.seen.of["promise"][known], lambda _: CancelPromise(known, "he pays by cheque"))
    invoice = users.pick("invoice", unpaid(account))
    if invoice is None:
        return None
    half = max(1, invoice.balance // 2)
    parts = (Part(money(half, invoice.currency), DAY),)
    return of(users, invoice, lambda i: RecordPromise(i.invoice_id, parts, f"promise-{users.number}"))


# -- mistakes


@provokes("SCHEDULE_NOT_FOUND")
def unknown_schedule(users: Users, account: str) -> OpenPaymentSchedule:
    return OpenPaymentSchedule("no-such")


@provokes("SCHEDULE_POLICY_NOT_FOUND")
def unknown_policy(users: Users, account: str) -> Said:
    return at_home(users, ActivateSchedulePolicy("no-such"))


@provokes("SCHEDULE_POLICY_EXISTS")
def known_policy(users: Users, account: str) -> Said | None:
    known = users.pick_id("pspolicy", lambda p: p.status)
    return at_home(users, CreateSchedulePolicy(known, "again")) if known else None


@provokes("POLICY_NOT_ACTIVATABLE", "OFFSET_POSITIVE_FORBIDDEN", "PERCENTAGES_NOT_100")
def bad_policy(users: Users, account: str) -> Said:
    """One in which nothing adds up yet; else one that has no treatment yet."""
    part = users.pick_id("pspolicy", lambda p: p.status == "DRAFT" and p.treatments and not p.details["t"])
    if part is not None:
        late = AddTreatmentDetail(part, "t", "late", "40", 5)
        return at_home(users, users.chosen.choice((late, ActivateSchedulePolicy(part))))
    bare = users.pick_id("pspolicy", lambda p: p.status == "DRAFT" and not p.treatments)
    if bare is not None:
        treatment = AddTreatment(bare, "t", "T")
        return at_home(users, users.chosen.choice((ActivateSchedulePolicy(bare), treatment)))
    return at_home(users, CreateSchedulePolicy("bad", "Bad"))


@provokes("SCHEDULE_EXISTS")
def known_schedule(users: Users, account: str) -> Said | None:
    known = users.pick("ps")
    return of(
        users,
        known,
        lambda s: CreatePaymentSchedule("ORDER", "O", (), s.payment_schedule_id, Money(1, "GBP")),
    )


@provokes("ITEM_NOT_FOUND")
def unknown_item(users: Users, account: str) -> Said | None:
    return (
        of(users, users.pick("ps"), lambda s: CancelScheduleItem(s.payment_schedule_id, "no-such", "x"))
        if users.pick("ps", lambda s: s.open)
        else None
    )


@provokes("SCHEDULE_AMOUNT_EXCEEDED")
def too_much_for_it(users: Users, account: str) -> Said | None:
    many = 10**12
    return of(
        users,
        users.pick("ps", lambda s: s.open),
        lambda s: AddScheduleItem(s.payment_schedule_id, NewItem(money(many, s.currency), DAY)),
    )


@provokes("SCHEDULE_EXCEEDS_BALANCE", "PROMISE_TOO_MANY_PARTS")
def promise_too_much(users: Users, account: str) -> Said | None:
    invoice = users.pick("invoice", unpaid(account))
    if invoice is None:
        return None
    count = users.chosen.choice((1, 4))
    parts = (Part(money(invoice.balance + 1, invoice.currency), DAY),) * count
    return of(users, invoice, lambda i: RecordPromise(i.invoice_id, parts))


@provokes("PROMISE_EXISTS")
def promised_before(users: Users, account: str) -> Said | None:
    known = users.pick_id("promise")
    if known is None:
        return None
    owner = users.seen.of["promise"][known].account_id
    invoice = users.pick("invoice", unpaid(owner))
    if invoice is None:
        return None
    parts = (Part(money(1, invoice.currency), DAY),)
    return of(users, invoice, lambda i: RecordPromise(i.invoice_id, parts, known))


@provokes("PROMISE_NOT_FOUND")
def unknown_promise(users: Users, account: str) -> CancelPromise:
    return CancelPromise("no-such", "x")


@provokes("ITEM_ALREADY_CLAIMED")
def collect_twice(users: Users, account: str) -> Said | None:
    return _about(
        users,
        lambda item: item.status == "PROCESSING",
        lambda s, id: CollectScheduleItem(s.payment_schedule_id, id),
    )
