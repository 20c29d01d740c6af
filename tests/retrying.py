"""A tenant that retries failed collections, and one item: for tests that read like the worked examples."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from events.gateway import Capabilities
from events.shapes import Outcome
from services.retries.defining import ActivateRetryRuleSet, CreateRetryRuleSet, SetDefaultRetryRuleSet
from services.retries.making import Intervals, NewRule, Window
from services.schedules.collecting import CollectScheduleItem
from services.schedules.schedule import Item, PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule, NewItem
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import EVERYTHING, Journey, line, money

NO_FUNDS = Outcome("Decline", "CardLimit", raw_code="insufficient_funds")
STOLEN = Outcome("PermanentFail", "Security", hard=True, never_retry=True, raw_code="stolen_card")


def at(text: str) -> datetime:
    """`03-02T09:00Z` of 2026."""
    return datetime.fromisoformat(f"2026-{text.removesuffix('Z')}").replace(tzinfo=UTC)


class Retrying(Journey):
    """A tenant that retries by one rule set, and an item of 100.00 that is collected with card A."""

    def __init__(
        self,
        intervals: Intervals,
        *rules: NewRule,
        alternate: bool = False,
        window: Window | None = None,
        capabilities: Capabilities = EVERYTHING,
        **settings: Any,
    ) -> None:
        super().__init__(capabilities=capabilities, **settings)
        self.when(
            CreateRetryRuleSet(
                "Set", intervals, "set", use_alternate_method=alternate, rules=rules, window=window
            )
        ).then_accepted()
        self.when(ActivateRetryRuleSet("set")).then_accepted()
        self.when(SetDefaultRetryRuleSet("set")).then_accepted()
        self.when(ChangeTenantSettings({"retry_failed_payments": True})).then_accepted()
        self.schedule_id = self.item_id = ""

    def owe(self, method: str | None = None, name: str = "INV") -> Retrying:
        invoice = self.post(f"{name}-{len(self.ids(PaymentSchedule))}", line("1", "100.00"))
        item = NewItem(money("100.00"), date(2026, 3, 2), method)
        self.when(CreatePaymentSchedule("INVOICE", invoice, (item,))).then_accepted()
        self.schedule_id = self.last_id(PaymentSchedule)
        [self.item_id] = self.state(PaymentSchedule, self.schedule_id).items
        return self

    @property
    def item(self) -> Item:
        return self.state(PaymentSchedule, self.schedule_id).items[self.item_id]

    def collect(self, **more: Any) -> Retrying:
        self.when(CollectScheduleItem(self.schedule_id, self.item_id, **more)).then_accepted()
        return self

    def answered(self, outcome: Outcome, time: datetime | None = None) -> Retrying:
        """What became of the attempt that is under way, and what processes make of it."""
        if time:
            self.at(time)
        assert self.item.payment_id
        self.settle(self.item.payment_id, outcome).then_accepted()
        self.run_processes()
        return self

    def wait(self) -> datetime:
        """Until the next attempt is due, and is made; when that was."""
        due = self.item.retry.due_at
        assert due
        self.at(due).run_due()
        assert self.item.status == "PROCESSING", self.item
        return due

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.all_facts() if isinstance(fact, kind)]


def fixed(value: int, unit: Any, max: int) -> Intervals:
    return Intervals("FIXED", unit, (value,), max)
