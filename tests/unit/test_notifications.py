"""Notifications: taken once, in any order, late or early, and never twice in effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from events import ids
from events.notification import (
    NotificationDeferred,
    NotificationMatched,
    NotificationReceived,
    NotificationRejected,
    NotificationReplayed,
    NotificationUnmatched,
)
from events.operations import ExceptionRaised, ExceptionResolved
from events.shapes import Outcome
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.capturing import CapturePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.authorizations.reversing import CancelAuthorization
from services.calls.calling import GatewayCall
from services.calls.gateway import RegisterGateway
from services.disputes.dispute import Dispute
from services.notifications.notification import (
    MATCH_AGAIN_SECONDS,
    Inbox,
    MatchNotification,
    ReceiveNotification,
    RejectNotification,
    ReplayNotification,
    ResolveNotification,
)
from services.payments.payment import Payment
from services.refunds.refund import Refund
from services.refunds.refunding import IssueRefund
from services.tenants.exceptions import ExceptionCase, ResolveException
from tests.journey import EVERYTHING, SOFT, SUCCESS, Journey, line, money

PENDING = Outcome("Pending", gateway_ref="ch_1")


def news(event_id: str = "evt_1", type: str = "SALE", outcome: Outcome = SUCCESS, **named: Any) -> Any:
    """A gateway's news, by its reference unless it is named otherwise."""
    named = named or {"gateway_ref": outcome.gateway_ref}
    return ReceiveNotification("gw", event_id, type, outcome, "d" * 64, f"raw of {event_id}", **named)


def key_of(j: Journey, payment_id: str = "P1") -> str:
    return j.state(Payment, payment_id).operation_key


def told(j: Journey, *received: ReceiveNotification) -> Journey:
    """Receive, and let the processes pass it on."""
    for each in received:
        j.when(each).then_accepted()
        j.run_processes()
    return j


def kinds(j: Journey, *kinds: str) -> list[str]:
    return [event.topic for event in j.events() if ids.parts(event.stream)[1] in kinds]


def cases(j: Journey) -> list[str]:
    return [j.state(ExceptionCase, id).type for id in j.ids(ExceptionCase)]


def test_the_same_webhook_three_times_is_one_fact() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 100))
    j.request("P1", 100, invoice)
    told(j, news(operation_key=key_of(j)))
    assert j.payment("P1")["status"] == "PROCESSED"
    assert j.balances(invoice)["balance"] == "0.00"
    before = len(j.events())
    told(j, news(operation_key=key_of(j)), replace(news(operation_key=key_of(j)), raw_ref="other bytes"))
    assert len(j.events()) == before
    assert kinds(j, "inbox") == ["notification.received.v3", "notification.matched.v2"]


def test_a_failure_after_success_is_a_case_for_a_person_and_changes_nothing() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 100))
    j.pay("P1", 100, invoice)
    told(j, news("evt_2", outcome=SOFT, operation_key=key_of(j)))
    assert j.payment("P1")["status"] == "PROCESSED"
    assert j.balances(invoice)["balance"] == "0.00"
    assert cases(j) == ["CONTRADICTED_OUTCOME"]
    told(j, news("evt_3", outcome=SOFT, operation_key=key_of(j)))
    assert cases(j) == ["CONTRADICTED_OUTCOME"]


def test_what_overtakes_our_own_response_is_kept_and_matched_by_reference_later() -> None:
    j = Journey()
    j.request("P1", 100)
    j.when(news()).then_types(NotificationReceived, NotificationDeferred)
    j.run_processes()
    assert j.payment("P1")["status"] == "REQUESTED"
    j.settle("P1", PENDING)
    assert j.at(timedelta(seconds=5)).run_due() == [MatchNotification("gw", "evt_1")]
    j.then_types(NotificationMatched)
    j.run_processes()
    assert j.payment("P1")["status"] == "PROCESSED"
    j.settle("P1", SUCCESS).then_nothing()


def test_our_own_response_after_the_news_changes_nothing() -> None:
    j = Journey()
    j.request("P1", 100)
    told(j, news(operation_key=key_of(j)))
    j.settle("P1", SUCCESS).then_nothing()
    assert [type(f) for _, _, f in j.facts()] == []
    assert kinds(j, "payment").count("payment.processed.v2") == 1


