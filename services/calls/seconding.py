"""Four eyes on what became of a gateway call: above the tenant's threshold two persons say the same.

It is asked of those whose role says so; who may resolve alone does.
"""

from __future__ import annotations

from events.gateway_call import GatewayResolutionProposed
from services.access.permissions import sending
from services.calls.calling import GatewayCall
from services.commands import TYPES
from services.decision import Change, Changes, Context, States
from services.errors import Rejected
from services.tenants import tenant_settings


def awaits_second(
    states: States, command: object, key: str, outcome: str, evidence: str, context: Context
) -> Changes | None:
    """The first person's word, which waits for a second's; None where it may be so.

    Raises `Rejected` where the second is the first.
    """
    cells = sending(context.actor.roles, TYPES[command.__class__])
    if not cells or not all(cell.second_person for cell in cells):
        return None
    call = states.get(GatewayCall, key)
    assert call.planned is not None
    if tenant_settings.threshold_below(states, call.planned.amount, context) is None:
        return None
    proposed = call.proposed
    if proposed is None or proposed.outcome != outcome:
        return [Change(GatewayCall, key, GatewayResolutionProposed(outcome, evidence, context.actor.id))]
    if proposed.proposed_by == context.actor.id:
        message = f"{context.actor.id} has said so: somebody else must say the same"
        raise Rejected("SELF_APPROVAL_FORBIDDEN", message)
    return None
