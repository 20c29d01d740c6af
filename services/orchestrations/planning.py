"""Which payments a refund comes from: the fewest whose applied money reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple


class Source(NamedTuple):
    """A payment that could give money back."""

    payment_id: str
    applied: int
    """To the original invoice."""
    eligible: int
    applied_at: datetime
    """Its latest application: recent charges are likeliest to be refundable."""


class Pick(NamedTuple):
    payment_id: str
    unapply: int
    reapply: int
    refund: int


class Plan(NamedTuple):
    picks: tuple[Pick, ...]
    leftover: int
    """What all eligible payments together cannot give back."""


def choose(target: int, sources: Sequence[Source]) -> Plan:
    """The largest eligible first, then the latest, then by id, until the target is reached.

    Every picked payment but the last is refunded all that is eligible; the last takes the rest, and
    what was taken off the invoice beyond its refund goes back on.
    """
    ranked = sorted(sources, key=lambda s: s.payment_id)
    ranked.sort(key=lambda s: s.applied_at, reverse=True)
    ranked.sort(key=lambda s: s.eligible, reverse=True)
    picks, left = list[Pick](), target
    for source in ranked:
        if left <= 0 or source.eligible <= 0:
            break
        refund = min(source.eligible, left)
        picks.append(Pick(source.payment_id, source.applied, source.applied - refund, refund))
        left -= refund
    return Plan(tuple(picks), left)
