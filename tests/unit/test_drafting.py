"""Payments from outside as drafts: edited, deleted, posted; no money before that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from events.payment import (
    DraftPaymentDeleted,
    DraftPaymentEdited,
    ExternalPaymentDrafted,
    ExternalPaymentRecorded,
)
from services.accounts.account import CloseAccount
from services.payments.drafting import DeleteDraftPayment, EditDraftPayment, PostDraftPayment
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from tests.journey import Journey, line, money
from tests.spec import NOW

CHEQUE = RecordExternalPayment(money("50.00"), "CHECK", "cheque 1", NOW.date(), "P", draft=True)
EDIT = EditDraftPayment("P", money("40.00"), "WIRE", "wire 1", NOW.date())


def drafted() -> Journey:
    j = Journey()
    j.when(CHEQUE).then_accepted()
    return j


def test_a_draft_is_written_down_and_is_no_money() -> None:
    said = ExternalPaymentDrafted(
        "P", "PAY-000001", "A", money("50.00"), "CHECK", "cheque 1", NOW.date(), NOW
    )
    j = drafted().then((Payment, "P", said))
    assert j.payment("P")["unapplied"] == "0.00"
    invoice = j.post("INV", line("1", "50.00"))
    j.apply("P", invoice, "10.00").then_rejected("PAYMENT_NOT_PROCESSED", state="DRAFT")
    j.when(CancelPayment("P")).then_rejected("INVALID_STATE", state="DRAFT")
    j.when(CHEQUE).then_rejected("PAYMENT_EXISTS")


def test_a_draft_is_edited() -> None:
    j = drafted().when(EDIT)
    j.then((Payment, "P", DraftPaymentEdited(money("40.00"), "WIRE", "wire 1", NOW.date())))
    j.when(EDIT).then_nothing()
    j.when(replace(EDIT, amount=money("0.00"))).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(replace(EDIT, reference=" ")).then_rejected("MALFORMED_REQUEST")


def test_what_is_posted_is_what_the_draft_says_last() -> None:
    j = drafted().when(EDIT).when(PostDraftPayment("P"))
    recorded = ExternalPaymentRecorded(
        "P", "PAY-000001", "A", money("40.00"), "WIRE", "wire 1", NOW.date(), NOW
    )
    j.then((Payment, "P", recorded))
    assert j.payment("P")["unapplied"] == "40.00"


def test_as_it_is_posted_it_settles_what_is_named() -> None:
    j = drafted()
    invoice = j.post("INV", line("1", "30.00"))
    too_much = PostDraftPayment("P", (ApplyTo(invoice, money("30.01")),))
    j.when(too_much).then_rejected("INVOICE_BALANCE_EXCEEDED", available=30_00)
    j.when(PostDraftPayment("P", (ApplyTo(invoice, money("50.01")),))).then_rejected(
        "PAYMENT_BALANCE_EXCEEDED", available=50_00
    )
    j.when(PostDraftPayment("P", (ApplyTo(invoice),))).then_accepted()
    assert (j.balances(invoice)["status"], j.payment("P")["unapplied"]) == ("SETTLED", "20.00")
    j.when(replace(CHEQUE, payment_id="Q", apply_to=(ApplyTo(invoice),))).then_rejected("MALFORMED_REQUEST")


def test_a_draft_is_deleted_once() -> None:
    j = drafted().when(DeleteDraftPayment("P", "twice")).then((Payment, "P", DraftPaymentDeleted("twice")))
    j.when(DeleteDraftPayment("P")).then_nothing()
    j.when(PostDraftPayment("P")).then_rejected("INVALID_STATE", state="DELETED")
    j.when(CloseAccount()).then_accepted()


@pytest.mark.parametrize("command", [EDIT, DeleteDraftPayment("P"), PostDraftPayment("P")])
def test_only_a_draft_of_the_account_is_changed(command: Any) -> None:
    j = drafted()
    j.when(replace(command, payment_id="none")).then_rejected("PAYMENT_NOT_FOUND")
    j.when(command, account="B")
    assert j.outcome["code"] in ("ACCOUNT_MISMATCH", "ACCOUNT_NOT_FOUND")
    j.when(PostDraftPayment("P")).then_accepted()
    j.when(command).then_rejected("INVALID_STATE", state="PROCESSED", allowed=["DRAFT"])
