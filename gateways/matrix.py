"""What the shipped adapters can do: `python -m gateways.matrix` prints the table of `gateways/README.md`.

Made from the adapters' own capabilities, so it cannot say what the code does not.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

from events.gateway import Capabilities

SHIPPED = ("adyen", "gocardless", "simulator", "stripe")


def shipped() -> dict[str, Capabilities]:
    return {name: import_module(f"gateways.{name}.translation").CAPABILITIES for name in SHIPPED}


def table(of: Mapping[str, Capabilities]) -> str:
    """One row a capability, one column an adapter."""
    lines = [f"| | {' | '.join(of)} |", f"|---|{'---|' * len(of)}"]
    for row in _rows(next(iter(of.values()))):
        lines.append(f"| {row} | {' | '.join(_rows(each)[row] for each in of.values())} |")
    return "\n".join(lines)


def _rows(can: Capabilities) -> dict[str, str]:
    level3 = f"yes, {can.level3_max_lines or 'any number of'} lines" if can.level3 else "no"
    known = can.read_your_writes_seconds
    return {
        "operations": ", ".join(can.operations),
        "acknowledged first, told later": ", ".join(can.asynchronous) or "none",
        "idempotency keys kept (hours)": str(can.idempotency_key_hours) if can.idempotency else "no",
        "inquiry": _yes(can.query_by_reference),
        '"not found" means "not executed" after': "never" if known is None else f"{known} s",
        "partial capture": _yes(can.partial_capture),
        "several captures": _yes(can.multi_capture),
        "partial reversal": _yes(can.partial_reversal),
        "partial refund": _yes(can.partial_refund),
        "Level 2": _yes(can.level2),
        "Level 3": level3,
        "signed notifications": _yes(can.notifications),
        "currencies": ", ".join(can.currencies) or "all",
    }


def _yes(can: bool) -> str:
    return "yes" if can else "no"


if __name__ == "__main__":
    sys.stdout.write(table(shipped()) + "\n")
