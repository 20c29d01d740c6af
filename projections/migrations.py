"""Migrations of tokenized methods: each job's progress, and the verdict on each of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events import token_migration as facts
from events.payment_method import PaymentMethodChecked, PaymentMethodCheckRequested
from projections.table import FLAG, INSTANT, JSON, TENANT, TEXT, Add, Column, Place, Row, Table, text

Own = Mapping[str, Any]

_OUTCOMES = ("imported", "updated", "skipped", "rejected", "parked")

_RESULTS = {"PASSED": "checks_passed", "FAILED": "checks_failed", "UNCLEAR": "checks_unclear"}

token_migrations = Table(
    "token_migrations",
    key=(TENANT, Column("job_id", TEXT)),
    columns=(
        *text("status", "mode", "source", "digest", "reason"),
        Column("strict", FLAG, False),
        Column("dry_run", FLAG, False),
        *(Column(name, "int", 0) for name in ("rows", "decided", *_OUTCOMES)),
        Column("verify", FLAG, False),
        *(Column(name, "int", 0) for name in ("checks", *_RESULTS.values())),
        Column("valid", "int"),
        Column("rejected_by_code", JSON),
        Column("warnings", JSON),
        Column("created_at", INSTANT),
        Column("started_at", INSTANT),
        Column("ended_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="tokmig",
)

token_migration_rows = Table(
    "token_migration_rows",
    key=(TENANT, Column("job_id", TEXT), Column("row_no", "int")),
    columns=text("external_id", "outcome", "account_id", "method_id", "code", "message"),
)


def _job(at: Place, **changes: Any) -> Row:
    return Row((at.tenant, at.id), changes)


@token_migrations.on(facts.TokenMigrationCreated)
def created(fact: facts.TokenMigrationCreated, at: Place, own: Own) -> Iterable[Row]:
    names = ("mode", "strict", "dry_run", "rows", "source", "digest", "verify")
    kept = {name: getattr(fact, name) for name in names}
    yield _job(at, **kept, status="CREATED", created_at=at.time)


@token_migrations.on(facts.TokenMigrationValidating)
def validating(fact: facts.TokenMigrationValidating, at: Place, own: Own) -> Iterable[Row]:
    yield _job(at, status="VALIDATING")


@token_migrations.on(facts.TokenMigrationValidated)
def validated(fact: facts.TokenMigrationValidated, at: Place, own: Own) -> Iterable[Row]:
    report = {"valid": fact.valid, "rejected_by_code": fact.rejected_by_code}
    yield _job(at, **report, warnings=list(fact.warnings), status="READY")


@token_migrations.on(facts.TokenMigrationStarted)
def started(fact: facts.TokenMigrationStarted, at: Place, own: Own) -> Iterable[Row]:
    yield _job(at, status="RUNNING", started_at=at.time)


@token_migrations.on(facts.TokenMigrationRowsDecided)
def decided(fact: facts.TokenMigrationRowsDecided, at: Place, own: Own) -> Iterable[Row]:
    outcomes = [row.outcome.lower() for row in fact.rows]
    counted = {name: Add(outcomes.count(name)) for name in _OUTCOMES if name in outcomes}
    yield _job(at, decided=Add(len(outcomes)), **counted)


@token_migrations.on(PaymentMethodCheckRequested)
def check_requested(fact: PaymentMethodCheckRequested, at: Place, own: Own) -> Iterable[Row]:
    if fact.job_id is not None:
        yield Row((at.tenant, fact.job_id), {"checks": Add(1)})


@token_migrations.on(PaymentMethodChecked)
def checked(fact: PaymentMethodChecked, at: Place, own: Own) -> Iterable[Row]:
    if fact.job_id is not None:
        yield Row((at.tenant, fact.job_id), {_RESULTS[fact.result]: Add(1)})


@token_migrations.on(facts.TokenMigrationCompleted)
def completed(fact: facts.TokenMigrationCompleted, at: Place, own: Own) -> Iterable[Row]:
    yield _job(at, status="COMPLETED_WITH_ERRORS" if fact.with_errors else "COMPLETED", ended_at=at.time)


@token_migrations.on(facts.TokenMigrationCanceled)
def canceled(fact: facts.TokenMigrationCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield _job(at, status="CANCELED", reason=fact.reason, ended_at=at.time)


@token_migration_rows.on(facts.TokenMigrationRowsDecided)
def rows(fact: facts.TokenMigrationRowsDecided, at: Place, own: Own) -> Iterable[Row]:
    names = ("external_id", "outcome", "account_id", "method_id", "code", "message")
    for row in fact.rows:
        yield Row((at.tenant, at.id, row.row_no), {name: getattr(row, name) for name in names})


TABLES = (token_migrations, token_migration_rows)
