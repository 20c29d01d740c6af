"""What only breaks for one home key parks that key, and nobody else's commands wait for it."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from events.account import PaymentHoldPlaced
from services.accounts.account import Account, PlacePaymentHold, RegisterAccount
from services.commands import Actor, Command, decode, encode
from services.decision import Change, Changes, Context, Needs, Rule, States, Subject
from services.handler import POISON_TRIES, Handler
from services.store.memory import MemoryStore
from services.store.protocol import Appended, Batch, DeadLetter, OffsetMove, StoreUnavailable
from services.subjects import SUBJECTS
from services.unparking import release
from tests.spec import Spec

HOMES = ("A", "B", "C", "D", "E")
MOVE = OffsetMove("cluster", "commands", 0, None, 10)


class Picky(MemoryStore):
    """Its appends fail where they hold facts of one home."""

    def __init__(self, home: str) -> None:
        super().__init__()
        self.home, self.refused = home, 0

    async def commit(self, batch: Batch) -> Appended:
        if any(event.home == self.home for event in batch.events):
            self.refused += 1
            raise ValueError("no such character")
        return await super().commit(batch)


def sent(command: object, account: str) -> Command:
    type, body = encode(
        command, tenant="t", account_id=account, actor=Actor("USER", "ada"), command_id=uuid4()
    )
    return decode(type, body)


def registrations() -> list[Command]:
    return [sent(RegisterAccount(f"Customer {home}"), home) for home in HOMES]


async def test_an_append_that_fails_for_one_key_parks_that_key_alone() -> None:
    store = Picky("t/C")
    handler = Handler(store, SUBJECTS, Spec())
    answers = await handler.handle([*registrations(), sent(PlacePaymentHold("late"), "C")], [MOVE])
    assert [answer.status for answer in answers] == [*["ACCEPTED"] * 2, "PARKED", *["ACCEPTED"] * 2, "PARKED"]
    assert store.refused >= POISON_TRIES
    assert [(p.home, p.reason) for p in await store.parked_commands("t/C")] == [
        ("t/C", "its append fails: no such character")
    ] * 2
    assert set(await store.parked_homes()) == {"t/C"}
    assert await store.offset("cluster", "commands", 0) == 10
    registered = {event.home for event in await store.read(0, 100)}
    assert registered == {"t/A", "t/B", "t/D", "t/E"}
    verdicts = await store.verdicts([answer.command.command_id for answer in answers])
    assert [verdicts[a.command.command_id].status for a in answers] == [a.status for a in answers]


async def test_what_is_parked_is_decided_in_order_once_the_fault_is_gone() -> None:
    store = Picky("t/C")
    handler = Handler(store, SUBJECTS, Spec())
    await handler.handle([*registrations(), sent(PlacePaymentHold("late"), "C")])
    behind = await handler.handle([sent(PlacePaymentHold("later"), "C")])
    assert [answer.status for answer in behind] == ["PARKED"]
    assert await release(store, handler, "t/C") == 0, "it still fails"
    store.home = ""
    assert await release(store, handler, "t/C") == 3
    assert not await store.parked_homes()
    topics = [event.topic for event in await store.read(0, 100) if event.home == "t/C"]
    assert topics == ["account.registered.v2", *["account.payment_hold_placed.v1"] * 2]


class Broken(MemoryStore):
    """It takes nothing, and says nothing of why; until it has been asked so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left, self.asked = times, 0

    async def commit(self, batch: Batch) -> Appended:
        self.asked += 1
        if self.asked <= self.left:
            raise ValueError("the disk is full")
        return await super().commit(batch)


async def test_a_failed_append_of_nobodys_commands_is_like_a_store_that_is_away() -> None:
    """With no home key there is nobody to park: whoever reads waits, and asks again."""
    store = Broken(1)
    handler = Handler(store, SUBJECTS, Spec())
    letter = DeadLetter("cluster", "commands", 0, 0, None, b"", (), "UNKNOWN_TYPE", "none", Spec().now())
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        await handler.handle([], [MOVE], [letter])
    await handler.handle([], [MOVE], [letter])
    assert [kept for _, kept in await store.dead_letters(0, 10)] == [letter]


