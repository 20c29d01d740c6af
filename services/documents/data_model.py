"""The data model as a page: every kind of stream with its facts, and the read models, drawn.

It is made from the code and committed beside the contracts; the same test compares it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from events.catalog import TOPICS
from projections.models import TABLES
from projections.table import Table
from services.decision import Subject
from services.subjects import SUBJECTS

_OTHER_NAMES = {
    "original_invoice_id": "invoice_id",
    "reference_invoice_id": "invoice_id",
    "source_invoice_id": "invoice_id",
    "negative_invoice_id": "invoice_id",
    "default_method_id": "method_id",
    "parent_account_id": "account_id",
}
"""Columns that name a row of another table under a name of their own."""


def page() -> str:
    """The whole page, as Markdown with one Mermaid diagram."""
    return "\n".join([*_streams(), *_read_models()]) + "\n"


def _streams() -> Iterator[str]:
    yield "# Data model"
    yield ""
    yield "Made from the code by `tender contracts`; do not edit."
    yield ""
    yield "## Streams"
    yield ""
    yield "One per aggregate: `{tenant}/{kind}-{id}`. Its facts are its whole truth."
    yield ""
    yield "What each command and each fact says is on a page of its own: [the language](language.md)."
    yield ""
    yield "| kind | what it is | its facts |"
    yield "|---|---|---|"
    for subject in sorted(SUBJECTS, key=lambda subject: subject.state.KIND):
        cells = (subject.state.KIND, _about(subject), _listed(_facts(subject)))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _about(subject: Subject) -> str:
    """What the state says of itself, or else the module that holds it alone."""
    state = subject.state
    of_its_own = not (state.__doc__ or "").startswith(f"{state.__name__}(")
    text = inspect.getdoc(state if of_its_own else sys.modules[state.__module__]) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".").replace("|", "/")


def _facts(subject: Subject) -> list[str]:
    known = get_type_hints(subject.evolve)["event"]
    return sorted(TOPICS[fact] for fact in get_args(known) or (known,))


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _read_models() -> Iterator[str]:
    yield "## Read models"
    yield ""
    yield "Folded from the facts, and rebuilt at any time. Amounts are in minor units of the row's currency."
    yield ""
    yield "```mermaid"
    yield "erDiagram"
    for table in TABLES:
        yield f"    {table.name} {{"
        yield from (_column(table, column) for column in table.all_columns)
        yield "    }"
    for table in TABLES:
        yield from _relations(table)
    yield "```"


def _column(table: Table, column: Any) -> str:
    return f"        {column.type} {column.name}{' PK' if column in table.key else ''}"


def _relations(table: Table) -> Iterator[str]:
    """Every column that names another table's row."""
    owners = {other.key[-1].name: other for other in TABLES if len(other.key) == 2}
    for column in table.all_columns:
        owner = owners.get(_OTHER_NAMES.get(column.name, column.name))
        is_own_key = len(table.key) == 2 and column is table.key[-1]
        if owner is not None and not is_own_key:
            yield f"    {owner.name} ||--o{{ {table.name} : {column.name}"
