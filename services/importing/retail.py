"""Reading a file in the form of the public Online Retail data set: invoices, and what they take back.

A line is Quantity x UnitPrice, rounded half away from zero to the penny, without tax, in GBP.  An
invoice is all rows of its InvoiceNo, posted at its earliest row's InvoiceDate (Europe/London).
Nothing is dropped: a row that cannot be read is rejected with its number and a reason.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
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
    taken = _taken_back(row for of in ordered for row in of)
    reading.invoices = [_invoice(of, taken) for of in ordered]
    return reading


def _rows(lines: Iterable[str]) -> Iterator[Row | RejectedRow]:
    reader = csv.DictReader(lines)
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"the file lacks the columns {', '.join(sorted(missing))}")
    number = 0
    while True:
        number += 1
        cells: dict[str | None, Any] = {}
        try:
            cells = next(reader)  # type: ignore[assignment]
            yield _row(number, cells)
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            yield RejectedRow(number, str(error), cells.get("InvoiceNo") or "")


_WHOLE = re.compile(r"-?[0-9]{1,9}")
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")


def _row(number: int, cells: Mapping[str | None, Any]) -> Row:
    if None in cells or None in cells.values():
        raise ValueError("the row has more or fewer cells than the heading")
    texts = {name: cells[name].strip() for name in COLUMNS}
    if any("\udc80" <= letter <= "\udcff" for text in texts.values() for letter in text):
        raise ValueError("the row is not UTF-8 text")
    if not texts["InvoiceNo"]:
        raise ValueError("there is no InvoiceNo")
    if not _WHOLE.fullmatch(texts["Quantity"]):
        raise ValueError(f"the Quantity {texts['Quantity']!r} is no whole number")
    if not _DECIMAL.fullmatch(texts["UnitPrice"]):
        raise ValueError(f"the UnitPrice {texts['UnitPrice']!r} is no decimal number")
    quantity, unit_price = int(texts["Quantity"]), Decimal(texts["UnitPrice"])
    return Row(
        number,
        texts["InvoiceNo"],
        texts["StockCode"],
        texts["Description"],
        quantity,
        unit_price,
        _instant(texts["InvoiceDate"]),
        texts["CustomerID"] or None,
        minor(quantity * unit_price, CURRENCY),
    )


def _instant(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%m/%d/%y %H:%M").replace(tzinfo=LONDON).astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"the InvoiceDate {text!r} is not like 12/1/10 8:26") from error


@dataclass
class _Sold:
    """A line that may still be taken back, and how much of it."""

    invoice_no: str
    line_id: str
    left: int


_Taken = tuple[int, _Sold | None]


class _Shelf:
    """What each customer bought, in the order of time, and has not yet sent back."""

    def __init__(self) -> None:
        self._sold: dict[tuple[str, str, Decimal], list[_Sold]] = defaultdict(list)

    def sell(self, row: Row) -> None:
        if row.customer is not None and row.quantity > 0:
            key = row.customer, row.stock_code, row.unit_price
            self._sold[key].append(_Sold(row.invoice_no, _line_id(row), row.quantity))

    def take_back(self, row: Row) -> list[_Taken]:
        """The quantities of a cancelled row by the line each comes from, newest first; None: from none."""
        wanted, found = -row.quantity, list[_Taken]()
        for sold in reversed(self._sold[row.customer or "", row.stock_code, row.unit_price]):
            taken = min(wanted, sold.left)
            if taken:
                sold.left -= taken
                wanted -= taken
                found.append((taken, sold))
        return [*found, (wanted, None)] if wanted else found


def _taken_back(rows: Iterable[Row]) -> dict[int, list[_Taken]]:
    """What each cancelled row takes back, by its number: rows are walked by time, then as they stand."""
    shelf, taken = _Shelf(), dict[int, list[_Taken]]()
    for row in sorted(rows, key=lambda row: (row.at, row.number)):
        if row.amount < 0 and row.quantity < 0 and row.customer is not None:
            taken[row.number] = shelf.take_back(row)
        else:
            shelf.sell(row)
    return taken


def _invoice(rows: Sequence[Row], taken: Mapping[int, list[_Taken]]) -> RetailInvoice:
    lines = tuple(part for row in rows for part in _parts(row, taken.get(row.number)))
    account_id = rows[0].customer or TILL
    return RetailInvoice(rows[0].invoice_no, account_id, min(row.at for row in rows), lines)


def _parts(row: Row, found: list[_Taken] | None) -> list[Part]:
    if found is None:
        return [Part(_line_id(row), row, row.quantity, row.amount)]
    amounts = allocate(row.amount, [quantity for quantity, _ in found])
    return [
        Part(
            _line_id(row) if len(found) == 1 else f"{_line_id(row)}.{number}",
            row,
            -quantity,
            amount,
            sold.invoice_no if sold else None,
            sold.line_id if sold else None,
        )
        for number, ((quantity, sold), amount) in enumerate(zip(found, amounts, strict=True), start=1)
    ]


def _line_id(row: Row) -> str:
    return f"r{row.number}"
