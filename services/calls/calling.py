"""Calls to gateways: planned once under one key, and settled once, whatever the source of the news.

Invariant: nothing but a decision mints a key; a call whose outcome is unknown is
inquired about and never sent; facts that do not advance it change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, NamedTuple

import orjson

from events.frozen import frozen
from events.gateway import Capabilities
from events.gateway_call import (
    GatewayCallEvent,
    GatewayCallNotSent,
    GatewayCallPending,
    GatewayCallPlanned,
    GatewayCallRejected,
    GatewayCallSucceeded,
    GatewayCallTimedOut,
    GatewayOutcomeResolved,
    GatewayReplayPlanned,
    GatewayResolutionProposed,
    GatewayStatusQueried,
)
from events.shapes import Outcome
from gateways import codes
from services.calls.gateway import Gateway
from services.commands import FreeText, Token
from services.decision import Change, Context, Need, Needs, States, Subject
from services.errors import Rejected
from services.tenants import tenant_settings

RESEND_SECONDS = (1, 5, 30, 120)
"""A call that never reached the gateway is sent again after these pauses, under the same key."""

Source = Literal["GATEWAY", "NOTIFICATION", "RECONCILER", "OPERATOR"]

DATA_REJECTED = "EnhancedDataRejected"
"""The gateway executed nothing, for the sake of the Level 2 and 3 data alone."""

DECLINES = frozenset({"Decline", "PermanentFail", "ValidationError", DATA_REJECTED})
WAITING = {"Pending": "PENDING", "ActionRequired": "REQUIRES_ACTION", "RequiresReview": "REQUIRES_REVIEW"}


@frozen
class Report:
    """News about an operation: the shape of every `Record…Outcome` command.

    `result.result_code` is one of `gateways.protocol.RESULT_CODES`, or `NotFound` (an inquiry found
    nothing; with `not_executed` when the gateway documents that this means "not executed", after its
    delay), or `Reversed` (a refund came back from the customer's bank).  RECONCILER is the source of
    inquiries.
    """

    operation_key: Token
    source: Source
    result: Outcome
    """What the gateway answered."""
    not_executed: bool = False
    """Of an inquiry that found nothing: its gateway documents that it was not executed then."""
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
    sent_at: datetime | None = None
    """When the gateway may first have seen its key."""
    unknown_since: datetime | None = None
    contradicted: bool = False
    replayed: bool = False
    """Its request was, or will be, sent once more under the same key, to hear what became of it."""
    replaying: bool = False
    proposed: GatewayResolutionProposed | None = None
    """What one person says became of it, where two must."""

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
            call.replaying = False
        case GatewayCallTimedOut():
            call.status, call.queries = "UNKNOWN", 0
            call.unknown_since = event.unknown_since or event.sent_at
            call.sent_at = call.sent_at or event.sent_at or call.unknown_since
        case GatewayCallNotSent():
            call.sends = event.sends
            call.status = "PLANNED" if event.retry_at else "FAILED"
        case GatewayStatusQueried():
            call.queries, call.replaying = event.queries, False
            call.status = "REVIEW" if event.next_query_at is None else call.status
        case GatewayReplayPlanned():
            call.queries, call.replayed, call.replaying = event.queries, True, True
        case GatewayResolutionProposed():
            call.proposed = event
        case GatewayOutcomeResolved():
            call.contradicted = call.contradicted or event.contradicts
            if not event.contradicts or event.outcome.result_code == "Success":
                call.status = "SUCCEEDED" if event.outcome.result_code == "Success" else "FAILED"


def mint_key(context: Context, operation: str, origin: str, attempt_no: int) -> str:
    """The idempotency key of one attempt at one operation.

    Ids may hold colons: theirs are written as `%3A`, which no id can hold, so two keys never meet.
    """
    parts = context.tenant, operation.lower(), origin, str(attempt_no)
    key = ":".join(part.replace(":", "%3A") for part in parts)
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


class _News(NamedTuple):
    """A report on a call, and what is needed to judge it."""

    call: GatewayCall
    report: Report
    now: datetime
    poll: Sequence[int]
    can: Capabilities

    @property
    def code(self) -> str:
        return self.report.result.result_code


def needed(states: States, operation_key: str, context: Context) -> Needs:
    """The call, the settings, and the gateway: what it takes to settle a report."""
    yield Need(GatewayCall, operation_key)
    yield tenant_settings.needed(context)
    call = states.find(GatewayCall, operation_key)
    if call and call.planned:
        yield Need(Gateway, call.planned.gateway_id)


def check_evidence(evidence: str) -> None:
    """A person's word alone is none."""
    if not evidence.strip():
        raise Rejected("MALFORMED_REQUEST", "say how you know", field="data.evidence")


def settle(states: States, report: Report, context: Context) -> tuple[GatewayCallPlanned, Settled]:
    """The call, and what the report makes of it.

    Raises `OPERATION_NOT_FOUND` for a key that was never planned.
    """
    call = states.get(GatewayCall, report.operation_key)
    if call.planned is None:
        raise Rejected("OPERATION_NOT_FOUND", f"no operation has the key {report.operation_key}")
    poll = tenant_settings.of(states, context)["unknown_outcome_poll"]
    can = states.get(Gateway, call.planned.gateway_id).capabilities
    return call.planned, _settled(_News(call, report, context.now, poll, can))


def _settled(news: _News) -> Settled:
    call, report, outcome = news.call, news.report, news.report.result
    if news.code == "Reversed":
        return _came_back(call, report)
    if call.known:
        return _after_the_end(call, report)
    if news.code == "Success":
        return Settled("PROCESSED", outcome, [_ended(call, report, GatewayCallSucceeded)])
    if news.code in DECLINES:
        refused = replace(report, result=_categorized(call, outcome))
        return Settled("FAILED", refused.result, [_ended(call, refused, GatewayCallRejected)])
    if news.code in WAITING:
        return _waiting(news)
    if _is_not_executed(news):
        return _not_sent(news)
    return _unknown(news) if call.status == "PLANNED" else _still_unknown(news)


def _came_back(call: GatewayCall, report: Report) -> Settled:
    """Its money was sent, and returned: that it was sent may be news, too."""
    if call.status == "FAILED":  # taken for failed, its money is where it would be now
        return Settled("NOTHING", report.result, [])
    sent = replace(
        report, result=replace(report.result, result_code="Success", raw_code=None, raw_message=None)
    )
    changes = [] if call.status == "SUCCEEDED" else [_ended(call, sent, GatewayCallSucceeded)]
    return Settled("REVERSED", report.result, changes)


def _after_the_end(call: GatewayCall, report: Report) -> Settled:
    """Late truth: it may contradict what was taken for known, once."""
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


def _waiting(news: _News) -> Settled:
    """Acknowledged: asked about until it is known, at the last pause for as long as it takes."""
    call, report = news.call, news.report
    heard_before = call.status == "PENDING"
    if call.status == "REVIEW" or (heard_before and report.source != "RECONCILER"):
        return Settled("NOTHING", report.result, [])
    queries = call.queries + heard_before
    at = news.now + timedelta(seconds=news.poll[min(queries, len(news.poll) - 1)])
    pending = GatewayCallPending(report.source, report.result, at, report.sent_at)
    return Settled("NOTHING" if heard_before else WAITING[news.code], report.result, [_on(call, pending)], at)


def _is_not_executed(news: _News) -> bool:
    """Only a call that ended before the gateway had it; or one that the gateway does not know, long
    enough after it was sent for the gateway to vouch for that.

    An inquiry that fails says nothing about the call, and what was acknowledged cannot be unknown.
    """
    call, report = news.call, news.report
    if news.code == "SystemError":
        return call.status == "PLANNED" and report.source == "GATEWAY"
    delay = news.can.read_your_writes_seconds if news.can.query_by_reference else None
    vouched = report.not_executed and news.code == "NotFound" and delay is not None
    if not vouched or call.status != "UNKNOWN" or call.unknown_since is None:
        return False
    return news.now >= call.unknown_since + timedelta(seconds=delay or 0)


def _unknown(news: _News) -> Settled:
    """It was sent, or may have been, and nobody knows what became of it."""
    outcome = news.report.result
    at = news.now + timedelta(seconds=news.poll[0])
    reason = outcome.raw_message or news.code
    unknown = GatewayCallTimedOut(news.report.sent_at, reason, at, unknown_since=news.now)
    return Settled("UNKNOWN", outcome, [_on(news.call, unknown)], at)


def _still_unknown(news: _News) -> Settled:
    """An inquiry settled nothing: the next one is due, or, after the last, a person must look."""
    call, report = news.call, news.report
    asked = report.source == "RECONCILER" or (call.replaying and report.source == "GATEWAY")
    if not asked or call.status == "REVIEW":
        return Settled("NOTHING", report.result, [])
    queries = call.queries + 1
    if _may_replay(news):
        replay = GatewayReplayPlanned(queries, news.now)
        return Settled("NOTHING", report.result, [_on(call, replay)], news.now)
    at = _next_query_at(news, queries)
    found = "NOT_FOUND" if news.code == "NotFound" else "UNREACHABLE"
    changes = [_on(call, GatewayStatusQueried(queries, found, at))]
    return Settled("REQUIRES_REVIEW" if at is None else "NOTHING", report.result, changes, at)


def _may_replay(news: _News) -> bool:
    """Sent again under its key, once: all the inquiry that there is where keys are honoured and no
    questions answered."""
    call, can = news.call, news.can
    silent = can.idempotency and not can.query_by_reference
    return silent and call.status == "UNKNOWN" and not call.replayed and _key_is_live(news, news.now)


def _next_query_at(news: _News, queries: int) -> datetime | None:
    last = len(news.poll) - 1
    if news.call.status == "PENDING":
        return news.now + timedelta(seconds=news.poll[min(queries, last)])
    if queries > last:
        return None
    since = news.call.unknown_since or news.now
    return max(news.now, since + timedelta(seconds=news.poll[queries]))


def _not_sent(news: _News) -> Settled:
    """It is certain that nothing was executed: sent again under the same key, while that is possible."""
    call, outcome = news.call, news.report.result
    sends = call.sends + 1
    if sends <= len(RESEND_SECONDS):
        pause = max(RESEND_SECONDS[sends - 1], outcome.retry_after_seconds or 0)
        at = news.now + timedelta(seconds=pause)
        if _key_is_live(news, at):
            return Settled("NOTHING", outcome, [_on(call, GatewayCallNotSent(outcome, sends, at))])
    failed = replace(outcome, result_code="SystemError", category="GatewayConnection", hard=False)
    return Settled("FAILED", failed, [_on(call, GatewayCallNotSent(failed, sends, None))])


def _key_is_live(news: _News, at: datetime) -> bool:
    """A key that the gateway has seen is replayed only for as long as it remembers keys."""
    if news.call.sent_at is None or not news.can.idempotency:
        return True
    return at <= news.call.sent_at + timedelta(hours=news.can.idempotency_key_hours)


def _on(call: GatewayCall, fact: GatewayCallEvent) -> Change:
    assert call.planned is not None
    return Change(GatewayCall, call.planned.idempotency_key, fact)


def _categorized(call: GatewayCall, outcome: Outcome) -> Outcome:
    """Every failure has a category; a permanent one is hard; a network may say to wait.

    Data that were never sent are no reason to refuse anything: it is then some other data that is wrong.
    """
    assert call.planned is not None
    if outcome.result_code == DATA_REJECTED and call.planned.enhanced is None:
        outcome = replace(outcome, result_code="ValidationError")
    wrong_data = outcome.result_code in ("ValidationError", DATA_REJECTED)
    fallback = "PaymentInformation" if wrong_data else "PaymentProcessing"
    return replace(
        outcome,
        category=outcome.category or fallback,
        hard=outcome.hard or outcome.result_code == "PermanentFail",
        retry_after_seconds=outcome.retry_after_seconds or codes.advised_seconds(outcome.network_advice),
    )


SUBJECT = Subject(GatewayCall, evolve)
