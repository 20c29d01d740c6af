"""A batch run before it is started: what it would select now, and what would become of each item.

It is the run's own selection, and for each item the very decision that collecting it would be: nothing is
recorded, nothing is charged, no number is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from events.catalog import TOPICS
from events.criteria import Due
from events.money import Money
from events.run import PaymentBatchRunCreated
from events.schedule import PaymentScheduleItemCanceled, PaymentScheduleItemClaimed
from projections.due import DueItems
from services.clock import Clock
from services.commands import Command, encode
from services.commands import decode as decode_command
from services.errors import Rejected
from services.runs.batch_run import StartPaymentBatchRun
from services.runs.criteria import told
from services.schedules.collecting import CollectScheduleItem
from services.selecting import pages

PLANNED_MAX = 200
"""Items that are decided at a time, each by itself; of the others it is told how many are selected."""

DryRun = Callable[[Command], Awaitable[dict[str, Any]]]

_CLAIMED = f"payments.{TOPICS[PaymentScheduleItemClaimed]}"
_CANCELED = f"payments.{TOPICS[PaymentScheduleItemCanceled]}"


class Preview:
    """`dry_run` of everything: of a run's start, with the plan of the run."""

    def __init__(
        self, due: DueItems, dry_run: DryRun, clock: Clock, items_at_a_time: int = PLANNED_MAX
    ) -> None:
        self._due, self._dry_run, self._clock = due, dry_run, clock
        self._at_a_time = items_at_a_time

    async def dry_run(self, command: Command, plan_after: int = 0) -> dict[str, Any]:
        """`{position, events}`; of a run's start also its `plan`.  Raises `Rejected`.

        `plan_after` is the place behind which items are decided: where the page before has ended.
        """
        answer = await self._dry_run(command)
        if isinstance(command.data, StartPaymentBatchRun):
            return {**answer, "plan": await self._plan(command, command.data, plan_after)}
        return answer

    async def _plan(self, command: Command, start: StartPaymentBatchRun, after: int) -> dict[str, Any]:
        run = PaymentBatchRunCreated(number="", created_at=self._clock.now(), **vars(start))
        selected, requested = 0, Counter[str]()
        items: list[dict[str, Any]] = []
        async with aclosing(pages(self._due, command.tenant, run)) as reading:
            async for page in reading:
                for due in page.items:
                    selected += 1
                    requested[due.currency] += due.amount
                    if after < selected <= after + self._at_a_time:
                        items.append({"place": selected, **_told(due), **await self._becomes(command, due)})
        outcomes = Counter(item["outcome"] for item in items)
        charged = Counter[str]()
        for item in items:
            if item["outcome"] == "CHARGE":
                charged[item["amount"].currency] += item["amount"].amount_minor
        return {
            "criteria": told(start.criteria),
            "selected": selected,
            "requested": [Money(amount, currency) for currency, amount in sorted(requested.items())],
            "planned": len(items),
            "undecided": selected - len(items),
            "next_after": items[-1]["place"] if items and items[-1]["place"] < selected else None,
            "charge": outcomes["CHARGE"],
            "charged": [Money(amount, currency) for currency, amount in sorted(charged.items())],
            "skip": outcomes["SKIP"],
            "cancel": outcomes["CANCEL"],
            "reasons": dict(Counter(item["code"] for item in items if item["code"])),
            "items": items,
        }

    async def _becomes(self, command: Command, due: Due) -> dict[str, Any]:
        """What collecting it now would be decided to be."""
        cause = "RETRY" if command.data.is_retry else "RUN"
        collect = CollectScheduleItem(due.payment_schedule_id, due.item_id, cause, due.attempts + 1)
        type, body = encode(
            collect,
            tenant=command.tenant,
            account_id=due.account_id,
            actor=command.actor,
            idempotency_key=f"preview:{command.command_id}:{due.item_id}",
        )
        try:
            events = (await self._dry_run(decode_command(type, body)))["events"]
        except Rejected as rejected:
            return {"outcome": "SKIP", "code": rejected.code, "message": rejected.message}
        for event in events:
            if event["type"] == _CLAIMED:
                claimed = event["data"]
                charge = {"amount": claimed.amount, "method_id": claimed.method_id}
                return {"outcome": "CHARGE", "code": None, **charge, "gateway_id": claimed.gateway_id}
        canceled = [event["data"].reason for event in events if event["type"] == _CANCELED]
        if canceled:
            return {"outcome": "CANCEL", "code": canceled[0]}
        return {"outcome": "SKIP", "code": "ATTEMPTED_MEANWHILE"}


def _told(due: Due) -> dict[str, Any]:
    return {
        "item_id": due.item_id,
        "number": due.number,
        "payment_schedule_id": due.payment_schedule_id,
        "account_id": due.account_id,
        "target_processing_date": due.target_date,
        "amount": Money(due.amount, due.currency),
        "gateway_id": due.gateway_id,
        "method_id": due.method_id,
    }
