"""Settling: a line of a payout that is about an account's operation is told to that account."""

from __future__ import annotations

from collections.abc import Iterable

from events.payout import PayoutLineMatched
from services.decision import Need, Needs, States
from services.payouts.payout import PayoutLine
from services.payouts.settling import SettlePayoutLine
from services.processes.process import Process, Send, Trigger


def needs(states: States, trigger: Trigger) -> Needs:
    yield Need(PayoutLine, trigger.stream_id)


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    line, matched = states.get(PayoutLine, trigger.stream_id).reported, trigger.fact
    if line is None:
        return []
    settle = SettlePayoutLine(
        line.payout_id,
        line.line_id,
        line.type,  # type: ignore[arg-type]
        matched.target_kind,
        matched.target_id,
        matched.operation_key,
        line.charged or line.gross,
        line.gross,
        line.fee,
        line.gateway_ref,
    )
    return [Send(settle, matched.account_id, f"settling:{line.line_id}:settle:1")]


PROCESS = Process("settling", (PayoutLineMatched,), needs, react)
