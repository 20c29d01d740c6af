"""How a retail file is read: totals to the penny, cancellations joined to what they take back."""

from __future__ import annotations

from datetime import UTC, datetime

from services.importing import retail
from services.importing.retail import TILL, RejectedRow

HEADING = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


def read(*rows: str) -> retail.Reading:
    return retail.read([HEADING, *rows])


def test_an_invoice_is_all_rows_of_its_number_posted_at_the_earliest_in_london() -> None:
    reading = read(
        "1,A,mug,2,6/1/10 9:31,1.25,17,UK",
        "2,A,mug,1,6/1/10 9:00,1.25,18,UK",
        "1,B,tin,1,6/1/10 9:30,0.50,17,UK",
    )
    assert [invoice.invoice_no for invoice in reading.invoices] == ["2", "1"]
    assert reading.invoices[1].total == 300
    assert reading.invoices[1].posted_at == datetime(2010, 6, 1, 8, 30, tzinfo=UTC)


def test_a_line_is_rounded_half_away_from_zero() -> None:
    reading = read("1,A,,1,12/1/10 9:00,0.125,17,UK", "C2,A,,-1,12/1/10 9:05,0.125,17,UK")
    assert [invoice.total for invoice in reading.invoices] == [13, -13]


def test_without_a_customer_it_is_a_till_sale() -> None:
    assert read("1,A,,1,12/1/10 9:00,1.00,,UK").invoices[0].account_id == TILL


def test_a_cancellation_takes_back_the_newest_lines_first_and_splits() -> None:
    reading = read(
        "1,A,,3,12/1/10 9:00,0.33,17,UK",
        "2,A,,2,12/1/10 10:00,0.33,17,UK",
        "C3,A,,-6,12/1/10 11:00,0.33,17,UK",
    )
    parts = reading.invoices[2].lines
    assert [(p.original_invoice_no, p.original_line_id, p.quantity) for p in parts] == [
        ("2", "r2", -2),
        ("1", "r1", -3),
        (None, None, -1),
    ]
    assert [p.amount for p in parts] == [-66, -99, -33]


def test_what_was_taken_back_once_is_not_taken_back_again() -> None:
    reading = read(
        "1,A,,2,12/1/10 9:00,1.00,17,UK",
        "C2,A,,-2,12/1/10 10:00,1.00,17,UK",
        "C3,A,,-1,12/1/10 11:00,1.00,17,UK",
    )
    assert reading.invoices[2].lines[0].original_invoice_no is None


def test_other_customers_prices_and_later_lines_are_not_taken_back() -> None:
    reading = read(
        "C1,A,,-1,12/1/10 8:00,1.00,17,UK",
        "2,A,,1,12/1/10 9:00,1.00,17,UK",
        "3,A,,1,12/1/10 9:00,1.00,18,UK",
        "C4,A,,-1,12/1/10 10:00,2.00,17,UK",
    )
    by_number = {invoice.invoice_no: invoice for invoice in reading.invoices}
    assert by_number["C1"].lines[0].original_invoice_no is None
    assert by_number["C4"].lines[0].original_invoice_no is None


def test_rows_that_cannot_be_read_are_rejected_with_a_reason() -> None:
    reading = read(
        "1,A,,one,12/1/10 9:00,1.00,17,UK",
        "1,A,,1,yesterday,1.00,17,UK",
        "1,A,,1,12/1/10 9:00,NaN,17,UK",
        "1,A,,1,12/1/10 9:00,1.00,17,UK",
        "1,B,,1,12/1/10 9:00,1.00,18,UK",
    )
    assert [row.number for row in reading.rejected] == [1, 2, 3, 5]
    assert reading.rejected[-1] == RejectedRow(5, "another customer than the invoice's", "1")
    assert reading.invoices[0].total == 100
