"""Reading externally tokenized methods: CSV and JSON Lines to rows of a migration, each with its verdict.

Columns: external_id, account_ref, merchant_account, gateway, method_type, token,
gateway_reference, async_reference, holder, holder_email, expiry (`MM/YY`, `MM/YYYY` or `YYYY-MM`), last4,
network, billing_line1, billing_line2, billing_city, billing_region, billing_postal_code,
billing_country, sec_code, mandate_ref, network_transaction_id, extended_type, usage, nickname,
is_default, consent_at.  A method_type may be the gateway's own name of it; in JSON a billing_address may be
an object.

Invariant: of a row that holds a card number nothing is kept but its place and its name.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import orjson
from pydantic import TypeAdapter, ValidationError

from events.card_numbers import masked, may_hold, place_in
from events.shapes import Address
from services.calls.provider import MethodType
from services.commands import STRICT, rejection
from services.errors import Rejected
from services.migrations.migrating import ROWS_MAX, ImportRows, MigrationRow
from services.migrations.token_migration import Refused

Raw = Mapping[str, Any]
Rows = Callable[[], Iterable["Raw | Rejected"]]
"""The rows of a source, from its beginning; a line that cannot be read is a `Rejected`."""

EXAMPLES_MAX = 100

_NAMES = {
    "account_id": "account_ref",
    "gateway_id": "gateway",
    "merchant_account_id": "merchant_account",
    "type": "method_type",
    "token_ref": "token",
    "async_gateway_ref": "async_reference",
    "holder_name": "holder",
    "mandate_reference": "mandate_ref",
    "mandate_accepted_at": "consent_at",
}
"""Our names, which are taken as well, and those of the columns."""
_PLAIN = {
    "external_id": "external_id",
    "gateway": "gateway_id",
    "merchant_account": "merchant_account_id",
    "method_type": "type",
    "token": "token_ref",
    "gateway_reference": "gateway_reference",
    "async_reference": "async_gateway_ref",
    "holder": "holder_name",
    "holder_email": "holder_email",
    "last4": "last4",
    "network": "network",
    "sec_code": "sec_code",
    "mandate_ref": "mandate_reference",
    "network_transaction_id": "network_transaction_id",
    "extended_type": "extended_type",
    "usage": "usage",
    "nickname": "nickname",
}
_ADDRESS = {f"billing_{part.name}": part.name for part in fields(Address)}
_OTHERS = frozenset({"account_ref", "expiry", "expiry_month", "expiry_year", "is_default", "consent_at"})
_KNOWN = _PLAIN.keys() | _ADDRESS.keys() | _OTHERS | {"billing_address"}
_COLUMNS = {
    **{ours: column for column, ours in (*_NAMES.items(), *_PLAIN.items())},
    "account_id": "account_ref",
    "expiry_month": "expiry",
    "expiry_year": "expiry",
    "mandate_accepted_at": "consent_at",
}
"""What a file calls what a command has."""
_EXPIRY = re.compile(r"(?P<m>\d{1,2})[/-](?P<y>\d{4}|\d{2})|(?P<y2>\d{4})-(?P<m2>\d{2})")
_TYPES = frozenset(get_args(MethodType))
_TRUE, _FALSE = frozenset({"true", "1", "yes", "y"}), frozenset({"false", "0", "no", "n", ""})
_ROW = TypeAdapter(tuple[MigrationRow], config=STRICT)
"""In a tuple, for a configuration is taken only around a class."""


@dataclass
class Report:
    """What all rows of a source are, before any is imported."""

    rows: int = 0
    valid: int = 0
    rejected: Counter[str] = field(default_factory=Counter[str])
    examples: list[Refused] = field(default_factory=list[Refused])
    defaults: dict[str, int] = field(default_factory=dict[str, int])
    """Each account's last row that is to be its default."""
    warnings: list[str] = field(default_factory=list[str])


def csv_rows(lines: Iterable[str]) -> Iterator[Raw | Rejected]:
    """Empty cells are left out; a row that is longer than the heading is none."""
    for cells in csv.DictReader(lines):
        if None in cells:
            yield Rejected("MALFORMED_REQUEST", "the row has more cells than the heading")
        else:
            yield {name.strip(): cell.strip() for name, cell in cells.items() if cell and cell.strip()}


def json_rows(lines: Iterable[str]) -> Iterator[Raw | Rejected]:
    for line in lines:
        if line.strip():
            yield json_row(line)


def json_row(line: str) -> Raw | Rejected:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Rejected("MALFORMED_REQUEST", "the line is no JSON")
    return row if isinstance(row, dict) else Rejected("MALFORMED_REQUEST", "the line is no JSON object")


def rows_of(path: Path) -> Rows:
    """A file's rows, read anew each time: CSV by its suffix, else JSON Lines."""

    def read() -> Iterator[Raw | Rejected]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv_rows(file) if path.suffix.lower() == ".csv" else json_rows(file)

    return read


