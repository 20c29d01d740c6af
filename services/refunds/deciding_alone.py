"""Who may let money go that nobody agrees to afterwards: it has left as it is recorded.

Invariant: above the tenant's threshold that is somebody who may approve refunds.
"""

from __future__ import annotations

from events.money import Money
from services.access.permissions import sending
from services.decision import Context, States
from services.errors import Rejected
from services.tenants import tenant_settings

APPROVING = "payments.refund.approve.v1"


def check(states: States, amount: Money, context: Context) -> None:
    """Raises `APPROVAL_REQUIRED`.  Who names no role is the operator of this machine: the door lets in no
    other without one."""
    threshold = tenant_settings.threshold_below(states, amount, context)
    if threshold is None or not context.actor.roles or sending(context.actor.roles, APPROVING):
        return
    message = f"above {threshold} it is for somebody who may approve refunds"
    raise Rejected("APPROVAL_REQUIRED", message, field="data.amount", threshold=threshold.amount_minor)
