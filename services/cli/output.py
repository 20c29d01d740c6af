"""How answers look in a terminal: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from rich.console import Console
from rich.table import Table

from events.money import Money

Output = Literal["table", "json"]

console = Console()
errors = Console(stderr=True)


def show(rows: Sequence[Mapping[str, Any]], output: Output, columns: Sequence[str] | None = None) -> None:
    """Rows as a table of some columns, or all of it as JSON."""
    if output == "json":
        console.print_json(orjson.dumps(list(rows), default=str).decode())
        return
    if not rows:
        console.print("[dim]nothing[/dim]")
        return
    names = list(columns or rows[0])
    table = Table(box=None, header_style="bold")
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in names))
    console.print(table)


def cell(value: Any) -> str:
    """One value, short: money in major units, an instant to the second."""
    if isinstance(value, Mapping) and {"amount_minor", "currency"} <= value.keys():
        return str(Money(value["amount_minor"], value["currency"]))
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return orjson.dumps(value, default=str).decode()
    return str(value)
