"""What people who run the service see: exceptions that need someone, groups, parking."""

from __future__ import annotations

from uuid import UUID

from events.catalog import fact
from events.money import Money


@fact("payment_group.created.v1")
class PaymentGroupCreated:
    """A container for the operations of one order or invoice (stream `pgroup-{id}`)."""

    payment_group_id: str
    """The id of the group."""
    account_id: str
    reference: str | None = None
    """What it is for, such as the number of an order."""


@fact("exception.raised.v1")
class ExceptionRaised:
    """Something that a person must look at (stream `exception-{id}`)."""

    exception_id: str
    type: str
    """What it is about, such as DUPLICATE_CHARGE."""
    account_id: str
    subject_kind: str
    """What the case is about, such as `payment`, `auth`, `refund`, `invoice` or `psi` (an item of a
    schedule)."""
    subject_id: str
    """Its id."""
    message: str
    """What has to be looked at, in words."""
    amount: Money | None = None


@fact("exception.resolved.v1")
class ExceptionResolved:
    """A person has dealt with it."""

    resolution: str
    note: str


@fact("parked_command.dropped.v1")
class ParkedCommandDropped:
    """A parked command was given up by a person, with a reason."""

    command_id: UUID
    command_type: str
    """What it asked for: `payments.payment.process.v1`."""
    reason: str
