"""Sent once more without its Level 2 and 3 data, where a gateway refused it for these alone (domain 5.2).

Invariant: only after a known refusal, only once (what is sent again holds none that could be refused), and
under a key of its own; the first key's late success is a second movement of money, and is told as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from services.accounts.account import Account
from services.calls import calling
from services.calls.calling import DATA_REJECTED, Settled
from services.decision import Change, Context, States
from services.tenants import exceptions

_MINTED = frozenset({"idempotency_key", "request_digest", "account_id"})
"""What `calling.plan` makes anew."""


class Again(NamedTuple):
    """The fields of the fact that tells of it, the call without the data, and the case for a person."""

    told: Mapping[str, Any]
    planned: Change
    case: Change


def is_due(planned: GatewayCallPlanned, settled: Settled, current_key: str) -> bool:
    """Whether the call that its payment or authorization waits for was refused for its data."""
    refused = settled.verdict == "FAILED" and settled.outcome.result_code == DATA_REJECTED
    return refused and planned.enhanced is not None and planned.idempotency_key == current_key


def without_data(states: States, planned: GatewayCallPlanned, refused: Outcome, context: Context) -> Again:
    assert planned.enhanced is not None
    key, call = calling.plan(context, origin=planned.target_id, **_told(states, planned, context))
    level = 3 if planned.enhanced.lines else 2
    told = {
        "level": level,
        "raw_code": refused.raw_code,
        "raw_message": refused.raw_message,
        "attempt_no": planned.attempt_no + 1,
        "gateway_idempotency_key": key,
    }
    why = refused.raw_message or refused.raw_code or "no reason given"
    message = f"the gateway refused the Level {level} data ({why}); it was sent again without them"
    case = exceptions.raised(
        context, "ENHANCED_DATA_REJECTED", planned.target_kind, planned.target_id, message, planned.amount
    )
    return Again(told, call, case)


def _told(states: States, planned: GatewayCallPlanned, context: Context) -> dict[str, Any]:
    """The same request, but for the data; and for who pays, where that was erased since."""
    same = {part.name: getattr(planned, part.name) for part in fields(planned) if part.name not in _MINTED}
    if states.get(Account, context.account_id).erased:
        same["fraud_context"] = None
    return same | {"enhanced": None, "attempt_no": planned.attempt_no + 1}
