"""Custom fields: given with an object, set later, told, and asked for by runs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from events.account import AccountCustomFieldsSet
from events.criteria import Criteria, Criterion
from events.invoice import InvoiceCustomFieldsSet
from projections.accounts import accounts
from projections.folding import Folder
from projections.invoices import invoices
from projections.models import TABLES
from projections.rows import MemoryRows
from projections.schedules import payment_schedules, schedule_items
from services.accounts.account import Account, RegisterAccount, SetAccountCustomFields
from services.commands import Actor, decode, encode
from services.custom_fields import FieldChanges, GivenFields
from services.invoices.invoice import Invoice
from services.invoices.preparing import DraftInvoice, PostDraftInvoice, ReviseDraftInvoice
from services.invoices.standing import SetInvoiceCustomFields
from services.schedules.items import AddScheduleItem, NewItem, SetItemCustomFields
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule, SetScheduleCustomFields
from tests.journey import Journey, line, money
from tests.runs import DAY, Collection


def collection() -> Collection:
    """One account; an item for each of its invoices."""
    j = Collection()
    j.owes("A", "3.00", "2.00", "1.00")
    return j


def taken(j: Collection, run_id: str, *criteria: Criterion, match_type: str = "MATCH_ALL") -> int:
    j.start(run_id, criteria=Criteria(match_type, criteria))
    return j.counters(run_id).get("filtered", 0)


def _fields(j: Collection, *path: str) -> None:
    """Of the account, the last invoice, its schedule and its item: as far as named, each its own name."""
    schedule = j.schedules["A"]
    item_id = next(iter(j.state_of(schedule).items))
    said: dict[str, Any] = {
        "account": SetAccountCustomFields({"from": "account"}),
        "invoice": SetInvoiceCustomFields(j.invoices["A"], {"from": "invoice"}),
        "schedule": SetScheduleCustomFields(schedule, {"from": "schedule"}),
        "item": SetItemCustomFields(schedule, item_id, {"from": "item"}),
    }
    for name in path:
        j.when(said[name]).then_accepted()


@pytest.mark.parametrize(
    "path",
    [
        ("account",),
        ("account", "invoice"),
        ("account", "invoice", "schedule"),
        ("item", "schedule", "account"),
    ],
)
def test_an_item_has_its_own_then_its_schedule_s_its_invoice_s_its_account_s(path: tuple[str, ...]) -> None:
    j = collection()
    _fields(j, *path)
    nearest = "item" if "item" in path else path[-1]
    wanted = Criterion("CUSTOM_FIELD.from", "EQUALS", (nearest,))
    assert taken(j, "R", wanted) == (3 if nearest == "account" else 1)
    assert taken(j, "NOT", wanted, match_type="MATCH_NONE") == (0 if nearest == "account" else 2)


def test_they_are_joined_with_other_criteria() -> None:
    j = collection()
    j.when(SetAccountCustomFields({"tier": 2, "strategic": True})).then_accepted()
    tier = Criterion("CUSTOM_FIELD.tier", "BETWEEN", ("1", "3"))
    assert taken(j, "R", tier, Criterion("AMOUNT", "AT_LEAST", ("200",))) == 2
    low = Criterion("CUSTOM_FIELD.tier", "AT_MOST", ("1",))
    assert taken(j, "ANY", low, Criterion("AMOUNT", "EQUALS", ("100",)), match_type="MATCH_ANY") == 1


def test_what_is_given_with_an_object_is_told_of_it() -> None:
    j = Journey()
    fields = {"region": "EMEA", "tier": 2, "share": 0.5, "strategic": False}
    j.when(RegisterAccount("Bob", custom_fields=fields), account="B").then_accepted()
    invoice = j.post("I", line("1", 100), custom_fields=fields)
    items = (NewItem(money(100), DAY, custom_fields=fields),)
    j.when(CreatePaymentSchedule("INVOICE", invoice, items, "S", custom_fields=fields)).then_accepted()
    [item] = j.state(PaymentSchedule, "S").items
    rows = MemoryRows()
    Folder(TABLES).from_zero(j.events(), rows.rows)
    for table, id in ((accounts, "B"), (invoices, invoice), (payment_schedules, "S"), (schedule_items, item)):
        told = rows.rows[table]["t", id]["custom_fields"]
        assert orjson.dumps(told) == orjson.dumps(fields)


def test_some_are_set_taken_away_and_left() -> None:
    j = Journey()
    j.when(SetAccountCustomFields({"a": 1, "b": "x"})).then_accepted()
    j.when(SetAccountCustomFields({"b": None, "c": True, "d": None}))
    j.then((Account, "A", AccountCustomFieldsSet({"a": 1, "c": True})))
    j.when(SetAccountCustomFields({"a": 1, "b": None})).then_nothing()
    j.when(SetAccountCustomFields({"c": 1}))  # which is not true
    j.then((Account, "A", AccountCustomFieldsSet({"a": 1, "c": 1})))


def test_there_are_twenty_at_most() -> None:
    j = Journey()
    j.when(SetAccountCustomFields({f"f{n}": n for n in range(20)})).then_accepted()
    j.when(SetAccountCustomFields({"one-more": 1})).then_rejected("MALFORMED_REQUEST")
    j.when(SetAccountCustomFields({"one-more": 1, "f0": None})).then_accepted()


def test_a_draft_keeps_them_and_is_posted_with_them() -> None:
    j = Journey()
    said = DraftInvoice("I", "USD", (line("1", 100),), custom_fields={"po": "7"})
    j.when(said).then_accepted()
    invoice = j.last_id(Invoice)
    j.when(ReviseDraftInvoice("I", "USD", (line("1", 100),), custom_fields={"po": "7"})).then_nothing()
    j.when(ReviseDraftInvoice("I", "USD", (line("1", 100),), custom_fields={"po": "8"}))
    j.then((Invoice, invoice, InvoiceCustomFieldsSet({"po": "8"})))
    j.when(PostDraftInvoice(invoice)).then_accepted()
    assert j.state(Invoice, invoice).custom_fields == {"po": "8"}
    j.when(SetInvoiceCustomFields(invoice, {"po": None})).then_accepted()
    assert j.state(Invoice, invoice).custom_fields == {}


def test_who_is_meant_must_be_there_and_one_s_own() -> None:
    j = collection()
    schedule = j.schedules["A"]
    j.when(SetInvoiceCustomFields("no-such", {"a": 1})).then_rejected("INVOICE_NOT_FOUND")
    j.when(SetScheduleCustomFields("no-such", {"a": 1})).then_rejected("SCHEDULE_NOT_FOUND")
    j.when(SetItemCustomFields(schedule, "no-such", {"a": 1})).then_rejected("ITEM_NOT_FOUND")
    j.when(SetAccountCustomFields({"a": 1}), account="nobody").then_rejected("ACCOUNT_NOT_FOUND")


@pytest.mark.parametrize(
    "bad",
    [
        {"1st": "x"},
        {"a b": "x"},
        {"": "x"},
        {"a" * 41: "x"},
        {"a": "x" * 201},
        {"a": 10**15 + 1},
        {"a": 1e300},
        {"a": float("inf")},
        {"amount_minor": 1},  # where a card number is not looked for
        {"a": ["x"]},
        {"a": {"b": 1}},
    ],
)
def test_they_are_few_short_and_plain(bad: dict[str, Any]) -> None:
    for type in (GivenFields, FieldChanges):
        with pytest.raises(ValidationError):
            TypeAdapter(type).validate_python(bad)


@pytest.mark.parametrize("fields", [{"note": "4111 1111 1111 1111"}, {"amex": 378282246310005}])
def test_a_card_number_in_them_is_refused(fields: dict[str, Any]) -> None:
    command = AddScheduleItem("S", NewItem(money(1), DAY, custom_fields=fields))
    told = encode(command, tenant="t", account_id="A", actor=Actor("USER", "u"), idempotency_key="1")
    refused: Any = decode(*told).data
    [name] = fields
    assert (refused.code, refused.field) == ("CARD_DATA_FORBIDDEN", f"data.item.custom_fields.{name}")
