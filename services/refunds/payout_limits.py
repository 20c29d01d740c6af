"""How often, and how much, may be paid out to a method that the money did not come from.

Invariant: what was asked for counts, whatever becomes of it: who tries cards out is stopped as well.  Only
what is asked for while there is a limit is counted.
"""

from __future__ import annotations

from datetime import timedelta

from events.account import UnreferencedRefundCounted
from events.money import Money
from services.accounts.account import Account
from services.decision import Change, Context
from services.errors import Rejected
from services.tenants.tenant_settings import TenantSettings


def check(owner: Account, amount: Money, settings: TenantSettings, context: Context) -> None:
    """Raises `REFUND_LIMIT_EXCEEDED`, with what is left of the limit that it would break."""
    days: int = settings["unreferenced_refund_days"]
    since = context.now - timedelta(days=days)
    lately = [paid for at, paid in owner.paid_out if at > since]
    most: int | None = settings["unreferenced_refund_count_max"]
    if most is not None and len(lately) >= most:
        message = f"{len(lately)} in {days} days: no more than {most} are paid out to other methods"
        raise Rejected("REFUND_LIMIT_EXCEEDED", message, available=0, days=days)
    limit = _limit(settings, amount)
    if limit is None:
        return
    paid = sum(one.amount_minor for one in lately if one.currency == amount.currency)
    if paid + amount.amount_minor > limit.amount_minor:
        message = f"no more than {limit} in {days} days is paid out to other methods"
        available = max(limit.amount_minor - paid, 0)
        raise Rejected("REFUND_LIMIT_EXCEEDED", message, field="data.amount", available=available, days=days)


def _limit(settings: TenantSettings, amount: Money) -> Money | None:
    limits: tuple[Money, ...] = settings["unreferenced_refund_amount_max"]
    return next((limit for limit in limits if limit.currency == amount.currency), None)


def counted(refund_id: str, amount: Money, settings: TenantSettings, context: Context) -> list[Change]:
    """What its account remembers of it, where there is a limit."""
    if settings["unreferenced_refund_count_max"] is None and not settings["unreferenced_refund_amount_max"]:
        return []
    fact = UnreferencedRefundCounted(refund_id, amount, context.now)
    return [Change(Account, context.account_id, fact)]
