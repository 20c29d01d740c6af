"""`tender gateways …`: which adapters are installed, and whether one does what every adapter must."""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App

from gateways.conformance import CHECKS, Result, rig, rigs, run_check
from gateways.conformance.rigs import UnknownRig
from gateways.registry import names
from services.cli.output import Output, console, errors, show

gateways = App(name="gateways", help="Adapters of payment gateways, and the checks that each must pass.")


@gateways.command(name="list")
def list_adapters(*, output: Output = "table") -> None:
    """Adapters that are installed, and whether they bring what it takes to check them."""
    checked = set(rigs())
    show([{"adapter": name, "can_be_checked": name in checked} for name in names()], output)


@gateways.command
def checks(*, output: Output = "table") -> None:
    """What every adapter must do, and why."""
    show([{"id": one.id, "check": one.sentence, "because": one.reason} for one in CHECKS], output)


@gateways.command
def check(adapter: str, *only: str, output: Output = "table") -> None:
    """Run the conformance kit on an adapter; ends with 1 where it fails.

    ADAPTER is the name of a rig's entry point, or `package.module:Class`.  ONLY are beginnings of ids, such
    as NET, or INQ-6.
    """
    try:
        of = rig(adapter)
    except UnknownRig as unknown:
        errors.print(f"[red]{unknown}[/red]")
        sys.exit(2)
    told: list[Result] = []
    for one in CHECKS:
        if not only or one.id.startswith(only):
            told.append(run_check(one, of))
    show([_row(each) for each in told if output == "json" or each.verdict != "passed"], output)
    counts = {verdict: sum(each.verdict == verdict for each in told) for verdict in VERDICTS}
    if output == "table":
        console.print(f"{adapter}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if counts["failed"] or not told:
        sys.exit(1)


VERDICTS = ("passed", "failed", "not applicable")


def _row(told: Result) -> dict[str, Any]:
    return {
        "id": told.check.id,
        "verdict": told.verdict,
        "check": told.check.sentence,
        "detail": told.detail,
    }
