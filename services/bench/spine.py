"""The spine: commands in through Kafka, durable, projected, and their events out on Kafka.

The clock runs from the first command sent until every command is decided, every process has reacted
and its commands are decided too, the read models are at the head, and every event and result is on
Kafka.  Refunds go as far as their gateway intent: no gateway runs here, as the payments' outcomes are
commands of the stream.  Afterwards each command is looked up in the log, on both topics, and in the
read models.  Beside it, in the same run and on the same servers, the floor and the baseline.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from projections.models import TABLES
from projections.rows import PostgresRows
from projections.verify import verify
from services.bench.baseline import baseline
from services.bench.floor import floor, thin_floor
from services.bench.sender import sender
from services.bench.stage import Cost, Stage, cpu_seconds, peak_megabytes, staged
from services.bench.stream import TENANT, Made, expected_balances, measured

PAST_ACCOUNTS = 1_000_000
BASELINE_COMMANDS_MAX, BASELINE_ACCOUNTS = 2_000, 20
"""The baseline is slow: its rate is measured on a shorter stream of the same mix."""


@dataclass
class Spine:
    commands: int
    events: int
    decided_seconds: float
    """From the first command sent to the last verdict durable."""
    whole_seconds: float
    """To the read models, the processes and both topics at the head."""
    floor: Cost
    """A bare loop that writes and publishes the same bytes."""
    thin_floor: Cost
    """A bare loop with one small row and one message a command."""
    baseline: Cost
    worker_megabytes: float
    cpu_microseconds: dict[str, float]
    """Of each process, per command."""
    wrong: dict[str, int] = field(default_factory=dict[str, int])
    """What was looked up afterwards, and how often it was not as it must be."""

    @property
    def table(self) -> list[dict[str, Any]]:
        ours = Cost(self.commands / self.whole_seconds, sum(self.cpu_microseconds.values()))
        rows = [
            ("decided, projected, and out on Kafka", ours),
            ("floor: a bare loop, the same rows and messages", self.floor),
            ("thin floor: a bare loop, one row and one message each", self.thin_floor),
            ("baseline: one message at a time, the library's Application", self.baseline),
        ]
        return [
            {
                "what": what,
                "commands_per_s": round(cost.per_second),
                "ours_to_it": f"{ours.per_second / cost.per_second:.2f}",
                "cpu_us": round(cost.cpu_microseconds),
                "its_cpu_to_ours": f"{cost.cpu_microseconds / ours.cpu_microseconds:.2f}",
            }
            for what, cost in rows
        ]


async def spine(folder: Path, commands: int, accounts: int = 200, past: int = 0) -> Spine:
    """Measure, then check; whatever is wrong is told in `wrong`, and nothing is measured twice.

    `past` puts so many events of a million other accounts into the log before.
    """
    stream = list(measured(max(1, commands // 100), accounts))
    async with staged(folder) as stage:
        async with stage.roles():
            await stage.prepare(accounts)
        if past:
            await stage.grow(past, PAST_ACCOUNTS)
        broken_before = await _broken_sums(stage)  # the past has no verdicts
        async with stage.roles() as pids:
            await stage.warm()
            before = await stage.connection.fetchrow("select position, verdict_position from head")
            pids |= stage.server_pids
            async with sender(stage.servers, stage.topics.commands, len(stream) // 100, accounts) as send:
                used, began_at = (
                    cpu_seconds(pids),
                    await stage.connection.fetchval("select clock_timestamp()"),
                )
                began = time.perf_counter()
                send()
                stage.sent += len(stream)
                whole = await stage.quiet() - began
            cpu = {name: (s - used[name]) * 1e6 / len(stream) for name, s in cpu_seconds(pids).items()}
            megabytes = peak_megabytes(pids["worker"])
        decided_at = await stage.connection.fetchval(
            "select max(recorded_at) from verdicts where command_id = any($1)",
            [made.command_id for made in stream],
        )
        wrong = await _wrong(stage, stream, before["position"])
        wrong["broken sums"] = await _broken_sums(stage) - broken_before
        made = await stage.connection.fetchval("select position from head") - before["position"]
        floor_cost = await floor(stage, stream, accounts, before["position"])
        wrong["the floor's rows"] = await _missing_in_floor(stage, before["position"])
        thin_floor_cost = await thin_floor(stage, stream, accounts)
        few = min(len(stream), BASELINE_COMMANDS_MAX) // 100
        baseline_cost = await baseline(stage, few, BASELINE_ACCOUNTS)
        return Spine(
            commands=len(stream),
            events=made,
            decided_seconds=(decided_at - began_at).total_seconds(),
            whole_seconds=whole,
            floor=floor_cost,
            thin_floor=thin_floor_cost,
            baseline=baseline_cost,
            worker_megabytes=megabytes,
            cpu_microseconds=cpu,
            wrong=wrong,
        )


async def _wrong(stage: Stage, stream: list[Made], after: int) -> dict[str, int]:
    """Each command's verdict, events, rows and messages against what they must be."""
    verdicts = {
        row["command_id"]: row["status"]
        for row in await stage.connection.fetch("select command_id, status from verdicts")
    }
    results, published = set[str](), set[str]()
    await stage.read_topic(stage.topics.results, lambda record: results.add(_header(record, "ce_id")))
    await stage.read_topic(stage.topics.events, lambda record: published.add(_header(record, "ce_id")))
    logged = await stage.connection.fetch(
        "select stream || '@' || version as id, command_id from log where position > $1", after
    )
    told = {row["command_id"] for row in logged}
    return {
        "verdicts": sum(verdicts.get(made.command_id) != made.expected for made in stream),
        "commands without an event": sum(
            made.expected == "ACCEPTED" and made.command_id not in told for made in stream
        ),
        "results on Kafka": sum(str(id) not in results for id in verdicts),
        "events on Kafka": sum(row["id"] not in published for row in logged),
        "invoice balances": await _wrong_balances(stage, len(stream) // 100),
        "refunds without a gateway intent": await _missing_refunds(stage, stream),
    }


def _header(record: Any, name: str) -> str:
    return next(value for key, value in record.headers if key == name).decode()


async def _wrong_balances(stage: Stage, hundreds: int) -> int:
    rows = await stage.connection.fetch(
        "select external_id, balance from read_a.invoices where tenant_id = $1", TENANT
    )
    balances = {row["external_id"]: row["balance"] for row in rows}
    return sum(balances.get(id) != balance for id, balance in expected_balances(hundreds).items())


async def _missing_refunds(stage: Stage, stream: list[Made]) -> int:
    """Each negative invoice has one refund under way."""
    reduced = sum(made.type == b"payments.invoice.post.v1" and b'"neg-' in made.body for made in stream)
    planned = await stage.connection.fetchval(
        "select count(*) from read_a.gateway_log where tenant_id = $1 and operation = 'REFUND'", TENANT
    )
    return abs(reduced - planned)


async def _missing_in_floor(stage: Stage, after: int) -> int:
    """Whether the floor wrote the very rows of the log."""
    return await stage.connection.fetchval(
        "select count(*) from log l left join floor_log f using (position) "
        "where position > $1 and (f.data, f.meta, f.stream) is distinct from (l.data, l.meta, l.stream)",
        after,
    )


async def _broken_sums(stage: Stage) -> int:
    async with PostgresRows.connected(stage.settings.database_url or "", TABLES) as rows:
        return sum(check.violations for check in await verify(rows))
