"""Which operation of ours a line of a payout is about: by the gateway's reference, its base's, or ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.payout import PayoutLineReported
from services.calls.calling import GatewayCall
from services.decision import Need, Needs, References, States

MEANT: dict[str, tuple[str, ...]] = {
    "PAYMENT": ("CAPTURE", "SALE"),
    "REFUND": ("REFUND", "UNREFERENCED_REFUND"),
    "REFUND_REVERSED": ("REFUND", "UNREFERENCED_REFUND"),
    "CHARGEBACK": ("CAPTURE", "SALE"),
    "CHARGEBACK_REVERSED": ("CAPTURE", "SALE"),
    "RETURN": ("CAPTURE", "SALE"),
}
"""A type of line, and the operations that it may be about, the likeliest first."""


class Match(NamedTuple):
    planned: GatewayCallPlanned
    by: str


def _references(line: PayoutLineReported) -> Iterable[tuple[str, str]]:
    if line.gateway_ref:
        yield "GATEWAY_REFERENCE", line.gateway_ref
    if line.original_ref:
        yield "ORIGINAL_REFERENCE", line.original_ref
    if line.merchant_reference:
        yield "MERCHANT_REFERENCE", line.merchant_reference


def needed(states: States, line: PayoutLineReported) -> Needs:
    for _, reference in _references(line):
        yield References(line.gateway_id, reference)
        for key in states.find_references(line.gateway_id, reference):
            yield Need(GatewayCall, key)


def match(states: States, line: PayoutLineReported) -> Match | None:
    for by, reference in _references(line):
        calls = [states.get(GatewayCall, key) for key in states.references(line.gateway_id, reference)]
        planned = _only([call for call in calls if _is_ours(call, line)], line)
        if planned is not None:
            return Match(planned, by)
    return None


def _is_ours(call: GatewayCall, line: PayoutLineReported) -> bool:
    return call.planned is not None and call.planned.gateway_id == line.gateway_id


def _only(calls: Sequence[GatewayCall], line: PayoutLineReported) -> GatewayCallPlanned | None:
    """Of calls that share a reference the one that is meant: of the likeliest kind, done, of that amount."""
    amount = magnitude(line.charged or line.gross)
    for operation in MEANT[line.type]:
        meant = [call for call in calls if call.planned and call.planned.operation == operation]
        done = [call for call in meant if call.status == "SUCCEEDED"]
        for choice in (
            meant,
            done,
            [call for call in meant if call.planned and call.planned.amount == amount],
        ):
            if len(choice) == 1:
                return choice[0].planned
    return None


def magnitude(money: Money) -> Money:
    return Money(abs(money.amount_minor), money.currency)
