"""What can happen to a migration of externally tokenized methods (stream `tokmig-{id}`)."""

from __future__ import annotations

from typing import Any

from events.catalog import fact, upcasts
from events.frozen import frozen


@frozen
class RowDecided:
    """What became of one row of a migration."""

    row_no: int
    """From 1, in the order of the file."""
    external_id: str
    """What the method is called where it comes from."""
    outcome: str
    """IMPORTED, UPDATED, SKIPPED, REJECTED; PARKED: a command of its account cannot be decided for now."""
    account_id: str | None = None
    method_id: str | None = None
    code: str | None = None
    message: str | None = None


@fact("token_migration.created.v2")
class TokenMigrationCreated:
    """A job that takes over methods tokenized elsewhere, row by row."""

    job_id: str
    mode: str
    """INSERT_ONLY or UPSERT."""
    strict: bool
    """Whether a method that is there already is an error, where it may not be updated."""
    dry_run: bool
    """Every row is decided, and none imported."""
    rows: int
    source: str | None = None
    """Where the rows come from, such as the name of a file."""
    digest: str | None = None
    """SHA-256 in hex of what was handed in."""
    verify: bool = False
    """Whether the gateway is asked to prove each token that is imported."""


@upcasts("token_migration.created.v1", to="token_migration.created.v2")
def nothing_was_verified(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no checks of what it imported."""
    return fact


@fact("token_migration.validating.v1")
class TokenMigrationValidating:
    """Every row is read, before any is imported."""

    rows: int


@fact("token_migration.validated.v1")
class TokenMigrationValidated:
    """The report on all rows as they were handed in: ready to run."""

    valid: int
    rejected: int
    rejected_by_code: dict[str, int]
    warnings: tuple[str, ...] = ()
    examples: tuple[RowDecided, ...] = ()
    """The first rejected rows."""


@fact("token_migration.started.v1")
class TokenMigrationStarted:
    """Its rows become saved payment methods, one after another."""

    by: str


@fact("token_migration.rows_decided.v1")
class TokenMigrationRowsDecided:
    """A chunk of rows, decided in the transaction that records this."""

    chunk_no: int
    rows: tuple[RowDecided, ...]
    """What became of each."""


@fact("token_migration.completed.v1")
class TokenMigrationCompleted:
    """Every row has a verdict."""

    imported: int
    """How many rows became saved payment methods."""
    updated: int
    """How many rows told a saved payment method anew."""
    skipped: int
    """How many rows were passed over."""
    rejected: int
    parked: int = 0
    """How many rows wait, since a command of their account cannot be decided for now."""
    with_errors: bool = False
    """Some rows were refused, or wait."""


@fact("token_migration.canceled.v1")
class TokenMigrationCanceled:
    """No further row is taken over; those that were stay."""

    reason: str | None = None


TokenMigrationEvent = (
    TokenMigrationCreated
    | TokenMigrationValidating
    | TokenMigrationValidated
    | TokenMigrationStarted
    | TokenMigrationRowsDecided
    | TokenMigrationCompleted
    | TokenMigrationCanceled
)
