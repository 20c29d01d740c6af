"""The bank's word: a line of a statement is the payout that it names, or the only one of its amount.

Invariant: a payout is paid in once; a line that fits none, or that is another amount, is a case for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Annotated

from pydantic import StringConstraints

from events.money import Money
from events.operations import ExceptionRaised, ExceptionResolved
from events.payout import (
    BankLineMatched,
    BankLineReported,
    BankLineSetAside,
    BankLineUnmatched,
    PayoutPaidIn,
)
from services.calls.gateway import Gateway
from services.commands import Amount, FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found
from services.payouts.payout import (
    BankLine,
    Payout,
    bank_line_id,
    case_id,
    evolve,
    evolve_bank_line,
    home_of,
    payout_id,
)
from services.tenants.exceptions import ExceptionCase

NEAR_DAYS = 10
"""A bank may be so late, or so early, that an amount alone still says which payout it is."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]

_EVOLVE = {Payout: evolve, BankLine: evolve_bank_line}


@command("payments.bank_line.record.v1")
class RecordBankLine:
    """A line of a bank statement that is a payout of a gateway, or should be."""

    gateway_id: Id
    bank_account: Name
    reference: Name
    """The bank's own reference of the line: unique at its account."""
    amount: Amount
    """What came in; below zero, what went out."""
    booked_on: date
    text: FreeText = ""


@command("payments.bank_line.assign.v1")
class AssignBankLine:
    """A person says which payout a line of the bank is; without one, that it is none."""

    gateway_id: Id
    bank_account: Name
    reference: Name
    """The bank's own reference of the line: unique at its account."""
    note: FreeText
    payout_ref: Text | None = None
    """The gateway's own name of the payout; without it, it is none."""


@command("payments.payout.report_not_paid_in.v1")
class ReportPayoutNotPaidIn:
    """A payout that the bank should have by now, and has not."""

    gateway_id: Id
    payout_ref: Text


def _needs(states: States, command: RecordBankLine, context: Context) -> Needs:
    yield Need(BankLine, bank_line_id(command.bank_account, command.reference))
    yield Need(Gateway, command.gateway_id)
    yield from _open_payouts(states, context)


def _open_payouts(states: States, context: Context) -> Needs:
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, Payout):
        yield Need(Payout, id)
        yield Need(ExceptionCase, missing_case(id))


def record(states: States, command: RecordBankLine, context: Context) -> Changes:
    id = bank_line_id(command.bank_account, command.reference)
    if not states.get(Gateway, command.gateway_id).status:
        raise not_found("GATEWAY", command.gateway_id)
    reported = BankLineReported(
        id,
        command.gateway_id,
        command.bank_account,
        command.amount,
        command.booked_on,
        command.text,
        command.reference,
    )
    known = states.get(BankLine, id).reported
    if known == reported:
        return []
    if known is not None:
        raise Rejected("BANK_LINE_EXISTS", f"the line {command.reference} was {known.amount} before")
    draft = Draft(states, _EVOLVE)
    draft.record(BankLine, id, reported)
    if not _match(draft, id, states.documents(context.account_id, Payout), context):
        reason = "no payout that is open is called so, or is alone of that amount"
        draft.record(BankLine, id, BankLineUnmatched(reason))
        message = f"the bank has {command.amount} of {command.booked_on} ({command.text[:200]}): {reason}"
        _raise(draft, "BANK_LINE_UNMATCHED", "bankline", id, message, command.amount, context)
    return draft.changes


def try_again(draft: Draft, line_id: str, payout_ids: Sequence[str], context: Context) -> None:
    """A line that fitted nothing may fit a payout that is known only now."""
    if _match(draft, line_id, payout_ids, context):
        case = draft.get(ExceptionCase, case_id(line_id))
        if case.type and not case.resolved:
            resolved = ExceptionResolved("MATCHED", "its payout was reported after it")
            draft.record(ExceptionCase, case_id(line_id), resolved)


def _match(draft: Draft, line_id: str, payout_ids: Iterable[str], context: Context) -> bool:
    line = draft.get(BankLine, line_id).reported
    assert line is not None
    payouts = [(id, draft.get(Payout, id)) for id in payout_ids]
    same = [(id, payout) for id, payout in payouts if payout.reported and _same_currency(payout, line.amount)]
    named = [id for id, payout in same if _names(line, payout)]
    alone = [id for id, payout in same if _is_of_that_amount(line, payout)]
    for by, found in (("REFERENCE", named), ("AMOUNT", alone)):
        if len(found) == 1:
            _pay_in(draft, line, found[0], by, context)
            return True
    return False


def _same_currency(payout: Payout, amount: Money) -> bool:
    return payout.reported is not None and payout.reported.amount.currency == amount.currency


def _names(line: BankLineReported, payout: Payout) -> bool:
    assert payout.reported is not None
    return payout.reported.payout_ref.lower() in f"{line.reference} {line.text}".lower().split()


