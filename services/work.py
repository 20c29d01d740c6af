"""The gateway work that follows from the facts of a gateway call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from events.gateway_call import (
    GatewayCallNotSent,
    GatewayCallPending,
    GatewayCallPlanned,
    GatewayCallRejected,
    GatewayCallSucceeded,
    GatewayCallTimedOut,
    GatewayOutcomeResolved,
    GatewayReplayPlanned,
    GatewayStatusQueried,
)
from services.store.protocol import WorkChange, WorkDone, WorkDue, WorkPlanned


def work_changes(fact: object, key: str, home: str, now: datetime) -> Sequence[WorkChange]:
    """What a worker has to do, or no longer has to do, once this fact is in the log."""
    match fact:
        case GatewayCallPlanned():
            return (WorkPlanned(key, home, fact.gateway_id, fact.operation, fact, now),)
        case GatewayCallNotSent(retry_at=datetime() as at):
            return (WorkDue(key, "SEND", at),)
        case GatewayReplayPlanned():
            return (WorkDue(key, "SEND", fact.at),)
        case GatewayCallTimedOut(next_query_at=at) | GatewayCallPending(next_query_at=at):
            return (WorkDue(key, "INQUIRE", at),)
        case GatewayStatusQueried(next_query_at=datetime() as at):
            return (WorkDue(key, "INQUIRE", at),)
        case (
            GatewayCallSucceeded()
            | GatewayCallRejected()
            | GatewayOutcomeResolved()
            | GatewayCallNotSent()
            | GatewayStatusQueried()
        ):
            return (WorkDone(key),)
        case _:
            return ()