def test_it_is_found_by_our_own_number_before_the_gateway_has_answered() -> None:
    j = Journey()
    j.request("P1", 100)
    number = j.state(Payment, "P1").number
    told(j, news(gateway_ref="unheard of", merchant_reference=number))
    matched = j.state(Inbox, j.last_id(Inbox)).matched
    assert matched == NotificationMatched("payment", "P1", "A", "SALE", key_of(j), "MERCHANT_REFERENCE")
    assert j.payment("P1")["status"] == "PROCESSED"


def test_nothing_it_could_be_about_in_72_hours_is_a_case_that_a_replay_closes() -> None:
    j = Journey()
    told(j, news())
    for seconds in MATCH_AGAIN_SECONDS:
        j.at(j.state(Inbox, j.last_id(Inbox)).received.received_at + timedelta(seconds=seconds))
        assert j.run_due() == [MatchNotification("gw", "evt_1")]
        j.run_processes()
    j.then_types(NotificationUnmatched, ExceptionRaised)
    assert cases(j) == ["NOTIFICATION_UNMATCHED"]
    assert j.later == []
    j.when(MatchNotification("gw", "evt_1")).then_nothing()
    j.when(ReplayNotification("gw", "evt_1")).then_types(NotificationReplayed)
    j.request("P1", 100)
    j.settle("P1", PENDING)
    j.when(ReplayNotification("gw", "evt_1"))
    j.then_types(NotificationReplayed, NotificationMatched, ExceptionResolved)
    j.run_processes()
    assert j.payment("P1")["status"] == "PROCESSED"


def test_a_person_closes_the_case_of_what_fits_nothing() -> None:
    j = Journey()
    j.when(RejectNotification("gw", "rejected:x", "UNREADABLE", "ValueError: x", "d", "r"))
    j.then_types(NotificationRejected, ExceptionRaised)
    case = j.last_id(ExceptionCase)
    j.when(ResolveException(case, "IGNORED", "a test of theirs")).then_rejected("ACCOUNT_MISMATCH")
    j.when(ResolveNotification("gw", "rejected:x", "IGNORED", "a test of theirs"))
    j.then((ExceptionCase, case, ExceptionResolved("IGNORED", "a test of theirs")))
    j.when(ResolveNotification("gw", "rejected:x", "IGNORED", "again")).then_nothing()
    j.when(ResolveNotification("gw", "evt_9", "IGNORED", "none")).then_rejected("EXCEPTION_NOT_FOUND")


def test_a_bad_signature_is_recorded_once_and_needs_nobody() -> None:
    j = Journey()
    refused = RejectNotification("gw", "rejected:x", "SIGNATURE", "not Stripe's", "d", "r")
    j.when(refused).then_types(NotificationRejected)
    j.when(refused).then_nothing()
    j.when(ReplayNotification("gw", "rejected:x")).then_rejected("NOTIFICATION_NOT_FOUND")


def test_replaying_what_has_taken_effect_doubles_nothing() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 100))
    j.request("P1", 100, invoice)
    told(j, news(operation_key=key_of(j)))
    before = kinds(j, "payment", "invoice", "gwcall", "exception")
    for n in (1, 2):
        j.when(ReplayNotification("gw", "evt_1")).then((Inbox, j.last_id(Inbox), NotificationReplayed(n)))
        assert len(j.run_processes()) == 1
    assert kinds(j, "payment", "invoice", "gwcall", "exception") == before


def test_another_amount_is_taken_for_a_fact_and_not_applied() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 100))
    j.request("P1", 100, invoice)
    told(j, news(outcome=replace(SUCCESS, processed_amount=money(90)), operation_key=key_of(j)))
    assert j.payment("P1")["unapplied"] == "90.00"
    assert j.balances(invoice)["balance"] == "100.00"
    assert cases(j) == ["AMOUNT_MISMATCH"]


def test_another_currency_is_shown_to_a_person_and_not_applied() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 100))
    j.request("P1", 100, invoice)
    told(j, news(outcome=replace(SUCCESS, processed_amount=money(100, "EUR")), operation_key=key_of(j)))
    assert j.balances(invoice)["balance"] == "100.00"
    assert cases(j) == ["AMOUNT_MISMATCH"]


