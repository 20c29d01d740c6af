"""What a gateway reports of its payouts: each line is matched to an operation of ours, or shown to a person.

Invariant: one line is one stream, and its first content wins; however often a report is imported, and
whichever file a line came in, it counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from events.money import Money
from events.operations import ExceptionRaised, ExceptionResolved
from events.payout import (
    PayoutCompleted,
    PayoutLineBooked,
    PayoutLineCounted,
    PayoutLineMatched,
    PayoutLineReported,
    PayoutLineUnmatched,
    PayoutReported,
    SettlementReportClosed,
    SettlementReportOpened,
)
from services.calls.calling import GatewayCall
from services.calls.gateway import Gateway
from services.commands import Amount, FreeText, Id, Text, Token, command
from services.decision import Change, Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, not_found
from services.payouts import banking, matching
from services.payouts.payout import (
    ABOUT_NOTHING,
    BankLine,
    LineType,
    Payout,
    PayoutLine,
    SettlementReport,
    case_id,
    evolve,
    evolve_bank_line,
    evolve_line,
    home_of,
    line_id,
    payout_id,
)
from services.tenants.exceptions import ExceptionCase

Ref = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]

_EVOLVE = {Payout: evolve, PayoutLine: evolve_line, BankLine: evolve_bank_line}


@command("payments.settlement_report.open.v1")
class OpenSettlementReport:
    """A file of a gateway's is about to be imported, row by row."""

    report_id: Id
    """An id of the caller's own for it."""
    gateway_id: Id
    format: Text
    source: Text
    """The name of the file."""
    digest: Text
    """SHA-256 in hex of the file's bytes."""
    rows: Count
    unreadable: Count


@command("payments.settlement_report.close.v1")
class CloseSettlementReport:
    """Say that all rows of a report were told, and how many there were."""

    report_id: Id
    gateway_id: Id
    accepted: Count
    """How many of its rows were recorded."""
    rejected: Count
    unreadable: Count


@command("payments.payout.report.v1")
class ReportPayout:
    """What a gateway pays out, in how many lines; below zero, what it debits."""

    gateway_id: Id
    payout_ref: Ref
    amount: Amount
    """What arrives at the bank; below zero, what is debited there."""
    lines: Count
    """How many lines make it up: it is complete when as many are recorded."""
    arrives_on: date | None = None
    report_id: Id | None = None
    """The settlement report that it comes from."""


@dataclass(frozen=True)
class LineNamed:
    """Which line: the payout's name and the line's, both the gateway's own."""

    gateway_id: Id
    payout_ref: Ref
    line_ref: Ref

    @property
    def line_id(self) -> str:
        return line_id(self.gateway_id, self.payout_ref, self.line_ref)


@command("payments.payout.record_line.v1")
class RecordPayoutLine(LineNamed):
    """One line of a payout; amounts as they change it: `gross` less `fee` is `net`."""

    type: LineType
    """What the line is about: a payment, a refund, one that came back, a dispute, a return, or (FEE,
    ADJUSTMENT) nothing of ours."""
    gross: Amount
    fee: Amount
    """What the gateway takes for it; above zero, where it costs."""
    net: Amount
    charged: Amount | None = None
    """`gross` in the currency of the operation, where that is another."""
    gateway_ref: Token | None = None
    original_ref: Token | None = None
    merchant_reference: Text | None = None
    raw_type: Text | None = None
    happened_at: datetime | None = None


@command("payments.payout.match_line.v1")
class MatchPayoutLine(LineNamed):
    """Look again for the operation that a line is about."""


@command("payments.payout.assign_line.v1")
class AssignPayoutLine(LineNamed):
    """A person says which operation a line is about, by its idempotency key; without one, that it is none."""

    note: FreeText
    operation_key: Token | None = None
    """The gateway idempotency key of the operation; without it, it is about none."""


@command("payments.payout.resolve_case.v1")
class ResolvePayoutCase:
    """What a person did about a payout, a line of one, or a line of the bank."""

    gateway_id: Id
    exception_id: Id
    resolution: Text
    note: FreeText


