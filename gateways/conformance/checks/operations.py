"""Each operation does what it says, to what it names, once; what is not declared does not happen."""

from __future__ import annotations

from dataclasses import replace

from events.money import Money
from events.shapes import Outcome
from gateways.conformance.bank import Deed
from gateways.conformance.check import charges, check, declares, operations, says
from gateways.conformance.stand import OPERATIONS, REFUSED, Stand


async def _capture(stand: Stand, held: Outcome, minor: int, *, final: bool = False) -> Outcome:
    request = stand.ask("CAPTURE", minor, authorization_ref=held.gateway_ref, final_capture=final)
    return await stand.settled(request)


async def _refund(stand: Stand, charge: Outcome, minor: int, before: int = 0) -> Outcome:
    money = stand.currency
    request = stand.ask(
        "REFUND",
        minor,
        payment_ref=charge.gateway_ref,
        original_amount=Money(2000, money),
        already_refunded=Money(before, money),
    )
    return await stand.settled(request)


def _of(stand: Stand, operation: str) -> list[Deed]:
    return [deed for deed in stand.bank.deeds if deed.order.operation == operation and deed.counts]


@check("OPS-1", "a sale takes the money at once", "it is what a sale is", operations("SALE"))
async def a_sale_takes(stand: Stand) -> None:
    told = await stand.charge()
    assert stand.bank.taken(stand.currency) == 2000, f"{stand.bank.taken(stand.currency)} were taken"
    assert told.gateway_ref, "nothing names the payment, so that nothing can give it back"


@check(
    "OPS-2",
    "an authorization holds, and takes nothing",
    "money is taken at delivery",
    operations("AUTHORIZE"),
)
async def an_authorization_holds(stand: Stand) -> None:
    held = await stand.hold()
    assert len(_of(stand, "AUTHORIZE")) == 1, "the gateway holds nothing"
    assert stand.bank.taken(stand.currency) == 0, "the authorization took money"
    assert held.gateway_ref, "nothing names the hold, so that nothing can capture it"


@check(
    "OPS-3",
    "a capture takes what was held",
    "it names its authorization by the gateway's own reference",
    operations("AUTHORIZE", "CAPTURE"),
)
async def a_capture_takes(stand: Stand) -> None:
    stand.done(await _capture(stand, await stand.hold(), 2000, final=True))
    assert stand.bank.taken(stand.currency) == 2000, f"{stand.bank.taken(stand.currency)} were taken"


@check(
    "OPS-4",
    "a partial capture takes its part only",
    "a part was delivered",
    operations("AUTHORIZE", "CAPTURE"),
    declares("partial_capture"),
)
async def a_part_is_captured(stand: Stand) -> None:
    told = stand.done(await _capture(stand, await stand.hold(), 1500))
    assert stand.bank.taken(stand.currency) == 1500, f"{stand.bank.taken(stand.currency)} of 1500 were taken"
    assert told.processed_amount in (None, Money(1500, stand.currency)), f"told as {told.processed_amount}"


@check(
    "OPS-5",
    "several captures take their parts",
    "several deliveries of one order",
    operations("AUTHORIZE", "CAPTURE"),
    declares("multi_capture"),
)
async def parts_are_captured(stand: Stand) -> None:
    held = await stand.hold()
    for minor in (500, 700):
        stand.done(await _capture(stand, held, minor))
    assert [deed.amount for deed in _of(stand, "CAPTURE")] == [
        Money(500, stand.currency),
        Money(700, stand.currency),
    ]


@check(
    "OPS-6",
    "a capture above the hold is a known refusal",
    "nothing moved, and that is known: no inquiry, no waiting",
    operations("AUTHORIZE", "CAPTURE"),
)
async def too_much_is_not_captured(stand: Stand) -> None:
    told = await _capture(stand, await stand.hold(), 2001)
    assert told.result_code in REFUSED, f"it was told as {told.result_code}"
    assert stand.bank.taken(stand.currency) == 0, "more was taken than was held"


@check(
    "OPS-7",
    "a reversal lets the hold go",
    "the customer's limit is theirs again",
    operations("AUTHORIZE", "REVERSE"),
)
async def a_hold_is_let_go(stand: Stand) -> None:
    held = await stand.hold()
    stand.done(await stand.settled(stand.ask("REVERSE", authorization_ref=held.gateway_ref)))
    (reversal,) = _of(stand, "REVERSE")
    assert reversal.order.of == held.gateway_ref, f"another hold was let go: {reversal.order.of}"


@check(
    "OPS-8",
    "a partial reversal lets its part go",
    "the rest can still be captured",
    operations("AUTHORIZE", "REVERSE"),
    declares("partial_reversal"),
)
async def a_part_is_let_go(stand: Stand) -> None:
    held = await stand.hold()
    stand.done(await stand.settled(stand.ask("REVERSE", 800, authorization_ref=held.gateway_ref)))
    (reversal,) = _of(stand, "REVERSE")
    assert reversal.amount == Money(800, stand.currency), f"{reversal.amount} of 8.00 were let go"


@check(
    "OPS-9",
    "a reversal after the capture is a known refusal",
    "the money was taken: it goes back by a refund",
    operations("AUTHORIZE", "CAPTURE", "REVERSE"),
)
async def what_was_captured_is_not_let_go(stand: Stand) -> None:
    held = await stand.hold()
    stand.done(await _capture(stand, held, 2000, final=True))
    told = await stand.settled(stand.ask("REVERSE", authorization_ref=held.gateway_ref))
    assert told.result_code in REFUSED, f"it was told as {told.result_code}"


