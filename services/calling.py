"""Calls to gateways: planned once under one key, and settled once, whatever the source of the news.

Invariant (domain 5.3, 3.4): nothing but a decision mints a key; a call whose outcome is unknown is
inquired about and never sent; facts that do not advance it change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, NamedTuple

import orjson

from events.gateway_call import (
    GatewayCallEvent,
    GatewayCallNotSent,
    GatewayCallPending,
    GatewayCallPlanned,
    GatewayCallRejected,
    GatewayCallSucceeded,
    GatewayCallTimedOut,
    GatewayOutcomeResolved,
    GatewayStatusQueried,
)
from events.shapes import Outcome
from services.commands import FreeText, Token
from services.decision import Change, Context, Subject
from services.errors import Rejected

RESEND_SECONDS = (1, 5, 30, 120)
"""A call that never reached the gateway is sent again after these pauses, under the same key."""

Source = Literal["GATEWAY", "NOTIFICATION", "RECONCILER", "OPERATOR"]

DECLINES = frozenset({"Decline", "PermanentFail", "ValidationError"})
WAITING = {"Pending": "PENDING", "ActionRequired": "REQUIRES_ACTION", "RequiresReview": "REQUIRES_REVIEW"}


@dataclass(frozen=True)
class Report:
    """News about an operation: the shape of every `Record…Outcome` command.

    `result.result_code` is one of domain 5.5, or `NotFound` (an inquiry found nothing; with
    `not_executed` when the gateway documents that this means "not executed" by now), or `Reversed`
    (a refund came back from the customer's bank).
    """

    operation_key: Token
    source: Source
    result: Outcome
    not_executed: bool = False
    sent_at: datetime | None = None
    evidence: FreeText | None = None


@dataclass(slots=True)
class GatewayCall:
    KIND: ClassVar[str] = "gwcall"

    version: int = 0
    planned: GatewayCallPlanned | None = None
    status: str = ""
    """Empty, PLANNED (to be sent), UNKNOWN, PENDING, REVIEW, SUCCEEDED, FAILED."""
    sends: int = 0
    queries: int = 0
    unknown_since: datetime | None = None
    contradicted: bool = False

    @property
    def open(self) -> bool:
        return False

    @property
    def known(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED")


def evolve(call: GatewayCall, event: GatewayCallEvent) -> None:
    match event:
        case GatewayCallPlanned():
            call.planned, call.status = event, "PLANNED"
        case GatewayCallSucceeded():
            call.status = "SUCCEEDED"
        case GatewayCallRejected():
            call.status = "FAILED"
        case GatewayCallPending():
            call.status, call.queries = "PENDING", call.queries + (call.status == "PENDING")
        case GatewayCallTimedOut():
            call.status, call.unknown_since, call.queries = "UNKNOWN", event.sent_at, 0
        case GatewayCallNotSent():
            call.sends = event.sends
            call.status = "PLANNED" if event.retry_at else "FAILED"
        case GatewayStatusQueried():
            call.queries = event.queries
            call.status = "REVIEW" if event.next_query_at is None else call.status
        case GatewayOutcomeResolved():
            call.contradicted = call.contradicted or event.contradicts
            if not event.contradicts or event.outcome.result_code == "Success":
                call.status = "SUCCEEDED" if event.outcome.result_code == "Success" else "FAILED"


def mint_key(context: Context, operation: str, origin: str, attempt_no: int) -> str:
    """The idempotency key of one attempt at one operation (domain 5.3)."""
    key = f"{context.tenant}:{operation.lower()}:{origin}:{attempt_no}"
    return key if len(key) <= 64 else hashlib.sha256(key.encode()).hexdigest()


def plan(context: Context, *, origin: str, **told: Any) -> tuple[str, Change]:
    """The key of a new call, and its intent; `told` are the fields of `GatewayCallPlanned`."""
    key = mint_key(context, told["operation"], origin, told["attempt_no"])
    digest = hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
    planned = GatewayCallPlanned(
        idempotency_key=key, account_id=context.account_id, request_digest=digest, **told
    )
    return key, Change(GatewayCall, key, planned, new=True)


class Settled(NamedTuple):
    """What a report means for whoever waits for the call."""

    verdict: str
    """PROCESSED, LATE_SUCCESS, FAILED, PENDING, REQUIRES_ACTION, REQUIRES_REVIEW, UNKNOWN, CONTRADICTED,
    REVERSED, or NOTHING new."""
    outcome: Outcome
    changes: Sequence[Change]
    next_query_at: datetime | None = None


def settle(call: GatewayCall, report: Report, context: Context, poll: Sequence[int]) -> Settled:
    """What the report makes of the call.  Raises `OPERATION_NOT_FOUND` for a key that was never planned."""
    if call.planned is None:
        raise Rejected("OPERATION_NOT_FOUND", f"no operation has the key {report.operation_key}")
    code, outcome = report.result.result_code, report.result
    if outcome.result_code == "Reversed":
        return Settled("REVERSED" if call.status == "SUCCEEDED" else "NOTHING", outcome, [])
    if call.known:
        return _after_the_end(call, report)
    if code == "Success":
        return Settled("PROCESSED", outcome, [_ended(call, report, GatewayCallSucceeded)])
    if code in DECLINES:
        outcome = _categorized(outcome)
        return Settled(
            "FAILED", outcome, [_ended(call, replace(report, result=outcome), GatewayCallRejected)]
        )
    if code in WAITING:
        return _waiting(call, report, context, poll)
    if code == "NotFound" and report.not_executed:
        return _not_sent(call, outcome, context)
    if call.status in ("UNKNOWN", "PENDING", "REVIEW"):
        return _still_unknown(call, report, context, poll)
    if code == "SystemError":
        return _not_sent(call, outcome, context)
    sent_at = report.sent_at or context.now
    at = context.now + timedelta(seconds=poll[0])
    unknown = GatewayCallTimedOut(sent_at=context.now, reason=outcome.raw_message or code, next_query_at=at)
    return Settled("UNKNOWN", replace(outcome, gateway_date=sent_at), [_on(call, unknown)], at)


def _after_the_end(call: GatewayCall, report: Report) -> Settled:
    code = report.result.result_code
    contradicts = (code == "Success") != (call.status == "SUCCEEDED")
    if call.contradicted or not contradicts or (code not in DECLINES and code != "Success"):
        return Settled("NOTHING", report.result, [])
    fact = GatewayOutcomeResolved(report.source, report.result, report.evidence, contradicts=True)
    return Settled("LATE_SUCCESS" if code == "Success" else "CONTRADICTED", report.result, [_on(call, fact)])


def _ended(
    call: GatewayCall, report: Report, fact: type[GatewayCallSucceeded] | type[GatewayCallRejected]
) -> Change:
    if call.status == "PLANNED" and report.source == "GATEWAY":
        return _on(call, fact(report.source, report.result, report.sent_at))
    return _on(call, GatewayOutcomeResolved(report.source, report.result, report.evidence))


def _waiting(call: GatewayCall, report: Report, context: Context, poll: Sequence[int]) -> Settled:
    """Acknowledged: asked about until it is known, at the last pause for as long as it takes."""
    queries = call.queries + (call.status == "PENDING")
    at = context.now + timedelta(seconds=poll[min(queries, len(poll) - 1)])
    fact = GatewayCallPending(report.source, report.result, at, report.sent_at)
    verdict = WAITING[report.result.result_code]
    return Settled("NOTHING" if call.status == "PENDING" else verdict, report.result, [_on(call, fact)], at)


def _still_unknown(call: GatewayCall, report: Report, context: Context, poll: Sequence[int]) -> Settled:
    if report.source == "GATEWAY" or call.status == "REVIEW":
        return Settled("NOTHING", report.result, [])
    queries = call.queries + 1
    found = "NOT_FOUND" if report.result.result_code == "NotFound" else "UNREACHABLE"
    since = call.unknown_since or context.now
    at = max(context.now, since + timedelta(seconds=poll[queries])) if queries < len(poll) else None
    if at is None and call.status == "PENDING":
        at = context.now + timedelta(seconds=poll[-1])
    changes = [_on(call, GatewayStatusQueried(queries, found, at))]
    return Settled("REQUIRES_REVIEW" if at is None else "NOTHING", report.result, changes, at)


def _not_sent(call: GatewayCall, outcome: Outcome, context: Context) -> Settled:
    """It is certain that nothing was executed: sent again under the same key, while the budget lasts."""
    sends = call.sends + 1
    if sends > len(RESEND_SECONDS):
        failed = replace(outcome, result_code="SystemError", category="GatewayConnection", hard=False)
        return Settled("FAILED", failed, [_on(call, GatewayCallNotSent(failed, sends, None))])
    pause = max(RESEND_SECONDS[sends - 1], outcome.retry_after_seconds or 0)
    at = context.now + timedelta(seconds=pause)
    return Settled("NOTHING", outcome, [_on(call, GatewayCallNotSent(outcome, sends, at))])


def _on(call: GatewayCall, fact: GatewayCallEvent) -> Change:
    assert call.planned is not None
    return Change(GatewayCall, call.planned.idempotency_key, fact)


def _categorized(outcome: Outcome) -> Outcome:
    """Every failure has a category; a permanent one is hard (domain 5.5)."""
    fallback = "PaymentInformation" if outcome.result_code == "ValidationError" else "PaymentProcessing"
    return replace(
        outcome,
        category=outcome.category or fallback,
        hard=outcome.hard or outcome.result_code == "PermanentFail",
    )


SUBJECT = Subject(GatewayCall, evolve)
