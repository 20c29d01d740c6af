"""JSON Schemas of what is sent and what is told, with what the code says of each field.

A field is described by the docstring below it; one that has none, by the glossary of the language.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DataclassSchema

from events.glossary import GLOSSARY
from services.commands import CommandType

REFERENCE = "#/$defs/{model}"


class Telling(GenerateJsonSchema):
    """Pydantic could read docstrings, too; but none of what a class builds on, and for each class it reads
    its file again: seconds, where all are described."""

    def dataclass_schema(self, schema: DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        own = said(schema["cls"])
        for name, part in made.get("properties", {}).items():
            if text := own.get(name) or GLOSSARY.get(name):
                part["description"] = text
        return made


def of_command(known: CommandType, reference: str = REFERENCE) -> dict[str, Any]:
    """Of the whole record: the command with who sends it, and whose it is."""
    return known.adapter.json_schema(ref_template=reference, schema_generator=Telling)


def of_fact(fact: type[Any]) -> dict[str, Any]:
    """Of an event's data, which later versions may add to."""
    return TypeAdapter[Any](fact).json_schema(mode="serialization", schema_generator=Telling)


def said(cls: type[Any]) -> dict[str, str]:
    """What a class says of its fields, and those that it builds on say of theirs."""
    return {name: text for each in reversed(cls.__mro__) for name, text in _own(each).items()}


def _own(cls: type[Any]) -> dict[str, str]:
    return _docstrings(cls.__module__).get(cls.__qualname__, {}) if cls.__module__ != "builtins" else {}


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Of the fields of each class at a module's top."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {each.name: dict(_documented(each.body)) for each in tree.body if isinstance(each, ast.ClassDef)}


def _documented(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
            case _:
                pass
