"""Secrets are read at each use, go to the gateway only, and are shown to nobody."""

from __future__ import annotations

import base64
from contextlib import suppress

from gateways.conformance.check import check, declares, holds
from gateways.conformance.stand import Stand
from gateways.conformance.wire import Answer, Asked, Fault
from gateways.protocol import InvalidSignature

KEYED = holds("api_key")


def _shown(stand: Stand, text: str, where: str) -> None:
    for name, secret in stand.rig.secrets.items():
        assert secret not in text, f"{where} shows the {name}"


def _carries(asked: Asked, secret: str) -> bool:
    """In a header, as it is or as a part of Basic authentication."""
    values = list(asked.headers.values())
    for value in asked.headers.values():
        with suppress(ValueError):
            values.append(base64.b64decode(value.rpartition(" ")[2], validate=True).decode("latin-1"))
    return any(secret in value for value in values)


@check("SEC-1", "no representation of the adapter shows a secret", "it ends up in a traceback")
async def representations_show_none(stand: Stand) -> None:
    await stand.call(stand.ask_charge())
    gateway = stand.gateway
    kept = vars(gateway) if hasattr(gateway, "__dict__") else {}
    for where, text in {"repr": repr(gateway), "str": str(gateway), "an attribute": repr(kept)}.items():
        _shown(stand, text, where)


@check("SEC-2", "no log line shows a secret, at any level", "logs are read by many, and kept elsewhere")
async def logs_show_none(stand: Stand) -> None:
    faults = [None, Fault("ANSWER", stand.rig.error(401, "no")), Fault("HANG_UP"), Fault("HALF")]
    for fault in faults:
        stand.server.faults = [fault] if fault else []
        request = stand.ask_charge()
        await stand.call(request)
        if stand.can.query_by_reference:
            await stand.query(request)
    if stand.can.notifications:
        with suppress(InvalidSignature):
            stand.gateway.parse_notification({}, b"{}")
    for line in stand.logged:
        _shown(stand, line, f"the log line {line[:60]!r}")


@check(
    "SEC-3",
    "an answer that repeats our secret does not put it into the outcome",
    "an outcome is recorded for ever, and published",
    KEYED,
)
async def an_echo_is_not_kept(stand: Stand) -> None:
    secret = stand.rig.secrets["api_key"]
    for status in (400, 401, 403, 422, 500):
        for answer in (stand.rig.error(status, f"no such key: {secret}"), Answer(status, secret.encode())):
            stand.server.faults = [Fault("ANSWER", answer)]
            told = await stand.call(stand.ask_charge())
            _shown(stand, repr(told), f"the outcome of HTTP {status}")


@check("SEC-4", "secrets go in headers, never in an address", "addresses are logged on the way", KEYED)
async def addresses_hold_none(stand: Stand) -> None:
    request = stand.ask_charge()
    await stand.call(request)
    if stand.can.query_by_reference:
        await stand.query(request)
    for asked in stand.sent:
        _shown(stand, asked.path, "an address")
    assert any(_carries(asked, stand.rig.secrets["api_key"]) for asked in stand.sent), "it was never sent"


@check("SEC-5", "a credential that is replaced counts from the next call", "rotation needs no restart", KEYED)
async def a_new_one_counts(stand: Stand) -> None:
    await stand.call(stand.ask_charge())
    new = stand.rig.secrets["api_key"][::-1]
    stand.keep({**stand.rig.secrets, "api_key": new})
    await stand.call(stand.ask_charge())
    assert _carries(stand.sent[-1], new), "the next call still had the old one"


@check(
    "SEC-6",
    "without its credential nothing is sent: SystemError",
    "a place that cannot be read is our fault, and no customer's decline",
    KEYED,
)
async def without_it_nothing_is_sent(stand: Stand) -> None:
    (stand.folder / "secrets.json").unlink()
    told = await stand.call(stand.ask_charge())
    assert told.result_code == "SystemError", f"it was told as {told.result_code}"
    assert not stand.sent, "it was sent without a credential"


@check(
    "SEC-7",
    "without the secret for its news they are refused",
    "what cannot be verified is not true",
    declares("notifications"),
    KEYED,
)
async def without_it_no_news_are_read(stand: Stand) -> None:
    request = stand.ask_charge()
    await stand.call(request)
    headers, body = stand.delivered(stand.deed(request))
    (stand.folder / "secrets.json").unlink()
    try:
        read = stand.gateway.parse_notification(headers, body)
    except InvalidSignature:
        return
    raise AssertionError(f"they were read as {read}")
