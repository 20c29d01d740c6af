"""Every way in which a network and a server fail.  The one question: may the gateway have had it?"""

from __future__ import annotations

import asyncio

from events.shapes import Outcome
from gateways.conformance.check import check, holds
from gateways.conformance.stand import Stand
from gateways.conformance.wire import ENDLESS_BYTES, Answer, Fault, closed_port, full_queue

SHORT_MS = 300
NOWHERE = "http://gateway.invalid"
ODD = ([], {}, b"null", "text", 17, {"status": None}, {"result": {}}, [{"id": 1}], {"error": "text"})


async def _not_sent(stand: Stand, url: str, connect_ms: int = 2_000) -> None:
    told = await stand.call(stand.ask_charge(), stand.opened(url, connect_ms=connect_ms))
    assert told.result_code == "SystemError", f"nothing was ever reached, and it was told as {told}"
    assert told.category == "GatewayConnection", f"its category is {told.category}"


async def _unknown(stand: Stand, fault: Fault, read_ms: int = 5_000) -> Outcome:
    stand.server.faults = [fault]
    before = len(stand.sent)
    told = await stand.call(stand.ask_charge(), stand.opened(read_ms=read_ms))
    assert told.result_code == "Indeterminate", f"nobody knows what became of it, and it was told as {told}"
    assert len(stand.sent) == before + 1, f"one call sent {len(stand.sent) - before} requests"
    return told


@check("NET-1", "connection refused: SystemError", "nobody was there, so nothing can have moved")
async def nobody_listens(stand: Stand) -> None:
    await _not_sent(stand, closed_port())


@check("NET-2", "a name that nobody knows: SystemError", "no byte left the machine")
async def nobody_has_the_name(stand: Stand) -> None:
    await _not_sent(stand, NOWHERE)


@check("NET-3", "TLS that fails: SystemError", "the request is written only after the handshake")
async def no_handshake(stand: Stand) -> None:
    await _not_sent(stand, stand.server.url.replace("http://", "https://"))
    assert not stand.bank.deeds, "it went out without TLS"


@check("NET-4", "a connection that never stands: SystemError, within its own time-out", "no byte was taken")
async def nobody_takes_up(stand: Stand) -> None:
    with full_queue() as url:
        async with asyncio.timeout(10):
            await _not_sent(stand, url, connect_ms=SHORT_MS)


@check("NET-5", "no answer in time: Indeterminate", "it was sent; a retry would be a second charge")
async def no_answer_in_time(stand: Stand) -> None:
    async with asyncio.timeout(8):
        await _unknown(stand, Fault("HANG"), read_ms=SHORT_MS)


@check("NET-6", "no answer in time to what was carried out: Indeterminate", "the money has moved")
async def a_late_answer(stand: Stand) -> None:
    async with asyncio.timeout(8):
        await _unknown(stand, Fault("HANG", executed=True), read_ms=SHORT_MS)
    assert len(stand.bank.deeds) == 1, f"it was carried out {len(stand.bank.deeds)} times"


@check("NET-7", "the line breaks before it is carried out: Indeterminate", "from here it looks like after")
async def the_line_breaks(stand: Stand) -> None:
    await _unknown(stand, Fault("HANG_UP"))


@check("NET-8", "the line breaks after it was carried out: Indeterminate", "the money has moved")
async def the_answer_is_lost(stand: Stand) -> None:
    await _unknown(stand, Fault("HANG_UP", executed=True))


@check("NET-9", "half an answer: Indeterminate", "what it would have said is not known")
async def half_an_answer(stand: Stand) -> None:
    await _unknown(stand, Fault("HALF", executed=True))


@check("NET-10", "an answer that is no JSON: Indeterminate", "a broken answer says nothing about the money")
async def garbage(stand: Stand) -> None:
    for body in (b"{", b"\xff\xfe\x00garbage", b"not at all", b'{"status": "succeeded"'):
        await _unknown(stand, Fault("ANSWER", Answer(200, body), executed=True))


@check("NET-11", "a web page with status 200: Indeterminate", "a proxy's welcome is no receipt")
async def a_web_page(stand: Stand) -> None:
    page = Answer(200, b"<html><body>Welcome</body></html>", {"content-type": "text/html"})
    await _unknown(stand, Fault("ANSWER", page, executed=True))


@check("NET-12", "an empty answer with status 200: Indeterminate", "silence is no receipt")
async def silence(stand: Stand) -> None:
    await _unknown(stand, Fault("ANSWER", Answer(200, b""), executed=True))


