"""Two workers decide at the same moment on the same state, and commit one after the other.

Each has a cache of its own, which is right when it decides and wrong when it commits: the second must see
that, and decide anew.  Who commits first is said by the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import orjson
import pytest

from events.invoice import Product
from services.accounts.account import CloseAccount, PlacePaymentHold, RegisterAccount
from services.answers import Answer
from services.applications.applying import ApplyCreditMemo, ApplyPayment, Target, UnapplyPayment
from services.commands import Actor, encode
from services.commands import decode as decode_command
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.handler import Handler
from services.invoices.invoice import Invoice
from services.payments.arriving import RecordPaymentOutcome
from services.payments.external import RecordExternalPayment
from services.payments.payment import Payment
from services.refunds.refunding import IssueRefund, RecordExternalRefund
from services.subjects import SUBJECTS
from tests.journey import SUCCESS, Journey, line, money

DAY = date(2026, 3, 2)


class Held:
    """The store, whose first commit waits until both have decided, and until it is its turn."""

    def __init__(self, store: Any, both: asyncio.Barrier, turn: asyncio.Event, after: asyncio.Event) -> None:
        self._store, self._both, self._turn, self._after = store, both, turn, after
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Any) -> Any:
        self.commits += 1
        if self.commits == 1:
            await self._both.wait()
            await self._turn.wait()
        try:
            return await self._store.commit(batch)
        finally:
            self._after.set()


def sent(j: Journey, command: object, key: str, account: str | None = None) -> Any:
    home = account or j.account
    type, body = encode(
        command, tenant=j.tenant, account_id=home, actor=Actor("USER", key), idempotency_key=key
    )
    return decode_command(type, body)


async def race(j: Journey, first: object, second: object) -> tuple[Answer, Answer]:
    """Both are decided on what there is now; then the first commits, then the second tries to."""
    both, now, then, end = asyncio.Barrier(2), asyncio.Event(), asyncio.Event(), asyncio.Event()
    now.set()
    stores = Held(j.store, both, now, then), Held(j.store, both, then, end)
    handlers = [Handler(store, SUBJECTS, j) for store in stores]  # type: ignore[arg-type]
    commands = sent(j, first, "first"), sent(j, second, "second")
    async with asyncio.timeout(10):
        answers = await asyncio.gather(
            *(handler.handle([command]) for handler, command in zip(handlers, commands, strict=True))
        )
    j.handler.cache.clear()
    assert stores[1].commits == 2, "the second was not decided anew"
    (one,), (other,) = answers
    return one, other


def prepared() -> tuple[Journey, dict[str, str]]:
    """P and Q of 100.00 free; invoices I and K of 100.00; a memo M of 100.00; R of 100.00 in flight for I."""
    j = Journey()
    names = {name: j.post(name, line("1", 100)) for name in ("I", "K")}
    lines = (NewLine("1", money(100), Product(name="goodwill")),)
    j.when(CreateCreditMemo("USD", lines, "GOODWILL", "M")).then_accepted()
    j.pay("P", 100)
    j.pay("Q", 100)
    j.request("R", 100, names["I"])
    j.handler.cache.clear()
    return j, names


Make = Callable[[Journey, dict[str, str]], object]


def to(payment: str, invoice: str, amount: int = 60) -> Make:
    return lambda j, names: ApplyPayment(payment, names[invoice], money(amount))


def refund(j: Journey, names: dict[str, str]) -> object:
    return IssueRefund("P", money(60), "asked")


def cash_back(j: Journey, names: dict[str, str]) -> object:
    return RecordExternalRefund(money(60), "CASH", "till", j.time.date(), "asked", "P")


def credit(j: Journey, names: dict[str, str]) -> object:
    return ApplyCreditMemo("M", (Target(names["I"], money(60)),))


RACES: dict[str, tuple[Make, Make, str, str]] = {
    "two applications of one payment": (
        to("P", "I"),
        to("P", "K"),
        "PAYMENT_BALANCE_EXCEEDED",
        "PAYMENT_BALANCE_EXCEEDED",
    ),
    "two payments onto one invoice": (
        to("P", "I"),
        to("Q", "I"),
        "INVOICE_BALANCE_EXCEEDED",
        "INVOICE_BALANCE_EXCEEDED",
    ),
    "a refund and an application": (
        refund,
        to("P", "I"),
        "PAYMENT_BALANCE_EXCEEDED",
        "REFUND_EXCEEDS_UNAPPLIED",
    ),
    "a refund at a gateway and one outside": (
        refund,
        cash_back,
        "REFUND_EXCEEDS_UNAPPLIED",
        "REFUND_EXCEEDS_REFUNDABLE",
    ),
    "a memo and a payment onto one invoice": (
        credit,
        to("P", "I"),
        "INVOICE_BALANCE_EXCEEDED",
        "INVOICE_BALANCE_EXCEEDED",
    ),
}
"""Two commands of which only one has room, and what the other is told where it comes second."""


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("name", RACES)
async def test_only_one_of_two_takes_what_there_is_for_one(name: str, turned: bool) -> None:
    j, names = prepared()
    one, other, second, first = RACES[name]
    commands = [one(j, names), other(j, names)]
    accepted, rejected = await race(j, *(commands[::-1] if turned else commands))
    assert (accepted.status, rejected.status) == ("ACCEPTED", "REJECTED")
    assert f'"code":"{first if turned else second}"'.encode() in rejected.outcome
    _check(j, names)


async def test_a_memo_that_comes_before_a_collection_leaves_its_money_unapplied() -> None:
    j, names = prepared()
    outcome = RecordPaymentOutcome(j.state(Payment, "R").operation_key, "GATEWAY", SUCCESS)
    one, other = await race(j, credit(j, names), outcome)
    assert (one.status, other.status) == ("ACCEPTED", "ACCEPTED")
    assert j.balances(names["I"])["status"] == "SETTLED"
    assert j.payment("R")["unapplied"] == "60.00"
    _check(j, names)


async def test_a_memo_that_comes_after_a_collection_has_no_room() -> None:
    j, names = prepared()
    outcome = RecordPaymentOutcome(j.state(Payment, "R").operation_key, "GATEWAY", SUCCESS)
    one, other = await race(j, outcome, credit(j, names))
    assert (one.status, other.status) == ("ACCEPTED", "REJECTED")
    assert b'"code":"INVOICE_BALANCE_EXCEEDED"' in other.outcome
    assert j.state(CreditMemo, "M").balance == 10_000
    _check(j, names)


async def test_an_application_is_taken_back_once_by_two() -> None:
    j, names = prepared()
    j.apply("P", names["I"], 60).then_accepted()
    (application,) = j.state(Payment, "P").applications
    j.handler.cache.clear()
    one, other = await race(j, UnapplyPayment("P", application), UnapplyPayment("P", application))
    assert (one.status, other.status) == ("ACCEPTED", "REJECTED")
    assert b'"code":"ALREADY_UNAPPLIED"' in other.outcome
    assert j.payment("P")["unapplied"] == "100.00"
    _check(j, names)


async def test_two_that_touch_nothing_of_each_other_are_both_decided_once() -> None:
    j, names = prepared()
    with pytest.raises(AssertionError, match="decided anew"):
        await race(j, to("P", "I")(j, names), to("Q", "K")(j, names))
    assert [j.balances(names[name])["balance"] for name in ("I", "K")] == ["40.00", "40.00"]


def _check(j: Journey, names: dict[str, str]) -> None:
    """Whatever came first: nothing is negative, and the parts of each payment add up."""
    for id in names.values():
        assert j.state(Invoice, id).balance >= 0
    for id in ("P", "Q"):
        payment = j.state(Payment, id)
        assert payment.unapplied >= 0
        assert payment.unapplied + payment.applied + payment.refunded + payment.refund_reserved == 10_000


class Interrupted:
    """The store, in which another worker commits right before, and right after, our first commit."""

    def __init__(self, store: Any, before: Callable[[], Any], after: Callable[[], Any]) -> None:
        self._store, self._before, self._after, self._commits = store, before, after, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Any) -> Any:
        self._commits += 1
        if self._commits > 1:
            return await self._store.commit(batch)
        await self._before()
        appended = await self._store.commit(batch)
        await self._after()
        return appended


async def test_what_another_worker_changes_right_after_our_commit_is_seen_by_the_next_decision() -> None:
    """Even of a stream that we have changed ourselves, and that the next decision only reads."""
    j = Journey()
    other = Handler(j.store, SUBJECTS, j)

    async def elsewhere() -> None:
        await other.handle([sent(j, RegisterAccount("Grace"), "register", account="B")])

    async def behind() -> None:
        (answer,) = await other.handle([sent(j, CloseAccount(), "close")])
        assert answer.status == "ACCEPTED"

    handler = Handler(Interrupted(j.store, elsewhere, behind), SUBJECTS, j)  # type: ignore[arg-type]
    await handler.cache.catch_up()
    (held,) = await handler.handle([sent(j, PlacePaymentHold("a call"), "hold")])
    assert held.status == "ACCEPTED"
    (paid,) = await handler.handle([sent(j, RecordExternalPayment(money(1), "CASH", "till", DAY), "cash")])
    assert paid.status == "REJECTED"
    assert orjson.loads(paid.outcome)["code"] == "INVALID_STATE"
