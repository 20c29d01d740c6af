"""What a store promises, kept by PostgreSQL and by memory alike."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.persistence import IntegrityError

from events.account import AccountRegistered
from events.gateway_call import GatewayCallPlanned
from events.log import opened
from events.mapper import decode
from events.money import Money
from events.personal import ERASED
from services.store.memory import MemoryStore
from services.store.postgres import PostgresStore
from services.store.protocol import (
    Batch,
    Claim,
    ClaimTaken,
    DeadLetter,
    DocumentChange,
    OffsetMove,
    OffsetMoved,
    OutboxCommand,
    ParkedCommand,
    RawNotification,
    ReadSetMoved,
    Reference,
    Room,
    Store,
    Tracking,
    TrackingMoved,
    VerdictExists,
    WorkAnswered,
    WorkDone,
    WorkDue,
    WorkPlanned,
)
from tests.batches import NOW, command, joined
from tests.fixtures.database import own_database
from tests.fixtures.keys import KEYS


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(now=lambda: NOW)
        return
    async with own_database(request.getfixturevalue("postgres")) as database_url:
        postgres = await PostgresStore.connect(database_url, keys=KEYS)
        yield postgres
        await postgres.close()


async def test_an_empty_store_is_at_zero(store: Store) -> None:
    assert await store.head() == (0, 0)
    assert await store.read(0, 10) == []
    assert await store.load(["t/invoice-1"]) == (0, {"t/invoice-1": await _nothing(store)})


async def _nothing(store: Store) -> object:
    return type((await store.load(["x"]))[1]["x"])()


async def test_positions_follow_each_other_and_commands_come_whole(store: Store) -> None:
    first = await store.commit(joined(command([("t/a-1", 1), ("t/a-2", 1)]), command([("t/a-1", 2)])))
    assert (first.first_position, first.position, first.verdict_position) == (1, 3, 2)
    second = await store.commit(command([("t/a-3", 1)], known_position=3))
    assert (second.first_position, second.position) == (4, 4)
    read = await store.read(0, 100)
    assert [(e.position, e.stream, e.version, e.last_of_command) for e in read] == [
        (1, "t/a-1", 1, False),
        (2, "t/a-2", 1, True),
        (3, "t/a-1", 2, True),
        (4, "t/a-3", 1, True),
    ]


async def test_reading_stops_only_where_a_command_ends(store: Store) -> None:
    await store.commit(command([(f"t/a-{n}", 1) for n in range(5)]))
    assert [event.position for event in await store.read(0, 2)] == [1, 2, 3, 4, 5]
    assert [event.position for event in await store.read(0, 5)] == [1, 2, 3, 4, 5]


async def test_verdicts_are_found_and_tell_the_position_of_their_last_event(store: Store) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    await store.commit(
        joined(
            command([("t/a-1", 1), ("t/a-1", 2)], command_id=one),
            command([], command_id=two, status="REJECTED"),
            command([("t/a-1", 3)], command_id=three),
        )
    )
    found = await store.verdicts([one, two, three, uuid4()])
    assert [found[id].position for id in (one, two, three)] == [2, 2, 3]
    assert [found[id].status for id in (one, two, three)] == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    assert [v.command_id for v in await store.read_verdicts(1, 10)] == [two, three]


async def test_the_same_command_is_recorded_once(store: Store) -> None:
    id = uuid4()
    await store.commit(command([("t/a-1", 1)], command_id=id))
    with pytest.raises(VerdictExists) as conflict:
        await store.commit(command([("t/a-2", 1)], command_id=id, known_position=1))
    assert conflict.value.command_ids == {id}
    assert await store.head() == (1, 1)


async def test_a_stream_that_moved_under_the_read_set_is_a_conflict(store: Store) -> None:
    await store.commit(command([("t/a-1", 1)]))
    with pytest.raises(ReadSetMoved) as conflict:
        await store.commit(command([("t/a-2", 1)], reads=["t/a-1"], known_position=0))
    assert "t/a-1" in conflict.value.streams
    assert await store.head() == (1, 1)


async def test_a_rejection_is_compared_with_the_log_too(store: Store) -> None:
    await store.commit(command([("t/a-1", 1)]))
    with pytest.raises(ReadSetMoved):
        await store.commit(command([], reads=["t/a-1"], status="REJECTED"))


async def test_what_moved_elsewhere_is_no_conflict(store: Store) -> None:
    await store.commit(command([("t/a-1", 1)]))
    await store.commit(command([("t/a-2", 1)], home="t/b"))
    assert await store.head() == (2, 2)


async def test_a_list_of_documents_moves_with_its_home(store: Store) -> None:
    await store.commit(command([("t/a-1", 1)], home="t/a"))
    with pytest.raises(ReadSetMoved):
        await store.commit(command([("t/z-1", 1)], home="t/z", read_homes={"t/a"}))


async def test_a_wrong_version_is_refused_by_the_librarys_error(store: Store) -> None:
    await store.commit(command([("t/a-1", 1)]))
    batch = command([("t/a-1", 1)], known_position=1)
    with pytest.raises(IntegrityError):
        await store.commit(batch)
    assert await store.head() == (1, 1)


async def test_offsets_move_from_what_this_worker_knows(store: Store) -> None:
    move = OffsetMove("c", "commands", 3, None, 7)
    await store.commit(Batch(offsets=[move]))
    assert await store.offset("c", "commands", 3) == 7
    await store.commit(Batch(offsets=[move._replace(expected=7, next_offset=12)]))
    with pytest.raises(OffsetMoved) as conflict:
        await store.commit(command([("t/a-1", 1)], offsets=[move._replace(expected=7, next_offset=9)]))
    assert conflict.value.partitions == {("c", "commands", 3)}
    assert await store.head() == (0, 0)
    with pytest.raises(OffsetMoved):
        await store.commit(Batch(offsets=[move]))


async def test_a_claim_is_one_owners_until_it_is_released(store: Store) -> None:
    mine = Claim("t", "gateway_name", "Main", "gw-1")
    await store.commit(Batch(claims=[mine]))
    with pytest.raises(ClaimTaken):
        await store.commit(command([("t/a-1", 1)], claims=[mine._replace(owner="gw-2")]))
    assert await store.claim_owners([("t", "gateway_name", "Main"), ("t", "x", "y")]) == {
        ("t", "gateway_name", "Main"): "gw-1"
    }
    await store.commit(Batch(released_claims=[mine]))
    await store.commit(Batch(claims=[mine._replace(owner="gw-2")]))
    assert await store.claim_owners([("t", "gateway_name", "Main")]) == {
        ("t", "gateway_name", "Main"): "gw-2"
    }


async def test_the_events_of_some_topics_say_how_far_they_reach(store: Store) -> None:
    assert await store.read_topics(0, 10, ["payment.canceled.v2"]) == (0, [])
    await store.commit(joined(command([("t/a-1", 1), ("t/a-2", 1)]), command([("t/a-1", 2)])))
    reached, events = await store.read_topics(0, 10, ["payment.canceled.v2"])
    assert (reached, events) == (3, await store.read(0, 10))
    assert await store.read_topics(0, 10, ["payment.failed.v2"]) == (3, [])
    assert (await store.read_topics(0, 1, ["payment.canceled.v2"]))[0] == 2, "a command comes whole"
    assert await store.read_topics(3, 10, ["payment.canceled.v2"]) == (3, [])


async def test_open_documents_come_and_go(store: Store) -> None:
    opened = [DocumentChange("t/a", "t/invoice-1", True), DocumentChange("t/a", "t/payment-1", True)]
    await store.commit(command([("t/invoice-1", 1)], documents=opened))
    assert await store.open_documents(["t/a", "t/b"]) == (
        1,
        {"t/a": ["t/invoice-1", "t/payment-1"], "t/b": []},
    )
    await store.commit(
        command(
            [("t/invoice-1", 2)], documents=[DocumentChange("t/a", "t/invoice-1", False)], known_position=1
        )
    )
    assert (await store.open_documents(["t/a"]))[1] == {"t/a": ["t/payment-1"]}


async def test_open_documents_of_some_kinds(store: Store) -> None:
    streams = ["t/auth-1", "t/invoice-1", "t/payment-1-2"]
    opened = [DocumentChange("t/a", stream, True) for stream in streams]
    await store.commit(command([("t/invoice-1", 1)], documents=opened))
    found = await store.open_documents(["t/a", "t/b"], ["payment", "auth"])
    assert found == (1, {"t/a": ["t/auth-1", "t/payment-1-2"], "t/b": []})


async def test_tracking_moves_only_from_where_its_reader_is(store: Store) -> None:
    await store.commit(Batch(tracking=[Tracking("relay", 0, 5)]))
    assert await store.tracking("relay") == 5
    with pytest.raises(TrackingMoved):
        await store.commit(Batch(tracking=[Tracking("relay", 0, 6)]))
    await store.commit(Batch(tracking=[Tracking("relay", 5, 6)]))
    assert await store.tracking("relay") == 6


async def test_numbers_are_nobody_elses(store: Store) -> None:
    assert [await store.reserve_numbers("t", "PAY", 1000) for _ in range(2)] == [1, 1001]
    assert await store.reserve_numbers("t", "INV", 10) == 1
    assert await store.reserve_numbers("u", "PAY", 10) == 1


async def test_a_lease_is_one_holders_while_it_lives(store: Store) -> None:
    assert await store.acquire_lease("relay", "one", NOW, 10)
    assert not await store.acquire_lease("relay", "two", NOW + timedelta(seconds=5), 10)
    assert await store.acquire_lease("relay", "one", NOW + timedelta(seconds=5), 10)
    assert await store.acquire_lease("relay", "two", NOW + timedelta(seconds=16), 10)
    await store.release_lease("relay", "two")
    assert await store.acquire_lease("relay", "one", NOW, 10)


def outbox(id: UUID, due_in: float = 0) -> OutboxCommand:
    return OutboxCommand(id, "t/a", "payments.test.v1", b"{}", b"{}", NOW + timedelta(seconds=due_in))


async def test_commands_are_due_once_and_again_until_they_have_a_verdict(store: Store) -> None:
    now_due, later = uuid4(), uuid4()
    await store.commit(Batch(outbox=[outbox(now_due), outbox(later, due_in=60)]))
    assert [c.command_id for c in await store.due_commands(NOW, 30, 10)] == [now_due]
    await store.mark_published([now_due], NOW)
    assert await store.due_commands(NOW + timedelta(seconds=29), 30, 10) == []
    assert [c.command_id for c in await store.due_commands(NOW + timedelta(seconds=61), 30, 10)] == [
        now_due,
        later,
    ]
    await store.commit(command([("t/a-1", 1)], command_id=now_due))
    assert [c.command_id for c in await store.due_commands(NOW + timedelta(seconds=61), 30, 10)] == [later]


async def test_a_new_broker_gets_every_waiting_command_again(store: Store) -> None:
    id = uuid4()
    await store.commit(Batch(outbox=[outbox(id)]))
    await store.mark_published([id], NOW)
    await store.republish_all()
    assert [c.command_id for c in await store.due_commands(NOW, 30, 10)] == [id]


async def test_a_command_that_was_answered_before_is_not_published_for_ever(store: Store) -> None:
    id = uuid4()
    await store.commit(command([("t/a-1", 1)], command_id=id))
    await store.commit(Batch(outbox=[outbox(id)]))
    await store.mark_published([id], NOW)
    assert await store.due_commands(NOW + timedelta(seconds=31), 30, 10) == []


def planned(key: str) -> WorkPlanned:
    fact = GatewayCallPlanned("SALE", key, 1, "payment", "P", "a", "gw", Money(1, "USD"), "digest", "PAY-1")
    return WorkPlanned(key, "t/a", "gw", "SALE", fact, NOW)


async def test_work_is_leased_to_one_and_marked_sent_before_it_is_sent(store: Store) -> None:
    await store.commit(Batch(work=[planned("k1"), planned("k2")]))
    (first,) = await store.claim_work("one", NOW, 60, 1)
    (second,) = await store.claim_work("two", NOW, 60, 5)
    assert {first.key, second.key} == {"k1", "k2"}
    assert (first.mode, first.sent_at, first.taken_over) == ("SEND", NOW, False)
    assert await store.claim_work("three", NOW + timedelta(seconds=59), 60, 5) == []


async def test_no_gateway_is_leased_more_than_it_has_room_for(store: Store) -> None:
    """A backlog of one holds up no other, and one that is met for the first time gets its first call only."""
    busy = [planned(f"busy-{n}") for n in range(5)]
    free = [planned(f"free-{n}")._replace(gateway_id="free") for n in range(3)]
    new = [planned(f"new-{n}")._replace(gateway_id="new", home="u/a") for n in range(3)]
    full = [planned("full")._replace(gateway_id="full")]
    await store.commit(Batch(work=[*busy, *free, *new, *full]))
    rooms = [Room("t", "gw", 2), Room("t", "free", 9), Room("t", "full", 0), Room("t", "new", 9)]
    leased = await store.claim_work("one", NOW, 60, 20, rooms, each=1)
    assert Counter(work.gateway_id for work in leased) == {"gw": 2, "free": 3, "new": 1}
    assert len(await store.claim_work("two", NOW, 60, 2, [Room("t", "gw", 9)], each=0)) == 2


async def test_who_takes_over_a_send_is_told_so(store: Store) -> None:
    await store.commit(Batch(work=[planned("k1")]))
    await store.claim_work("one", NOW, 60, 1)
    (again,) = await store.claim_work("two", NOW + timedelta(seconds=61), 60, 1)
    assert again.taken_over
    assert again.sent_at == NOW


async def test_answered_work_rests_until_the_log_says_more(store: Store) -> None:
    await store.commit(Batch(work=[planned("k1")]))
    await store.claim_work("one", NOW, 60, 1)
    await store.commit(Batch(answered_work=[WorkAnswered("k1", "one")]))
    later = NOW + timedelta(hours=1)
    assert await store.claim_work("two", later, 60, 1) == []
    await store.commit(command([("t/a-1", 1)], work=[WorkDue("k1", "INQUIRE", later)]))
    (inquiry,) = await store.claim_work("two", later, 60, 1)
    assert (inquiry.mode, inquiry.taken_over) == ("INQUIRE", False)
    await store.commit(command([("t/a-1", 2)], work=[WorkDone("k1")], known_position=1))
    assert await store.claim_work("two", later + timedelta(hours=1), 60, 1) == []


async def test_an_answer_that_comes_twice_does_not_answer_what_the_log_has_made_due_since(
    store: Store,
) -> None:
    await store.commit(Batch(work=[planned("k1")]))
    await store.claim_work("one", NOW, 60, 1)
    answered = Batch(answered_work=[WorkAnswered("k1", "one")])
    await store.commit(answered)
    await store.commit(command([("t/a-1", 1)], work=[WorkDue("k1", "INQUIRE", NOW)]))
    await store.commit(answered)
    assert [work.mode for work in await store.claim_work("two", NOW, 60, 1)] == ["INQUIRE"]


async def test_parked_commands_keep_their_order_and_their_verdicts_are_replaced(store: Store) -> None:
    ids = [uuid4(), uuid4()]
    parked = [
        ParkedCommand(id, "t/a", "payments.test.v1", b"{}", (("ce_id", b"1"),), "boom", NOW) for id in ids
    ]
    verdicts = joined(*(command([], command_id=id, status="PARKED") for id in ids))
    verdicts.parked = parked
    await store.commit(verdicts)
    assert await store.parked_homes() == {"t/a": "boom"}
    assert list(await store.parked_commands("t/a")) == parked
    await store.commit(command([("t/a-1", 1)], command_id=ids[0], unparked=[ids[0]]))
    assert [p.command_id for p in await store.parked_commands("t/a")] == [ids[1]]
    assert (await store.verdicts(ids))[ids[0]].status == "ACCEPTED"


async def test_dead_letters_keep_every_byte(store: Store) -> None:
    letter = DeadLetter(
        "c", "t", 1, 5, None, b"\x00\xff", (("h", b"\xfe"),), "MALFORMED_REQUEST", "no JSON", NOW
    )
    await store.commit(Batch(dead_letters=[letter, letter]))
    assert [kept for _, kept in await store.dead_letters(0, 10)] == [letter]


async def test_streams_and_homes_are_read_in_order(store: Store) -> None:
    await store.commit(joined(command([("t/a-1", 1)], home="t/a"), command([("t/b-1", 1)], home="t/b")))
    await store.commit(command([("t/a-1", 2)], home="t/a", known_position=2))
    assert [e.version for e in await store.read_stream("t/a-1")] == [1, 2]
    assert [e.version for e in await store.read_stream("t/a-1", after=1)] == [2]
    assert [e.position for e in await store.read_home("t/a", None, 10)] == [1, 3]
    assert [e.position for e in await store.read_home("t/a", 1, 10)] == [3]
    assert [e.position for e in await store.read_home("t/a", None, 1, newest_first=True)] == [3]
    assert [e.position for e in await store.read_home("t/a", 3, 10, newest_first=True)] == [1]
    position, loaded = await store.load(["t/a-1", "t/none-1"])
    assert position == 3
    assert [e.version for e in loaded["t/a-1"]] == [1, 2]
    assert list(loaded["t/none-1"]) == []
    assert set((await store.moved_since(1))[1]) == {("t/b", "t/b-1"), ("t/a", "t/a-1")}


async def test_a_commit_wakes_who_waits(store: Store) -> None:
    wakeups = store.wakeups()
    await anext(wakeups)
    waiting = asyncio.ensure_future(anext(wakeups))
    await asyncio.sleep(0.3)
    await store.commit(command([("t/a-1", 1)]))
    async with asyncio.timeout(2):
        await waiting
    await wakeups.aclose()  # type: ignore[attr-defined]


# -- personal data


def registering(home: str, command_id: UUID | None = None, **more: Any) -> Batch:
    """One command that records an account's name."""
    batch = command([(f"{home.replace('/', '/account-')}", 1)], home=home, command_id=command_id, **more)
    named = batch.events[0]._replace(fact=AccountRegistered(home.partition("/")[2], "Ada Lovelace"))
    batch.events[0] = named
    return batch


