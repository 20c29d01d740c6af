"""What changes about a saved method after it was saved: its details, who may use it, and its mandate."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from events.payment_method import BANK_DEBITS, MandateRecorded, MandateRevoked, PaymentMethodShared
from services.accounts import account, method_health, payment_method
from services.accounts.account import Account
from services.accounts.method_rules import claimed
from services.accounts.payment_method import (
    LIVE,
    Last4,
    Month,
    SavedMethod,
    Usage,
    Year,
    end_of_life,
)
from services.commands import FreeText, Id, PostalAddress, Text, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state, not_found


@command("payments.payment_method.update_details.v1")
class UpdatePaymentMethodDetails:
    """What is given replaces what was; an expired or failed method is usable again."""

    method_id: Id
    source: Literal["USER", "ACCOUNT_UPDATER", "REIMPORT"] = "USER"
    """Where the news comes from: USER, ACCOUNT_UPDATER (a service of the card networks) or REIMPORT."""
    token_ref: Token | None = None
    """The gateway's new stand-in for the same instrument."""
    gateway_reference: Token | None = None
    network: Text | None = None
    last4: Last4 | None = None
    expiry_month: Month | None = None
    expiry_year: Year | None = None
    holder_name: FreeText | None = None
    holder_email: FreeText | None = None
    billing_address: PostalAddress | None = None
    nickname: FreeText | None = None
    usage: Usage | None = None
    mandate_reference: Text | None = None
    network_transaction_id: Text | None = None


@command("payments.payment_method.share.v1")
class SharePaymentMethod:
    """Let the whole account use a contact's method, or no longer."""

    method_id: Id
    shared: bool = True


@command("payments.payment_method.record_mandate.v1")
class RecordMandate:
    """The payer has agreed to be charged; a later mandate takes the place of the one before."""

    method_id: Id
    reference: Text
    """What the mandate is called; its holder's bank knows it by this."""
    accepted_at: datetime
    scheme: Text | None = None
    ip: Text | None = None
    text_hash: Text | None = None
    network_transaction_id: Text | None = None
    """The card network's id of the payment with which the customer agreed, where one was made."""


@command("payments.payment_method.revoke_mandate.v1")
class RevokeMandate:
    """The customer no longer allows debits by a method."""

    method_id: Id
    reason: FreeText | None = None


def _needs(states: States, command: Any, context: Context) -> Needs:
    yield Need(SavedMethod, command.method_id)
    yield account.needed(context)


def _of(states: States, method_id: str, context: Context) -> SavedMethod:
    """A live method of the account.

    Raises `METHOD_NOT_FOUND`, `METHOD_NOT_OWNED_BY_ACCOUNT`, `INVALID_STATE`.
    """
    method = states.get(SavedMethod, method_id)
    if not method.status or method.status == "DELETED":
        raise not_found("METHOD", method_id)
    if method.account_id != context.account_id:
        raise Rejected("METHOD_NOT_OWNED_BY_ACCOUNT", f"the method {method_id} belongs to another account")
    if method.status not in LIVE:
        raise invalid_state("method", method.status, LIVE)
    return method


def update(states: States, command: UpdatePaymentMethodDetails, context: Context) -> Changes:
    owner = account.of(states, context)
    account.check_takes_personal(
        owner, command.holder_name, command.holder_email, command.billing_address, command.nickname
    )
    method = _of(states, command.method_id, context)
    if method.status == "AWAITING":
        raise invalid_state("method", method.status, LIVE - {"AWAITING"})
    if method.status == "ERRORED" and command.token_ref is None:
        raise Rejected("METHOD_NOT_ACTIVE", f"the method {command.method_id} needs a token that works")
    ends = end_of_life(command.expiry_month or method.expiry_month, command.expiry_year or method.expiry_year)
    if method.status == "EXPIRED" and ends is not None and ends <= context.now:
        raise Rejected("METHOD_EXPIRED", f"the method {command.method_id} needs an expiry that is to come")
    changes = payment_method.updated(method, vars(command), command.source)
    return [*claimed(method, command.token_ref), *changes] if changes else []


def share(states: States, command: SharePaymentMethod, context: Context) -> Changes:
    account.of(states, context)
    method = _of(states, command.method_id, context)
    if method.shared == command.shared:
        return []
    shared = Change(SavedMethod, command.method_id, PaymentMethodShared(command.shared))
    if command.shared or method.owner_type != "CONTACT":
        return [shared]
    owner = states.get(Account, context.account_id)
    return [shared, *method_health.cleared_default(owner, method, context, "METHOD_NOT_SHARED")]


def record_mandate(states: States, command: RecordMandate, context: Context) -> Changes:
    account.check_takes_personal(account.of(states, context), command.ip)
    method = _of(states, command.method_id, context)
    if command.accepted_at > context.now:
        raise Rejected("DATE_INVALID", "nobody agrees in the future", field="data.accepted_at")
    if (method.mandate_reference, method.mandate_accepted_at) == (command.reference, command.accepted_at):
        return []
    given = {name: value for name, value in vars(command).items() if name != "method_id"}
    return [Change(SavedMethod, command.method_id, MandateRecorded(**given))]


def revoke_mandate(states: States, command: RevokeMandate, context: Context) -> Changes:
    """A bank debit without its mandate can be the default no more."""
    method = _of(states, command.method_id, context)
    if method.mandate_reference is None:
        return []
    revoked = Change(SavedMethod, command.method_id, MandateRevoked(method.mandate_reference, command.reason))
    if method.type not in BANK_DEBITS:
        return [revoked]
    owner = states.get(Account, context.account_id)
    return [revoked, *method_health.cleared_default(owner, method, context, "MANDATE_REVOKED")]


RULES = (
    Rule(UpdatePaymentMethodDetails, _needs, update),
    Rule(SharePaymentMethod, _needs, share),
    Rule(RecordMandate, _needs, record_mandate),
    Rule(RevokeMandate, _needs, revoke_mandate),
)
