"""An adapter is a pure translator: it keeps nothing, blocks nobody, and is the same each time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from gateways.conformance.check import charges, check, operations
from gateways.conformance.stand import Stand
from gateways.conformance.wire import Asked, Fault

AT_ONCE = 50
LONG_PAUSE_SECONDS = 1.0
REFERENCES = ('a "quoted" <b>&amp; %00 \\ text', "売上 № 7 — ünïcode 🙂", "R" * 1000, "line\r\nX-Evil: 1")
VARYING = ("date", "traceparent", "x-request-id", "x-stripe-client-telemetry")


def _told(asked: Asked) -> tuple[str, str, bytes, dict[str, str]]:
    headers = {name: value for name, value in asked.headers.items() if name not in VARYING}
    return asked.method, asked.path, asked.body, headers


@check(
    "CON-1",
    "the same request is the same bytes, from any adapter at any time",
    "a gateway compares bodies under a key; one that differs by a clock or by chance is refused as reused",
)
async def the_same_bytes(stand: Stand) -> None:
    request = stand.ask_charge()
    await stand.call(request)
    first = _told(stand.sent[0])
    seen = len(stand.sent)
    await asyncio.sleep(1.1)
    await stand.call(request, stand.opened())
    assert _told(stand.sent[seen]) == first, f"first {first}, then {_told(stand.sent[seen])}"


@check(
    "CON-2",
    "what one adapter began, another goes on with",
    "workers come and go; all that is needed travels in the request",
    operations("AUTHORIZE", "CAPTURE"),
)
async def another_goes_on(stand: Stand) -> None:
    held = await stand.hold()
    request = stand.ask("CAPTURE", authorization_ref=held.gateway_ref, final_capture=True)
    first = await stand.call(request, stand.opened())
    assert (await stand.last_word(request, first)).result_code == "Success", f"it was told as {first}"


@check(
    "CON-3",
    f"{AT_ONCE} calls at once each get their own answer",
    "one worker has hundreds in the air; answers that are mixed up are other people's money",
)
async def answers_are_not_mixed_up(stand: Stand) -> None:
    requests = [stand.ask_charge(1000 + n) for n in range(AT_ONCE)]
    answers = await asyncio.gather(*(stand.call(request) for request in requests))
    for request, told in zip(requests, answers, strict=True):
        deed = stand.deed(request)
        assert told.gateway_ref == deed.ref, f"{request.idempotency_key} was told as {told.gateway_ref}"
        assert told.processed_amount in (None, deed.amount), f"of {deed.amount}: {told.processed_amount}"


@check(
    "CON-4",
    "while it waits, others go on",
    "an adapter that blocks its loop holds up every other gateway of the worker",
)
async def others_go_on(stand: Stand) -> None:
    stand.server.faults = [Fault("HANG")]
    waiting = asyncio.create_task(stand.call(stand.ask_charge(), stand.opened(read_ms=1_500)))
    longest = 0.0
    while not waiting.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    await waiting
    assert longest < LONG_PAUSE_SECONDS, f"for {longest:.1f} seconds nothing else ran"


@check("CON-5", "a call that is given up ends at once", "a worker that ends waits for nobody")
async def given_up_ends(stand: Stand) -> None:
    stand.server.faults = [Fault("HANG")]
    waiting = asyncio.create_task(stand.gateway.call(stand.ask_charge()))
    while not stand.sent:
        await asyncio.sleep(0.01)
    waiting.cancel()
    done, _ = await asyncio.wait([waiting], timeout=2)
    assert done, "it went on for two seconds"
    assert waiting.cancelled(), f"it swallowed that it was given up: {waiting!r}"
    stand.server.let_go()


@check("CON-6", "closed twice, it stays closed", "whoever cleans up does not count")
async def closed_twice(stand: Stand) -> None:
    gateway = stand.opened()
    await stand.call(stand.ask_charge(), gateway)
    await gateway.close()
    await gateway.close()


@check(
    "CON-7",
    "texts of people go through, whatever they hold",
    "a reference is the caller's: quotes, newlines, other scripts, and more than the gateway takes",
    charges,
)
async def any_text_goes(stand: Stand) -> None:
    for reference in REFERENCES:
        request = replace(stand.ask_charge(), merchant_reference=reference)
        told = await stand.settled(request)
        assert told.result_code == "Success", f"with the reference {reference[:20]!r} it was told as {told}"
        assert "x-evil" not in stand.sent[-1].headers, "a text became a header"


@check("CON-8", "it warms up nothing: opening sends nothing", "an adapter is opened to be asked, not to ask")
async def opening_sends_nothing(stand: Stand) -> None:
    stand.opened()
    await asyncio.sleep(0.05)
    assert not stand.sent, f"it sent {stand.sent}"