def test_a_refund_of_another_amount_is_shown_to_a_person() -> None:
    j = Journey()
    j.pay("P1", 100)
    j.when(IssueRefund("P1", money(40), "CUSTOMER_REQUEST", "UNAPPLIED", refund_id="R1")).then_accepted()
    key = j.state(Refund, "R1").operation_key
    told(j, news(type="REFUND", outcome=replace(SUCCESS, processed_amount=money(30)), operation_key=key))
    assert j.state(Refund, "R1").status == "PROCESSED"
    assert cases(j) == ["AMOUNT_MISMATCH"]


@pytest.mark.parametrize("type", ["MANDATE", "PAYOUT"])
def test_what_nothing_here_acts_upon_is_shown_to_a_person_once(type: str) -> None:
    j = Journey()
    j.pay("P1", 100)
    told(j, news("evt_d", type))
    case = j.state(ExceptionCase, j.last_id(ExceptionCase))
    assert (case.type, case.account_id) == ("NOTIFICATION_UNHANDLED", "A")
    assert j.payment("P1")["status"] == "PROCESSED"
    j.when(ReplayNotification("gw", "evt_d")).then_accepted()
    j.run_processes()
    assert cases(j) == ["NOTIFICATION_UNHANDLED"]


def disputed() -> Any:
    """Stripe's way: it speaks of the payment, and of the dispute by a reference of its own."""
    outcome = Outcome("Success", raw_code="fraudulent", gateway_ref="dp_1", processed_amount=money(100))
    return news("evt_d", "DISPUTE", outcome, gateway_ref="ch_1")


def test_a_dispute_is_opened_once_and_lost_once() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 100))
    j.pay("P1", 100, invoice)
    told(j, disputed(), replace(disputed(), provider_event_id="evt_e"))
    (dispute,) = (j.state(Dispute, id) for id in j.ids(Dispute))
    assert (dispute.status, dispute.held, dispute.payment_id) == ("OPENED", 10_000, "P1")
    assert j.balances(invoice)["balance"] == "100.00"
    for n in range(2):
        told(j, replace(disputed(), provider_event_id=f"evt_f{n}", type="DISPUTE_LOST"))
    assert j.state(Dispute, dispute.dispute_id).status == "LOST"
    j.when(ReplayNotification("gw", "evt_d")).then_accepted()
    j.run_processes()
    assert kinds(j, "dispute") == ["dispute.opened.v1", "dispute.lost.v2"]
    assert cases(j) == []


def test_a_dispute_of_what_cannot_be_disputed_is_shown_and_taken_at_a_replay() -> None:
    j = Journey()
    j.request("P1", 100)
    j.settle("P1", PENDING)
    told(j, disputed())
    assert cases(j) == ["NOTIFICATION_UNHANDLED"]
    assert j.ids(Dispute) == []
    j.settle("P1", SUCCESS)
    j.when(ReplayNotification("gw", "evt_d")).then_accepted()
    j.run_processes()
    assert j.state(Dispute, j.last_id(Dispute)).status == "OPENED"
    assert j.state(ExceptionCase, j.last_id(ExceptionCase)).resolved


def debited(j: Journey) -> str:
    """A direct debit of 100.00 that pays an invoice."""
    j.when(SavePaymentMethod("gw", "MD_1", "sepa_debit", mandate_reference="MD_1")).then_accepted()
    invoice = j.post("INV-1", line("L1", 100))
    j.request("P1", 100, invoice, j.last_id(SavedMethod))
    j.settle("P1", PENDING)
    return invoice


FAILED = Outcome("Decline", category="CardLimit", raw_code="insufficient_funds", gateway_ref="ch_1")


def test_a_debit_that_fails_after_success_is_a_return() -> None:
    j = Journey()
    invoice = debited(j)
    told(j, news("evt_1"))
    assert j.balances(invoice)["balance"] == "0.00"
    told(j, news("evt_2", outcome=FAILED), news("evt_3", outcome=FAILED))
    assert j.state(Payment, "P1").status == "RETURNED"
    assert j.balances(invoice)["balance"] == "100.00"
    assert kinds(j, "payment").count("payment.returned.v2") == 1
    assert cases(j) == []


