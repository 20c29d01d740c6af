"""The gateway's own news: verified, read as what they are, and never more than they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from events.money import Money
from gateways.conformance.bank import Deed
from gateways.conformance.check import charges, check, declares, says
from gateways.conformance.stand import REFUSED, Stand
from gateways.protocol import InvalidSignature

TELLS = declares("notifications")
CHARGES = says("news_of_charges", "the gateway sends no news of charges")


async def _charged(stand: Stand) -> Deed:
    """A charge that went well in the end."""
    request = stand.ask_charge()
    await stand.call(request)
    deed = stand.deed(request)
    stand.bank.settle(deed)
    return deed


def _refused(stand: Stand, headers: dict[str, str], body: bytes, why: str) -> str:
    """What the refusal says."""
    try:
        read = stand.gateway.parse_notification(headers, body)
    except InvalidSignature as invalid:
        return f"{invalid!r} {invalid.__cause__!r} {invalid.__context__!r}"
    except Exception as error:
        raise AssertionError(f"{why}: it raised {error!r}, not InvalidSignature") from error
    raise AssertionError(f"{why}: it was read as {read}")


@check("NOT-1", "news of a charge name it, and say how it ended", "they settle it", TELLS, CHARGES, charges)
async def news_are_read(stand: Stand) -> None:
    deed = await _charged(stand)
    told = stand.read(deed)
    assert len(told) == 1, f"one piece of news was read as {len(told)}"
    (news,) = told
    assert news.event_id, "they have no id, so that a repeat cannot be told"
    named = deed.order.key in (news.operation_key, None) or news.gateway_ref == deed.ref
    assert named, f"they name neither the key nor the payment: {news}"
    assert news.outcome.result_code == "Success", f"they were read as {news.outcome.result_code}"
    amount = news.outcome.processed_amount
    assert amount in (None, Money(2000, stand.currency)), f"their amount was read as {amount}"


@check("NOT-2", "news of a failure say why", "a late decline is one like another", TELLS, CHARGES, charges)
async def bad_news_are_read(stand: Stand) -> None:
    deed = await _charged(stand)
    deed.status, deed.code = "DECLINED", next(iter(stand.rig.codes))
    (news,) = stand.read(deed)
    meaning = stand.rig.codes[deed.code]
    assert news.outcome.result_code in REFUSED, f"they were read as {news.outcome.result_code}"
    assert news.outcome.category == meaning.category, f"{deed.code} was read as {news.outcome.category}"


@check("NOT-3", "news that were changed on the way are refused", "anybody can write to the endpoint", TELLS)
async def changed_news_are_refused(stand: Stand) -> None:
    deed = await _charged(stand)
    headers, body = stand.delivered(deed)
    _refused(stand, headers, body.replace(deed.ref.encode(), deed.ref[::-1].encode()), "changed on the way")


@check("NOT-4", "news that another secret signed are refused", "only the gateway knows ours", TELLS)
async def foreign_news_are_refused(stand: Stand) -> None:
    deed = await _charged(stand)
    others = {name: secret[::-1] for name, secret in stand.rig.secrets.items()}
    _refused(stand, *stand.delivered(deed, secrets=others), "signed with another secret")


@check("NOT-5", "news without a signature are refused", "no signature is not a good one", TELLS)
async def unsigned_news_are_refused(stand: Stand) -> None:
    deed = await _charged(stand)
    headers, body = stand.delivered(deed)
    if _signed_inside(headers):
        body = _without_signature(body)
    _refused(stand, {}, body, "not signed at all")


@check(
    "NOT-6",
    "old news are refused",
    "a recording that is played back later must not count (5 minutes)",
    TELLS,
    says("stale_seconds", "the gateway's news carry no signed time"),
)
async def old_news_are_refused(stand: Stand) -> None:
    deed = await _charged(stand)
    age = (stand.rig.stale_seconds or 0) + 5
    _refused(stand, *stand.delivered(deed, age_seconds=age), f"{age} seconds old")
    assert stand.gateway.parse_notification(*stand.delivered(deed, age_seconds=age // 2)), "young ones, too"


@check("NOT-7", "the same news twice have the same id", "each counts once", TELLS)
async def repeats_have_one_id(stand: Stand) -> None:
    deed = await _charged(stand)
    first, second = stand.read(deed), stand.read(deed)
    assert first == second, f"read as {first}, and then as {second}"


@check(
    "NOT-8",
    "several pieces of news in one delivery are all read",
    "the second is as true as the first",
    TELLS,
    says("batches", "the gateway delivers one at a time"),
)
async def all_news_are_read(stand: Stand) -> None:
    deeds = [await _charged(stand) for _ in range(3)]
    told = stand.read(*deeds)
    assert len(told) == 3, f"three pieces of news were read as {len(told)}"
    assert len({news.event_id for news in told}) == 3, "they share an id"


@check("NOT-9", "news of a type that says nothing about a payment are none", "gateways add types", TELLS)
async def other_news_are_none(stand: Stand) -> None:
    told = stand.gateway.parse_notification(
        *stand.rig.deliver_unknown(dict(stand.rig.secrets), datetime.now(UTC))
    )
    assert told == [], f"they were read as {told}"


@check("NOT-10", "a body that is nothing of the gateway's is refused, and breaks nothing", "scanners", TELLS)
async def nonsense_is_refused(stand: Stand) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"null", b"[]", b"<xml/>", b'{"events": 1}'):
        _refused(stand, {}, body, f"the body {body!r}")


@check("NOT-11", "the names of headers are read in any case", "proxies rewrite them", TELLS)
async def headers_in_any_case(stand: Stand) -> None:
    deed = await _charged(stand)
    headers, body = stand.delivered(deed)
    for spelt in (str.lower, str.upper, str.title):
        told = stand.gateway.parse_notification({spelt(name): each for name, each in headers.items()}, body)
        assert told, f"headers spelt like {spelt('x-y')} were not read"


@check("NOT-12", "a refusal of news shows no secret", "it is logged, and answered to whoever asks", TELLS)
async def refusals_show_no_secret(stand: Stand) -> None:
    deed = await _charged(stand)
    _, body = stand.delivered(deed)
    said = _refused(stand, {}, body.replace(deed.ref.encode(), b"x" * len(deed.ref)), "changed")
    shown = [name for name, secret in stand.rig.secrets.items() if secret in said + "".join(stand.logged)]
    assert not shown, f"it shows {', '.join(shown)}"


@check(
    "NOT-13",
    "a gateway that sends no news refuses all",
    "nobody can have signed them",
    lambda rig, can: "it sends news" if can.notifications else None,
)
async def no_news_are_taken(stand: Stand) -> None:
    _refused(stand, {"x-signature": "00"}, b'{"status": "succeeded"}', "news from nowhere")


def _signed_inside(headers: dict[str, str]) -> bool:
    return not any("signature" in name.lower() for name in headers)


def _without_signature(body: bytes) -> bytes:
    def drop(value: object) -> object:
        if isinstance(value, dict):
            return {key: drop(each) for key, each in value.items() if "signature" not in key.lower()}
        return [drop(each) for each in value] if isinstance(value, list) else value

    return json.dumps(drop(json.loads(body))).encode()
