"""Read models made anew beside the live ones: what differs is named, and readers notice nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from events.money import Money
from projections import answering
from projections.models import TABLES
from projections.queries import QUERIES
from projections.rebuild import rebuild
from projections.rows import OtherShape, PostgresRows
from projections.runner import ProjectionRunner
from services.clock import SystemClock
from services.commands import Actor, Command, decode, encode
from services.handler import Handler
from services.invoices.posting import Line, PostInvoice
from services.running.supervisor import module_command
from services.store.postgres import PostgresStore
from services.subjects import SUBJECTS
from tests.fixtures.keys import KEYS
from tests.simulation.dictation import command_of, dictation
from tests.simulation.workload import TENANT

EVENTS = 1_000_000 if os.environ.get("TENDER_TEST_FULL") else 0
"""How many events are in the log besides those of the users, whose lives other tenants have lived before."""
READERS = 8
READS_PER_SECOND = 200
OLD_SECONDS = 2.0
PENNY = Money(1, "GBP")


_LIVED_BEFORE = """
insert into log
select $1::bigint * n + position, TENANT || n || substr(home, $3 + 1), TENANT || n || substr(stream, $3 + 1),
    version, topic, data, gen_random_uuid(), meta, occurred_at, recorded_at, last_of_command
from generate_series(1, $2::bigint) n, log where position <= $1 order by 1
""".replace("TENANT", f"'{TENANT}-'")
"""Other tenants' streams; each event a command of its own, so that halves of commands are told apart."""


@dataclass
class Shop:
    """A log with something in it, and read models at its head."""

    store: PostgresStore
    rows: PostgresRows
    handler: Handler
    posted: list[tuple[float, int]] = field(default_factory=list)
    """When a commit was acknowledged, and its position."""

    async def project(self) -> None:
        runner = ProjectionRunner(self.store, self.rows, TABLES)
        while await runner.step():
            pass

    async def grow(self, events: int) -> None:
        """Give the log a past: what happened to this tenant has happened to many others."""
        head, _ = await self.store.head()
        copies = -(-events // head)
        async with self.rows.pool.acquire() as connection, connection.transaction():
            await connection.execute("set local statement_timeout = 0")
            await connection.execute(_LIVED_BEFORE, head, copies, len(TENANT))
            await connection.execute("update head set position = position + $1", head * copies)
            await connection.execute("analyze log")

    async def post_for_ever(self) -> None:
        """An invoice on one account every few milliseconds."""
        number = 0
        while True:
            number += 1
            invoice = PostInvoice(f"live-{number}", "GBP", (Line("1", Money(100, "GBP")),))
            (answer,) = await self.handler.handle([a_command(invoice, "A0", f"live {number}")])
            self.posted.append((time.monotonic(), answer.position))
            await asyncio.sleep(0.02)


def a_command(command: object, account: str, key: str) -> Command:
    type, body = encode(
        command, tenant=TENANT, account_id=account, actor=Actor("USER", "t"), idempotency_key=key
    )
    return decode(type, body)


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Shop]:
    store = await PostgresStore.connect(database_url, keys=KEYS)
    try:
        async with PostgresRows.connected(database_url, TABLES) as rows:
            yield Shop(store, rows, Handler(store, SUBJECTS, SystemClock()))
    finally:
        await store.close()


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    async with opened(database_url) as shop:
        said = [command_of(each) for part in await dictation(0, 250) for each in part]
        await shop.handler.handle([command for command in said if not command.dry_run])
        await shop.grow(EVENTS)
        await shop.project()
        yield shop


async def test_what_is_rebuilt_is_what_was_there(shop: Shop) -> None:
    before = await shop.rows.active(fresh=True)
    report = await rebuild(shop.store, shop.rows)
    assert (report.differences, report.switched) == ([], True)
    assert report.events == (await shop.store.head())[0]
    assert report.rows > 100
    assert await shop.rows.active(fresh=True) != before


async def test_a_wrong_row_is_named_and_not_switched_to_unless_told(shop: Shop) -> None:
    live = await shop.rows.active(fresh=True)
    key = await shop.rows.pool.fetchrow(
        f"update {live}.invoices set balance = balance + 1 where (tenant_id, invoice_id) = "
        f"(select tenant_id, invoice_id from {live}.invoices order by 2 limit 1) "
        "returning tenant_id, invoice_id, balance"
    )
    report = await rebuild(shop.store, shop.rows)
    (difference,) = report.differences
    assert (difference.table, difference.key) == ("invoices", (key["tenant_id"], key["invoice_id"]))
    assert difference.columns == {"balance": (key["balance"], key["balance"] - 1)}
    assert not report.switched
    assert await shop.rows.active(fresh=True) == live
    assert (await rebuild(shop.store, shop.rows, force=True)).switched
    assert (await rebuild(shop.store, shop.rows)).differences == []


