"""What follows from the facts of a gateway call: work for its workers, and the names it goes by there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from services.store.protocol import Reference, WorkChange, WorkDone, WorkDue, WorkPlanned


def work_changes(
    fact: object, key: str, home: str, now: datetime, *, seen: bool = False
) -> Sequence[WorkChange]:
    """What a worker has to do, or no longer has to do, once this fact is in the log.

    `seen`: the gateway may know the key, so it is told that what it is sent may be a duplicate.
    """
    match fact:
        case GatewayCallPlanned():
            return (WorkPlanned(key, home, fact.gateway_id, fact.operation, fact, now),)
        case GatewayCallNotSent(retry_at=datetime() as at):
            return (WorkDue(key, "RESEND" if seen else "SEND", at),)
        case GatewayReplayPlanned():
            return (WorkDue(key, "RESEND", fact.at),)
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


def references_of(tenant: str, planned: GatewayCallPlanned, fact: object) -> Iterable[Reference]:
    """By which names the gateway may speak of the call from now on.

    Ours is known with the intent, as is what a reversal or a void builds on; its own with its answer.
    """
    names: set[str | None] = set()
    match fact:
        case GatewayCallPlanned(operation="REVERSE" | "VOID"):
            names = {fact.merchant_reference, fact.authorization_ref, fact.payment_ref}
        case GatewayCallPlanned():
            names = {fact.merchant_reference}
        case GatewayCallSucceeded() | GatewayCallRejected() | GatewayCallPending() | GatewayOutcomeResolved():
            names = {fact.outcome.gateway_ref}
        case _:
            pass
    return [Reference(tenant, planned.gateway_id, name, planned.idempotency_key) for name in names if name]
