"""A batch is decided while the one before it is being appended: on what that one will leave, and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.accounts.account import (
    CloseAccount,
    PlacePaymentHold,
    RegisterAccount,
    ReleasePaymentHold,
    SuspendAccount,
)
from services.accounts.payment_method import SavePaymentMethod
from services.answers import Answer
from services.applications.applying import ApplyPayment
from services.commands import Actor, Command, encode
from services.commands import decode as decode_command
from services.handler import Handler
from services.invoices.posting import PostInvoice
from services.migrations.migrating import ImportTokenizedPaymentMethod
from services.store.protocol import StoreUnavailable
from services.subjects import SUBJECTS
from tests.journey import Journey, line, money


class Slow:
    """The store, whose appends wait until they may: one permission each."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.may = asyncio.Semaphore(0)
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Any) -> Any:
        self.begun += 1
        await self.may.acquire()
        return await self._store.commit(batch)


class Line:
    """Batches handed to one worker, one behind the other."""

    def __init__(self, j: Journey) -> None:
        self.j = j
        self.store = Slow(j.store)
        self.handler = Handler(self.store, SUBJECTS, j)  # type: ignore[arg-type]
        self.other = Handler(j.store, SUBJECTS, j)
        self.told: list[tuple[str, str]] = []
        self._sent = 0

    def made(self, command: object, account: str | None = None) -> Command:
        self._sent += 1
        type, body = encode(
            command,
            tenant=self.j.tenant,
            account_id=account or self.j.account,
            actor=Actor("USER", "tester"),
            idempotency_key=f"line {self._sent}",
        )
        return decode_command(type, body)

    async def begin(self, *commands: Command) -> None:
        def landed(answers: Sequence[Answer]) -> None:
            self.told += [(answer.command.type.split(".")[2], answer.status) for answer in answers]

        async with asyncio.timeout(10):
            await self.handler.begin(commands, (), (), landed)

    async def land(self) -> None:
        async with asyncio.timeout(10):
            await self.handler.land()


def paid() -> tuple[Journey, str]:
    j = Journey()
    invoice = j.post("I", line("1", 100))
    j.pay("P", 100)
    j.handler.cache.clear()
    return j, invoice


async def test_a_batch_is_decided_before_the_one_ahead_of_it_is_in_the_store() -> None:
    j = Journey()
    run = Line(j)
    await run.begin(run.made(PlacePaymentHold("a call")))
    following = asyncio.ensure_future(run.begin(run.made(ReleasePaymentHold())))
    account = run.handler.cache.streams[f"{j.tenant}/account-A"]
    async with asyncio.timeout(10):
        while account.hold is not None:
            await asyncio.sleep(0)
    assert (run.store.begun, run.told) == (1, [])
    run.store.may.release()
    await following
    assert run.told == [("place_payment_hold", "ACCEPTED")]
    run.store.may.release()
    await run.land()
    assert run.told[1:] == [("release_payment_hold", "ACCEPTED")]
    j.handler.cache.clear()


async def test_a_list_of_documents_that_the_store_tells_lacks_nothing_of_what_is_in_flight() -> None:
    """The invoice that is being appended is in no list of the store yet; it is owed all the same."""
    j = Journey()
    run = Line(j)
    for _ in range(4):
        run.store.may.release()
    await run.begin(run.made(PostInvoice("I", "USD", (line("1", 100),))))
    await run.begin(run.made(CloseAccount()))
    await run.land()
    assert run.told == [("post", "ACCEPTED"), ("close", "REJECTED")]
    j.handler.cache.clear()


async def test_a_name_that_is_claimed_in_flight_is_taken() -> None:
    """Both save the same token: the second finds it held, though the store does not know."""
    j = Journey()
    j.when(RegisterAccount("Bob"), account="B").then_accepted()
    run = Line(j)
    for _ in range(4):
        run.store.may.release()
    token = {"external_id": "E", "gateway_id": "gw", "type": "card", "token_ref": "tok_x"}
    await run.begin(run.made(ImportTokenizedPaymentMethod(**token)))
    await run.begin(run.made(ImportTokenizedPaymentMethod(**token), "B"))
    await run.land()
    assert run.told == [("import", "ACCEPTED"), ("import", "REJECTED")]
    assert run.store.begun == 2, "the second was decided on what the first leaves"
    j.handler.cache.clear()


async def test_a_repeat_of_what_is_in_flight_gets_its_answer() -> None:
    j = Journey()
    run = Line(j)
    hold = run.made(PlacePaymentHold("a call"))
    run.store.may.release()
    run.store.may.release()
    await run.begin(hold)
    await run.begin(hold)
    await run.land()
    assert run.told == [("place_payment_hold", "ACCEPTED")] * 2
    assert run.store.begun == 2
    j.handler.cache.clear()


async def test_whoever_was_quicker_has_both_decided_anew_in_their_order() -> None:
    """The hold comes first, its release second; meanwhile another worker changed the account."""
    j = Journey()
    run = Line(j)
    await run.begin(run.made(PlacePaymentHold("a call")))
    following = asyncio.ensure_future(run.begin(run.made(ReleasePaymentHold())))
    await asyncio.sleep(0)
    await run.other.handle([run.made(RegisterAccount("Bob"), "B"), run.made(PlacePaymentHold("before"))])
    for _ in range(4):
        run.store.may.release()
    await following
    await run.land()
    assert [status for _, status in run.told] == ["ACCEPTED", "ACCEPTED"]
    assert run.store.begun == 3
    assert [event.topic for event in j.events()][-3:] == [
        "account.payment_hold_placed.v1",
        "account.payment_hold_placed.v1",
        "account.payment_hold_released.v1",
    ]
    j.handler.cache.clear()


async def test_what_others_changed_of_what_only_the_second_has_read_is_seen_by_it() -> None:
    """The first touches A only, and lands; B, for whom the second saves a card, was suspended meanwhile."""
    j = Journey()
    j.when(RegisterAccount("Bob"), account="B").then_accepted()
    run = Line(j)
    await run.begin(run.made(PlacePaymentHold("a call")))
    saving = run.begin(run.made(SavePaymentMethod("gw", "tok_late", "card"), "B"))
    following = asyncio.ensure_future(saving)
    async with asyncio.timeout(10):
        while not any("spm" in stream for stream in run.handler.cache.streams):
            await asyncio.sleep(0)
    await run.other.handle([run.made(SuspendAccount("fraud"), "B")])
    for _ in range(4):
        run.store.may.release()
    await following
    await run.land()
    assert run.told == [("place_payment_hold", "ACCEPTED"), ("save", "REJECTED")]
    j.handler.cache.clear()


async def test_what_is_abandoned_leaves_the_cache() -> None:
    j, invoice = paid()
    run = Line(j)
    await run.begin(run.made(ApplyPayment("P", invoice, money(60))))
    known = run.handler.cache.streams
    assert f"{j.tenant}/payment-P" in known
    await run.handler.abandon()
    assert f"{j.tenant}/payment-P" not in known
    await run.land()
    assert run.told == []


async def test_what_fails_for_both_is_told_once() -> None:
    class Lost(Slow):
        async def commit(self, batch: Any) -> Any:
            raise StoreUnavailable("gone")

    j = Journey()
    run = Line(j)
    run.handler._store = Lost(j.store)  # type: ignore[assignment]  # pyright: ignore[reportPrivateUsage]
    await run.begin(run.made(PlacePaymentHold("a call")))
    with pytest.raises(StoreUnavailable):
        await run.land()
    await run.land()
    assert run.told == []
