"""Money that collects itself, in words: schedules, schedulers, promises, retries."""

from __future__ import annotations

from typing import Any

from events import card, retry, retrying, run
from events import schedule as ps
from events import schedule_policy as pol
from events import scheduler as sch
from projections.schedulers import in_words
from projections.words.plain import Words, because, counted, described, plain


def _fired(fact: sch.PaymentSchedulerFired) -> str:
    asked = "asked for" if fact.cause == "ASKED" else "planned"
    at = f"{fact.planned_at:%Y-%m-%d %H:%M} UTC"
    said = f"Run {fact.run_id} for what is due by {fact.run_date}, {asked} at {at}"
    if fact.late:
        said += f", late{f', and for {fact.missed} that were missed' if fact.missed else ''}"
    return said + (f"; then {fact.next_run_at:%Y-%m-%d %H:%M} UTC" if fact.next_run_at else "; the last one")


def _intervals(intervals: retry.RetryIntervals) -> str:
    values = ", ".join(f"{value}" for value in intervals.values)
    unit = intervals.unit.lower().removesuffix("s" if intervals.values == (1,) else "")
    how = "every" if intervals.type == "FIXED" else "after"
    return f"{how} {values} {unit}, at most {intervals.attempts} times"


def _rules(definition: retry.RetryDefinition) -> str:
    """What a rule set says, rule by rule."""
    said = [
        f"{' / '.join(filter(None, (rule.category, rule.gateway_id, rule.raw_code)))} "
        f"{_intervals(rule.intervals)}"
        for rule in definition.rules
    ]
    last = "; the last time with another method" if definition.use_alternate_method else ""
    return "; ".join([*said, f"everything else {_intervals(definition.intervals)}"]) + last


def _new_default(fact: retry.DefaultRetryRuleSetChanged) -> str:
    before = f" (was {fact.previous})" if fact.previous else ""
    if fact.rule_set_id is None:
        return f"Failed collections have no default rule set any more{before}"
    return f"Failed collections are tried again by the rule set {fact.rule_set_id}{before}"


def _of_group(fact: retry.RetriesOfGroupDecided) -> str:
    said = {True: "are tried again", False: "are not tried again", None: "are tried again as everybody's"}
    by = f", by the rule set {fact.rule_set_id}" if fact.rule_set_id else ""
    return f"Failed collections of the group {fact.account_group} {said[fact.retried]}{by}"


def _of_card(attempt: card.CardAttempt) -> str:
    return f"{attempt.amount} with method {attempt.method_id} of account {attempt.account_id}"


def _retry_planned(fact: retrying.ItemRetryScheduled) -> str:
    by = f"rule {fact.rule.number}" if fact.rule.number else f"rule set {fact.rule.rule_set_id}"
    other = ", another than the one that failed" if fact.is_alternate else ""
    why = "; ".join(fact.why)
    return (
        f"Tried again at {fact.at:%Y-%m-%d %H:%M:%S} with method {fact.method_id}{other}: attempt "
        f"{fact.attempt} of {fact.max} by {by} (level {fact.rule.match_level}); {why}"
    )


def _noticed(fact: retrying.DunningNoticed) -> str:
    last = ", which is the last attempt" if fact.hint == "WARN" else ""
    return (
        f"{fact.amount} could not be collected ({plain(fact.category)}), to be told to the customer "
        f"({plain(fact.hint)}): tried again at {fact.next_attempt_at:%Y-%m-%d %H:%M}{last}"
    )


def _recovered(fact: retrying.CollectionRecovered) -> str:
    by = "by an automatic retry" if fact.by == "RETRY" else "by hand, or by news that came late"
    since = f"{fact.first_failed_at:%Y-%m-%d}"
    return f"{fact.amount} recovered {by}, after {fact.attempts} attempts since {since}"


def _cut(distribution: pol.Distribution) -> str:
    match distribution.type:
        case "EQUAL_INSTALLMENTS":
            unit = plain(distribution.unit)
            every = unit.removesuffix("s") if distribution.every == 1 else f"{distribution.every} {unit}"
            return f"{distribution.count} equal parts, one every {every}"
        case "FIXED_AMOUNT":
            return f"parts of {distribution.amount}"
        case _:
            return "all at once"


def _report(report: run.RunReport) -> str:
    """Its counters that are not 0."""
    told = ("processed", "failed", "canceled", "skipped", "unknown", "unclaimed")
    has = run.counters(report)
    said = ", ".join(f"{has[name]} {name}" for name in told if has[name])
    return f"{counted(report.filtered, 'item')}{f': {said}' if said else ''}"


