"""Sent once more without its Level 2 and 3 data, where a gateway refused it for these alone.

Invariant: only after a known refusal, only once (what is sent again holds none that could be refused), and
under a key of its own; the first key's late success is a second movement of money, and is told as such.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from events.authorization import AuthorizationEnhancedDataRejected
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.payment import PaymentEnhancedDataRejected
from services.accounts.account import Account
from services.calls import calling
from services.calls.calling import DATA_REJECTED, Settled
from services.decision import Change, Changes, Context, States
from services.tenants import exceptions

_MINTED = frozenset({"idempotency_key", "request_digest", "account_id"})
"""What `calling.plan` makes anew."""


def is_due(planned: GatewayCallPlanned, settled: Settled, current_key: str) -> bool:
    """Whether the call that its payment or authorization waits for was refused for its data."""
    refused = settled.verdict == "FAILED" and settled.outcome.result_code == DATA_REJECTED
    return refused and planned.enhanced is not None and planned.idempotency_key == current_key


def without_data(
    states: States,
    waiting: type[Any],
    rejected: type[PaymentEnhancedDataRejected] | type[AuthorizationEnhancedDataRejected],
    planned: GatewayCallPlanned,
    settled: Settled,
    context: Context,
) -> Changes:
    """The fact that tells of it, `rejected`, on what is `waiting`; the call anew; the case for a person."""
    refused = settled.outcome
    assert planned.enhanced is not None
    key, call = calling.plan(context, origin=planned.target_id, **_told(states, planned, context))
    level = 3 if planned.enhanced.lines else 2
    told = rejected(
        level=level,
        raw_code=refused.raw_code,
        raw_message=refused.raw_message,
        attempt_no=planned.attempt_no + 1,
        gateway_idempotency_key=key,
    )
    why = refused.raw_message or refused.raw_code or "no reason given"
    message = f"the gateway refused the Level {level} data ({why}); it was sent again without them"
    case = exceptions.raised(
        context, "ENHANCED_DATA_REJECTED", planned.target_kind, planned.target_id, message, planned.amount
    )
    return [Change(waiting, planned.target_id, told), call, case]


def by_another_key(
    planned: GatewayCallPlanned,
    settled: Settled,
    known: Money,
    case: str,
    message: str,
    context: Context,
) -> Changes:
    """News of a key whose movement of money another key has made already: a case for a person, if it did
    move money; `known` is how much the other one has."""
    if settled.verdict not in ("PROCESSED", "LATE_SUCCESS"):
        return []
    amount = settled.outcome.processed_amount or known
    return [exceptions.raised(context, case, planned.target_kind, planned.target_id, message, amount)]


def _told(states: States, planned: GatewayCallPlanned, context: Context) -> dict[str, Any]:
    """The same request, but for the data; and for who pays, where that was erased since."""
    same = {part.name: getattr(planned, part.name) for part in fields(planned) if part.name not in _MINTED}
    if states.get(Account, context.account_id).erased:
        same["fraud_context"] = None
    return same | {"enhanced": None, "attempt_no": planned.attempt_no + 1}