async def test_personal_data_is_sealed_in_the_log_under_a_key_of_each_home(store: Store) -> None:
    await store.commit(joined(registering("t/A"), registering("t/B")))
    a, b = await store.read(0, 10)
    assert b"Ada" not in a.data + b.data
    assert orjson.loads(a.data)["name"] != orjson.loads(b.data)["name"]
    assert [decode(e.topic, e.data).name for e in await opened(store, [a, b])] == ["Ada Lovelace"] * 2
    keys = await store.subject_keys(["t/A", "t/none"])
    assert (keys["t/A"] is None, keys["t/A"] == keys["t/none"]) == (False, False)


async def test_the_same_home_keeps_its_key(store: Store) -> None:
    await store.commit(registering("t/A"))
    again = registering("t/A", known_position=1)
    again.events[0] = again.events[0]._replace(stream="t/account-A2")
    await store.commit(again)
    one, two = await store.read(0, 10)
    assert one.data == two.data


async def test_a_batch_that_was_not_written_has_made_no_key(store: Store) -> None:
    id = uuid4()
    await store.commit(command([("t/x", 1)], command_id=id))
    with pytest.raises(VerdictExists):
        await store.commit(registering("t/A", id, known_position=1))
    await store.commit(registering("t/A", known_position=1))
    (last,) = await opened(store, (await store.read(1, 10)))
    assert decode(last.topic, last.data).name == "Ada Lovelace"


