"""What a command may ask of an authorization."""

from __future__ import annotations

from collections.abc import Iterable

from events.money import Money
from events.shapes import Intended
from services.authorizations.authorization import Authorization
from services.decision import Context, States
from services.errors import Rejected, currency_mismatch, invalid_state, not_found


def check_positive(amount: Money) -> None:
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.amount")


def meant_for(invoice_ids: Iterable[str]) -> tuple[Intended, ...]:
    """Money goes to these in turn, to each as much as it owes."""
    return tuple(Intended(invoice_id) for invoice_id in invoice_ids)


def of(states: States, id: str, context: Context) -> Authorization:
    auth = states.get(Authorization, id)
    if not auth.status:
        raise not_found("AUTHORIZATION", id)
    if auth.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the authorization {id} belongs to another account")
    return auth


def usable(states: States, id: str, context: Context) -> Authorization:
    auth = of(states, id, context)
    if auth.status not in ("PROCESSED", "EXPIRED"):
        raise invalid_state("authorization", auth.status, ["PROCESSED"])
    if auth.status == "EXPIRED" or (auth.expires_at is not None and context.now >= auth.expires_at):
        raise Rejected("AUTHORIZATION_EXPIRED", f"the authorization {id} has expired")
    return auth


def check_amount(amount: Money, auth: Authorization) -> None:
    if amount.currency != auth.currency:
        raise currency_mismatch(auth.currency, amount.currency, f"authorization {auth.number}")
    check_positive(amount)
