"""The language as a page: every command and every event, with what it says of itself.

It is made from the code and committed beside the contracts; the same test compares it.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping

from events.catalog import FACTS
from events.glossary import GLOSSARY
from services.commands import COMMANDS


def page() -> str:
    return "\n".join(_lines()) + "\n"


def subject_of(type: str) -> str:
    """What a command or an event is about: `invoice` of `payments.invoice.post.v1`."""
    return type.removeprefix("payments.").partition(".")[0]


def summary(spoken: type[object]) -> str:
    """The first paragraph of what it says of itself."""
    return " ".join((inspect.getdoc(spoken) or "").split("\n\n")[0].split())


def _lines() -> Iterator[str]:
    commands = _by_subject({type: known.cls for type, known in COMMANDS.items()})
    facts = _by_subject({f"payments.{topic}": fact for topic, fact in FACTS.items()})
    yield "# The language"
    yield ""
    yield "Made from the code by `tender contracts`; do not edit."
    yield ""
    yield f"{len(COMMANDS)} commands, which ask, and {len(FACTS)} events, which say what happened; each name"
    yield "leads to its JSON Schema. A command goes to the topic `payments.commands.v1`, with its name in the"
    yield "header `ce_type`, or to `POST /v1/commands/{name}`; events come on `payments.events.v1`."
    yield ""
    yield "What a field is, its schema says; [what most fields of a name are](#fields) stands at the end."
    for subject in sorted(commands.keys() | facts.keys()):
        yield ""
        yield f"## {subject.replace('_', ' ')}"
        yield from _table("command", "commands", commands.get(subject, {}))
        yield from _table("event", "events", facts.get(subject, {}))
    yield from _glossary()


def _by_subject(spoken: Mapping[str, type[object]]) -> dict[str, dict[str, type[object]]]:
    found = defaultdict[str, dict[str, type[object]]](dict)
    for name in sorted(spoken):
        found[subject_of(name)][name] = spoken[name]
    return found


def _table(head: str, folder: str, spoken: Mapping[str, type[object]]) -> Iterator[str]:
    if not spoken:
        return
    yield ""
    yield f"| {head} | what it says |"
    yield "|---|---|"
    for name, cls in spoken.items():
        file = name if folder == "commands" else name.removeprefix("payments.")
        yield f"| [`{name}`]({folder}/{file}.json) | {summary(cls).replace('|', '/')} |"


def _glossary() -> Iterator[str]:
    yield ""
    yield "## fields"
    yield ""
    yield "What a field is, wherever the command or the event that has it says nothing else of it."
    yield ""
    yield "| field | what it is |"
    yield "|---|---|"
    for name, text in GLOSSARY.items():
        yield f"| `{name}` | {text.replace('|', '/')} |"
