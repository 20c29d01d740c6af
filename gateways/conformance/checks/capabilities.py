"""Capabilities: the promises by which operations are planned and unknown outcomes resolved."""

from __future__ import annotations

from events.money import EXPONENTS
from gateways.conformance.check import check
from gateways.conformance.stand import OPERATIONS, Stand


@check("CAP-1", "operations are known, and declared once", "an unknown one is never planned")
async def operations_are_known(stand: Stand) -> None:
    declared = stand.can.operations
    assert declared, "it declares no operation"
    assert len(set(declared)) == len(declared), f"one is declared twice: {declared}"
    assert set(declared) <= set(OPERATIONS), f"unknown: {set(declared) - set(OPERATIONS)}"


@check("CAP-2", "what is asynchronous is declared", "an acknowledgement of nothing is no promise")
async def asynchronous_is_declared(stand: Stand) -> None:
    more = set(stand.can.asynchronous) - set(stand.can.operations)
    assert not more, f"asynchronous, and not declared: {more}"
    told = stand.can.notifications or stand.can.query_by_reference
    assert told or not stand.can.asynchronous, "it acknowledges, and neither tells nor can be asked"


@check("CAP-3", "one promise does not contradict another", "planning reads each for itself")
async def promises_agree(stand: Stand) -> None:
    can = stand.can
    pairs = {
        "several captures are partial ones": not can.multi_capture or can.partial_capture,
        "Level 3 includes Level 2": not can.level3 or can.level2,
        "Level 3 has room for a line": not can.level3 or can.level3_max_lines is None or can.level3_max_lines,
        "keys are kept for a time": not can.idempotency or can.idempotency_key_hours > 0,
        '"not found" is vouched for by who can be asked': can.read_your_writes_seconds is None
        or can.query_by_reference,
        "what captures also authorizes": "CAPTURE" not in can.operations or "AUTHORIZE" in can.operations,
        "over-capture is no discount": can.overcapture_percent >= 0,
        "refund windows are days": all(days > 0 for days in (can.refund_window_days or {}).values()),
    }
    broken = [sentence for sentence, holds in pairs.items() if not holds]
    assert not broken, f"it does not hold that {'; that '.join(broken)}"


@check("CAP-4", "currencies are those of ISO 4217", "others are refused by everybody else")
async def currencies_are_known(stand: Stand) -> None:
    unknown = [currency for currency in stand.can.currencies if currency not in EXPONENTS]
    assert not unknown, f"no currencies: {unknown}"


@check("CAP-5", "promises do not change by being used", "they were recorded when the provider was registered")
async def promises_stay(stand: Stand) -> None:
    before = stand.gateway.capabilities
    await stand.call(stand.ask_charge())
    assert stand.gateway.capabilities == before == stand.opened().capabilities, "they changed"