async def test_a_store_that_fails_for_everybody_parks_nobody_and_is_asked_so_often_only() -> None:
    store = Broken(1_000_000)
    handler = Handler(store, SUBJECTS, Spec())
    commands = registrations()
    for _ in range(3):
        before = store.asked
        with pytest.raises(StoreUnavailable, match="the store takes nothing: ValueError: the disk is full"):
            await handler.handle(commands, [MOVE])
        halvings = len(HOMES).bit_length()
        assert store.asked - before <= halvings + POISON_TRIES + 1
    assert not await store.parked_homes()
    assert await store.offset("cluster", "commands", 0) is None
    assert await store.head() == (0, 0)
    store.left = 0
    answers = await handler.handle(commands, [MOVE])
    assert [answer.status for answer in answers] == ["ACCEPTED"] * len(HOMES)
    assert [event.version for event in await store.read(0, 100)] == [1] * len(HOMES)


async def test_what_fails_behind_a_batch_in_flight_leaves_nothing_in_flight() -> None:
    store = Broken(1_000_000)
    handler = Handler(store, SUBJECTS, Spec())
    heard: list[object] = []
    first, second = registrations()[:2], registrations()[2:]
    await handler.begin(first, [MOVE], [], heard.extend)
    with pytest.raises(StoreUnavailable):
        await handler.begin(second, [MOVE._replace(expected=10, next_offset=20)], [], heard.extend)
    assert not heard
    store.left = 0
    await handler.begin(first, [MOVE], [], heard.extend)
    await handler.begin(second, [MOVE._replace(expected=10, next_offset=20)], [], heard.extend)
    await handler.land()
    assert len(heard) == len(HOMES)
    assert await store.offset("cluster", "commands", 0) == 20


def _needs(states: States, command: PlacePaymentHold, context: Context) -> Needs:
    return ()


def _raises(states: States, command: PlacePaymentHold, context: Context) -> Changes:
    raise ZeroDivisionError("division by zero")


def _records_nonsense(states: States, command: PlacePaymentHold, context: Context) -> Changes:
    return [Change(Account, context.account_id, object(), new=True)]


@pytest.mark.parametrize(
    ("decide", "reason"),
    [
        (_raises, "ZeroDivisionError: division by zero"),
        (_records_nonsense, "its append fails: <class 'object'>"),
    ],
)
async def test_a_decision_that_breaks_parks_its_key_alone(decide: object, reason: str) -> None:
    account = next(subject for subject in SUBJECTS if subject.state is Account)
    rules = [rule for rule in account.rules if rule.command is not PlacePaymentHold]
    broken = replace(account, rules=(*rules, Rule(PlacePaymentHold, _needs, decide)))  # type: ignore[arg-type]
    subjects: list[Subject] = [broken if subject is account else subject for subject in SUBJECTS]
    store = MemoryStore()
    handler = Handler(store, subjects, Spec())
    await handler.handle(registrations())
    answers = await handler.handle(
        [
            sent(PlacePaymentHold("breaks"), "A"),
            sent(RegisterAccount("again"), "A"),
            sent(RegisterAccount("again"), "B"),
        ]
    )
    assert [answer.status for answer in answers] == ["PARKED", "PARKED", "REJECTED"]
    first, second = await store.parked_commands("t/A")
    assert first.reason == reason
    assert second.reason in ("an earlier command of this key is parked", reason)


async def test_a_fact_that_cannot_be_folded_parks_its_command_and_the_rest_is_decided_anew() -> None:
    account = next(subject for subject in SUBJECTS if subject.state is Account)

    def evolve(state: Account, fact: object) -> None:
        if isinstance(fact, PaymentHoldPlaced):
            raise KeyError("no such field")
        account.evolve(state, fact)

    broken = replace(account, evolve=evolve)
    subjects = [broken if subject is account else subject for subject in SUBJECTS]
    handler = Handler(MemoryStore(), subjects, Spec())
    answers = await handler.handle([*registrations(), sent(PlacePaymentHold("breaks"), "A")])
    assert [answer.status for answer in answers] == [*["ACCEPTED"] * len(HOMES), "PARKED"]
    assert handler.cache.streams["t/account-A"].version == 1
