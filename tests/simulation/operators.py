"""What the tenant's people decide: outcomes that nobody could find out, refunds that got stuck, news.

They say only what is true: before they give their word on an operation, they ask the gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from events.money import Money
from events.shapes import Outcome
from services.access.api_key import CreateApiKey, RecordApiKeyUse, RevokeApiKey
from services.authorizations.outcomes import ResolveReview
from services.calls.calling import GatewayCall
from services.disputes.dispute import Dispute
from services.disputes.disputing import (
    AcceptDispute,
    RecordDisputeOpened,
    RecordDisputeOutcome,
    SubmitDisputeEvidence,
)
from services.orchestrations.canceling import CancelRefundOrchestration
from services.orchestrations.falling_back import ChooseRefundFallback, ResolveManualAction, RetryRefundLeg
from services.orchestrations.orchestrating import AutomateRefund
from services.orchestrations.orchestration import PLANNABLE, Leg, RefundOrchestration
from services.payments.arriving import ResolvePaymentOutcome
from services.payments.returning import RecordPaymentReturn, WriteOffOverdraft
from services.payouts.reporting import ResolvePayoutCase
from services.refunds.approving import ApproveRefund, CancelRefund, RejectRefund
from services.refunds.refund_outcomes import RecordRefundOutcome, ResolveRefundOutcome
from services.signing_in.api_keys import letters
from services.tenants.exceptions import ResolveException
from services.tenants.tenant_settings import ChangeTenantSettings
from services.workers import REPORTS
from tests.simulation.bank import Fact, Truth, key_of
from tests.simulation.virtual_loop import START
from tests.simulation.workload import HOLDER, Said, Users, home_of, let_invoice_go, of, says

DOUBTFUL = ("INDETERMINATE", "REQUIRES_REVIEW", "REQUIRES_ACTION", "PENDING")


@says(5)
def resolve(users: Users, account: str) -> Said | None:
    """Give one's word on an operation whose outcome is not known; the gateway's people decide theirs."""
    users.bank.decide(users.chosen)
    kind = users.chosen.choice(("payment", "refund", "auth"))
    said = _resolve(users, users.pick(kind, lambda one: one.status in DOUBTFUL))
    return said and _by_somebody(users, said)


def _by_somebody(users: Users, said: Said) -> Said:
    """By who may decide it alone, or by one of the clerks, of whom it may take two."""
    chosen = users.chosen.random()
    if chosen < 0.4:
        return said
    if chosen < 0.5:  # from now on it takes two
        few = ChangeTenantSettings({"refund_approval_threshold": Money(100, "GBP")})
        return Said(few, home_of(few), f"four eyes {users.number}")
    clerk = {"type": "USER", "id": users.chosen.choice(("olga", "rolf")), "roles": ["PAYMENT_OPERATIONS"]}
    return said._replace(envelope={"actor": clerk})


def _resolve(users: Users, doubtful: Any) -> Said | None:
    if doubtful is None:
        return None
    call: GatewayCall = users.seen.of["gwcall"][doubtful.operation_key]
    outcome, ref, amount = users.bank.truth(doubtful.operation_key)
    if outcome == "UNSEEN":  # where nobody will send it any more, it has failed
        outcome = "FAILED" if call.status == "REVIEW" else None
    if outcome is None:
        return None
    if outcome == "PROCESSED" and amount != call.planned.amount.amount_minor:
        return _told(users, call, Truth(outcome, ref, amount))
    match doubtful.KIND:
        case "payment":
            command: Any = ResolvePaymentOutcome(doubtful.payment_id, outcome, "he called them", ref)
        case "refund":
            command = ResolveRefundOutcome(doubtful.refund_id, outcome, "he called them")
        case _:
            command = ResolveReview(doubtful.authorization_id, outcome, "he called them", ref)
    return of(users, doubtful, lambda _: command)


@says(2)
def close_case(users: Users, account: str) -> Said | None:
    """A case of the exceptions inbox is looked at."""
    id = users.pick_id("exception", lambda case: not case.resolved)
    if id is None:
        return None
    case = users.seen.of["exception"][id]
    if case.account_id.startswith("~payout/"):
        gateway_id = case.account_id.partition("/")[2]
        closed = ResolvePayoutCase(gateway_id, id, "LOOKED_AT", "nothing to do")
        return Said(closed, case.account_id, f"case {users.number}")
    return of(users, case, lambda _: ResolveException(id, "LOOKED_AT", "nothing to do"))


@says(3)
def automate(users: Users, account: str) -> Said | None:
    memo = users.pick("cm", lambda m: m.balance > 0 and m.reference_invoice_id and not m.locked_by)
    return of(users, memo, lambda m: AutomateRefund(m.credit_memo_id))


@says(3)
def call_off(users: Users, account: str) -> Said | None:
    ro = users.pick("ro", lambda ro: ro.status in PLANNABLE)
    return of(users, ro, lambda ro: CancelRefundOrchestration(ro.orchestration_id))


@says(9)
def step_in(users: Users, account: str) -> Said | None:
    """A leg that has failed: a person tries it again, places it otherwise, or says what he did."""
    ro: RefundOrchestration | None = users.pick("ro", lambda ro: _stuck(ro))
    if ro is None:
        return None
    leg = users.chosen.choice(_stuck(ro))
    match users.chosen.randrange(5):
        case 0:
            command: Any = RetryRefundLeg(ro.orchestration_id, leg)
        case 1 | 2:
            options: Any = ("OTHER_PAYMENT", "UNREFERENCED", "MANUAL", "OPEN_CREDIT")
            command = ChooseRefundFallback(ro.orchestration_id, leg, users.chosen.choice(options))
        case _:
            command = _done_by_hand(users, ro, ro.legs[leg])
    return of(users, ro, lambda _: command)


def _done_by_hand(users: Users, ro: RefundOrchestration, leg: Leg) -> ResolveManualAction:
    if leg.source_kind == "payment" and users.chosen.random() < 0.5:
        return ResolveManualAction(
            ro.orchestration_id, leg.no, "REFUNDED_EXTERNALLY", "a check", "CHECK", "no 12"
        )
    return ResolveManualAction(ro.orchestration_id, leg.no, "OPEN_CREDIT", "he keeps it")


def _stuck(ro: RefundOrchestration) -> list[int]:
    return [leg.no for leg in ro.legs.values() if leg.status in ("FAILED", "MANUAL")]


@says(10)
def hear(users: Users, account: str) -> Said | None:
    """News of the gateway: an outcome again, out of order, or contradicting what was known."""
    fact = users.bank.news(users.chosen, lambda key: users.seen.of["gwcall"][key].status == "SUCCEEDED")
    return _reported(users, fact, f"news {users.number}") if fact else None


@says(2)
def hear_of_returns(users: Users, account: str) -> Said | None:
    return next(_returns(users), None)


def _returns(users: Users) -> Iterator[Said]:
    """Refunds that came back, and that Tender does not know of yet."""
    for fact in users.bank.came_back():
        call = users.seen.of["gwcall"][key_of(fact.entry)]
        if users.seen.of["refund"][call.planned.target_id].status not in ("REVERSED", "FAILED"):
            yield _reported(users, fact, f"came back {fact.entry.key}")


def _reported(users: Users, fact: Fact, key: str) -> Said:
    operation_key = key_of(fact.entry)
    report = REPORTS[fact.entry.operation](operation_key, "NOTIFICATION", fact.outcome)
    if fact.outcome.result_code == "Reversed":
        report = RecordRefundOutcome(operation_key, "NOTIFICATION", fact.outcome)
    planned = users.seen.of["gwcall"][operation_key].planned
    return Said(report, planned.account_id, key)


@says(10)
def approve(users: Users, account: str) -> Said | None:
    """Somebody else looks at a refund that is large, or whoever asked for it takes it back."""
    return _judged(users, users.pick("refund", lambda r: r.awaits_approval))


def _judged(users: Users, refund: Any) -> Said | None:
    if refund is None:
        return None
    id = refund.refund_id
    command = users.chosen.choice(
        (ApproveRefund(id), ApproveRefund(id), RejectRefund(id, "no"), CancelRefund(id))
    )
    himself = users.chosen.random() < 0.4
    return Said(command, refund.account_id, f"judge {users.number}", {} if himself else BOSS)


BOSS = {"actor": {"type": "USER", "id": "boss", "roles": ["PAYMENT_ADMIN"]}}

# -- the payers' banks


def _charged(users: Users) -> Any:
    """One that somebody paid; rather one of which something is to be refunded."""
    going = users.pick("payment", lambda p: p.status == "PROCESSED" and p.reservations)
    if going and users.chosen.random() < 0.5:
        return going
    return users.pick("payment", lambda p: p.status == "PROCESSED")


@says(4)
def dispute(users: Users, account: str) -> Said | None:
    """A payer's bank takes a payment back for now, and somebody deals with it."""
    known = users.pick("dispute", lambda d: d.open)
    chosen, number = users.chosen, users.number
    if known is None or chosen.random() < 0.3:
        payment = _charged(users)
        if payment is None:
            return None
        amount = Money(users.part(payment.received), payment.currency)
        due = START + timedelta(days=7) if chosen.random() < 0.5 else None
        opened = RecordDisputeOpened(
            f"D{number}", payment.payment_id, amount, "fraud", "NOTIFICATION", evidence_due_at=due
        )
        return of(users, payment, lambda p: opened)
    fee = Money(15, known.currency) if chosen.random() < 0.5 else None
    match chosen.randrange(4):
        case 0:
            command: Any = SubmitDisputeEvidence(known.dispute_id, "a signature")
        case 1:
            command = AcceptDispute(known.dispute_id, "not worth it", fee)
        case _:
            command = _decided(users, known)
    return of(users, known, lambda _: command)


