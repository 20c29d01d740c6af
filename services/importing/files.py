"""A file of invoices, in either form, as commands to send: in waves, since what refers to another invoice
goes after it; and whatever is no invoice, with its line and the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from events import ids
from services.commands import Actor, Command, decode, encode
from services.errors import Undecodable
from services.importing import posting
from services.importing.posting import Unreadable
from services.importing.sending import Planned
from services.invoices.posting import PostInvoice

WAVES_MAX = 50
"""Whoever refers to each other in a circle goes in the last wave, and is told so by its verdict."""


class Invoice(NamedTuple):
    external_id: str
    planned: Planned
    command: Command
    """As the door will decode it: its identity, and its fingerprint."""


@dataclass
class ToImport:
    waves: list[list[Invoice]] = field(default_factory=list[list[Invoice]])
    unreadable: list[Unreadable] = field(default_factory=list[Unreadable])


def read(path: Path, tenant: str, actor: Actor) -> ToImport:
    """Raises `ValueError` where the whole file is of no form that is known."""
    found, invoices = ToImport(), list[Invoice]()
    for one in _retail(path) if posting.is_retail(path) else _json_lines(path):
        if isinstance(one, Unreadable):
            found.unreadable.append(one)
            continue
        try:
            invoices.append(_invoice(one, tenant, actor))
        except Undecodable as undecodable:
            found.unreadable.append(Unreadable(0, f"{one.key}: {undecodable.reason}"))
    found.waves = _waves(invoices, tenant)
    return found


def _retail(path: Path) -> Iterable[Planned | Unreadable]:
    reading = posting.read_retail(path)
    yield from (Unreadable(row.number, row.reason) for row in reading.rejected)
    for invoice in reading.invoices:
        yield Planned(posting.of_retail(invoice), invoice.account_id, f"import:{invoice.invoice_no}")


def _json_lines(path: Path) -> Iterable[Planned | Unreadable]:
    with path.open("rb") as lines:
        yield from posting.from_json_lines(lines)


def _invoice(planned: Planned, tenant: str, actor: Actor) -> Invoice:
    """Decoded here as it will be at the door: nothing is sent that nobody could answer."""
    assert isinstance(planned.command, PostInvoice)
    type, body = encode(
        planned.command,
        tenant=tenant,
        account_id=planned.account_id,
        actor=actor,
        idempotency_key=planned.key,
    )
    return Invoice(planned.command.external_id, planned, decode(type, body))


def _waves(invoices: list[Invoice], tenant: str) -> list[list[Invoice]]:
    """Invoices that refer to none first, then those that refer to them, and so on."""
    wave_of = {ids.invoice_id(tenant, one.external_id): 0 for one in invoices}
    refers = {
        ids.invoice_id(tenant, one.external_id): tuple(_refers_to(one.planned.command, tenant))
        for one in invoices
    }
    for _ in range(WAVES_MAX):
        moved = {
            id: wave
            for id, to in refers.items()
            if (wave := 1 + max((wave_of.get(other, -1) for other in to), default=-1)) > wave_of[id]
        }
        if not moved:
            break
        wave_of |= moved
    waves: dict[int, list[Invoice]] = {}
    for one in invoices:
        waves.setdefault(wave_of[ids.invoice_id(tenant, one.external_id)], []).append(one)
    return [waves[wave] for wave in sorted(waves)]


def _refers_to(command: object, tenant: str) -> Iterable[str]:
    assert isinstance(command, PostInvoice)
    for invoice_id, external_id in (
        (command.original_invoice_id, command.original_external_id),
        *(
            (line.reference.invoice_id, line.reference.external_id)
            for line in command.lines
            if line.reference
        ),
    ):
        if invoice_id or external_id:
            yield invoice_id or ids.invoice_id(tenant, external_id or "")
