"""What people do who pay by a link: it is made for them, they open it, they pay or are too late."""

from __future__ import annotations

from datetime import timedelta

from services.payments.asking import OneTimeMethod
from services.payments.linking import CreatePaymentLink, ExpirePaymentLink, OpenPaymentLink, PayByLink
from services.payments.payment_link import PaymentLink
from tests.simulation.mistakes import provokes
from tests.simulation.virtual_loop import START
from tests.simulation.workload import MAIN, TOKENS, Said, Users, money, of, says, unpaid


def _link(users: Users, *statuses: str) -> tuple[str, PaymentLink] | None:
    id = users.pick_id("paylink", lambda link: link.status in (statuses or ("ACTIVE",)))
    return (id, users.seen.of["paylink"][id]) if id else None


@says(4)
def send_link(users: Users, account: str) -> Said | None:
    """For one use or many, some for a part only, some for a short while."""
    invoice, chosen = users.pick("invoice", unpaid(account)), users.chosen
    if invoice is None:
        return None
    part = money(users.part(invoice.balance), invoice.currency) if chosen.random() < 0.5 else None
    ends = START + timedelta(seconds=chosen.uniform(5, 200)) if chosen.random() < 0.5 else None
    made = CreatePaymentLink(invoice.invoice_id, f"L{users.number}", part, chosen.random() < 0.5, ends)
    return of(users, invoice, lambda _: made)


@says(6)
def pay_by_link(users: Users, account: str) -> Said | None:
    """Most look first; some want their method kept, and some pay a part."""
    found, chosen = _link(users), users.chosen
    if found is None:
        return None
    id, link = found
    if not link.opened and chosen.random() < 0.7:
        return of(users, link, lambda _: OpenPaymentLink(id))
    invoice = users.seen.of["invoice"][link.invoice_id]
    part = money(users.part(max(1, invoice.balance)), link.currency) if chosen.random() < 0.2 else None
    method = OneTimeMethod("card", f"{chosen.choice(TOKENS)}+prompt")
    return of(users, link, lambda _: PayByLink(id, method, MAIN, part, chosen.random() < 0.3))


@says(1)
def end_link(users: Users, account: str) -> Said | None:
    found = _link(users)
    return (
        of(users, found[1], lambda _: ExpirePaymentLink(found[0], "sent to the wrong one")) if found else None
    )


# -- mistakes


@provokes("PAYMENT_LINK_NOT_FOUND")
def unknown_link(users: Users, account: str) -> OpenPaymentLink:
    return OpenPaymentLink("no-such")


@provokes("PAYMENT_LINK_EXISTS")
def known_link(users: Users, account: str) -> Said | None:
    found = _link(users, "ACTIVE", "PAID", "EXPIRED")
    if found is None:
        return None
    return of(users, found[1], lambda link: CreatePaymentLink(link.invoice_id, found[0]))


@provokes("PAYMENT_LINK_EXPIRED")
def too_late(users: Users, account: str) -> Said | None:
    found = _link(users, "EXPIRED")
    if found is None:
        return None
    return of(users, found[1], lambda _: PayByLink(found[0], OneTimeMethod("card", "tok_ok"), MAIN))
