"""A migration of tokenized methods, handed in: its steps, one after the other, and its chunks.

Everything goes into the outbox, under identities that follow from the job: what was handed in is
published until it is decided, whoever dies meanwhile; and handing it in again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import orjson

from events import ids
from events.log import RecordedVerdict
from services.clock import Clock
from services.commands import TYPES, Actor, decode
from services.errors import Rejected
from services.importing.methods import Report, Rows, chunks, validated
from services.migrations.migrating import ImportRows, chunk_key, short
from services.migrations.token_migration import (
    CreateTokenMigration,
    Mode,
    ReportTokenMigration,
    StartTokenMigration,
    ValidateTokenMigration,
    home_of,
)
from services.outbox import outbox_command
from services.store.protocol import Batch, OutboxCommand, Store, StoreUnavailable

CHUNKS_AT_ONCE = 20
CHUNKS_AHEAD = 60
"""Written and not decided: a source of any length is handed in with bounded memory and outbox."""


class Job(NamedTuple):
    """What is handed in, and how it is to be taken."""

    tenant: str
    job_id: str
    actor: Actor
    mode: Mode = "UPSERT"
    strict: bool = True
    dry_run: bool = False
    source: str | None = None
    digest: str | None = None
    verify: bool = False

    @property
    def home(self) -> str:
        return ids.home(self.tenant, home_of(self.job_id))


class Migration:
    """Hands one job in, through any store."""

    def __init__(self, store: Store, clock: Clock, job: Job, rows: Rows) -> None:
        self._store, self._clock, self._job, self._rows = store, clock, job, rows
        self.report = Report()
        self.replayed = False
        """The job was handed in before, as it is now."""

    async def prepare(self) -> Report:
        """Create the job, read every row, and report: it is ready to run.

        Raises `Rejected` where the job is another one, or is over already.
        """
        job, rows = self._job, self._rows
        self.report = await asyncio.to_thread(validated, rows)
        created = CreateTokenMigration(
            job.job_id,
            self.report.rows,
            job.mode,
            job.strict,
            job.dry_run,
            job.source,
            job.digest,
            job.verify,
        )
        self.replayed = not await self._decided(created, "create")
        await self._decided(ValidateTokenMigration(job.job_id), "validate")
        reported = ReportTokenMigration(
            job.job_id,
            self.report.valid,
            dict(self.report.rejected),
            tuple(self.report.warnings),
            tuple(self.report.examples),
        )
        await self._decided(reported, "report")
        return self.report

    async def run(self, *, all_at_once: bool = False) -> AsyncIterator[int]:
        """Start the job, and hand its chunks in; how many rows are decided, again and again, until all are.

        `all_at_once` returns when everything is in the outbox: from there on it needs nobody.
        """
        await self._decided(StartTokenMigration(self._job.job_id), "start")
        pending: dict[UUID, int] = {}
        decided = 0
        waiting = chunks(self._rows, self.report, self._job.job_id)
        while part := await asyncio.to_thread(_some, waiting):
            known = await self._verdicts([self._id(chunk) for chunk in part])
            new = [chunk for chunk in part if self._id(chunk) not in known]
            await self._commit([self._row(chunk, chunk_key(chunk.job_id, chunk.chunk_no)) for chunk in new])
            if all_at_once:
                continue
            pending |= {self._id(chunk): len(chunk.rows) + len(chunk.refused) for chunk in part}
            while len(pending) > CHUNKS_AHEAD:
                decided += await self._take_decided(pending)
                yield decided
        while pending:
            decided += await self._take_decided(pending)
            yield decided

    async def _take_decided(self, pending: dict[UUID, int]) -> int:
        """Wait until some chunk is decided; the rows of those that are."""
        async for _ in self._store.wakeups():
            known = await self._verdicts(list(pending))
            for verdict in known.values():
                if verdict.status == "REJECTED":
                    raise _refusal(verdict)
            if known:
                return sum(pending.pop(id) for id in known)
        raise AssertionError("a store wakes whoever waits for it")

    async def _decided(self, command: object, step: str) -> bool:
        """Send a command of the job, and wait for its verdict; whether it is of now.  Raises `Rejected`."""
        row = self._row(command, f"mig:{self._job.job_id}:{step}")
        known = await self._verdicts([row.command_id])
        if not known:
            await self._commit([row])
            async for _ in self._store.wakeups():
                if found := await self._verdicts([row.command_id]):
                    break
            else:
                raise AssertionError("a store wakes whoever waits for it")
            self._check(row, found[row.command_id])
            return True
        self._check(row, known[row.command_id])
        return False

    def _check(self, row: OutboxCommand, verdict: RecordedVerdict) -> None:
        if verdict.fingerprint != decode(row.type, row.body).fingerprint:
            job_id = self._job.job_id
            raise Rejected("TOKEN_MIGRATION_EXISTS", f"the token migration {job_id} was handed in otherwise")
        if verdict.status == "REJECTED":
            raise _refusal(verdict)

    def _id(self, chunk: ImportRows) -> UUID:
        key = chunk_key(chunk.job_id, chunk.chunk_no)
        return ids.command_id(self._job.tenant, TYPES[ImportRows], key)

    def _row(self, command: object, key: str) -> OutboxCommand:
        job = self._job
        return outbox_command(
            command,
            key,
            tenant=job.tenant,
            account_id=home_of(job.job_id),
            actor=job.actor,
            meta=orjson.dumps({"actor": job.actor, "correlation_id": job.job_id}),
            due_at=self._clock.now(),
            short=short(command) if isinstance(command, ImportRows) else None,
        )

    async def _commit(self, outbox: Sequence[OutboxCommand]) -> None:
        while outbox:
            try:
                await self._store.commit(Batch(outbox=list(outbox)))
                return
            except StoreUnavailable:
                await asyncio.sleep(0.5)

    async def _verdicts(self, command_ids: Sequence[UUID]) -> dict[UUID, RecordedVerdict]:
        try:
            found = await self._store.verdicts(command_ids)
        except StoreUnavailable:
            return {}
        return {id: verdict for id, verdict in found.items() if verdict.status != "PARKED"}


def _some(waiting: Iterator[ImportRows]) -> list[ImportRows]:
    return list(islice(waiting, CHUNKS_AT_ONCE))


def _refusal(verdict: RecordedVerdict) -> Rejected:
    outcome = orjson.loads(verdict.outcome)
    return Rejected(outcome["code"], outcome["message"], **outcome.get("details", {}))
