"""The contracts, from the code: JSON Schemas of every command and event, AsyncAPI and OpenAPI documents.

They are committed under `events/contracts/`; a test makes them anew and compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

import events
import services.subjects
from events.catalog import FACTS
from services.commands import COMMANDS
from services.documents import codes, data_model, language, parity, permissions_page, schemas
from services.http.openapi import openapi

CONTRACTS = Path(events.__file__).parent / "contracts"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

assert services.subjects.SUBJECTS, "importing the subjects enters their commands"


def documents() -> Iterator[tuple[str, bytes]]:
    """Every contract file by its path below `events/contracts/`, and its bytes."""
    for type, known in sorted(COMMANDS.items()):
        yield f"commands/{type}.json", _json(_titled(schemas.of_command(known), type, known.cls))
    for topic, fact in sorted(FACTS.items()):
        yield f"events/{topic}.json", _json(_titled(schemas.of_fact(fact), f"payments.{topic}", fact))
    yield "asyncapi.json", _json(asyncapi())
    yield "openapi.json", _json(openapi())
    yield "language.md", language.page().encode()
    yield "data-model.md", data_model.page().encode()
    yield "permissions.md", permissions_page.page().encode()
    yield "codes.md", codes.page().encode()
    yield "parity.md", parity.page().encode()


def files(root: Path = CONTRACTS) -> set[Path]:
    """What is committed now."""
    return {path for path in root.rglob("*") if path.suffix in (".json", ".md")}


def write(root: Path = CONTRACTS) -> int:
    """Write every contract, remove the files of contracts that are gone; how many there are."""
    written = {root / path: content for path, content in documents()}
    for stale in files(root) - set(written):
        stale.unlink()
    for path, content in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(written)


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0: the four topics, what travels on each, and who sends it."""
    messages = {
        **{type: _message(type, f"./commands/{type}.json", _COMMAND_HEADERS) for type in sorted(COMMANDS)},
        **{
            f"payments.{topic}": _message(f"payments.{topic}", f"./events/{topic}.json", _EVENT_HEADERS)
            for topic in sorted(FACTS)
        },
        "payments.command.result.v1": _message("payments.command.result.v1", None, _COMMAND_HEADERS, _RESULT),
    }
    commands = _channel(
        "payments.commands.v1", "Commands, under the key {tenant}/{account_id}.", sorted(COMMANDS)
    )
    facts = _channel(
        "payments.events.v1",
        "Every event, in the order of its account; at least once.",
        [f"payments.{topic}" for topic in sorted(FACTS)],
    )
    results = _channel(
        "payments.command-results.v1",
        "What became of each command: accepted, rejected with a code, or parked.",
        ["payments.command.result.v1"],
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tender",
            "version": "1.0.0",
            "description": "Payments and refunds: commands in, events out. CloudEvents 1.0, binary mode.",
        },
        "defaultContentType": "application/json",
        "channels": {"commands": commands, "events": facts, "results": results},
        "operations": {
            "decide": {"action": "receive", "channel": {"$ref": "#/channels/commands"}},
            "publish": {"action": "send", "channel": {"$ref": "#/channels/events"}},
            "answer": {"action": "send", "channel": {"$ref": "#/channels/results"}},
        },
        "components": {"messages": messages},
    }


_TEXT = {"type": "string"}
_COMMAND_HEADERS = {
    "type": "object",
    "required": ["ce_type"],
    "properties": dict.fromkeys(
        (
            "ce_id",
            "ce_type",
            "ce_source",
            "ce_time",
            "partitionkey",
            "correlationid",
            "causationid",
            "traceparent",
        ),
        _TEXT,
    ),
}
_EVENT_HEADERS = {
    "type": "object",
    "required": [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_subject",
        "partitionkey",
        "position",
        "version",
    ],
    "properties": {
        **_COMMAND_HEADERS["properties"],
        "ce_specversion": {"const": "1.0"},
        "ce_subject": _TEXT,
        "position": {"type": "string", "pattern": "^[0-9]+$"},
        "version": {"type": "string", "pattern": "^[0-9]+$"},
    },
}
_RESULT = {
    "type": "object",
    "required": ["command_id", "type", "status", "position"],
    "properties": {
        "command_id": {"type": "string", "format": "uuid"},
        "type": _TEXT,
        "status": {"enum": ["ACCEPTED", "REJECTED", "PARKED"]},
        "code": _TEXT,
        "message": _TEXT,
        "field": {"type": ["string", "null"]},
        "details": {"type": "object"},
        "streams": {"type": "object", "additionalProperties": {"type": "integer"}},
        "position": {"type": "integer"},
        "replayed": {"type": "boolean"},
    },
}


def _channel(address: str, description: str, types: list[str]) -> dict[str, Any]:
    messages = {type: {"$ref": f"#/components/messages/{type}"} for type in types}
    return {"address": address, "description": description, "messages": messages}


def _message(
    name: str, ref: str | None, headers: dict[str, Any], payload: dict[str, Any] | None = None
) -> dict[str, Any]:
    body = {"schemaFormat": f"application/schema+json;version={DIALECT}", "schema": payload or {"$ref": ref}}
    return {"name": name, "headers": headers, "payload": body}


def _titled(schema: dict[str, Any], id: str, cls: type[Any]) -> dict[str, Any]:
    """A test holds that each says what it is: what Python writes for want of it says nothing."""
    return {
        "$schema": DIALECT,
        "$id": id,
        "title": cls.__name__,
        "description": (cls.__doc__ or "").strip(),
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
