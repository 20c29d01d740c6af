"""An account's methods as retries see them: which can be charged now, in which order, and what was tried."""

from __future__ import annotations

from datetime import UTC, datetime

from events.money import Money
from events.payment_method import PaymentMethodHealthChanged, PaymentMethodRevoked
from services.accounts import account, card
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod, check_chargeable
from services.calls.gateway import Gateway, check_accepts
from services.decision import Change, Changes, Context, Documents, Need, Needs, States
from services.errors import Rejected
from services.retries import caps
from services.retries.caps import Cap
from services.retries.cycle import Cycle, Wait
from services.retries.deciding import Instrument, Wallet
from services.tenants import tenant_settings

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NEVER = "its network says that this card is never to be tried again"
PASSING = frozenset({"GATEWAY_CIRCUIT_OPEN"})
"""What stands in the way of a charge now, and will not for long."""


def needed(states: States, context: Context) -> Needs:
    """The account, its methods, and the gateways that these are charged at."""
    yield account.needed(context)
    yield Documents(context.account_id)
    for method_id in states.find_documents(context.account_id, SavedMethod):
        yield Need(SavedMethod, method_id)
        yield from card.needed(states, method_id, context)
        method = states.find(SavedMethod, method_id)
        if method and method.gateway_id:
            yield Need(Gateway, method.gateway_id)


def of(
    states: States,
    own: str,
    cycle: Cycle,
    amount: Money,
    context: Context,
    just_now: Changes = (),
) -> Wallet:
    """`just_now` are the changes of this very decision: a method that they revoke cannot be charged."""
    revoked, blocked = set[str](), set[str]()
    for change in just_now:
        if isinstance(change, Change) and isinstance(change.fact, PaymentMethodRevoked):
            revoked.add(change.id)
        elif isinstance(change, Change) and isinstance(change.fact, PaymentMethodHealthChanged):
            blocked |= {change.id} if change.fact.hard_blocked_reason else set()
    methods = [states.get(SavedMethod, id) for id in states.documents(context.account_id, SavedMethod)]
    methods.sort(key=lambda method: (method.saved_at or _LONG_AGO, method.method_id))
    instruments = [
        Instrument(
            method_id=method.method_id,
            network=method.network,
            unusable="revoked" if method.method_id in revoked else why_not(states, method, amount, context),
            blocked=method.hard_blocked is not None or method.method_id in blocked,
            attempts=tries(states, method, cycle, amount, context),
            wait=wait(states, method, cycle, context),
        )
        for method in methods
    ]
    default = states.get(Account, context.account_id).default_method_id
    return Wallet(own, None if default in revoked else default, instruments)


def tries(
    states: States, method: SavedMethod, cycle: Cycle, amount: Money, context: Context
) -> tuple[datetime, ...]:
    """When this amount was tried with a method's card, the latest last: for any item, by any account.

    An item's own failures are known of any method; those of other items where its network is.
    """
    own = cycle.tried_with(method.method_id, amount.amount_minor)
    return tuple(sorted({**own, **card.tried_with(states, method, amount, context)}.values()))


def allowed(
    states: States, method: SavedMethod, cycle: Cycle, amount: Money, context: Context
) -> tuple[datetime, Cap | None]:
    """When a method may be charged this amount, from now on, and the cap that says later than now."""
    mine = caps.of_network(tenant_settings.of(states, context)["card_network_caps"], method.network)
    return caps.earliest(context.now, tries(states, method, cycle, amount, context), mine)


def wait(states: States, method: SavedMethod, cycle: Cycle, context: Context) -> Wait | None:
    """The longest that somebody says to wait before a method is tried again, or its card for anything."""
    waits = [cycle.wait_for(method.method_id)]
    advice = card.advised(states, method, context)
    if advice and advice.not_before:
        waits.append(Wait(advice.not_before, advice.network_advice))
    return max(filter(None, waits), key=lambda wait: wait.until, default=None)


def barred(states: States, method: SavedMethod, context: Context) -> str | None:
    """Why a method's card is tried no more, whatever for; None where it may be, or the tenant has written
    down why it is all the same."""
    advice = card.advised(states, method, context)
    if advice is None or advice.not_before is not None:
        return None
    overridden = tenant_settings.of(states, context)["never_retry_override"] is not None
    return None if overridden else f"{NEVER}{f' ({advice.network_advice})' if advice.network_advice else ''}"


def why_not(states: States, method: SavedMethod, amount: Money, context: Context) -> str | None:
    """Why a method cannot be charged while its customer is away; None where it can, or can soon."""
    if said := barred(states, method, context):
        return said
    try:
        check_chargeable(method, method.method_id, context)
        if method.usage == "ON_SESSION":
            return "it may only be used while the customer is present"
        if method.owner_type == "CONTACT" and not method.shared:
            return "it belongs to a contact, and is not shared within the account"
        gateway = states.get(Gateway, method.gateway_id)
        check_accepts(gateway, method.gateway_id, "SALE", amount, method.type, context.now)
    except Rejected as refused:
        return None if refused.code in PASSING else refused.message
    return None
