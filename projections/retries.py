"""Retries: what rule sets say, what is planned for each failed item and why, and what was recovered by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from events.money import Money
from events.retry import (
    DefaultRetryRuleSetChanged,
    RetriesOfGroupDecided,
    RetryDefinition,
    RetryRulesDefined,
    RetryRuleSetActivated,
    RetryRuleSetCreated,
    RetryRuleSetDeactivated,
)
from events.retrying import (
    CollectionFailed,
    CollectionRecovered,
    DunningNoticed,
    ItemRetriesExhausted,
    ItemRetriesExtended,
    ItemRetriesStopped,
    ItemRetryPostponed,
    ItemRetryScheduled,
    ItemRetrySkipped,
    OfCollection,
    RetryTried,
)
from events.schedule import PaymentScheduleItemProcessed
from projections.schedules import schedule_items
from projections.table import (
    FLAG,
    INSTANT,
    JSON,
    TENANT,
    TEXT,
    Add,
    Column,
    Place,
    Row,
    RowKey,
    Table,
    money,
    text,
)

Own = Mapping[str, Any]

rule_sets = Table(
    "retry_rule_sets",
    key=(TENANT, Column("rule_set_id", TEXT)),
    columns=(
        *text("name", "description", "status"),
        Column("is_default", FLAG, False),
        Column("use_alternate_method", FLAG, False),
        Column("intervals", JSON),
        Column("rules", JSON),
        Column("window_of_day", JSON),
        Column("definition_version", "int", 0),
        Column("created_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="retryset",
)


@rule_sets.on(RetryRuleSetCreated)
def created(fact: RetryRuleSetCreated, at: Place, own: Own) -> Iterable[Row]:
    known = {"name": fact.name, "description": fact.description, "status": "DRAFT", "created_at": at.time}
    yield Row((at.tenant, at.id), {**known, **_defined(fact.definition, 1)})


@rule_sets.on(RetryRulesDefined)
def defined(fact: RetryRulesDefined, at: Place, own: Own) -> Iterable[Row]:
    changes = _defined(fact.definition, fact.definition_version)
    yield Row((at.tenant, at.id), {**changes})


@rule_sets.on(RetryRuleSetActivated, RetryRuleSetDeactivated)
def switched(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    status = "ACTIVE" if isinstance(fact, RetryRuleSetActivated) else "DRAFT"
    yield Row((at.tenant, at.id), {"status": status})


@rule_sets.on(DefaultRetryRuleSetChanged)
def default_changed(fact: DefaultRetryRuleSetChanged, at: Place, own: Own) -> Iterable[Row]:
    if fact.previous is not None:
        yield Row((at.tenant, fact.previous), {"is_default": False})
    if fact.rule_set_id is not None:
        yield Row((at.tenant, fact.rule_set_id), {"is_default": True})


retry_groups = Table(
    "retry_groups",
    key=(TENANT, Column("account_group", TEXT)),
    columns=(Column("retried", FLAG), Column("rule_set_id", TEXT)),
)
"""Account groups whose failed collections were ever retried in a way of their own."""


@retry_groups.on(RetriesOfGroupDecided)
def decided_for_group(fact: RetriesOfGroupDecided, at: Place, own: Own) -> Iterable[Row]:
    changes = {"retried": fact.retried, "rule_set_id": fact.rule_set_id}
    yield Row((at.tenant, fact.account_group), changes)


def _defined(definition: RetryDefinition, version: int) -> dict[str, Any]:
    return {
        "use_alternate_method": definition.use_alternate_method,
        "intervals": definition.intervals.told(),
        "rules": [
            {
                **{name: getattr(rule, name) for name in ("number", "category", "gateway_id", "raw_code")},
                "intervals": rule.intervals.told(),
                "own": list(rule.own),
            }
            for rule in definition.rules
        ],
        "window_of_day": dict(vars(definition.window)) if definition.window else None,
        "definition_version": version,
    }


# -- what is planned for an item


@schedule_items.on(ItemRetryScheduled)
def scheduled(fact: ItemRetryScheduled, at: Place, own: Own) -> Iterable[Row]:
    rule = fact.rule
    yield Row(
        (at.tenant, fact.item_id),
        {
            "next_retry_at": fact.at,
            "retry": fact.attempt,
            "retries_max": fact.max,
            "retry_method_id": fact.method_id,
            "retry_is_alternate": fact.is_alternate,
            "retry_cause": fact.cause,
            "retry_why": list(fact.why),
            "retry_ended": None,
            "rule_set_id": rule.rule_set_id,
            "definition_version": rule.definition_version,
            "rule_number": rule.number,
            "match_level": rule.match_level,
            "first_failed_at": fact.first_failed_at,
            "error_gateway_id": fact.previous.gateway_id,
        },
    )


@schedule_items.on(ItemRetryPostponed)
def postponed(fact: ItemRetryPostponed, at: Place, own: Own) -> Iterable[Row]:
    until = {"next_retry_at": fact.at} if fact.at else {}
    yield Row((at.tenant, fact.item_id), {**until, "reason": fact.reason})


@schedule_items.on(ItemRetrySkipped, ItemRetriesExtended, ItemRetriesStopped)
def decided(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    more = {"retries_max": Add(fact.attempts)} if isinstance(fact, ItemRetriesExtended) else {}
    yield Row((at.tenant, fact.item_id), {"reason": fact.reason, **more})


@schedule_items.on(ItemRetriesExhausted)
def exhausted(fact: ItemRetriesExhausted, at: Place, own: Own) -> Iterable[Row]:
    rule = fact.rule
    met = {"rule_set_id": rule.rule_set_id, "definition_version": rule.definition_version}
    more = {"rule_number": rule.number, "match_level": rule.match_level, "retry_why": list(fact.why)}
    yield Row((at.tenant, fact.item_id), {**met, **more})


@schedule_items.on(CollectionFailed)
def given_up(fact: CollectionFailed, at: Place, own: Own) -> Iterable[Row]:
    ended = {"next_retry_at": None, "retry_ended": fact.reason, "error_gateway_id": fact.gateway_id}
    yield Row((at.tenant, fact.item_id), ended)


@schedule_items.on(CollectionRecovered)
def recovered(fact: CollectionRecovered, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"next_retry_at": None, "retry_ended": "RECOVERED"})


# -- what was recovered

performance = Table(
    "collection_performance",
    key=(
        TENANT,
        *text("period", "currency", "account_group", "category", "gateway_id", "rule_set_id", "rule_number"),
        Column("attempt", "int"),
    ),
    columns=(
        *(Column(name, "int", 0) for name in ("attempts", "recovered", "recovered_by_hand", "given_up")),
        *money("attempted_amount", "recovered_amount", "recovered_by_hand_amount", "given_up_amount"),
    ),
)
"""By month (UTC), by the account's group, by what had failed, by the rule that it met, and by the number of
the attempt.