@check(
    "OPS-10",
    "a void gives a charge back whole, before it settles",
    "nothing was collected yet, so nothing has to be refunded",
    operations("SALE", "VOID"),
)
async def a_charge_is_voided(stand: Stand) -> None:
    charge = await stand.call(stand.ask("SALE"))
    assert charge.result_code in ("Success", "Pending"), f"the sale was told as {charge.result_code}"
    request = stand.ask("VOID", payment_ref=charge.gateway_ref)
    stand.done(await stand.settled(request))
    deed = stand.deed(request)
    assert deed.order.of == charge.gateway_ref, f"another payment was voided: {deed.order.of}"


@check("OPS-11", "a refund gives back what it says", "to the payment it names", operations("REFUND"), charges)
async def a_refund_gives_back(stand: Stand) -> None:
    charge = await stand.charge()
    stand.done(await _refund(stand, charge, 2000))
    (refund,) = _of(stand, "REFUND")
    assert refund.order.of == charge.gateway_ref, f"another payment was refunded: {refund.order.of}"
    assert refund.amount == Money(2000, stand.currency), f"{refund.amount} were given back"


@check(
    "OPS-12",
    "partial refunds give back their parts",
    "one line at a time is returned",
    operations("REFUND"),
    declares("partial_refund"),
    charges,
)
async def parts_are_given_back(stand: Stand) -> None:
    charge = await stand.charge()
    for minor, before in ((500, 0), (700, 500)):
        told = stand.done(await _refund(stand, charge, minor, before))
        assert told.processed_amount in (None, Money(minor, stand.currency)), f"as {told.processed_amount}"
    given = [deed.amount for deed in _of(stand, "REFUND")]
    assert given == [Money(500, stand.currency), Money(700, stand.currency)], f"given back: {given}"


@check(
    "OPS-13",
    "a refund above what was taken is a known refusal",
    "nothing moved: the plan can choose another way at once",
    operations("REFUND"),
    charges,
)
async def too_much_is_not_given_back(stand: Stand) -> None:
    charge = await stand.charge()
    stand.done(await _refund(stand, charge, 1500))
    told = await _refund(stand, charge, 501, 1500)
    assert told.result_code in REFUSED, f"it was told as {told.result_code}"
    assert len(_of(stand, "REFUND")) == 1, "more was given back than was taken"


@check(
    "OPS-14",
    "an unreferenced refund goes to the instrument",
    "the payment is too old or elsewhere",
    operations("UNREFERENCED_REFUND"),
)
async def money_goes_to_an_instrument(stand: Stand) -> None:
    request = stand.ask("UNREFERENCED_REFUND", 900)
    stand.done(await stand.settled(request))
    order = stand.deed(request).order
    assert (order.operation, order.token) == ("UNREFERENCED_REFUND", stand.rig.token), (
        f"it arrived as {order}"
    )
    assert order.of is None, "it names a payment"


@check(
    "OPS-15",
    "an instrument is saved, and what stands for it comes back",
    "later charges name it",
    operations("TOKENIZE"),
)
async def an_instrument_is_saved(stand: Stand) -> None:
    request = stand.ask("TOKENIZE", 0)
    told = stand.done(await stand.settled(request))
    assert stand.deed(request).order.token == stand.rig.token, "another instrument was saved"
    assert told.gateway_ref, "nothing names the saved instrument"


@check(
    "OPS-16",
    "an operation that is not declared is refused before anything is sent",
    "capabilities decide what is planned; an adapter that tries all the same moves money nobody planned",
    lambda rig, can: None if set(can.operations) < set(OPERATIONS) else "it declares every operation",
)
async def what_is_not_declared_is_not_sent(stand: Stand) -> None:
    for operation in OPERATIONS:
        if operation in stand.can.operations:
            continue
        told = await stand.call(stand.ask(operation, authorization_ref="held-1", payment_ref="paid-1"))
        assert told.result_code in (*REFUSED, "SystemError"), f"{operation} was told as {told.result_code}"
        assert not stand.sent, f"{operation} is not declared, and was sent"


@check(
    "OPS-17",
    "what builds on a payment that the gateway does not know is no success",
    "a wrong reference must not look like money",
    operations("REFUND"),
)
async def an_unknown_payment_is_refused(stand: Stand) -> None:
    request = stand.ask(
        "REFUND",
        payment_ref="no-such-payment",
        original_amount=Money(2000, stand.currency),
        already_refunded=Money(0, stand.currency),
    )
    first = await stand.call(request)
    assert first.result_code in (*REFUSED, "Indeterminate"), f"it was told as {first.result_code}"


@check(
    "OPS-18",
    "who began a charge goes with it",
    "a charge without its owner present that is not flagged so is declined, or disputed",
    charges,
    says("reads_initiator", "the gateway's requests do not say who began a charge"),
)
async def who_began_it_goes_along(stand: Stand) -> None:
    for initiator in ("CUSTOMER", "MERCHANT"):
        request = replace(stand.ask_charge(), initiator=initiator)
        await stand.call(request)
        seen = stand.deed(request).order.initiator
        assert seen == initiator, f"begun by the {initiator}, and told as by the {seen}"
