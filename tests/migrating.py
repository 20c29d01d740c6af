"""A migration handed in on a store in memory: what relay and worker do, is done here, in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from events import ids
from events.mapper import decode
from events.token_migration import RowDecided, TokenMigrationRowsDecided
from services.commands import Actor
from services.importing.methods import Report
from services.importing.migration import Job, Migration
from services.intake import Intake, Partition
from services.messages import Message
from services.migrations.token_migration import TokenMigrationJob
from tests.journey import Journey


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Line:
    """A commands topic with one partition, read by an intake on the journey's store."""

    def __init__(self, j: Journey) -> None:
        self.j, self.offset = j, 0
        self.answered: list[Message] = []
        self.intake = Intake(
            j.handler,
            j.store.offset,
            j,
            cluster_id="c",
            results_topic="results",
            answer=self._answer,
        )

    async def _answer(self, messages: Sequence[Message]) -> None:
        self.answered += messages

    def seek(self, partition: Partition, offset: int | None) -> None:
        assert (offset or 0) == self.offset

    async def publish(self, sent: Iterable[tuple[str, str, bytes]]) -> None:
        """Take (type, home, body) each, in one batch."""
        records = list[Record]()
        for type, home, body in sent:
            records.append(
                Record("commands", 0, self.offset, home.encode(), body, [("ce_type", type.encode())])
            )
            self.offset += 1
        self.j.handler.cache.clear()
        await self.intake.take(records, self)

    async def pump(self) -> None:
        """Publish what is due in the outbox, until cancelled."""
        self.offset = await self.j.store.offset("c", "commands", 0) or 0
        await self.intake.assigned([Partition("commands", 0)], self)
        while True:
            due = await self.j.store.due_commands(self.j.time + timedelta(days=1), 0.0, 100)
            await self.publish([(command.type, command.home, command.body) for command in due])
            await asyncio.sleep(0)


class Migrated(NamedTuple):
    report: Report
    rows: dict[int, RowDecided]
    status: str
    replayed: bool
    progress: list[int]


def migrate(j: Journey, rows: Sequence[Any], job_id: str = "J", **how: Any) -> Migrated:
    """Hand rows in, and wait until all of them are decided.  Raises `Rejected`."""
    migration = Migration(j.store, j, Job(j.tenant, job_id, Actor("USER", "tester"), **how), lambda: rows)
    progress = asyncio.run(_handed_in(j, migration))
    status = j.state(TokenMigrationJob, job_id).status
    return Migrated(migration.report, decided_rows(j, job_id), status, migration.replayed, progress)


async def _handed_in(j: Journey, migration: Migration) -> list[int]:
    pump = asyncio.create_task(Line(j).pump())
    try:
        async with asyncio.timeout(30):
            await migration.prepare()
            return [decided async for decided in migration.run()]
    finally:
        pump.cancel()


def decided_rows(j: Journey, job_id: str) -> dict[int, RowDecided]:
    """The verdicts that the job has recorded, by the number of the row."""
    stream = ids.stream(j.tenant, TokenMigrationJob.KIND, job_id)
    facts = [decode(event.topic, event.data) for event in j.events() if event.stream == stream]
    chunks = [fact.rows for fact in facts if isinstance(fact, TokenMigrationRowsDecided)]
    return {row.row_no: row for rows in chunks for row in rows}
