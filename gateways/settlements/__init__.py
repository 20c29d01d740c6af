"""Settlement reports: files in which gateways say what they have paid out, read line by line."""

from __future__ import annotations

from collections.abc import Callable

from gateways.settlements import adyen, gocardless, simulator, stripe
from gateways.settlements.reading import Line, Payout, Report, Unreadable

FORMATS: dict[str, Callable[[str], Report]] = {
    "stripe": stripe.read,
    "adyen": adyen.read,
    "gocardless": gocardless.read,
    "simulator": simulator.read,
}
"""By the key of the adapter whose gateway writes it.  Each raises `ValueError` where a file is none."""

__all__ = ["FORMATS", "Line", "Payout", "Report", "Unreadable"]
