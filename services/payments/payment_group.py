"""A payment group: an optional container for the operations of one order or invoice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from events.frozen import frozen
from events.operations import PaymentGroupCreated
from services.commands import Id, Text
from services.decision import Change, Changes, Context, Need, Needs, States, Subject
from services.errors import Rejected, not_found


@frozen
class NewGroup:
    payment_group_id: Id
    """An id of the caller's own for the group."""
    reference: Text | None = None
    """What it is for, such as the number of an order."""


@dataclass(slots=True)
class PaymentGroup:
    KIND: ClassVar[str] = "pgroup"

    version: int = 0
    account_id: str = ""

    @property
    def open(self) -> bool:
        return False


def evolve(group: PaymentGroup, event: PaymentGroupCreated) -> None:
    group.account_id = event.account_id


def needed(payment_group_id: str | None, new: NewGroup | None) -> Needs:
    id = new.payment_group_id if new else payment_group_id
    if id:
        yield Need(PaymentGroup, id)


def joined(states: States, payment_group_id: str | None, new: NewGroup | None, context: Context) -> Changes:
    """The group that a request joins, made if it is new.  Raises `PAYMENT_GROUP_AMBIGUOUS`."""
    if payment_group_id and new:
        raise Rejected("PAYMENT_GROUP_AMBIGUOUS", "name an existing group, or describe a new one, not both")
    if payment_group_id and states.get(PaymentGroup, payment_group_id).account_id != context.account_id:
        raise not_found("PAYMENT_GROUP", payment_group_id)
    if new is None:
        return []
    owner = states.get(PaymentGroup, new.payment_group_id).account_id
    if owner not in ("", context.account_id):
        raise Rejected("ACCOUNT_MISMATCH", f"the group {new.payment_group_id} belongs to another account")
    if owner:
        return []
    fact = PaymentGroupCreated(new.payment_group_id, context.account_id, new.reference)
    return [Change(PaymentGroup, new.payment_group_id, fact)]


SUBJECT = Subject(PaymentGroup, evolve)
