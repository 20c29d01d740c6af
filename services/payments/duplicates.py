"""A payment that turns out to have arrived after all, when what it was meant for was paid otherwise.

Invariant: it is kept unapplied, and refunded unasked only where the tenant wishes that,
no second person must agree, and its gateway takes it; else a person decides.
"""

from __future__ import annotations

from events.payment import PaymentProcessed
from services.decision import Change, Claiming, Context, Draft, Releasing, States
from services.errors import Rejected
from services.payments.payment import Payment
from services.refunds import refunding, requesting
from services.tenants import tenant_settings

REASON = "DUPLICATE_CHARGE"


def given_back(
    states: States, payment: Payment, arrived: PaymentProcessed, context: Context
) -> list[Change | Claiming | Releasing]:
    """Its refund, in the decision in which it arrives; nothing where that is for a person to say."""
    amount, settings = arrived.processed_amount, tenant_settings.of(states, context)
    if not settings["refund_duplicate_charges"] or payment.gateway_id is None:
        return []
    if tenant_settings.threshold_below(states, amount, context) is not None:
        return []
    draft = Draft(states, requesting.EVOLVE)
    draft.record(Payment, payment.payment_id, arrived)
    source = draft.get(Payment, payment.payment_id)
    try:
        refunding.check_source(source)
        refunding.check_gateway(states, source, amount, context)
    except Rejected:
        return []
    requesting.request(draft, source, context.new_id("duplicate"), amount, REASON, context)
    return draft.changes[1:]
