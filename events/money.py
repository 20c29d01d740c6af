"""Money: a count of minor units in one ISO 4217 currency.  Never a float.

`allocate` is the only way money is divided: its parts always add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from events.frozen import frozen

Remainder = Literal["LAST", "FIRST", "LARGEST_FRACTION"]

_EXPONENT_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_EXPONENT_2 = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN "
    "BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP "
    "GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT "
    "LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN "
    "NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
    "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES "
    "WST XCD YER ZAR ZMW ZWG"
)
_EXPONENT_3 = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENT_4 = "CLF UYW"

EXPONENTS: dict[str, int] = {
    code: exponent
    for exponent, codes in ((0, _EXPONENT_0), (2, _EXPONENT_2), (3, _EXPONENT_3), (4, _EXPONENT_4))
    for code in codes.split()
}
"""Decimal places of each ISO 4217 currency's minor unit."""

AMOUNT_MINOR_MAX = 10**15
"""Larger counts are refused: sums of them must stay inside a 64-bit column."""


@frozen
class Money:
    """`amount_minor` minor units of `currency` (JPY 0, USD 2, KWD 3 decimal places)."""

    amount_minor: int
    """A whole number of the currency's smallest units: 1999 is 19.99 EUR, and 1,999 JPY."""
    currency: str
    """ISO 4217, such as `EUR`."""

    def __add__(self, other: Money) -> Money:
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount_minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount_minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount_minor <= self._same(other)

    def __str__(self) -> str:
        return f"{major(self.amount_minor, self.currency):,f} {self.currency}"

    def _same(self, other: Money) -> int:
        assert self.currency == other.currency, f"{self.currency} met {other.currency}"
        return other.amount_minor


def major(amount_minor: int, currency: str) -> Decimal:
    """The amount in major units, with exactly the currency's decimal places; for display only."""
    return Decimal(amount_minor).scaleb(-EXPONENTS[currency])


def minor(amount: Decimal | str, currency: str) -> int:
    """Minor units of a major amount, rounded half away from zero to the currency's exponent."""
    scaled = Decimal(amount).scaleb(EXPONENTS[currency])
    return int(scaled.quantize(Decimal(1), rounding=ROUND_HALF_UP))


class AllocationWeightsZero(ValueError):
    """The weights of an allocation add up to nothing (`ALLOCATION_WEIGHTS_ZERO`)."""


def allocate(total: int, weights: Sequence[int], policy: Remainder = "LARGEST_FRACTION") -> list[int]:
    """Split `total` minor units in proportion to `weights`; the shares sum to exactly `total`.

    Each share is first rounded toward zero; the undistributed units go to the last share (`LAST`,
    for instalments), to the first (`FIRST`), or one each by largest remainder, ties by position
    (`LARGEST_FRACTION`, for taxes and lines).  Negative totals mirror positive ones.
    Raises `AllocationWeightsZero`.
    """
    if total < 0:
        return [-share for share in allocate(-total, weights, policy)]
    whole = sum(weights)
    if whole == 0:
        raise AllocationWeightsZero("the weights of an allocation must not sum to zero")
    shares = [total * weight // whole for weight in weights]
    left = total - sum(shares)
    if policy == "LAST":
        shares[-1] += left
    elif policy == "FIRST":
        shares[0] += left
    elif left:
        fractions = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
        for i in fractions[:left]:
            shares[i] += 1
    return shares
