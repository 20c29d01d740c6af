"""What will be collected is told as runs would take it: by days, criteria, and what is in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from events import ids
from events.criteria import Criteria, Criterion
from events.money import Money
from gateways.simulator.translation import CAPABILITIES
from projections.asking import BadQuery
from projections.models import TABLES
from projections.rows import PostgresRows
from projections.runner import ProjectionRunner
from projections.sight import Sight, Unseen
from services.accounts.account import PlacePaymentHold, RegisterAccount, SetAutoCollect
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.commands import Actor, decode, encode
from services.forecasting import BY_DAYS, BY_SCHEDULERS, forecast
from services.handler import Handler
from services.schedulers.planning import CreatePaymentScheduler, Day
from services.schedules.items import NewItem, SkipScheduleItem
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule
from services.store.postgres import PostgresStore
from services.subjects import RULES, SUBJECTS
from tests.fixtures.keys import KEYS

TENANT = "t"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TODAY = NOW.date()


@dataclass
class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW


class Shop:
    def __init__(self, store: PostgresStore, rows: PostgresRows) -> None:
        self.store, self.rows = store, rows
        self.handler, self.number = Handler(store, SUBJECTS, Still()), 0

    async def said(self, data: Any, account: str = "A") -> Any:
        self.number += 1
        rule = RULES[type(data)]
        home = rule.home(data, TENANT) if rule.home else account
        who = Actor("USER", "t")
        told = encode(data, tenant=TENANT, account_id=home, actor=who, idempotency_key=str(self.number))
        (answer,) = await self.handler.handle([decode(*told)])
        assert answer.status == "ACCEPTED", answer
        return answer

    async def account(self, name: str, token: str | None = "tok_ok", type: Any = "card") -> None:
        await self.said(RegisterAccount(name), name)
        if token:
            await self.said(SavePaymentMethod("gw", f"{token}_{name}", type, f"of-{name}"), name)
            method = ids.method_id(TENANT, name, "m1", f"of-{name}")
            await self.said(SetDefaultPaymentMethod(method), name)

    async def plan(self, name: str, amount: int, *days: int, label: str | None = None) -> str:
        """Items of so much, so many days from today."""
        items = tuple(
            NewItem(Money(amount, "USD"), TODAY + timedelta(days=day), matching_value=label) for day in days
        )
        whole = Money(amount * len(days), "USD")
        id = f"S{self.number}"
        await self.said(CreatePaymentSchedule("ORDER", "O", items, id, whole), name)
        return id

    async def forecast(self, sight: Sight | None = None, **asked: str) -> dict[str, Any]:
        runner = ProjectionRunner(self.store, self.rows, TABLES)
        while await runner.step():
            pass
        given = {name: [text] for name, text in asked.items()}
        return await forecast(self.rows, TENANT, given, NOW, sight or Sight())


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    store = await PostgresStore.connect(database_url, keys=KEYS)
    try:
        async with PostgresRows.connected(database_url, TABLES) as rows:
            made = Shop(store, rows)
            await made.said(RegisterGatewayProvider("sim", "Simulator", "simulator", CAPABILITIES))
            await made.said(RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST"))
            yield made
    finally:
        await store.close()


def days(told: dict[str, Any]) -> list[tuple[int, str, int, int]]:
    """How many days from today, the kind of method, how many items, and how much."""
    return [
        ((row["day"] - TODAY).days, row["method_type"], row["items"], row["amount"]["amount_minor"])
        for row in told["days"]
    ]


async def test_without_schedulers_each_item_counts_on_its_day(shop: Shop) -> None:
    await shop.account("A")
    await shop.account("B", "tok_ok", "ideal")
    await shop.plan("A", 1_000, 0, 5, 30)
    await shop.plan("B", 700, 5)
    told = await shop.forecast(until=(TODAY + timedelta(days=10)).isoformat())
    assert days(told) == [(0, "card", 1, 1_000), (5, "card", 1, 1_000), (5, "ideal", 1, 700)]
    assert [(row["items"], row["amount"]["amount_minor"]) for row in told["totals"]] == [(3, 2_700)]
    assert BY_DAYS in told["assumptions"]
    assert days(await shop.forecast(account_id="B")) == [(5, "ideal", 1, 700)]
    assert days(await shop.forecast(currency="EUR")) == []


async def test_a_run_takes_what_its_scheduler_does_on_its_own_days(shop: Shop) -> None:
    """Today is a Monday; one fires on Wednesdays, one daily for what is marked."""
    await shop.account("A")
    marked = Criteria("MATCH_ANY", (Criterion("MATCHING_VALUE", "EQUALS", ("gold",)),))
    wednesdays = CreatePaymentScheduler(
        "W", "W", "WEEKLY", TODAY, "10:00", recurs_on=Day(weekday="WEDNESDAY"), status="ACTIVE",
        criteria=Criteria("MATCH_NONE", marked.criteria),
    )  # fmt: skip
    await shop.said(wednesdays)
    ends = TODAY + timedelta(days=7)
    await shop.said(
        CreatePaymentScheduler(
            "D", "D", "DAILY", TODAY, "02:00", criteria=marked, status="ACTIVE", end_date=ends
        )
    )
    await shop.plan("A", 100, 0, 2, 3)
    await shop.plan("A", 9_000, 0, 4, 20, label="gold")
    told = await shop.forecast(until=(TODAY + timedelta(days=30)).isoformat())
    assert days(told) == [
        (1, "card", 1, 9_000),  # this morning's run is over
        (2, "card", 2, 200),
        (4, "card", 1, 9_000),
        (9, "card", 1, 100),
    ]
    assert [(row["why"], row["items"]) for row in told["left_out"]] == [("NO_SCHEDULER", 1)]
    assert BY_SCHEDULERS in told["assumptions"]


async def test_what_is_in_the_way_is_said(shop: Shop) -> None:
    await shop.account("A")
    await shop.account("B", None)
    await shop.account("C")
    skipped = await shop.plan("A", 100, 1)
    await shop.plan("B", 200, 1)
    await shop.plan("C", 300, 1)
    item = await _item(shop, skipped)
    await shop.said(SkipScheduleItem(skipped, item, TODAY + timedelta(days=8), "on holiday"), "A")
    await shop.said(PlacePaymentHold("disputed"), "C")
    told = await shop.forecast()
    assert days(told) == [(8, "card", 1, 100)]
    assert [(row["why"], row["amount"]["amount_minor"]) for row in told["left_out"]] == [
        ("ACCOUNT_ON_HOLD", 300),
        ("NO_PAYMENT_METHOD", 200),
    ]
    await shop.said(PlacePaymentHold("disputed", NOW + timedelta(days=3)), "C")
    assert days(await shop.forecast()) == [(3, "card", 1, 300), (8, "card", 1, 100)]
    await shop.said(SetAutoCollect(False), "C")
    assert days(await shop.forecast()) == [(8, "card", 1, 100)]


async def _item(shop: Shop, schedule: str) -> str:
    from events.mapper import decode as fact_of
    from services.schedules.schedule import evolve

    state = PaymentSchedule()
    for event in await shop.store.read_stream(f"{TENANT}/ps-{schedule}"):
        evolve(state, fact_of(event.topic, event.data))
    return next(iter(state.items))


async def test_it_is_asked_for_some_time_ahead_and_for_whom_one_sees(shop: Shop) -> None:
    await shop.account("A")
    await shop.plan("A", 100, 1)
    for asked in ({"until": "2026-03-01"}, {"until": "2028-01-01"}, {"until": "soon"}, {"limit": "3"}):
        with pytest.raises(BadQuery):
            await shop.forecast(**asked)
    assert days(await shop.forecast(Sight(frozenset({"B"})))) == []
    with pytest.raises(Unseen):
        await shop.forecast(Sight(frozenset({"B"})), account_id="A")
    assert (await shop.forecast())["until"] == date(2026, 5, 31)
