"""Checks: a gateway proves a token with a charge of nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from events.payment_method import PaymentMethodChecked, PaymentMethodErrored
from events.shapes import Outcome
from projections.folding import Folder
from projections.methods import payment_methods
from projections.migrations import token_migrations
from projections.models import TABLES
from services.accounts.checking import CheckPaymentMethod
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.accounts.tokenizing import RecordTokenizationOutcome
from services.calls.calling import GatewayCall
from services.payments.paying import ProcessPayment
from tests.journey import EVERYTHING, Journey, money
from tests.migrating import migrate

CAN = replace(EVERYTHING, operations=(*EVERYTHING.operations, "TOKENIZE"))
GOOD = Outcome("Success", gateway_ref="seti_1")
DEAD = Outcome("Decline", category="PaymentProcessing", raw_code="account_closed", hard=True)
POOR = Outcome("Decline", category="CardLimit", raw_code="insufficient_funds")
CASES = [(GOOD, "PASSED", "ACTIVE"), (DEAD, "FAILED", "ERRORED"), (POOR, "FAILED", "ACTIVE")]


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    row = {"account_ref": "A", "gateway": "gw", "method_type": "card", **more}
    return [{**row, "external_id": f"E{n}", "token": f"tok_{n}"} for n in range(count)]


def checks(j: Journey) -> list[str]:
    """The keys of the checks that are planned, in the order in which they were asked for."""
    streams = [event.stream for event in j.events() if event.topic.startswith("gateway_call.planned.")]
    return [stream.partition("gwcall-")[2] for stream in streams if ".check:" in stream]


def told(j: Journey, table: Any, *key: object) -> dict[str, Any]:
    read: dict[Any, Any] = {}
    Folder(TABLES).from_zero(j.events(), read)
    return read[table][j.tenant, *key]


def answer(j: Journey, key: str, outcome: Outcome) -> Journey:
    return j.when(RecordTokenizationOutcome(key, "GATEWAY", outcome)).then_accepted()  # type: ignore[return-value]


@pytest.mark.parametrize(("outcome", "result", "status"), CASES)
def test_one_method_is_checked_and_what_is_dead_is_used_no_more(
    outcome: Outcome, result: str, status: str
) -> None:
    j = Journey(capabilities=CAN)
    j.when(CheckPaymentMethod(j.card_a)).then_accepted()
    planned = j.state(GatewayCall, j.last_id(GatewayCall)).planned
    assert (planned.operation, planned.amount, planned.method.token_ref) == ("TOKENIZE", money(0), "tok_a")
    assert told(j, payment_methods, j.card_a)["check_result"] == "PENDING"
    j.when(CheckPaymentMethod(j.card_a)).then_rejected("OPERATION_IN_FLIGHT")
    j.when(ProcessPayment(money(1), method_id=j.card_a)).then_accepted()
    answer(j, planned.idempotency_key, outcome)
    kinds = [type(fact) for _, id, fact in j.facts() if id == j.card_a]
    assert kinds == [PaymentMethodChecked, *([PaymentMethodErrored] if status == "ERRORED" else [])]
    method = j.state(SavedMethod, j.card_a)
    assert (method.status, method.token_ref, method.checking) == (status, "tok_a", None)
    row = told(j, payment_methods, j.card_a)
    assert (row["check_result"], row["check_code"]) == (result, outcome.raw_code)


def test_what_cannot_be_checked_is_refused() -> None:
    j = Journey()
    j.when(CheckPaymentMethod(j.card_a)).then_rejected("GATEWAY_CAPABILITY_MISSING")
    j = Journey(capabilities=CAN)
    j.when(CheckPaymentMethod("nobodys")).then_rejected("METHOD_NOT_FOUND")
    j.when(SavePaymentMethod("gw", "ba_1", "us_bank_account", sec_code="WEB", mandate_reference="m"))
    j.when(CheckPaymentMethod(j.last_id(SavedMethod))).then_rejected("METHOD_TYPE_UNSUPPORTED")


def test_a_check_that_ends_unclear_may_be_asked_for_again() -> None:
    j = Journey(capabilities=CAN)
    j.when(CheckPaymentMethod(j.card_a)).then_accepted()
    answer(j, j.last_id(GatewayCall), Outcome("ActionRequired", gateway_ref="seti_1"))
    assert told(j, payment_methods, j.card_a)["check_result"] == "UNCLEAR"
    j.when(CheckPaymentMethod(j.card_a)).then_accepted()
    assert [key.rpartition(":")[2] for key in checks(j)] == ["1", "2"]


def test_a_migration_has_each_of_its_cards_checked_and_counts_what_came_of_it() -> None:
    j = Journey(capabilities=CAN)
    done = migrate(j, rows(4), verify=True)
    assert [row.outcome for row in done.rows.values()] == ["IMPORTED"] * 4
    keys = checks(j)
    assert len(keys) == 4
    for key, outcome in zip(keys, (GOOD, GOOD, DEAD), strict=False):
        answer(j, key, outcome)
    job = told(j, token_migrations, "J")
    assert (job["verify"], job["checks"], job["checks_passed"], job["checks_failed"]) == (True, 4, 2, 1)
    methods = [done.rows[no].method_id or "" for no in sorted(done.rows)]
    assert [j.state(SavedMethod, id).status for id in methods] == ["ACTIVE", "ACTIVE", "ERRORED", "ACTIVE"]


def test_a_migration_again_asks_for_nothing_again() -> None:
    j = Journey(capabilities=CAN)
    migrate(j, rows(2), verify=True)
    before = checks(j)
    assert migrate(j, rows(2), verify=True).replayed
    assert checks(j) == before
    again = migrate(j, rows(2), "K", verify=True)
    assert [row.outcome for row in again.rows.values()] == ["UPDATED"] * 2
    assert checks(j) == before, "those of the first are under way"


def test_what_is_not_asked_for_or_cannot_be_done_is_not() -> None:
    j = Journey(capabilities=CAN)
    migrate(j, rows(2))
    migrate(j, rows(2, account_ref="A"), "dry", verify=True, dry_run=True)
    assert checks(j) == []
    j = Journey()
    done = migrate(j, rows(2), verify=True)
    assert [row.outcome for row in done.rows.values()] == ["IMPORTED"] * 2
    assert checks(j) == []
    assert told(j, token_migrations, "J")["checks"] == 0
