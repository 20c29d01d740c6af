"""One key moves money once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from events.money import Money
from gateways.conformance.check import charges, check
from gateways.conformance.stand import Stand


@check(
    "KEY-1",
    "the recorded key goes out with the request, whole",
    "it is minted once, in a decision; a key of the adapter's own would make a re-send a second charge",
)
async def the_key_goes_out(stand: Stand) -> None:
    long = "k" * 58 + "%3A1:2"
    for key in ("acme:sale:PAY-1:1", long):
        request = replace(stand.ask_charge(), idempotency_key=key)
        await stand.call(request)
        keys = [deed.order.key for deed in stand.bank.deeds]
        assert keys[-1:] == [key], f"the gateway saw {keys[-1:]}, not {key}"


@check(
    "KEY-2",
    "the same request under the same key charges once, and is answered the same",
    "what never reached us is sent again under its key; the answer must be that of the first time",
)
async def the_same_key_charges_once(stand: Stand) -> None:
    request = stand.ask_charge()
    first, second = await stand.call(request), await stand.call(request)
    assert len(stand.bank.deeds) == 1, f"one key was carried out {len(stand.bank.deeds)} times"
    told = [(each.result_code, each.gateway_ref, each.processed_amount) for each in (first, second)]
    assert told[0] == told[1], f"the first answer was {told[0]}, the second {told[1]}"


@check(
    "KEY-3",
    "the same key for another amount is never taken for done",
    "the gateway holds another operation under it: a success would be about other money",
)
async def another_body_is_no_success(stand: Stand) -> None:
    request = stand.ask_charge(2000)
    await stand.call(request)
    told = await stand.call(replace(request, amount=Money(2001, request.amount.currency)))
    assert len(stand.bank.deeds) == 1, "the other amount was charged under the same key"
    assert told.result_code not in ("Success", "Pending"), f"it was told as {told.result_code}"
    assert told.result_code != "SystemError", "SystemError promises that nothing moved, and something did"


@check(
    "KEY-4",
    "two keys are two charges, alike as they may be",
    "a customer may buy the same thing twice; only the key says what is a repeat",
)
async def two_keys_are_two_charges(stand: Stand) -> None:
    one = stand.ask_charge()
    other = replace(one, idempotency_key=f"{one.idempotency_key}x")
    first, second = await stand.call(one), await stand.call(other)
    assert len(stand.bank.deeds) == 2, f"{len(stand.bank.deeds)} of 2 charges reached the gateway"
    assert first.gateway_ref != second.gateway_ref, "both were told as the same payment"


@check(
    "KEY-5",
    "one key sent by several at once charges once",
    "a lease that ran out and its successor may overlap",
    charges,
)
async def at_once_is_once(stand: Stand) -> None:
    request = stand.ask_charge()
    await asyncio.gather(*(stand.call(request) for _ in range(5)))
    assert len(stand.bank.deeds) == 1, f"one key was carried out {len(stand.bank.deeds)} times"


@check(
    "KEY-6",
    "what builds on a charge has a key of its own, and repeats by it",
    "a refund that is sent again under its key must not be a second refund",
    charges,
    lambda rig, can: None if {"REFUND", "VOID"} & set(can.operations) else "it gives nothing back",
)
async def what_builds_on_it_repeats(stand: Stand) -> None:
    charge = await stand.charge()
    operation = "REFUND" if "REFUND" in stand.can.operations else "VOID"
    whole = Money(2000, stand.currency)
    request = stand.ask(operation, 2000, payment_ref=charge.gateway_ref, original_amount=whole)
    await stand.call(request)
    again = await stand.call(request)
    done = [deed for deed in stand.bank.deeds if deed.order.operation == operation]
    assert len(done) == 1, f"a {operation} under one key was carried out {len(done)} times"
    assert again.result_code in ("Success", "Pending"), f"its repeat was told as {again.result_code}"
