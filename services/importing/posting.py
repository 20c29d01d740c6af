"""From files to `PostInvoice`: retail CSV, and JSON Lines of bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from events.invoice import Product
from events.money import Money
from services.commands import COMMANDS, TYPES
from services.importing import retail
from services.importing.retail import CURRENCY, LONDON, Part, RetailInvoice
from services.importing.sending import Planned
from services.invoices.posting import Line, Original, PostInvoice, Term


class Unreadable(NamedTuple):
    """A line of a file that is no invoice, and why."""

    number: int
    reason: str


_BODY = COMMANDS[TYPES[PostInvoice]].adapter


def from_json_lines(lines: Iterable[str | bytes]) -> Iterator[Planned | Unreadable]:
    """Each line is `{"account_id": …, …}` with the fields of `PostInvoice`."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            body: dict[str, Any] = orjson.loads(line)
            account_id = body.pop("account_id")
            whole = {"tenant_id": "any", "account_id": account_id, "data": body}
            command = _BODY.validate_json(orjson.dumps(whole)).data
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError, ValidationError) as error:
            yield Unreadable(number, _why(error))
        else:
            yield Planned(command, account_id, f"import:{command.external_id}")


def _why(error: Exception) -> str:
    """In a sentence: which field, and what is wrong with it."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'] if part != 'data')}: {first['msg']}"
    if isinstance(error, KeyError):
        return "there is no account_id"
    if isinstance(error, orjson.JSONDecodeError):
        return f"this is no JSON: {error}"
    return "an invoice is one JSON object"


def of_retail(invoice: RetailInvoice) -> PostInvoice:
    """A retail invoice, or a cancellation as a negative invoice, as it is posted."""
    day = invoice.posted_at.astimezone(LONDON).date()
    return PostInvoice(
        external_id=invoice.invoice_no,
        currency=CURRENCY,
        lines=tuple(_line(part) for part in invoice.lines),
        invoice_date=day,
        posted_at=invoice.posted_at.astimezone(UTC),
        payment_term=Term("PERIOD_BASED", 30),
    )


def _line(part: Part) -> Line:
    row = part.row
    original = None
    if part.original_invoice_no:
        original = Original(external_id=part.original_invoice_no, line_id=part.original_line_id)
    return Line(
        line_id=part.line_id,
        charge=Money(part.amount, CURRENCY),
        product=Product(sku=row.stock_code, name=row.description or None),
        quantity=str(part.quantity),
        unit_price=f"{row.unit_price:f}",
        reference=original,
    )


def read_retail(path: Path) -> retail.Reading:
    """Bytes that are no UTF-8 spoil their row, not the file.  Raises `ValueError` without the columns."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return retail.read(file)


def is_retail(path: Path) -> bool:
    return path.suffix.lower() == ".csv"
