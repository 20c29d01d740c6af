"""Batch runs, said shortly: accounts with items that are due, and a run over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from events.money import Money
from events.run import counters
from events.shapes import Outcome
from projections.due import Cursor, MemoryDue
from projections.folding import Folder
from projections.models import TABLES
from projections.rows import MemoryRows
from services.accounts.account import RegisterAccount
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.invoices.invoice import Invoice
from services.payments.payment import IN_FLIGHT, Payment
from services.processes.process import Send
from services.runs.batch_run import PaymentBatchRun, StartPaymentBatchRun
from services.runs.page import RunPage, page_id
from services.runs.selecting import SelectRunItems
from services.runs.tally import RunTally, report
from services.schedules.items import NewItem
from services.schedules.schedule import Item, PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule
from services.selecting import frozen, pages
from tests.journey import Journey, line

DAY = date(2026, 4, 6)


class Collection(Journey):
    """Each account has one card, by default; each item an invoice of its own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.accounts: dict[str, str] = {}
        """Account to its card."""
        self.invoices: dict[str, str] = {}
        self.schedules: dict[str, str] = {}
        """Account to the last of them."""

    def owes(
        self, account: str, *amounts: str, currency: str = "USD", label: str | None = "1", on: date = DAY
    ) -> list[str]:
        """An account with an item for each amount, each of a schedule of its own; the schedules' ids."""
        self.account = account
        if account not in self.accounts:
            if account != "A":
                self.when(RegisterAccount(account)).then_accepted()
            self.accounts[account] = self.card(f"tok_{account}")
            self.when(SetDefaultPaymentMethod(self.accounts[account])).then_accepted()
        return [self._scheduled(account, amount, currency, label, on) for amount in amounts]

    def _scheduled(self, account: str, amount: str, currency: str, label: str | None, on: date) -> str:
        name = f"{account}{len(self.ids(PaymentSchedule))}"
        invoice = self.post(f"INV-{name}", line("1", amount, currency=currency))
        owed = line("1", amount, currency=currency).charge
        items = (NewItem(owed, on, matching_value=label),)
        self.when(CreatePaymentSchedule("INVOICE", invoice, items, f"S-{name}")).then_accepted()
        self.invoices[account], self.schedules[account] = invoice, f"S-{name}"
        return f"S-{name}"

    def start(self, run_id: str = "R", **more: Any) -> None:
        """Start a run, and select what it is to collect."""
        self.when(self.starting(run_id, **more)).then_accepted()
        self.select(run_id)

    def starting(self, run_id: str, **more: Any) -> StartPaymentBatchRun:
        return StartPaymentBatchRun(run_id, DAY, **more)

    def select(self, run_id: str = "R") -> None:
        rows = MemoryRows()
        Folder(TABLES).from_zero(self.events(), rows.rows)
        for command in asyncio.run(self._pages(rows, run_id)):
            self.when(command).then_accepted()

    async def _pages(self, rows: MemoryRows, run_id: str) -> list[SelectRunItems]:
        created, known = self.state(PaymentBatchRun, run_id).created, self.state(RunTally, run_id)
        commands, cursor = list[SelectRunItems](), known.cursor
        found = pages(MemoryDue(rows), self.tenant, created, Cursor.parsed(cursor), known.filtered)
        async for page in found:
            after, cursor = cursor, str(page.cursor) if page.items else cursor
            number = known.pages + len(commands) + 1
            items = tuple(map(frozen, page.items))
            commands.append(SelectRunItems(run_id, number, after, cursor, items, page.last, 1))
        return commands

    def told(self, account: str, outcome: Outcome) -> None:
        """What the gateway says of the account's payment in the air."""
        [flying] = [
            id
            for id in self.ids(Payment)
            if self.state(Payment, id).account_id == account and self.state(Payment, id).status in IN_FLIGHT
        ]
        self.account = account
        self.settle(flying, outcome).then_accepted()

    def status(self, run_id: str = "R") -> str:
        return self.state(PaymentBatchRun, run_id).status

    def counters(self, run_id: str = "R") -> dict[str, int]:
        """Those that are not 0."""
        told = counters(report(self.state(RunTally, run_id)))
        return {name: count for name, count in told.items() if count}

    def money(self, run_id: str = "R") -> dict[str, tuple[Money, Money]]:
        """Requested and collected, by currency."""
        found = report(self.state(RunTally, run_id)).money
        return {each.requested.currency: (each.requested, each.collected) for each in found}

    def outcomes(self, run_id: str = "R") -> dict[str, tuple[str, str]]:
        """By account, of runs with one item each: what became of it, and why."""
        told: dict[str, tuple[str, str]] = {}
        for number in range(1, self.state(RunTally, run_id).pages + 1):
            page = self.state(RunPage, page_id(run_id, number))
            for item in page.items.values():
                known = page.of(item.item_id)
                told[item.account_id] = known.outcome, known.code
        return told

    def item(self, schedule_id: str) -> Item:
        return next(iter(self.state_of(schedule_id).items.values()))

    def state_of(self, schedule_id: str) -> PaymentSchedule:
        return self.state(PaymentSchedule, schedule_id)

    def invoice(self, account: str) -> Invoice:
        return self.state(Invoice, self.invoices[account])

    def run_processes_but(self, lost: Callable[[Send], bool]) -> list[Send]:
        """As if some commands did not get through: those."""
        kept, held = self._let_go, list[Send]()

        def let_go(sends: Iterable[Send]) -> list[object]:
            found = list(sends)
            held.extend(filter(lost, found))
            return kept(send for send in found if not lost(send))

        self._let_go = let_go  # type: ignore[method-assign]
        self.run_processes()
        self._let_go = kept  # type: ignore[method-assign]
        return held
