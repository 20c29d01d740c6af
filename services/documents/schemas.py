"""JSON Schemas of what is sent and what is told, with what the code says of each field."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, TypeAdapter

from services.commands import Body, CommandType

TELLING = ConfigDict(use_attribute_docstrings=True)
"""Reading the docstrings takes seconds for all of them: for documents, not for checking what arrives."""
REFERENCE = "#/$defs/{model}"


def of_command(known: CommandType, reference: str = REFERENCE) -> dict[str, Any]:
    """Of the whole record: the command with who sends it, and whose it is."""
    adapter = TypeAdapter(Body[known.cls], config={**TELLING, "extra": "forbid"})  # type: ignore[name-defined]
    return adapter.json_schema(ref_template=reference)


def of_fact(fact: type[Any]) -> dict[str, Any]:
    """Of an event's data, which later versions may add to."""
    alone: Any = tuple.__class_getitem__(fact)  # a dataclass itself takes no settings
    adapter = TypeAdapter[Any](alone, config=TELLING)
    schema = adapter.json_schema(mode="serialization")
    parts = schema["$defs"]
    own = parts.pop(fact.__name__)
    return {**({"$defs": parts} if parts else {}), **own}
