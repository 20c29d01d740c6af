"""Bank statements: the lines that are of a gateway, in whichever form the bank writes them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from events.money import Money
from services.importing import camt, statements
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


CAMT = """\
<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
 <BkToCstmrStmt><Stmt><Id>S1</Id>
  <Acct><Id><IBAN>NL01BANK0123456789</IBAN></Id></Acct>
  <Bal><Amt Ccy="EUR">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
  <Ntry><NtryRef>1</NtryRef><Amt Ccy="EUR">1087.20</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
   <BookgDt><Dt>2026-03-04</Dt></BookgDt><AcctSvcrRef>B7</AcctSvcrRef>
   <NtryDtls><TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>
    <RmtInf><Ustrd>STRIPE PAYOUT</Ustrd><Ustrd>po_1</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
  <Ntry><Amt Ccy="EUR">900.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
   <BookgDt><DtTm>2026-03-05T10:00:00</DtTm></BookgDt><AddtlNtryInf>RENT &amp; HEAT</AddtlNtryInf></Ntry>
  <Ntry><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts>
   <BookgDt><Dt>2026-03-05</Dt></BookgDt><AddtlNtryInf>STRIPE later</AddtlNtryInf></Ntry>
 </Stmt></BkToCstmrStmt>
</Document>
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


def test_camt_053_of_any_version_and_encoding(tmp_path: Path) -> None:
    old = CAMT.replace("001.08", "001.02").replace("<Sts><Cd>BOOK</Cd></Sts>", "<Sts>BOOK</Sts>")
    old = old.replace("<Sts><Cd>PDNG</Cd></Sts>", "<Sts>PDNG</Sts>")
    for text in (CAMT, old):
        read_ = read(tmp_path, text)
        assert [found.command for found in read_.lines] == [line("STRIPE PAYOUT po_1")]
        assert (read_.other, read_.last_day) == (1, date(2026, 3, 4))
    wide = CAMT.replace("UTF-8", "UTF-16").encode("utf-16")
    assert camt.rows(wide) == camt.rows(CAMT.encode())
    assert camt.rows(CAMT.encode())[1] == {
        "date": "2026-03-05T10:00:00",
        "amount": "-900.00",
        "currency": "EUR",
        "text": "RENT & HEAT",
        "reference": "",
    }


BOMB = """\
<?xml version="1.0"?>
<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><Ntry>&b;&c;</Ntry></Document>
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "it declares a document type"),
        (CAMT[:-14], "this is no camt.053: unclosed token|no element found"),
        (CAMT.replace("<Stmt>", "<Stmt>" + "<a>" * 50), "nested too deeply"),
        (CAMT.replace("&amp;", "&b;"), "undefined entity"),
    ],
)
def test_xml_that_is_none_or_that_would_grow_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(tmp_path, text)


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
