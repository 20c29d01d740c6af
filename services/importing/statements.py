"""A bank's statement, of which the lines of a gateway are wanted: CSV, SWIFT's MT940, or camt.053.

Banks name the columns of their CSV as they like: those that are known are found.  MT940 is read by
`mt-940`, where that is installed (`tender-payments[mt940]`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from events.money import Money
from gateways.settlements.reading import NoLine, Unreadable, money, rows_of
from services.importing import camt
from services.importing.sending import Planned
from services.payouts.banking import RecordBankLine
from services.payouts.payout import bank_line_id, home_of

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "booking_date", "booked_on", "value_date", "transaction date", "completed date"),
    "amount": ("amount", "credit", "paid in", "money in"),
    "currency": ("currency", "ccy", "currency code"),
    "text": ("text", "description", "details", "narrative", "reference text", "memo"),
    "reference": ("id", "transaction_id", "transaction id", "reference", "bank reference"),
}
"""What is read, and the headings under which it is found, in any case of letters."""

_MT940 = (":20:", "{1:", "\r\n:20:", "\n:20:")
"""How such a file begins."""

_DAYS = ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%Y%m%d")


@dataclass(frozen=True)
class BankLine:
    row: int
    command: RecordBankLine


@dataclass(frozen=True)
class Statement:
    lines: list[BankLine]
    other: int
    """Lines that are of no gateway."""
    unreadable: list[Unreadable]

    @property
    def last_day(self) -> date | None:
        return max((line.command.booked_on for line in self.lines), default=None)


def read(
    path: Path, gateway_id: str, bank_account: str, words: Iterable[str], currency: str | None
) -> Statement:
    """The lines whose text has one of the words.  Raises `ValueError` without the columns, or `OSError`."""
    wanted = [word.lower() for word in words]
    rows = _rows(path.read_bytes())
    columns = _columns(rows[0].keys() if rows else (), currency)
    lines, unreadable, other = list[BankLine](), list[Unreadable](), 0
    repeats = Counter[str]()
    for number, row in enumerate(rows, start=1):
        said = f"{row.get(columns['text'], '')} {row.get(columns.get('reference', ''), '')}"
        if wanted and not any(word in said.lower() for word in wanted):
            other += 1
            continue
        try:
            lines.append(BankLine(number, _line(row, columns, gateway_id, bank_account, currency, repeats)))
        except NoLine as why:
            unreadable.append(Unreadable(number, str(why)))
    return Statement(lines, other, unreadable)


def _rows(raw: bytes) -> Sequence[Mapping[str, str]]:
    if camt.looks_like(raw):
        return camt.rows(raw)
    text = raw.decode("utf-8", "replace")
    return _mt940(text) if text.lstrip("\ufeff").startswith(_MT940) else rows_of(text, ())


def _mt940(text: str) -> list[Mapping[str, str]]:
    """Its lines as rows of a CSV: amounts of debits are below zero.  Raises `ValueError`."""
    try:
        import mt940
    except ModuleNotFoundError as missing:
        raise ValueError("MT940 is read with the library mt-940: install tender-payments[mt940]") from missing
    try:
        told = mt940.parse(text)
    except Exception as error:  # whatever a library makes of a file that is none
        raise ValueError(f"this is no MT940: {type(error).__name__}") from error
    return [_row_of(line.data) for line in told]


def _row_of(line: Mapping[str, Any]) -> Mapping[str, str]:
    own = str(line.get("bank_reference") or "")
    told = (line.get("transaction_details"), line.get("customer_reference"), line.get("extra_details"))
    return {
        "date": str(line.get("entry_date") or line["date"]),
        "amount": str(line["amount"].amount),
        "currency": str(line["amount"].currency),
        "text": " ".join(" ".join(str(part).split()) for part in told if part),
        "reference": "" if own in ("", "NONREF") else own,
    }


def planned(line: BankLine) -> Planned:
    command = line.command
    key = f"bankline:{bank_line_id(command.bank_account, command.reference)}"
    return Planned(command, home_of(command.gateway_id), key)


def _columns(names: Iterable[str], currency: str | None) -> dict[str, str]:
    given = {name.strip().lower(): name for name in names}
    found = {
        what: next((given[heading] for heading in headings if heading in given), "")
        for what, headings in COLUMNS.items()
    }
    lacking = [what for what in ("date", "amount", "text") if not found[what]]
    if not found["currency"] and currency is None:
        lacking.append("currency")
    if lacking:
        raise ValueError(f"it has no column for {', '.join(lacking)}")
    return {what: name for what, name in found.items() if name}


def _line(
    row: Mapping[str, str],
    columns: Mapping[str, str],
    gateway_id: str,
    bank_account: str,
    currency: str | None,
    repeats: Counter[str],
) -> RecordBankLine:
    amount = money(
        row[columns["amount"]].replace(",", ""),
        row[columns["currency"]] if "currency" in columns else currency or "",
    )
    booked, text = _day(row[columns["date"]]), row[columns["text"]].strip()[:1000]
    reference = row.get(columns.get("reference", ""), "").strip() or _made_up(booked, amount, text, repeats)
    return RecordBankLine(gateway_id, bank_account, reference[:120], amount, booked, text)


def _day(text: str) -> date:
    for form in _DAYS:
        try:
            return datetime.strptime(text.strip()[:10], form).date()  # noqa: DTZ007  a day has no zone
        except ValueError:
            continue
    raise NoLine(f"{text!r} is no day")


def _made_up(booked: date, amount: Money, text: str, repeats: Counter[str]) -> str:
    """Of a line without a reference: the same for the same line of the same day, the nth of its kind."""
    told = f"{booked}/{amount}/{text}"
    repeats[told] += 1
    return hashlib.sha256(f"{told}/{repeats[told]}".encode()).hexdigest()[:32]
