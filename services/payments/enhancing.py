"""Level 2 and Level 3 data, built from the invoices that a card payment is meant for (domain 5.2).

Invariant: what is sent ties out to the payment's amount; what cannot is left out and said in a fact,
and the payment proceeds all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from events.enhanced import EnhancedData, EnhancedLine
from events.gateway import Capabilities
from events.invoice import InvoiceLine
from events.money import EXPONENTS, Money, allocate
from events.payment import PaymentEnhancedDataReduced
from events.shapes import Address
from services.invoices.invoice import Invoice, LineState

CARD_TYPES = frozenset({"card"})


class Part(NamedTuple):
    """Where some of the money shall go, as the payment was asked for."""

    invoice: Invoice
    amount: Money | None
    line_id: str | None


class Buyer(NamedTuple):
    """Who pays, under which reference, and where the goods go."""

    customer_code: str
    reference_id: str
    ship_to: Address | None


class Enhanced(NamedTuple):
    sent: EnhancedData | None
    reduced: PaymentEnhancedDataReduced | None


NOTHING = Enhanced(None, None)


def takes(can: Capabilities, method_type: str) -> bool:
    """Only cards carry such data, and only some gateways pass it on."""
    return can.level2 and method_type in CARD_TYPES


def enhance(parts: Sequence[Part], amount: Money, can: Capabilities, buyer: Buyer) -> Enhanced:
    """The data to send, and why it is less than Level 3 where it is."""
    if any(not _is_sale_to(part.invoice, amount.currency, buyer) for part in parts):
        return Enhanced(None, PaymentEnhancedDataReduced(0, "NOT_A_POSTED_SALE"))
    whole = len(parts) == 1 and _is_whole(parts[0], amount)
    tax = sum(_tax_share(part, amount.amount_minor) for part in parts)
    reason = _obstacle(parts, can, whole)
    lines: tuple[EnhancedLine, ...] = ()
    if reason is None:
        lines = tuple(made for state in _live(parts[0].invoice) if (made := _line(state.line)))
        if not _ties_out(lines, len(_live(parts[0].invoice)), tax, amount.amount_minor):
            lines, reason = (), "TOTALS_DIFFER"
    data = _level_2(parts, amount.amount_minor, tax, buyer, lines)
    return Enhanced(data, PaymentEnhancedDataReduced(2, reason) if reason else None)


def _is_sale_to(invoice: Invoice, currency: str, buyer: Buyer) -> bool:
    """An invoice that is not posted, or somebody else's, or of another currency, describes no such sale."""
    known = invoice.status == "POSTED" and invoice.account_id == buyer.customer_code
    return known and invoice.currency == currency and _total(invoice) > 0


def _live(invoice: Invoice) -> list[LineState]:
    """Its lines, but for those that became a credit memo."""
    return [state for state in invoice.lines.values() if not state.converted]


def _total(invoice: Invoice) -> int:
    return sum(state.line.line_total.amount_minor for state in _live(invoice))


def _is_whole(part: Part, amount: Money) -> bool:
    total = _total(part.invoice)
    untouched = part.line_id is None and part.invoice.balance == total
    return untouched and amount.amount_minor == total and part.amount in (None, amount)


def _tax_share(part: Part, paid: int) -> int:
    """Its tax, in proportion to what is paid of it."""
    state = part.invoice.lines.get(part.line_id) if part.line_id else None
    total = state.line.line_total.amount_minor if state else _total(part.invoice)
    tax = state.tax if state else part.invoice.tax
    owed = state.balance if state else part.invoice.balance
    share = min(part.amount.amount_minor if part.amount else paid, paid, owed)
    if not 0 < tax < total or share <= 0:
        return 0
    return allocate(share, [total - tax, tax])[1]


def _obstacle(parts: Sequence[Part], can: Capabilities, whole: bool) -> str | None:
    """Why the lines cannot go with it."""
    if len(parts) > 1:
        return "SEVERAL_INVOICES"
    if not whole:
        return "PART_PAYMENT"
    if not can.level3:
        return "GATEWAY_LEVEL_2_ONLY"
    lines = _live(parts[0].invoice)
    if can.level3_max_lines is not None and len(lines) > can.level3_max_lines:
        return "TOO_MANY_LINES"
    if any(state.line.line_total.amount_minor < 0 for state in lines):
        return "NEGATIVE_LINE"
    if any(Decimal(state.line.quantity or "1") % 1 for state in lines):
        return "FRACTIONAL_QUANTITY"
    return None


def _line(line: InvoiceLine) -> EnhancedLine | None:
    """A line, its discount being what its charge is below quantity times unit price.

    None where they do not fit together in whole minor units.
    """
    charge, tax = line.charge.amount_minor, line.line_total.amount_minor - line.charge.amount_minor
    quantity, unit_price = 1, Decimal(charge)
    if line.quantity is not None and line.unit_price is not None:
        quantity = int(Decimal(line.quantity))
        unit_price = Decimal(line.unit_price).scaleb(EXPONENTS[line.charge.currency])
    discount = quantity * unit_price - charge
    if quantity <= 0 or discount < 0 or discount % 1 or unit_price % 1:
        return None
    product = line.product
    return EnhancedLine(
        line_item_id=line.line_id,
        product_code=(product and (product.sku or product.id)) or line.line_id,
        description=(product and product.name) or line.line_id,
        quantity=str(quantity),
        unit_price_minor=int(unit_price),
        line_item_total_minor=charge,
        commodity_code=product.commodity_code if product else None,
        unit_of_measure=line.uom,
        discount_minor=int(discount),
        tax_minor=tax,
        tax_rate=line.taxes[0].rate if len(line.taxes) == 1 else None,
    )


def _ties_out(lines: Sequence[EnhancedLine], expected: int, tax: int, amount: int) -> bool:
    """Networks refuse what does not add up, so it is added up before."""
    net = sum(Decimal(line.quantity) * line.unit_price_minor - line.discount_minor for line in lines)
    return len(lines) == expected and net + tax == amount and sum(line.tax_minor for line in lines) == tax


def _level_2(
    parts: Sequence[Part], amount: int, tax: int, buyer: Buyer, lines: tuple[EnhancedLine, ...]
) -> EnhancedData:
    return EnhancedData(
        reference_id=buyer.reference_id,
        invoice_number=parts[0].invoice.number if len(parts) == 1 else None,
        customer_code=buyer.customer_code,
        discount_minor=sum(line.discount_minor for line in lines),
        total_tax_minor=tax,
        tax_rate=_rate(tax, amount),
        ship_to_postal_code=buyer.ship_to.postal_code if buyer.ship_to else None,
        ship_to_country=buyer.ship_to.country if buyer.ship_to else None,
        lines=lines,
    )


def _rate(tax: int, amount: int) -> str | None:
    """Percent of the amount without tax, rounded to 2 places."""
    if tax <= 0 or tax >= amount:
        return None
    return str((Decimal(tax) * 100 / (amount - tax)).quantize(Decimal("0.01"), ROUND_HALF_UP))