async def test_what_another_release_has_made_is_built_anew_before_it_is_written(
    shop: Shop, database_url: str
) -> None:
    """The release before had a table less: its own rows it keeps, ours it does not write."""
    assert await shop.rows.fits()
    before = [table for table in TABLES if table.name != "disputes"]
    async with PostgresRows.connected(database_url, before) as old:
        assert not await old.fits()
        await rebuild(shop.store, old, force=True, compare=False)
        assert await old.fits()
        assert not await shop.rows.fits()
        await shop.handler.handle([a_command(PostInvoice("X", "GBP", (Line("1", PENNY),)), "A0", "x")])
        with pytest.raises(OtherShape):
            await ProjectionRunner(shop.store, shop.rows, TABLES).step()
        async with PostgresRows.connected(database_url, TABLES) as new:
            assert await new.pool.fetchval(f"select to_regclass('{await new.active()}.disputes')") is None
            report = await rebuild(shop.store, new, force=True, compare=False)
            assert (report.events, report.switched) == ((await shop.store.head())[0], True)
            assert await new.fits()
        await shop.handler.handle([a_command(PostInvoice("Y", "GBP", (Line("1", PENNY),)), "A0", "y")])
        with pytest.raises(OtherShape):
            await ProjectionRunner(shop.store, old, before).step()
    await shop.project()
    report = await rebuild(shop.store, shop.rows)
    assert (report.differences, report.switched) == ([], True)


@pytest.mark.parametrize(
    ("wrong", "table"),
    [
        (
            "delete from {s}.payments where payment_id = (select min(payment_id) from {s}.payments)",
            "payments",
        ),
        (
            "insert into {s}.accounts (tenant_id, account_id, position) values ('t', 'nobody', 1)",
            "accounts",
        ),
    ],
)
async def test_a_row_that_is_missing_or_too_much_is_named(shop: Shop, wrong: str, table: str) -> None:
    live = await shop.rows.active(fresh=True)
    await shop.rows.pool.execute(wrong.format(s=live))
    report = await rebuild(shop.store, shop.rows)
    assert [difference.table for difference in report.differences] == [table]
    assert not report.switched


async def test_what_a_release_brings_is_told_and_is_no_difference(shop: Shop) -> None:
    """The live rows were made by the release before: without a column, and without a table."""
    live = await shop.rows.active(fresh=True)
    await shop.rows.pool.execute(
        f"alter table {live}.payments drop column losses; drop table {live}.disputes"
    )
    report = await rebuild(shop.store, shop.rows)
    assert (report.differences, report.switched) == ([], True)
    assert report.added == ["payments.losses", "disputes"]
    again = await rebuild(shop.store, shop.rows)
    assert (again.differences, again.added) == ([], [])


async def test_readers_notice_nothing_of_a_switch(
    shop: Shop, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands go on, readers read; no read fails, and none shows what was true two seconds before."""
    live = ProjectionRunner(shop.store, shop.rows, TABLES)
    seen = Seen()
    running = [asyncio.create_task(shop.post_for_ever()), asyncio.create_task(live.run())]
    running += [asyncio.create_task(_read_for_ever(shop, seen)) for _ in range(READERS)]
    began, report = time.monotonic(), dict[str, Any]()
    try:
        await asyncio.sleep(1.0)
        for _ in range(2):
            report = await _rebuilt_by_an_operator(database_url)
            assert (report["differences"], report["switched"]) == ([], True)
            await asyncio.sleep(1.5)
        assert not [task.exception() for task in running if task.done()]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    seconds = time.monotonic() - began
    with capsys.disabled():
        print(
            f"\n{report['events']:,} events rebuilt twice beside {seen.reads / seconds:.0f} reads/s; "
            f"the oldest answer was {seen.oldest:.2f} s old",
            end="",
        )
    assert seen.reads > 100
    assert seen.oldest < OLD_SECONDS


async def _rebuilt_by_an_operator(database_url: str) -> dict[str, Any]:
    """In a process of its own, as the runbook has it."""
    process = await asyncio.create_subprocess_exec(
        *module_command("services.cli", "projections", "rebuild", "--output", "json"),
        env={**os.environ, "TENDER_DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        told, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (told, errors)
    return orjson.loads(told)


@dataclass
class Seen:
    reads: int = 0
    oldest: float = 0.0
    """Seconds since what was missing from an answer had been acknowledged, when it was asked for."""


async def _read_for_ever(shop: Shop, seen: Seen) -> None:
    query, asked = QUERIES["account-balances"], {"account_id": ["A0"], "currency": ["GBP"]}
    pause = READERS / READS_PER_SECOND
    while True:
        begun, known = time.monotonic(), len(shop.posted)
        page = await answering.page(shop.rows, query, TENANT, asked, now=SystemClock().now())
        (row,) = page["items"]
        missing = [at for at, position in shop.posted[:known][-2_000:] if position > row["position"]]
        seen.reads += 1
        seen.oldest = max(seen.oldest, begun - missing[0] if missing else 0.0)
        await asyncio.sleep(max(0.0, pause - (time.monotonic() - begun)))
