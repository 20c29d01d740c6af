"""Bank statements: the lines that are of a gateway, in whichever form the bank writes them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from events.money import Money
from services.importing import statements
from services.importing.statements import Statement
from services.payouts.banking import RecordBankLine

CSV = """\
Booking_Date,Narrative,Amount,Currency,Transaction ID
04/03/2026,STRIPE PAYOUT po_1,"1,087.20",EUR,B7
05.03.2026,RENT,-900.00,EUR,B8
someday,STRIPE PAYOUT po_2,1.00,EUR,B9
"""

MT940 = """\
:20:STARTSUMS
:25:NL01BANK0123456789EUR
:28C:00001/001
:60F:C260301EUR100,00
:61:2603040304C1087,20NTRFpo_1//B7
:86:STRIPE PAYOUT
:61:2603050305D900,00NTRFRENT//B8
:86:RENT
:62F:C260305EUR287,20
"""


def read(tmp_path: Path, text: str, currency: str | None = None) -> Statement:
    file = tmp_path / "statement"
    file.write_text(text)
    return statements.read(file, "gw", "main", ["Stripe"], currency)


def line(text: str, reference: str = "B7") -> RecordBankLine:
    return RecordBankLine("gw", "main", reference, Money(108_720, "EUR"), date(2026, 3, 4), text)


def test_a_csv_by_the_names_of_its_columns(tmp_path: Path) -> None:
    read_ = read(tmp_path, CSV)
    assert [found.command for found in read_.lines] == [line("STRIPE PAYOUT po_1")]
    assert (read_.other, read_.last_day) == (1, date(2026, 3, 4))
    assert [(bad.row, bad.reason) for bad in read_.unreadable] == [(3, "'someday' is no day")]


def test_mt940(tmp_path: Path) -> None:
    read_ = read(tmp_path, MT940)
    assert [found.command for found in read_.lines] == [line("STRIPE PAYOUT po_1")]
    assert read_.other == 1


def test_lines_without_a_reference_are_told_apart_and_the_same_each_time(tmp_path: Path) -> None:
    text = "date,amount,text\n2026-03-04,1.00,STRIPE\n2026-03-04,1.00,STRIPE\n"
    once, again = read(tmp_path, text, "EUR"), read(tmp_path, text, "EUR")
    assert once == again
    assert len({found.command.reference for found in once.lines}) == 2


def test_what_is_no_statement_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it has no column for currency"):
        read(tmp_path, "date,amount,text\n2026-03-04,1.00,STRIPE\n")
    with pytest.raises(ValueError, match="it has no column for date, amount, text, currency"):
        read(tmp_path, "a,b\n1,2\n")
