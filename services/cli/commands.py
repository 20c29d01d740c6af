"""`tender commands`: what can be asked for, and what each command takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from textwrap import fill
from typing import Annotated, Any

import orjson
from cyclopts import Parameter

from services.access.permissions import short
from services.cli.output import Output, console, show, tell_json
from services.cli.sending import type_named
from services.commands import COMMANDS
from services.documents.language import summary
from services.documents.schemas import of_command
from services.subjects import RULES

Schema = dict[str, Any]


def commands(
    name: Annotated[
        str | None, Parameter(help="Of this one what it takes; else all, or those with this in their name.")
    ] = None,
    *,
    output: Output = "table",
) -> None:
    """What can be asked for, by `tender send`, over HTTP and on Kafka; of one command, what it takes.

    Examples:

        tender commands
        tender commands refund
        tender commands refund.issue
    """
    listed = [type for type in sorted(COMMANDS) if name is None or name in short(type)]
    exact = [type for type in listed if name in (type, short(type))]
    if listed and not exact:
        show(
            [{"command": short(type), "what it does": summary(COMMANDS[type].cls)} for type in listed], output
        )
        return
    type = type_named(name or "")
    schema = of_command(COMMANDS[type])
    if output == "json":
        tell_json(schema)
        return
    fields = list(_fields(schema, _data(schema)))
    console.print(f"[bold]{type}[/bold]\n{inspect.getdoc(COMMANDS[type].cls)}\n")
    show(fields, output)
    account = "" if RULES[COMMANDS[type].cls].home else " --account A-1"
    example = orjson.dumps(_example(schema, _data(schema))).decode()
    console.print(f"\ntender send {short(type)}{account} '{example}'", soft_wrap=True, highlight=False)


KIND_WIDTH = 26
"""Where there are many values they stand below each other, so that there is room for what they mean."""


def _data(schema: Schema) -> Schema:
    return _resolved(schema, schema["properties"]["data"])


def _resolved(schema: Schema, part: Schema) -> Schema:
    """What a reference stands for; of what may be null, what else it may be."""
    if "$ref" in part:
        return schema["$defs"][part["$ref"].rpartition("/")[2]]
    others = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(schema, others[0]) if len(others) == 1 else part


def _fields(schema: Schema, of: Schema, depth: int = 0) -> Iterator[Schema]:
    """Each field, and below it, farther in, those of its parts; money is one field."""
    required = of.get("required", ())
    for name, part in of.get("properties", {}).items():
        kind = _resolved(schema, part)
        many = _resolved(schema, kind["items"]) if kind.get("type") == "array" and "items" in kind else None
        yield {
            "field": f"{'  ' * depth}{name}{'[]' if many is not None else ''}",
            "kind": fill(_kind(many if many is not None else kind), KIND_WIDTH),
            "needed": True if name in required else None,
            "what it is": " ".join(part["description"].split()),
        }
        inner = many if many is not None else kind
        if inner.get("title") != "Money" and "properties" in inner:
            yield from _fields(schema, inner, depth + 1)


def _kind(part: Schema) -> str:
    if "enum" in part:
        return " | ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    if part.get("type") == "object":
        return "money" if part.get("title") == "Money" else "object"
    if part.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(one) for one in part["anyOf"] if one.get("type") != "null"))
    return part.get("format") or part.get("type", "any")


_PLACEHOLDERS = {"date": "2026-03-02", "date-time": "2026-03-02T09:00:00Z", "uuid": "…"}


def _example(schema: Schema, part: Schema) -> Any:
    """The least that it takes, with dots where words are missing."""
    kind = _resolved(schema, part)
    if kind.get("title") == "Money":
        return {"amount_minor": 1000, "currency": "USD"}
    if "enum" in kind:
        return kind["enum"][0]
    if "const" in kind:
        return kind["const"]
    match kind.get("type"):
        case "object":
            needed = kind.get("required", ())
            return {name: _example(schema, kind["properties"][name]) for name in needed}
        case "array":
            return [_example(schema, kind["items"])] if "items" in kind else []
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return _PLACEHOLDERS.get(kind.get("format", ""), "…")
