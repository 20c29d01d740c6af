"""Which of its methods an account uses: the default, the order behind it, and what is taken away."""

from __future__ import annotations

from events.account import DefaultPaymentMethodCleared, DefaultPaymentMethodSet, PaymentMethodsReordered
from events.payment_method import PaymentMethodDeleted, PaymentMethodExpired
from services.accounts import account, payment_method
from services.accounts.account import Account
from services.accounts.method_health import cleared_default
from services.accounts.method_rules import released
from services.accounts.payment_method import (
    SavedMethod,
    SavePaymentMethod,
    check_chargeable,
    is_past,
)
from services.authorizations.authorization import Authorization
from services.calls.gateway import Gateway
from services.commands import FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected, not_found
from services.payments.payment import Payment
from services.refunds.refund import Refund
from services.tenants import tenant_settings

IN_FLIGHT = (Payment, Authorization, Refund)
"""What may be on its way with a method."""


@command("payments.account.set_default_payment_method.v1")
class SetDefaultPaymentMethod:
    """Pay with this method where nothing else is named."""

    method_id: Id


@command("payments.account.clear_default_payment_method.v1")
class ClearDefaultPaymentMethod:
    """Pay with nothing where nothing else is named."""

    reason: Text = "asked for"


@command("payments.account.reorder_payment_methods.v1")
class ReorderPaymentMethods:
    """The order in which methods stand in for each other: a permutation of the active ones."""

    method_ids: tuple[Id, ...]
    """All of the account's active methods, the first to be tried first."""


@command("payments.account.promote_backup_payment_method.v1")
class PromoteBackupPaymentMethod:
    """The default was lost: the next usable method in the order takes its place, where that is wanted."""


@command("payments.payment_method.delete.v1")
class DeletePaymentMethod:
    """Take a method away; one that is on its way with money is `METHOD_IN_USE`."""

    method_id: Id
    reason: FreeText | None = None


@command("payments.payment_method.expire.v1")
class ExpirePaymentMethod:
    """Its last month is over.  The timer's own; one that comes too early decides nothing."""

    method_id: Id


def _with_method(
    states: States, command: SetDefaultPaymentMethod | ExpirePaymentMethod, context: Context
) -> Needs:
    yield account.needed(context)
    yield Need(SavedMethod, command.method_id)


def save(states: States, command: SavePaymentMethod, context: Context) -> Changes:
    """What is saved, and that it is the account's default now, where that is wished."""
    saved = payment_method.save(states, command, context)
    if not command.is_default:
        return saved
    method_id = payment_method.saved_id(
        states, command, states.get(Gateway, command.gateway_id).merchant_account_id, context
    )
    draft = Draft(states, {SavedMethod: payment_method.evolve})
    draft.extend(saved)
    draft.extend(_default(account.of(states, context), draft.get(SavedMethod, method_id), method_id, context))
    return draft.changes


def set_default(states: States, command: SetDefaultPaymentMethod, context: Context) -> Changes:
    method = states.get(SavedMethod, command.method_id)
    return _default(account.of(states, context), method, command.method_id, context)


def _default(owner: Account, method: SavedMethod, method_id: str, context: Context) -> Changes:
    check_default(method, method_id, context)
    if owner.default_method_id == method_id:
        return []
    return [account.changed(context, DefaultPaymentMethodSet(method_id, owner.default_method_id))]


def check_default(method: SavedMethod, method_id: str, context: Context) -> None:
    """A default is used without the customer.  Raises `METHOD_NOT_FOUND`, `METHOD_NOT_USABLE`."""
    try:
        check_chargeable(method, method_id, context)
    except Rejected as unusable:
        if unusable.code == "METHOD_NOT_FOUND":
            raise
        raise Rejected("METHOD_NOT_USABLE", unusable.message, cause=unusable.code) from unusable
    if method.usage == "ON_SESSION":
        raise Rejected("METHOD_NOT_USABLE", "it may only be used while the customer is present")
    if method.owner_type == "CONTACT" and not method.shared:
        raise Rejected("METHOD_NOT_USABLE", "it belongs to a contact, and is not shared within the account")


