"""Selecting: pages of items that are due become a run's, frozen in its order, each page behind the last.

Whoever reads what is due sends a page with where it begins; one that does not begin where the run stands
changes nothing.  So two who select at once, or one that begins anew, freeze every item once.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import Field

from events.run import (
    PaymentBatchRunCompleted,
    PaymentBatchRunItemsFrozen,
    PaymentBatchRunItemsReleased,
    PaymentBatchRunItemsSelected,
    PaymentBatchRunSelectionEnded,
    PaymentBatchRunStarted,
    RunItem,
    RunLane,
)
from services.commands import Id, Text, command
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.runs import batch_run, tally
from services.runs import page as pages
from services.runs.batch_run import GOING, PaymentBatchRun
from services.runs.page import ITEMS_MAX, RunPage, page_id
from services.runs.tally import RunTally, releasable, report, with_items

EVOLVE = {RunTally: tally.evolve, PaymentBatchRun: batch_run.evolve, RunPage: pages.evolve}


@command("payments.payment_batch_run.select_items.v1")
class SelectRunItems:
    """A page of items that are due."""

    run_id: Id
    page_no: Annotated[int, Field(ge=1)]
    after: Text
    """The cursor of the page before; empty before the first."""
    cursor: Text
    """Where the next page begins: behind this item."""
    items: Annotated[tuple[RunItem, ...], Field(max_length=ITEMS_MAX)]
    last: bool
    """Nothing more is due."""
    position: Annotated[int, Field(ge=0)]
    """What the log had reached where they were read."""


def _needs(states: States, command: SelectRunItems, context: Context) -> Needs:
    yield Need(PaymentBatchRun, command.run_id)
    yield Need(RunTally, command.run_id)


def select(states: States, command: SelectRunItems, context: Context) -> Changes:
    run, known = batch_run.of(states, command.run_id), states.get(RunTally, command.run_id)
    if run.status not in GOING or run.selected:
        return []
    if (command.page_no, command.after) != (known.pages + 1, known.cursor):
        return []
    draft = Draft(states, EVOLVE)
    if run.status == "NEW":
        started = PaymentBatchRunStarted(command.position, context.now)
        draft.record(PaymentBatchRun, command.run_id, started)
    if command.items:
        _freeze(draft, command)
    if command.last:
        after = draft.get(RunTally, command.run_id)
        ended = PaymentBatchRunSelectionEnded(after.filtered, after.pages)
        draft.record(PaymentBatchRun, command.run_id, ended)
        complete(draft, command.run_id, context)
    return draft.changes


def _freeze(draft: Draft, command: SelectRunItems) -> None:
    run_id, page_no, items = command.run_id, command.page_no, command.items
    frozen = PaymentBatchRunItemsFrozen(run_id, page_no, items)
    draft.record(RunPage, page_id(run_id, page_no), frozen, new=True)
    lanes = Counter(item.gateway_id for item in items)
    selected = PaymentBatchRunItemsSelected(
        page_no=page_no,
        count=len(items),
        cursor=command.cursor,
        lanes=tuple(RunLane(page_no, gateway_id, count) for gateway_id, count in lanes.items()),
        report=with_items(draft.get(RunTally, run_id), items),
    )
    draft.record(RunTally, run_id, selected)
    release(draft, run_id)


def release(draft: Draft, run_id: str) -> None:
    """Send what there is room for."""
    after = draft.get(RunTally, run_id)
    lanes = releasable(after)
    if lanes:
        released = PaymentBatchRunItemsReleased(run_id, after.turn, lanes)
        draft.record(RunTally, run_id, released)


def complete(draft: Draft, run_id: str, context: Context, *, waits: bool = True) -> None:
    """A run ends when nothing is on its way that it waits for; what is not known it does not wait for.

    Without waiting, what was claimed and is not answered is not known either.
    """
    run, after = draft.get(PaymentBatchRun, run_id), draft.get(RunTally, run_id)
    if run.status != "STARTED" or not run.selected or after.left or (waits and after.running):
        return
    assert run.started_at
    completed = PaymentBatchRunCompleted(report(after), run.started_at, context.now)
    draft.record(PaymentBatchRun, run_id, completed)


def _home(command: SelectRunItems, tenant: str) -> str:
    return batch_run.home_of(command.run_id)


RULES = (Rule(SelectRunItems, _needs, select, _home),)