def _is_of_that_amount(line: BankLineReported, payout: Payout) -> bool:
    assert payout.reported is not None
    day = payout.reported.arrives_on or payout.reported.reported_at.date()
    return payout.reported.amount == line.amount and _near(day, line.booked_on)


def _near(one: date, other: date) -> bool:
    return abs(one - other) <= timedelta(days=NEAR_DAYS)


def _pay_in(draft: Draft, line: BankLineReported, id: str, by: str, context: Context) -> None:
    reported = draft.get(Payout, id).reported
    assert reported is not None
    difference = line.amount - reported.amount
    draft.record(BankLine, line.bank_line_id, BankLineMatched(id, by))
    paid = PayoutPaidIn(line.bank_line_id, line.amount, difference, line.booked_on)
    draft.record(Payout, id, paid)
    missing = draft.get(ExceptionCase, missing_case(id))
    if missing.type and not missing.resolved:
        draft.record(ExceptionCase, missing_case(id), ExceptionResolved("PAID_IN", "the bank has it"))
    if difference.amount_minor:
        message = f"{reported.payout_ref} is {reported.amount}, and the bank has {line.amount}"
        amount_case = f"{line.bank_line_id}/amount"
        _raise(draft, "BANK_AMOUNT_DIFFERS", "payout", amount_case, message, difference, context, id)


def missing_case(id: str) -> str:
    return case_id(f"{id}/not paid in")


def _raise(
    draft: Draft,
    type: str,
    kind: str,
    id: str,
    message: str,
    amount: Money,
    context: Context,
    subject_id: str | None = None,
) -> None:
    fact = ExceptionRaised(case_id(id), type, context.account_id, kind, subject_id or id, message, amount)
    draft.changes.append(Change(ExceptionCase, case_id(id), fact, new=True))


# -- what a person says


def _assign_needs(states: States, command: AssignBankLine, context: Context) -> Needs:
    id = bank_line_id(command.bank_account, command.reference)
    yield Need(BankLine, id)
    yield Need(ExceptionCase, case_id(id))
    if command.payout_ref:
        payout = payout_id(command.gateway_id, command.payout_ref)
        yield Need(Payout, payout)
        yield Need(ExceptionCase, missing_case(payout))


def assign(states: States, command: AssignBankLine, context: Context) -> Changes:
    id = bank_line_id(command.bank_account, command.reference)
    line = states.get(BankLine, id)
    if line.reported is None:
        raise not_found("BANK_LINE", command.reference)
    if line.status != "UNMATCHED":
        raise invalid_state("bank line", line.status, ["UNMATCHED"])
    draft = Draft(states, _EVOLVE)
    if command.payout_ref is not None:
        payout = payout_id(command.gateway_id, command.payout_ref)
        known = draft.get(Payout, payout)
        if known.reported is None or not _same_currency(known, line.reported.amount):
            raise not_found("PAYOUT", command.payout_ref)
        if known.paid:
            raise invalid_state("payout", "PAID", ["OPEN", "COMPLETE"])
        _pay_in(draft, line.reported, payout, "OPERATOR", context)
    else:
        draft.record(BankLine, id, BankLineSetAside(command.note))
    case = states.get(ExceptionCase, case_id(id))
    if case.type and not case.resolved:
        draft.record(ExceptionCase, case_id(id), ExceptionResolved("ASSIGNED", command.note))
    return draft.changes


def _missing_needs(states: States, command: ReportPayoutNotPaidIn, context: Context) -> Needs:
    id = payout_id(command.gateway_id, command.payout_ref)
    yield Need(Payout, id)
    yield Need(ExceptionCase, missing_case(id))


def report_not_paid_in(states: States, command: ReportPayoutNotPaidIn, context: Context) -> Changes:
    id = payout_id(command.gateway_id, command.payout_ref)
    payout = states.get(Payout, id)
    if payout.reported is None:
        raise not_found("PAYOUT", command.payout_ref)
    if payout.paid or states.get(ExceptionCase, missing_case(id)).type:
        return []
    amount = payout.reported.amount
    message = f"{command.gateway_id} says that it has paid {amount} out, and the bank does not have it"
    fact = ExceptionRaised(
        missing_case(id), "PAYOUT_NOT_PAID_IN", context.account_id, "payout", id, message, amount
    )
    return [Change(ExceptionCase, missing_case(id), fact)]


def _home(command: RecordBankLine | AssignBankLine | ReportPayoutNotPaidIn, tenant: str) -> str:
    return home_of(command.gateway_id)


BANK_LINE_RULES = (
    Rule(RecordBankLine, _needs, record, _home),
    Rule(AssignBankLine, _assign_needs, assign, _home),
)
PAYOUT_RULES = (Rule(ReportPayoutNotPaidIn, _missing_needs, report_not_paid_in, _home),)
