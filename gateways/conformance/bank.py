"""What stands behind a pretend gateway: a ledger that honours keys, and does as the check at hand says.

Invariant: one key moves money at most once; and never is more captured than is held, or more given
back than was taken.  A rig only translates: requests into orders, deeds into answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from events.gateway import Capabilities
from events.money import Money
from gateways.conformance.wire import Answer, Asked

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BEGINS = ("AUTHORIZE", "SALE", "TOKENIZE", "UNREFERENCED_REFUND")
GIVES_BACK = ("REFUND", "VOID")


@dataclass(frozen=True)
class SeenLine:
    product_code: str
    quantity: str
    unit_price_minor: int


@dataclass(frozen=True)
class Seen:
    """Level 2 and 3 data as they arrived: the tax of the whole, and the lines where there were any."""

    tax_minor: int | None
    lines: tuple[SeenLine, ...] = ()


@dataclass(frozen=True)
class Order:
    """A request, as the gateway understood it: amounts in ISO 4217 minor units, whatever was on the wire."""

    operation: str
    key: str | None
    amount: Money | None = None
    """None: all that is held or was taken."""
    token: str | None = None
    of: str | None = None
    """The reference of what it captures, reverses, voids or refunds."""
    initiator: str | None = None
    enhanced: Seen | None = None


@dataclass(frozen=True)
class Fate:
    """What happens to the next order: EXECUTED, DECLINED with a code, PENDING, ACTION or REVIEW."""

    status: str
    code: str = ""
    short_minor: int = 0
    """So much less is taken than was asked for."""


@dataclass
class Deed:
    """An order, and what became of it."""

    ref: str
    order: Order
    status: str
    """EXECUTED, DECLINED, PENDING, ACTION, REVIEW or REVERSED."""
    amount: Money | None
    code: str = ""
    rule: str = ""
    """Why the ledger refused: OVER_CAPTURE, OVER_REFUND, NOT_HELD or NO_SUCH."""
    then: Fate = Fate("EXECUTED")
    """What a pending one becomes."""
    at: datetime = NOW

    @property
    def counts(self) -> bool:
        return self.status in ("EXECUTED", "PENDING") and not self.rule


class SeenBefore(Exception):
    """The key was used: `same` says whether for the same request; `first` is what was answered then."""

    def __init__(self, deed: Deed, same: bool, first: Answer | None) -> None:
        super().__init__(deed.order.key)
        self.deed, self.same, self.first = deed, same, first


@dataclass
class Bank:
    can: Capabilities
    prefix: str = "ref"
    deeds: list[Deed] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)
    _kept: dict[str, tuple[str, Deed]] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)

    def execute(self, order: Order, asked: Asked) -> Deed:
        """Carry an order out, once per key.  Raises `SeenBefore`."""
        digest = hashlib.sha256(asked.path.encode() + asked.body).hexdigest()
        if order.key and order.key in self._kept:
            known, deed = self._kept[order.key]
            raise SeenBefore(deed, known == digest, self._answers.get(order.key))
        deed = self._judged(order)
        self.deeds.append(deed)
        if order.key:
            self._kept[order.key] = (digest, deed)
        return deed

    def answered(self, key: str, answer: Answer) -> None:
        self._answers[key] = answer

    def of_key(self, key: str) -> Deed | None:
        return next((deed for deed in self.deeds if deed.order.key == key), None)

    def of_ref(self, ref: str | None) -> Deed | None:
        return next((deed for deed in self.deeds if deed.ref == ref), None)

    def on(self, ref: str, *operations: str) -> list[Deed]:
        """What was done, and counts, on top of a deed."""
        return [
            deed
            for deed in self.deeds
            if deed.order.of == ref and deed.order.operation in operations and deed.counts
        ]

    def settle(self, deed: Deed) -> None:
        """Time passes: what was pending is over."""
        if deed.status == "PENDING":
            deed.status, deed.code = deed.then.status, deed.then.code

    def taken(self, currency: str) -> int:
        """Of sales and captures together, in minor units."""
        return sum(
            deed.amount.amount_minor
            for deed in self.deeds
            if deed.counts
            and deed.amount is not None
            and deed.amount.currency == currency
            and deed.order.operation in ("SALE", "CAPTURE")
        )

    def _judged(self, order: Order) -> Deed:
        ref = f"{self.prefix}{len(self.deeds) + 1:08d}"
        base = self.of_ref(order.of)
        amount = order.amount or (self._left(base, order.operation) if base else None)
        rule = self._rule(order, base)
        next_one = self.fates.pop(0) if self.fates and not rule else Fate("EXECUTED")
        fate = Fate("DECLINED") if rule else next_one
        if amount is not None and fate.short_minor:
            amount = replace(amount, amount_minor=amount.amount_minor - fate.short_minor)
        late = order.operation in self.can.asynchronous and fate.status in ("EXECUTED", "DECLINED")
        status = "PENDING" if late else fate.status
        then = fate if late else Fate("EXECUTED")
        return Deed(ref, order, status, amount, "" if late else fate.code, rule, then)

    def _rule(self, order: Order, base: Deed | None) -> str:
        if order.operation in BEGINS:
            return ""
        if base is None:
            return "NO_SUCH"
        captured = self.on(base.ref, "CAPTURE")
        closed = () if self.can.multi_capture else ("CAPTURE",)
        if captured and order.operation in ("REVERSE", *closed):
            return "NOT_HELD"
        if self._fits(order, base):
            return ""
        return {"CAPTURE": "OVER_CAPTURE", "REVERSE": "NOT_HELD"}.get(order.operation, "OVER_REFUND")

    def _fits(self, order: Order, base: Deed) -> bool:
        left = self._left(base, order.operation)
        if left is None or order.amount is None:
            return left is not None and left.amount_minor > 0
        return order.amount.currency == left.currency and 0 < order.amount.amount_minor <= left.amount_minor

    def _left(self, base: Deed, operation: str) -> Money | None:
        """Of a hold, what is neither captured nor given up; of a charge, what was not given back."""
        if base.amount is None:
            return None
        if operation in ("CAPTURE", "REVERSE"):
            used = self.on(base.ref, "CAPTURE", "REVERSE")
            whole = base.amount.amount_minor
        else:
            used = self.on(base.ref, *GIVES_BACK)
            whole = base.amount.amount_minor
            if base.order.operation == "AUTHORIZE":
                whole = sum(deed.amount.amount_minor for deed in self.on(base.ref, "CAPTURE") if deed.amount)
        spent = sum(deed.amount.amount_minor for deed in used if deed.amount)
        return Money(whole - spent, base.amount.currency)
