"""Payment batch runs: what each was to collect, what came of it, item by item, and what came late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from events import run as facts
from events.run import ItemResult, RunReport, counters
from projections.table import DAY, FLAG, INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

ADDENDA_MAX = 200
"""What came late is kept of so many items on the run's own row; of every item it is on the item's."""

PAGE_ITEMS = 500
"""On each page of a run but the last."""

COUNTERS = (
    *("filtered", "processed", "failed", "canceled", "skipped", "unknown", "unclaimed"),
    *("applied", "apply_failed", "awaiting_application"),
)

payment_batch_runs = Table(
    "payment_batch_runs",
    key=(TENANT, Column("run_id", TEXT)),
    columns=(
        *text("number", "status", "scheduler_id", "comments", "reason"),
        Column("run_date", DAY),
        Column("is_retry", FLAG, False),
        Column("planned_at", INSTANT),
        Column("max_items", "int"),
        Column("criteria", JSON),
        *(Column(name, "int", 0) for name in COUNTERS),
        Column("money", JSON),
        Column("failures", JSON),
        Column("reasons", JSON),
        Column("addenda", JSON),
        Column("created_at", INSTANT),
        Column("started_at", INSTANT),
        Column("selected_at", INSTANT),
        Column("ended_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="run",
    indexes=(("tenant_id", "created_at"), ("tenant_id", "scheduler_id")),
)

payment_batch_run_items = Table(
    "payment_batch_run_items",
    key=(TENANT, Column("run_id", TEXT), Column("item_id", TEXT)),
    columns=(
        Column("place", "int"),
        *text("payment_schedule_id", "account_id", "number", "currency", "outcome"),
        *money("amount", "collected", "applied"),
        *text("gateway_id", "method_id", "payment_id", "code", "category", "message"),
        Column("claimed_at", INSTANT),
        Column("answered_at", INSTANT),
    ),
    indexes=(("tenant_id", "run_id", "place"), ("tenant_id", "account_id")),
)


@payment_batch_runs.on(facts.PaymentBatchRunCreated)
def created(fact: facts.PaymentBatchRunCreated, at: Place, own: Own) -> Iterable[Row]:
    names = ("number", "scheduler_id", "comments", "run_date", "is_retry", "planned_at", "max_items")
    kept = {name: getattr(fact, name) for name in names}
    criteria = orjson.loads(orjson.dumps(fact.criteria))
    none: list[Any] = []
    lists = {"money": none, "failures": none, "reasons": none, "addenda": none}
    yield _run(at, **kept, **lists, criteria=criteria, status="NEW", created_at=at.time)


def _run(at: Place, **changes: Any) -> Row:
    return Row((at.tenant, at.id), changes)


@payment_batch_runs.on(facts.PaymentBatchRunStarted)
def started(fact: facts.PaymentBatchRunStarted, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, status="STARTED", started_at=fact.started_at)


@payment_batch_runs.on(facts.PaymentBatchRunSelectionEnded)
def selected(fact: facts.PaymentBatchRunSelectionEnded, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, selected_at=at.time)


@payment_batch_runs.on(facts.PaymentBatchRunStopped)
def stopped(fact: facts.PaymentBatchRunStopped, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, status="STOPPED", reason=fact.reason)


@payment_batch_runs.on(facts.PaymentBatchRunFailed)
def failed(fact: facts.PaymentBatchRunFailed, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, status="FAILED", reason=f"{fact.code}: {fact.message}")


@payment_batch_runs.on(facts.PaymentBatchRunResumed)
def resumed(fact: facts.PaymentBatchRunResumed, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, status="STARTED" if own["started_at"] else "NEW", reason=None)


@payment_batch_runs.on(facts.PaymentBatchRunCanceled)
def canceled(fact: facts.PaymentBatchRunCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, status="CANCELED", reason=fact.reason, ended_at=at.time)


@payment_batch_runs.on(facts.PaymentBatchRunCompleted)
def completed(fact: facts.PaymentBatchRunCompleted, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, status="COMPLETED", ended_at=fact.completed_at)


@payment_batch_runs.on(facts.PaymentBatchRunAmended)
def amended(fact: facts.PaymentBatchRunAmended, at: Place, own: Own) -> Iterable[Row]:
    addenda = [*own["addenda"], *map(_addendum, fact.results)]
    yield _run(at, addenda=addenda[-ADDENDA_MAX:])


def _addendum(result: ItemResult) -> dict[str, Any]:
    return {
        "item_id": result.item_id,
        "at": result.at.isoformat(),
        "was": result.was,
        "outcome": result.outcome,
        "code": result.code,
        "payment_id": result.payment_id,
    }


# -- what is counted


@payment_batch_runs.on(facts.PaymentBatchRunItemsSelected)
def counted_in(fact: facts.PaymentBatchRunItemsSelected, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, **_figures(fact.report))


@payment_batch_runs.on(facts.PaymentBatchRunCounted)
def counted(fact: facts.PaymentBatchRunCounted, at: Place, own: Own) -> Iterable[Row]:
    yield _run(at, **_figures(fact.report))


def _figures(report: RunReport) -> dict[str, Any]:
    lists = {"money": report.money, "failures": report.failures, "reasons": report.reasons}
    return {**counters(report), **{name: orjson.loads(orjson.dumps(told)) for name, told in lists.items()}}


# -- items


@payment_batch_run_items.on(facts.PaymentBatchRunItemsFrozen)
def frozen(fact: facts.PaymentBatchRunItemsFrozen, at: Place, own: Own) -> Iterable[Row]:
    for place, item in enumerate(fact.items, (fact.page_no - 1) * PAGE_ITEMS + 1):
        yield Row(
            (at.tenant, fact.run_id, item.item_id),
            {
                "place": place,
                "payment_schedule_id": item.payment_schedule_id,
                "account_id": item.account_id,
                "number": item.number,
                "currency": item.amount.currency,
                "outcome": "UNCLAIMED",
                "amount": item.amount.amount_minor,
                "gateway_id": item.gateway_id or None,
                "method_id": item.method_id,
            },
        )


@payment_batch_run_items.on(facts.PaymentBatchRunItemResultsRecorded)
def item_results(fact: facts.PaymentBatchRunItemResultsRecorded, at: Place, own: Own) -> Iterable[Row]:
    for result in fact.results:
        yield Row((at.tenant, fact.run_id, result.item_id), _result(result))


def _result(result: ItemResult) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "outcome": result.outcome,
        "code": result.code,
        "category": result.category,
        "message": result.message,
        "collected": result.collected,
        "applied": result.applied,
    }
    given = {"gateway_id": result.gateway_id, "payment_id": result.payment_id}
    changes |= {name: value for name, value in given.items() if value}
    if result.claimed_at:
        changes["claimed_at"] = result.claimed_at
    if result.outcome in ("PROCESSED", "APPLIED", "APPLY_FAILED", "FAILED"):
        changes["answered_at"] = result.at
    return changes


TABLES = (payment_batch_runs, payment_batch_run_items)