def test_a_debit_that_fails_before_success_has_failed() -> None:
    j = Journey()
    debited(j)
    told(j, news("evt_2", outcome=FAILED))
    assert j.payment("P1")["status"] == "FAILED"
    told(j, news("evt_1"))
    assert cases(j) == ["LATE_SUCCESS"]


def test_the_key_of_another_gateways_operation_is_not_believed() -> None:
    j = Journey()
    j.when(RegisterGateway("other", "Other", "sim", "env:NONE", "m2", "TEST")).then_accepted()
    j.request("P1", 100)
    told(j, replace(news(operation_key=key_of(j)), gateway_id="other"))
    assert j.payment("P1")["status"] == "REQUESTED"
    assert j.state(Inbox, j.last_id(Inbox)).status == "WAITING"


def test_a_gateway_that_nobody_has_registered_tells_nothing() -> None:
    Journey().when(replace(news(), gateway_id="nobody")).then_rejected("GATEWAY_NOT_FOUND")


def authorized(j: Journey) -> str:
    j.when(AuthorizePayment(money(500), "gw", j.time, j.card_a, authorization_id="A1")).then_accepted()
    key = j.state(Authorization, "A1").operation_key
    j.when(RecordAuthorizationOutcome(key, "GATEWAY", replace(SUCCESS, gateway_ref="pi_1"))).then_accepted()
    return key


def test_of_operations_that_share_a_reference_the_key_says_which() -> None:
    j = Journey(capabilities=replace(EVERYTHING, multi_capture=True))
    authorized(j)
    for payment_id in ("C1", "C2"):
        j.when(CapturePayment("A1", money(100), payment_id)).then_accepted()
    j.settle("C1", replace(PENDING, gateway_ref="pi_1"))
    captured = replace(SUCCESS, gateway_ref="pi_1")
    told(j, news("evt_c", "CAPTURE", captured, gateway_ref="pi_1", operation_key=key_of(j, "C2")))
    assert [j.payment(id)["status"] for id in ("C1", "C2")] == ["PENDING", "PROCESSED"]
    told(j, news("evt_d", "CAPTURE", captured, gateway_ref="pi_1"))
    assert j.payment("C1")["status"] == "PROCESSED"


def test_a_reversal_is_found_by_the_authorization_that_it_lets_go() -> None:
    j = Journey()
    authorized(j)
    j.when(CancelAuthorization("A1")).then_accepted()
    gone = Outcome("Success", gateway_ref="pi_1", processed_amount=money(500))
    told(j, news("evt_r", "REVERSE", gone, gateway_ref="pi_1"))
    assert j.state(Authorization, "A1").status == "CANCELED"


def test_pending_after_success_and_success_after_success_change_nothing() -> None:
    j = Journey()
    j.request("P1", 100)
    told(j, news("evt_1", operation_key=key_of(j)))
    facts = kinds(j, "payment", "gwcall", "exception")
    told(j, news("evt_0", outcome=PENDING, operation_key=key_of(j)), news("evt_9", operation_key=key_of(j)))
    assert kinds(j, "payment", "gwcall", "exception") == facts


def test_a_late_success_is_taken_and_shown_to_a_person() -> None:
    j = Journey()
    j.request("P1", 100)
    j.settle("P1", SOFT)
    told(j, news(operation_key=key_of(j)))
    assert (j.payment("P1")["status"], j.payment("P1")["unapplied"]) == ("PROCESSED", "100.00")
    assert cases(j) == ["LATE_SUCCESS"]


def test_no_two_notifications_share_a_stream() -> None:
    told = [("a", "b-c"), ("a-b", "c"), ("a", "b%2Dc"), ("a", "x" * 101), ("a", "y y"), ("a", "ü")]
    assert len({ids.inbox_id(*each) for each in told}) == len(told)
    assert ids.inbox_id("stripe-eu", "evt_1") == "stripe-eu-evt_1"


def test_the_call_is_settled_once_whoever_told_it() -> None:
    j = Journey()
    j.request("P1", 100)
    j.settle("P1", Outcome("Indeterminate"))
    told(j, news(operation_key=key_of(j)))
    call = j.state(GatewayCall, key_of(j))
    assert call.status == "SUCCEEDED"
    j.settle("P1", SUCCESS, "RECONCILER").then_nothing()
    assert [t for t in kinds(j, "payment") if t == "payment.processed.v2"] == ["payment.processed.v2"]
