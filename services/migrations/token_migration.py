"""A migration of externally tokenized methods: one job, its steps, and what became of each of its rows.

Invariant: every row is decided once; what became of a chunk of them is recorded in the
transaction that carries it out, so a job's progress is never a guess.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from events.ids import tenant_home
from events.token_migration import (
    RowDecided,
    TokenMigrationCanceled,
    TokenMigrationCompleted,
    TokenMigrationCreated,
    TokenMigrationEvent,
    TokenMigrationRowsDecided,
    TokenMigrationStarted,
    TokenMigrationValidated,
    TokenMigrationValidating,
)
from services.commands import FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found

Mode = Literal["INSERT_ONLY", "UPSERT"]
Count = Annotated[int, Field(ge=0, le=1_000_000)]

BEFORE_THE_END = frozenset({"CREATED", "VALIDATING", "READY", "RUNNING"})


@dataclass(slots=True)
class TokenMigrationJob:
    KIND: ClassVar[str] = "tokmig"

    version: int = 0
    status: str = ""
    """Empty, CREATED, VALIDATING, READY, RUNNING, COMPLETED, COMPLETED_WITH_ERRORS, CANCELED."""
    created: TokenMigrationCreated | None = None
    chunks: set[int] = field(default_factory=set[int])
    """Those that are decided."""
    rows: dict[str, int] = field(default_factory=dict[str, int])
    """Of the rows that are decided, each name's number."""
    refused: set[int] = field(default_factory=set[int])
    """The numbers of those that are none."""
    outcomes: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def open(self) -> bool:
        return False

    @property
    def decided(self) -> int:
        return sum(self.outcomes.values())


def evolve(job: TokenMigrationJob, event: TokenMigrationEvent) -> None:
    match event:
        case TokenMigrationCreated():
            job.status, job.created = "CREATED", event
        case TokenMigrationValidating():
            job.status = "VALIDATING"
        case TokenMigrationValidated():
            job.status = "READY"
        case TokenMigrationStarted():
            job.status = "RUNNING"
        case TokenMigrationRowsDecided():
            job.chunks.add(event.chunk_no)
            for row in event.rows:
                job.outcomes[row.outcome] = job.outcomes.get(row.outcome, 0) + 1
                if row.account_id is None:
                    job.refused.add(row.row_no)
                else:
                    job.rows.setdefault(row.external_id, row.row_no)
        case TokenMigrationCompleted():
            job.status = "COMPLETED_WITH_ERRORS" if event.with_errors else "COMPLETED"
        case TokenMigrationCanceled():
            job.status = "CANCELED"


@command("payments.token_migration.create.v1")
class CreateTokenMigration:
    """Begin a job that takes over methods tokenized elsewhere."""

    job_id: Id
    """An id of the caller's own for it."""
    rows: Count
    mode: Mode = "UPSERT"
    strict: bool = True
    dry_run: bool = False
    """Decide every row, and import none."""
    source: FreeText | None = None
    """Where the rows come from, such as the name of a file."""
    digest: Text | None = None
    verify: bool = False
    """Have each token that is imported proved by its gateway, with a charge of nothing, as fast as it takes
    them; a method can be used before."""


@command("payments.token_migration.validate.v1")
class ValidateTokenMigration:
    """Check all rows, and take over none."""

    job_id: Id


@dataclass(frozen=True)
class Refused:
    """A row that is none: what is wrong with it, and nothing of what it held."""

    row_no: Annotated[int, Field(ge=1)]
    external_id: Text
    """What the row calls the method."""
    code: Text
    message: Text
    """What is wrong with it, in words."""


@command("payments.token_migration.report.v1")
class ReportTokenMigration:
    """All rows have been read; the job is ready to run."""

    job_id: Id
    valid: Count
    rejected_by_code: dict[Text, Count]
    warnings: tuple[Text, ...] = ()
    examples: tuple[Refused, ...] = ()


@command("payments.token_migration.start.v1")
class StartTokenMigration:
    """Take the rows over, one after another."""

    job_id: Id