# -- reports


def _open_needs(states: States, command: OpenSettlementReport, context: Context) -> Needs:
    yield Need(SettlementReport, command.report_id)
    yield Need(Gateway, command.gateway_id)


def open_report(states: States, command: OpenSettlementReport, context: Context) -> Changes:
    report = states.get(SettlementReport, command.report_id)
    _check_gateway(states, command.gateway_id)
    if report.opened is not None:
        if report.opened.digest == command.digest:
            return []
        raise Rejected("SETTLEMENT_REPORT_EXISTS", f"the report {command.report_id} is another file")
    opened = SettlementReportOpened(**vars(command), opened_at=context.now)
    return [Change(SettlementReport, command.report_id, opened)]


def _close_needs(states: States, command: CloseSettlementReport, context: Context) -> Needs:
    yield Need(SettlementReport, command.report_id)


def close_report(states: States, command: CloseSettlementReport, context: Context) -> Changes:
    report = states.get(SettlementReport, command.report_id)
    if report.opened is None:
        raise not_found("SETTLEMENT_REPORT", command.report_id)
    if report.closed:
        return []
    closed = SettlementReportClosed(command.accepted, command.rejected, command.unreadable)
    return [Change(SettlementReport, command.report_id, closed)]


# -- payouts


def _report_needs(states: States, command: ReportPayout, context: Context) -> Needs:
    id = payout_id(command.gateway_id, command.payout_ref)
    yield Need(Payout, id)
    yield Need(ExceptionCase, case_id(id))
    yield Need(ExceptionCase, banking.missing_case(id))
    yield Need(Gateway, command.gateway_id)
    yield Documents(context.account_id)
    for line in states.find_documents(context.account_id, BankLine):
        yield Need(BankLine, line)
        yield Need(ExceptionCase, case_id(line))


def report_payout(states: States, command: ReportPayout, context: Context) -> Changes:
    """A bank's line that came before it may be its own."""
    id = payout_id(command.gateway_id, command.payout_ref)
    known = states.get(Payout, id).reported
    _check_gateway(states, command.gateway_id)
    if known is not None:
        if (known.amount, known.lines) == (command.amount, command.lines):
            return []
        raise Rejected("PAYOUT_EXISTS", f"the payout {command.payout_ref} was {known.amount} before")
    reported = PayoutReported(
        id,
        command.gateway_id,
        command.payout_ref,
        command.amount,
        command.lines,
        context.now,
        command.arrives_on,
        command.report_id,
    )
    draft = Draft(states, _EVOLVE)
    draft.record(Payout, id, reported)
    if command.lines == 0:
        _complete(draft, id, context)
    for bank_line in states.documents(context.account_id, BankLine):
        if not draft.get(Payout, id).paid:
            banking.try_again(draft, bank_line, [id], context)
    return draft.changes


def _complete(draft: Draft, id: str, context: Context) -> None:
    """As many lines as were reported are here: their sum is the payout, or a person looks; a line too many
    is counted, too."""
    payout, case = draft.get(Payout, id), draft.get(ExceptionCase, case_id(id))
    assert payout.reported is not None
    amount = payout.reported.amount
    total = Money(payout.total, amount.currency)
    difference = amount - total
    draft.record(Payout, id, PayoutCompleted(payout.lines, total, difference))
    if difference.amount_minor and not case.type:
        message = f"{payout.reported.payout_ref} is {amount}, and its {payout.lines} lines are {total}"
        draft.changes.append(_raised("PAYOUT_TOTAL_DIFFERS", "payout", id, message, difference, context))
    elif not difference.amount_minor and case.type and not case.resolved:
        resolved = ExceptionResolved("ADDED_UP", "the line that was missing is here")
        draft.record(ExceptionCase, case_id(id), resolved)


# -- lines


