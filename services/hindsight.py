"""What was decided about failures, told: which rule, why next then, and what another policy would have done.

It reads the log, account by account, and decides nothing that counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from events import ids
from events.log import Log, Recorded, pages_of_home
from events.mapper import decode
from events.money import Money
from projections import answering
from projections.explain import told
from projections.queries import QUERIES
from projections.rows import PostgresRows
from projections.sight import EVERYTHING, Sight
from services.accounts import card
from services.accounts.card import Card
from services.accounts.payment_method import SavedMethod
from services.calls.gateway import Gateway
from services.errors import Rejected, not_found
from services.retries import precedence
from services.retries.cards import cards_of
from services.retries.drafting import Drafted
from services.retries.precedence import About
from services.retries.rule_set import RetryRuleSet, RetryRuleSets
from services.retries.whatif import ASSUMPTIONS, Policy, Replay, Replayed
from services.schedules.schedule import Item, PaymentSchedule
from services.states import folded, state_of
from services.store.protocol import Store
from services.tenants.tenant_settings import TenantSettings

T = TypeVar("T")

PAGE = 5_000
"""Events of an account that are read at once."""


async def match(log: Log, tenant: str, rule_set_id: str, about: About, version: int | None) -> dict[str, Any]:
    """Which rule of a set such a failure meets, and why.  Raises `RULE_SET_NOT_FOUND`."""
    rule_set, number = await _version(log, tenant, rule_set_id, version)
    of = {"rule_set_id": rule_set_id, "definition_version": number}
    return {**of, **precedence.told(rule_set.definitions[number], about)}


async def _version(log: Log, tenant: str, rule_set_id: str, version: int | None) -> tuple[RetryRuleSet, int]:
    rule_set = await state_of(log, tenant, RetryRuleSet, rule_set_id)
    if not rule_set.status:
        raise not_found("RULE_SET", rule_set_id)
    number = rule_set.latest if version is None else version
    if number not in rule_set.definitions:
        raise Rejected("RULE_SET_NOT_FOUND", f"the rule set {rule_set_id} has no version {number}")
    return rule_set, number


async def network_caps(log: Log, tenant: str) -> dict[str, Any]:
    settings = await state_of(log, tenant, TenantSettings, tenant)
    return {"version": settings.version, "caps": precedence.caps_told(settings["card_network_caps"])}


# -- why an item is tried again when it is


async def why_next_attempt(
    log: Store, rows: PostgresRows, tenant: str, item_id: str, now: datetime, sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """What comes next for an item and why: the rule, the caps, the reasons, and every fact that led there.

    Raises `ITEM_NOT_FOUND`, and what `sight` does.
    """
    row = await answering.one(rows, QUERIES["schedule-items"], tenant, item_id, now=now)
    if row is None:
        raise not_found("ITEM", item_id)
    schedule_id = row["payment_schedule_id"]
    events = await log.read_stream(ids.stream(tenant, PaymentSchedule.KIND, schedule_id))
    sight.check(events[0])
    item = folded(PaymentSchedule, events).items[item_id]
    met = await _precedence(log, tenant, item)
    return {
        "item_id": item_id,
        "payment_schedule_id": schedule_id,
        "status": item.status,
        "attempts": item.attempts,
        "retries": item.retry.made,
        "first_failed_at": item.retry.first_failed_at,
        "next": _next(item, met),
        "ended": item.retry.ended,
        "terms": dict(vars(item.retry.terms)) if item.retry.terms else None,
        "precedence": met,
        "network_caps": await _caps(log, tenant, item, row["currency"], now),
        "steps": [told(event, sight) for event in events if _is_about(event, item_id)],
    }


def _next(item: Item, met: dict[str, Any] | None) -> dict[str, Any] | None:
    planned, cycle = item.retry.planned, item.retry
    if planned is None or met is None:
        return None
    by_rule = met["intervals"]["attempts"] + cycle.extra
    return {
        "at": cycle.due_at,
        "attempt": planned.attempt,
        "max": planned.max if planned.after_hard_decline else by_rule,
        "method_id": planned.method_id,
        "is_alternate": planned.is_alternate,
        "cause": planned.cause,
        "why": list(planned.why),
        "waits_for": cycle.kept_back,
    }


async def _precedence(log: Log, tenant: str, item: Item) -> dict[str, Any] | None:
    rule, latest = item.retry.rule, item.retry.latest
    if rule is None or latest is None:
        return None
    about = About(latest.category, latest.gateway_id, latest.raw_code)
    return await match(log, tenant, rule.rule_set_id, about, rule.definition_version)


async def _caps(store: Store, tenant: str, item: Item, currency: str, now: datetime) -> list[dict[str, Any]]:
    """Of the card that is next, or that failed."""
    planned, latest = item.retry.planned, item.retry.latest
    method_id = planned.method_id if planned else latest.method_id if latest else None
    if method_id is None:
        return []
    use = _Use(item, method_id, Money(item.requested, currency))
    [told] = await _caps_left(store, tenant, [use], now)
    return told


class _Use(NamedTuple):
    """What an item would be tried with."""

    item: Item
    method_id: str
    amount: Money


async def _caps_left(
    store: Store, tenant: str, uses: Sequence[_Use], now: datetime
) -> list[list[dict[str, Any]]]:
    """What is left of the caps of each one's card: whatever was tried with it, for any item, counts."""
    settings = await state_of(store, tenant, TenantSettings, tenant)
    methods = await _states(store, tenant, SavedMethod, {use.method_id for use in uses})
    card_ids = {id: card.id_of(method, tenant) for id, method in methods.items()}
    cards = await _states(store, tenant, Card, set(filter(None, card_ids.values())))
    told: list[list[dict[str, Any]]] = []
    for use in uses:
        own = use.item.retry.tried_with(use.method_id, use.amount.amount_minor)
        of_card = cards.get(card_ids[use.method_id] or "", Card()).tried(use.amount)
        past, network = sorted({**own, **of_card}.values()), methods[use.method_id].network
        told.append(precedence.caps_left(settings["card_network_caps"], network, past, now))
    return told


