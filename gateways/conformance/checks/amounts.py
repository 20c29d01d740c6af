"""Amounts: integer minor units of ISO 4217 on our side, whatever the gateway counts in on its own."""

from __future__ import annotations

from events.money import Money
from gateways.conformance.bank import Fate
from gateways.conformance.check import check, says
from gateways.conformance.stand import REFUSED, Stand


async def _arrives(stand: Stand, minor: int, currency: str) -> None:
    request = stand.ask_charge(minor, currency)
    told = await stand.call(request)
    seen = stand.deed(request).order.amount
    assert seen == Money(minor, currency), f"{minor} minor units of {currency} arrived as {seen}"
    last = await stand.last_word(request, told)
    assert last.result_code == "Success", f"it went well, and was told as {last}"
    if last.processed_amount is not None:
        assert last.processed_amount == Money(minor, currency), f"it was echoed as {last.processed_amount}"


@check("AMT-1", "an amount arrives, and is echoed, as it is", "money is never what somebody guessed")
async def an_amount_arrives(stand: Stand) -> None:
    for minor in (1999, 100, 100_000):
        await _arrives(stand, minor, stand.currency)


@check(
    "AMT-2",
    "a currency without minor units is not multiplied (JPY)",
    "an adapter that multiplies by 100 takes 100,000 yen for 1,000",
    lambda rig, can: None if not can.currencies or "JPY" in can.currencies else "it takes no JPY",
)
async def yen_arrive(stand: Stand) -> None:
    await _arrives(stand, 1000, "JPY")


@check(
    "AMT-3",
    "a currency with three decimals keeps them (KWD)",
    "an adapter that counts in hundredths takes a tenth",
    lambda rig, can: None if not can.currencies or "KWD" in can.currencies else "it takes no KWD",
)
async def dinars_arrive(stand: Stand) -> None:
    await _arrives(stand, 10_500, "KWD")


@check(
    "AMT-4",
    "currencies that gateways count in their own way arrive right",
    "ISK, UGX, CLP, IDR, CVE and MGA have other decimals at some gateways than in ISO 4217",
    lambda rig, can: None if not can.currencies else "it takes a list of currencies that has none of these",
)
async def the_odd_ones_arrive(stand: Stand) -> None:
    for currency in ("ISK", "UGX", "CLP", "IDR", "CVE", "MGA"):
        await _arrives(stand, 5_000, currency)


@check("AMT-5", "one minor unit arrives", "the smallest amount is not rounded away")
async def the_smallest_arrives(stand: Stand) -> None:
    await _arrives(stand, 1, stand.currency)


@check("AMT-6", "a large amount arrives to the unit", "counts above 2^31 and 2^53 pass through no float")
async def the_largest_arrives(stand: Stand) -> None:
    for minor in (4_294_967_297, 99_999_999_999_999):
        await _arrives(stand, minor, stand.currency)


@check(
    "AMT-7",
    "where less was taken than was asked for, the answer says how much",
    "a payment is what the gateway took; `AMOUNT_MISMATCH` rests on this number",
)
async def what_was_taken_is_told(stand: Stand) -> None:
    stand.bank.fates.append(Fate("EXECUTED", short_minor=1))
    request = stand.ask_charge(2000)
    told = await stand.call(request)
    taken = stand.deed(request).amount
    assert told.result_code != "Success" or told.processed_amount == taken, (
        f"{taken} were taken, and it was told as {told.processed_amount}"
    )
    assert told.result_code not in (*REFUSED, "SystemError"), "money moved, and it was told as if none had"


@check(
    "AMT-8",
    "what the gateway cannot count is refused before it is sent, and never rounded",
    "a charge of another amount is worse than none: the caller is asked for another",
    says("steps", "the rig says that the gateway takes every minor unit"),
)
async def what_cannot_be_counted_is_refused(stand: Stand) -> None:
    for currency, step in stand.rig.steps.items():
        told = await stand.call(stand.ask_charge(step * 10 + 1, currency))
        assert told.result_code in REFUSED, f"{step * 10 + 1} {currency} were told as {told.result_code}"
    assert not stand.sent, "it was sent all the same"
