"""Settling: what a line of a payout says of an account's payment or refund, taken as a fact.

Invariant: whatever a gateway pays out or takes is booked, once for each line; what does not fit, by its
amount, its state or because it was settled before, is a case for a person besides.
"""

from __future__ import annotations

from typing import Literal

from events import ids
from events.money import Money
from events.operations import ExceptionRaised, ExceptionResolved
from events.payout import PaymentSettledByGateway, PaymentTakenBackByGateway, RefundSettledByGateway
from events.shapes import Outcome
from services.applications.guards import check_payment
from services.commands import Amount, Id, Token, command
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, not_found
from services.payments import arriving
from services.payments.arriving import RecordPaymentOutcome
from services.payments.payment import Payment
from services.payouts.matching import magnitude
from services.refunds import refund_outcomes, requesting
from services.refunds.refund import Refund
from services.refunds.refund_outcomes import RecordRefundOutcome
from services.tenants import exceptions
from services.tenants.exceptions import ExceptionCase

OperationLine = Literal["PAYMENT", "REFUND", "REFUND_REVERSED", "CHARGEBACK", "CHARGEBACK_REVERSED", "RETURN"]

_RULES = {rule.command: rule for rule in (*arriving.RULES, *refund_outcomes.RULES)}
_FITS = {
    "CHARGEBACK": "no dispute of it is known",
    "RETURN": "no return of it is known",
}

Report = RecordPaymentOutcome | RecordRefundOutcome


@command("payments.payout.settle_line.v1")
class SettlePayoutLine:
    """What a line of a payout says of an operation of this account's; amounts as they change the payout."""

    payout_id: Id
    line_id: Id
    """The id of the payout's line here."""
    type: OperationLine
    """What the line is about."""
    target_kind: Literal["payment", "refund"]
    target_id: Id
    operation_key: Token
    amount: Amount
    """How much, in the currency of the operation."""
    settled: Amount
    """The same in the payout's currency."""
    fee: Amount
    gateway_ref: Token | None = None


@command("payments.payment.report_missing_settlement.v1")
class ReportMissingSettlement:
    """A payment that its gateway should have paid out by now, and has not."""

    payment_id: Id


def missing_case(payment_id: str) -> str:
    return ids.part_id(f"payment/{payment_id}", "settlement missing")


def _needs(states: States, command: SettlePayoutLine, context: Context) -> Needs:
    yield Need(Refund if command.target_kind == "refund" else Payment, command.target_id)
    if command.target_kind == "payment":
        yield Need(ExceptionCase, missing_case(command.target_id))
    report = _report(command)
    yield from _RULES[type(report)].needs(states, report, context)


def settle(states: States, command: SettlePayoutLine, context: Context) -> Changes:
    return (
        _refund(states, command, context)
        if command.target_kind == "refund"
        else _payment(states, command, context)
    )


def _report(command: SettlePayoutLine) -> Report:
    """Who pays it out, or takes it, has carried it out: for an operation whose outcome was not known."""
    outcome = Outcome("Success", gateway_ref=command.gateway_ref, processed_amount=magnitude(command.amount))
    told = RecordRefundOutcome if command.target_kind == "refund" else RecordPaymentOutcome
    return told(command.operation_key, "NOTIFICATION", outcome)


# -- payments


def _payment(states: States, command: SettlePayoutLine, context: Context) -> Changes:
    id, payment = command.target_id, states.get(Payment, command.target_id)
    check_payment(payment, id, context)
    if command.line_id in payment.settled_by:
        return []
    draft = Draft(states, requesting.EVOLVE)
    if command.type != "PAYMENT":
        return _taken_back(draft, command, context)
    if payment.in_flight or payment.status == "FAILED":
        _told(draft, states, command, context)
    payment = draft.get(Payment, id)
    why = _unfit(
        command.amount, payment.received, payment.settled, payment.currency, payment.status, "payment"
    )
    room = max(0, payment.received - payment.settled) if command.amount.currency == payment.currency else 0
    excess = Money(max(0, command.amount.amount_minor - room), command.amount.currency)
    settled = PaymentSettledByGateway(
        command.payout_id, command.line_id, command.amount, command.settled, command.fee, excess
    )
    draft.record(Payment, id, settled)
    draft.extend(_no_longer_missing(states, id))
    draft.extend(_shown(command, why, context))
    return draft.changes


def _told(draft: Draft, states: States, command: SettlePayoutLine, context: Context) -> None:
    report = _report(command)
    draft.extend(_RULES[type(report)].decide(states, report, context))


