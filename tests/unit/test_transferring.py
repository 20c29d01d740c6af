"""Money between accounts: reserved on one, received or refused on the other, confirmed, and back again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from events.operations import ExceptionRaised
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferRecallRefused,
    PaymentTransferReleased,
    PaymentTransferReserved,
)
from projections.folding import Folder
from projections.ledger import ledger_balances
from projections.models import TABLES
from projections.payments import payments as payment_rows
from services.accounts.account import CloseAccount, RegisterAccount
from services.applications.applying import ApplyPayment, UnapplyPayment
from services.disputes.disputing import RecordDisputeOpened, RecordDisputeOutcome
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.payments.taking_back import CancelPayment
from services.refunds.refunding import IssueRefund, RecordExternalRefund
from services.transfers.receiving import ReceiveTransfer
from services.transfers.transferring import RecallTransfer, RecordTransferOutcome, TransferUnappliedBalance
from tests.journey import Journey, line, money

RETURNED = RecordPaymentReturn("P", "R01", "GATEWAY", datetime(2026, 3, 4, tzinfo=UTC), "CardLimit")


def two_accounts(**settings: object) -> Journey:
    """Account A holds a payment of 100.00, account B owes an invoice of 60.00."""
    j = Journey(**{"allow_cross_account": True, **settings})  # type: ignore[arg-type]
    j.when(RegisterAccount("Bob"), account="B").then_accepted()
    j.pay("P", 100)
    j.account = "B"
    j.post("inv-b", line("L1", 50, 10))
    j.account = "A"
    return j


def invoice_of_b(j: Journey) -> str:
    return j.last_id(Invoice)


def apply_across(j: Journey, amount: int = 60, **more: object) -> str:
    """A pays the invoice of B; the transfer's id."""
    command = ApplyPayment("P", invoice_of_b(j), money(amount), associated_account_id="B", **more)  # type: ignore[arg-type]
    j.when(command).then_types(PaymentTransferReserved)
    [(_, _, reserved)] = j.facts()
    return reserved.transfer_id


def buckets(j: Journey, payment_id: str) -> dict[str, int]:
    return {name: amount for name, amount in j.state(Payment, payment_id).buckets.items() if amount}


def test_a_payment_settles_an_invoice_of_another_account() -> None:
    j = two_accounts()
    transfer = apply_across(j)
    assert buckets(j, "P") == {"transfer_reserved": 6000, "unapplied": 4000}
    j.run_processes()
    assert j.balances(invoice_of_b(j))["status"] == "SETTLED"
    assert buckets(j, "P") == {"transferred": 6000, "unapplied": 4000}
    assert buckets(j, transfer) == {"applied": 6000}
    received = j.state(Payment, transfer)
    assert (received.account_id, received.from_account_id, received.from_payment_id) == ("B", "A", "P")


def test_it_is_listed_under_both_accounts_and_the_books_of_both_are_balanced() -> None:
    j = two_accounts()
    transfer = apply_across(j)
    j.run_processes()
    rows = Folder(TABLES).from_zero(j.events())
    mine, theirs = rows[payment_rows]["t", "P"], rows[payment_rows]["t", transfer]
    assert (mine["account_id"], mine["transferred"], mine["unapplied"], mine["refundable"]) == (
        "A",
        6000,
        4000,
        4000,
    )
    [listed] = mine["transfers"]
    assert (listed["to_account_id"], listed["invoice_id"], listed["status"]) == ("B", invoice_of_b(j), "SENT")
    assert (theirs["account_id"], theirs["from_payment_id"], theirs["applied"]) == ("B", "P", 6000)
    between = {
        key[1]: row["debit"] - row["credit"]
        for key, row in rows[ledger_balances].items()
        if key[3] == "Between accounts"
    }
    assert between == {"A": -6000, "B": 6000}


def test_another_accounts_invoice_needs_the_setting() -> None:
    j = two_accounts(allow_cross_account=False)
    command = ApplyPayment("P", invoice_of_b(j), money(60), associated_account_id="B")
    j.when(command).then_rejected("ACCOUNT_MISMATCH")


def test_without_naming_the_account_it_stays_a_mismatch() -> None:
    j = two_accounts()
    j.when(ApplyPayment("P", invoice_of_b(j), money(60))).then_rejected("ACCOUNT_MISMATCH")


def test_what_the_other_account_refuses_is_free_again() -> None:
    j = two_accounts()
    transfer = apply_across(j, 80)
    j.run_processes()
    assert buckets(j, "P") == {"unapplied": 10000}
    assert j.state(Payment, transfer).status == "REFUSED"
    [released] = [fact for fact in j.all_facts() if isinstance(fact, PaymentTransferReleased)]
    assert released.code == "INVOICE_BALANCE_EXCEEDED"