def _decided(users: Users, known: Dispute) -> RecordDisputeOutcome:
    return RecordDisputeOutcome(known.dispute_id, users.chosen.choice(("WON", "LOST")), "NOTIFICATION")


@says(1)
def take_back(users: Users, account: str) -> Said | None:
    """A payer's bank returns a payment, for good."""
    payment = _charged(users)
    code: Any = users.chosen.choice((("R01", "CardLimit", False), ("R07", "PaymentInformation", True)))
    return of(
        users,
        payment,
        lambda p: RecordPaymentReturn(
            p.payment_id, code[0], "NOTIFICATION", START, category=code[1], never_retry=code[2]
        ),
    )


@says(1)
def write_off(users: Users, account: str) -> Said | None:
    overdrawn = users.pick("payment", lambda p: p.overdrawn > 0)
    return of(users, overdrawn, lambda p: WriteOffOverdraft(p.payment_id, "gone"))


def last_word(users: Users) -> Iterator[Said]:
    """After the storm, everything that waits for a person is decided by one."""
    users.bank.decide(users.chosen, all_of_them=True)
    for held in users.seen.of["invoice"].values():
        if held.locked_by == HOLDER["id"]:
            users.number += 1
            yield let_invoice_go(users, held)
    for kind in ("payment", "refund", "auth"):
        for doubtful in list(users.seen.of[kind].values()):
            users.number += 1
            operation = users.seen.of["gwcall"].get(getattr(doubtful, "operation_key", ""))
            if doubtful.status in DOUBTFUL and operation and _needs_a_person(users, operation):
                said = _resolve(users, doubtful)
                if said:
                    yield _by_somebody(users, said)
    yield from _voids_and_reversals(users)
    for ro in users.seen.of["ro"].values():
        if ro.status == "FAILED":
            users.number += 1
            yield of(users, ro, lambda ro: CancelRefundOrchestration(ro.orchestration_id, "never posted"))
    for refund in users.seen.of["refund"].values():
        if refund.awaits_approval:
            users.number += 1
            yield of(users, refund, lambda r: RejectRefund(r.refund_id, "too late"))._replace(envelope=BOSS)
    for ro in users.seen.of["ro"].values():
        for leg in ro.legs.values():
            if leg.status == "MANUAL":
                users.number += 1
                yield Said(_done_by_hand(users, ro, leg), ro.account_id, f"by hand {users.number}")
    for known in users.seen.of["dispute"].values():
        if known.open:
            users.number += 1
            yield Said(_decided(users, known), known.account_id, f"decided {users.number}")
    yield from _returns(users)