@check(
    "NET-13", "JSON of another shape: Indeterminate", "a field that is not there is no success, and no crash"
)
async def another_shape(stand: Stand) -> None:
    for body in ODD:
        await _unknown(stand, Fault("ANSWER", Answer(200, body), executed=True))


@check("NET-14", "an answer without end is cut off: Indeterminate", "one gateway must not fill the memory")
async def an_endless_answer(stand: Stand) -> None:
    await _unknown(stand, Fault("ENDLESS", executed=True))
    assert stand.server.pushed < ENDLESS_BYTES, f"all {stand.server.pushed >> 20} MiB of it were read"


@check("NET-15", "HTTP 500, 502, 504 and 408: Indeterminate", "it may have been carried out before it failed")
async def server_errors(stand: Stand) -> None:
    for status in (500, 502, 504, 408):
        await _unknown(stand, Fault("ANSWER", stand.rig.error(status, "oh dear"), executed=True))
        await _unknown(stand, Fault("ANSWER", Answer(status, b"<html>oh dear</html>"), executed=True))


@check(
    "NET-16",
    "a status that is documented as not processed: SystemError; HTTP 503 else: Indeterminate",
    "only the gateway's own word makes it safe to send again",
)
async def not_processed(stand: Stand) -> None:
    for status in {*stand.rig.not_processed, 503}:
        stand.server.faults = [Fault("ANSWER", stand.rig.error(status, "busy"))]
        told = await stand.call(stand.ask_charge())
        wanted = "SystemError" if status in stand.rig.not_processed else "Indeterminate"
        assert told.result_code == wanted, f"HTTP {status} was told as {told.result_code}"


@check(
    "NET-17",
    "too many requests: the pause that the gateway asks for is passed on",
    "who comes back earlier is shut out for longer",
    lambda rig, can: None if 429 in rig.not_processed else "the gateway answers no 429",
)
async def come_back_later(stand: Stand) -> None:
    busy = stand.rig.error(429, "busy")
    for header, wanted in (("7", 7), (None, None), ("soon", None)):
        headers = {**busy.headers, **({"retry-after": header} if header else {})}
        stand.server.faults = [Fault("ANSWER", busy._replace(headers=headers))]
        told = await stand.call(stand.ask_charge())
        assert told.result_code == "SystemError", f"429 was told as {told.result_code}"
        assert told.retry_after_seconds == wanted, (
            f"Retry-After {header} was read as {told.retry_after_seconds}"
        )


@check(
    "NET-18",
    "credentials that are not accepted: SystemError",
    "nothing was carried out, and the next try may have better ones; no customer was declined",
    holds("api_key"),
)
async def not_let_in(stand: Stand) -> None:
    for status in (401, 403):
        stand.server.faults = [Fault("ANSWER", stand.rig.error(status, "who are you"))]
        told = await stand.call(stand.ask_charge())
        assert told.result_code == "SystemError", f"HTTP {status} was told as {told.result_code}"


@check(
    "NET-19", "a redirection is not followed: Indeterminate", "a payment goes where it was configured to go"
)
async def sent_elsewhere(stand: Stand) -> None:
    for status in (301, 302, 307, 308):
        away = Answer(status, {}, {"location": f"{stand.server.url}/elsewhere"})
        await _unknown(stand, Fault("ANSWER", away))
    assert not any(asked.path.startswith("/elsewhere") for asked in stand.sent), "it was sent elsewhere"


@check(
    "NET-20", "a call that fails is sent once", "only Tender tries again: under the same key, by its rules"
)
async def sent_once(stand: Stand) -> None:
    failures = [
        Fault("ANSWER", stand.rig.error(429, "busy")),
        Fault("ANSWER", stand.rig.error(500, "oh dear")),
        Fault("ANSWER", stand.rig.error(503, "busy")),
        Fault("HANG_UP"),
    ]
    for fault in failures:
        before = len(stand.sent)
        stand.server.faults = [fault]
        await stand.call(stand.ask_charge(), stand.opened())
        assert len(stand.sent) == before + 1, f"one call sent {len(stand.sent) - before} requests"


@check(
    "NET-21", "a conflict over the key says nothing about the money", "another worker may be at it just now"
)
async def a_conflict(stand: Stand) -> None:
    stand.server.faults = [Fault("ANSWER", stand.rig.error(409, "conflict"))]
    told = await stand.call(stand.ask_charge())
    assert told.result_code not in ("Success", "Pending", "SystemError"), f"it was told as {told.result_code}"
