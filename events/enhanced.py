"""Level 2 and Level 3 data of a card payment: what corporate cards show their owners.

All amounts are minor units of the payment's own currency; the lines are Level 3.
"""

from __future__ import annotations

from events.frozen import frozen
from events.personal import Personal


@frozen
class EnhancedLine:
    line_item_id: str
    """The line's id; with several invoices, behind the invoice's number."""
    product_code: str
    """The stock number of the product, or what else is known of it."""
    description: str
    """What was bought, in words."""
    quantity: str
    """A decimal, such as `2` or `1.5`: networks take whole numbers only, so some gateways refuse it."""
    unit_price_minor: int
    """The price of one, in minor units."""
    line_item_total_minor: int
    """What the line comes to after its discount, without tax, in minor units."""
    commodity_code: str | None = None
    unit_of_measure: str | None = None
    """The unit of the quantity, such as `hour`."""
    discount_minor: int = 0
    """What was taken off, in minor units."""
    tax_minor: int = 0
    tax_rate: str | None = None

    @property
    def discount_indicator(self) -> bool:
        """Whether something was taken off, as some gateways ask besides how much."""
        return self.discount_minor > 0

    @property
    def gross_net_indicator(self) -> str:
        """N: the line's total is without its tax."""
        return "N"


@frozen
class EnhancedData:
    reference_id: str
    """What the payment is called: its number, or what its client calls it."""
    invoice_number: str | None = None
    """The number of the invoice, where it pays one."""
    customer_code: str | None = None
    """What the buyer knows it by, such as a purchase order or a cost centre."""
    discount_minor: int = 0
    """Of the lines and of the document together."""
    duty_minor: int = 0
    """The import duty, in minor units."""
    shipping_minor: int = 0
    """The cost of shipping, in minor units."""
    total_tax_minor: int = 0
    """The tax in it, in minor units."""
    tax_rate: str | None = None
    ship_from_postal_code: str | None = None
    ship_to_postal_code: Personal | None = None
    ship_to_country: str | None = None
    """ISO 3166-1 alpha-2."""
    lines: tuple[EnhancedLine, ...] = ()
    """Empty: Level 2 only."""