def test_reserved_money_can_be_used_for_nothing_else() -> None:
    j = two_accounts()
    apply_across(j)
    j.when(IssueRefund("P", money(60), "asked")).then_rejected("REFUND_EXCEEDS_REFUNDABLE", available=4000)
    j.when(TransferUnappliedBalance("P", "B", money(41))).then_rejected(
        "PAYMENT_BALANCE_EXCEEDED", available=4000
    )
    j.when(CancelPayment("P")).then_rejected("PAYMENT_HAS_SETTLEMENTS")
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE")


def test_the_news_of_a_transfer_twice_are_the_news_once() -> None:
    j = two_accounts()
    transfer = apply_across(j)
    j.run_processes()
    received = ReceiveTransfer(transfer, "A", "P", money(60), invoice_of_b(j))
    j.when(received, account="B").then_nothing()
    j.when(RecordTransferOutcome("P", transfer, "RECEIVED", money(60))).then_nothing()
    j.when(RecordTransferOutcome("P", transfer, "REFUSED", money(60))).then_nothing()


def test_what_never_arrives_is_refused_at_last_and_free_again() -> None:
    j = two_accounts()
    command = TransferUnappliedBalance("P", "B")
    j.when(command).then_types(PaymentTransferReserved)
    [(_, _, reserved)] = j.facts()
    real, j.when = (
        j.when,
        lambda *args, **more: j if isinstance(args[0], ReceiveTransfer) else real(*args, **more),
    )  # type: ignore[method-assign]
    j.run_processes()
    j.at(timedelta(minutes=11)).run_due()  # type: ignore[attr-defined]
    j.run_processes()
    assert buckets(j, "P") == {"unapplied": 10000}
    real(ReceiveTransfer(reserved.transfer_id, "A", "P", money(100)), account="B").then_nothing()


def test_the_unapplied_balance_goes_to_another_account_and_home_again() -> None:
    j = two_accounts()
    j.when(TransferUnappliedBalance("P", "B", money(70))).then_accepted()
    j.run_processes()
    transfer = j.last_id(Payment)
    assert buckets(j, transfer) == {"unapplied": 7000}
    j.when(TransferUnappliedBalance(transfer, "A", money(30)), account="B")
    j.then_types(PaymentTransferGivenBack)
    j.run_processes()
    assert buckets(j, "P") == {"transferred": 4000, "unapplied": 6000}
    assert buckets(j, transfer) == {"transferred": 3000, "unapplied": 4000}
    j.when(IssueRefund("P", money(60), "asked")).then_accepted()


def test_guards_of_a_transfer() -> None:
    j = two_accounts()
    j.when(TransferUnappliedBalance("P", "A")).then_rejected("ACCOUNT_MISMATCH")
    j.when(TransferUnappliedBalance("none", "B")).then_rejected("PAYMENT_NOT_FOUND")
    j.when(TransferUnappliedBalance("P", "B", money(0))).then_rejected("AMOUNT_NOT_POSITIVE")
    j.when(TransferUnappliedBalance("P", "B", money(1, "EUR"))).then_rejected("CURRENCY_MISMATCH")
    j.request("Q", 10)
    j.when(TransferUnappliedBalance("Q", "B")).then_rejected("PAYMENT_NOT_PROCESSED")
    j.when(RecallTransfer("P", "none")).then_rejected("TRANSFER_NOT_FOUND")
    j.when(TransferUnappliedBalance("P", "nobody")).then_accepted()
    j.run_processes()
    [released] = [fact for fact in j.all_facts() if isinstance(fact, PaymentTransferReleased)]
    assert released.code == "ACCOUNT_NOT_FOUND"
    j.when(RecordDisputeOpened("D", "P", money(10), "fraud", "GATEWAY")).then_accepted()
    j.when(TransferUnappliedBalance("P", "B")).then_rejected("PAYMENT_DISPUTED")


def test_a_transferred_payment_knows_no_bank_and_no_gateway() -> None:
    j = two_accounts()
    j.when(TransferUnappliedBalance("P", "B")).then_accepted()
    j.run_processes()
    transfer = j.last_id(Payment)
    returned = RecordPaymentReturn(transfer, "R01", "OPERATOR", j.time, "CardLimit")
    j.when(returned, account="B").then_rejected("PAYMENT_NOT_GATEWAY_LINKED")
    j.when(IssueRefund(transfer, money(1), "asked"), account="B").then_rejected("PAYMENT_NOT_GATEWAY_LINKED")
    j.when(CancelPayment(transfer), account="B").then_rejected("PAYMENT_NOT_VOIDABLE")


