"""Level 2 and Level 3 data, built from the invoices that a card payment is meant for.

Invariant: what is sent ties out to the payment's amount; what cannot is left out and said in a fact,
and the payment proceeds all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from events.enhanced import EnhancedData, EnhancedLine
from events.gateway import Capabilities
from events.invoice import InvoiceLine
from events.money import EXPONENTS, Money, allocate
from events.shapes import Address, Intended
from services.accounts import account
from services.accounts.account import Account
from services.calls.accompanying import PurchaseDetail
from services.calls.gateway import Gateway
from services.decision import Context, Need, Needs, States
from services.invoices.invoice import Invoice, LineState
from services.payments.payment import DATA_REFUSED_BEFORE
from services.tenants import tenant_settings
from services.tenants.tenant_settings import TenantSettings

CARD_TYPES = frozenset({"card"})


class Reduced(NamedTuple):
    """Less goes than was wished: the fields of the fact that says so."""

    level: int
    reason: str


class Enhanced(NamedTuple):
    sent: EnhancedData | None
    reduced: Reduced | None

    @property
    def level(self) -> int | None:
        return (3 if self.sent.lines else 2) if self.sent else None


NOTHING = Enhanced(None, None)


@dataclass(frozen=True)
class Purchase:
    """A charge, or a hold, and what it is for."""

    amount: Money
    method_type: str
    reference_id: str
    targets: Sequence[Intended]
    """The invoices that it is meant for, in turn."""
    profile_id: str | None = None
    """The billing profile that it is for, if not the account's default."""
    legal_entity_id: str | None = None
    """Whose sale it is, if not that of the invoice that it is first meant for."""
    detail: PurchaseDetail | None = None
    """What its client says of it."""


class Part(NamedTuple):
    """Where some of the money shall go, as the payment was asked for."""

    invoice: Invoice
    amount: Money | None
    line_id: str | None

    @property
    def lines(self) -> list[LineState]:
        """What it pays for: all lines but those that became a credit memo, or the one that is named."""
        named = [self.invoice.lines[self.line_id]] if self.line_id in self.invoice.lines else None
        return named or [state for state in self.invoice.lines.values() if not state.converted]

    @property
    def total(self) -> int:
        return sum(state.line.line_total.amount_minor for state in self.lines)

    @property
    def tax(self) -> int:
        return sum(state.tax for state in self.lines)

    @property
    def owed(self) -> int:
        line = self.invoice.lines.get(self.line_id) if self.line_id else None
        return min(line.balance if line else self.invoice.balance, self.total)


class Share(NamedTuple):
    """What of a payment goes to one of its parts, and the tax in it."""

    part: Part
    amount: int
    tax: int

    @property
    def is_whole(self) -> bool:
        """An invoice, all of it, in one payment."""
        return self.part.line_id is None and self.amount == self.part.total == self.part.invoice.balance


def needed(states: States, targets: Iterable[str], context: Context) -> Needs:
    """The settings, and, where they ask for such data, the invoices that money is meant for."""
    yield tenant_settings.needed(context)
    settings = states.find(TenantSettings, context.tenant)
    if settings and settings["level2_level3_data"]:
        for invoice_id in targets:
            yield Need(Invoice, invoice_id)


def enhanced(states: States, purchase: Purchase, gateway: Gateway, context: Context) -> Enhanced:
    """The data to send, and why it is less than Level 3 where it is.

    Raises `PERSONAL_DATA_ERASED` where its client names a postal code of an account that was erased.
    """
    settings, about = tenant_settings.of(states, context), purchase.targets or purchase.detail
    if not about or not settings["level2_level3_data"] or not _takes(gateway.capabilities, purchase):
        return NOTHING
    owner = states.get(Account, context.account_id)
    if purchase.detail:
        account.check_takes_personal(owner, purchase.detail.ship_to_postal_code)
    parts = [
        Part(states.get(Invoice, target.invoice_id), target.amount, target.line_id)
        for target in purchase.targets
    ]
    if any(not _is_sale_to(part, purchase.amount.currency, context.account_id) for part in parts):
        return Enhanced(None, Reduced(0, "NOT_A_POSTED_SALE"))
    shares = shared(parts, purchase.amount.amount_minor)
    lines, reason = _lines(shares, purchase.amount.amount_minor, gateway)
    ship_to = owner.addresses.get(purchase.profile_id or owner.default_profile_id or "")
    entity = purchase.legal_entity_id or (parts[0].invoice.legal_entity_id if parts else None)
    ship_from = tenant_settings.ship_from(settings, entity)
    data = _header(purchase, shares, lines, context.account_id, ship_from, ship_to)
    return Enhanced(data, Reduced(2, reason) if reason and parts else None)