def _taken_back(draft: Draft, command: SettlePayoutLine, context: Context) -> Changes:
    payment = draft.get(Payment, command.target_id)
    expected = 0 < command.fee.amount_minor == payment.dispute_fee_due
    expected = expected and command.fee.currency == payment.currency
    taken = PaymentTakenBackByGateway(
        command.payout_id,
        command.line_id,
        command.type,
        -command.amount,
        -command.settled,
        command.fee,
        expected,
    )
    why = None
    if command.type == "CHARGEBACK" and not (
        payment.disputes or payment.disputed_lost or payment.was_disputed
    ):
        why = "SETTLEMENT_UNEXPECTED", _FITS["CHARGEBACK"]
    elif command.type == "RETURN" and payment.status != "RETURNED":
        why = "SETTLEMENT_UNEXPECTED", _FITS["RETURN"]
    elif magnitude(command.amount) > Money(payment.received, command.amount.currency):
        why = "SETTLEMENT_AMOUNT_DIFFERS", f"{magnitude(command.amount)} is more than it was"
    draft.record(Payment, command.target_id, taken)
    draft.extend(_shown(command, why, context))
    return draft.changes


def _no_longer_missing(states: States, payment_id: str) -> Changes:
    id = missing_case(payment_id)
    case = states.get(ExceptionCase, id)
    if not case.type or case.resolved:
        return []
    return [Change(ExceptionCase, id, ExceptionResolved("SETTLED", "its gateway has paid it out"))]


# -- refunds


def _refund(states: States, command: SettlePayoutLine, context: Context) -> Changes:
    id, refund = command.target_id, states.get(Refund, command.target_id)
    if not refund.status:
        raise not_found("REFUND", id)
    if refund.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the refund {id} belongs to another account")
    if command.line_id in refund.settled_by:
        return []
    draft = Draft(states, requesting.EVOLVE)
    if command.type == "REFUND" and (refund.in_flight or refund.status == "FAILED"):
        _told(draft, states, command, context)
    refund, amount = draft.get(Refund, id), -command.amount
    if command.type == "REFUND":
        done = refund.amount if refund.status in ("PROCESSED", "REVERSED") else 0
        why = _unfit(amount, done, refund.settled, refund.currency, refund.status, "refund")
        room = max(0, done - refund.settled) if amount.currency == refund.currency else 0
    else:
        why = (
            None
            if refund.status == "REVERSED"
            else ("SETTLEMENT_UNEXPECTED", "nobody told that it came back")
        )
        room = 0
    excess = Money(max(0, amount.amount_minor - room), amount.currency)
    settled = RefundSettledByGateway(
        command.payout_id, command.line_id, amount, -command.settled, command.fee, excess
    )
    draft.record(Refund, id, settled)
    draft.extend(_shown(command, why, context))
    return draft.changes


# -- what does not fit


def _unfit(
    amount: Money, done: int, settled: int, currency: str, status: str, what: str
) -> tuple[str, str] | None:
    if done == 0:
        return "SETTLEMENT_UNEXPECTED", f"the {what} is {status}"
    if settled >= done:
        return "SETTLEMENT_DUPLICATE", f"the {what} was settled before"
    if amount != Money(done, currency):
        return "SETTLEMENT_AMOUNT_DIFFERS", f"the {what} was {Money(done, currency)}"
    return None


def _shown(command: SettlePayoutLine, why: tuple[str, str] | None, context: Context) -> Changes:
    if why is None:
        return []
    type, reason = why
    message = f"a payout has {command.amount} of it ({command.type}): {reason}"
    amount = magnitude(command.amount)
    return [exceptions.raised(context, type, command.target_kind, command.target_id, message, amount)]


# -- what its gateway has not paid out


def _missing_needs(states: States, command: ReportMissingSettlement, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield Need(ExceptionCase, missing_case(command.payment_id))


def report_missing(states: States, command: ReportMissingSettlement, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    check_payment(payment, command.payment_id, context)
    if payment.gateway_id is None:
        raise Rejected("PAYMENT_NOT_GATEWAY_LINKED", "no gateway pays it out")
    case_id = missing_case(command.payment_id)
    if payment.settled or payment.status != "PROCESSED" or states.get(ExceptionCase, case_id).type:
        return []
    amount = Money(payment.received, payment.currency)
    message = f"{payment.gateway_id} has taken it, and no payout has it"
    raised = ExceptionRaised(
        case_id, "SETTLEMENT_MISSING", context.account_id, "payment", command.payment_id, message, amount
    )
    return [Change(ExceptionCase, case_id, raised)]


RULES = (
    Rule(SettlePayoutLine, _needs, settle),
    Rule(ReportMissingSettlement, _missing_needs, report_missing),
)
