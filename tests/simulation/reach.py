"""What the seeds together must reach: read from the product's own source, so that nothing is forgotten.

A state, a fact or a code that the journey's decisions know, and that no seed ever reaches, fails the
suite; what a simulation cannot reach is named here, with the reason.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from events.catalog import FACTS, TOPICS
from services import commands, handler
from services.calls.gateway import Gateway, RestrictGateway
from services.errors import STATUS
from services.invoices.invoice import Invoice
from services.orchestrations import orchestration
from services.orchestrations.orchestration import RefundOrchestration
from services.schedules.schedule import PaymentSchedule
from services.subjects import EVOLVE, RULES
from tests.simulation.watch import Told

FAULTS = frozenset(
    "store lost before|store lost after|rows lost before|rows lost after|publish failed|answer failed|"
    "record duplicated|record on another partition|partition delayed|records read again|no command at all|"
    "gateway answer lost|inquiry lost|inquiries lost for long|broker came back empty|rebalance|"
    "notification lost|notification told again|notification late|notification forged|"
    "notification of a stranger|notification asked for again|"
    "review decided|declined, then executed|executed, then said to be declined|"
    "worker killed|relay killed|processes killed|selector killed|gateway killed|projector killed".split("|")
)

UNREACHED: dict[str, str] = {
    "gateway_call.resolution_proposed.v1": "a doubt that people decide comes once in five seeds, and "
    "above the threshold once in a hundred: unit tests",
    "PARKED": "nothing here poisons a command: one that were parked fails its seed",
}
"""Codes, states and facts of the journey that no seed can reach, and why."""


def missing(told: Told) -> list[str]:
    """What was wanted and never happened."""
    wanted = (
        ("fault", FAULTS, told.faults),
        ("state", states(), told.states),
        ("rejection", rejections(), told.rejections),
        ("fact", facts(), told.facts),
    )
    return [
        f"{what} {name}"
        for what, names, reached in wanted
        for name in sorted(names)
        if not reached[name] and name not in UNREACHED
    ]


@cache
def states() -> frozenset[str]:
    """`{kind} {status}` of every subject, and `leg {status}`: what its folding can make of it."""
    found: set[str] = set()
    for state, evolve in EVOLVE.items():
        parameter = next(iter(inspect.signature(evolve).parameters))
        for owner, status in _assigned(sys.modules[evolve.__module__]):
            if owner == parameter:
                found |= {f"{state.KIND} {one}" for one in _values(state, status)}
            elif state is RefundOrchestration:
                found |= {f"leg {one}" for one in _values(state, status)}
    settlement = ("NOT_SETTLED", "PARTIALLY_SETTLED", "SETTLED", "NOT_APPLICABLE")
    return frozenset(found | {f"{Invoice.KIND} {status}" for status in settlement})


_FROM_FACTS: dict[type[Any], Iterable[str]] = {
    RefundOrchestration: orchestration.ENDED - {"CANCELED", "FAILED"},
    Gateway: get_args(get_type_hints(RestrictGateway)["status"]),
    PaymentSchedule: ("DRAFT", "OPEN"),
}
"""Statuses that a fact carries: what its maker can put there."""


def _values(state: type[Any], status: ast.expr) -> Iterable[str]:
    match status:
        case ast.Constant(str(value)):
            return [value]
        case ast.IfExp():
            return [*_values(state, status.body), *_values(state, status.orelse)]
        case ast.Subscript():
            return sys.modules[state.__module__]._STATUS_AFTER.values()
        case ast.Attribute(ast.Name("event")):
            return _FROM_FACTS[state]
        case _:
            return []  # as it was


def _assigned(module: ModuleType) -> Iterator[tuple[str, ast.expr]]:
    """Every `owner.status = value` in a module: the owner's name (or none), and the value."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            pairs = (
                list(zip(target.elts, value.elts, strict=True))
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            for place, given in pairs:
                if isinstance(place, ast.Attribute) and place.attr == "status":
                    yield place.value.id if isinstance(place.value, ast.Name) else "", given


@cache
def rejections() -> frozenset[str]:
    """Every code of the catalogue that the decisions of the journey name."""
    found: set[str] = set()
    for module in _decisions():
        for node in ast.walk(_tree(module)):
            if isinstance(node, ast.Constant) and node.value in STATUS:
                found.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found |= set(_of_helper(node))
    return frozenset(found)


def _of_helper(call: ast.Call) -> Iterable[str]:
    match call.func:
        case ast.Name("not_found") if isinstance(call.args[0], ast.Constant):
            return [f"{call.args[0].value}_NOT_FOUND"]
        case ast.Name("invalid_state"):
            return ["INVALID_STATE"]
        case ast.Name("currency_mismatch"):
            return ["CURRENCY_MISMATCH"]
        case _:
            return []


@cache
def facts() -> frozenset[str]:
    """The topic of every fact that the journey's decisions make."""
    classes = {cls.__name__: topic for cls, topic in TOPICS.items() if topic in FACTS}
    return frozenset(
        classes[node.id]
        for module in _decisions()
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Name) and node.id in classes and not _is_pattern(module, node)
    )


def _is_pattern(module: ModuleType, name: ast.Name) -> bool:
    return id(name) in _patterns(module)


@cache
def _patterns(module: ModuleType) -> frozenset[int]:
    """Names that a fact is compared with, rather than made of: cases, and the keys of tables."""
    found: set[int] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.MatchClass):
            found.add(id(node.cls))
        elif isinstance(node, ast.Dict):
            found |= {id(key) for key in node.keys}
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            found |= {id(name) for name in ast.walk(node.annotation)}
        elif isinstance(node, ast.FunctionDef) and node.returns:
            found |= {id(name) for name in ast.walk(node.returns)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            found |= {id(name) for name in ast.walk(node.args[1])}
    return frozenset(found)


@cache
def _decisions() -> tuple[ModuleType, ...]:
    """The modules of the journey's decisions with all of ours that they use; the envelope's, too."""
    found: dict[str, ModuleType] = {}
    waiting = {rule.decide.__module__ for rule in RULES.values()} | {commands.__name__}
    while waiting:
        name = waiting.pop()
        found[name] = sys.modules[name]
        waiting |= set(_used(sys.modules[name])) - found.keys()
    del found["services.errors"]
    return (*found.values(), handler)


def _used(module: ModuleType) -> Iterator[str]:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("services"):
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names = (name for name in (node.module, *parts) if name.startswith("services."))
            yield from (name for name in names if name in sys.modules)


@cache
def _tree(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text())
