"""Questions to the read models: every filter, order and page, derived fields, and how things stood before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from events import ids
from events.money import Money
from projections import answering, as_of
from projections.asking import COMMON, BadQuery, Query
from projections.derived import DERIVED
from projections.explain import explain, why_balance
from projections.models import TABLES
from projections.queries import QUERIES
from projections.rows import PostgresRows
from projections.runner import ProjectionRunner
from services.clock import SystemClock
from services.commands import Actor, decode, encode
from services.handler import Handler
from services.invoices.posting import Line, PostInvoice
from services.payments.asking import OneTimeMethod
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.store.postgres import PostgresStore
from services.subjects import SUBJECTS
from tests.fixtures.keys import KEYS
from tests.simulation.dictation import command_of, dictation
from tests.simulation.workload import TENANT

TIMED = [query for query in QUERIES.values() if query.timed and "account_id" in query.filters]
"""What can be asked for as it stood: of one account."""
NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
"""Some time after the users' invoices: of these, some are overdue."""

NOT_YET = ids.invoice_id(TENANT, "INV-NOT-YET")


class Shop:
    def __init__(self, store: PostgresStore, rows: PostgresRows) -> None:
        self.store, self.rows = store, rows

    async def live(self, name: str, now: datetime = NOW, /, **asked: str) -> dict[str, Any]:
        given = {key: [text] for key, text in asked.items()}
        return await answering.page(self.rows, QUERIES[name], TENANT, given, now=now)

    async def walked(self, name: str, limit: int, /, **asked: str) -> list[dict[str, Any]]:
        """All pages, joined."""
        items, cursor = list[dict[str, Any]](), {}
        while True:
            page = await self.live(name, limit=str(limit), **cursor, **asked)
            items += page["items"]
            if not page["has_more"]:
                return items
            cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    store = await PostgresStore.connect(database_url, keys=KEYS)
    try:
        async with PostgresRows.connected(database_url, TABLES) as rows:
            handler = Handler(store, SUBJECTS, SystemClock())
            for part in await dictation(3, 400):
                said = [command_of(each) for each in part]
                await handler.handle([command for command in said if not command.dry_run])
            await handler.handle([_command(*each) for each in _left_over()])
            runner = ProjectionRunner(store, rows, TABLES)
            while await runner.step():
                pass
            yield Shop(store, rows)
    finally:
        await store.close()


def _left_over() -> Iterator[tuple[object, str, str]]:
    """Money that is more than its invoice, credit that takes nothing back, and money for what is not here."""
    line = Line("1", Money(300, "GBP"))
    yield PostInvoice("INV-Z", "GBP", (line,)), "A0", "z1"
    apply_to = (ApplyTo(ids.invoice_id(TENANT, "INV-Z"), Money(300, "GBP")),)
    paid = RecordExternalPayment(Money(500, "GBP"), "WIRE", "wire", date(2026, 3, 1), "P-Z", apply_to)
    yield paid, "A0", "z2"
    yield PostInvoice("NEG-Z", "GBP", (Line("1", Money(-70, "GBP")),)), "A0", "z3"
    card = OneTimeMethod("card", "tok_z")
    early = ProcessPayment(
        Money(400, "GBP"), "P-EARLY", method=card, gateway_id="gw", apply_to=(ApplyTo(NOT_YET),)
    )
    yield early, "A0", "z4"


def _command(data: object, account: str, key: str) -> Any:
    type, body = encode(
        data, tenant=TENANT, account_id=account, actor=Actor("USER", "t"), idempotency_key=key
    )
    return decode(type, body)


async def test_pages_join_to_the_whole_list_in_every_order(shop: Shop) -> None:
    for query in QUERIES.values():
        for sort in ("", *query.sorts, *(f"-{name}" for name in query.sorts)):
            asked = {"sort": sort} if sort else {}
            whole = await shop.walked(query.name, 200, **asked)
            assert await shop.walked(query.name, 7, **asked) == whole, (query.name, sort)
            assert len({_key(query, item) for item in whole}) == len(whole)