def _line_needs(states: States, command: RecordPayoutLine, context: Context) -> Needs:
    yield Need(PayoutLine, command.line_id)
    yield Need(Payout, payout_id(command.gateway_id, command.payout_ref))
    yield Need(ExceptionCase, case_id(payout_id(command.gateway_id, command.payout_ref)))
    if command.type not in ABOUT_NOTHING:
        yield from matching.needed(states, _reported(command))


def _reported(command: RecordPayoutLine) -> PayoutLineReported:
    return PayoutLineReported(
        command.line_id,
        payout_id(command.gateway_id, command.payout_ref),
        command.gateway_id,
        command.line_ref,
        command.type,
        command.gross,
        command.fee,
        command.net,
        command.charged,
        command.gateway_ref,
        command.original_ref,
        command.merchant_reference,
        command.raw_type,
        command.happened_at,
    )


def record_line(states: States, command: RecordPayoutLine, context: Context) -> Changes:
    line, reported = states.get(PayoutLine, command.line_id), _reported(command)
    payout = states.get(Payout, reported.payout_id)
    if payout.reported is None:
        raise not_found("PAYOUT", command.payout_ref)
    if line.reported == reported:
        return []
    if line.reported is not None:
        raise Rejected("PAYOUT_LINE_EXISTS", f"the line {command.line_ref} was {line.reported.net} before")
    _check_amounts(command, payout.reported.amount.currency)
    draft = Draft(states, _EVOLVE)
    draft.record(PayoutLine, command.line_id, reported)
    _place(draft, states, reported, context)
    total = Money(payout.total, command.net.currency) + command.net
    counted = PayoutLineCounted(command.line_id, command.net, payout.lines + 1, total)
    draft.record(Payout, reported.payout_id, counted)
    if counted.lines >= payout.reported.lines:
        _complete(draft, reported.payout_id, context)
    return draft.changes


def _check_amounts(command: RecordPayoutLine, currency: str) -> None:
    for amount in (command.gross, command.fee, command.net):
        if amount.currency != currency:
            raise currency_mismatch(currency, amount.currency, f"payout {command.payout_ref}")
    if command.gross - command.fee != command.net:
        raise Rejected(
            "LINE_AMOUNTS_DIFFER",
            f"{command.gross} less {command.fee} is not {command.net}",
            field="data.net",
        )


def _place(draft: Draft, states: States, line: PayoutLineReported, context: Context) -> None:
    if line.type in ABOUT_NOTHING:
        draft.record(PayoutLine, line.line_id, PayoutLineBooked(line.type, line.gross, line.fee))
        return
    found = matching.match(states, line)
    if found is not None:
        draft.record(PayoutLine, line.line_id, _matched(line, found))
        return
    reason = f"nothing of ours is called {_names(line)}"
    draft.record(PayoutLine, line.line_id, PayoutLineUnmatched(reason, line.gross, line.fee))
    message = f"a line of {line.net} ({line.raw_type or line.type}): {reason}"
    draft.changes.append(
        _raised("PAYOUT_LINE_UNMATCHED", "payoutline", line.line_id, message, line.net, context)
    )


def _matched(
    line: PayoutLineReported, found: matching.Match, was_unmatched: bool = False
) -> PayoutLineMatched:
    planned = found.planned
    return PayoutLineMatched(
        planned.target_kind,
        planned.target_id,
        planned.account_id,
        planned.idempotency_key,
        found.by,
        line.gross,
        line.fee,
        was_unmatched,
    )


def _names(line: PayoutLineReported) -> str:
    names = filter(None, (line.gateway_ref, line.original_ref, line.merchant_reference))
    return " or ".join(names) or "nothing: it names no reference"


# -- lines that fitted nothing


def _of(states: States, command: LineNamed) -> PayoutLineReported:
    line = states.get(PayoutLine, command.line_id)
    if line.reported is None:
        raise not_found("PAYOUT_LINE", command.line_ref)
    return line.reported


