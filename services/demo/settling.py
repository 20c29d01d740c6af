"""What the demo's gateway pays to the bank: its settlement report, imported, and met by the bank's lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta

import httpx

from gateways.settlements import FORMATS
from projections.rows import PostgresRows
from services.demo.run import ACTOR, GATEWAY, TENANT, Outcome, Progress, settled
from services.importing import settlements
from services.importing.sending import Planned, Sender
from services.payouts.banking import RecordBankLine
from services.payouts.payout import bank_line_id, home_of
from services.store.protocol import Store

BANK_ACCOUNT = "shop-current"


async def paid_out(
    store: Store,
    sender: Sender,
    rows: PostgresRows,
    simulator_url: str,
    outcome: Outcome,
    step: Callable[[str, int], Progress],
    now: Callable[[], datetime],
) -> None:
    """Every payout of the gateway, line by line; what is refused, or fits nothing, is told."""
    file = await _report(simulator_url, now())
    imported = await settlements.import_file(
        file, store, sender, TENANT, ACTOR, step("payout lines", len(file.report.lines))
    )
    outcome.rejected += [
        (f"payout line {one.get('line')}", f"{one.get('code') or one.get('shown')}: {one.get('message')}")
        for one in imported.problems
    ]
    await settled(rows, step("payouts settle", 0), now)
    run = settlements.Run(store, sender, TENANT, ACTOR)
    await run.decide([_bank_line(payout, now().date()) for payout in file.report.payouts])
    await settled(rows, step("the bank has them", 0), now)


async def _report(simulator_url: str, now: datetime) -> settlements.File:
    tomorrow = (now + timedelta(days=1)).date().isoformat()
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(
            f"{simulator_url}/v1/settlement-report", params={"until": tomorrow, "keys": f"{TENANT}:"}
        )
    digest = hashlib.sha256(answer.raise_for_status().content).hexdigest()
    report = FORMATS["simulator"](answer.text)
    return settlements.File(GATEWAY, "simulator", "settlement-report", digest, report)


def _bank_line(payout: settlements.Payout, today: date) -> Planned:
    booked = payout.arrives_on or today
    line = RecordBankLine(
        GATEWAY, BANK_ACCOUNT, payout.payout_ref, payout.amount, booked, f"SIMULATOR {payout.payout_ref}"
    )
    key = f"bankline:{bank_line_id(BANK_ACCOUNT, payout.payout_ref)}"
    return Planned(line, home_of(GATEWAY), key)
