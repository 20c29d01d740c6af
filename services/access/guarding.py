"""The guard at the door: whether this actor may send this command, to this account.

Invariant: what is not granted is denied.  Without sign-in nobody is proven to be anybody: who names no
role is the operator of this machine, and who names some is held to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.access.permissions import ANY, Capability, Cell, capability_of, sending
from services.accounts.payment_method import SavedMethod
from services.commands import Actor, Command
from services.decision import Context, Need, Needs, States
from services.errors import Rejected
from services.orchestrations.falling_back import ChooseRefundFallback
from services.refunds.deciding_alone import APPROVING
from services.tenants.tenant_settings import TenantSettings, needed, of


@dataclass(frozen=True)
class Guard:
    signed_in: bool = False
    """Whether actors are proven; else one without roles may do everything."""

    def denied(self, actor: Actor, type: str) -> Rejected | None:
        """The denial that follows from the actor's roles alone."""
        roles = self.roles_of(actor)
        if roles is None or sending(roles, type):
            return None
        return _forbidden(actor, type)

    def roles_of(self, actor: Actor) -> tuple[str, ...] | None:
        """None: everything is his."""
        if actor.roles or self.signed_in:
            return ("SYSTEM",) if actor.type == "SYSTEM" else actor.roles
        return None

    def asks(self, actor: Actor) -> bool:
        """Whether more than the roles counts: else `needs` and `check` have nothing to say."""
        return bool(actor.roles or actor.accounts is not None)

    def needs(self, states: States, command: Command, context: Context) -> Needs:
        if command.actor.accounts is not None:
            yield needed(context)
            if (method_id := _named_method(command)) is not None:
                yield Need(SavedMethod, method_id)

    def check(self, states: States, command: Command, context: Context) -> None:
        """What follows from the command itself, once its actor's roles allow it.  Raises `Rejected`."""
        actor = command.actor
        roles = self.roles_of(actor)
        if roles is None or actor.type == "SYSTEM":
            return
        cells = sending(roles, command.type)
        if actor.accounts is not None or all(cell.own for cell in cells):
            _check_account(states, command, cells, context)
        if all(cell.own for cell in cells):
            _check_contact(states, command)
        if all(cell.by_memo for cell in cells) and getattr(command.data, "credit_memo_id", None) is None:
            raise _forbidden(actor, command.type, "only for a credit memo")
        if _redirects(command.data) and not sending(roles, APPROVING):
            raise _forbidden(
                actor, command.type, "sending a refund elsewhere needs the right to approve refunds"
            )


OPEN = Guard()
"""Nobody signs in."""


def _check_account(states: States, command: Command, cells: Sequence[Cell], context: Context) -> None:
    account_id, own = context.account_id, all(cell.own for cell in cells)
    if account_id in (command.actor.accounts or ()) or (account_id[0] == "~" and not own):
        return
    capability = capability_of(command.type)
    assert capability is not None
    if own or follows_account(capability, cells, of(states, context)):
        raise not_visible(account_id)


def _named_method(command: Command) -> str | None:
    return getattr(command.data, "method_id", None)


def _check_contact(states: States, command: Command) -> None:
    """A customer does nothing with, and for, another contact of his account."""
    contact, method_id = command.actor.contact, _named_method(command)
    method = states.get(SavedMethod, method_id) if method_id is not None else None
    theirs = method is not None and method.owner_type == "CONTACT" and not method.shared
    if theirs and method is not None and method.owner_id != contact:
        raise _forbidden(command.actor, command.type, "the method is another contact's, and not shared")
    if getattr(command.data, "contact_id", None) not in (None, contact):
        raise _forbidden(command.actor, command.type, "only for yourself, not for another contact")


def follows_account(capability: Capability, cells: Sequence[Cell], settings: TenantSettings) -> bool:
    """Whether what a capability is about is there only for who may see its account.

    Who manages saved methods sees them by their merchant account, whatever the setting says.
    """
    if capability.methods and any(cell.sends == ANY and not cell.own for cell in cells):
        return False
    return not capability.payment_data or bool(settings["share_payment_data_by_account"])


def not_visible(account_id: str) -> Rejected:
    return Rejected(
        "ACCOUNT_NOT_VISIBLE", f"the account {account_id} is not one of yours", field="account_id"
    )


def _redirects(data: Any) -> bool:
    """Whether a refund shall go elsewhere than where its money came from."""
    return isinstance(data, ChooseRefundFallback) and data.option in ("UNREFERENCED", "MANUAL")


def _forbidden(actor: Actor, type: str, why: str = "") -> Rejected:
    capability = capability_of(type)
    right = capability.said if capability else type
    who = " and ".join(role.replace("_", " ").lower() for role in actor.roles) or "nobody with a role"
    message = why or f"{right}: not for {who}"
    return Rejected("FORBIDDEN", message, capability=right, roles=list(actor.roles))