def _match_needs(states: States, command: MatchPayoutLine, context: Context) -> Needs:
    yield Need(PayoutLine, command.line_id)
    yield Need(ExceptionCase, case_id(command.line_id))
    line = states.find(PayoutLine, command.line_id)
    if line and line.status == "UNMATCHED" and line.reported:
        yield from matching.needed(states, line.reported)


def match_again(states: States, command: MatchPayoutLine, context: Context) -> Changes:
    reported = _of(states, command)
    if states.get(PayoutLine, command.line_id).status != "UNMATCHED":
        return []
    found = matching.match(states, reported)
    if found is None:
        return []
    matched = Change(PayoutLine, command.line_id, _matched(reported, found, was_unmatched=True))
    return [matched, *_closed(states, command.line_id, "MATCHED", "matched after all")]


def _assign_needs(states: States, command: AssignPayoutLine, context: Context) -> Needs:
    yield Need(PayoutLine, command.line_id)
    yield Need(ExceptionCase, case_id(command.line_id))
    if command.operation_key:
        yield Need(GatewayCall, command.operation_key)


def assign(states: States, command: AssignPayoutLine, context: Context) -> Changes:
    reported = _of(states, command)
    if states.get(PayoutLine, command.line_id).status != "UNMATCHED":
        return []
    fact: PayoutLineMatched | PayoutLineBooked = PayoutLineBooked(
        reported.type, reported.gross, reported.fee, was_unmatched=True, note=command.note
    )
    if command.operation_key is not None:
        planned = states.get(GatewayCall, command.operation_key).planned
        if planned is None or planned.operation not in matching.MEANT[reported.type]:
            raise not_found("OPERATION", command.operation_key)
        fact = _matched(reported, matching.Match(planned, "OPERATOR"), was_unmatched=True)
    assigned = Change(PayoutLine, command.line_id, fact)
    return [assigned, *_closed(states, command.line_id, "ASSIGNED", command.note)]


# -- cases


def _raised(type: str, kind: str, id: str, message: str, amount: Money, context: Context) -> Change:
    fact = ExceptionRaised(case_id(id), type, context.account_id, kind, id, message, amount)
    return Change(ExceptionCase, case_id(id), fact, new=True)


def _closed(states: States, id: str, resolution: str, note: str) -> Changes:
    case = states.get(ExceptionCase, case_id(id))
    if not case.type or case.resolved:
        return []
    return [Change(ExceptionCase, case_id(id), ExceptionResolved(resolution, note))]


def _resolve_needs(states: States, command: ResolvePayoutCase, context: Context) -> Needs:
    yield Need(ExceptionCase, command.exception_id)


def resolve_case(states: States, command: ResolvePayoutCase, context: Context) -> Changes:
    case = states.get(ExceptionCase, command.exception_id)
    if not case.type:
        raise not_found("EXCEPTION", command.exception_id)
    if case.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the exception belongs to {case.account_id}")
    if case.resolved:
        return []
    resolved = ExceptionResolved(command.resolution, command.note)
    return [Change(ExceptionCase, command.exception_id, resolved)]


def _check_gateway(states: States, gateway_id: str) -> None:
    if not states.get(Gateway, gateway_id).status:
        raise not_found("GATEWAY", gateway_id)


OfGateway = OpenSettlementReport | CloseSettlementReport | ReportPayout | LineNamed | ResolvePayoutCase


def home(command: OfGateway, tenant: str) -> str:
    return home_of(command.gateway_id)


REPORT_RULES = (
    Rule(OpenSettlementReport, _open_needs, open_report, home),
    Rule(CloseSettlementReport, _close_needs, close_report, home),
)
RULES = (
    Rule(ReportPayout, _report_needs, report_payout, home),
    Rule(ResolvePayoutCase, _resolve_needs, resolve_case, home),
)
LINE_RULES = (
    Rule(RecordPayoutLine, _line_needs, record_line, home),
    Rule(MatchPayoutLine, _match_needs, match_again, home),
    Rule(AssignPayoutLine, _assign_needs, assign, home),
)
