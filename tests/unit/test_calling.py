"""Calls to gateways: one key, one outcome, and certainty only from what was really said."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from events.gateway_call import (
    GatewayCallNotSent,
    GatewayCallPending,
    GatewayCallPlanned,
    GatewayCallRejected,
    GatewayCallSucceeded,
    GatewayCallTimedOut,
    GatewayOutcomeResolved,
    GatewayReplayPlanned,
    GatewayStatusQueried,
)
from events.payment import PaymentFailed, PaymentHeldForReview, PaymentProcessed
from events.shapes import Outcome
from services.calls.calling import GatewayCall, mint_key, plan
from services.calls.work import work_changes
from services.commands import Actor
from services.decision import Context
from services.payments.arriving import RecordPaymentOutcome
from services.payments.payment import Payment
from services.store.protocol import WorkDone, WorkDue, WorkPlanned
from tests.journey import EVERYTHING, SOFT, SUCCESS, Journey, money
from tests.spec import NOW

KEY = "t:sale:P1:1"
SYSTEM = Outcome("SystemError", raw_message="connect refused")
SILENCE = Outcome("Indeterminate", raw_message="read timeout")
PENDING = Outcome("Pending", gateway_ref="ch_1")
NOT_FOUND = Outcome("NotFound")
SENT = NOW - timedelta(seconds=120)


def sale(**capabilities: Any) -> Journey:
    """A sale of 10.00 is planned, and may be on its way."""
    j = Journey(capabilities=replace(EVERYTHING, **capabilities))
    j.request("P1", "10.00")
    return j


def unknown(**capabilities: Any) -> Journey:
    """It was sent two minutes ago, and no answer came."""
    j = sale(**capabilities)
    j.settle("P1", SILENCE, sent_at=SENT).then_accepted()
    return j


def inquired(j: Journey, outcome: Outcome, **more: Any) -> Journey:
    return j.settle("P1", outcome, "RECONCILER", **more)


def call_facts(j: Journey) -> list[Any]:
    j.then_accepted()
    return [fact for kind, _, fact in j.facts() if kind == "gwcall"]


def payment_facts(j: Journey) -> list[str]:
    return [type(fact).__name__ for kind, _, fact in j.facts() if kind == "payment"]


def exceptions(j: Journey) -> list[str]:
    return [fact.type for kind, _, fact in j.facts() if kind == "exception"]


# -- planning


def context(tenant: str = "t") -> Context:
    return Context(tenant, "A", UUID(int=7), NOW, Actor(), lambda prefix: f"{prefix}-1")


def told(**more: Any) -> dict[str, Any]:
    return {
        "operation": "SALE",
        "attempt_no": 1,
        "target_kind": "payment",
        "target_id": "P1",
        "gateway_id": "gw",
        "amount": money("10.00"),
        "merchant_reference": "PAY-000001",
    } | more


def test_a_key_names_tenant_operation_origin_and_attempt() -> None:
    assert mint_key(context(), "SALE", "P1", 1) == KEY


@pytest.mark.parametrize(("length", "hashed"), [(64, False), (65, True)])
def test_beyond_64_characters_a_key_is_its_hash(length: int, hashed: bool) -> None:
    origin = "x" * (length - len("t:sale::1"))
    plain = f"t:sale:{origin}:1"
    assert len(plain) == length
    wanted = hashlib.sha256(plain.encode()).hexdigest() if hashed else plain
    assert mint_key(context(), "SALE", origin, 1) == wanted


def test_the_digest_covers_all_that_the_gateway_is_told() -> None:
    digests = {
        plan(context(), origin="P1", **told(**more))[1].fact.request_digest  # type: ignore[attr-defined]
        for more in ({}, {"amount": money("10.01")}, {"merchant_reference": "PAY-2"}, {"reason": "RECURRING"})
    }
    assert len(digests) == 4
    assert plan(context(), origin="P1", **told()) == plan(context(), origin="P1", **told())


# -- answers


def test_success_ends_the_call() -> None:
    j = sale().settle("P1", SUCCESS, sent_at=SENT)
    assert call_facts(j) == [GatewayCallSucceeded("GATEWAY", SUCCESS, SENT)]
    assert payment_facts(j) == ["PaymentProcessed"]


def test_a_decline_ends_the_call() -> None:
    j = sale().settle("P1", SOFT)
    assert call_facts(j) == [GatewayCallRejected("GATEWAY", SOFT)]
    assert payment_facts(j) == ["PaymentFailed"]


@pytest.mark.parametrize(
    ("code", "category", "hard"),
    [
        ("Decline", "PaymentProcessing", False),
        ("PermanentFail", "PaymentProcessing", True),
        ("ValidationError", "PaymentInformation", False),
    ],
)
def test_every_failure_has_a_category_and_some_are_hard(code: str, category: str, hard: bool) -> None:
    j = sale().settle("P1", Outcome(code))
    failed = next(fact for _, _, fact in j.facts() if isinstance(fact, PaymentFailed))
    assert (failed.category, failed.hard) == (category, hard)


def test_a_key_that_was_never_planned_is_no_operation() -> None:
    command = RecordPaymentOutcome("t:sale:P9:1", "GATEWAY", SUCCESS)
    Journey().when(command).then_rejected("OPERATION_NOT_FOUND")


# -- it never reached the gateway


def test_a_call_that_never_arrived_is_sent_again_four_times_and_then_failed() -> None:
    j = sale()
    for sends, pause in enumerate((1, 5, 30, 120), start=1):
        at = j.time + timedelta(seconds=pause)
        assert call_facts(j.settle("P1", SYSTEM)) == [GatewayCallNotSent(SYSTEM, sends, at)]
        assert payment_facts(j) == []
        assert j.state(Payment, "P1").status == "REQUESTED"
        j.at(at)
    failed = Outcome("SystemError", "GatewayConnection", raw_message="connect refused")
    assert call_facts(j.settle("P1", SYSTEM)) == [GatewayCallNotSent(failed, 5, None)]
    (fact,) = [fact for kind, _, fact in j.facts() if kind == "payment"]
    assert (fact.category, fact.hard, fact.never_retry) == ("GatewayConnection", False, False)


def test_a_gateway_that_asks_for_a_longer_pause_gets_it() -> None:
    busy = replace(SYSTEM, retry_after_seconds=90)
    assert call_facts(sale().settle("P1", busy)) == [GatewayCallNotSent(busy, 1, NOW + timedelta(seconds=90))]


def test_after_a_connection_came_back_it_succeeds_under_the_same_key() -> None:
    j = sale().settle("P1", SYSTEM)
    assert call_facts(j.settle("P1", SUCCESS)) == [GatewayCallSucceeded("GATEWAY", SUCCESS)]
    assert j.ids(GatewayCall) == [KEY]


def test_an_inquiry_that_never_arrived_does_not_prove_that_the_call_did_not() -> None:
    j = inquired(sale(), SYSTEM)
    (fact,) = call_facts(j)
    assert isinstance(fact, GatewayCallTimedOut), "whoever sent it is gone: nothing is sent again"
    assert payment_facts(j) == ["PaymentOutcomeUnknown"]


# -- nobody knows


def test_unknown_delays_count_from_the_moment_it_became_unknown() -> None:
    j = unknown()
    fact = GatewayCallTimedOut(SENT, "read timeout", NOW + timedelta(seconds=30), NOW)
    assert call_facts(j) == [fact]
    assert payment_facts(j) == ["PaymentOutcomeUnknown"]
    assert j.state(Payment, "P1").status == "INDETERMINATE"


def test_inquiries_follow_the_list_of_delays_and_then_a_person_must_look() -> None:
    j = unknown()
    delays = [30, 120, 600, 3600, 21_600, 86_400]
    for queries, (due, following) in enumerate(pairwise(delays), start=1):
        j.at(NOW + timedelta(seconds=due))
        expected = GatewayStatusQueried(queries, "NOT_FOUND", NOW + timedelta(seconds=following))
        assert call_facts(inquired(j, NOT_FOUND)) == [expected]
        assert payment_facts(j) == []
    j.at(NOW + timedelta(seconds=86_400))
    assert call_facts(inquired(j, NOT_FOUND)) == [GatewayStatusQueried(6, "NOT_FOUND", None)]
    assert payment_facts(j) == ["PaymentHeldForReview"]
    assert exceptions(j) == ["UNKNOWN_OUTCOME_EXPIRED"]
    inquired(j, NOT_FOUND).then_nothing()


def test_a_late_inquiry_is_followed_at_once_by_the_one_that_is_overdue() -> None:
    j = unknown().at(NOW + timedelta(hours=2))
    assert call_facts(inquired(j, NOT_FOUND)) == [GatewayStatusQueried(1, "NOT_FOUND", j.time)]


@pytest.mark.parametrize("outcome", [SYSTEM, SILENCE])
def test_an_inquiry_that_fails_is_counted_and_repeated(outcome: Outcome) -> None:
    (fact,) = call_facts(inquired(unknown(), outcome))
    assert (fact.queries, fact.found) == (1, "UNREACHABLE")


@pytest.mark.parametrize("source", ["RECONCILER", "NOTIFICATION", "OPERATOR", "GATEWAY"])
def test_whoever_brings_it_the_truth_is_the_truth(source: str) -> None:
    j = unknown().settle("P1", SUCCESS, source, evidence="seen")
    assert call_facts(j) == [GatewayOutcomeResolved(source, SUCCESS, "seen")]
    assert payment_facts(j) == ["PaymentProcessed"]
    for later in ("RECONCILER", "NOTIFICATION", "GATEWAY"):
        j.settle("P1", SUCCESS, later).then_nothing()


def test_a_notification_can_be_faster_than_the_answer() -> None:
    j = sale().settle("P1", SUCCESS, "NOTIFICATION")
    assert call_facts(j) == [GatewayOutcomeResolved("NOTIFICATION", SUCCESS)]
    for outcome in (SUCCESS, SILENCE, SYSTEM, PENDING):
        j.settle("P1", outcome).then_nothing()


def test_only_an_inquiry_counts_as_an_inquiry() -> None:
    for source in ("GATEWAY", "NOTIFICATION", "OPERATOR"):
        unknown().settle("P1", SILENCE, source).then_nothing()


# -- "I do not know it" may mean "I did not do it"


def test_not_found_means_not_executed_only_after_the_documented_delay() -> None:
    j = unknown(read_your_writes_seconds=60)
    j.at(NOW + timedelta(seconds=30))
    assert [type(fact) for fact in call_facts(inquired(j, NOT_FOUND, not_executed=True))] == [
        GatewayStatusQueried
    ]
    j.at(NOW + timedelta(seconds=120))
    again = GatewayCallNotSent(NOT_FOUND, 1, j.time + timedelta(seconds=1))
    assert call_facts(inquired(j, NOT_FOUND, not_executed=True)) == [again]
    assert payment_facts(j) == []
    assert call_facts(j.settle("P1", SUCCESS)) == [GatewayCallSucceeded("GATEWAY", SUCCESS)]


def test_a_gateway_that_promises_nothing_never_vouches_for_not_executed() -> None:
    j = unknown(read_your_writes_seconds=None).at(NOW + timedelta(hours=1))
    assert [type(fact) for fact in call_facts(inquired(j, NOT_FOUND, not_executed=True))] == [
        GatewayStatusQueried
    ]


def test_a_key_that_the_gateway_has_forgotten_is_not_sent_again() -> None:
    j = unknown(read_your_writes_seconds=60, idempotency_key_hours=24)
    j.at(SENT + timedelta(hours=24) - timedelta(seconds=1))
    assert call_facts(inquired(j, NOT_FOUND, not_executed=True))[0].retry_at is not None
    j = unknown(read_your_writes_seconds=60, idempotency_key_hours=24).at(SENT + timedelta(hours=24))
    assert call_facts(inquired(j, NOT_FOUND, not_executed=True))[0].retry_at is None
    assert payment_facts(j) == ["PaymentFailed"]


def test_what_was_acknowledged_cannot_be_unknown_to_the_gateway() -> None:
    j = sale(read_your_writes_seconds=60).settle("P1", PENDING).at(NOW + timedelta(hours=1))
    facts = call_facts(inquired(j, NOT_FOUND, not_executed=True))
    assert facts == [GatewayStatusQueried(1, "NOT_FOUND", j.time + timedelta(seconds=120))]


def test_not_even_when_it_was_unknown_to_us_before() -> None:
    j = inquired(unknown(read_your_writes_seconds=60), PENDING).at(NOW + timedelta(hours=1))
    (fact,) = call_facts(inquired(j, NOT_FOUND, not_executed=True))
    assert isinstance(fact, GatewayStatusQueried)


# -- acknowledged


@pytest.mark.parametrize(
    ("code", "status"),
    [("Pending", "PENDING"), ("ActionRequired", "REQUIRES_ACTION"), ("RequiresReview", "REQUIRES_REVIEW")],
)
def test_an_acknowledgement_is_waited_on(code: str, status: str) -> None:
    j = sale().settle("P1", Outcome(code))
    assert call_facts(j) == [GatewayCallPending("GATEWAY", Outcome(code), NOW + timedelta(seconds=30))]
    assert j.state(Payment, "P1").status == status
    assert exceptions(j) == []


def test_the_same_acknowledgement_again_is_no_news() -> None:
    j = sale().settle("P1", PENDING)
    for source in ("GATEWAY", "NOTIFICATION"):
        j.settle("P1", PENDING, source).then_nothing()


def test_a_pending_call_is_asked_about_at_the_last_pause_for_as_long_as_it_takes() -> None:
    j = sale().settle("P1", PENDING)
    pauses: list[int] = []
    for _ in range(8):
        (fact,) = call_facts(inquired(j, PENDING))
        assert isinstance(fact, GatewayCallPending)
        pauses.append(int((fact.next_query_at - j.time).total_seconds()))
        assert payment_facts(j) == []
    assert pauses == [120, 600, 3600, 21_600, 86_400, 86_400, 86_400, 86_400]
    assert payment_facts(inquired(j, SUCCESS)) == ["PaymentProcessed"]


def test_an_unknown_call_that_turns_out_to_be_pending_waits() -> None:
    j = inquired(unknown(), PENDING)
    assert j.state(Payment, "P1").status == "PENDING"


# -- late truth


def test_success_after_failure_is_taken_as_late_and_shown() -> None:
    j = sale().settle("P1", SOFT).settle("P1", SUCCESS, "NOTIFICATION")
    assert call_facts(j) == [GatewayOutcomeResolved("NOTIFICATION", SUCCESS, contradicts=True)]
    (processed,) = [fact for _, _, fact in j.facts() if isinstance(fact, PaymentProcessed)]
    assert processed.late
    assert exceptions(j) == ["LATE_SUCCESS"]
    j.settle("P1", SUCCESS, "RECONCILER").then_nothing()


def test_success_after_the_resends_were_used_up_is_late_too() -> None:
    j = sale()
    for _ in range(5):
        j.settle("P1", SYSTEM)
    assert exceptions(j.settle("P1", SUCCESS, "NOTIFICATION")) == ["LATE_SUCCESS"]


def test_failure_after_success_is_shown_and_changes_nothing() -> None:
    j = sale().settle("P1", SUCCESS).settle("P1", SOFT, "NOTIFICATION")
    assert call_facts(j) == [GatewayOutcomeResolved("NOTIFICATION", SOFT, contradicts=True)]
    assert payment_facts(j) == []
    assert exceptions(j) == ["CONTRADICTED_OUTCOME"]
    assert j.state(Payment, "P1").status == "PROCESSED"
    assert j.state(GatewayCall, KEY).status == "SUCCEEDED"
    j.settle("P1", SOFT, "NOTIFICATION").then_nothing()


def test_a_person_can_still_be_overtaken_by_the_truth() -> None:
    j = unknown(read_your_writes_seconds=None).when(
        RecordPaymentOutcome(KEY, "OPERATOR", Outcome("Decline"), evidence="called them")
    )
    assert payment_facts(j) == ["PaymentFailed"]
    assert payment_facts(j.settle("P1", SUCCESS, "NOTIFICATION")) == ["PaymentProcessed"]


def test_a_review_that_nobody_could_settle_is_settled_by_the_truth() -> None:
    j = Journey(unknown_outcome_poll=(30,))
    j.request("P1", "10.00")
    j.settle("P1", SILENCE)
    inquired(j, NOT_FOUND)
    assert any(isinstance(fact, PaymentHeldForReview) for _, _, fact in j.facts())
    j.settle("P1", PENDING, "NOTIFICATION").then_nothing()
    assert payment_facts(j.settle("P1", SUCCESS, "NOTIFICATION")) == ["PaymentProcessed"]


# -- the work that follows

AT = datetime.fromisoformat("2026-03-02T10:00:00+00:00")
PLANNED = GatewayCallPlanned("SALE", KEY, 1, "payment", "P1", "A", "gw", money("10.00"), "d", "PAY-000001")


@pytest.mark.parametrize(
    ("fact", "work"),
    [
        (PLANNED, WorkPlanned(KEY, "t/A", "gw", "SALE", PLANNED, NOW)),
        (GatewayCallNotSent(SYSTEM, 1, AT), WorkDue(KEY, "SEND", AT)),
        (GatewayCallNotSent(SYSTEM, 5, None), WorkDone(KEY)),
        (GatewayCallTimedOut(SENT, "read timeout", AT, NOW), WorkDue(KEY, "INQUIRE", AT)),
        (GatewayCallPending("GATEWAY", PENDING, AT), WorkDue(KEY, "INQUIRE", AT)),
        (GatewayStatusQueried(1, "NOT_FOUND", AT), WorkDue(KEY, "INQUIRE", AT)),
        (GatewayStatusQueried(6, "NOT_FOUND", None), WorkDone(KEY)),
        (GatewayCallSucceeded("GATEWAY", SUCCESS), WorkDone(KEY)),
        (GatewayCallRejected("GATEWAY", SOFT), WorkDone(KEY)),
        (GatewayOutcomeResolved("RECONCILER", SUCCESS), WorkDone(KEY)),
    ],
)
def test_every_fact_of_a_call_says_what_is_to_be_done(fact: object, work: object) -> None:
    assert work_changes(fact, KEY, "t/A", NOW) == (work,)


def test_other_facts_are_no_work() -> None:
    assert work_changes(SUCCESS, KEY, "t/A", NOW) == ()


# -- keys and inquiries that must not be taken for others


def test_ids_with_colons_make_keys_that_never_meet() -> None:
    keys = {mint_key(context("a:sale"), "SALE", "x", 1), mint_key(context("a"), "SALE", "sale:x", 1)}
    assert keys == {"a%3Asale:sale:x:1", "a:sale:sale%3Ax:1"}
    assert mint_key(context(), "SALE", "P1", 1) == KEY


def test_a_gateway_that_cannot_be_asked_never_vouches_that_nothing_happened() -> None:
    """Domain 3.4, rule 4: without an inquiry, "not found" is no answer, whatever else is promised."""
    j = unknown(query_by_reference=False, idempotency=False, read_your_writes_seconds=2)
    j.at(timedelta(hours=1))
    inquired(j, NOT_FOUND, not_executed=True)
    assert [type(fact) for fact in call_facts(j)] == [GatewayStatusQueried]
    assert j.payment("P1")["status"] == "INDETERMINATE"


# -- a gateway that answers no inquiries, and honours keys


SILENT = {"query_by_reference": False, "idempotency": True, "idempotency_key_hours": 24}
UNANSWERED = Outcome("Indeterminate", raw_message="it answers no inquiries")


def replayed() -> Journey:
    """Unknown for 30 s; what it is asked is the same request again."""
    j = unknown(**SILENT).at(NOW + timedelta(seconds=30))
    assert call_facts(inquired(j, UNANSWERED)) == [GatewayReplayPlanned(1, j.time)]
    assert payment_facts(j) == []
    return j


def test_the_replay_brings_back_the_first_answer() -> None:
    j = replayed().settle("P1", SUCCESS)
    assert call_facts(j) == [GatewayOutcomeResolved("GATEWAY", SUCCESS)]
    assert payment_facts(j) == ["PaymentProcessed"]
    assert j.ids(GatewayCall) == [KEY], "the same key, the same attempt"


@pytest.mark.parametrize("outcome", [SYSTEM, SILENCE])
def test_a_replay_that_fails_leaves_it_unknown_and_is_not_repeated(outcome: Outcome) -> None:
    j = replayed().settle("P1", outcome)
    assert call_facts(j) == [GatewayStatusQueried(2, "UNREACHABLE", NOW + timedelta(seconds=600))]
    assert j.state(Payment, "P1").status == "INDETERMINATE"
    j.at(NOW + timedelta(seconds=600))
    (fact,) = call_facts(inquired(j, UNANSWERED))
    assert (type(fact), fact.queries) == (GatewayStatusQueried, 3)


def test_whoever_takes_over_a_replay_does_not_repeat_it() -> None:
    (fact,) = call_facts(inquired(replayed(), Outcome("Indeterminate", raw_message="taken over")))
    assert isinstance(fact, GatewayStatusQueried)


def test_a_replay_that_is_acknowledged_waits() -> None:
    j = replayed().settle("P1", PENDING)
    assert j.state(Payment, "P1").status == "PENDING"
    j.settle("P1", SILENCE).then_nothing()


def test_a_key_that_is_forgotten_is_not_replayed_nor_one_that_was_never_honoured() -> None:
    late = unknown(**SILENT).at(SENT + timedelta(hours=24, seconds=1))
    without = unknown(**(SILENT | {"idempotency": False}))
    for j in (late, without):
        assert [type(fact) for fact in call_facts(inquired(j, UNANSWERED))] == [GatewayStatusQueried]


def test_a_gateway_that_can_be_asked_is_asked() -> None:
    j = unknown().at(NOW + timedelta(seconds=30))
    assert [type(fact) for fact in call_facts(inquired(j, NOT_FOUND))] == [GatewayStatusQueried]


def test_a_replay_is_work_to_send() -> None:
    assert work_changes(GatewayReplayPlanned(1, AT), KEY, "t/A", NOW) == (WorkDue(KEY, "RESEND", AT),)


def test_what_its_gateway_may_know_is_sent_again_as_such() -> None:
    sent = GatewayCallNotSent(SYSTEM, 1, AT)
    assert work_changes(sent, KEY, "t/A", NOW, seen=True) == (WorkDue(KEY, "RESEND", AT),)