@command("payments.token_migration.cancel.v1")
class CancelTokenMigration:
    """Rows that are not decided yet will not be."""

    job_id: Id
    reason: FreeText | None = None


def of(states: States, job_id: str) -> TokenMigrationJob:
    job = states.get(TokenMigrationJob, job_id)
    if not job.status:
        raise not_found("TOKEN_MIGRATION", job_id)
    return job


def check_status(job: TokenMigrationJob, *allowed: str) -> None:
    if job.status not in allowed:
        raise invalid_state("token migration", job.status, allowed)


def refused(row: Refused) -> RowDecided:
    return RowDecided(row.row_no, row.external_id, "REJECTED", None, None, row.code, row.message)


_OfJob = (
    CreateTokenMigration
    | ValidateTokenMigration
    | ReportTokenMigration
    | StartTokenMigration
    | CancelTokenMigration
)


def _needs(states: States, command: _OfJob, context: Context) -> Needs:
    yield Need(TokenMigrationJob, command.job_id)


def create(states: States, command: CreateTokenMigration, context: Context) -> Changes:
    job, created = states.get(TokenMigrationJob, command.job_id), TokenMigrationCreated(**vars(command))
    if job.created == created:
        return []
    if job.created is not None:
        raise Rejected("TOKEN_MIGRATION_EXISTS", f"the token migration {command.job_id} is another one")
    return [changed(command.job_id, created)]


def validate(states: States, command: ValidateTokenMigration, context: Context) -> Changes:
    job = of(states, command.job_id)
    check_status(job, "CREATED")
    assert job.created is not None
    return [changed(command.job_id, TokenMigrationValidating(job.created.rows))]


def report(states: States, command: ReportTokenMigration, context: Context) -> Changes:
    job = of(states, command.job_id)
    check_status(job, "VALIDATING")
    assert job.created is not None
    rejected = sum(command.rejected_by_code.values())
    if command.valid + rejected != job.created.rows:
        raise Rejected(
            "MALFORMED_REQUEST", f"the report must be on all {job.created.rows} rows", field="data.valid"
        )
    examples = tuple(refused(row) for row in command.examples)
    validated = TokenMigrationValidated(
        command.valid, rejected, command.rejected_by_code, command.warnings, examples
    )
    return [changed(command.job_id, validated)]


def start(states: States, command: StartTokenMigration, context: Context) -> Changes:
    """A job without rows is over as soon as it starts."""
    job = of(states, command.job_id)
    check_status(job, "READY")
    assert job.created is not None
    started = changed(command.job_id, TokenMigrationStarted(context.actor.id))
    return [started] if job.created.rows else [started, completed(command.job_id, Counter())]


def cancel(states: States, command: CancelTokenMigration, context: Context) -> Changes:
    job = of(states, command.job_id)
    if job.status == "CANCELED":
        return []
    check_status(job, *BEFORE_THE_END)
    return [changed(command.job_id, TokenMigrationCanceled(command.reason))]


def completed(job_id: str, outcomes: Counter[str]) -> Change:
    fact = TokenMigrationCompleted(
        outcomes["IMPORTED"],
        outcomes["UPDATED"],
        outcomes["SKIPPED"],
        outcomes["REJECTED"],
        outcomes["PARKED"],
        with_errors=bool(outcomes["REJECTED"] or outcomes["PARKED"]),
    )
    return changed(job_id, fact)


def changed(job_id: str, fact: TokenMigrationEvent) -> Change:
    return Change(TokenMigrationJob, job_id, fact)


def home_of(job_id: str) -> str:
    return tenant_home("token_migration", job_id)


def _home(command: _OfJob, tenant: str) -> str:
    return home_of(command.job_id)


RULES = (
    Rule(CreateTokenMigration, _needs, create, _home),
    Rule(ValidateTokenMigration, _needs, validate, _home),
    Rule(ReportTokenMigration, _needs, report, _home),
    Rule(StartTokenMigration, _needs, start, _home),
    Rule(CancelTokenMigration, _needs, cancel, _home),
)
