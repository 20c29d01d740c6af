"""The committed contracts are those of the code, and every version of every fact can still be read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter

import services.subjects
from events.catalog import FACTS, UPCASTERS
from events.glossary import GLOSSARY
from events.mapper import UnknownTopic, decode, encode, topic_of
from events.payment_method import PaymentMethodSaved
from services.commands import COMMANDS
from services.documents import contracts, schemas
from services.http.openapi import openapi

GOLDEN = Path(__file__).parent / "golden"


def test_the_committed_contracts_are_those_of_the_code() -> None:
    made = {contracts.CONTRACTS / path: content for path, content in contracts.documents()}
    committed = {path: path.read_bytes() for path in contracts.files()}
    stale = sorted(
        str(path.name) for path in made.keys() | committed.keys() if made.get(path) != committed.get(path)
    )
    assert stale == [], "run `tender contracts`"


def test_every_command_and_every_event_says_what_it_is() -> None:
    spoken = [*FACTS.values(), *(known.cls for known in COMMANDS.values())]
    made_up = [cls.__name__ for cls in spoken if (cls.__doc__ or "").startswith(f"{cls.__name__}(")]
    assert made_up == [], "a docstring is missing: what Python writes in its place says nothing"


@cache
def _described() -> Sequence[tuple[str, str, str | None]]:
    """Of each field of each command and each event, and of their parts: whose it is, its name, what it is."""
    return list(_descriptions())


def _descriptions() -> Iterator[tuple[str, str, str | None]]:
    commands = ((type, schemas.of_command(known)) for type, known in COMMANDS.items())
    facts = ((topic, schemas.of_fact(fact)) for topic, fact in FACTS.items())
    for name, schema in (*commands, *facts):
        for owner, part in ((name, schema), *schema.get("$defs", {}).items()):
            for field, said in part.get("properties", {}).items():
                yield owner, field, said.get("description")


def test_every_field_says_what_it_is() -> None:
    silent = sorted({f"{owner}.{field}" for owner, field, said in _described() if not said})
    assert silent == [], "write a docstring below it, or its name into events/glossary.py"


def test_every_word_of_the_glossary_is_that_of_a_field() -> None:
    told = {field for _, field, said in _described() if said == GLOSSARY.get(field)}
    assert sorted(GLOSSARY.keys() - told) == [], "no field has this name, or each says something of its own"
    assert list(GLOSSARY) == sorted(GLOSSARY)


def test_no_field_repeats_what_the_glossary_says_of_it() -> None:
    modules = {cls.__module__ for cls in (*FACTS.values(), *(known.cls for known in COMMANDS.values()))}
    repeated = sorted(
        f"{cls.__name__}.{field}"
        for module in modules
        for cls in vars(sys.modules[module]).values()
        if is_dataclass(cls) and isinstance(cls, type)
        for field, text in schemas.said(cls).items()
        if text == GLOSSARY.get(field)
    )
    assert repeated == []


def test_what_decides_and_answers_does_not_load_the_glossary() -> None:
    """It is for documents: the served description of HTTP is a file."""
    asked = "import sys; import services.running.stack; sys.exit('events.glossary' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False, timeout=60).returncode == 0


def test_asyncapi_names_every_command_and_every_event() -> None:
    channels = contracts.asyncapi()["channels"]
    assert set(channels["commands"]["messages"]) == set(COMMANDS)
    assert set(channels["events"]["messages"]) == {f"payments.{topic}" for topic in FACTS}


def test_openapi_is_valid_by_its_own_rules() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(openapi()).iter_errors()] == []


def test_openapi_has_a_path_for_every_command() -> None:
    paths = openapi()["paths"]
    assert {f"/v1/commands/{type}" for type in COMMANDS} <= paths.keys()


@pytest.mark.parametrize("topic", sorted(FACTS.keys() | UPCASTERS.keys()))
def test_a_golden_event_of_every_version_is_read(topic: str) -> None:
    """A file per topic, retired ones too; what it holds must be read for ever."""
    fact = decode(topic, (GOLDEN / f"{topic}.json").read_bytes())
    assert decode(topic_of(fact), encode(fact)) == fact


@pytest.mark.parametrize("topic", sorted(FACTS))
def test_what_is_written_today_is_what_the_golden_file_holds(topic: str) -> None:
    golden = (GOLDEN / f"{topic}.json").read_bytes()
    assert orjson.loads(encode(decode(topic, golden))) == orjson.loads(golden)


def test_a_retired_version_is_carried_over() -> None:
    saved = decode("payment_method.saved.v1", (GOLDEN / "payment_method.saved.v1.json").read_bytes())
    assert isinstance(saved, PaymentMethodSaved)
    assert (saved.owner_type, saved.usage, saved.token_ref) == ("ACCOUNT", "ON_SESSION", "tok_1")


def test_a_topic_of_a_newer_version_is_named() -> None:
    with pytest.raises(UnknownTopic, match=r"payment\.processed\.v99"):
        decode("payment.processed.v99", b"{}")


def test_every_command_is_decided_by_somebody() -> None:
    undecided = {known.cls for known in COMMANDS.values()} - set(services.subjects.RULES)
    assert {cls.__name__ for cls in undecided if cls.__module__.startswith("services.")} == set()


def test_schemas_are_valid_for_their_own_golden_events() -> None:
    for topic, fact in FACTS.items():
        assert TypeAdapter(fact).json_schema(mode="serialization")["type"] == "object", topic
