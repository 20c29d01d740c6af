"""What a gateway counts in, where that is not the minor unit of ISO 4217.

An amount that it cannot count is refused before it is sent: it is never rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.money import EXPONENTS, Money
from events.shapes import Outcome
from gateways import codes


class Uncountable(ValueError):
    """The gateway has no unit as small as the amount's last."""

    def __init__(self, money: Money, step: int) -> None:
        super().__init__(f"takes only multiples of {step} minor units of {money.currency}")


class Units:
    def __init__(self, exponents: Mapping[str, int], steps: Mapping[str, int] | None = None) -> None:
        """`exponents`: decimals of the gateway's own where they differ; `steps`: only multiples of these."""
        self._shifts = {currency: theirs - EXPONENTS[currency] for currency, theirs in exponents.items()}
        self.steps = {currency: 10**-shift for currency, shift in self._shifts.items() if shift < 0}
        self.steps |= steps or {}

    def count(self, money: Money) -> int:
        """How many of the gateway's units that is.  Raises `Uncountable`."""
        step = self.steps.get(money.currency, 1)
        if money.amount_minor % step:
            raise Uncountable(money, step)
        return self.scaled(money.amount_minor, money.currency)

    def scaled(self, minor: int, currency: str) -> int:
        """The same for an amount that is only told, such as a tax: rounded down where it must be."""
        shift = self._shifts.get(currency, 0)
        return minor * 10**shift if shift >= 0 else minor // 10**-shift

    def money(self, count: int, currency: str) -> Money:
        shift = self._shifts.get(currency, 0)
        return Money(count // 10**shift if shift >= 0 else count * 10**-shift, currency)


def uncountable(error: Uncountable) -> Outcome:
    """Known to be wrong before anything was sent."""
    return Outcome(
        "ValidationError",
        category="PaymentInformation",
        hard=True,
        raw_code="amount_granularity",
        raw_message=str(error),
        code_map_version=codes.VERSION,
    )