async def test_a_destroyed_key_is_destroyed_for_good(store: Store) -> None:
    await store.commit(registering("t/A"))
    await store.commit(command([("t/account-A", 2)], home="t/A", known_position=1, erased=["t/A"]))
    assert await store.subject_keys(["t/A"]) == {"t/A": None}
    late = registering("t/A", known_position=2)
    late.events[0] = late.events[0]._replace(version=3)
    await store.commit(late)
    first, _, third = await opened(store, await store.read(0, 10))
    assert decode(first.topic, first.data).name == decode(third.topic, third.data).name == ERASED
    assert await store.subject_keys(["t/A"]) == {"t/A": None}


async def test_a_key_can_be_destroyed_before_it_was_ever_needed(store: Store) -> None:
    await store.commit(command([("t/account-A", 1)], home="t/A", erased=["t/A"]))
    await store.commit(command([("t/account-A", 2)], home="t/A", known_position=1, erased=["t/A"]))
    assert await store.subject_keys(["t/A"]) == {"t/A": None}


async def test_a_reference_names_the_calls_of_its_tenant_and_gateway(store: Store) -> None:
    named = [Reference("t", "gw", "pi_1", "k2"), Reference("t", "gw", "pi_1", "k1")]
    others = [Reference("t", "other", "pi_1", "k3"), Reference("u", "gw", "pi_1", "k4")]
    await store.commit(command([("t/a-1", 1)], references=[*named, *others]))
    await store.commit(command([("t/a-1", 2)], known_position=1, references=named))
    asked = ("t", "gw", "pi_1"), ("t", "gw", "pi_2")
    found = await store.references(asked)
    assert {name: list(found.get(name, ())) for name in asked} == {asked[0]: ["k1", "k2"], asked[1]: []}


