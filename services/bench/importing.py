"""Bulk import: records of 200 tokenized methods, in through Kafka, each row decided, durable, chargeable.

The clock runs from the first record sent until the job is complete in the log.  Beside it, in the same run
and on the same server, a bare COPY of the same rows: everything that the import wrote (events, verdicts,
claims, documents) into tables with the same columns and indexes, from memory, in one transaction.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events.shapes import Address
from services.bench.stage import Cost, Stage, cpu_seconds, peak_megabytes, staged
from services.bench.stream import TENANT, Made, made
from services.migrations.migrating import (
    ROWS_MAX,
    ImportRows,
    MigrationRow,
    TokenizedMethod,
    chunk_key,
    short,
)
from services.migrations.token_migration import (
    CreateTokenMigration,
    ReportTokenMigration,
    StartTokenMigration,
    ValidateTokenMigration,
    home_of,
)

JOB = "bench"
WAIT_SECONDS = 600.0

_WRITTEN = {
    "log": "select * from log where position > $1",
    "verdicts": "select * from verdicts where verdict_position > $1",
    "claims": "select * from claims where kind = 'method_token'",
    "account_documents": "select * from account_documents where stream like '%/spm-%'",
}
"""What an import writes, table by table."""


@dataclass
class Importing:
    rows: int
    decided_seconds: float
    copied: Cost
    copied_rows: int
    worker_megabytes: float
    cpu_microseconds: dict[str, float]
    """Of each process, per method."""
    wrong: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def table(self) -> list[dict[str, Any]]:
        rate, bare = self.rows / self.decided_seconds, self.copied.per_second
        cpu = round(sum(self.cpu_microseconds.values())), round(self.copied.cpu_microseconds)
        return [
            {
                "what": "imported: decided and durable",
                "methods_per_s": round(rate),
                "share": f"{rate / bare:.0%}",
                "cpu_us": cpu[0],
            },
            {
                "what": f"bare COPY of the same {self.copied_rows} rows",
                "methods_per_s": round(bare),
                "share": "",
                "cpu_us": cpu[1],
            },
        ]


async def importing(folder: Path, rows: int, accounts: int) -> Importing:
    """Measure, then look every row up; whatever is wrong is told in `wrong`."""
    chunks = list(_chunks(rows, accounts))
    async with staged(folder) as stage:
        async with stage.roles():
            await stage.prepare(accounts)
        async with stage.roles({"worker": ("worker",)}) as pids:
            for step in _steps(rows):
                await stage.send([step])
            await _until(stage, "token_migration.started.v1")
            before = await stage.connection.fetchrow("select position, verdict_position from head")
            pids = {**pids, **stage.server_pids}
            used, began = cpu_seconds(pids), time.perf_counter()
            await stage.send(chunks)
            await _until(stage, "token_migration.completed.v1")
            seconds = time.perf_counter() - began
            cpu = {name: (s - used[name]) * 1e6 / rows for name, s in cpu_seconds(pids).items()}
            megabytes = peak_megabytes(pids["worker"])
        wrong = await _wrong(stage, rows)
        copied, copied_rows = await _copied(stage, rows, before["position"], before["verdict_position"])
        return Importing(rows, seconds, copied, copied_rows, megabytes, cpu, wrong)


def _steps(rows: int) -> Iterator[Made]:
    commands = (
        CreateTokenMigration(JOB, rows),
        ValidateTokenMigration(JOB),
        ReportTokenMigration(JOB, rows, {}),
        StartTokenMigration(JOB),
    )
    for command in commands:
        yield made(command, home_of(JOB), f"mig:{JOB}:{type(command).__name__}")


def _chunks(rows: int, accounts: int) -> Iterator[Made]:
    for chunk_no, first in enumerate(range(1, rows + 1, ROWS_MAX), start=1):
        taken = tuple(_row(n, f"A{n % accounts}") for n in range(first, min(first + ROWS_MAX, rows + 1)))
        chunk = ImportRows(JOB, chunk_no, taken)
        yield made(chunk, home_of(JOB), chunk_key(JOB, chunk_no), short=short(chunk))


def _row(number: int, account: str) -> MigrationRow:
    method = TokenizedMethod(
        external_id=f"legacy-{number}",
        gateway_id="gw",
        type="card",
        token_ref=f"tok_imported_{number}",
        merchant_account_id="m1",
        gateway_reference=f"cus_{number}",
        holder_name=f"Customer {number}",
        expiry_month=number % 12 + 1,
        expiry_year=2031,
        last4=f"{number % 10_000:04d}",
        network="Visa",
        billing_address=Address("Storgata 1", None, "Oslo", None, "0155", "NO"),
    )
    return MigrationRow(number, account, method)


async def _until(stage: Stage, topic: str) -> None:
    stream = f"{TENANT}/tokmig-{JOB}"
    async with asyncio.timeout(WAIT_SECONDS):
        while not await stage.connection.fetchval(
            "select 1 from log where stream = $1 and topic = $2", stream, topic
        ):
            await asyncio.sleep(0.02)


async def _wrong(stage: Stage, rows: int) -> dict[str, int]:
    """Each row has its verdict, its fact, and its claim."""
    counted = {
        "facts": "select count(distinct stream) from log where topic = 'payment_method.imported.v2'",
        "claims": "select count(*) from claims where key like 'm1/%' and owner like 'A%'",
    }
    found = {name: await stage.connection.fetchval(query) for name, query in counted.items()}
    saved = await stage.connection.fetchval(
        "select count(*) from log where topic like 'payment_method.saved.%'"
    )
    return {name: abs(count - rows - (saved if name == "claims" else 0)) for name, count in found.items()}


async def _copied(stage: Stage, methods: int, position: int, verdict_position: int) -> tuple[Cost, int]:
    """What it takes to copy the rows into tables like those they are in, and how many they are."""
    connection, copies = stage.connection, list[tuple[str, bytes]]()
    after = {"log": (position,), "verdicts": (verdict_position,)}
    for table, query in _WRITTEN.items():
        await connection.execute(f"create table bare_{table} (like {table} including all)")
        out = io.BytesIO()
        await connection.copy_from_query(query, *after.get(table, ()), output=out, format="binary")
        copies.append((f"bare_{table}", out.getvalue()))
    told: list[str] = []

    async def copy() -> None:
        async with connection.transaction():
            for table, bytes_ in copies:
                source = io.BytesIO(bytes_)
                told.append(await connection.copy_to_table(table, source=source, format="binary"))

    return await stage.costs(methods, copy), sum(int(each.split()[1]) for each in told)
