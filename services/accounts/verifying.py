"""Verifying: who was sent micro-deposits says what they were, and his bank account can be charged.

Invariant: the gateway compares, never we; a wrong guess costs one of a few tries, and after the
last one the method is of no use until it is tokenized anew.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from events.gateway_call import MicroDeposits
from events.money import Money
from events.payment_method import (
    PaymentMethodActivated,
    PaymentMethodErrored,
    PaymentMethodVerificationFailed,
    PaymentMethodVerificationRequested,
)
from events.shapes import Method
from services.accounts import method_health
from services.accounts.account import Account
from services.accounts.method_rules import claiming
from services.accounts.payment_method import SavedMethod
from services.calls import calling
from services.calls.calling import Report, Settled
from services.calls.gateway import Gateway, check_accepts
from services.commands import Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found

OPERATION = "VERIFY"
TRIES_MAX = 3
FINAL = ("attempts_exceeded", "timeout")
"""How a gateway's own words end where trying again is of no use."""

DepositMinor = Annotated[int, Field(ge=1, le=99)]
DescriptorCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{6}$")]


@command("payments.payment_method.verify_micro_deposits.v1")
class VerifyMicroDeposits:
    """What the holder saw on his statement: the two amounts in minor units, or the code in their text."""

    method_id: Id
    amounts: Annotated[tuple[DepositMinor, ...], Field(max_length=2)] = ()
    """The two amounts that arrived, in minor units, such as 32 and 45."""
    descriptor_code: DescriptorCode | None = None


def _needs(states: States, command: VerifyMicroDeposits, context: Context) -> Needs:
    yield Need(SavedMethod, command.method_id)
    method = states.find(SavedMethod, command.method_id)
    if method and method.gateway_id:
        yield Need(Gateway, method.gateway_id)


def verify(states: States, command: VerifyMicroDeposits, context: Context) -> Changes:
    method = states.get(SavedMethod, command.method_id)
    if not method.status:
        raise not_found("METHOD", command.method_id)
    if method.account_id != context.account_id:
        raise Rejected("METHOD_NOT_OWNED_BY_ACCOUNT", "the method belongs to another account")
    _check_told(command)
    if method.awaits != "MICRO_DEPOSITS":
        raise invalid_state("payment method", method.status, ["AWAITING micro-deposits"])
    if method.verifying:
        raise Rejected("OPERATION_IN_FLIGHT", "what was told before is being compared", id=command.method_id)
    nothing, attempt_no = Money(0, _currency(states, method)), method.verifications + 1
    gateway = states.get(Gateway, method.gateway_id)
    check_accepts(gateway, method.gateway_id, OPERATION, nothing, method.type)
    key, planned = calling.plan(
        context,
        origin=f"{command.method_id}.{method.attempt_no}",
        operation=OPERATION,
        attempt_no=attempt_no,
        target_kind="spm",
        target_id=command.method_id,
        gateway_id=method.gateway_id,
        amount=nothing,
        merchant_reference=command.method_id,
        method=Method(method.type, method.token_ref, method.gateway_id, command.method_id),
        payment_ref=method.token_ref,
        initiator="CUSTOMER",
        micro_deposits=MicroDeposits(command.amounts, command.descriptor_code),
    )
    requested = PaymentMethodVerificationRequested(attempt_no, key, context.now)
    return [Change(SavedMethod, command.method_id, requested), planned]


def _check_told(command: VerifyMicroDeposits) -> None:
    """Raises `MALFORMED_REQUEST` unless there is exactly one of both amounts and a code."""
    if len(command.amounts) != (0 if command.descriptor_code else 2):
        message = "give the two amounts, or the code of six letters and digits"
        raise Rejected("MALFORMED_REQUEST", message, field="data.amounts")


def _currency(states: States, method: SavedMethod) -> str:
    return (states.get(Gateway, method.gateway_id).capabilities.currencies or ("USD",))[0]


def compared(
    method: SavedMethod, owner: Account, settled: Settled, report: Report, context: Context
) -> Changes:
    """What the gateway makes of it."""
    outcome, id = settled.outcome, method.method_id
    if method.status != "AWAITING" or method.awaits != "MICRO_DEPOSITS":
        return []  # it was heard otherwise meanwhile
    if settled.verdict in ("PROCESSED", "LATE_SUCCESS"):
        token = outcome.gateway_ref or method.token_ref
        activated = PaymentMethodActivated(report.source, token)
        return [claiming(method, token, ""), Change(SavedMethod, id, activated)]
    if settled.verdict != "FAILED":
        return []
    last = (outcome.raw_code or "").endswith(FINAL)
    left = 0 if last else max(TRIES_MAX - method.verifications, 0)
    failed = PaymentMethodVerificationFailed(method.verifications, left, outcome.raw_code, outcome.category)
    if left:
        return [Change(SavedMethod, id, failed)]
    errored = PaymentMethodErrored(report.source, outcome.category, outcome.raw_code)
    cleared = method_health.cleared_default(owner, method, context, "METHOD_ERRORED")
    return [Change(SavedMethod, id, failed), Change(SavedMethod, id, errored), *cleared]


RULES = (Rule(VerifyMicroDeposits, _needs, verify),)