def _key(query: Query, item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item[column.name] for column in query.table.key[1:])


async def test_every_filter_gives_the_rows_that_have_the_value(shop: Shop) -> None:
    """Also of derived fields: what SQL filters by is what is told."""
    asked = 0
    for query in QUERIES.values():
        whole = await shop.walked(query.name, 200)
        for name in query.filters:
            for value in {item[name] for item in whole} - {None}:
                wanted = [item for item in whole if item[name] == value]
                assert await shop.walked(query.name, 200, **{name: _text(value)}) == wanted, (
                    query.name,
                    name,
                )
                asked += 1
    assert asked > 100


async def test_every_range_gives_the_rows_within_it(shop: Shop) -> None:
    for query in QUERIES.values():
        whole = await shop.walked(query.name, 200)
        for name in query.ranges:
            values = sorted(value for item in whole if (value := _plain(item[name])) is not None)
            if not values:
                continue
            low, high = values[len(values) // 4], values[len(values) * 3 // 4]
            wanted = [i for i in whole if (v := _plain(i[name])) is not None and low <= v <= high]
            asked = {f"{name}_from": _text(low), f"{name}_to": _text(high)}
            assert await shop.walked(query.name, 200, **asked) == wanted, (query.name, name)


def _plain(value: Any) -> Any:
    return value["amount_minor"] if isinstance(value, dict) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


async def test_derived_fields_are_said_alike_by_sql_and_by_us(shop: Shop) -> None:
    schema, said = await shop.rows.active(), 0
    for query in QUERIES.values():
        told = {_key(query, item): item for item in await shop.walked(query.name, 200)}
        for name, derived in DERIVED.get(query.table.name, {}).items():
            sql = derived.sql.replace("{s}", schema).replace("{now}", "$2::timestamptz")
            keys = ", ".join(f"t.{column.name}" for column in query.table.key[1:])
            statement = (
                f"select {keys}, {sql} as it from {schema}.{query.table.name} t where t.tenant_id = $1"
            )
            statement += f" and {query.only}" if query.only else ""
            statement += " and $2::timestamptz is not null"
            for row in await shop.rows.pool.fetch(statement, TENANT, NOW):
                assert _plain(told[tuple(row)[:-1]][name]) == row["it"], (query.name, name)
                said += 1
    assert said > 100


async def test_overdue_invoices_are_in_their_buckets(shop: Shop) -> None:
    due = {item["due_date"] for item in await shop.walked("invoices", 200, balance_from="1")}
    late = max(due) + timedelta(days=31)
    page = await shop.live(
        "invoices", datetime(late.year, late.month, late.day, tzinfo=UTC), balance_from="1"
    )
    assert {item["overdue_bucket"] for item in page["items"]} <= {"31-60", "61-90", "90+"}
    (balance,) = (await shop.live("account-balances", account_id="A0", currency="GBP"))["items"]
    owed = await shop.walked("invoices", 200, account_id="A0", currency="GBP", balance_from="1")
    overdue = sum(item["balance"]["amount_minor"] for item in owed if item["days_overdue"])
    assert balance["overdue"]["amount_minor"] == overdue


async def test_as_of_now_is_what_is_live(shop: Shop) -> None:
    for query in TIMED:
        for account in ("A0", "A1", "A4"):
            for more in ({}, {"sort": f"-{query.sorts[0]}"}, {"limit": "3"}, {f"{query.sorts[1]}_from": "1"}):
                if not set(more) - {"sort", "limit"} <= set(query.parameters):
                    continue
                asked = {"account_id": account, **more}
                now = datetime.now(UTC) + timedelta(days=1)
                then = {name: [text] for name, text in {**asked, "as_of": now.isoformat()}.items()}
                was = await as_of.page(shop.store, query, TENANT, then)
                assert was == await shop.live(query.name, now, **asked), (query.name, asked)


async def test_as_of_pages_and_single_rows(shop: Shop) -> None:
    now = datetime.now(UTC) + timedelta(days=1)
    whole = await shop.walked("invoices", 200, account_id="A1", sort="-balance")
    first = {"account_id": ["A1"], "as_of": [now.isoformat()], "limit": ["2"], "sort": ["-balance"]}
    query = QUERIES["invoices"]
    page = await as_of.page(shop.store, query, TENANT, first)
    more = await as_of.page(shop.store, query, TENANT, {**first, "cursor": [page["next_cursor"]]})
    ids = [item["invoice_id"] for item in (*page["items"], *more["items"])]
    assert ids == [item["invoice_id"] for item in whole[:4]]
    one = await as_of.one(shop.store, query, TENANT, ids[0], now, ("invoice_id", "balance"))
    assert one == {"invoice_id": ids[0], "balance": whole[0]["balance"]}
    before = await as_of.one(shop.store, query, TENANT, ids[0], now - timedelta(days=9))
    assert before is None


async def test_an_invoice_as_of_each_of_its_events_has_the_balance_of_then(shop: Shop) -> None:
    query = QUERIES["invoices"]
    settled = (await shop.live("invoices", settlement_status="SETTLED", limit="1"))["items"][0]
    events = await shop.store.read_stream(settled["stream"])
    moments = sorted({event.recorded_at for event in events})
    for moment in moments:
        was = await as_of.one(shop.store, query, TENANT, settled["invoice_id"], moment)
        assert was is not None
        assert was["version"] == max(event.version for event in events if event.recorded_at <= moment)
    assert (
        await as_of.one(shop.store, query, TENANT, settled["invoice_id"], moments[0] - timedelta(seconds=1))
        is None
    )


async def test_only_the_fields_asked_for(shop: Shop) -> None:
    page = await shop.live("payments", fields="amount,payment_id,age_days,stream", limit="1")
    assert list(page["items"][0]) == ["payment_id", "amount", "age_days", "stream"]
    assert page["items"][0]["stream"] == f"{TENANT}/payment-{page['items'][0]['payment_id']}"


async def test_views_show_only_what_is_open(shop: Shop) -> None:
    credits = await shop.walked("open-credits", 200)
    cash = await shop.walked("unapplied-cash", 200)
    assert credits
    assert cash
    assert all(item["balance"]["amount_minor"] > 0 and item["open_because"] for item in credits)
    assert all(item["unapplied"]["amount_minor"] > 0 and item["unapplied_because"] for item in cash)
    assert cash == await shop.walked("payments", 200, has_unapplied="true")


async def test_documents_are_explained_by_their_numbers(shop: Shop) -> None:
    said = 0
    for name in ("invoices", "payments", "refunds", "credit-memos", "payment-schedules", "authorizations"):
        for row in (await shop.live(name, limit="5"))["items"]:
            facts = await explain(shop.store, TENANT, row["number"], rows=shop.rows)
            streams = {fact["event_id"].rpartition("@")[0] for fact in facts}
            assert row["stream"] in streams, (name, row["number"])
            said += 1
    for row in (await shop.live("schedule-items", limit="5"))["items"]:
        by_number = await explain(shop.store, TENANT, row["number"], rows=shop.rows)
        assert by_number
        assert by_number == await explain(shop.store, TENANT, row["item_id"], rows=shop.rows)
        assert all(row["item_id"] in orjson.dumps(fact["data"], default=str).decode() for fact in by_number)
    assert said > 15
    assert await explain(shop.store, TENANT, "PAY-999999", rows=shop.rows) == []


async def test_sentences_call_documents_by_their_numbers(shop: Shop) -> None:
    """An id that nobody chose says nothing to a person."""
    numbers = {row["invoice_id"]: row["number"] for row in await shop.walked("invoices", 200)}
    told: dict[str, str] = {}
    for row in await shop.walked("payments", 200):
        if row["applied"]["amount_minor"]:
            for fact in await explain(shop.store, TENANT, row["payment_id"], rows=shop.rows):
                if fact["type"].startswith("payments.payment.applied."):
                    told[fact["data"]["invoice_id"]] = fact["sentence"]
    assert len(told) > 5
    for invoice_id, sentence in told.items():
        assert sentence.startswith(f"Applied to invoice {numbers[invoice_id]}: "), sentence
        why = await why_balance(shop.store, TENANT, invoice_id, rows=shop.rows)
        assert why
        assert all(invoice_id not in step["sentence"] for step in why["steps"])


async def test_money_asked_for_before_its_invoice_makes_no_invoice(shop: Shop) -> None:
    payment = await answering.one(shop.rows, QUERIES["payments"], TENANT, "P-EARLY", now=NOW)
    assert payment is not None
    assert [meant["invoice_id"] for meant in payment["intended"]] == [NOT_YET]
    query, now = QUERIES["invoices"], datetime.now(UTC) + timedelta(days=1)
    assert await answering.one(shop.rows, query, TENANT, NOT_YET, now=NOW) is None
    assert await as_of.one(shop.store, query, TENANT, NOT_YET, now) is None
    assert all(item["status"] for item in await shop.walked("invoices", 200))


def test_no_filter_has_the_name_of_what_every_list_takes() -> None:
    for query in QUERIES.values():
        assert not COMMON & set(query.parameters), query.name


@pytest.mark.parametrize(
    ("name", "asked", "field", "code"),
    [
        ("payments", {"colour": "red"}, "colour", "UNKNOWN_FIELD"),
        ("payments", {"fields": "colour"}, "fields", "UNKNOWN_FIELD"),
        ("payments", {"sort": "colour"}, "sort", "UNKNOWN_FIELD"),
        ("payments", {"as_of": "2026-01-01T00:00:00Z"}, "as_of", "UNKNOWN_FIELD"),
        ("payments", {"amount_from": "1.5"}, "amount_from", "MALFORMED_REQUEST"),
        ("payments", {"amount_from": "9" * 30}, "amount_from", "MALFORMED_REQUEST"),
        ("payments", {"amount_from": "²"}, "amount_from", "MALFORMED_REQUEST"),
        ("payments", {"in_flight": "perhaps"}, "in_flight", "MALFORMED_REQUEST"),
        ("payments", {"account_id": "\x00"}, "account_id", "MALFORMED_REQUEST"),
        ("exceptions", {"raised_at_from": "2026-01-01T00:00:00"}, "raised_at_from", "MALFORMED_REQUEST"),
        ("exceptions", {"raised_at_from": "0001-01-01T00:00:00+09"}, "raised_at_from", "MALFORMED_REQUEST"),
        ("invoices", {"due_date_from": "tomorrow"}, "due_date_from", "MALFORMED_REQUEST"),
        ("invoices", {"limit": "0"}, "limit", "MALFORMED_REQUEST"),
        ("invoices", {"limit": "201"}, "limit", "MALFORMED_REQUEST"),
        ("invoices", {"cursor": "nonsense"}, "cursor", "MALFORMED_REQUEST"),
        ("invoices", {"cursor": "WzFd"}, "cursor", "MALFORMED_REQUEST"),
        ("invoices", {"cursor": "WyJpbnZvaWNlX2lkIixbWzFdXV0="}, "cursor", "MALFORMED_REQUEST"),
        ("invoices", {"as_of": "2026-01-01T00:00:00Z"}, "account_id", "AS_OF_SCOPE_REQUIRED"),
        ("invoices", {"as_of": "x", "account_id": "A0"}, "as_of", "MALFORMED_REQUEST"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_told_with_its_field(
    database_url: str, name: str, asked: dict[str, str], field: str, code: str
) -> None:
    given = {key: [text] for key, text in asked.items()}
    store = await PostgresStore.connect(database_url, keys=KEYS)
    try:
        async with PostgresRows.connected(database_url, TABLES) as rows:
            timed = "as_of" in asked and QUERIES[name].timed
            with pytest.raises(BadQuery) as refused:
                await (
                    as_of.page(store, QUERIES[name], TENANT, given)
                    if timed
                    else answering.page(rows, QUERIES[name], TENANT, given, now=NOW)
                )
    finally:
        await store.close()
    assert (refused.value.field, refused.value.code) == (field, code)
