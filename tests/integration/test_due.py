"""What is due is read from PostgreSQL as it is from memory."""

from __future__ import annotations

from projections.due import BEGINNING, Cursor, StoredDue, Wanted
from projections.models import TABLES
from projections.rows import PostgresRows
from projections.runner import ProjectionRunner
from tests.paying_with import DAY, Payers


async def test_each_item_comes_with_the_method_that_it_is_collected_with(database_url: str) -> None:
    payers = Payers()
    async with PostgresRows.connected(database_url, TABLES) as rows:
        runner = ProjectionRunner(payers.store, rows, TABLES)
        while await runner.step():
            pass
        due, wanted, after = StoredDue(rows), Wanted(payers.tenant, DAY), BEGINNING
        found = dict[str, str | None]()
        while page := await due.page(wanted, after, 2):
            found |= {item.account_id: item.method_id for item in page}
            after = Cursor.of(page[-1])
    assert found == payers.expected
