"""`tender import`: a file of invoices, posted through Kafka, with a verdict for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
from cyclopts import Parameter

from events.log import RecordedVerdict
from services import bootstrap
from services.cli.output import Output, Step, console, progress, show, steps, tell_json
from services.cli.session import DataDir, Tenant, Trouble, Verdicts, attached_store, run, verdicts_beside
from services.commands import Actor
from services.importing import files
from services.importing.files import Invoice, ToImport
from services.importing.sending import Verdict, chunks, said, said_before, sender
from services.running import broker
from services.signing_in import joining
from services.store.postgres import PostgresStore

ACTOR = Actor("USER", "import", ("OPERATOR",))
SHOWN_MAX = 20

Line = dict[str, Any]
"""One line of the verdicts: `{invoice, status, …}`, or `{line, status: UNREADABLE, message}`."""


def import_file(
    file: Annotated[Path, Parameter(help="A retail CSV (*.csv), or JSON Lines of PostInvoice bodies.")],
    *,
    tenant: Tenant = "acme",
    verdicts: Verdicts = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Post every invoice of a file, through Kafka; 1 when any was not accepted.

    A CSV has the columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID and
    Country; each InvoiceNo is an invoice, a negative one takes back what the same customer bought before. A
    line of JSON Lines is `{"account_id": "A-1", "external_id": "INV-1", "currency": "USD", "lines": […]}`.

    Stopped in the middle, run it again: what was decided is not sent twice.

    Examples:

        tender import invoices.csv
        tender import invoices.jsonl --tenant shop --verdicts verdicts.jsonl
    """
    target = verdicts or verdicts_beside(file)
    raise SystemExit(run(_import(file, tenant, data_dir, target, output)))


async def _import(file: Path, tenant: str, data_dir: Path | None, target: Path, output: Output) -> int:
    try:
        found = files.read(file, tenant, ACTOR)
    except (ValueError, FileNotFoundError, IsADirectoryError) as why:
        raise Trouble(f"{file}: {getattr(why, 'strerror', None) or why}") from why
    async with attached_store(data_dir, bus=True) as (settings, store):
        kafka, topics = settings.kafka_bootstrap_servers or "", bootstrap.topics(settings)
        known = await _known(store, found)
        seal = joining.seals(bootstrap.key_encryption(settings)).made
        signing_in = broker.security(settings)
        async with sender(store, kafka, topics, tenant, ACTOR, seal=seal, **signing_in) as sending:
            with progress() as shown, target.open("wb") as out:
                step = steps(shown)("invoices", sum(map(len, found.waves)))
                counted = Counter[str]()
                problems: list[Line] = []
                for wave in found.waves:
                    for part in chunks(wave):
                        fresh = [one.planned for one in part if one.command.command_id not in known]
                        tell = partial(_further, step, counted.total())
                        told = iter(await sending.send_all(fresh, tell))
                        for one in part:
                            line = _line(one, known.get(one.command.command_id), told)
                            counted[line["status"]] += 1
                            problems += [line] if line["status"] != "ACCEPTED" else []
                            out.write(orjson.dumps(line) + b"\n")
                        out.flush()
                        step(counted.total())
                for bad in found.unreadable:
                    line = {"line": bad.number, "status": "UNREADABLE", "message": bad.reason}
                    counted["UNREADABLE"] += 1
                    problems.append(line)
                    out.write(orjson.dumps(line) + b"\n")
    _tell(counted, problems, len(known), target, output)
    return 1 if problems else 0


def _further(step: Step, before: int, done: int) -> None:
    step(before + done)


async def _known(store: PostgresStore, found: ToImport) -> dict[Any, RecordedVerdict]:
    """What was decided in a run before."""
    known: dict[Any, RecordedVerdict] = {}
    for wave in found.waves:
        for part in chunks(wave):
            known |= await store.verdicts([one.command.command_id for one in part])
    return {id: verdict for id, verdict in known.items() if verdict.status != "PARKED"}


def _line(one: Invoice, before: RecordedVerdict | None, told: Iterator[Verdict]) -> Line:
    if before is None:
        return {"invoice": one.external_id, **said(next(told))}
    changed = "imported before, with other content"
    return {"invoice": one.external_id, **said_before(before, one.command.fingerprint, changed)}


def _tell(counted: Counter[str], problems: list[Line], before: int, target: Path, output: Output) -> None:
    counts = {name: counted[name] for name in ("ACCEPTED", "REJECTED", "PARKED", "UNREADABLE")}
    if output == "json":
        tell_json({**{n.lower(): c for n, c in counts.items()}, "decided_before": before, "verdicts": target})
        return
    console.print(
        ", ".join(f"{count:,} {name.lower()}" for name, count in counts.items() if count) or "nothing"
    )
    if before:
        console.print(f"{before:,} of them were decided in a run before", style="dim", highlight=False)
    shown = [
        {
            "invoice": line.get("invoice") or f"row {line['line']}",
            "status": line["status"],
            "why": ": ".join(filter(None, (line.get("code"), line.get("message")))),
        }
        for line in problems[:SHOWN_MAX]
    ]
    if shown:
        show(shown, "table")
    console.print(f"a verdict for each: {target}", highlight=False, soft_wrap=True)
