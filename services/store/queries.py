"""The statements of `queries.sql`, by name."""

from __future__ import annotations

import re
from importlib.resources import files


def load(package: str = "services.store", file: str = "queries.sql") -> dict[str, str]:
    """Every `-- name: …` statement of a file."""
    text = files(package).joinpath(file).read_text("utf-8")
    named = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return {name: sql.strip().rstrip(";") for name, sql in zip(named[::2], named[1::2], strict=True)}


SQL = load()
