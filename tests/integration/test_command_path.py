"""Commands through a real broker and a real store: bad records, several workers, racing partitions.

Workers and relay run as coroutines of the test, by the same code as their processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import SecretStr

from events import ids
from events.shapes import Outcome
from gateways.simulator.translation import CAPABILITIES
from services import bootstrap
from services.accounts.account import RegisterAccount
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.commands import Actor, encode
from services.payments.arriving import RecordPaymentOutcome
from services.payments.paying import ProcessPayment
from services.prepare import prepare
from services.refunds.refunding import IssueRefund
from services.running import broker
from services.settings import Settings
from services.store.postgres import PostgresStore
from tests.bad_input import BAD, CARD, DEAD, REJECTED
from tests.fixtures.kafka import Broker
from tests.fixtures.keys import KEY_TEXT, KEYS
from tests.journey import money

pytestmark = pytest.mark.kafka
PARTITIONS = 4


@pytest.fixture
async def settings(broker: Broker, topic_prefix: str, database_url: str) -> Settings:
    made = Settings(
        database_url=database_url,
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_idempotent_producer=broker.idempotent,
        topic_prefix=topic_prefix,
        consumer_group=f"{topic_prefix}workers",
        group_session_timeout_ms=broker.session_timeout_ms,
        topic_partitions=PARTITIONS,
        key_encryption_key=SecretStr(KEY_TEXT),
    )
    await prepare(made)
    return made


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.connect(database_url, keys=KEYS)
    yield opened
    await opened.close()


@asynccontextmanager
async def role(run: Callable[[Settings], Awaitable[None]], settings: Settings) -> AsyncIterator[None]:
    task = asyncio.ensure_future(run(settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Sending:
    """Produces commands, on a partition of the test's choice if it wants."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer, self._topic = producer, bootstrap.topics(settings).commands

    async def raw(
        self, value: bytes | None, key: bytes | None = b"t/A", partition: int | None = None, **headers: bytes
    ) -> None:
        await self._producer.send_and_wait(
            self._topic, value, key=key, partition=partition, headers=list(headers.items())
        )

    async def command(self, data: object, key: str, account: str = "A", partition: int | None = None) -> None:
        type, body = encode(
            data, tenant="t", account_id=account, actor=Actor("USER", "test"), idempotency_key=key
        )
        await self.raw(
            body, f"t/{account}".encode(), partition, ce_type=type.encode(), ce_id=str(uuid4()).encode()
        )


@pytest.fixture
async def sending(broker: Broker, settings: Settings) -> AsyncIterator[Sending]:
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, max_request_size=2 * 1024 * 1024
    ) as producer:
        yield Sending(producer, settings)


