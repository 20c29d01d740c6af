"""A statement as pages to print and send: A4, numbered, a table for each currency of each account.

The fonts are Noto Sans (SIL OFL 1.1, out of the package pymupdf-fonts): Latin, Greek, Cyrillic.  What they
have no glyph for is never left out in silence: such a statement is refused, with the characters named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pymupdf_fonts  # pyright: ignore[reportMissingTypeStubs]
from fontTools.ttLib import TTFont  # pyright: ignore[reportMissingTypeStubs]
from fpdf import FPDF
from fpdf.enums import TableBordersLayout, TextEmphasis, XPos, YPos
from fpdf.fonts import FontFace

from events.money import major
from projections.asking import BadQuery

FAMILY = "Noto Sans"
MARGIN_MM = 16
_COLUMNS = ("Date", "What", "Amount", "Balance")
_WIDTHS = (22, 96, 30, 30)
"""Of the columns, in mm: together what lies between the margins."""
_ALIGNS = ("LEFT", "LEFT", "RIGHT", "RIGHT")
_BAND, _RULE, _QUIET = (240, 242, 245), (205, 210, 216), (100, 106, 114)
_WEIGHTS = {"": "notos", "B": "notosbo"}


class _Line(NamedTuple):
    cells: tuple[str, str, str, str]
    bold: bool = False


def as_pdf(told: Mapping[str, Any]) -> bytes:
    """What `statement` or `group` has told, as a document.  Raises `BadQuery`."""
    _check_glyphs(told)
    pages = _Pages(told)
    for account in told.get("accounts", [told]):
        pages.account(account, told)
    if "accounts" in told:
        pages.sums(told["currencies"])
    return bytes(pages.output())


class _Pages(FPDF):
    """The document under way; its head and foot are on every page."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(format="A4")
        self._told = told
        with TemporaryDirectory(prefix="tender-fonts-") as folder:  # a font is read from a file
            for style, name in _WEIGHTS.items():
                file = Path(folder) / f"{name}.ttf"
                file.write_bytes(_font_of(name))
                self.add_font(FAMILY, style, file)
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(True, MARGIN_MM + 6)
        self.set_creation_date(told["generated_at"])
        self.set_title(f"Statement of {told['account_id']}")
        self.set_producer("Tender")
        self.set_lang("en")
        self.add_page()

    def header(self) -> None:
        told = self._told
        self._line("Account statement", size=17, bold=True, height=9)
        begins = _day(told["from"]) if told["from"] else "the beginning"
        self._line(f"From {begins} to {_day(told['to'])}", size=9.5, colour=_QUIET)
        self.ln(4)

    def footer(self) -> None:
        self.set_y(-MARGIN_MM)
        self._colour(_QUIET)
        self.set_font(FAMILY, "", 8)
        made = f"{self._told['account_id']}, made {self._told['generated_at']:%Y-%m-%d %H:%M} UTC"
        width = self.epw / 2
        self.cell(width, 5, made, align="L", new_x=XPos.RIGHT, new_y=YPos.TOP)
        self.cell(width, 5, f"Page {self.page_no()} of {{nb}}", align="R")

    def account(self, account: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        name = account.get("name")
        self._line(name or account["account_id"], size=12, bold=True, height=7)
        if name:
            self._line(f"Account {account['account_id']}", size=9, colour=_QUIET)
        self.ln(2)
        for part in account["currencies"]:
            self._table(part["currency"], list(_lines(part, told)))
        if not account["currencies"]:
            self._line("Nothing was owed, and nothing paid.", size=9.5)
            self.ln(4)

    def sums(self, currencies: Sequence[Mapping[str, Any]]) -> None:
        self._line("All accounts", size=12, bold=True, height=7)
        self.ln(2)
        for part in currencies:
            names = (("Opening balance", "opening"), ("Closing balance", "closing"))
            lines = [
                _Line(("", text, "", _amount(part, f"{name}_balance_minor")), True) for text, name in names
            ]
            self._table(part["currency"], lines)

    def _table(self, currency: str, lines: Sequence[_Line]) -> None:
        """Its heading comes again on every page that it reaches."""
        self.set_font(FAMILY, "", 8.5)
        self._colour((0, 0, 0))
        self.set_draw_color(*_RULE)
        heading = FontFace(emphasis=TextEmphasis.B, fill_color=_BAND)
        with self.table(
            col_widths=_WIDTHS,
            text_align=_ALIGNS,
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=heading,
            line_height=4.6,
            padding=(1.1, 1.5),
            align="LEFT",
            width=sum(_WIDTHS),
        ) as table:
            table.row([*_COLUMNS[:2], *(f"{name} ({currency})" for name in _COLUMNS[2:])])
            for line in lines:
                table.row(line.cells, style=FontFace(emphasis=TextEmphasis.B) if line.bold else None)
        self.ln(6)

    def _line(
        self,
        text: str,
        *,
        size: float,
        bold: bool = False,
        colour: tuple[int, int, int] = (0, 0, 0),
        height: float = 5,
    ) -> None:
        self.set_font(FAMILY, "B" if bold else "", size)
        self._colour(colour)
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _colour(self, colour: tuple[int, int, int]) -> None:
        self.set_text_color(*colour)


def _lines(part: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[_Line]:
    opened = _day(told["from"]) if told["from"] else ""
    yield _Line((opened, "Opening balance", "", _amount(part, "opening_balance_minor")), True)
    for line in part["lines"]:
        changed, left = _amount(part, "change_minor", line), _amount(part, "balance_minor", line)
        yield _Line((_day(line["at"]), line["sentence"], changed, left))
    yield _Line((_day(told["to"]), "Closing balance", "", _amount(part, "closing_balance_minor")), True)


def _amount(part: Mapping[str, Any], name: str, line: Mapping[str, Any] | None = None) -> str:
    minor, currency = (line or part)[name], part["currency"]
    return f"{major(minor, currency):,} {currency}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


@cache
def _font_of(name: str) -> bytes:
    return pymupdf_fonts.myfont(name)  # pyright: ignore[reportUnknownMemberType]


@cache
def _glyphs() -> frozenset[int]:
    """The characters that every weight has."""
    found = [TTFont(BytesIO(_font_of(name))).getBestCmap() or {} for name in _WEIGHTS.values()]
    return frozenset[int].intersection(*map(frozenset[int], found))


def _check_glyphs(told: Mapping[str, Any]) -> None:
    """Raises `BadQuery` where a text holds what the fonts cannot show."""
    shown = _glyphs()
    letters = (letter for text in _texts(told) for letter in text if letter.isprintable())
    missing = dict.fromkeys(letter for letter in letters if ord(letter) not in shown)
    if missing:
        some = " ".join(list(missing)[:10])
        raise BadQuery("format", f"a PDF cannot show {some}: ask for json or csv")


def _texts(told: Mapping[str, Any]) -> Iterator[str]:
    for account in told.get("accounts", [told]):
        yield account.get("name") or ""
        yield account["account_id"]
        for part in account["currencies"]:
            for line in part["lines"]:
                yield line["sentence"]