def _needs_a_person(users: Users, call: GatewayCall) -> bool:
    """Nobody inquires any more, or the gateway answers no inquiries."""
    assert call.planned is not None
    silent = not users.bank.capabilities[call.planned.gateway_id].query_by_reference
    return call.status == "REVIEW" or (silent and call.status == "PENDING")


def _voids_and_reversals(users: Users) -> Iterator[Said]:
    """What has no command of its own is told as news, by a person who asked."""
    for key, call in users.seen.of["gwcall"].items():
        if call.planned.operation in ("VOID", "REVERSE") and _needs_a_person(users, call):
            truth = users.bank.truth(key)
            if truth.outcome:
                users.number += 1
                yield _told(users, call, truth)


def _told(users: Users, call: GatewayCall, truth: Truth) -> Said:
    """What somebody was told by the gateway's people, to the penny."""
    planned = call.planned
    assert planned is not None
    known = Outcome("Decline")
    if truth.outcome == "PROCESSED":
        done = Money(truth.amount_minor, planned.amount.currency)
        known = Outcome("Success", gateway_ref=truth.ref, processed_amount=done)
    report = REPORTS[planned.operation](planned.idempotency_key, "OPERATOR", known, evidence="he called them")
    return Said(report, planned.account_id, f"asked {users.number}")


# -- who may come in


@says(2)
def keep_keys(users: Users, account: str) -> Said:
    """A key is given, signed in with, or taken back."""
    chosen, number = users.chosen, users.number
    known = users.pick("apikey", lambda key: True)
    if known is None or chosen.random() < 0.4:
        ends = START + timedelta(days=chosen.choice((1, 30))) if chosen.random() < 0.5 else None
        command: Any = CreateApiKey(
            letters(number.to_bytes(8)),
            f"key {number}",
            "shop",
            ("BILLING_OPERATIONS",),
            "a",
            "b",
            expires_at=ends,
        )
    elif chosen.random() < 0.5:
        command = RecordApiKeyUse(known.created.key_id, START + timedelta(hours=chosen.randrange(48)))
        return Said(command, home_of(command), f"key {number}", TENDER)
    else:
        command = RevokeApiKey(known.created.key_id, "lost")
    return Said(command, home_of(command), f"key {number}")


TENDER = {"actor": {"type": "SYSTEM", "id": "access"}}
