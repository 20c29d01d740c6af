"""What is due is read from PostgreSQL as it is from memory."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from projections.due import BEGINNING, Cursor, MemoryDue, StoredDue, Wanted
from projections.folding import Folder
from projections.models import TABLES
from projections.rows import HELD_MAX, MemoryRows, PostgresRows
from projections.runner import ProjectionRunner
from services.accounts.account import SetAccountCustomFields
from services.invoices.standing import SetInvoiceCustomFields
from services.schedules.items import SetItemCustomFields
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import SetScheduleCustomFields
from tests.paying_with import DAY, Payers

FIELDS = {"text": "x", "whole": 3, "part": 0.5, "flag": True}


def described(payers: Payers) -> None:
    """Fields of every account; of some, of what is nearer to their items too."""
    for number, id in enumerate(payers.ids(PaymentSchedule)):
        schedule = payers.state(PaymentSchedule, id)
        payers.account = schedule.account_id
        [(item_id, item)] = schedule.items.items()
        said: list[object] = [SetAccountCustomFields({**FIELDS, "of": "account"})]
        if item.shares:
            said.append(SetInvoiceCustomFields(item.shares[0].invoice_id, {"of": "invoice", "flag": False}))
        said.append(SetScheduleCustomFields(id, {"of": "schedule", "whole": 4}))
        said.append(SetItemCustomFields(id, item_id, {"of": "item", "text": "y"}))
        for command in said[: number % 5]:
            payers.when(command).then_accepted()


@pytest.mark.parametrize("wanted", [(False, False), (True, False), (False, True), (True, True)])
async def test_it_is_the_same(database_url: str, wanted: tuple[bool, bool]) -> None:
    payers, memory = Payers(), MemoryRows()
    described(payers)
    Folder(TABLES).from_zero(payers.events(), memory.rows)
    asked = Wanted(payers.tenant, DAY, None, *wanted)
    async with PostgresRows.connected(database_url, TABLES) as rows:
        runner = ProjectionRunner(payers.store, rows, TABLES)
        while await runner.step():
            pass
        [stored] = [page async for page in StoredDue(rows).read(asked, BEGINNING, 1_000)]
    [kept] = [page async for page in MemoryDue(memory).read(asked, BEGINNING, 1_000)]
    without = {} if wanted[0] else {"invoice_ids": None}
    assert [due._replace(**without) for due in stored] == [due._replace(**without) for due in kept]
    assert any(due.custom_fields for due in stored) is wanted[1]


async def test_each_item_comes_with_the_method_that_it_is_collected_with(database_url: str) -> None:
    payers = Payers()
    async with PostgresRows.connected(database_url, TABLES) as rows:
        runner = ProjectionRunner(payers.store, rows, TABLES)
        while await runner.step():
            pass
        reading = StoredDue(rows).read(Wanted(payers.tenant, DAY), BEGINNING, 2)
        found = {item.account_id: item.method_id async for page in reading for item in page}
    assert found == payers.expected


async def test_what_is_due_is_read_as_it_was_when_reading_began(database_url: str) -> None:
    payers = Payers()
    async with PostgresRows.connected(database_url, TABLES) as rows:
        runner = ProjectionRunner(payers.store, rows, TABLES)
        while await runner.step():
            pass
        due, wanted = StoredDue(rows), Wanted(payers.tenant, DAY)
        [whole] = [page async for page in due.read(wanted, BEGINNING, 1_000)]
        async with aclosing(due.read(wanted, Cursor.of(whole[0]), 1)) as reading:
            [first] = await anext(reading)
            await rows.pool.execute("update read_a.schedule_items set status = 'PROCESSING'")
            rest = [item async for page in reading for item in page]
        assert [whole[0], first, *rest] == list(whole)
        assert [page async for page in due.read(wanted, BEGINNING, 1_000)] == []


async def test_a_reading_that_is_left_leaves_nothing_behind(database_url: str) -> None:
    payers = Payers()
    async with PostgresRows.connected(database_url, TABLES) as rows:
        runner = ProjectionRunner(payers.store, rows, TABLES)
        while await runner.step():
            pass
        due, wanted = StoredDue(rows), Wanted(payers.tenant, DAY)
        for _ in range(HELD_MAX + 1):
            async with aclosing(due.read(wanted, BEGINNING, 1)) as reading:
                await anext(reading)
        assert len([page async for page in due.read(wanted, BEGINNING, 1_000)]) == 1
