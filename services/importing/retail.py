"""Reading a file in the form of the public Online Retail data set: invoices, and what they take back.

A line is Quantity x UnitPrice, rounded half away from zero to the penny, without tax, in GBP.  An
invoice is all rows of its InvoiceNo, posted at its earliest row's InvoiceDate (Europe/London).
Nothing is dropped: a row that cannot be read is rejected with its number and a reason.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from events.money import allocate, minor

CURRENCY = "GBP"
LONDON = ZoneInfo("Europe/London")
TILL = "TILL"
"""The account of sales without a CustomerID: paid in cash, at the till."""

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)


@dataclass(frozen=True)
class Row:
    number: int
    """The row's place in the file; 1 is the row below the heading."""
    invoice_no: str
    stock_code: str
    description: str
    quantity: int
    unit_price: Decimal
    at: datetime
    customer: str | None
    amount: int
    """In pence."""


@dataclass(frozen=True)
class RejectedRow:
    number: int
    reason: str
    invoice_no: str = ""


@dataclass(frozen=True)
class Part:
    """A line of an invoice to post; on a cancellation, the part of a row that takes back one line."""

    line_id: str
    row: Row
    quantity: int
    amount: int
    original_invoice_no: str | None = None
    original_line_id: str | None = None


@dataclass(frozen=True)
class RetailInvoice:
    invoice_no: str
    account_id: str
    posted_at: datetime
    lines: tuple[Part, ...]

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def at_the_till(self) -> bool:
        return self.account_id == TILL


@dataclass
class Reading:
    """What a file holds, in the order in which it is to be posted."""

    invoices: list[RetailInvoice] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)


def read(lines: Iterable[str]) -> Reading:
    """The invoices of a CSV file, cancellations joined to what they take back."""
    reading = Reading()
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(lines):
        if isinstance(row, RejectedRow):
            reading.rejected.append(row)
        elif (first := rows[row.invoice_no][:1]) and first[0].customer != row.customer:
            reading.rejected.append(
                RejectedRow(row.number, "another customer than the invoice's", row.invoice_no)
            )
        else:
            rows[row.invoice_no].append(row)
    ordered = sorted(rows.values(), key=lambda of: (min(row.at for row in of), of[0].number))
    shelf = _Shelf()
    reading.invoices = [_invoice(of, shelf) for of in ordered]
    return reading


def _rows(lines: Iterable[str]) -> Iterator[Row | RejectedRow]:
    reader = csv.DictReader(lines)
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"the file lacks the columns {', '.join(sorted(missing))}")
    for number, cells in enumerate(reader, start=1):
        try:
            yield _row(number, cells)
        except (ValueError, InvalidOperation, TypeError) as error:
            yield RejectedRow(number, str(error) or "not a number", cells.get("InvoiceNo") or "")


def _row(number: int, cells: dict[str, str]) -> Row:
    invoice_no = cells["InvoiceNo"].strip()
    if not invoice_no:
        raise ValueError("no InvoiceNo")
    quantity, unit_price = int(cells["Quantity"]), Decimal(cells["UnitPrice"])
    if not unit_price.is_finite():
        raise ValueError("UnitPrice is not a number")
    at = datetime.strptime(cells["InvoiceDate"], "%m/%d/%y %H:%M").replace(tzinfo=LONDON)
    return Row(
        number,
        invoice_no,
        cells["StockCode"].strip(),
        cells["Description"].strip(),
        quantity,
        unit_price,
        at.astimezone(UTC),
        cells["CustomerID"].strip() or None,
        minor(quantity * unit_price, CURRENCY),
    )


@dataclass
class _Sold:
    """A line that may still be taken back, and how much of it."""

    invoice_no: str
    line_id: str
    when: tuple[datetime, int]
    """Its time, then its row: which of two lines is the newer."""
    left: int


class _Shelf:
    """What each customer bought, and has not yet sent back."""

    def __init__(self) -> None:
        self._sold: dict[tuple[str, str, Decimal], list[_Sold]] = defaultdict(list)

    def sell(self, part: Part) -> None:
        row = part.row
        if row.customer is not None and part.quantity > 0:
            key = row.customer, row.stock_code, row.unit_price
            self._sold[key].append(_Sold(row.invoice_no, part.line_id, (row.at, row.number), part.quantity))

    def take_back(self, row: Row) -> list[tuple[int, _Sold | None]]:
        """The quantities of a cancelled row by the line each comes from, newest first; None: from none."""
        wanted, found = -row.quantity, list[tuple[int, _Sold | None]]()
        key = row.customer or "", row.stock_code, row.unit_price
        earlier = [sold for sold in self._sold[key] if sold.when < (row.at, row.number)]
        for sold in sorted(earlier, key=lambda sold: sold.when, reverse=True):
            taken = min(wanted, sold.left)
            if taken:
                sold.left -= taken
                wanted -= taken
                found.append((taken, sold))
        return [*found, (wanted, None)] if wanted else found


def _invoice(rows: Sequence[Row], shelf: _Shelf) -> RetailInvoice:
    lines = [part for row in rows for part in _parts(row, shelf)]
    for part in lines:
        shelf.sell(part)
    account_id = rows[0].customer or TILL
    return RetailInvoice(rows[0].invoice_no, account_id, min(row.at for row in rows), tuple(lines))


def _parts(row: Row, shelf: _Shelf) -> list[Part]:
    line_id = f"r{row.number}"
    if row.amount >= 0 or row.quantity >= 0 or row.customer is None:
        return [Part(line_id, row, row.quantity, row.amount)]
    found = shelf.take_back(row)
    amounts = allocate(row.amount, [quantity for quantity, _ in found])
    return [
        Part(
            line_id if len(found) == 1 else f"{line_id}.{number}",
            row,
            -quantity,
            amount,
            sold.invoice_no if sold else None,
            sold.line_id if sold else None,
        )
        for number, ((quantity, sold), amount) in enumerate(zip(found, amounts, strict=True), start=1)
    ]
