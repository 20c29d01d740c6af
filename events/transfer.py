"""What can happen to money of a payment that goes to another account (streams `payment-{id}` of both).

It is reserved on the payment that owns it, received on the other account as a payment of its own
(whose id is the transfer's), and then gone from the first; or it is refused there and free again here.
"""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact
from events.money import Money


@fact("payment.transfer_reserved.v1")
class PaymentTransferReserved:
    """The intent: the money is untouchable until the other account has taken or refused it."""

    transfer_id: str
    to_account_id: str
    amount: Money
    requested_at: datetime
    invoice_id: str | None = None
    """The invoice of the other account that it shall settle; without one it stays unapplied there."""
    line_id: str | None = None
    """One line of that invoice."""
    effective_at: datetime | None = None
    comments: str | None = None


@fact("payment.transfer_received.v1")
class PaymentTransferReceived:
    """On the other account: the money is here, as a payment of type TRANSFER."""

    payment_id: str
    """The transfer's id."""
    number: str
    account_id: str
    amount: Money
    from_account_id: str
    from_payment_id: str
    received_at: datetime


@fact("payment.transfer_refused.v1")
class PaymentTransferRefused:
    """On the other account: nothing was taken, and the code says why."""

    payment_id: str
    account_id: str
    amount: Money
    from_account_id: str
    from_payment_id: str
    code: str
    message: str


@fact("payment.balance_transferred.v1")
class PaymentBalanceTransferred:
    """The other account has the money: it is here no more."""

    transfer_id: str
    to_account_id: str
    amount: Money
    invoice_id: str | None = None
    """The invoice that it settles there."""


@fact("payment.transfer_released.v1")
class PaymentTransferReleased:
    """The other account has refused the money: it is unapplied again."""

    transfer_id: str
    to_account_id: str
    amount: Money
    code: str
    message: str


@fact("payment.transfer_recalled.v1")
class PaymentTransferRecalled:
    """The money was asked back."""

    transfer_id: str
    to_account_id: str
    amount: Money
    forced: bool
    """The bank has taken the payment back: what is left over there is given back whatever holds it."""
    reason: str | None = None


@fact("payment.transfer_given_back.v1")
class PaymentTransferGivenBack:
    """On the other account: the money was taken off what it had settled, and has left."""

    to_account_id: str
    to_payment_id: str
    amount: Money
    rest: Money
    """What is not here any more, of what was asked back."""
    asked: bool
    """False: nobody asked, this account sends it back."""


@fact("payment.transfer_kept.v1")
class PaymentTransferKept:
    """On the other account: the money is not given back, and the code says why."""

    to_account_id: str
    to_payment_id: str
    amount: Money
    code: str
    message: str


@fact("payment.transfer_returned.v1")
class PaymentTransferReturned:
    """Money that had gone to the other account is here again, unapplied."""

    transfer_id: str
    from_account_id: str
    """The account that it had gone to."""
    amount: Money
    rest: Money
    """What stays there."""
    asked: bool
    """It answers a recall."""


@fact("payment.transfer_recall_refused.v1")
class PaymentTransferRecallRefused:
    """The other account could not give the money back, for the reason that is named."""

    transfer_id: str
    from_account_id: str
    """The account that has it."""
    amount: Money
    code: str
    message: str


TransferEvent = (
    PaymentTransferReserved
    | PaymentTransferReceived
    | PaymentTransferRefused
    | PaymentBalanceTransferred
    | PaymentTransferReleased
    | PaymentTransferRecalled
    | PaymentTransferGivenBack
    | PaymentTransferKept
    | PaymentTransferReturned
    | PaymentTransferRecallRefused
)
