"""The permissions as a page: every role against every capability, and the commands of each.

It is made from the table that the handler asks, and committed beside the contracts; tests prove each cell.
"""

from __future__ import annotations

from collections.abc import Iterator

from projections.queries import QUERIES
from services.access.permissions import CAPABILITIES, CELLS, ROLES, Capability, Cell, capability_of, short
from services.commands import COMMANDS
from services.signing_in.seeing import HISTORY

ALSO = frozenset({"tenant-settings", "statement", "collections-forecast"})
"""What can be read besides read models and history."""

_CELLS = {
    "-": "nothing: it is denied",
    "W": "everything: its commands, and its read models",
    "R": "its read models, without gateways' own words",
    "R full": "its read models, with all that gateways have said",
    "R masked": "its read models, without gateways' words, tokens and references",
    "R (display)": "the same, as a person is shown a card",
    "R (no secrets)": "the same",
    "R own area": "facts of what its other cells let it read",
    "R own": "what is of its own accounts",
    "own": "everything, on its own accounts",
    "sale on own invoices": "`payment.process`, on its own accounts, and their payments",
    "open, pay": "open and pay, what is the account's own",
    "W (promises)": "its read models, and promises",
    "W (memo driven)": "its read models, and `refund.apply` for a credit memo",
    "W (second person above threshold)": "everything; above it, once a second person says the same",
    "post, void": "its read models, posting and voiding",
    "write off": "its read models, writing off",
}
_RULES = (
    "`SYSTEM` is Tender itself: processes, timers, gateway workers. `OPERATOR` runs it.",
    "",
    "Whoever asked for a refund cannot approve it. Sending a refund elsewhere than where its money came from",
    "needs the right to approve refunds. An actor with `accounts` sees and changes those only; payment data",
    "follows that where `share_payment_data_by_account` is on, saved methods not for who manages them.",
)

assert _CELLS.keys() == CELLS.keys()


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([*_head(), *_table(), *_meanings(), *_contents()]) + "\n"


def _head() -> Iterator[str]:
    yield "# Permissions"
    yield ""
    yield "Made from the code by `tender contracts`; do not edit. What no cell grants is denied."
    yield ""


def _table() -> Iterator[str]:
    yield f"| capability | {' | '.join(role.replace('_', ' ').lower() for role in ROLES)} |"
    yield f"|---{'|---' * len(ROLES)}|"
    for capability in CAPABILITIES:
        cells = (_shown(capability.cells[role]) for role in ROLES)
        yield f"| {capability.said} | {' | '.join(cells)} |"
    yield ""


def _shown(cell: Cell) -> str:
    return cell.said.replace("-", "\u2013")


def _meanings() -> Iterator[str]:
    yield "| cell | what it grants |"
    yield "|---|---|"
    for said, about in _CELLS.items():
        yield f"| {_shown(CELLS[said])} | {about} |"
    yield ""
    yield from _RULES
    yield ""


def _contents() -> Iterator[str]:
    yield "| capability | commands | read models |"
    yield "|---|---|---|"
    for capability in CAPABILITIES:
        yield f"| {capability.said} | {_listed(commands_of(capability))} | {_listed(_there(capability))} |"


def commands_of(capability: Capability) -> list[str]:
    return sorted(short(type) for type in COMMANDS if capability_of(type) is capability)


def _there(capability: Capability) -> list[str]:
    """Its read models, of those that there are."""
    return [name for name in capability.reads if name in QUERIES or name in HISTORY or name in ALSO]


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