async def until(done: Callable[[], Awaitable[bool]], seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not await done():
            await asyncio.sleep(0.05)


def verdicts_reach(store: PostgresStore, count: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return (await store.head())[1] >= count

    return reached


def about(**data: Any) -> bytes:
    return orjson.dumps({"tenant_id": "t", "account_id": "A", "idempotency_key": uuid4().hex, "data": data})


REGISTER = b"payments.account.register.v1"


async def test_bad_records_become_dead_letters_or_verdicts_and_the_partition_flows(
    settings: Settings, store: PostgresStore, sending: Sending
) -> None:
    """Every kind of bad input (`tests.bad_input`) on one partition, then commands that are none of it."""
    for bad in BAD:
        await sending.raw(bad.body, partition=0, **dict(bad.record_headers))
    await sending.raw(about(name="Ada"), key=b"t/other", partition=0, ce_type=REGISTER)
    await sending.raw(about(name="Ada"), partition=0, ce_type=REGISTER, odd=b"\xff")
    async with role(bootstrap.worker, settings):
        await until(verdicts_reach(store, len(REJECTED) + 2))
    letters = [letter for _, letter in await store.dead_letters(0, 100)]
    assert [letter.code for letter in letters] == [bad.code for bad in DEAD]
    kept = [(letter.value or b"", bad.body or b"") for letter, bad in zip(letters, DEAD, strict=True)]
    assert all(value == sent or CARD.encode() in sent for value, sent in kept), "nothing of a record is lost"
    assert not any(CARD.encode() in value for value, _ in kept), "but for the digits of cards"
    verdicts = await store.read_verdicts(0, 100)
    codes = [orjson.loads(verdict.outcome).get("code") for verdict in verdicts]
    assert codes == [*(bad.code for bad in REJECTED), "PARTITION_KEY_MISMATCH", None]
    cluster, topic = await broker.cluster_of(settings), bootstrap.topics(settings).commands
    assert await store.offset(cluster, topic, 0) == len(BAD) + 2


async def test_workers_come_and_go_and_nothing_is_lost_or_doubled(
    settings: Settings, store: PostgresStore, sending: Sending
) -> None:
    accounts = [f"A-{n}" for n in range(240)]

    async def produce(some: Iterable[str]) -> None:
        for account in some:
            await sending.command(RegisterAccount(account), f"register {account}", account)
            await sending.command(RegisterAccount(account), f"register {account}", account)

    async with AsyncExitStack() as first:
        await first.enter_async_context(role(bootstrap.worker, settings))
        await produce(accounts[:80])
        async with role(bootstrap.worker, settings):
            await produce(accounts[80:160])
            await until(verdicts_reach(store, 120))
            await first.aclose()
            await produce(accounts[160:])
            await until(verdicts_reach(store, len(accounts)))
    assert await store.head() == (len(accounts), len(accounts))
    events = await store.read(0, 1000)
    assert {event.stream for event in events} == {f"t/account-{account}" for account in accounts}


async def test_racing_refunds_on_two_partitions_never_give_back_more_than_was_taken(
    settings: Settings, store: PostgresStore, sending: Sending
) -> None:
    await _ready_to_refund(sending, settings, store, rounds=32)
    before = (await store.head())[1]
    for n in range(32):
        for partition in (0, 1):  # the same key, by two producers that partition differently
            refund = IssueRefund(f"P{n}", money("60.00"), "requested", refund_id=f"R{n}-{partition}")
            await sending.command(refund, f"refund {n} {partition}", partition=partition)
    async with role(bootstrap.worker, settings), role(bootstrap.worker, settings):
        await until(verdicts_reach(store, before + 64))
    verdicts = (await store.read_verdicts(before, 100))[-64:]
    codes = sorted(orjson.loads(verdict.outcome).get("code") or "ACCEPTED" for verdict in verdicts)
    assert codes == ["ACCEPTED"] * 32 + ["REFUND_EXCEEDS_REFUNDABLE"] * 32


async def _ready_to_refund(sending: Sending, settings: Settings, store: PostgresStore, rounds: int) -> None:
    """Payments of 100.00 that arrived, ready to be given back."""
    steps: list[tuple[object, str, str]] = [
        (
            RegisterGatewayProvider("sim", "Simulator", "simulator", CAPABILITIES),
            "provider",
            "~gateway_provider/sim",
        ),
        (RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST"), "gateway", "~gateway/gw"),
        (RegisterAccount("Ada"), "account", "A"),
        (SavePaymentMethod("gw", "tok_ok", "card", "card-1"), "card", "A"),
    ]
    method = ids.method_id("t", "A", "m1", "card-1")
    for n in range(rounds):
        steps.append((ProcessPayment(money("100.00"), f"P{n}", method), f"pay {n}", "A"))
    for n in range(rounds):
        outcome = Outcome("Success", gateway_ref=f"ch_{n}")
        key = f"t:sale:P{n}:1"
        steps.append((RecordPaymentOutcome(key, "GATEWAY", outcome), f"outcome {n}", "A"))
    async with role(bootstrap.worker, settings):
        for done, (command, key, account) in enumerate(steps, start=1):
            await sending.command(command, key, account)
            if done <= 3:  # each builds on the one before, and has a key of its own
                await until(verdicts_reach(store, done))
        await until(verdicts_reach(store, len(steps)))
    verdicts = await store.read_verdicts(0, 1000)
    assert {verdict.status for verdict in verdicts} == {"ACCEPTED"}, [
        v.outcome for v in verdicts if v.status != "ACCEPTED"
    ]


async def test_events_results_and_repeats_are_published(
    settings: Settings, store: PostgresStore, sending: Sending, broker: Broker
) -> None:
    topics = bootstrap.topics(settings)
    async with role(bootstrap.worker, settings), role(bootstrap.relay, settings):
        await sending.command(RegisterAccount("Ada"), "once", "A")
        await until(verdicts_reach(store, 1))
        await sending.command(RegisterAccount("Ada"), "once", "A")
        await sending.command(RegisterAccount("Bob"), "once", "A")
        await sending.raw(b"nonsense", partition=0)
        results = await _heard(broker, topics.results, 3)
        events = await _heard(broker, topics.events, 1)
        letters = await _heard(broker, topics.dead_letters, 1)
    told = [orjson.loads(record.value) for record in results]
    assert {(r["status"], r["replayed"], r.get("code")) for r in told} == {
        ("ACCEPTED", False, None),
        ("ACCEPTED", True, None),
        ("REJECTED", False, "IDEMPOTENCY_KEY_REUSED"),
    }
    headers = {name: value.decode() for name, value in events[0].headers}
    assert (headers["ce_id"], headers["ce_type"]) == ("t/account-A@1", "payments.account.registered.v2")
    assert (headers["position"], headers["version"], events[0].key) == ("1", "1", b"t/A")
    assert dict(letters[0].headers)["tender_code"] == b"UNKNOWN_TYPE"
    assert letters[0].value == b"nonsense"


async def _heard(broker: Broker, topic: str, count: int) -> list[Any]:
    """The first records of a topic, in the order of their making."""
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        records: list[Any] = []
        async with asyncio.timeout(30):
            while len(records) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
        return sorted(records, key=lambda record: record.timestamp)
