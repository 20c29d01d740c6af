"""An item's attempt has failed: in the same decision the next one is planned, or it is given up.

Invariant: only what is known to have failed is tried again; whatever is decided is a fact,
with the rule, the version of its set and the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from events.money import Money
from events.retrying import (
    CollectionFailed,
    CollectionRecovered,
    DunningNoticed,
    ItemRetriesExhausted,
    ItemRetryScheduled,
    MatchedRule,
    OfCollection,
    PreviousFailure,
    RetryTerms,
    RetryTried,
)
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.decision import Changes, Context, Draft, Need, Needs, States
from services.retries import wallet as wallets
from services.retries.cycle import Cycle
from services.retries.deciding import Failure, GiveUp, Next, Progress, RetryAt, Terms, decide_next
from services.retries.resolving import Resolved
from services.retries.rule_set import RetryRuleSet, RetryRuleSets, sets_needed
from services.retries.tally import POSTPONED_BY_ADVICE, POSTPONED_BY_CAP
from services.retries.timing import hours_of, moved_into
from services.schedules.methods import method_id_of
from services.schedules.schedule import Item, PaymentSchedule
from services.tenants import tenant_settings


def needed(states: States, payment_schedule_id: str, item_id: str, context: Context) -> Needs:
    """What decides about a failure of an item: its cycle's rule set, or the default, and the methods."""
    yield tenant_settings.needed(context)
    yield sets_needed(context)
    yield from wallets.needed(states, context)
    schedule, sets = (
        states.find(PaymentSchedule, payment_schedule_id),
        states.find(RetryRuleSets, context.tenant),
    )
    item = schedule.items.get(item_id) if schedule else None
    if item and item.retry.rule:
        yield Need(RetryRuleSet, item.retry.rule.rule_set_id)
    owner = states.find(Account, context.account_id)
    default = sets.of(owner.preferences.account_group) if sets and owner else None
    if default:
        yield Need(RetryRuleSet, default)


def after_failure(
    draft: Draft,
    states: States,
    payment_schedule_id: str,
    item_id: str,
    just_now: Changes,
    context: Context,
) -> None:
    """Once the failure is recorded on the draft: what follows it.  `just_now` is what was decided with it."""
    cycle = draft.get(PaymentSchedule, payment_schedule_id).items[item_id].retry
    if cycle.ended is not None:
        return  # a person tried again what was given up: it stays so
    following = Following(draft, states, payment_schedule_id, item_id, context, failed_now=True)
    following.carry_on(just_now=just_now)


def after_success(
    draft: Draft,
    states: States,
    payment_schedule_id: str,
    item_id: str,
    before: Cycle,
    late: bool,
    context: Context,
) -> None:
    """Once the success is recorded on the draft: it is told where something had failed before it."""
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    item = schedule.items[item_id]
    if not before.has_failed:
        return
    assert before.first_failed_at
    assert item.payment_id
    tried = None if late else _tried(before)
    amount, group = Money(item.processed, schedule.currency), _group(states, context)
    recovered = CollectionRecovered(
        **vars(_of_collection(schedule, item, before, amount, group, tried)),
        payment_id=item.payment_id,
        by="RETRY" if tried else "HAND",
        hint="REINSTATE" if before.ended is not None else "NONE",
        first_failed_at=before.first_failed_at,
    )
    draft.record(PaymentSchedule, payment_schedule_id, recovered)


def _of_collection(
    schedule: PaymentSchedule,
    item: Item,
    cycle: Cycle,
    amount: Money,
    group: str | None,
    tried: RetryTried | None,
) -> OfCollection:
    latest, rule = cycle.latest, cycle.rule
    assert latest
    return OfCollection(
        account_id=schedule.account_id,
        account_group=group,
        payment_schedule_id=schedule.payment_schedule_id,
        item_id=item.plan.item_id,
        invoice_ids=tuple(share.invoice_id for share in item.shares),
        amount=amount,
        attempts=item.attempts,
        retries=cycle.made,
        category=latest.category,
        gateway_id=latest.gateway_id,
        rule_set_id=rule.rule_set_id if rule else None,
        rule_number=rule.number if rule else None,
        tried=tried,
    )


def _group(states: States, context: Context) -> str | None:
    return states.get(Account, context.account_id).preferences.account_group


