"""An account is forgotten: its name is nowhere in the clear before, and nowhere at all afterwards."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg

from projections.models import TABLES
from projections.rebuild import rebuild
from projections.rows import PostgresRows
from services import bootstrap
from tests.fixtures.tender import Tender

NAME = "Augusta Ada Lovelace"


def test_a_name_is_sealed_everywhere_and_gone_with_its_key(tender: Tender) -> None:
    tenant = f"forget-{uuid4().hex[:8]}"
    said = tender.accepted("account.register", {"name": NAME}, tenant, "A-1")
    position = {"min_position": said["position"]}
    assert tender.get(f"/v1/{tenant}/accounts/A-1", **position)["name"] == NAME
    assert [row["name"] for row in tender.get(f"/v1/{tenant}/accounts", **position)["items"]] == [NAME]
    assert tender.get(f"/v1/{tenant}/explain/account-A-1")["facts"][0]["data"]["name"] == NAME
    assert asyncio.run(_rows_with(tender, NAME)) == []

    said = tender.accepted("account.erase_personal_data", {"reason": "asked for"}, tenant, "A-1")
    position = {"min_position": said["position"]}
    assert tender.get(f"/v1/{tenant}/accounts/A-1", **position)["name"] == "[erased]"
    facts = tender.get(f"/v1/{tenant}/explain/account-A-1")["facts"]
    assert [fact["type"] for fact in facts] == [
        "payments.account.registered.v2",
        "payments.account.personal_data_erased.v1",
    ]
    assert facts[0]["data"]["name"] == "[erased]"
    timeline = tender.get(f"/v1/{tenant}/timeline", account_id="A-1")["items"]
    assert [item["sentence"] for item in timeline][-1].startswith("Personal data erased")
    assert asyncio.run(_rebuilt(tender)) == []
    assert tender.get(f"/v1/{tenant}/accounts/A-1")["name"] == "[erased]"


async def _rows_with(tender: Tender, text: str) -> list[str]:
    """Tables of the database, the log and the read models among them, that hold a text in the clear."""
    connection = await asyncpg.connect(tender.settings.database_url or "")
    try:
        tables = await connection.fetch(
            "select format('%I.%I', table_schema, table_name) as name from information_schema.tables "
            "where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') "
            "and table_name not in ('outbox_commands', 'parked', 'dead_letters')"
        )
        return [row["name"] for row in tables if await _holds(connection, row["name"], text)]
    finally:
        await connection.close()


async def _holds(connection: asyncpg.Connection, table: str, text: str) -> bool:
    """Bytes are compared as bytes: `t::text` shows them in hex."""
    where = "t::text like '%' || $1 || '%' or t::text like '%' || $2 || '%'"
    return bool(
        await connection.fetchval(
            f"select exists (select 1 from {table} t where {where})", text, text.encode().hex()
        )
    )


async def _rebuilt(tender: Tender) -> list[object]:
    """The differences that a rebuild finds."""
    settings = tender.settings
    async with (
        bootstrap.store(settings) as store,
        PostgresRows.connected(settings.database_url or "", TABLES) as rows,
    ):
        return list((await rebuild(store, rows)).differences)
