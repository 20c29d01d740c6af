"""Every way in which a gateway refuses or makes us wait, read as what it is."""

from __future__ import annotations

from events.gateway import Capabilities
from events.shapes import Outcome
from gateways.codes import Meaning
from gateways.conformance.bank import Fate
from gateways.conformance.check import Need, check, fate
from gateways.conformance.rig import Rig
from gateways.conformance.stand import REFUSED, Stand
from gateways.conformance.wire import Fault
from gateways.protocol import CATEGORIES

TEXT_CHARACTERS_MAX = 1000
UNHEARD_OF = "zz_unheard_of"


def _coded(hardness: str) -> Need:
    def need(rig: Rig, can: Capabilities) -> str | None:
        found = any(meaning.hardness == hardness for meaning in rig.codes.values())
        return None if found else f"no raw code of the gateway has the hardness {hardness}"

    return need


async def _refused(stand: Stand, code: str) -> Outcome:
    stand.bank.fates.append(Fate("DECLINED", code))
    request = stand.ask_charge()
    told = await stand.settled(request)
    assert told.result_code in REFUSED, f"a charge that was refused with {code} was told as {told}"
    return told


def _with_hardness(stand: Stand, hardness: str) -> tuple[str, Meaning]:
    return next((code, each) for code, each in stand.rig.codes.items() if each.hardness == hardness)


@check(
    "REF-1",
    "a soft refusal may be tried again",
    "retry rules start from this",
    _coded("S"),
)
async def a_soft_refusal_is_soft(stand: Stand) -> None:
    code, _ = _with_hardness(stand, "S")
    told = await _refused(stand, code)
    assert not told.hard, f"{code} was told as hard"
    assert not told.never_retry, f"{code} was told as never to be retried"


@check(
    "REF-2",
    "a hard refusal is hard",
    "the next instrument is tried, not the same again",
    _coded("H"),
)
async def a_hard_refusal_is_hard(stand: Stand) -> None:
    code, _ = _with_hardness(stand, "H")
    told = await _refused(stand, code)
    assert told.hard, f"{code} was told as soft"


@check(
    "REF-3",
    "what must never be retried says so",
    "networks fine those who try a stolen card again",
    _coded("N"),
)
async def never_is_never(stand: Stand) -> None:
    code, _ = _with_hardness(stand, "N")
    told = await _refused(stand, code)
    assert (told.hard, told.never_retry) == (True, True), f"{code} was told as {told}"


@check(
    "REF-4",
    "what the customer has to put right is soft until they do",
    "a wrong CVC is no closed account",
    _coded("A"),
)
async def wrong_details_are_soft(stand: Stand) -> None:
    code, meaning = _with_hardness(stand, "A")
    told = await _refused(stand, code)
    assert (told.hard, told.category) == (False, meaning.category), f"{code} was told as {told}"


@check(
    "REF-5",
    "every raw code of the map has its category and its hardness",
    "the map is the tenant's ground for routing and retries; each line of it is used",
)
async def every_code_is_mapped(stand: Stand) -> None:
    wrong: list[str] = []
    for code, meaning in stand.rig.codes.items():
        told = await _refused(stand, code)
        if (told.category, told.hard, told.never_retry) != (
            meaning.category,
            meaning.hard,
            meaning.never_retry,
        ):
            wrong.append(f"{code}: {told.category}, hard {told.hard}, never {told.never_retry}")
        assert told.category in CATEGORIES, f"{told.category!r} is no category"
    assert not wrong, f"{len(wrong)} of {len(stand.rig.codes)} codes are not as the map has them: {wrong[:5]}"


@check(
    "REF-6",
    "an unknown code is Unknown, soft, and kept",
    "it is shown to a person (`UNMAPPED_CODE`), who maps it; a guess would hide it",
)
async def an_unknown_code_is_unknown(stand: Stand) -> None:
    told = await _refused(stand, UNHEARD_OF)
    assert (told.category, told.hard) == ("Unknown", False), f"it was told as {told}"
    assert told.raw_code == UNHEARD_OF, f"the code was kept as {told.raw_code!r}"


@check(
    "REF-7",
    "the gateway's own code is kept, as it sent it",
    "a tenant's published map is looked up by it",
)
async def the_raw_code_is_kept(stand: Stand) -> None:
    for code in list(stand.rig.codes)[:5]:
        told = await _refused(stand, code)
        assert told.raw_code is not None, f"the code {code} is lost"
        assert told.raw_code.strip().lower() == code, f"{code} was kept as {told.raw_code!r}"


@check(
    "REF-8",
    "a refusal names the map by which it was read",
    "a map that is changed later must not rewrite what was decided by the older",
)
async def the_map_is_named(stand: Stand) -> None:
    told = await _refused(stand, next(iter(stand.rig.codes)))
    assert told.code_map_version is not None, "no version of the code map is recorded"


@check("REF-9", "a challenge waits for the customer", "it is no refusal, and no money moved", fate("ACTION"))
async def a_challenge_waits(stand: Stand) -> None:
    stand.bank.fates.append(Fate("ACTION"))
    told = await stand.call(stand.ask_charge())
    assert told.result_code == "ActionRequired", f"it was told as {told.result_code}"


@check("REF-10", "what is held for review waits for a person", "it may still be taken", fate("REVIEW"))
async def a_review_waits(stand: Stand) -> None:
    stand.bank.fates.append(Fate("REVIEW"))
    told = await stand.call(stand.ask_charge())
    assert told.result_code == "RequiresReview", f"it was told as {told.result_code}"


@check(
    "REF-11",
    "what is only acknowledged is pending",
    "an early success would ship goods on money that may never come",
    fate("PENDING"),
)
async def an_acknowledgement_is_pending(stand: Stand) -> None:
    stand.bank.fates.append(Fate("PENDING"))
    told = await stand.call(stand.ask_charge())
    assert told.result_code == "Pending", f"it was told as {told.result_code}"
    assert told.processed_amount is None or told.result_code != "Success", "nothing was taken yet"


@check(
    "REF-12",
    "an operation that is declared asynchronous is pending at first",
    "its success is told later, or its failure",
    lambda rig, can: None if can.asynchronous else "none of its operations is asynchronous",
)
async def asynchronous_is_pending(stand: Stand) -> None:
    for operation in ("SALE", "AUTHORIZE"):
        if operation in stand.can.asynchronous:
            told = await stand.call(stand.ask(operation))
            assert told.result_code == "Pending", f"{operation} was told as {told.result_code}"
            return
    charge = await stand.charge()
    if "REFUND" in stand.can.asynchronous:
        whole = {"original_amount": charge.processed_amount, "payment_ref": charge.gateway_ref}
        told = await stand.call(stand.ask("REFUND", **whole))
        assert told.result_code == "Pending", f"a refund was told as {told.result_code}"


@check(
    "REF-13",
    "no text of an answer is longer than is kept",
    "what a gateway writes ends up in an event that is kept for ever (1,000 characters)",
)
async def texts_are_bounded(stand: Stand) -> None:
    for status in (400, 402, 422, 500):
        stand.server.faults = [Fault("ANSWER", stand.rig.error(status, "so it goes on " * 400))]
        told = await stand.call(stand.ask_charge())
        long = max((len(text) for text in (told.raw_message, told.raw_code) if text), default=0)
        assert long <= TEXT_CHARACTERS_MAX, f"HTTP {status}: a text of {long} characters was kept"
