"""Migrating tokenized methods: modes, whose a token is, defaults, steps, and every way to hand a file in."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import orjson
import pytest

from events.token_migration import TokenMigrationCanceled
from services.accounts.account import Account, RegisterAccount
from services.accounts.method_choice import DeletePaymentMethod
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.calls.provider import MapMethodTypes
from services.commands import Actor, decode, encode
from services.errors import Rejected
from services.importing.methods import chunks, csv_rows, json_rows, rows_of, validated
from services.importing.migration import Job, Migration
from services.migrations.migrating import (
    ROWS_MAX,
    ImportRows,
    ImportTokenizedPaymentMethod,
    MigrationRow,
    TokenizedMethod,
    chunk_key,
)
from services.migrations.token_migration import (
    CancelTokenMigration,
    CreateTokenMigration,
    Refused,
    ReportTokenMigration,
    StartTokenMigration,
    TokenMigrationJob,
    ValidateTokenMigration,
    home_of,
)
from services.payments.paying import ProcessPayment
from tests.journey import Journey, money
from tests.migrating import Line, decided_rows, migrate
from tests.unit.test_example_migration import row


def two_accounts() -> Journey:
    j = Journey()
    j.when(RegisterAccount("Bob"), account="B").then_accepted()
    return j


def verdicts(rows: dict[int, Any]) -> list[tuple[str, str | None]]:
    return [(rows[no].outcome, rows[no].code) for no in sorted(rows)]


# -- whose a token is


def test_the_same_token_under_another_account_is_a_verdict_that_says_whose() -> None:
    j = two_accounts()
    done = migrate(j, [row("E1", "A", "tok_1"), row("E2", "B", "tok_1")])
    assert verdicts(done.rows) == [("IMPORTED", None), ("REJECTED", "METHOD_DUPLICATE")]
    single = ImportTokenizedPaymentMethod("E3", "gw", "tok_1", "card")
    j.when(single, account="B").then_rejected(
        "METHOD_DUPLICATE", account_id="A", method_id=done.rows[1].method_id
    )


def test_a_saved_token_is_its_accounts_as_well() -> None:
    j = two_accounts()
    j.when(SavePaymentMethod("gw", "tok_1", "card", fingerprint="fp")).then_accepted()
    saved = j.last_id(SavedMethod)
    j.when(ImportTokenizedPaymentMethod("E1", "gw", "tok_1", "card"), account="B")
    j.then_rejected("METHOD_DUPLICATE", account_id="A")
    j.when(ImportTokenizedPaymentMethod("E1", "gw", "tok_1", "card", nickname="x")).then_accepted()
    assert [id for _, id, _ in j.facts()] == [saved]
    j.when(SavePaymentMethod("gw", "tok_1", "card"), account="B").then_accepted()


def test_a_deleted_methods_token_may_be_anybodys() -> None:
    j = two_accounts()
    j.when(ImportTokenizedPaymentMethod("E1", "gw", "tok_1", "card")).then_accepted()
    j.when(DeletePaymentMethod(j.last_id(SavedMethod))).then_accepted()
    j.when(ImportTokenizedPaymentMethod("E1", "gw", "tok_1", "card"), account="B").then_accepted()


def test_another_token_is_no_conflict() -> None:
    j = two_accounts()
    done = migrate(j, [row("E1", "A", "tok_1"), row("E2", "B", "tok_2")])
    assert verdicts(done.rows) == [("IMPORTED", None)] * 2


# -- modes


@pytest.mark.parametrize(
    ("mode", "strict", "outcome"),
    [
        ("UPSERT", True, ("UPDATED", None)),
        ("INSERT_ONLY", True, ("REJECTED", "METHOD_DUPLICATE")),
        ("INSERT_ONLY", False, ("SKIPPED", None)),
    ],
)
def test_what_is_there_already_is_updated_refused_or_passed_over(
    mode: str, strict: bool, outcome: tuple[str, str | None]
) -> None:
    j = two_accounts()
    assert verdicts(migrate(j, [row("E1", "A", "tok_1")]).rows) == [("IMPORTED", None)]
    done = migrate(j, [row("E2", "A", "tok_1")], "K", mode=mode, strict=strict)
    assert verdicts(done.rows) == [outcome]
    assert done.status == ("COMPLETED_WITH_ERRORS" if outcome[1] else "COMPLETED")


def test_a_dry_run_tells_and_changes_nothing() -> None:
    j = two_accounts()
    done = migrate(j, [row("E1", "A", "tok_1"), row("E2", "nobody", "tok_2")], dry_run=True)
    assert verdicts(done.rows) == [("IMPORTED", None), ("REJECTED", "ACCOUNT_NOT_FOUND")]
    assert j.state(SavedMethod, done.rows[1].method_id or "").status == ""
    real = migrate(j, [row("E1", "A", "tok_1")], "K")
    assert verdicts(real.rows) == [("IMPORTED", None)]


def test_of_two_defaults_the_last_row_wins_with_a_warning() -> None:
    j = two_accounts()
    rows = [
        row("E1", "A", "tok_1", is_default="yes"),
        row("E2", "A", "tok_2", is_default=True),
        row("E3", "A", "tok_3"),
        row("E4", "B", "tok_4", is_default="1"),
    ]
    done = migrate(j, rows)
    assert done.report.warnings == ["2 rows are to be the default of A: the last, row 2, will be"]
    assert j.state(Account, "A").default_method_id == done.rows[2].method_id
    assert j.state(Account, "B").default_method_id == done.rows[4].method_id
    topics = [event.topic for event in j.events()]
    assert topics.count("account.default_payment_method_set.v1") == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"gateway": "gw-9"}, "GATEWAY_NOT_FOUND"),
        ({"merchant_account": "m9"}, "REFERENCE_MISMATCH"),
        ({"method_type": "us_bank_account"}, "MANDATE_REQUIRED"),
        ({"method_type": "cheque"}, "METHOD_TYPE_UNSUPPORTED"),
        ({"method_type": None}, "MALFORMED_REQUEST"),
        ({"method_type": "extd_wallet"}, "MALFORMED_REQUEST"),
        ({"usage": "ON_SESSION", "is_default": True}, "METHOD_NOT_USABLE"),
        ({"expiry": "soon"}, "DATE_INVALID"),
        ({"expiry": "13/29"}, "MALFORMED_REQUEST"),
        ({"consent_at": "once"}, "DATE_INVALID"),
        ({"is_default": "perhaps"}, "MALFORMED_REQUEST"),
        ({"colour": "blue"}, "UNKNOWN_FIELD"),
        ({"token": "4111-1111-1111-1111"}, "CARD_DATA_FORBIDDEN"),
        ({"token": None}, "MALFORMED_REQUEST"),
        ({"external_id": "E0"}, "IDEMPOTENCY_KEY_REUSED"),
    ],
)
def test_a_row_that_cannot_be_taken_is_told_and_the_others_are_taken(more: dict[str, Any], code: str) -> None:
    j = two_accounts()
    rows = [row("E0", "A", "tok_0"), row("E1", "A", "tok_1") | more, row("E2", "A", "tok_2")]
    done = migrate(j, rows)
    assert verdicts(done.rows) == [("IMPORTED", None), ("REJECTED", code), ("IMPORTED", None)]


@pytest.mark.parametrize(
    ("more", "column"),
    [
        ({"expiry": "13/29"}, "expiry"),
        ({"method_type": None}, "method_type"),
        ({"token": None}, "token"),
        ({"account_ref": "x" * 300}, "account_ref"),
        ({"billing_country": "y" * 2000}, "billing_address"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_its_column(more: dict[str, Any], column: str) -> None:
    done = migrate(two_accounts(), [row("E1", "A", "tok_1") | more])
    assert (done.rows[1].message or "").startswith(f"{column}: "), done.rows[1]


def test_a_row_may_name_its_type_as_the_gateway_does() -> None:
    j = two_accounts()
    j.when(MapMethodTypes("sim", {"Visa Debit": "card", "SEPA DD": "sepa_debit"})).then_accepted()
    rows = [
        row("E1", "A", "tok_1", method_type="visa debit"),
        row("E2", "A", "ba_1", method_type="SEPA DD", mandate_ref="M-1", expiry=None),
        row("E3", "A", "ba_2", method_type="SEPA DD", expiry=None),
    ]
    done = migrate(j, rows)
    assert verdicts(done.rows) == [("IMPORTED", None), ("IMPORTED", None), ("REJECTED", "MANDATE_REQUIRED")]
    assert [j.state(SavedMethod, done.rows[n].method_id).type for n in (1, 2)] == ["card", "sepa_debit"]


def test_a_card_numbers_row_keeps_only_its_place() -> None:
    j = two_accounts()
    done = migrate(j, [row("4111111111111111", "A", "tok_1")])
    assert done.rows[1].external_id == "*" * 16
    assert b"4111111111111111" not in b"".join(event.data for event in j.events())


def test_a_bank_debit_comes_with_its_mandate() -> None:
    j = two_accounts()
    debit = row("E1", "A", "ba_1", method_type="sepa_debit", mandate_ref="M-1", sec_code="WEB", expiry=None)
    done = migrate(j, [debit])
    method = j.state(SavedMethod, done.rows[1].method_id or "")
    assert (method.mandate_reference, method.sec_code, method.expiry_year) == ("M-1", "WEB", None)


# -- the job's steps


def test_the_steps_come_in_their_order() -> None:
    j = Journey()
    j.when(ValidateTokenMigration("J")).then_rejected("TOKEN_MIGRATION_NOT_FOUND")
    j.when(CreateTokenMigration("J", 2)).then_accepted()
    j.when(CreateTokenMigration("J", 2)).then_nothing()
    j.when(CreateTokenMigration("J", 3)).then_rejected("TOKEN_MIGRATION_EXISTS")
    j.when(StartTokenMigration("J")).then_rejected("INVALID_STATE", state="CREATED", allowed=["READY"])
    j.when(ValidateTokenMigration("J")).then_accepted()
    j.when(ReportTokenMigration("J", 1, {})).then_rejected("MALFORMED_REQUEST")
    j.when(ReportTokenMigration("J", 1, {"UNKNOWN_FIELD": 1})).then_accepted()
    j.when(StartTokenMigration("J")).then_accepted()
    assert j.state(TokenMigrationJob, "J").status == "RUNNING"
    j.when(CancelTokenMigration("J", "enough")).then(
        (TokenMigrationJob, "J", TokenMigrationCanceled("enough"))
    )
    j.when(CancelTokenMigration("J")).then_nothing()
    j.when(StartTokenMigration("J")).then_rejected("INVALID_STATE", state="CANCELED")


def test_rows_of_a_job_that_does_not_run_are_refused() -> None:
    j = two_accounts()
    j.when(CreateTokenMigration("J", 1)).then_accepted()
    j.when(ImportRows("J", 1, ())).then_rejected("INVALID_STATE", state="CREATED")
    j.when(ImportRows("K", 1, ())).then_rejected("TOKEN_MIGRATION_NOT_FOUND")


def test_a_job_without_rows_is_over_at_once() -> None:
    assert migrate(Journey(), []).status == "COMPLETED"


def test_another_file_under_the_same_name_is_refused() -> None:
    j = two_accounts()
    migrate(j, [row("E1", "A", "tok_1")], digest="one")
    with pytest.raises(Rejected) as refused:
        migrate(j, [row("E1", "A", "tok_1")], digest="two")
    assert refused.value.code == "TOKEN_MIGRATION_EXISTS"


def test_a_canceled_job_says_so_to_whoever_hands_it_in() -> None:
    j = two_accounts()
    j.when(CreateTokenMigration("J", 1), key="mig:J:create").then_accepted()
    j.when(CancelTokenMigration("J")).then_accepted()
    with pytest.raises(Rejected) as refused:
        migrate(j, [row("E1", "A", "tok_1")])
    assert (refused.value.code, refused.value.details["state"]) == ("INVALID_STATE", "CANCELED")


# -- many rows, and interruptions

MANY = 2 * ROWS_MAX + 50


def many() -> list[dict[str, Any]]:
    return [row(f"E{n}", "AB"[n % 2], f"tok_{n}") for n in range(MANY)]


def test_many_rows_go_in_chunks_and_progress_is_told() -> None:
    j = two_accounts()
    done = migrate(j, many())
    assert verdicts(done.rows) == [("IMPORTED", None)] * MANY
    assert done.status == "COMPLETED"
    assert done.progress[-1] == MANY
    assert [row.external_id for _, row in sorted(done.rows.items())] == [f"E{n}" for n in range(MANY)]
    assert len(j.state(TokenMigrationJob, "J").chunks) == 3


def test_what_was_interrupted_is_taken_up_where_it_was() -> None:
    """Whoever hands it in dies after a chunk was written; it is handed in anew."""
    j = two_accounts()
    rows = many()

    async def interrupted() -> None:
        line = asyncio.create_task(Line(j).pump())
        migration = Migration(j.store, j, Job("t", "J", Actor("USER", "tester")), lambda: rows)
        report = await migration.prepare()
        await migration._decided(StartTokenMigration("J"), "start")
        first = next(chunks(lambda: rows, report, "J"))
        await migration._commit([migration._row(first, chunk_key("J", 1))])
        await migration._take_decided({migration._id(first): ROWS_MAX})
        line.cancel()

    asyncio.run(interrupted())
    assert len(decided_rows(j, "J")) == ROWS_MAX
    before = {event.stream for event in j.events()}
    done = migrate(j, rows)
    assert verdicts(done.rows) == [("IMPORTED", None)] * MANY
    assert done.status == "COMPLETED"
    imported = [event for event in j.events() if event.topic == "payment_method.imported.v2"]
    assert len(imported) == MANY
    assert before < {event.stream for event in j.events()}


def chunk_of(rows: int, chunk_no: int = 1) -> bytes:
    taken = tuple(
        MigrationRow(n, "A", TokenizedMethod(f"E{n}", "gw", f"tok_{n}", "card")) for n in range(1, rows + 1)
    )
    _, body = encode(
        ImportRows("J", chunk_no, taken),
        tenant="t",
        account_id=home_of("J"),
        actor=Actor("USER", "tester"),
        idempotency_key=chunk_key("J", chunk_no),
    )
    return body


def running(rows: int) -> Journey:
    j = two_accounts()
    for command in (
        CreateTokenMigration("J", rows),
        ValidateTokenMigration("J"),
        ReportTokenMigration("J", rows, {}),
        StartTokenMigration("J"),
    ):
        j.when(command).then_accepted()
    return j


CHUNK = "payments.token_migration.import_rows.v1"


def test_a_chunk_that_comes_twice_is_decided_once_and_answered_twice() -> None:
    j = running(3)
    line, home = Line(j), "t/~token_migration/J"

    async def twice() -> None:
        from services.intake import Partition

        await line.intake.assigned([Partition("commands", 0)], line)
        await line.publish([(CHUNK, home, chunk_of(3)), (CHUNK, home, chunk_of(3))])
        await line.publish([(CHUNK, home, chunk_of(3))])

    asyncio.run(twice())
    assert j.state(TokenMigrationJob, "J").status == "COMPLETED"
    assert len([e for e in j.events() if e.topic == "payment_method.imported.v2"]) == 3
    assert len(line.answered) == 2
    assert all(orjson.loads(message.value)["replayed"] for message in line.answered)


def a_row(row_no: int, account: str, token: str, external_id: str = "") -> MigrationRow:
    return MigrationRow(row_no, account, TokenizedMethod(external_id or f"E{row_no}", "gw", token, "card"))


def test_a_row_is_decided_once_in_whatever_chunk_it_comes() -> None:
    j = running(4)
    j.when(ImportRows("J", 1, (a_row(1, "A", "tok_1"), a_row(2, "nobody", "tok_2")))).then_accepted()
    again = (a_row(1, "A", "tok_1"), a_row(2, "nobody", "tok_2"), a_row(3, "A", "tok_3", "E1"))
    j.when(ImportRows("J", 2, again)).then_accepted()
    assert verdicts(decided_rows(j, "J")) == [
        ("IMPORTED", None),
        ("REJECTED", "ACCOUNT_NOT_FOUND"),
        ("REJECTED", "IDEMPOTENCY_KEY_REUSED"),
    ]
    j.when(ImportRows("J", 3, (), (Refused(4, "E4", "UNKNOWN_FIELD", "x"),))).then_accepted()
    assert j.state(TokenMigrationJob, "J").status == "COMPLETED_WITH_ERRORS"
    assert len([e for e in j.events() if e.topic == "payment_method.imported.v2"]) == 1
    j.when(ImportRows("J", 3, ())).then_nothing()


def test_two_rows_of_one_number_are_no_chunk() -> None:
    j = running(2)
    j.when(ImportRows("J", 1, (a_row(1, "A", "tok_1"), a_row(1, "A", "tok_2", "E2"))))
    j.then_rejected("MALFORMED_REQUEST")


def test_a_chunks_facts_are_at_home_with_their_accounts() -> None:
    j = running(2)
    j.when(ImportRows("J", 1, (a_row(1, "A", "tok_1"), a_row(2, "B", "tok_2")))).then_accepted()
    homes = [(event.topic, event.home) for event in j.events()[-4:]]
    assert homes == [
        ("payment_method.imported.v2", "t/A"),
        ("payment_method.imported.v2", "t/B"),
        ("token_migration.rows_decided.v1", "t/~token_migration/J"),
        ("token_migration.completed.v1", "t/~token_migration/J"),
    ]
    for decided in decided_rows(j, "J").values():
        account = decided.account_id or ""
        sale = ProcessPayment(money("1.00"), f"P{account}", decided.method_id)
        j.when(sale, account=account).then_accepted()


def test_a_chunk_holds_no_more_than_it_may() -> None:
    body = orjson.loads(chunk_of(ROWS_MAX))
    body["data"]["rows"].append({**body["data"]["rows"][0], "row_no": ROWS_MAX + 1})
    command = decode(CHUNK, orjson.dumps(body))
    assert isinstance(command.data, Rejected)
    assert command.data.code == "MALFORMED_REQUEST"


# -- files


def test_csv_and_json_lines_hold_the_same_rows(tmp_path: Path) -> None:
    rows = [
        row("E1", "A", "tok_1", billing_city="Oslo", expiry="01/30"),
        row("E2", "A", "tok_2", expiry="2030-02"),
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys() | rows[1].keys())
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "a.csv").write_text("\ufeff" + text.getvalue())
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(orjson.dumps(one) for one in rows) + b"\n\n")
    read = []
    for name in ("a.csv", "a.jsonl"):
        source = rows_of(tmp_path / name)
        report = validated(source)
        assert (report.rows, report.valid) == (2, 2), report.examples
        read.append(list(chunks(source, report, "J")))
    assert read[0] == read[1]
    first, second = (one.method for one in read[0][0].rows)
    assert first.billing_address is not None
    assert (first.billing_address.city, first.expiry_month, first.expiry_year) == ("Oslo", 1, 2030)
    assert (second.expiry_month, second.expiry_year) == (2, 2030)


def test_lines_that_are_no_rows_are_told() -> None:
    lines = ["{", "[]", '{"external_id": "E1"}']
    report = validated(lambda: json_rows(lines))
    assert (report.rows, report.valid, dict(report.rejected)) == (3, 0, {"MALFORMED_REQUEST": 3})
    report = validated(lambda: csv_rows(["external_id,token", "E1,t,more"]))
    assert dict(report.rejected) == {"MALFORMED_REQUEST": 1}
