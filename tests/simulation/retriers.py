"""What a seed's people do about failed collections: rule sets, what becomes of hard declines, each item."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from events import ids
from events.money import Money
from services.accounts.account import PlacePaymentHold
from services.accounts.preferences import SetCollectionPreferences
from services.retries.cycle import Cycle
from services.retries.defining import (
    ActivateRetryRuleSet,
    CreateRetryRuleSet,
    DeactivateRetryRuleSet,
    DecideRetriesOfGroup,
    DefineRetryRules,
    SetDefaultRetryRuleSet,
)
from services.retries.making import Intervals, NewRule, Window
from services.retries.retrying import ExtendItemRetries, RetryItemNow, SkipItemRetry, StopItemRetries
from services.schedules.collecting import CollectScheduleItem
from services.schedules.schedule import Item, PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule, NewItem
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.simulation.mistakes import POUND, provokes
from tests.simulation.workload import DAY, START, TENANT, Said, Users, home_of, of, says

SETS = ("soon", "later")
"""The rule sets of a seed, besides the recommended one."""
SOON = Intervals("FIXED", "MINUTES", (2,), 2)


def _of_sets(users: Users, command: object) -> Said:
    home = ids.tenant_home("settings", TENANT)
    return Said(command, home, f"{type(command).__name__} {users.number}")


def _of_settings(users: Users, **changes: Any) -> Said:
    command = ChangeTenantSettings(changes)
    return Said(command, home_of(command), f"retry settings {users.number}")


@says(5)
def rule_sets(users: Users, account: str) -> Said:
    """A rule set comes to be, changes, becomes the default, and is one no longer."""
    chosen, id = users.chosen, users.chosen.choice(SETS)
    known = users.seen.of["retryset"].get(id)
    if known is None:
        return _of_sets(users, _created(users, id))
    rules = (
        NewRule("CardLimit", raw_code="insufficient_funds", values=(chosen.randint(1, 5),)),
        NewRule("PaymentProcessing", type="STAGGERED", unit="MINUTES", values=(1, 3, 7)),
        NewRule("Security", max=1),
    )
    match chosen.randrange(8):
        case 0:
            return _of_sets(users, DefineRetryRules(id, rules[: chosen.randint(0, 3)]))
        case 1:
            return _of_sets(users, DeactivateRetryRuleSet(id, "another is better"))
        case 2 | 3 | 4 if known.status == "ACTIVE":
            return _of_sets(users, SetDefaultRetryRuleSet(id))
        case _:
            return _of_sets(users, ActivateRetryRuleSet(id))


def _created(users: Users, id: str) -> CreateRetryRuleSet:
    if id == "soon":
        return CreateRetryRuleSet("Soon", SOON, id, use_alternate_method=users.chosen.random() < 0.7)
    days = Intervals("STAGGERED", "DAYS", (1, 3))
    window = Window(None, 9, 17, skip_weekends=True, skip_holidays=True, pay_day_within_days=5)
    return CreateRetryRuleSet("Later", days, id, window=window)


GROUPS = ("vip", "retail")


@says(3)
def groups(users: Users, account: str) -> Said:
    """A group of accounts is retried in a way of its own, or as everybody is again."""
    chosen = users.chosen
    known = users.pick_id("retryset") if chosen.random() < 0.5 else None
    retried = chosen.choice((None, None, True, False))
    return _of_sets(users, DecideRetriesOfGroup(chosen.choice(GROUPS), retried, known))


@says(3)
def preferences(users: Users, account: str) -> Said:
    """Somebody says which group an account is in, and when its payer is at home."""
    chosen = users.chosen
    wanted = SetCollectionPreferences(
        chosen.choice((None, *GROUPS)),
        chosen.choice((None, "Europe/Berlin", "America/New_York")),
        chosen.choice((None, "DE", "US", "Nowhere")),
        chosen.choice((None, 1, 31)),
    )
    return Said(wanted, account, f"preferences {users.number}")


@says(2)
def settings(users: Users, account: str) -> Said:
    chosen = users.chosen
    match chosen.randrange(6):
        case 5:
            caps = chosen.choice(((), ("visa 2/1h",), ("visa 3/2d", "visa 15/30d")))
            return _of_settings(users, card_network_caps=caps)
        case 0:
            policy = chosen.choice(("SKIP_TO_ALTERNATE", "FOLLOW_RULES", "FAIL"))
            return _of_settings(users, hard_decline_policy=policy)
        case 1:
            note = chosen.choice((None, "agreed with the acquirer in writing"))
            return _of_settings(users, never_retry_override=note)
        case 2:
            return _of_settings(users, stagger_basis=chosen.choice(("FIRST_FAILURE", "PREVIOUS_ATTEMPT")))
        case _:
            return _of_settings(users, retry_failed_payments=chosen.random() < 0.8)


@says(8)
def about_failed(users: Users, account: str) -> Said | None:
    """Somebody looks at the retry queue, and decides about one of it."""
    chosen = users.chosen

    def say(schedule: PaymentSchedule, id: str) -> object:
        item = (schedule.payment_schedule_id, id)
        match chosen.randrange(6):
            case 0:
                return SkipItemRetry(*item, "holidays")
            case 1:
                return StopItemRetries(*item, "he is bankrupt")
            case 2:
                return ExtendItemRetries(*item, chosen.randint(1, 3), "a good customer")
            case 3:
                return RetryItemNow(*item, "he called", users.method(schedule.account_id))
            case _:
                return RetryItemNow(*item, "he called")

    return _failed(users, lambda cycle: True, say)


@says(3)
def hold_what_is_queued(users: Users, account: str) -> Said | None:
    """An account asks for time while an attempt is planned: it waits until then."""
    until = START + timedelta(days=users.chosen.randint(1, 20))
    queued = users.pick("ps", lambda s: any(item.retry.planned for item in s.items.values()))
    return queued and of(users, queued, lambda _: PlacePaymentHold("he moves house", until))


@says(3)
def decide_about_queued(users: Users, account: str) -> Said | None:
    """Somebody ends what is planned, or wants more of it."""
    chosen = users.chosen

    def say(schedule: PaymentSchedule, id: str) -> object:
        if chosen.random() < 0.5:
            return StopItemRetries(schedule.payment_schedule_id, id, "he is bankrupt")
        return ExtendItemRetries(schedule.payment_schedule_id, id, chosen.randint(1, 3), "a good customer")

    return _failed(users, lambda cycle: cycle.planned is not None, say)


def _failed(
    users: Users, wanted: Callable[[Cycle], bool], say: Callable[[PaymentSchedule, str], object]
) -> Said | None:
    def is_one(item: Item) -> bool:
        return item.status == "FAILED" and wanted(item.retry)

    schedule = users.pick("ps", lambda s: s.status == "OPEN" and any(map(is_one, s.items.values())))
    if schedule is None:
        return None
    id = users.chosen.choice([id for id, item in schedule.items.items() if is_one(item)])
    return of(users, schedule, lambda s: say(s, id))


BAD = (
    "tok_soft_funds",
    "tok_hard_lost",
    "tok_async_fail",
    "tok_system_error_9",
    "tok_unmapped",
    "tok_advice_24",
)
"""Tokens of cards that are refused."""


@says(4)
def owe(users: Users, account: str) -> Said | None:
    """Something is to be collected with a card that will be refused."""
    bad = users.pick("spm", lambda m: m.status == "ACTIVE" and m.token_ref in BAD)
    if bad is None:
        return None
    id, number = bad.method_id, users.number
    item, amount = NewItem(POUND, DAY, id), Money(100, "GBP")
    made = CreatePaymentSchedule("ORDER", f"O{number}", (item,), f"S{number}", amount)
    return of(users, bad, lambda _: made)


@says(6)
def fail(users: Users, account: str) -> Said | None:
    """And is collected."""

    def is_one(item: Item) -> bool:
        return item.status == "READY" and item.plan.method_id is not None

    schedule = users.pick("ps", lambda s: s.status == "OPEN" and any(map(is_one, s.items.values())))
    if schedule is None:
        return None
    id = next(id for id, item in schedule.items.items() if is_one(item))
    return of(users, schedule, lambda s: CollectScheduleItem(s.payment_schedule_id, id))


# -- mistakes


@provokes("RULE_SET_NOT_FOUND")
def unknown_rule_set(users: Users, account: str) -> Said:
    return _of_sets(users, ActivateRetryRuleSet("no-such"))


@provokes("RULE_SET_EXISTS")
def known_rule_set(users: Users, account: str) -> Said | None:
    known = users.pick_id("retryset")
    return _of_sets(users, CreateRetryRuleSet("Again", SOON, known)) if known else None


@provokes("RETRY_RULE_DUPLICATE", "RETRY_INTERVAL_INVALID", "RETRY_MAX_INVALID", "STAGGER_NOT_ASCENDING")
def bad_rules(users: Users, account: str) -> Said | None:
    known = users.pick_id("retryset")
    if known is None:
        return None
    bad = users.chosen.choice(
        (
            (NewRule("Security", type="FIXED", values=(1,), max=1),) * 2,
            (NewRule("Security", values=(61,)),),
            (NewRule("Security", type="FIXED", values=(1,), max=11),),
            (NewRule("Security", type="STAGGERED", values=(3, 1)),),
        )
    )
    return _of_sets(users, DefineRetryRules(known, bad))


@provokes("DEFAULT_RULE_SET_REQUIRED")
def needs_a_default(users: Users, account: str) -> Said | None:
    known = users.seen.of["retrysets"].get(TENANT)
    if known is None or known.default_id is None:
        return _of_settings(users, retry_failed_payments=True)
    return _of_sets(users, DeactivateRetryRuleSet(known.default_id))


@provokes("RETRY_NOT_POSSIBLE")
def extend_what_is_not_retried(users: Users, account: str) -> Said | None:
    """Retries are switched off, and then somebody asks for more of them."""
    if users.seen.of["settings"][TENANT]["retry_failed_payments"]:
        return _of_settings(users, retry_failed_payments=False)
    return _failed(
        users, lambda cycle: True, lambda s, id: ExtendItemRetries(s.payment_schedule_id, id, 1, "try")
    )
