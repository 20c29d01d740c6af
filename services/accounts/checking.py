"""Checking: a gateway proves a token by a charge of nothing, before anybody rests on it.

Invariant: a check moves no money, waits for its gateway's turn like any call, and says nothing about a method
but what its gateway has said of it; a method can be used while it is being checked.
"""

from __future__ import annotations

from typing import Protocol

from events.money import Money
from events.payment_method import PaymentMethodChecked, PaymentMethodCheckRequested, PaymentMethodErrored
from events.shapes import Method
from services.accounts import account, method_health
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.calls import calling
from services.calls.calling import Report, Settled
from services.calls.gateway import Gateway, check_accepts
from services.commands import Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, not_found

OPERATION = "TOKENIZE"
"""Setting an instrument up for later use is how gateways authorize nothing."""
_RESULTS = {
    "PROCESSED": "PASSED",
    "LATE_SUCCESS": "PASSED",
    "FAILED": "FAILED",
    "REQUIRES_ACTION": "UNCLEAR",
    "REQUIRES_REVIEW": "UNCLEAR",
}


class Instrument(Protocol):
    """What is proved: a saved method, or a row that is imported."""

    @property
    def type(self) -> str | None: ...
    @property
    def token_ref(self) -> str: ...
    @property
    def gateway_id(self) -> str: ...
    @property
    def gateway_reference(self) -> str | None: ...
    @property
    def network(self) -> str | None: ...
    @property
    def last4(self) -> str | None: ...
    @property
    def expiry_month(self) -> int | None: ...
    @property
    def expiry_year(self) -> int | None: ...
    @property
    def network_transaction_id(self) -> str | None: ...


@command("payments.payment_method.check.v1")
class CheckPaymentMethod:
    """Have the gateway prove a saved card's token."""

    method_id: Id


def _needs(states: States, command: CheckPaymentMethod, context: Context) -> Needs:
    yield Need(SavedMethod, command.method_id)
    yield account.needed(context)
    method = states.find(SavedMethod, command.method_id)
    if method and method.gateway_id:
        yield Need(Gateway, method.gateway_id)


def check(states: States, command: CheckPaymentMethod, context: Context) -> Changes:
    method, id = states.get(SavedMethod, command.method_id), command.method_id
    if not method.status:
        raise not_found("METHOD", id)
    if method.account_id != context.account_id:
        raise Rejected("METHOD_NOT_OWNED_BY_ACCOUNT", "the method belongs to another account")
    if method.status != "ACTIVE":
        raise Rejected("METHOD_NOT_ACTIVE", f"the method {id} is {method.status}")
    if method.checking:
        raise Rejected("OPERATION_IN_FLIGHT", f"the method {id} is being checked", id=id)
    gateway, owner = states.get(Gateway, method.gateway_id), states.get(Account, context.account_id)
    check_accepts(gateway, method.gateway_id, OPERATION, _nothing(owner, gateway), method.type, context.now)
    if method.type != "card":
        raise Rejected("METHOD_TYPE_UNSUPPORTED", f"a {method.type} is proved by its first payment alone")
    return _asked(_shape(method, id), method, owner, gateway, context)


def of_import(
    row: Instrument,
    method_id: str,
    known: SavedMethod,
    owner: Account,
    gateway: Gateway,
    job_id: str | None,
    context: Context,
) -> Changes:
    """The check of a token that is imported; none where its gateway cannot, or where one is under way."""
    if row.type != "card" or OPERATION not in gateway.capabilities.operations or known.checking:
        return []
    return _asked(_shape(row, method_id), known, owner, gateway, context, job_id)


def _asked(
    shape: Method,
    known: SavedMethod,
    owner: Account,
    gateway: Gateway,
    context: Context,
    job_id: str | None = None,
) -> Changes:
    method_id, attempt_no = shape.method_id, known.checks + 1
    assert method_id is not None
    key, planned = calling.plan(
        context,
        origin=f"{method_id}.check",
        operation=OPERATION,
        attempt_no=attempt_no,
        target_kind="spm",
        target_id=method_id,
        gateway_id=shape.gateway_id,
        amount=_nothing(owner, gateway),
        merchant_reference=method_id,
        method=shape,
        initiator="MERCHANT",
    )
    requested = PaymentMethodCheckRequested(attempt_no, key, context.now, job_id)
    of_account = context.account_id
    return [
        Change(SavedMethod, method_id, requested, account_id=of_account),
        planned._replace(account_id=of_account),
    ]


def _shape(token: Instrument, method_id: str) -> Method:
    return Method(
        type="card",
        token_ref=token.token_ref,
        gateway_id=token.gateway_id,
        method_id=method_id,
        gateway_reference=token.gateway_reference,
        network=token.network,
        last4=token.last4,
        expiry_month=token.expiry_month,
        expiry_year=token.expiry_year,
        network_transaction_id=token.network_transaction_id,
    )


def _nothing(owner: Account, gateway: Gateway) -> Money:
    known = gateway.capabilities.currencies or ()
    theirs = [currency for currency in owner.currencies if not known or currency in known]
    return Money(0, [*theirs, *known, "USD"][0])


def checked(
    method: SavedMethod, owner: Account, settled: Settled, report: Report, context: Context
) -> Changes:
    """What the gateway makes of it; a token that it calls dead can be used no more."""
    result = _RESULTS.get(settled.verdict)
    if result is None:
        return []
    outcome, failed = settled.outcome, result == "FAILED"
    fact = PaymentMethodChecked(
        method.checks,
        result,
        report.source,
        outcome.category if failed else None,
        outcome.raw_code if failed else None,
        method.checked_for,
    )
    told = Change(SavedMethod, method.method_id, fact)
    if not (failed and outcome.hard and method.status == "ACTIVE"):
        return [told]
    errored = PaymentMethodErrored(report.source, outcome.category, outcome.raw_code)
    cleared = method_health.cleared_default(owner, method, context, "METHOD_ERRORED")
    return [told, Change(SavedMethod, method.method_id, errored), *cleared]


RULES = (Rule(CheckPaymentMethod, _needs, check),)
