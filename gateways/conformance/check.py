"""Checks: each with an id, a sentence that an adapter makes true, and the reason why it must.

A check that asks for what an adapter does not declare is not applicable, and says why; it never passes
in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from events.gateway import Capabilities
from gateways.conformance.rig import Rig
from gateways.conformance.stand import Stand, stood

CHECK_SECONDS = 30.0

Verdict = Literal["passed", "failed", "not applicable"]
Need = Callable[[Rig, Capabilities], str | None]
"""Why a check does not apply; None: it does."""


@dataclass(frozen=True)
class Check:
    id: str
    sentence: str
    reason: str
    run: Callable[[Stand], Awaitable[None]]
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Result:
    check: Check
    verdict: Verdict
    detail: str = ""
    """What went wrong, or why the check does not apply."""


CHECKS: list[Check] = []


def check(
    id: str, sentence: str, reason: str, *needs: Need
) -> Callable[[Callable[[Stand], Awaitable[None]]], Callable[[Stand], Awaitable[None]]]:
    """Declare a check; it fails by an AssertionError."""

    def declared(run: Callable[[Stand], Awaitable[None]]) -> Callable[[Stand], Awaitable[None]]:
        assert all(known.id != id for known in CHECKS), f"two checks are called {id}"
        CHECKS.append(Check(id, sentence, reason, run, needs))
        return run

    return declared


def run_check(one: Check, rig: type[Rig]) -> Result:
    """One check on a stand of its own; the adapter, the pretend gateway and the loop are new each time."""
    return asyncio.run(_run(one, rig()))


def run_all(rig: type[Rig], only: Sequence[str] = ()) -> list[Result]:
    """Every check, or those whose ids begin with one of `only`."""
    return [run_check(one, rig) for one in CHECKS if not only or one.id.startswith(tuple(only))]


async def _run(one: Check, rig: Rig) -> Result:
    async with stood(rig) as stand:
        why_not = next((why for need in one.needs if (why := need(rig, stand.can))), None)
        if why_not:
            return Result(one, "not applicable", why_not)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await one.run(stand)
        except AssertionError as wrong:
            return Result(one, "failed", str(wrong) or "an assertion of the check does not hold")
        except TimeoutError:
            return Result(one, "failed", f"it did not end within {CHECK_SECONDS:.0f} seconds")
        except Exception as error:
            return Result(one, "failed", f"it raised {error!r}")
        if stand.server.broken:
            return Result(one, "failed", f"the rig raised {stand.server.broken[0]!r}")
        return Result(one, "passed")


# -- what checks ask for


def operations(*wanted: str) -> Need:
    def need(rig: Rig, can: Capabilities) -> str | None:
        missing = [each for each in wanted if each not in can.operations]
        return f"it does not declare {', '.join(missing)}" if missing else None

    return need


def declares(capability: str) -> Need:
    def need(rig: Rig, can: Capabilities) -> str | None:
        return None if getattr(can, capability) else f"it does not declare {capability}"

    return need


def charges(rig: Rig, can: Capabilities) -> str | None:
    """Something that takes money at once."""
    if "SALE" in can.operations or {"AUTHORIZE", "CAPTURE"} <= set(can.operations):
        return None
    return "it declares neither SALE nor AUTHORIZE and CAPTURE"


def fate(wanted: str) -> Need:
    def need(rig: Rig, can: Capabilities) -> str | None:
        return None if wanted in rig.charge_fates else f"the rig says that no charge here ends as {wanted}"

    return need


def holds(name: str) -> Need:
    def need(rig: Rig, can: Capabilities) -> str | None:
        return None if name in rig.secrets else f"its credential has no {name}"

    return need


def says(attribute: str, why_not: str) -> Need:
    def need(rig: Rig, can: Capabilities) -> str | None:
        return None if getattr(rig, attribute) else why_not

    return need
