"""Recording: what became of a run's items, many at a time; what is then sent next; and how a run ends.

Invariant: what was heard of an item once is not counted again, and nothing older undoes what is newer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from events.run import (
    ItemResult,
    PaymentBatchRunAmended,
    PaymentBatchRunCanceled,
    PaymentBatchRunChecked,
    PaymentBatchRunItemResultsRecorded,
    PaymentBatchRunItemsReleased,
    PaymentBatchRunResumed,
)
from services.commands import FreeText, Id, command
from services.decision import Changes, Context, Draft, Many, Need, Needs, Rule, States
from services.runs import batch_run
from services.runs.batch_run import GOING, PAUSED, PaymentBatchRun, check_status
from services.runs.page import RunPage, page_id
from services.runs.selecting import EVOLVE, complete, release
from services.runs.tally import Known, Recount, RunTally, report

RESULTS_MAX = 500
CHECK_EVERY = timedelta(minutes=10)
"""A run of which nothing was heard for so long waits no longer: what is open is counted as it stands."""
PAGES_CLOSED_MAX = 20
"""At one check: the others are closed with the next."""


@command("payments.payment_batch_run.record_results.v1")
class RecordRunItemResults:
    """What became of items at their accounts."""

    run_id: Id
    results: Annotated[tuple[ItemResult, ...], Field(max_length=RESULTS_MAX)]


@command("payments.payment_batch_run.check.v1")
class CheckPaymentBatchRun:
    """Whether it still moves."""

    run_id: Id
    turn: int
    check_no: int


@command("payments.payment_batch_run.resume.v1")
class ResumePaymentBatchRun:
    """Go on where it was stopped, or failed: what is not claimed yet is collected."""

    run_id: Id


@command("payments.payment_batch_run.cancel.v1")
class CancelPaymentBatchRun:
    """End it now: what is not claimed stays ready for other runs; what is with a gateway goes on."""

    run_id: Id
    reason: FreeText | None = None


_OfRun = RecordRunItemResults | CheckPaymentBatchRun | ResumePaymentBatchRun | CancelPaymentBatchRun


def _needs(states: States, command: _OfRun, context: Context) -> Needs:
    yield Need(PaymentBatchRun, command.run_id)
    yield Need(RunTally, command.run_id)


def _result_needs(states: States, command: RecordRunItemResults, context: Context) -> Needs:
    yield from _needs(states, command, context)
    numbers = {result.page_no for result in command.results}
    yield Many(RunPage, [page_id(command.run_id, number) for number in sorted(numbers)])


def record(states: States, command: RecordRunItemResults, context: Context) -> Changes:
    run_id, run = command.run_id, batch_run.of(states, command.run_id)
    news: dict[int, dict[str, ItemResult]] = {}
    for result in command.results:
        page = states.get(RunPage, page_id(run_id, result.page_no))
        known = result.item_id in page.items and page.heard.get(result.item_id, 0) < result.version
        if known and _is_news(page.of(result.item_id), result):
            news.setdefault(result.page_no, {})[result.item_id] = result
    draft = Draft(states, EVOLVE)
    if not news:
        return []
    told = _tell(draft, states, run_id, news)
    if run.status in GOING:
        release(draft, run_id)
        complete(draft, run_id, context)
    elif run.status in ("COMPLETED", "CANCELED"):
        late = tuple(result for result in told if _is_late(result))
        if late:
            amended = PaymentBatchRunAmended(report(draft.get(RunTally, run_id)), late)
            draft.record(PaymentBatchRun, run_id, amended)
    return draft.changes


def _is_news(known: Known, result: ItemResult) -> bool:
    """What a run that is over has said of an item stands, until the item itself has come to something."""
    if result.outcome in ("UNCLAIMED", "QUEUED", "SKIPPED"):
        return known.outcome in ("UNCLAIMED", "QUEUED")
    return True


def _is_late(result: ItemResult) -> bool:
    return result.outcome not in ("UNCLAIMED", "QUEUED", "CLAIMED")


def _tell(
    draft: Draft, states: States, run_id: str, news: dict[int, dict[str, ItemResult]]
) -> list[ItemResult]:
    """Record results on their pages, and what they change of the count."""
    recount, all_told = Recount(states.get(RunTally, run_id)), list[ItemResult]()
    for page_no, results in news.items():
        page, told = states.get(RunPage, page_id(run_id, page_no)), list[ItemResult]()
        for item_id, result in results.items():
            was = page.of(item_id)
            recount.move(page.items[item_id], page_no, was, Known.of(result))
            told.append(replace(result, was=was.outcome))
        recorded = PaymentBatchRunItemResultsRecorded(run_id, tuple(told))
        draft.record(RunPage, page_id(run_id, page_no), recorded)
        all_told += told
    draft.record(RunTally, run_id, recount.counted(run_id))
    return all_told


# -- whether it moves


def _check_needs(states: States, command: CheckPaymentBatchRun, context: Context) -> Needs:
    yield from _needs(states, command, context)
    known = states.find(RunTally, command.run_id)
    if known:
        yield Many(RunPage, [page_id(command.run_id, number) for number in _open_pages(known)])


def _open_pages(known: RunTally) -> list[int]:
    """The first pages with items that nobody has claimed."""
    return sorted({page_no for page_no, _ in known.unclaimed})[:PAGES_CLOSED_MAX]


def check(states: States, command: CheckPaymentBatchRun, context: Context) -> Changes:
    """A lane that nothing was heard of makes room for what waits behind it; where nothing waits and
    nothing moves, the run ends: what nobody has claimed was not reached, what was claimed is not known."""
    run, known = batch_run.of(states, command.run_id), states.get(RunTally, command.run_id)
    if run.status not in GOING or (command.turn, command.check_no) != (run.turn, known.checks + 1):
        return []
    draft = Draft(states, EVOLVE)
    stuck = tuple(sorted({gateway_id for _, gateway_id in known.waiting if gateway_id not in known.moved}))
    closes = run.selected and not known.moved and not known.waiting
    if closes:
        _close(draft, states, command.run_id, context)
    more = closes and draft.get(RunTally, command.run_id).left
    next_at = context.now if more else context.now + CHECK_EVERY
    checked = PaymentBatchRunChecked(command.run_id, command.check_no, next_at, stuck)
    draft.record(RunTally, command.run_id, checked)
    if closes and not more:
        complete(draft, command.run_id, context, waits=False)
    elif not closes:
        release(draft, command.run_id)
    return draft.changes


def _close(draft: Draft, states: States, run_id: str, context: Context) -> None:
    news: dict[int, dict[str, ItemResult]] = {}
    for page_no in _open_pages(states.get(RunTally, run_id)):
        page = states.get(RunPage, page_id(run_id, page_no))
        news[page_no] = {
            item.item_id: ItemResult(item.item_id, page_no, 0, "SKIPPED", context.now, "NOT_REACHED")
            for item in page.waiting()
        }
    if news:
        _tell(draft, states, run_id, news)


# -- by hand


def resume(states: States, command: ResumePaymentBatchRun, context: Context) -> Changes:
    run = batch_run.of(states, command.run_id)
    if run.status in GOING:
        return []
    check_status(run, *PAUSED)
    draft, turn = Draft(states, EVOLVE), run.turn + 1
    draft.record(PaymentBatchRun, command.run_id, PaymentBatchRunResumed(turn, context.actor.id))
    if states.get(RunTally, command.run_id).version:
        begun = PaymentBatchRunItemsReleased(command.run_id, turn, ())
        draft.record(RunTally, command.run_id, begun)
        release(draft, command.run_id)
        complete(draft, command.run_id, context)
    return draft.changes


def cancel(states: States, command: CancelPaymentBatchRun, context: Context) -> Changes:
    run = batch_run.of(states, command.run_id)
    if run.status == "CANCELED":
        return []
    check_status(run, *GOING, *PAUSED)
    known = report(states.get(RunTally, command.run_id))
    canceled = PaymentBatchRunCanceled(known, command.reason, context.actor.id)
    return [batch_run.changed(command.run_id, canceled)]


def _home(command: _OfRun, tenant: str) -> str:
    return batch_run.home_of(command.run_id)


RULES = (
    Rule(RecordRunItemResults, _result_needs, record, _home),
    Rule(CheckPaymentBatchRun, _check_needs, check, _home),
    Rule(ResumePaymentBatchRun, _needs, resume, _home),
    Rule(CancelPaymentBatchRun, _needs, cancel, _home),
)


def merged(results: Iterable[ItemResult]) -> list[ItemResult]:
    """Of each item the last; when it was claimed is kept of those before."""
    last: dict[str, ItemResult] = {}
    for result in results:
        before = last.pop(result.item_id, None)
        if before and before.claimed_at and not result.claimed_at:
            result = replace(result, claimed_at=before.claimed_at)
        last[result.item_id] = result
    return list(last.values())
