"""Card-network caps: how often one amount may be tried with one card before its network charges for it.

Invariant: an attempt that is moved by `earliest` keeps within every cap of its network.

Visa counts reattempts at the same amount with the same card in 30 days: 15 until May 2025, 20 since (Visa
Core Rules of 18 April 2026, table 7-2).  Mastercard counts 10 in 24 hours, and 35 in 30 days.  Sources:
https://support.checkout.com/hc/en-us/articles/25482040901394-When-can-I-retry-a-declined-transaction (both),
https://www.payway.com/visa-excessive-reattempts-rule-fees and
https://support.stripe.com/questions/payment-blocked-due-to-excessive-retries (15),
https://developers.tabapay.com/docs/excessive-retry-rules (20; 10; 35).
Here every attempt that failed counts, the first too, and Visa's is the lower number, which no acquirer
charges for.  What counts is on the card (`services.accounts.card`), whatever item or payment it was for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

AS_NETWORKS_COUNT = ("visa 15/30d", "mastercard 10/24h", "mastercard 35/30d")
"""The setting `card_network_caps` of a tenant that has not changed it."""

_CAP = re.compile(r"([a-z_]{2,20}) ([1-9][0-9]{0,2})/([1-9][0-9]{0,2})([hd])")


class Cap(NamedTuple):
    network: str
    attempts: int
    span: timedelta

    def __str__(self) -> str:
        hours = self.span // timedelta(hours=1)
        span = f"{hours // 24} days" if hours % 24 == 0 and hours > 24 else f"{hours} hours"
        return f"{self.network} allows {self.attempts} attempts in {span}"


def parsed(text: str) -> Cap | None:
    """`visa 15/30d`: a network, so many attempts, in so many hours or days.  None for anything else."""
    said = _CAP.fullmatch(text)
    if said is None:
        return None
    network, attempts, count, unit = said.groups()
    return Cap(network, int(attempts), timedelta(hours=int(count) * (24 if unit == "d" else 1)))


def of_network(texts: Iterable[str], network: str | None) -> list[Cap]:
    """The caps that a card of this network is under."""
    name = (network or "").strip().lower().replace(" ", "_")
    return [cap for text in texts if (cap := parsed(text)) and cap.network == name]


def earliest(at: datetime, past: Sequence[datetime], caps: Iterable[Cap]) -> tuple[datetime, Cap | None]:
    """The first instant from `at` on that every cap allows, and the cap that moved it.

    `past` are the attempts at this amount with this card, the latest last, none after `at`.
    """
    moved: Cap | None = None
    for cap in caps:
        if len(past) >= cap.attempts and past[-cap.attempts] + cap.span > at:
            at, moved = past[-cap.attempts] + cap.span, cap
    return at, moved
