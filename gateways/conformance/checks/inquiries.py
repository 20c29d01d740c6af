"""What became of it?  An inquiry moves nothing, and says "never heard of it" only when that is so."""

from __future__ import annotations

import asyncio
from typing import Any

from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import Outcome
from gateways.conformance.bank import Fate
from gateways.conformance.check import charges, check, declares, fate, operations
from gateways.conformance.stand import REFUSED, Stand
from gateways.conformance.wire import Answer, Fault, closed_port

ASKED = declares("query_by_reference")


async def _lost(stand: Stand, request: GatewayCallPlanned) -> None:
    """Carried out, and the answer lost on its way."""
    stand.server.faults = [Fault("HANG_UP", executed=True)]
    told = await stand.call(request)
    assert told.result_code == "Indeterminate", f"its answer was lost, and it was told as {told.result_code}"
    stand.bank.settle(stand.deed(request))


async def _found(stand: Stand, request: GatewayCallPlanned) -> Outcome:
    await _lost(stand, request)
    found = await stand.query(request)
    assert found is not None, f"a {request.operation} that was carried out is not found"
    return found


@check("INQ-1", "a charge whose answer was lost is found, with its amount", "the money has moved", ASKED)
async def a_lost_charge_is_found(stand: Stand) -> None:
    found = await _found(stand, stand.ask_charge(2000))
    assert found.result_code == "Success", f"it was found as {found.result_code}"
    assert found.processed_amount in (None, Money(2000, stand.currency)), f"as {found.processed_amount}"
    assert found.gateway_ref, "nothing names what was found"


@check("INQ-2", "a refusal whose answer was lost is found as one", "the next instrument can be tried", ASKED)
async def a_lost_refusal_is_found(stand: Stand) -> None:
    code = next(iter(stand.rig.codes))
    stand.bank.fates.append(Fate("DECLINED", code))
    found = await _found(stand, stand.ask_charge())
    assert found.result_code in REFUSED, f"it was found as {found.result_code}"


@check("INQ-3", "what is still pending is found so", "waiting goes on", ASKED, fate("PENDING"))
async def a_pending_one_is_found(stand: Stand) -> None:
    stand.bank.fates.append(Fate("PENDING"))
    request = stand.ask_charge()
    stand.server.faults = [Fault("HANG_UP", executed=True)]
    await stand.call(request)
    found = await stand.query(request)
    assert found is not None, "a pending charge is not found"
    assert found.result_code == "Pending", f"it was found as {found.result_code}"


@check("INQ-4", "what never arrived is not found", "only then may it be sent again", ASKED)
async def what_never_arrived_is_not_found(stand: Stand) -> None:
    await stand.call(stand.ask_charge())
    found = await stand.query(stand.ask_charge())
    assert found is None, f"another charge was taken for it: {found}"


@check("INQ-5", "an inquiry moves nothing", "it is asked as often as it takes", ASKED)
async def an_inquiry_moves_nothing(stand: Stand) -> None:
    await stand.query(stand.ask_charge())
    assert not stand.bank.deeds, "the inquiry charged"


@check(
    "INQ-6",
    "an inquiry that fails is no 'not found'",
    "taken for 'never carried out', it would send a second charge",
    ASKED,
)
async def a_failing_inquiry_settles_nothing(stand: Stand) -> None:
    request = stand.ask_charge()
    await stand.call(request)
    page = Answer(200, b"<html>Welcome</html>", {"content-type": "text/html"})
    failures = [
        *(Fault("ANSWER", stand.rig.error(status, "no")) for status in (401, 403, 429, 500, 503)),
        Fault("ANSWER", page),
        Fault("ANSWER", Answer(200, b"[]")),
        Fault("ANSWER", Answer(200, b"null")),
        Fault("HANG_UP"),
        Fault("HALF"),
    ]
    for fault in failures:
        stand.server.faults = [fault]
        _settles_nothing(await stand.query(request), fault)
    unreachable = await stand.opened(closed_port()).query(request)
    _settles_nothing(unreachable, "connection refused")


def _settles_nothing(found: Outcome | None, why: Any) -> None:
    assert found is not None, f"{why} was taken for 'not found'"
    assert found.result_code in ("Indeterminate", "SystemError"), f"{why} was told as {found.result_code}"


@check("INQ-7", "an inquiry without an answer ends in its own time", "the next one is due", ASKED)
async def an_inquiry_ends(stand: Stand) -> None:
    request = stand.ask_charge()
    stand.server.faults = [Fault("HANG")]
    async with asyncio.timeout(8):
        _settles_nothing(await stand.opened(read_ms=300).query(request), "no answer")


@check(
    "INQ-8",
    "a lost capture is found",
    "the hold was taken",
    ASKED,
    operations("AUTHORIZE", "CAPTURE"),
)
async def a_lost_capture_is_found(stand: Stand) -> None:
    held = await stand.hold()
    request = stand.ask("CAPTURE", authorization_ref=held.gateway_ref, final_capture=True)
    assert await stand.query(request) is None, "a capture that was never sent is found"
    found = await _found(stand, request)
    assert found.result_code == "Success", f"it was found as {found.result_code}"


@check("INQ-9", "a lost reversal is found", "the hold is gone", ASKED, operations("AUTHORIZE", "REVERSE"))
async def a_lost_reversal_is_found(stand: Stand) -> None:
    held = await stand.hold()
    request = stand.ask("REVERSE", authorization_ref=held.gateway_ref)
    assert await stand.query(request) is None, "a reversal that was never sent is found"
    found = await _found(stand, request)
    assert found.result_code == "Success", f"it was found as {found.result_code}"


@check(
    "INQ-10",
    "a lost refund is found among others of the same payment",
    "two refunds of one amount differ by their keys only",
    ASKED,
    operations("REFUND"),
    charges,
)
async def a_lost_refund_is_found(stand: Stand) -> None:
    charge = await stand.charge()
    money = stand.currency
    told: dict[str, Any] = {"payment_ref": charge.gateway_ref, "original_amount": Money(2000, money)}
    await stand.settled(stand.ask("REFUND", 500, already_refunded=Money(0, money), **told))
    request = stand.ask("REFUND", 500, already_refunded=Money(500, money), **told)
    assert await stand.query(request) is None, "another refund of the payment was taken for it"
    found = await _found(stand, request)
    assert found.result_code == "Success", f"it was found as {found.result_code}"


@check(
    "INQ-11",
    "a gateway that cannot be asked is not asked, and says so",
    "an inquiry that answers nothing must never read as 'not carried out'",
    lambda rig, can: "it can be asked" if can.query_by_reference else None,
)
async def who_cannot_be_asked_says_so(stand: Stand) -> None:
    found = await stand.query(stand.ask_charge())
    assert found is not None, "'not found' from a gateway that cannot be asked"
    assert found.result_code == "Indeterminate", f"it was told as {found.result_code}"