def validated(rows: Rows) -> Report:
    """Read every row once, and say what all of them are."""
    report = Report()
    flagged: Counter[str] = Counter()
    for number, row in enumerate(_judged(rows), start=1):
        report.rows += 1
        if isinstance(row, Refused):
            report.rejected[row.code] += 1
            report.examples += [row] if len(report.examples) < EXAMPLES_MAX else []
            continue
        report.valid += 1
        if row.method.is_default:
            flagged[row.account_id] += 1
            report.defaults[row.account_id] = number
    twice = [account for account, count in flagged.items() if count > 1]
    report.warnings = [
        f"{flagged[account]} rows are to be the default of {account}: the last, row {last}, will be"
        for account in twice[:EXAMPLES_MAX]
        if (last := report.defaults[account])
    ]
    if len(twice) > EXAMPLES_MAX:
        report.warnings.append(f"and so for {len(twice) - EXAMPLES_MAX} more accounts")
    return report


def chunks(rows: Rows, report: Report, job_id: str) -> Iterator[ImportRows]:
    """The rows as commands, the same for every reading of the same source."""
    good, bad, chunk_no = list[MigrationRow](), list[Refused](), 1
    for row in _judged(rows):
        if isinstance(row, Refused):
            bad.append(row)
        else:
            good.append(_last_default(row, report))
        if len(good) + len(bad) == ROWS_MAX:
            yield ImportRows(job_id, chunk_no, tuple(good), tuple(bad))
            good, bad, chunk_no = [], [], chunk_no + 1
    if good or bad:
        yield ImportRows(job_id, chunk_no, tuple(good), tuple(bad))


def _last_default(row: MigrationRow, report: Report) -> MigrationRow:
    if not row.method.is_default or report.defaults[row.account_id] == row.row_no:
        return row
    return replace(row, method=replace(row.method, is_default=False))


def _judged(rows: Rows) -> Iterator[MigrationRow | Refused]:
    seen: set[str] = set()
    for number, raw in enumerate(rows(), start=1):
        try:
            row = _row(number, raw)
            if row.method.external_id in seen:
                raise Rejected("IDEMPOTENCY_KEY_REUSED", "an earlier row has the same external_id")
            seen.add(row.method.external_id)
            yield row
        except Rejected as rejected:
            yield Refused(number, _name(raw), rejected.code, rejected.message[:1000])


def _name(raw: Raw | Rejected) -> str:
    return "" if isinstance(raw, Rejected) else masked(str(raw.get("external_id") or ""))[:255]


def _row(number: int, raw: Raw | Rejected) -> MigrationRow:
    """Raises `Rejected`."""
    if isinstance(raw, Rejected):
        raise raw
    place = place_in(dict(raw)) if may_hold(orjson.dumps(raw)) else None
    if place is not None:
        raise Rejected("CARD_DATA_FORBIDDEN", f"{place}: this looks like a card number")
    named = {_NAMES.get(name, name): value for name, value in raw.items() if value is not None}
    unknown = named.keys() - _KNOWN
    if unknown:
        raise Rejected("UNKNOWN_FIELD", f"there is no column {min(unknown)}")
    row = {"row_no": number, "account_id": named.get("account_ref"), "method": _method(named)}
    try:
        return _ROW.validate_python((row,), strict=False)[0]
    except ValidationError as invalid:
        raise _of_column(rejection(invalid)) from None


def _of_column(told: Rejected) -> Rejected:
    """What is wrong, by the name of its column; a row is read as `0`, and its method within."""
    place = told.field or ""
    ours = place.removeprefix("0.").removeprefix("method.")
    column = _COLUMNS.get(ours, ours)
    return Rejected(told.code, told.message.replace(place, column, 1), field=column)


def _method(named: Mapping[str, Any]) -> dict[str, Any]:
    method = {ours: named[name] for name, ours in _PLAIN.items() if name in named}
    if "type" not in method:
        raise Rejected("MALFORMED_REQUEST", "method_type: say what it is")
    if method["type"] not in _TYPES:
        method["external_type"] = method.pop("type")
    address = {part: named[name] for name, part in _ADDRESS.items() if name in named}
    given = named.get("billing_address")
    if given is not None or address:
        method["billing_address"] = {**(given or {}), **address} if isinstance(given or {}, dict) else given
    if "expiry" in named:
        method["expiry_month"], method["expiry_year"] = _expiry(str(named["expiry"]))
    for name in ("expiry_month", "expiry_year"):
        if name in named:
            method[name] = named[name]
    if "is_default" in named:
        method["is_default"] = _flag(named["is_default"])
    if "consent_at" in named:
        method["mandate_accepted_at"] = _instant(str(named["consent_at"]))
    return method


def _expiry(text: str) -> tuple[int, int]:
    found = _EXPIRY.fullmatch(text.replace(" ", ""))
    if found is None:
        raise Rejected("DATE_INVALID", "expiry: a month is written MM/YY, MM/YYYY or YYYY-MM")
    year = int(found["y"] or found["y2"])
    return int(found["m"] or found["m2"]), year + 2000 if year < 100 else year


def _flag(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise Rejected("MALFORMED_REQUEST", "is_default: true or false")
    return text in _TRUE


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("DATE_INVALID", "consent_at: a time is written as in RFC 3339") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
