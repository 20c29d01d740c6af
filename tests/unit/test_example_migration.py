"""Worked example: a migration of five tokenized methods, and the same again."""

from __future__ import annotations

from typing import Any

from events.log import opened
from events.mapper import decode
from events.payment_method import PaymentMethodDetailsUpdated, PaymentMethodImported
from events.token_migration import TokenMigrationCompleted
from services.accounts.account import Account, RegisterAccount
from services.accounts.payment_method import SavedMethod
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from tests.journey import SUCCESS, Journey, money
from tests.migrating import migrate


def row(external_id: str, account: str, token: str, **more: Any) -> dict[str, Any]:
    return {
        "external_id": external_id,
        "account_ref": account,
        "merchant_account": "m1",
        "gateway": "gw",
        "method_type": "card",
        "token": token,
        "gateway_reference": "cus_1",
        "holder": "Ada L",
        "expiry": "12/2029",
        "last4": "4242",
        "network": "Visa",
        "consent_at": "2025-11-01T10:00:00Z",
        **more,
    }


ROWS = [
    row("E1", "A", "tok_one"),
    row("E2", "B", "tok_two", is_default="true"),
    row("E3", "A", "tok_one", nickname="blue"),
    row("E4", "A", "tok_four", holder="4111111111111111"),
    row("E5", "nobody", "tok_five"),
]


def test_five_rows_two_imported_one_updated_two_rejected() -> None:
    j = Journey().when(RegisterAccount("Bob"), account="B")
    before = len(j.events())
    done = migrate(j, ROWS)
    verdicts = [(no, done.rows[no].outcome, done.rows[no].code) for no in sorted(done.rows)]
    assert verdicts == [
        (1, "IMPORTED", None),
        (2, "IMPORTED", None),
        (3, "UPDATED", None),
        (4, "REJECTED", "CARD_DATA_FORBIDDEN"),
        (5, "REJECTED", "ACCOUNT_NOT_FOUND"),
    ]
    assert done.status == "COMPLETED_WITH_ERRORS"
    assert (done.report.rows, done.report.valid, dict(done.report.rejected)) == (
        5,
        4,
        {"CARD_DATA_FORBIDDEN": 1},
    )
    facts = [event.topic for event in j.events()[before:]]
    assert facts == [
        "token_migration.created.v2",
        "token_migration.validating.v1",
        "token_migration.validated.v1",
        "token_migration.started.v1",
        "payment_method.imported.v2",
        "payment_method.imported.v2",
        "account.default_payment_method_set.v1",
        "payment_method.details_updated.v1",
        "token_migration.rows_decided.v1",
        "token_migration.completed.v1",
    ]
    assert decoded(j, TokenMigrationCompleted) == [TokenMigrationCompleted(2, 1, 0, 2, with_errors=True)]
    one, two = done.rows[1].method_id, done.rows[2].method_id
    assert done.rows[3].method_id == one
    assert one is not None
    assert j.state(Account, "B").default_method_id == two
    (updated,) = decoded(j, PaymentMethodDetailsUpdated)
    assert updated == PaymentMethodDetailsUpdated("REIMPORT", nickname="blue")
    imported = decoded(j, PaymentMethodImported)
    assert [(fact.external_id, fact.job_id, fact.row_no) for fact in imported] == [
        ("E1", "J", 1),
        ("E2", "J", 2),
    ]
    assert "4111111111111111" not in str(list(j.events()))

    # at once chargeable, by sale and in the place of the account's default
    j.when(ProcessPayment(money("10.00"), "P1", one)).then_accepted()
    j.settle("P1", SUCCESS)
    assert j.payment("P1")["status"] == "PROCESSED"
    j.when(ProcessPayment(money("10.00"), "P2"), account="B").then_accepted()
    method = j.state(Payment, "P2").method
    assert method is not None
    assert (method.method_id, method.token_ref) == (two, "tok_two")
    assert j.state(SavedMethod, one).nickname == "blue"


def test_the_same_again_is_three_replays_and_the_same_two_rejections() -> None:
    j = Journey().when(RegisterAccount("Bob"), account="B")
    first = migrate(j, ROWS)
    before = j.events()
    again = migrate(j, ROWS)
    assert again.replayed
    assert j.events() == before
    assert (again.rows, again.status) == (first.rows, first.status)


def decoded(j: Journey, kind: type[Any]) -> list[Any]:
    facts = [decode(event.topic, event.data) for event in j._run(opened(j.store, j.events()))]
    return [fact for fact in facts if type(fact) is kind]