def withheld(enhanced: Enhanced) -> Enhanced:
    """Nothing is sent of what was refused already: it would only be refused, and asked for, once more."""
    return Enhanced(None, Reduced(0, DATA_REFUSED_BEFORE)) if enhanced.sent else enhanced


def _takes(can: Capabilities, purchase: Purchase) -> bool:
    """Only cards carry such data, and only some gateways pass it on."""
    return can.level2 and purchase.method_type in CARD_TYPES


def _is_sale_to(part: Part, currency: str, account_id: str) -> bool:
    """An invoice that is not posted, or somebody else's, or of another currency, describes no such sale."""
    invoice = part.invoice
    known = invoice.status == "POSTED" and invoice.account_id == account_id
    return known and invoice.currency == currency and part.total > 0


def shared(parts: Sequence[Part], amount: int) -> list[Share]:
    """A payment, as it will go to its parts: in turn, each as much as it owes and was meant to get."""
    shares: list[Share] = []
    left, owed = amount, {part.invoice.invoice_id: part.invoice.balance for part in parts}
    for part in parts:
        most = part.amount.amount_minor if part.amount else left
        share = max(0, min(most, left, part.owed, owed[part.invoice.invoice_id]))
        left, owed[part.invoice.invoice_id] = left - share, owed[part.invoice.invoice_id] - share
        shares.append(Share(part, share, _tax_of(part, share)))
    return shares


def _tax_of(part: Part, share: int) -> int:
    """The tax in a share: of all that is paid by then less of what was before, so that part payments
    together tell of the tax once, to the cent."""
    tax, total = part.tax, part.total
    if not 0 < tax < total:
        return 0
    before = total - part.owed
    return allocate(before + share, [total - tax, tax])[1] - allocate(before, [total - tax, tax])[1]


# -- Level 3


def _lines(
    shares: Sequence[Share], amount: int, gateway: Gateway
) -> tuple[tuple[EnhancedLine, ...], str | None]:
    """The lines that go with it; or none, and why."""
    reason = _obstacle(shares, gateway)
    if reason is not None:
        return (), reason
    several = len(shares) > 1
    made = [line for share in shares for line in _lines_of(share, several)]
    lines = tuple(line for line in made if line is not None)
    most = gateway.capabilities.level3_max_lines
    if most is not None and len(made) > most:
        return (), "TOO_MANY_LINES"
    if len(lines) != len(made) or not ties_out(lines, sum(share.tax for share in shares), amount):
        return (), "TOTALS_DIFFER"
    return lines, None


def _obstacle(shares: Sequence[Share], gateway: Gateway) -> str | None:
    """Why the lines cannot go with it."""
    prorates = gateway.settings.get("prorate_lines") == "true"
    if not prorates and len(shares) > 1:
        return "SEVERAL_INVOICES"
    if not prorates and not all(share.is_whole for share in shares):
        return "PART_PAYMENT"
    if not gateway.capabilities.level3:
        return "GATEWAY_LEVEL_2_ONLY"
    paid = [(share, state) for share in shares for state in share.part.lines]
    if any(min(state.line.line_total.amount_minor, _net(state), state.tax) < 0 for _, state in paid):
        return "NEGATIVE_LINE"
    if any(share.is_whole and Decimal(state.line.quantity or "1") % 1 for share, state in paid):
        return "FRACTIONAL_QUANTITY"
    return None


def _net(state: LineState) -> int:
    return state.line.charge.amount_minor


