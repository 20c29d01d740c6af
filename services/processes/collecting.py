"""Collecting: how a batch run's items get to their accounts, and what becomes of them back to the run.

lanes released --------> each of their items that is not claimed is to be collected
started, resumed ------> whether it moves is looked at, and again
claimed, passed over, queued, answered --> the run hears of it, many items at a time
one is answered -------> the next of its account that waits for a run is to be collected
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson

from events.run import (
    ItemResult,
    PaymentBatchRunChecked,
    PaymentBatchRunItemsReleased,
    PaymentBatchRunResumed,
    PaymentBatchRunStarted,
)
from events.schedule import (
    PaymentScheduleItemApplied,
    PaymentScheduleItemApplyFailed,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemOutcomeUnknown,
    PaymentScheduleItemPassedOver,
    PaymentScheduleItemPaymentCanceled,
    PaymentScheduleItemPaymentFailed,
    PaymentScheduleItemProcessed,
    PaymentScheduleItemQueued,
)
from services.decision import Documents, Many, Need, Needs, States
from services.processes.process import Process, Send, Trigger
from services.runs.batch_run import PaymentBatchRun, home_of
from services.runs.page import RunPage, page_id
from services.runs.recording import (
    CHECK_EVERY,
    RESULTS_MAX,
    CheckPaymentBatchRun,
    RecordRunItemResults,
    merged,
)
from services.runs.tally import RunTally
from services.schedules.collecting import CollectScheduleItem
from services.schedules.schedule import Errand, PaymentSchedule

_OF_RUN = (
    PaymentBatchRunStarted,
    PaymentBatchRunResumed,
    PaymentBatchRunChecked,
    PaymentBatchRunItemsReleased,
)
_ENDS = (
    PaymentScheduleItemPassedOver,
    PaymentScheduleItemOutcomeUnknown,
    PaymentScheduleItemProcessed,
    PaymentScheduleItemPaymentFailed,
)
"""After these an account is free for the next item."""
_OF_ITEM = (
    *_ENDS,
    PaymentScheduleItemQueued,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemApplied,
    PaymentScheduleItemApplyFailed,
    PaymentScheduleItemPaymentCanceled,
)


def needs(states: States, trigger: Trigger) -> Needs:
    match trigger.fact:
        case PaymentBatchRunItemsReleased():
            numbers = {lane.page_no for lane in trigger.fact.lanes}
            yield Many(RunPage, [page_id(trigger.fact.run_id, number) for number in sorted(numbers)])
            yield Need(PaymentBatchRun, trigger.fact.run_id)
        case PaymentBatchRunStarted() | PaymentBatchRunResumed() | PaymentBatchRunChecked():
            yield Need(PaymentBatchRun, trigger.stream_id)
            yield Need(RunTally, trigger.stream_id)
        case _:
            yield Need(PaymentSchedule, trigger.stream_id)
            if isinstance(trigger.fact, _ENDS):
                yield Documents(trigger.account_id)
                yield Many(PaymentSchedule, states.find_documents(trigger.account_id, PaymentSchedule))


def react(states: States, trigger: Trigger) -> Iterable[Send]:
    match trigger.fact:
        case PaymentBatchRunItemsReleased():
            yield from _collect(states, trigger.fact)
        case PaymentBatchRunStarted() | PaymentBatchRunResumed():
            yield _check(states, trigger.stream_id, trigger.occurred_at + CHECK_EVERY)
        case PaymentBatchRunChecked():
            yield _check(states, trigger.stream_id, trigger.fact.next_at)
        case _:
            yield from _results(states, trigger)
            if isinstance(trigger.fact, _ENDS):
                yield from _next(states, trigger)


def _collect(states: States, fact: PaymentBatchRunItemsReleased) -> Iterable[Send]:
    """Sent once for each turn of the run."""
    run = states.get(PaymentBatchRun, fact.run_id)
    cause = "RETRY" if run.created and run.created.is_retry else "RUN"
    for lane in fact.lanes:
        page = states.get(RunPage, page_id(fact.run_id, lane.page_no))
        for item in page.waiting(lane.gateway_id):
            collect = CollectScheduleItem(
                item.payment_schedule_id, item.item_id, cause, item.attempt_no, fact.run_id, lane.page_no
            )
            key = f"collecting:{fact.run_id}:{item.item_id}:{fact.turn}"
            yield Send(collect, item.account_id, key)


def _check(states: States, run_id: str, due_at: datetime) -> Send:
    turn, check_no = states.get(PaymentBatchRun, run_id).turn, states.get(RunTally, run_id).checks + 1
    key = f"collecting:{run_id}:check-{turn}:{check_no}"
    return Send(CheckPaymentBatchRun(run_id, turn, check_no), home_of(run_id), key, due_at)


def _results(states: States, trigger: Trigger) -> Iterable[Send]:
    known = _result(states, trigger)
    if known is not None:
        errand, result = known
        key = f"collecting:{errand.run_id}:result:{trigger.stream_id}-{trigger.version}"
        yield Send(RecordRunItemResults(errand.run_id, (result,)), home_of(errand.run_id), key)


def _result(states: States, trigger: Trigger) -> tuple[Errand, ItemResult] | None:
    """What a fact says of an item that a run has claimed, or would have."""
    fact, at, version = trigger.fact, trigger.occurred_at, trigger.version
    if isinstance(fact, PaymentScheduleItemPassedOver):
        outcome = "CANCELED" if fact.canceled else "SKIPPED"
        outcome = "UNCLAIMED" if fact.code == "RUN_STOPPED" else outcome
        passed = ItemResult(fact.item_id, fact.run_page, version, outcome, at, fact.code, fact.message)
        return Errand(fact.run_id, fact.run_page, 0), passed
    if isinstance(fact, PaymentScheduleItemQueued):
        return Errand(fact.run_id, fact.run_page, 0), ItemResult(
            fact.item_id, fact.run_page, version, "QUEUED", at
        )
    errand = states.get(PaymentSchedule, trigger.stream_id).items[fact.item_id].errand_of(fact.payment_id)
    if errand is None:
        return None
    common = (fact.item_id, errand.page_no, version)
    match fact:
        case PaymentScheduleItemClaimed():
            told = ItemResult(
                *common, "CLAIMED", at, gateway_id=fact.gateway_id, payment_id=fact.payment_id, claimed_at=at
            )
        case PaymentScheduleItemOutcomeUnknown():
            told = ItemResult(*common, "UNKNOWN", at, fact.reason, payment_id=fact.payment_id)
        case PaymentScheduleItemProcessed():
            collected = fact.amount.amount_minor
            told = ItemResult(*common, "PROCESSED", at, payment_id=fact.payment_id, collected=collected)
        case PaymentScheduleItemApplied():
            applied, rest = fact.applied.amount_minor, fact.unapplied.amount_minor
            told = ItemResult(
                *common,
                "APPLIED",
                at,
                payment_id=fact.payment_id,
                collected=applied + rest,
                applied=applied,
            )
        case PaymentScheduleItemPaymentCanceled():
            told = ItemResult(*common, "CANCELED", at, "PAYMENT_CANCELED", payment_id=fact.payment_id)
        case PaymentScheduleItemApplyFailed():
            item = states.get(PaymentSchedule, trigger.stream_id).items[fact.item_id]
            told = ItemResult(
                *common,
                "APPLY_FAILED",
                at,
                fact.code,
                payment_id=fact.payment_id,
                collected=item.processed,
            )
        case _:
            told = ItemResult(
                *common,
                "FAILED",
                at,
                fact.raw_code or fact.result_code,
                fact.message,
                fact.category,
                fact.gateway_id,
                fact.payment_id,
            )
    return errand, told


def _next(states: States, trigger: Trigger) -> Iterable[Send]:
    """The first of the account's items that wait, in the order of runs."""
    waiting = [
        (item.plan.target_processing_date, -item.requested, item.plan.number, id, item)
        for id in states.documents(trigger.account_id, PaymentSchedule)
        for item in states.get(PaymentSchedule, id).items.values()
        if item.queued
    ]
    if waiting:
        *_, id, item = min(waiting, key=lambda each: each[:3])
        assert item.queued
        run_id, page_no, attempt_no = item.queued
        collect = CollectScheduleItem(id, item.plan.item_id, "RUN", attempt_no, run_id, page_no)
        key = f"collecting:{run_id}:{item.plan.item_id}:after-{trigger.stream_id}-{trigger.version}"
        yield Send(collect, trigger.account_id, key)


def merge(sends: Sequence[Send]) -> Iterable[Send]:
    """Results of one run are told together; the same content is the same command, however it came about."""
    results: dict[str, list[ItemResult]] = {}
    for send in sends:
        if isinstance(send.command, RecordRunItemResults):
            results.setdefault(send.command.run_id, []).extend(send.command.results)
        else:
            yield send
    for run_id, told in results.items():
        last = merged(told)
        for begin in range(0, len(last), RESULTS_MAX):
            part = tuple(last[begin : begin + RESULTS_MAX])
            digest = hashlib.sha256(orjson.dumps(part)).hexdigest()[:32]
            key = f"collecting:{run_id}:results:{digest}"
            yield Send(RecordRunItemResults(run_id, part), home_of(run_id), key)


PROCESS = Process(
    "collecting", (*_OF_RUN, *_OF_ITEM), needs, react, documents=(PaymentSchedule,), merge=merge
)