def _tried(cycle: Cycle) -> RetryTried | None:
    """The automatic retry that was under way."""
    made = cycle.carried_out
    if made is None:
        return None
    return RetryTried(
        attempt=made.attempt,
        category=made.previous.category,
        gateway_id=made.previous.gateway_id,
        rule_set_id=made.rule.rule_set_id,
        rule_number=made.rule.number,
        method_id=made.method_id,
        is_alternate=made.is_alternate,
    )


@dataclass(frozen=True)
class Pinned:
    """What a cycle keeps to: a version of a rule set, and settings as they were."""

    rule_set_id: str
    version: int
    pin: RetryTerms
    terms: Terms

    def matched(self, found: Resolved) -> MatchedRule:
        number = found.rule.number if found.rule else None
        return MatchedRule(self.rule_set_id, self.version, number, found.level)


class Following:
    """One item, after a failure, in one decision."""

    def __init__(
        self,
        draft: Draft,
        states: States,
        payment_schedule_id: str,
        item_id: str,
        context: Context,
        *,
        failed_now: bool = False,
    ) -> None:
        """`failed_now`: what follows is due to an attempt, not to what somebody decided since."""
        self._draft, self._states, self._context = draft, states, context
        self._id, self._item_id, self._failed_now = payment_schedule_id, item_id, failed_now

    @property
    def schedule(self) -> PaymentSchedule:
        return self._draft.get(PaymentSchedule, self._id)

    @property
    def item(self) -> Item:
        return self.schedule.items[self._item_id]

    def record(self, fact: object) -> None:
        self._draft.record(PaymentSchedule, self._id, fact)

    def carry_on(
        self,
        *,
        cause: str = "AUTOMATIC",
        counted_from: datetime | None = None,
        just_now: Changes = (),
    ) -> Next | None:
        """Plan the next attempt, or give up; None where failures are not retried at all.

        `counted_from` stands for the failure where an attempt was left out.
        """
        before = self.item.retry
        pinned = self._terms(before)
        if pinned is None:
            self.give_up("RETRIES_OFF")
            return None
        following = self.next(pinned, counted_from, just_now)
        if isinstance(following, RetryAt):
            self._plan(following, pinned, cause)
        else:
            self._exhaust(following, pinned)
        return following

    def next(
        self,
        pinned: Pinned,
        counted_from: datetime | None = None,
        just_now: Changes = (),
    ) -> Next:
        cycle, now = self.item.retry, self._context.now
        latest, first = cycle.latest, cycle.first_failed_at
        assert latest
        assert first
        failure = Failure(
            category=latest.category,
            raw_code=latest.raw_code,
            gateway_id=latest.gateway_id,
            method_id=latest.method_id,
            at=counted_from or latest.failed_at,
            hard=latest.hard,
            never_retry=latest.never_retry,
        )
        owner = self._states.get(Account, self._context.account_id)
        own = cycle.instead or method_id_of(self._states, self.schedule, self.item, owner) or latest.method_id
        amount = Money(self.item.requested, self.schedule.currency)
        wallet = wallets.of(self._states, own, cycle, amount, self._context, just_now)
        progress = Progress(first, cycle.made, cycle.extra, cycle.spent)
        return decide_next(failure, progress, pinned.terms, wallet, max(now, counted_from or now))

    def give_up(self, reason: str) -> None:
        latest = self.item.retry.latest
        assert latest
        failed = CollectionFailed(
            **vars(self._told(_tried(self.item.retry) if self._failed_now else None)),
            reason=reason,
            hint="SUSPEND",
            raw_code=latest.raw_code,
            stage=self._stage() if self._failed_now else "DECIDED",
        )
        self.record(failed)

    def _told(self, tried: RetryTried | None) -> OfCollection:
        schedule, item, group = self.schedule, self.item, _group(self._states, self._context)
        amount = Money(item.requested, schedule.currency)
        return _of_collection(schedule, item, item.retry, amount, group, tried)

    def pinned(self) -> Pinned | None:
        return self._terms(self.item.retry)

    def network_allows_at(self) -> tuple[datetime, str] | None:
        """When what is planned may be made, and why then, where its card's network allows it later than now:
        what was tried with the card for other items counts too, and what was advised then."""
        planned, pinned = self.item.retry.planned, self.pinned()
        if planned is None or pinned is None:
            return None
        method = self._states.get(SavedMethod, planned.method_id)
        amount = Money(self.item.requested, self.schedule.currency)
        at, cap = wallets.allowed(self._states, method, self.item.retry, amount, self._context)
        reason = POSTPONED_BY_CAP if cap else None
        wait = wallets.wait(self._states, method, self.item.retry, self._context)
        if wait is not None and at < wait.until:
            at, reason = wait.until, POSTPONED_BY_ADVICE
        return (moved_into(pinned.terms.hours, at), reason) if reason else None

    def plan_rearmed(self, method_id: str, pinned: Pinned) -> None:
        """At once, with a method that the account has now, outside the cap (3.3, step 9)."""
        cycle = self.item.retry
        assert cycle.latest
        found, now = self.next(pinned).resolved, self._context.now
        wait = wallets.wait(self._states, self._states.get(SavedMethod, method_id), cycle, self._context)
        self._plan(
            RetryAt(
                at=max(now, wait.until) if wait else now,
                attempt=cycle.made + 1,
                max=found.intervals.attempts + cycle.extra,
                method_id=method_id,
                is_alternate=method_id != cycle.latest.method_id,
                after_hard_decline=False,
                resolved=found,
                why=(
                    f"the account pays with {method_id} now: it is tried at once",
                    *((f"{wait}: not before",) if wait and now < wait.until else ()),
                ),
            ),
            pinned,
            "REARMED",
        )

    def _terms(self, cycle: Cycle) -> Pinned | None:
        """What the cycle began under; for one that begins, the default as it is now."""
        settings = tenant_settings.of(self._states, self._context)
        preferences = self._states.get(Account, self._context.account_id).preferences
        group = _group(self._states, self._context)
        sets = self._states.get(RetryRuleSets, self._context.tenant)
        default = sets.of(group)
        if not sets.retried(group, settings["retry_failed_payments"]) or default is None:
            return None
        caps = tuple(settings["card_network_caps"])
        if cycle.rule and cycle.terms:
            id, version, terms = cycle.rule.rule_set_id, cycle.rule.definition_version, cycle.terms
        else:
            id, version = default, self._states.get(RetryRuleSet, default).latest
            allows = settings["never_retry_override"] is not None
            terms = RetryTerms(settings["stagger_basis"], settings["hard_decline_policy"], allows)
        definition = self._states.get(RetryRuleSet, id).definitions[version]
        zone = preferences.time_zone or settings["time_zone"]
        hours = hours_of(definition.window, zone, preferences.calendar, preferences.pay_day)
        whole = Terms(
            definition, terms.interval_basis, terms.hard_decline_policy, terms.allows_never_retry, caps, hours
        )
        return Pinned(id, version, terms, whole)

    def _plan(self, planned: RetryAt, pinned: Pinned, cause: str) -> None:
        cycle = self.item.retry
        latest = cycle.latest
        assert latest
        assert cycle.first_failed_at
        scheduled = ItemRetryScheduled(
            item_id=self._item_id,
            cycle_no=cycle.no,
            attempt=planned.attempt,
            max=planned.max,
            at=planned.at,
            rule=pinned.matched(planned.resolved),
            terms=pinned.pin,
            method_id=planned.method_id,
            is_alternate=planned.is_alternate,
            previous=PreviousFailure(latest.category, latest.raw_code, latest.hard, latest.gateway_id),
            first_failed_at=cycle.first_failed_at,
            cause=cause,
            after_hard_decline=planned.after_hard_decline,
            why=planned.why,
        )
        self.record(scheduled)
        if self._failed_now:
            self._notice(planned)

    def _notice(self, planned: RetryAt) -> None:
        cycle, stage = self.item.retry, self._stage()
        assert cycle.latest
        noticed = DunningNoticed(
            **vars(self._told(_tried(cycle))),
            stage="LAST_ATTEMPT_NEXT" if planned.is_last and stage != "FIRST_FAILURE" else stage,
            hint="WARN" if planned.is_last else "REMIND",
            next_attempt_at=planned.at,
            raw_code=cycle.latest.raw_code,
        )
        self.record(noticed)

    def _stage(self) -> str:
        cycle = self.item.retry
        assert cycle.latest
        return "FIRST_FAILURE" if cycle.latest.failed_at == cycle.first_failed_at else "RETRY_FAILED"

    def _exhaust(self, ended: GiveUp, pinned: Pinned) -> None:
        cycle = self.item.retry
        exhausted = ItemRetriesExhausted(
            item_id=self._item_id,
            cycle_no=cycle.no,
            attempts=cycle.made,
            reason=ended.reason,
            rule=pinned.matched(ended.resolved),
            terms=pinned.pin,
            why=ended.why,
        )
        self.record(exhausted)
        self.give_up(ended.reason)