def expire(states: States, command: ExpirePaymentMethod, context: Context) -> Changes:
    method = states.get(SavedMethod, command.method_id)
    if not method.status:
        raise not_found("METHOD", command.method_id)
    if method.account_id != context.account_id:
        raise Rejected(
            "METHOD_NOT_OWNED_BY_ACCOUNT", f"the method {command.method_id} belongs to another account"
        )
    if method.status != "ACTIVE" or not is_past(method, context.now):
        return []
    assert method.expiry_month is not None
    assert method.expiry_year is not None
    expired = PaymentMethodExpired(method.expiry_month, method.expiry_year)
    owner = states.get(Account, context.account_id)
    return [
        Change(SavedMethod, command.method_id, expired),
        *cleared_default(owner, method, context, "METHOD_EXPIRED"),
    ]


def clear_default(states: States, command: ClearDefaultPaymentMethod, context: Context) -> Changes:
    owner = account.of(states, context)
    if owner.default_method_id is None:
        return []
    return [account.changed(context, DefaultPaymentMethodCleared(owner.default_method_id, command.reason))]


def _with_methods(states: States, command: object, context: Context) -> Needs:
    yield account.needed(context)
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, SavedMethod):
        yield Need(SavedMethod, id)


def reorder(states: States, command: ReorderPaymentMethods, context: Context) -> Changes:
    owner = account.of(states, context)
    ids = states.documents(context.account_id, SavedMethod)
    active = {id for id in ids if states.get(SavedMethod, id).status == "ACTIVE"}
    if set(command.method_ids) != active or len(command.method_ids) != len(active):
        raise Rejected(
            "METHOD_NOT_USABLE", "name each active method of the account once", active=sorted(active)
        )
    if owner.method_order == command.method_ids:
        return []
    return [account.changed(context, PaymentMethodsReordered(command.method_ids))]


def _promote_needs(states: States, command: PromoteBackupPaymentMethod, context: Context) -> Needs:
    yield from _with_methods(states, command, context)
    yield tenant_settings.needed(context)


def promote(states: States, command: PromoteBackupPaymentMethod, context: Context) -> Changes:
    owner = account.of(states, context)
    if owner.default_method_id is not None or not tenant_settings.of(states, context)["auto_promote_backup"]:
        return []
    kept = states.documents(context.account_id, SavedMethod)
    for method_id in owner.method_order:
        if method_id in kept and _can_be_default(states.get(SavedMethod, method_id), context):
            return [account.changed(context, DefaultPaymentMethodSet(method_id, None))]
    return []


def _can_be_default(method: SavedMethod, context: Context) -> bool:
    try:
        check_default(method, method.method_id, context)
    except Rejected:
        return False
    return True


def _own(states: States, command: object, context: Context) -> Needs:
    yield account.needed(context)


def _delete_needs(states: States, command: DeletePaymentMethod, context: Context) -> Needs:
    yield Need(SavedMethod, command.method_id)
    yield account.needed(context)
    yield Documents(context.account_id)
    for state in IN_FLIGHT:
        for id in states.find_documents(context.account_id, state):
            yield Need(state, id)


def delete(states: States, command: DeletePaymentMethod, context: Context) -> Changes:
    method = states.get(SavedMethod, command.method_id)
    if not method.status:
        raise not_found("METHOD", command.method_id)
    if method.account_id != context.account_id:
        raise Rejected(
            "METHOD_NOT_OWNED_BY_ACCOUNT", f"the method {command.method_id} belongs to another account"
        )
    if method.status == "DELETED":
        return []
    for state in IN_FLIGHT:
        for id in states.documents(context.account_id, state):
            document = states.get(state, id)
            if document.in_flight and document.method and document.method.method_id == command.method_id:
                raise Rejected(
                    "METHOD_IN_USE", f"{state.KIND} {id} is on its way with it", kind=state.KIND, id=id
                )
    changes = [Change(SavedMethod, command.method_id, PaymentMethodDeleted(command.reason))]
    return [
        *released(method),
        *changes,
        *cleared_default(states.get(Account, context.account_id), method, context, "METHOD_DELETED"),
    ]


RULES = (
    Rule(SavePaymentMethod, payment_method.save_needs, save),
    Rule(SetDefaultPaymentMethod, _with_method, set_default),
    Rule(ClearDefaultPaymentMethod, _own, clear_default),
    Rule(ReorderPaymentMethods, _with_methods, reorder),
    Rule(PromoteBackupPaymentMethod, _promote_needs, promote),
    Rule(DeletePaymentMethod, _delete_needs, delete),
    Rule(ExpirePaymentMethod, _with_method, expire),
)
