"""Imports point one way, and what decides touches nothing outside: held over the syntax tree.

events <- gateways (protocol) <- services subjects and processes <- the shell <- what joins it
events <- projections <- the shell
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("events", "gateways", "projections", "services")

SHELL = {
    "attempt", "bench", "bootstrap", "bus", "cache", "cli", "clock", "deciding", "demo", "documents", "door",
    "embedded", "handler", "hearing", "hindsight", "http", "importing", "intake", "keys", "lease",
    "loading", "moving_time", "opening", "outbox", "prepare", "previewing", "process_runner", "relay",
    "roles", "running", "selecting", "settings", "signing_in", "states", "store", "unparking", "watching",
    "workers",
}  # fmt: skip
SHELL |= {"forecasting"}
"""Of `services`: what carries decisions out. Every other module there decides, and is pure."""

JOINS = {"services.bench", "services.bootstrap", "services.cli", "services.demo", "services.watching.doctor"}
JOINS |= {"services.prepare", "services.running.stack", "services.roles"}
"""Programs, and the one place where things are joined: nothing else may know how they are."""

OURS_OF = {
    "events": ("events",),
    "gateways": ("events", "gateways"),
    "projections": ("events", "projections"),
    "decisions": ("events", "gateways.protocol", "gateways.codes", "decisions"),
    "shell": ("events", "gateways", "projections", "decisions", "shell"),
    "joins": ("events", "gateways", "projections", "decisions", "shell", "joins"),
}
"""Of each layer: what of ours it may import."""

ALSO = {
    "services.calls.work": (
        "services.store.protocol",
    ),  # which rows of work a fact makes: the shapes of the rows
    "services.answers": ("services.store.protocol",),  # what the verdicts of a batch say: the same shapes
    "services.messages": ("services.store.protocol",),  # which message a row becomes: the same shapes
}

COMPUTES = {
    "__future__", "abc", "bisect", "calendar", "collections", "copy", "dataclasses", "datetime", "decimal",
    "enum", "fnmatch", "fractions", "functools", "graphlib", "hashlib", "heapq", "ipaddress", "itertools",
    "json", "math", "operator", "re", "string", "types", "typing", "unicodedata", "uuid", "zoneinfo",
    "annotated_types", "base64", "cryptography", "dateutil", "eventsourcing", "holidays", "msgspec", "orjson",
    "pydantic", "pydantic_core", "typing_extensions",
}  # fmt: skip
"""Libraries that only compute: all that a pure module may import besides ours."""

WHY_NOT = {
    "asyncio": "waiting is the shell's: a decision is asked and answers",
    "importlib": "what is loaded must not depend on where it runs",
    "logging": "what is worth saying is a fact; the shell says it",
    "os": "the environment belongs to the settings",
    "pathlib": "files belong to the shell",
    "random": "chance is an argument, so that a simulation repeats by its seed",
    "secrets": "chance is an argument, so that a simulation repeats by its seed",
    "socket": "the outside is reached by the shell, after the fact is recorded",
    "sys": "the process belongs to the shell",
    "threading": "one worker decides one batch: there is nothing to lock",
    "time": "time is an argument, so that months pass in milliseconds in a test",
}

CALLS = {
    "datetime.now": WHY_NOT["time"],
    "datetime.today": WHY_NOT["time"],
    "datetime.utcnow": WHY_NOT["time"],
    "date.today": WHY_NOT["time"],
    "uuid1": "ids are an argument or made from what is known (uuid5)",
    "uuid4": "ids are an argument or made from what is known (uuid5)",
    "uuid6": "ids are an argument or made from what is known (uuid5)",
    "uuid7": "ids are an argument or made from what is known (uuid5)",
    "open": WHY_NOT["pathlib"],
    "input": "nobody sits at a decision",
    "print": WHY_NOT["logging"],
}

CLOCKLESS = {name: WHY_NOT[name] for name in ("random", "secrets", "socket", "time")}
"""What projections may not import: they wait and load their statements, but are rebuilt to the same rows."""


def layer_of(module: str) -> str:
    package, _, rest = module.partition(".")
    if package != "services":
        return package
    if module in JOINS or any(module.startswith(f"{joins}.") for joins in JOINS):
        return "joins"
    return "shell" if rest.split(".")[0] in SHELL else "decisions"


def is_pure(module: str) -> bool:
    return layer_of(module) in ("events", "decisions") or module in ("gateways.protocol", "gateways.codes")


def violations(module: str, source: str) -> list[str]:
    """What breaks a rule in this module, each with its line and its reason."""
    tree = ast.parse(source)
    return [*_wrong_imports(module, tree), *_wrong_calls(module, tree)]


def _wrong_imports(module: str, tree: ast.Module) -> Iterator[str]:
    for line, imported in _imports(module, tree):
        if imported.split(".")[0] in PACKAGES:
            if not _may_import(module, imported):
                yield f"{module}:{line}: {layer_of(module)} may not import {imported}: imports point one way"
        elif reason := _why_not(module, imported.split(".")[0]):
            yield f"{module}:{line}: {imported}: {reason}"


def _imports(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, _named(source, name.name)) for name in node.names)


def _named(source: str, name: str) -> str:
    """`from services.refunds import refund` imports the module `services.refunds.refund`."""
    return f"{source}.{name}" if (ROOT.joinpath(*source.split("."))).is_dir() else source


def _may_import(module: str, imported: str) -> bool:
    if imported in ALSO.get(module, ()):
        return True
    allowed = OURS_OF[layer_of(module)]
    return layer_of(imported) in allowed or imported in allowed


def _why_not(module: str, library: str) -> str | None:
    if is_pure(module) and library not in COMPUTES:
        return WHY_NOT.get(library, "it does more than compute")
    return CLOCKLESS.get(library) if layer_of(module) == "projections" else None


def _wrong_calls(module: str, tree: ast.Module) -> Iterator[str]:
    if not is_pure(module) and layer_of(module) != "projections":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            for forbidden, reason in CALLS.items():
                if called == forbidden or called.endswith(f".{forbidden}"):
                    yield f"{module}:{node.lineno}: {called}(): {reason}"


def _modules() -> dict[str, Path]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


@pytest.mark.parametrize("module", sorted(_modules()))
def test_a_module_keeps_to_its_layer(module: str) -> None:
    assert violations(module, _modules()[module].read_text()) == []


def test_every_name_of_the_shell_is_known_to_be_shell_and_not_pure() -> None:
    assert {layer_of(f"services.{name}") for name in SHELL} == {"shell", "joins"}
    assert not any(is_pure(f"services.{name}") for name in SHELL)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("events.money", "from services.refunds.refund import Refund"),
        ("events.money", "def late():\n    import services"),
        ("events", "from projections import balances"),
        ("gateways.protocol", "from services.calls import calling"),
        ("gateways.simulator.adapter", "from services.store.protocol import Store"),
        ("projections.balances", "from services.invoices.invoice import Invoice"),
        ("projections.balances", "from gateways import protocol"),
        ("services.refunds.refund", "from services import handler"),
        ("services.refunds.refund", "from services.store.postgres import PostgresStore"),
        ("services.refunds.refund", "from services.store.protocol import Store"),
        ("services.refunds.refund", "from ..clock import SystemClock"),
        ("services.refunds.refund", "from gateways.simulator import adapter"),
        ("services.refunds.refund", "from gateways import registry"),
        ("services.processes.refunding", "from services.http import problems"),
        ("services.processes.refunding", "from ..relay import Relay"),
        ("services.relay", "from services import bootstrap"),
        ("services.http.sending", "from services.bootstrap import join"),
    ],
)
def test_an_import_against_the_direction_is_found(module: str, source: str) -> None:
    assert [found for found in violations(module, source) if "imports point one way" in found]


@pytest.mark.parametrize("library", [*WHY_NOT, "asyncpg", "httpx", "starlette.requests", "os.path"])
@pytest.mark.parametrize(
    "module", ["events.money", "services.refunds.refund", "services.processes.x", "gateways.protocol"]
)
def test_a_pure_module_with_a_library_that_reaches_outside_is_found(module: str, library: str) -> None:
    assert violations(module, f"import {library}")
    assert violations(module, f"def late():\n    from {library} import something")


@pytest.mark.parametrize(
    "call",
    ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "uuid4()", "uuid.uuid4()", "print(1)",
     "open('x')"],
)  # fmt: skip
@pytest.mark.parametrize("module", ["events.money", "services.refunds.refund", "projections.balances"])
def test_a_call_for_time_chance_or_a_file_is_found(module: str, call: str) -> None:
    (found,) = violations(module, f"x = 1\ny = {call}\n")
    assert found.startswith(f"{module}:2: ")


@pytest.mark.parametrize("library", CLOCKLESS)
def test_a_projection_with_a_clock_chance_or_a_socket_is_found(library: str) -> None:
    assert violations("projections.balances", f"import {library}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "services.refunds.refund",
            "from datetime import datetime\nfrom services.refunds import refunding\nnow()",
        ),
        ("services.refunds.refund", "from gateways.codes import Approved\nfrom gateways import protocol"),
        ("services.calls.work", "from services.store.protocol import WorkDue"),
        (
            "services.relay",
            "import asyncio\nfrom projections import runner\nimport services.refunds.refund",
        ),
        ("services.cli", "from services import bootstrap"),
        ("projections.runner", "import asyncio\nfrom events.log import Recorded"),
        ("gateways.simulator.server", "import time\nfrom gateways.protocol import Gateway"),
    ],
)
def test_what_keeps_the_rules_is_left_alone(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_every_pure_module_and_projection_is_checked_strictly() -> None:
    strict = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]["strict"]
    held = {ROOT / entry for entry in strict}
    files = [file for module, file in _modules().items() if is_pure(module) or _is_typed(module, file)]
    loose = [file for file in files if file.read_text() and not {file, *file.parents} & held]
    assert loose == []
    assert [entry for entry in held if not entry.exists()] == []


def _is_typed(module: str, file: Path) -> bool:
    """A projection that does not talk to the database: its driver ships no types."""
    imported = {name for _, name in _imports(module, ast.parse(file.read_text()))}
    return module.startswith("projections.") and not imported & {"asyncpg", "projections.rows"}
