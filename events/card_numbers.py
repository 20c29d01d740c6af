"""Card numbers: found wherever they hide, so that none is ever kept.

A card number has 13 to 19 digits, perhaps in groups with blanks, dashes or dots between them; it begins
as an issuer's does, has a length that such an issuer gives, and a right check digit (Luhn).  What only
looks like one is left alone: UUIDs, hexadecimal digests, decimal amounts, ids of gateways (theirs
begin with 1, 8 or 9, which no card scheme here does).

Invariant: looking costs next to nothing where there is nothing, for it is done on every command.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, cast

MASK = "*"

_SEPARATORS = " .\\-\u00a0\u2010-\u2015"
_RUN = re.compile(rf"\d(?:[{_SEPARATORS}]{{0,3}}\d){{12,}}")
_GROUP = re.compile(r"\d+")
_HEX = frozenset("0123456789abcdefABCDEF")
_WRITTEN_UUID = (
    r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"(?![0-9A-Za-z])"
)
_UUID, _RAW_UUID = re.compile(_WRITTEN_UUID), re.compile(_WRITTEN_UUID.encode())
_DECIMAL = re.compile(r"-?\d{1,12}\.\d{1,6}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-59]|[689]\d)\d{11,16}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|5[1-5]\d{14}"  # Mastercard
    r"|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard, since 2017
    r"|220[0-4]\d{12,15}"  # Mir
    r"|(?:5[06-9]|6\d)\d{11,17}",  # Maestro, Discover, UnionPay, RuPay, Elo
    re.ASCII,
)
_GROUPINGS = re.compile(r"(?:4 ){3,4}[1-4] |4 6 [45] |6 13 |8 8 |(?:3 ){4,6}[1-3] |5 5 [3-6] |6 6 [1-6] ")
"""How digits are grouped on cards, and by people: the sizes of the groups, each followed by a blank."""

_FIRST_SIZES = frozenset({3, 4, 5, 6, 8})

_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else byte for byte in range(256))
_LONG = b"0" * 13


def may_hold(raw: bytes) -> bool:
    """Whether a closer look is worth it: text whose digits may not be plain ones, or 13 digits in a row
    that are not all in UUIDs, of which a record that tells of many items is full."""
    if b"\\u" in raw or not raw.isascii():
        return True
    return _in_a_row(raw) and (b"-" not in raw or _in_a_row(_RAW_UUID.sub(b"u", raw)))


def _in_a_row(raw: bytes) -> bool:
    return _LONG in raw.translate(_DIGITS, b" .-")


def found_in(text: str) -> bool:
    return next(_spans(text), None) is not None


def place_in(value: Any, exempt: Collection[str] = (), path: str = "") -> str | None:
    """Where in decoded JSON a card number stands, as a path (`data.holder_name`); None where none does.

    Names are looked at as well as what they name, and whole numbers as well as text.  Amounts
    (`amount_minor`) and what stands at an exempt path are none; nor is a card scheme's own id of a
    transaction (`network_transaction_id`), where it has 15 digits.
    """
    match value:
        case str():
            return path if len(value) >= 13 and found_in(value) else None
        case bool():
            return None
        case int():
            return path if abs(value) >= 10**12 and _is_number(str(abs(value))) else None
        case dict():
            return _place_in_object(cast("dict[str, Any]", value), exempt, path)
        case list():
            parts = enumerate(cast("list[Any]", value))
            places = (place_in(part, exempt, f"{path}.{n}") for n, part in parts)
            return next((place for place in places if place is not None), None)
        case _:
            return None


def masked(text: str) -> str:
    """The text, every digit of a card number in it replaced."""
    parts, at = list[str](), 0
    for begin, end in _spans(text):
        parts += text[at:begin], _GROUP.sub(lambda digits: MASK * len(digits[0]), text[max(at, begin) : end])
        at = max(at, end)
    return "".join([*parts, text[at:]]) if parts else text


def masked_bytes(raw: bytes) -> bytes:
    """The same for bytes that may be anything; digits that JSON has escaped are digits too."""
    if not may_hold(raw):
        return raw
    plain = re.sub(rb"\\u00(3[0-9])", lambda escaped: bytes.fromhex(escaped[1].decode()), raw)
    hidden = masked(plain.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return raw if hidden == plain else hidden


def masked_json(value: Any) -> Any:
    """Decoded JSON, every card number in it masked."""
    match value:
        case str():
            return masked(value)
        case int() if not isinstance(value, bool) and place_in(value) is not None:
            return MASK * len(str(value))
        case dict():
            return {masked(k): masked_json(v) for k, v in cast("dict[str, Any]", value).items()}
        case list():
            return [masked_json(part) for part in cast("list[Any]", value)]
        case _:
            return value


def is_trace(text: str) -> bool:
    """A W3C `traceparent`: its ids are chance, and may be all digits."""
    return _TRACE.fullmatch(text) is not None


def _place_in_object(value: dict[str, Any], exempt: Collection[str], path: str) -> str | None:
    for name, part in value.items():
        here = f"{path}.{name}" if path else name
        if len(name) >= 13 and found_in(name):
            return masked(here)
        if not (here in exempt or _is_no_card(name, part)):
            place = place_in(part, exempt, here)
            if place is not None:
                return place
    return None


def _is_no_card(name: str, part: Any) -> bool:
    if name == "amount_minor":
        return isinstance(part, int)
    return name == "network_transaction_id" and isinstance(part, str) and len(part) == 15 and part.isdigit()


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand; what may be read as two that overlap is told twice."""
    if "-" in text:
        text = _UUID.sub(lambda uuid: "u" * len(uuid[0]), text)
    for run in _RUN.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        alone = len(groups) <= 19 and text.strip() == text[run.start() : run.end()]
        for first in range(len(groups)):
            for last in _ends(text, groups, first, alone):
                if _is_card(text, groups[first:last], alone and last - first == len(groups)):
                    yield groups[first][0], groups[last - 1][1]
                    break


def _ends(text: str, groups: list[tuple[int, int]], first: int, alone: bool) -> list[int]:
    """Where a number that begins with a group may end, the longest first."""
    begin, end = groups[first]
    if not 2 <= int(text[begin]) <= 6 or not (alone or end - begin in _FIRST_SIZES or end - begin >= 13):
        return []
    ends, digits = list[int](), 0
    for last in range(first, min(len(groups), first + 19)):
        digits += groups[last][1] - groups[last][0]
        if digits > 19:
            break
        if digits >= 13:
            ends.insert(0, last + 1)
    return ends


def _is_card(text: str, groups: list[tuple[int, int]], whole: bool) -> bool:
    if len(groups) > 1 and not _grouped(text, [end - begin for begin, end in groups], whole):
        return False
    if len(groups) == 1 and _in_a_digest(text, groups[0]):
        return False
    return _is_number("".join(str(int(digit)) for begin, end in groups for digit in text[begin:end]))


def _grouped(text: str, sizes: list[int], whole: bool) -> bool:
    """In groups as of a card; where there is nothing else, in any that are no decimal number's."""
    if whole:
        return _DECIMAL.fullmatch(text.strip()) is None
    return _GROUPINGS.fullmatch("".join(f"{size} " for size in sizes)) is not None


def _in_a_digest(text: str, span: tuple[int, int]) -> bool:
    begin, end = span
    while begin > 0 and text[begin - 1] in _HEX and span[0] - begin < 64:
        begin -= 1
    while end < len(text) and text[end] in _HEX and end - span[1] < 64:
        end += 1
    return end - begin >= 24


def _is_number(digits: str) -> bool:
    return _ISSUERS.fullmatch(digits) is not None and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0
