"""From somebody's roles to what he sees of a read model, and of the history."""

from __future__ import annotations

from collections.abc import Sequence

from projections.queries import QUERIES
from projections.sight import EVERYTHING, Sight
from services.access.guarding import Guard, follows_account
from services.access.permissions import CAPABILITIES, Cell, least, reading
from services.commands import Actor
from services.errors import Rejected
from services.tenants.tenant_settings import TenantSettings

HISTORY = frozenset({"timeline", "explain", "why-balance", "why-payment", "why-next-attempt", "events"})

_GATEWAYS_WORDS = frozenset({"raw_message"})
_REFERENCES = frozenset(
    "token_ref fingerprint gateway_reference network_transaction_id mandate_reference credential_ref "
    "gateway_ref parameters auth_code merchant_reference raw_ref digest salt gateway_idempotency_key".split()
)
_HIDDEN = {0: frozenset[str](), 1: _GATEWAYS_WORDS, 2: _GATEWAYS_WORDS | _REFERENCES}

_OF_KEYS = frozenset({"apikey", "denial"})
_OF_CONTACTS = frozenset({"spm"})
"""Customers see methods as a list of them tells: there it is known whose each is."""


def sight(guard: Guard, actor: Actor, name: str, settings: TenantSettings) -> Sight:
    """What an actor sees of a read model, or of the history.  Raises `Rejected`."""
    roles = guard.roles_of(actor)
    if roles is None:
        return EVERYTHING
    cells = reading(roles, name)
    if not cells:
        raise Rejected("FORBIDDEN", f"reading {name}: not for {_named(roles)}", roles=list(roles))
    hides = least(reading(roles, "gateway-log")) if name in HISTORY else least(cells)
    hidden = _HIDDEN[hides]
    accounts = _accounts(actor, name, cells, settings)
    own = all(cell.own for cell in cells)
    if name not in HISTORY:
        return Sight(accounts, contact=(actor.contact or "") if own else None, hidden=hidden)
    kinds = _kinds(roles) if all(cell.own_area for cell in cells) else None
    without = frozenset[str]() if reading(roles, "denials") else _OF_KEYS
    return Sight(accounts, kinds, without | _OF_CONTACTS if own else without, hidden=hidden)


def _accounts(
    actor: Actor, name: str, cells: Sequence[Cell], settings: TenantSettings
) -> frozenset[str] | None:
    """The only accounts whose rows he sees."""
    if all(cell.own for cell in cells):
        return frozenset(actor.accounts or ())
    if actor.accounts is None or name == "gateways":
        return None
    serving = [capability for capability in CAPABILITIES if name in capability.reads]
    follows = all(follows_account(capability, cells, settings) for capability in serving)
    return frozenset(actor.accounts) if follows else None


def _kinds(roles: tuple[str, ...]) -> frozenset[str]:
    """Kinds of streams whose rows somebody may read."""
    kinds = {query.table.kind: name for name, query in QUERIES.items() if query.table.kind}
    return frozenset(kind for kind, name in kinds.items() if kind and reading(roles, name))


def _named(roles: Sequence[str]) -> str:
    return " and ".join(role.replace("_", " ").lower() for role in roles) or "nobody with a role"
