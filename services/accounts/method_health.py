"""What becomes of a saved method: well, failing, or lost for good; and of the default that it was.

Invariant: only what a bank or a network says of an instrument counts against it.
"""

from __future__ import annotations

from collections.abc import Sequence

from events.account import DefaultPaymentMethodCleared
from events.payment_method import (
    PaymentMethodEvent,
    PaymentMethodHealthChanged,
    PaymentMethodRevoked,
    StoredCredentialEstablished,
)
from events.shapes import Method, Outcome
from services.accounts import account
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.decision import Change, Context, States

REVOKING = frozenset(
    {
        "lost_card",
        "stolen_card",
        "pickup_card",
        "account_closed",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
    }
)
"""Hard declines after which an instrument never works again: closed, stolen, revoked."""

LOST = frozenset(
    {
        "METHOD_ERRORED",
        "METHOD_EXPIRED",
        "METHOD_REVOKED",
        "METHOD_DELETED",
        "METHOD_NOT_SHARED",
        "MANDATE_REVOKED",
    }
)
"""Why a default is cleared without anyone asking for it."""

BLAMELESS = frozenset({"GatewayConnection", "ValidationFailure"})
"""Categories of failures that say nothing about the instrument."""


def after_use(
    states: States, used: Method | None, outcome: Outcome, succeeded: bool, context: Context
) -> Sequence[Change]:
    """What an outcome does to the saved method that was used, if one was."""
    if used is None or used.method_id is None:
        return []
    method, owner = states.get(SavedMethod, used.method_id), states.get(Account, context.account_id)
    return after_outcome(method, owner, outcome, succeeded, context)


def after_outcome(
    method: SavedMethod, owner: Account, outcome: Outcome, succeeded: bool, context: Context
) -> Sequence[Change]:
    """What an outcome does to the method that it was tried with: revoked, failing, or well again."""
    if method.status not in ("ACTIVE", "EXPIRED"):
        return []
    if succeeded:
        return _after_success(method, outcome, context)
    if outcome.category in BLAMELESS:
        return []
    if (outcome.hard or outcome.never_retry) and (outcome.raw_code or "").strip().lower() in REVOKING:
        return revoked(method, owner, outcome, context)
    blocked = outcome.raw_code if outcome.hard else None
    failing = PaymentMethodHealthChanged(
        method.consecutive_failures + 1, last_category=outcome.category, hard_blocked_reason=blocked
    )
    return [Change(SavedMethod, method.method_id, failing)]


def _after_success(method: SavedMethod, outcome: Outcome, context: Context) -> Sequence[Change]:
    facts = list[PaymentMethodEvent]()
    if method.consecutive_failures:
        facts.append(PaymentMethodHealthChanged(0, last_success_at=context.now))
    network_id = outcome.network_transaction_id
    if network_id and method.type == "card" and method.network_transaction_id is None:
        facts.append(StoredCredentialEstablished(network_id))
    return [Change(SavedMethod, method.method_id, fact) for fact in facts]


def revoked(method: SavedMethod, owner: Account, outcome: Outcome, context: Context) -> Sequence[Change]:
    """A method that its bank will never honour again."""
    fact = PaymentMethodRevoked(outcome.raw_code, outcome.category)
    return [
        Change(SavedMethod, method.method_id, fact),
        *cleared_default(owner, method, context, "METHOD_REVOKED"),
    ]


def cleared_default(owner: Account, method: SavedMethod, context: Context, reason: str) -> Sequence[Change]:
    """A default method that can no longer be used is the default no more; `reason` is one of `LOST`."""
    assert reason in LOST
    if owner.default_method_id != method.method_id:
        return []
    return [account.changed(context, DefaultPaymentMethodCleared(method.method_id, reason))]