def test_unapplying_asks_the_other_account_for_its_money_back() -> None:
    j = two_accounts()
    transfer = apply_across(j)
    j.run_processes()
    j.when(UnapplyPayment("P", transfer, money(10))).then_rejected("PARTIAL_UNAPPLY_UNSUPPORTED")
    j.when(UnapplyPayment("P", transfer, comments="wrong account")).then_accepted()
    j.when(UnapplyPayment("P", transfer)).then_rejected("INVALID_STATE")
    j.run_processes()
    assert buckets(j, "P") == {"unapplied": 10000}
    assert j.balances(invoice_of_b(j))["status"] == "NOT_SETTLED"


def test_what_is_spent_over_there_is_not_given_back() -> None:
    j = two_accounts()
    j.when(TransferUnappliedBalance("P", "B")).then_accepted()
    j.run_processes()
    transfer = j.last_id(Payment)
    paid = RecordExternalRefund(money(5), "CASH", "till", j.time.date(), "asked", transfer)
    j.when(paid, account="B").then_accepted()
    j.when(RecallTransfer("P", transfer)).then_accepted()
    j.run_processes()
    [refused] = [fact for fact in j.all_facts() if isinstance(fact, PaymentTransferRecallRefused)]
    assert refused.code == "PAYMENT_BALANCE_EXCEEDED"
    assert buckets(j, "P") == {"transferred": 10000}


def test_what_the_bank_takes_back_is_fetched_from_the_other_account() -> None:
    j = two_accounts()
    transfer = apply_across(j)
    j.run_processes()
    j.when(RETURNED).then_accepted()
    assert j.state(Payment, "P").overdrawn == 6000
    j.run_processes()
    assert (buckets(j, "P"), j.state(Payment, "P").overdrawn) == ({"returned": 10000}, 0)
    assert buckets(j, transfer) == {"transferred": 6000}
    assert j.balances(invoice_of_b(j))["status"] == "NOT_SETTLED"


def test_what_the_bank_takes_back_while_the_money_is_on_its_way() -> None:
    j = two_accounts()
    apply_across(j)
    j.when(RETURNED).then_accepted()
    j.run_processes()
    assert (buckets(j, "P"), j.state(Payment, "P").overdrawn) == ({"returned": 10000}, 0)


def test_what_is_gone_there_too_is_owed_and_a_person_hears_of_it() -> None:
    j = two_accounts()
    j.when(TransferUnappliedBalance("P", "B")).then_accepted()
    j.run_processes()
    transfer = j.last_id(Payment)
    paid = RecordExternalRefund(money(5), "CASH", "till", j.time.date(), "asked", transfer)
    j.when(paid, account="B").then_accepted()
    j.when(RETURNED).then_accepted()
    j.run_processes()
    assert j.state(Payment, "P").overdrawn == 500
    assert buckets(j, "P") == {"returned": 9500, "transferred": 500}
    raised = [fact for fact in j.all_facts() if isinstance(fact, ExceptionRaised)]
    assert [(case.type, case.amount) for case in raised] == [("RETURN_AFTER_REFUND", money(5))]


def test_a_lost_dispute_fetches_what_it_could_not_hold() -> None:
    j = two_accounts()
    apply_across(j)
    j.run_processes()
    j.when(RecordDisputeOpened("D", "P", money(100), "fraud", "GATEWAY")).then_accepted()
    j.when(RecordDisputeOutcome("D", "LOST", "GATEWAY")).then_accepted()
    j.run_processes()
    assert (buckets(j, "P"), j.state(Payment, "P").overdrawn) == ({"disputed_lost": 10000}, 0)


def test_news_that_overtake_each_other() -> None:
    """B sends it back before A has heard that B received it."""
    j = two_accounts()
    j.when(TransferUnappliedBalance("P", "B")).then_types(PaymentTransferReserved)
    [(_, _, reserved)] = j.facts()
    outcome = RecordTransferOutcome("P", reserved.transfer_id, "SENT_BACK", money(100))
    j.when(outcome).then_accepted()
    assert next(type(fact) for _, _, fact in j.facts()) is PaymentBalanceTransferred
    assert buckets(j, "P") == {"unapplied": 10000}
    j.when(RecordTransferOutcome("P", reserved.transfer_id, "RECEIVED", money(100))).then_nothing()