def _run_made(fact: run.PaymentBatchRunCreated) -> str:
    what = "failed collections that are due again" if fact.is_retry else "what is due"
    by = f", by scheduler {fact.scheduler_id}" if fact.scheduler_id else ""
    return f"Batch run {fact.number} for {what} by {fact.run_date}{by}"


def _detail(fact: pol.TreatmentDetailAdded) -> str:
    detail = fact.detail
    return f"Treatment {fact.treatment_id}: {detail.percentage} % of it in {_cut(detail.distribution)}"


WORDS: dict[type[Any], Words] = {
    ps.PaymentScheduleCreated: lambda f: (
        f"Schedule {f.number} of {f.total_requested} made, {plain(f.origin)}"
        f"{f', by policy {f.policy_id}' if f.policy_id else ''}"
    ),
    ps.PaymentScheduleItemAdded: lambda f: (
        f"{f.item.number}: {f.item.requested} to be collected on {f.item.target_processing_date}"
        f"{f', {plain(f.item.warning)}' if f.item.warning else ''}"
    ),
    ps.PaymentScheduleItemChanged: lambda f: (
        f"{f.item.number}: now {f.item.requested} on {f.item.target_processing_date}"
    ),
    ps.PaymentScheduleItemResized: lambda f: (
        f"Only {f.requested} of {f.previous} is still owed, and is collected"
    ),
    ps.PaymentScheduleItemClaimed: lambda f: (
        f"Attempt {f.attempt_no}: {f.amount} asked of {f.gateway_id} with method {f.method_id}"
    ),
    ps.PaymentScheduleItemProcessed: lambda f: f"{f.amount} collected by payment {f.payment_id}",
    ps.PaymentScheduleItemApplied: lambda f: f"{f.applied} applied, {f.unapplied} left on the payment",
    ps.PaymentScheduleItemPaymentFailed: lambda f: (
        f"Attempt {f.attempt_no} failed: {plain(f.category)}{f', {f.raw_code}' if f.raw_code else ''}"
    ),
    ps.PaymentScheduleItemCanceled: lambda f: f"{f.canceled} is not collected: {plain(f.reason)}",
    ps.PaymentScheduleItemPaymentCanceled: lambda f: (
        f"{f.taken_back} that was collected was given up by hand: {f.canceled} is not collected"
    ),
    ps.PaymentScheduleCustomFieldsSet: described,
    ps.PaymentScheduleItemCustomFieldsSet: described,
    ps.PaymentScheduleItemSkipped: lambda f: f"Left out until {f.until}: {f.reason}",
    sch.PaymentSchedulerCreated: lambda f: f"Scheduler {f.name} made: {in_words(f.timing)}",
    sch.PaymentSchedulerUpdated: lambda f: f"Scheduler {f.name} changed: {in_words(f.timing)}",
    sch.PaymentSchedulerActivated: lambda f: f"Active: it fires at {f.next_run_at:%Y-%m-%d %H:%M} UTC",
    sch.PaymentSchedulerDeactivated: lambda f: (
        "It rests: it has no run to come"
        if f.cause == "NO_MORE_RUNS"
        else f"It rests{because(f.reason)}"
    ),
    sch.PaymentSchedulerCanceled: lambda f: f"Ended{because(f.reason)}",
    sch.PaymentSchedulerFired: _fired,
    retry.RetryRuleSetCreated: lambda f: f"Rule set {f.name} drafted: {_rules(f.definition)}",
    retry.RetryRulesDefined: lambda f: f"Version {f.definition_version}: {_rules(f.definition)}",
    retry.RetryRuleSetActivated: lambda f: "The rule set can be used",
    retry.RetryRuleSetDeactivated: lambda f: (
        f"No new collection is tried again by it{because(f.reason)}"
    ),
    retry.DefaultRetryRuleSetChanged: _new_default,
    retry.RetriesOfGroupDecided: _of_group,
    retrying.ItemRetryScheduled: _retry_planned,
    retrying.ItemRetryPostponed: lambda f: (
        f"Attempt {f.attempt} waits{f' until {f.at:%Y-%m-%d %H:%M}' if f.at else ''}: {plain(f.reason)}"
    ),
    card.CardAttemptBegun: lambda f: f"{_of_card(f.attempt)}: it counts until its outcome is known",
    card.CardRefused: lambda f: (
        f"{_of_card(f.attempt)} was refused{f', {f.raw_code}' if f.raw_code else ''}: its network counts it"
    ),
    card.CardAttemptCleared: lambda f: "It succeeded: it counts no longer",
    card.CardAdvised: lambda f: (
        f"{_of_card(f.attempt)} was refused{f', {f.raw_code}' if f.raw_code else ''}: the card is "
        + (f"not to be tried before {f.not_before:%Y-%m-%d %H:%M}" if f.not_before else "never to be tried")
        + (f", says its network ({f.network_advice})" if f.network_advice else "")
    ),
    card.CardAdviceLifted: lambda f: "It was charged: what was advised before holds no longer",
    retrying.ItemRetrySkipped: lambda f: f"Attempt {f.attempt} left out: {f.reason}",
    retrying.ItemRetriesExtended: lambda f: f"{f.attempts} more attempts allowed: {f.reason}",
    retrying.ItemRetriesStopped: lambda f: f"Not tried again: {f.reason}",
    retrying.ItemRetriesExhausted: lambda f: (
        f"No attempt left after {f.attempts} ({plain(f.reason)}): {'; '.join(f.why)}"
    ),
    retrying.DunningNoticed: _noticed,
    retrying.CollectionRecovered: _recovered,
    retrying.CollectionFailed: lambda f: (
        f"{f.amount} given up after {f.attempts} attempts, {plain(f.reason)}: what it is for may be withheld"
    ),
    ps.PaymentScheduleOpened: lambda _: "Its items are collected when their dates come",
    ps.PaymentScheduleItemReleased: lambda f: f"It may be collected again: {plain(f.reason)}",
    ps.PaymentScheduleItemQueued: lambda f: f"In batch run {f.run_id}, for attempt {f.attempt_no}",
    ps.PaymentScheduleItemPassedOver: lambda f: (
        f"Passed over by batch run {f.run_id}: {f.message} ({f.code})"
    ),
    ps.PaymentScheduleItemOutcomeUnknown: lambda f: (
        f"Nobody knows yet whether payment {f.payment_id} moved money"
    ),
    ps.PaymentScheduleItemApplyFailed: lambda f: f"Payment {f.payment_id} could not be applied: {f.code}",
    ps.PaymentScheduleCanceled: lambda f: f"Nothing more is collected{because(plain(f.reason))}",
    ps.PaymentScheduleCompleted: lambda f: (
        f"All at an end: {f.processed} collected, {f.applied} applied, {f.canceled} not collected"
    ),
    ps.PromiseRecorded: lambda f: f"{f.total} promised in {counted(f.parts, 'part')}",
    ps.PromiseKept: lambda f: f"Kept: {f.collected} came",
    ps.PromiseBroken: lambda f: f"Broken: a part did not come, {plain(f.reason)}",
    ps.PromiseCanceled: lambda f: f"It counts no more{because(f.reason)}",
    run.PaymentBatchRunCreated: _run_made,
    run.PaymentBatchRunStarted: lambda _: "Begun: what it collects is selected",
    run.PaymentBatchRunSelectionEnded: lambda f: (
        f"{counted(f.count, 'item')} selected, in {counted(f.pages, 'page')}"
    ),
    run.PaymentBatchRunStopped: lambda f: f"Stopped by {f.by}{because(f.reason)}",
    run.PaymentBatchRunResumed: lambda f: f"Goes on, says {f.by}",
    run.PaymentBatchRunFailed: lambda f: f"Nothing could be selected: {f.message} ({f.code})",
    run.PaymentBatchRunCanceled: lambda f: f"Ended by {f.by}{because(f.reason)}; {_report(f.report)}",
    run.PaymentBatchRunCompleted: lambda f: f"All {_report(f.report)}",
    run.PaymentBatchRunAmended: lambda f: f"News came late; now {_report(f.report)}",
    run.PaymentBatchRunItemsFrozen: lambda f: f"Page {f.page_no}: {counted(len(f.items), 'item')}",
    run.PaymentBatchRunItemResultsRecorded: lambda f: f"{counted(len(f.results), 'result')} told",
    run.PaymentBatchRunItemsSelected: lambda f: f"Page {f.page_no}: {counted(f.count, 'item')} selected",
    run.PaymentBatchRunCounted: lambda f: f"So far {_report(f.report)}",
    pol.SchedulePolicyCreated: lambda f: f"Policy {f.name} begun",
    pol.TreatmentAdded: lambda f: f"Treatment {f.name}, a schedule for each {plain(f.grouping)}",
    pol.TreatmentDetailAdded: _detail,
    pol.DistributionDefined: lambda f: f"Treatment {f.treatment_id}: now {_cut(f.distribution)}",
    pol.SchedulePolicyActivated: lambda _: "Invoices may be cut by it",
    pol.SchedulePolicyDeactivated: lambda f: f"No further invoice is cut by it{because(f.reason)}",
    pol.DefaultSchedulePolicyChanged: lambda f: (
        f"Invoices are cut by policy {f.policy_id or 'none'} where nothing names another"
    ),
}  # fmt: skip
