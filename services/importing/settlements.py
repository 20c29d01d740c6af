"""A gateway's settlement report, or a bank's statement, as commands: a verdict for each row.

Invariant: what a command is called follows from what it is about, so that a file, or another one that has
the same rows, may be imported again: what was decided is not sent twice, and a line counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events import ids
from gateways.settlements import FORMATS, Line, Payout, Report, Unreadable
from services.commands import TYPES, Actor, decode, encode
from services.errors import Undecodable
from services.importing.sending import Planned, Sender, chunks, said, said_before
from services.payouts.payout import case_id, home_of, line_id, payout_id
from services.payouts.reporting import (
    CloseSettlementReport,
    OpenSettlementReport,
    RecordPayoutLine,
    ReportPayout,
)
from services.store.protocol import Store

__all__ = ["File", "Imported", "Payout", "Run", "import_file", "read"]

Verdict = dict[str, Any]
"""`{row?, payout?, line?, status, code?, message?}`: ACCEPTED, REJECTED, PARKED or UNREADABLE."""


@dataclass
class Imported:
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    decided_before: int = 0

    def count(self, status: str) -> int:
        return sum(verdict["status"] == status for verdict in self.verdicts)

    @property
    def problems(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict["status"] != "ACCEPTED" or "shown" in verdict]


@dataclass(frozen=True)
class File:
    """A settlement report as it was read."""

    gateway_id: str
    format: str
    source: str
    digest: str
    report: Report

    @property
    def report_id(self) -> str:
        return ids.part_id(f"{self.gateway_id}/{self.digest}", "settlement report")

    @property
    def payouts(self) -> list[str]:
        return [payout_id(self.gateway_id, payout.payout_ref) for payout in self.report.payouts]


def read(path: Path, gateway_id: str, format: str) -> File:
    """Raises `ValueError` where it is no such report, `OSError` where it cannot be opened."""
    if format not in FORMATS:
        raise ValueError(f"no report is read in the form of {format}: known are {', '.join(FORMATS)}")
    raw = path.read_bytes()
    digest, report = hashlib.sha256(raw).hexdigest(), FORMATS[format](raw.decode("utf-8", "replace"))
    return File(gateway_id, format, path.name[:200], digest, report)


async def import_file(
    file: File,
    store: Store,
    sender: Sender,
    tenant: str,
    actor: Actor,
    progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """The job, its payouts, then their lines, in chunks; and last, how it went."""
    run = Run(store, sender, tenant, actor)
    home, report, imported = home_of(file.gateway_id), file.report, Imported()
    key = f"settlement:{file.report_id}"
    opened = OpenSettlementReport(
        file.report_id,
        file.gateway_id,
        file.format,
        file.source,
        file.digest,
        len(report.lines) + len(report.unreadable),
        len(report.unreadable),
    )
    (begun,) = await run.decide([Planned(opened, home, f"{key}:open")])
    if begun["status"] != "ACCEPTED":
        imported.verdicts.append({"report": file.report_id, **begun})
        return imported
    payouts = [
        Planned(
            ReportPayout(
                file.gateway_id, one.payout_ref, one.amount, one.lines, one.arrives_on, file.report_id
            ),
            home,
            f"{key}:payout:{payout_id(file.gateway_id, one.payout_ref)}",
        )
        for one in report.payouts
    ]
    told = await run.decide(payouts)
    named = [{"payout": one.payout_ref, **verdict} for one, verdict in zip(report.payouts, told, strict=True)]
    imported.verdicts += [verdict for verdict in named if verdict["status"] != "ACCEPTED"]
    for part in chunks(report.lines):
        verdicts = await run.decide(
            [Planned(_line(file.gateway_id, one), home, _key(file, one)) for one in part]
        )
        imported.verdicts += [_told(file, one, verdict) for one, verdict in zip(part, verdicts, strict=True)]
        progress(len(imported.verdicts))
    imported.verdicts += map(_unreadable, report.unreadable)
    imported.decided_before = run.decided_before
    rejected = imported.count("REJECTED") + imported.count("PARKED")
    counts = imported.count("ACCEPTED"), rejected, len(report.unreadable)
    closed = CloseSettlementReport(file.report_id, file.gateway_id, *counts)
    await run.decide([Planned(closed, home, f"{key}:close:{counts}")])
    return imported


def _line(gateway_id: str, line: Line) -> RecordPayoutLine:
    return RecordPayoutLine(
        gateway_id,
        line.payout_ref,
        line.line_ref,
        line.type,  # type: ignore[arg-type]
        line.gross,
        line.fee,
        line.net,
        line.charged,
        line.gateway_ref,
        line.original_ref,
        line.merchant_reference,
        line.raw_type,
        line.happened_at,
    )


def _key(file: File, line: Line) -> str:
    return f"payoutline:{line_id(file.gateway_id, line.payout_ref, line.line_ref)}"


def _told(file: File, line: Line, verdict: Verdict) -> Verdict:
    """With `shown`, where a person must look at the line."""
    streams, named = verdict.pop("streams", {}), line_id(file.gateway_id, line.payout_ref, line.line_ref)
    unmatched = any(stream.endswith(f"/exception-{case_id(named)}") for stream in streams)
    shown = {"shown": "PAYOUT_LINE_UNMATCHED"} if unmatched else {}
    return {"row": line.row, "payout": line.payout_ref, "line": line.line_ref, **verdict, **shown}


def _unreadable(row: Unreadable) -> Verdict:
    return {"row": row.row, "status": "UNREADABLE", "message": row.reason}


class Run:
    """Sends what is not decided yet, and tells what became of each."""

    def __init__(self, store: Store, sender: Sender, tenant: str, actor: Actor) -> None:
        self._store, self._sender, self._tenant, self._actor = store, sender, tenant, actor
        self.decided_before = 0

    async def decide(self, planned: Sequence[Planned]) -> list[Verdict]:
        identities = [self._identity(one) for one in planned]
        known = await self._store.verdicts([id for id, _, why in identities if not why])
        known = {id: verdict for id, verdict in known.items() if verdict.status != "PARKED"}
        fresh = [
            one for one, (id, _, why) in zip(planned, identities, strict=True) if not why and id not in known
        ]
        told = iter(await self._sender.send_all(fresh))
        self.decided_before += len(known)
        return [
            {"status": "REJECTED", "code": "MALFORMED_REQUEST", "message": why}
            if why
            else said_before(known[id], fingerprint, "it was imported before, with other content")
            if id in known
            else said(next(told))
            for id, fingerprint, why in identities
        ]

    def _identity(self, one: Planned) -> tuple[Any, bytes, str]:
        """As the door will decode it: its id, its fingerprint; or why nobody could answer it."""
        type, body = encode(
            one.command,
            tenant=self._tenant,
            account_id=one.account_id,
            actor=self._actor,
            idempotency_key=one.key,
        )
        try:
            command = decode(type, body)
        except Undecodable as undecodable:
            return (
                ids.command_id(self._tenant, TYPES[one.command.__class__], one.key),
                b"",
                undecodable.reason,
            )
        return command.command_id, command.fingerprint, ""