async def test_the_bytes_of_a_notification_are_kept_once_and_counted(store: Store) -> None:
    body = b"\x00\xff not even text"
    raw = RawNotification("r1", "t", "gw", "SIGNATURE", (("x-signature", b"\xfe"),), body, NOW)
    for standing in ("SIGNATURE", "VERIFIED", "STALE"):
        await store.commit(Batch(raw_notifications=[raw._replace(standing=standing)]))
    assert await store.raw_notification("t", "r1") == raw._replace(standing="VERIFIED", deliveries=3)
    assert await store.raw_notification("u", "r1") is None


async def test_the_bytes_of_notifications_are_forgotten_oldest_first(store: Store) -> None:
    for n in range(3):
        raw = RawNotification(f"r{n}", "t", "gw", "VERIFIED", (), b"{}", NOW + timedelta(days=n))
        await store.commit(Batch(raw_notifications=[raw]))
    assert await store.forget_raw_notifications(NOW + timedelta(days=2), 1) == 1
    assert await store.raw_notification("t", "r0") is None
    assert await store.forget_raw_notifications(NOW + timedelta(days=2), 10) == 1
    assert await store.raw_notification("t", "r2") is not None


async def test_what_is_sent_again_is_leased_like_what_is_sent(store: Store) -> None:
    await store.commit(Batch(work=[planned("k1")]))
    await store.claim_work("one", NOW, 60, 1)
    later = NOW + timedelta(hours=1)
    await store.commit(command([("t/a-1", 1)], work=[WorkDue("k1", "RESEND", later)]))
    (again,) = await store.claim_work("two", later, 60, 1)
    assert (again.mode, again.sent_at, again.taken_over) == ("RESEND", later, False)
    (over,) = await store.claim_work("three", later + timedelta(seconds=61), 60, 1)
    assert (over.mode, over.sent_at, over.taken_over) == ("RESEND", later, True)
