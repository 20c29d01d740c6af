"""A bank's statement as ISO 20022 has it: camt.053, of any version, read entry by entry.

Nothing is expanded and nothing is fetched: a file that declares a document type, without which no entity
can be declared, is refused.

Entries: https://www.iso20022.org/catalogue-messages (Bank-to-Customer Statement, camt.053.001.02 to .13).
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.parsers.expat import ExpatError, ParserCreate

_ENTRY = "Ntry"
_TEXTS = (
    "NtryDtls/TxDtls/RmtInf/Ustrd",
    "NtryDtls/TxDtls/RmtInf/Strd/CdtrRefInf/Ref",
    "NtryDtls/TxDtls/Refs/EndToEndId",
    "NtryDtls/TxDtls/RltdPties/Dbtr/Nm",
    "NtryDtls/TxDtls/RltdPties/Dbtr/Pty/Nm",
    "NtryDtls/TxDtls/AddtlTxInf",
    "AddtlNtryInf",
)
"""Where an entry says what it is about, and who paid."""
_NOT_SAID = "NOTPROVIDED"
DEPTH_MAX = 40


def looks_like(raw: bytes) -> bool:
    """Whether a file is XML, and names this message."""
    begin = raw[:4000].replace(b"\0", b"")
    return b"<" in begin[:8] and b"camt.053" in begin


def rows(raw: bytes) -> list[Mapping[str, str]]:
    """Its booked entries as rows of a CSV: what went out is below zero.  Raises `ValueError`."""
    reading = _Reading()
    try:
        reading.parse(raw)
    except ExpatError as error:
        raise ValueError(f"this is no camt.053: {error}") from error
    return [_row(entry) for entry in reading.entries if _status(entry) == "BOOK"]


class _Reading:
    def __init__(self) -> None:
        self.entries: list[dict[str, list[str]]] = []
        self._path: list[str] = []
        self._entry_depth = 0
        self._text: list[str] = []
        self._parser = ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = _refuse

    def parse(self, raw: bytes) -> None:
        self._parser.Parse(raw, True)

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        self._path.append(name.rpartition(" ")[2])
        if len(self._path) > DEPTH_MAX:
            raise ValueError("this is no camt.053: it is nested too deeply")
        self._text.clear()
        if self._path[-1] == _ENTRY and not self._entry_depth:
            self._entry_depth = len(self._path)
            self.entries.append({})
        if self._entry_depth:
            for attribute, value in attributes.items():
                self._keep(f"{self._place}@{attribute}", value)

    def _end(self, name: str) -> None:
        said = "".join(self._text).strip()
        if self._entry_depth and said:
            self._keep(self._place, said)
        self._text.clear()
        if len(self._path) == self._entry_depth:
            self._entry_depth = 0
        self._path.pop()

    @property
    def _place(self) -> str:
        return "/".join(self._path[self._entry_depth :])

    def _keep(self, place: str, value: str) -> None:
        self.entries[-1].setdefault(place, []).append(value)


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type: that is no part of a camt.053, and is not read")


def _status(entry: Mapping[str, list[str]]) -> str:
    """Booked, pending or for information: a code of its own since version 8."""
    return (entry.get("Sts/Cd") or entry.get("Sts") or ["BOOK"])[0]


def _row(entry: Mapping[str, list[str]]) -> Mapping[str, str]:
    def first(*places: str) -> str:
        return next((entry[place][0] for place in places if place in entry), "")

    amount = first("Amt")
    texts = [text for place in _TEXTS for text in entry.get(place, ()) if text != _NOT_SAID]
    return {
        "date": first("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"),
        "amount": f"-{amount}" if first("CdtDbtInd") == "DBIT" else amount,
        "currency": first("Amt@Ccy"),
        "text": " ".join(" ".join(texts).split()),
        "reference": first("AcctSvcrRef"),
    }