def _lines_of(share: Share, several: bool) -> Iterable[EnhancedLine | None]:
    """The lines of one invoice: as they are, or a payment's part of each; None for one that does not fit."""
    prefix = f"{share.part.invoice.number}/" if several else ""
    states = share.part.lines
    if share.is_whole:
        yield from (_line(state.line, prefix) for state in states)
        return
    net = _prorated(share.amount - share.tax, [_net(state) for state in states])
    tax = _prorated(share.tax, [state.tax for state in states])
    for state, net_of_it, tax_of_it in zip(states, net, tax, strict=True):
        if net_of_it or tax_of_it:
            yield _part_of(state.line, net_of_it, tax_of_it, prefix)


def _prorated(amount: int, weights: Sequence[int]) -> Sequence[int]:
    return allocate(amount, weights) if any(weights) else [0] * len(weights)


def _line(line: InvoiceLine, prefix: str = "") -> EnhancedLine | None:
    """A line, its discount being what its charge is below quantity times unit price.

    None where they do not fit together in whole minor units.
    """
    charge = line.charge.amount_minor
    quantity, unit_price = 1, Decimal(charge)
    if line.quantity is not None and line.unit_price is not None:
        quantity = int(Decimal(line.quantity))
        unit_price = Decimal(line.unit_price).scaleb(EXPONENTS[line.charge.currency])
    discount = quantity * unit_price - charge
    if quantity <= 0 or discount < 0 or discount % 1 or unit_price % 1:
        return None
    product = line.product
    return EnhancedLine(
        line_item_id=f"{prefix}{line.line_id}",
        product_code=(product and (product.sku or product.id)) or line.line_id,
        description=(product and product.name) or line.line_id,
        quantity=str(quantity),
        unit_price_minor=int(unit_price),
        line_item_total_minor=charge,
        commodity_code=product.commodity_code if product else None,
        unit_of_measure=line.uom,
        discount_minor=int(discount),
        tax_minor=line.line_total.amount_minor - charge,
        tax_rate=line.taxes[0].rate if len(line.taxes) == 1 else None,
    )


def _part_of(line: InvoiceLine, net: int, tax: int, prefix: str) -> EnhancedLine | None:
    """What a payment pays of a line: one piece at the price of the part, its discount in proportion."""
    whole = _line(replace(line, quantity=None, unit_price=None), prefix)
    priced = _line(line, prefix)
    if whole is None:
        return None
    discount = priced.discount_minor * net // priced.line_item_total_minor if priced and net else 0
    return replace(
        whole,
        unit_price_minor=net + discount,
        discount_minor=discount,
        line_item_total_minor=net,
        tax_minor=tax,
    )


def ties_out(lines: Sequence[EnhancedLine], tax: int, amount: int) -> bool:
    """Networks refuse what does not add up, so it is added up before."""
    net = sum(Decimal(line.quantity) * line.unit_price_minor - line.discount_minor for line in lines)
    return net + tax == amount and sum(line.tax_minor for line in lines) == tax


# -- Level 2


def _header(
    purchase: Purchase,
    shares: Sequence[Share],
    lines: tuple[EnhancedLine, ...],
    account_id: str,
    ship_from: str | None,
    ship_to: Address | None,
) -> EnhancedData:
    said, amount = purchase.detail or PurchaseDetail(), purchase.amount.amount_minor
    tax = sum(share.tax for share in shares)
    if not shares and said.tax and said.tax.currency == purchase.amount.currency:
        tax = max(0, min(said.tax.amount_minor, amount))
    return EnhancedData(
        reference_id=said.reference_id or purchase.reference_id,
        invoice_number=shares[0].part.invoice.number if len(shares) == 1 else None,
        customer_code=said.customer_code or account_id,
        discount_minor=sum(line.discount_minor for line in lines),
        total_tax_minor=tax,
        tax_rate=_rate(tax, amount),
        ship_from_postal_code=said.ship_from_postal_code or ship_from,
        ship_to_postal_code=said.ship_to_postal_code or (ship_to.postal_code if ship_to else None),
        ship_to_country=said.ship_to_country or (ship_to.country if ship_to else None),
        lines=lines,
    )


def _rate(tax: int, amount: int) -> str | None:
    """Percent of the amount without tax, rounded to 2 places."""
    if tax <= 0 or tax >= amount:
        return None
    return str((Decimal(tax) * 100 / (amount - tax)).quantize(Decimal("0.01"), ROUND_HALF_UP))
