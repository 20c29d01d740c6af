"""How answers look in a terminal: a table for people, JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from events.money import Money

Output = Annotated[
    Literal["table", "json"], Parameter(help="A table for people, or JSON for programs.", show_choices=True)
]


class Step(Protocol):
    """What the progress of one step is told to; `of` where the whole is learnt on the way."""

    def __call__(self, done: int, of: int | None = None) -> None: ...


PIPE_WIDTH = 200
"""Where nobody looks on, a line is as long as it is: programs that cut lines should find them whole."""


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH


console = Console(width=_width())
errors = Console(stderr=True, width=_width())


def show(rows: Sequence[Mapping[str, Any]], output: Output, columns: Sequence[str] | None = None) -> None:
    """Rows as a table of some columns, or all of it as JSON."""
    if output == "json":
        tell_json(list(rows))
        return
    if not rows:
        console.print("[dim]nothing[/dim]")
        return
    names = list(columns or rows[0])
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        right = all(isinstance(row.get(name), int | None) for row in rows) and not _flags(rows, name)
        heading = name.removesuffix(_HUNDREDTHS).replace("_", " ")
        table.add_column(heading, overflow="fold", justify="right" if right else "left")
    for row in rows:
        table.add_row(*(_cell_of(name, row.get(name)) for name in names))
    console.print(table)


_HUNDREDTHS = "_basis_points"


def _cell_of(name: str, value: Any) -> Text:
    """A rate in percent, as people read it."""
    if name.endswith(_HUNDREDTHS) and isinstance(value, int):
        return Text(f"{value / 100:.1f} %")
    return cell(value)


def _flags(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(isinstance(row.get(name), bool) for row in rows)


def tell_json(value: Any) -> None:
    """Indented and coloured for a person, as it is for a program."""
    text = orjson.dumps(value, default=str).decode()
    if console.is_terminal:
        console.print_json(text)
    else:
        print(text)


def cell(value: Any) -> Text:
    """One value, short: money in major units, an instant to the second, a flag as a mark, words joined."""
    if isinstance(value, Mapping) and {"amount_minor", "currency"} <= value.keys():
        return Text(str(Money(value["amount_minor"], value["currency"])))
    if isinstance(value, bool):
        return Text("✔", "green") if value else Text("✘", "red")
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(value.strftime("%Y-%m-%d %H:%M:%S"))
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return Text("; ".join(value))
    if isinstance(value, dict | list):
        return Text(orjson.dumps(value, default=str).decode())
    return Text(str(value))


def progress() -> Progress:
    """Bars for long work, beside the output: they go to the other stream."""
    columns = (
        SpinnerColumn(finished_text="[green]✔"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors)


def steps(shown: Progress) -> Callable[[str, int], Step]:
    """`step(name, of)` adds a bar, and gives what its progress is told to."""

    def step(name: str, of: int) -> Step:
        task = shown.add_task(name, total=of or None)

        def tell(done: int, of: int | None = None) -> None:
            shown.update(task, completed=done, total=of)

        return tell

    return step
