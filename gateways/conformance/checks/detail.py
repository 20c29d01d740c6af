"""Level 2 and Level 3 data: what is declared arrives, and its sums with it."""

from __future__ import annotations

from dataclasses import replace

from events.enhanced import EnhancedData, EnhancedLine
from events.gateway import Capabilities
from gateways.conformance.bank import SeenLine
from gateways.conformance.check import check, declares
from gateways.conformance.rig import Rig
from gateways.conformance.stand import Stand
from gateways.conformance.wire import Fault

LAMP = EnhancedLine(
    line_item_id="1",
    product_code="SKU-1",
    description="Desk lamp",
    quantity="2",
    unit_price_minor=1600,
    line_item_total_minor=3500,
    commodity_code="39111500",
    unit_of_measure="EA",
    tax_minor=300,
)
LEVEL3 = EnhancedData(
    reference_id="INV-1001",
    invoice_number="INV-1001",
    customer_code="CUST-7",
    shipping_minor=500,
    total_tax_minor=300,
    ship_from_postal_code="94107",
    ship_to_postal_code="10001",
    ship_to_country="US",
    lines=(LAMP,),
)
"""2 x 16.00 + tax 3.00 + shipping 5.00 = 40.00."""
LEVEL2 = replace(LEVEL3, lines=())


@check(
    "LVL-1", "Level 2 data arrive with their tax", "the tax is what the rate is given for", declares("level2")
)
async def level_2_arrives(stand: Stand) -> None:
    request = stand.ask_charge(4000, enhanced=LEVEL2)
    told = await stand.settled(request)
    seen = stand.deed(request).order.enhanced
    assert seen is not None, "none of it arrived"
    assert (seen.tax_minor, seen.lines) == (300, ()), f"it arrived as {seen}"
    assert told.result_code == "Success", f"the payment was told as {told.result_code}"


@check("LVL-2", "Level 3 data arrive line by line", "the buyer's books show each line", declares("level3"))
async def level_3_arrives(stand: Stand) -> None:
    request = stand.ask_charge(4000, enhanced=LEVEL3)
    await stand.settled(request)
    seen = stand.deed(request).order.enhanced
    assert seen is not None, "none of it arrived"
    assert seen.lines == (SeenLine("SKU-1", "2", 1600),), f"the lines arrived as {seen.lines}"
    assert seen.tax_minor in (300, None), f"the tax of the whole arrived as {seen.tax_minor}"


@check("LVL-3", "the answer says which level went with it", "`explain` shows it", declares("level2"))
async def the_level_is_told(stand: Stand) -> None:
    levels = {1: None, 2: LEVEL2} | ({3: LEVEL3} if stand.can.level3 else {})
    for level, enhanced in levels.items():
        told = await stand.call(stand.ask_charge(4000, enhanced=enhanced))
        assert told.level_sent in (level, None if level == 1 else level), f"{level} told as {told.level_sent}"


@check("LVL-4", "without such data none are sent", "none is not zero", declares("level2"))
async def none_is_none(stand: Stand) -> None:
    request = stand.ask_charge(4000)
    await stand.call(request)
    assert stand.deed(request).order.enhanced is None, f"sent: {stand.deed(request).order.enhanced}"


@check(
    "LVL-5",
    "as many lines arrive as are declared",
    "a gateway that refuses more drops the whole payment, so the number is a promise",
    declares("level3"),
    declares("level3_max_lines"),
)
async def all_lines_arrive(stand: Stand) -> None:
    most = stand.can.level3_max_lines or 0
    lines = tuple(replace(LAMP, line_item_id=str(n), product_code=f"SKU-{n}") for n in range(1, most + 1))
    whole = replace(LEVEL3, lines=lines, total_tax_minor=300 * most, shipping_minor=0)
    request = stand.ask_charge(3500 * most, enhanced=whole)
    await stand.call(request)
    seen = stand.deed(request).order.enhanced
    assert seen is not None, "none of it arrived"
    assert [line.product_code for line in seen.lines] == [line.product_code for line in lines], (
        f"{len(seen.lines)} of {most} lines arrived, or in another order"
    )


@check(
    "LVL-6",
    "texts that are longer than the gateway takes are cut, and the payment goes on",
    "an adapter knows its gateway's lengths; nobody else does",
    declares("level3"),
)
async def long_texts_are_cut(stand: Stand) -> None:
    line = replace(LAMP, product_code="S" * 200, description="Ä very long lamp " * 300)
    request = stand.ask_charge(
        4000, enhanced=replace(LEVEL3, customer_code="C" * 300, invoice_number="I" * 300, lines=(line,))
    )
    told = await stand.settled(request)
    assert told.result_code == "Success", f"the payment was told as {told}"
    seen = stand.deed(request).order.enhanced
    assert seen is not None, "none of it arrived"
    assert all(len(each.product_code) < 200 for each in seen.lines), "a product code of 200 characters"


def _refuses_data(rig: Rig, can: Capabilities) -> str | None:
    return None if rig.data_refused() else "the rig says that the gateway never refuses such data"


@check(
    "LVL-7",
    "a refusal for the data alone is told apart from a refusal of the charge",
    "the payment is then sent once more without the data; a decline would be the customer's",
    declares("level2"),
    _refuses_data,
)
async def refused_data_are_told(stand: Stand) -> None:
    answer = stand.rig.data_refused()
    assert answer is not None, "the rig has such an answer"
    stand.server.faults = [Fault("ANSWER", answer)]
    told = await stand.call(stand.ask_charge(4000, enhanced=LEVEL2))
    assert told.result_code == "EnhancedDataRejected", f"it was told as {told.result_code}"
    assert not told.hard, "it was told as hard: it is no fault of the instrument"
