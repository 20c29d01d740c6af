"""Payment batch runs: what each was to collect, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from events.run import PaymentBatchRunCreated
from projections.table import DAY, FLAG, INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

payment_batch_runs = Table(
    "payment_batch_runs",
    key=(TENANT, Column("run_id", TEXT)),
    columns=(
        *text("number", "status", "scheduler_id", "comments"),
        Column("run_date", DAY),
        Column("is_retry", FLAG, False),
        Column("planned_at", INSTANT),
        Column("max_items", "int"),
        Column("criteria", JSON),
        Column("created_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="run",
    indexes=(("tenant_id", "created_at"), ("tenant_id", "scheduler_id")),
)


@payment_batch_runs.on(PaymentBatchRunCreated)
def created(fact: PaymentBatchRunCreated, at: Place, own: Own) -> Iterable[Row]:
    names = ("number", "scheduler_id", "comments", "run_date", "is_retry", "planned_at", "max_items")
    kept = {name: getattr(fact, name) for name in names}
    criteria = orjson.loads(orjson.dumps(fact.criteria))
    yield Row((at.tenant, at.id), {**kept, "criteria": criteria, "status": "NEW", "created_at": at.time})


TABLES = (payment_batch_runs,)
