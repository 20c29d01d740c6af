"""Asking a gateway for money: one way for a payment by hand, and for an item of a schedule.

Invariant: the intent holds the key under which it is sent, and nothing else mints one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.frozen import frozen
from events.money import Money
from events.payment import PaymentEnhancedDataReduced, PaymentRequested
from events.shapes import Intended, Method, ScheduleItemRef
from services.calls import calling
from services.calls.accompanying import PurchaseDetail, remembered
from services.calls.gateway import Gateway, check_accepts
from services.calls.provider import MethodType
from services.commands import Amount, Id, Text, Token
from services.decision import Change, Context, Need, Needs, States
from services.invoices.invoice import Invoice
from services.payments import enhancing
from services.payments.enhancing import Purchase
from services.payments.payment import Payment

CUSTOMERS = ("PORTAL", "PAY_LINK", "CHECKOUT")
"""Where a payment was begun by its customer; else the merchant began it."""


@frozen
class ApplyTo:
    """Where the money shall go; without an amount, as much as the invoice (or line) still owes."""

    invoice_id: Id
    """The invoice; it may owe less than was meant by the time that the money arrives."""
    amount: Amount | None = None
    """How much of it; without it, as much as is owed there and is left."""
    line_id: Id | None = None
    """One line of the invoice; without it, the invoice."""


@frozen
class OneTimeMethod:
    """An instrument used once: its token, never its number."""

    type: MethodType
    token_ref: Token
    """The gateway's stand-in for the instrument, as its component gave it; a card number is refused."""
    gateway_reference: Token | None = None
    network: Text | None = None
    last4: Text | None = None


@dataclass(frozen=True)
class Asked:
    """A payment to be, as it is asked for."""

    payment_id: str
    amount: Money
    method: Method
    apply_to: tuple[ApplyTo, ...]
    initiation: str
    new: bool = False
    """Its stream is made by this very command."""
    payment_group_id: str | None = None
    profile_id: str | None = None
    """The billing profile that it is for, if not the account's default."""
    legal_entity_id: str | None = None
    """Whose books it is in, if not its first invoice's."""
    source_id: str | None = None
    """What it is begun for, if neither an item nor its first invoice."""
    item: ScheduleItemRef | None = None
    """The item of a payment schedule that it collects: its attempts are the item's."""
    attempt_no: int = 1
    reason: str | None = None
    """Why the merchant charges a stored credential, if not unscheduled."""
    is_first: bool = False
    """Whether its instrument is one that the networks do not yet know as kept."""
    detail: PurchaseDetail | None = None
    """What its client says of the purchase."""
    data_refused: bool = False
    """Its gateway has refused to take such data at the attempt before."""
    besides: Mapping[str, Any] | None = None
    """What goes to the gateway with it, as `GatewayCallPlanned` has it."""

    @property
    def origin(self) -> str:
        return self.item.item_id if self.item else self.payment_id

    @property
    def begun_for(self) -> str | None:
        """What it was begun for, as its gateway is told."""
        if self.source_id or self.item:
            return self.source_id or (self.item and self.item.item_id)
        return self.apply_to[0].invoice_id if self.apply_to else None


def needed(states: States, gateway_id: str | None, apply_to: Sequence[ApplyTo], context: Context) -> Needs:
    if gateway_id:
        yield Need(Gateway, gateway_id)
    for target in apply_to[:1]:
        yield Need(Invoice, target.invoice_id)
    yield from enhancing.needed(states, (target.invoice_id for target in apply_to), context)


def entity_of(states: States, apply_to: Sequence[ApplyTo], context: Context) -> str | None:
    """In whose books money is that is meant for invoices: the first's; none while it is not loaded."""
    meant = states.find(Invoice, apply_to[0].invoice_id) if apply_to else None
    return meant.legal_entity_id if meant and meant.account_id == context.account_id else None


def ask(states: States, asked: Asked, context: Context) -> list[Change]:
    """The intent, what of its detail was left out, and the call.  Raises what `check_accepts` does."""
    method, amount = asked.method, asked.amount
    gateway = states.get(Gateway, method.gateway_id)
    check_accepts(gateway, method.gateway_id, "SALE", amount, method.type, context.now)
    number, targets = context.number("PAY"), intended(asked.apply_to)
    entity = asked.legal_entity_id or entity_of(states, asked.apply_to, context)
    purchase = Purchase(amount, method.type, number, targets, asked.profile_id, entity, asked.detail)
    enhanced = enhancing.enhanced(states, purchase, gateway, context)
    if asked.data_refused:
        enhanced = enhancing.withheld(enhanced)
    key, planned = calling.plan(
        context,
        origin=asked.origin,
        operation="SALE",
        attempt_no=asked.attempt_no,
        target_kind="payment",
        target_id=asked.payment_id,
        gateway_id=method.gateway_id,
        amount=amount,
        merchant_reference=number,
        method=method,
        enhanced=enhanced.sent,
        initiation_source_id=asked.begun_for,
        **stored(asked.initiation, asked.is_first, asked.reason),
        **(asked.besides or {}),
    )
    requested = PaymentRequested(
        payment_id=asked.payment_id,
        number=number,
        type="SALE",
        account_id=context.account_id,
        amount=amount,
        gateway_id=method.gateway_id,
        method=method,
        initiation=asked.initiation,
        attempt_no=asked.attempt_no,
        gateway_idempotency_key=key,
        requested_at=context.now,
        intended_applications=targets,
        payment_group_id=asked.payment_group_id,
        schedule_item=asked.item,
        legal_entity_id=entity,
        initiation_source_id=asked.begun_for,
        level_requested=enhanced.level,
        **remembered(asked.besides or {}),
    )
    changes = [Change(Payment, asked.payment_id, requested, new=asked.new)]
    if enhanced.reduced:
        reduced = PaymentEnhancedDataReduced(*enhanced.reduced)
        changes.append(Change(Payment, asked.payment_id, reduced))
    return [*changes, planned]


def stored(initiation: str, is_first: bool, reason: str | None = None) -> dict[str, Any]:
    """By whom, and why, a kept credential is charged, as Visa and Mastercard want to be told."""
    if initiation in CUSTOMERS:
        return {"initiator": "CUSTOMER", "is_first_in_series": is_first}
    return {"initiator": "MERCHANT", "reason": reason} if reason else {"initiator": "MERCHANT"}


def intended(targets: Iterable[ApplyTo]) -> tuple[Intended, ...]:
    return tuple(Intended(target.invoice_id, target.amount, target.line_id) for target in targets)