async def queue_with_caps(
    store: Store, tenant: str, rows: Sequence[dict[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Rows of the retry queue, each with what its card's network allows, and what is left of that."""
    schedules = await _states(store, tenant, PaymentSchedule, {row["payment_schedule_id"] for row in rows})
    uses = [
        _Use(
            schedules[row["payment_schedule_id"]].items[row["item_id"]],
            row["retry_method_id"],
            Money(**row["requested"]),
        )
        for row in rows
    ]
    left = await _caps_left(store, tenant, uses, now)
    return [{**row, "network_caps": caps} for row, caps in zip(rows, left, strict=True)]


async def _states(store: Store, tenant: str, state: type[T], wanted: Collection[str]) -> dict[str, T]:
    """States of one kind, by id, with one query."""
    if not wanted:
        return {}
    kind: str = state.KIND  # type: ignore[attr-defined]
    _, found = await store.load([ids.stream(tenant, kind, id) for id in wanted])
    return {ids.parts(stream)[2]: folded(state, events) for stream, events in found.items()}


def _is_about(event: Recorded, item_id: str) -> bool:
    return getattr(decode(event.topic, event.data), "item_id", None) == item_id


# -- what another policy would have done


async def policy_of(
    log: Log,
    tenant: str,
    rule_set_id: str,
    version: int | None = None,
    *,
    stagger_basis: str | None = None,
    hard_decline_policy: str | None = None,
    keeps_caps: bool = True,
) -> Policy:
    """A rule set, a draft too, as a policy to try.  Raises `RULE_SET_NOT_FOUND`."""
    rule_set, number = await _version(log, tenant, rule_set_id, version)
    return Policy(rule_set.definitions[number], stagger_basis, hard_decline_policy, keeps_caps)


async def policy_drafted(log: Log, tenant: str, asked: Drafted) -> Policy:
    """A rule set that is kept nowhere, as a policy to try.  Raises what making it would."""
    settings = await state_of(log, tenant, TenantSettings, tenant)
    return asked.policy(settings["stagger_basis"])


async def simulate(
    log: Log,
    rows: PostgresRows,
    tenant: str,
    policy: Policy | None,
    *,
    accounts: Collection[str] | None = None,
    accounts_max: int | None = None,
) -> dict[str, Any]:
    """The recorded declines under a policy, beside what became of them; None: that which was in force.

    Of these accounts only, or of all: the first `accounts_max` of them, in order.
    """
    schema, whole = await rows.active(), Replayed()
    found = await rows.pool.fetch(
        f"select distinct account_id from {schema}.schedule_items where tenant_id = $1 "
        "and (first_failed_at is not null or retry_ended is not null) order by account_id",
        tenant,
    )
    failed = [row["account_id"] for row in found if accounts is None or row["account_id"] in accounts]
    taken = failed if accounts_max is None else failed[:accounts_max]
    references = await _references(log, rows, schema, tenant)
    for account_id in taken:
        pages = pages_of_home(log, ids.home(tenant, account_id), PAGE)
        events = [event async for page in pages for event in page]
        cards = await _cards(log, tenant, events)
        whole.add(Replay(tenant, account_id, [*references, *cards], policy).run(events))
    return {
        "accounts": len(taken),
        "all_considered": len(taken) == len(failed),
        "decisions": whole.decided,
        "items_that_fare_differently": whole.diverged,
        "some_of_them": whole.unlike,
        "history": whole.history.told(),
        "simulated": whole.simulated.told(),
        "assumptions": list(ASSUMPTIONS),
    }


async def _cards(log: Log, tenant: str, events: Iterable[Recorded]) -> list[Recorded]:
    """What was tried with an account's cards, by whomever."""
    streams = [ids.stream(tenant, Card.KIND, card_id) for card_id in cards_of(tenant, events)]
    return [event for stream in streams for event in await log.read_stream(stream)]


async def _references(log: Log, rows: PostgresRows, schema: str, tenant: str) -> list[Recorded]:
    """The tenant's streams that decisions about failures rest on."""
    gateways = await rows.pool.fetch(f"select gateway_id from {schema}.gateways where tenant_id = $1", tenant)
    sets = await rows.pool.fetch(
        f"select rule_set_id from {schema}.retry_rule_sets where tenant_id = $1", tenant
    )
    streams = [
        *((state.KIND, tenant) for state in (TenantSettings, RetryRuleSets)),
        *((Gateway.KIND, row["gateway_id"]) for row in gateways),
        *((RetryRuleSet.KIND, row["rule_set_id"]) for row in sets),
    ]
    return [event for kind, id in streams for event in await log.read_stream(ids.stream(tenant, kind, id))]