Attempt 0 is the first one: in rows with a category those that failed, in the row without those that did not,
of all groups.
Attempt n is the n-th automatic retry, under the category, gateway and rule that it was made for."""


@performance.on(PaymentScheduleItemProcessed)
def collected(fact: PaymentScheduleItemProcessed, at: Place, own: Own) -> Iterable[Row]:
    yield _first_try(at, fact.amount, 1)


@performance.on(DunningNoticed)
def noticed(fact: DunningNoticed, at: Place, own: Own) -> Iterable[Row]:
    key = _attempt(fact, at)
    if key:
        yield Row(key, {"attempts": Add(1), "attempted_amount": Add(fact.amount.amount_minor)})


@performance.on(CollectionFailed)
def lost(fact: CollectionFailed, at: Place, own: Own) -> Iterable[Row]:
    key, amount = _attempt(fact, at), fact.amount.amount_minor
    if key:
        yield Row(key, {"attempts": Add(1), "attempted_amount": Add(amount)})
    yield Row(key or _first(fact, at), {"given_up": Add(1), "given_up_amount": Add(amount)})


@performance.on(CollectionRecovered)
def won(fact: CollectionRecovered, at: Place, own: Own) -> Iterable[Row]:
    """What was collected, and not at the first try."""
    amount = fact.amount.amount_minor
    yield _first_try(at, fact.amount, -1)
    if fact.tried is None:
        by_hand = {"recovered_by_hand": Add(1), "recovered_by_hand_amount": Add(amount)}
        yield Row(_first(fact, at), by_hand)
    else:
        made = {"attempts": Add(1), "attempted_amount": Add(amount)}
        yield Row(
            _tried(fact.tried, fact, at), {**made, "recovered": Add(1), "recovered_amount": Add(amount)}
        )


def _attempt(fact: DunningNoticed | CollectionFailed, at: Place) -> RowKey | None:
    """Whose row an attempt that has just failed is counted in; None for one that a person asked for."""
    if fact.tried is not None:
        return _tried(fact.tried, fact, at)
    return _first(fact, at) if fact.stage == "FIRST_FAILURE" else None


def _tried(tried: RetryTried, fact: OfCollection, at: Place) -> RowKey:
    rule = tried.rule_set_id, tried.rule_number or ""
    group = fact.account_group or ""
    return (*_period(fact.amount, at), group, tried.category, tried.gateway_id, *rule, tried.attempt)


def _first(fact: OfCollection, at: Place) -> RowKey:
    rule = fact.rule_set_id or "", fact.rule_number or ""
    group = fact.account_group or ""
    return (*_period(fact.amount, at), group, fact.category, fact.gateway_id, *rule, 0)


def _first_try(at: Place, amount: Money, count: int) -> Row:
    changes = {"attempts": count, "recovered": count}
    amounts = dict.fromkeys(("attempted_amount", "recovered_amount"), count * amount.amount_minor)
    key = (*_period(amount, at), "", "", "", "", "", 0)
    return Row(key, {name: Add(value) for name, value in {**changes, **amounts}.items()})


def _period(amount: Money, at: Place) -> tuple[str, str, str]:
    return at.tenant, f"{at.time.astimezone(UTC):%Y-%m}", amount.currency


TABLES = (rule_sets, retry_groups, performance)
