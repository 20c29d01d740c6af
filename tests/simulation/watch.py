"""Somebody who sees every commit: folds the log anew, and holds every command to what must be true.

Invariant of the simulation: money is conserved on every stream that a command touched, each command
writes once, and what an orchestration holds is moved by its own decisions only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from events import ids
from events.credit_memo import (
    CreditMemoApplied,
    CreditMemoRefundReserved,
    CreditMemoUnapplied,
    CreditMemoVoided,
    RefundAppliedToCreditMemo,
)
from events.invoice import (
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    NegativeInvoiceLinesConverted,
)
from events.log import Recorded
from events.mapper import decode
from events.orchestration import RefundPlanMade
from events.refund import RefundApproved
from events.schedule import PaymentScheduleItemClaimed
from services.credits.credit_memo import CreditMemo
from services.decision import State
from services.invoices.invoice import Invoice
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.payment import IN_FLIGHT, Payment
from services.refunds.refund import Refund
from services.schedules.schedule import PaymentSchedule
from services.store.memory import MemoryStore
from services.store.protocol import Appended, Batch
from services.subjects import EVOLVE

MOVES = (
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    NegativeInvoiceLinesConverted,
    CreditMemoApplied,
    CreditMemoUnapplied,
    CreditMemoRefundReserved,
    RefundAppliedToCreditMemo,
    CreditMemoVoided,
)
"""What nobody may do to a locked invoice or memo but whoever holds the lock."""


BANKS = ("RETURN", "DISPUTE")
"""What a bank has done is done, whoever holds the invoice."""


class Broken(AssertionError):
    """Something that must never be."""


@dataclass
class Told:
    """What a seed has reached."""

    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    events: int = 0


class Watch:
    """The states as they are now, folded as the log grows; `broken` says the first thing that was wrong."""

    def __init__(self, told: Told) -> None:
        self.told, self.broken = told, ""
        self.facts: list[Any] = []
        """The fact of each position, from 1."""
        self.of: dict[str, dict[str, Any]] = {state.KIND: {} for state in EVOLVE}
        """By kind and id."""
        self._kinds: dict[str, type[State]] = {state.KIND: state for state in EVOLVE}
        self._written: set[UUID] = set()
        self._touched: dict[str, list[Any]] = defaultdict(list)
        self._homes: dict[str, str] = {}
        self._locks: dict[str, str] = {}
        """Locked stream to its holder, as the last command left it."""
        self._reserved: dict[str, dict[str, int]] = {}
        """Payment or memo to what orchestrations' refunds hold of it, as the last command left it."""

    def see(self, event: Recorded) -> None:
        if self.broken:
            return
        try:
            self._fold(event)
            if event.last_of_command:
                self._end_command(event)
        except Exception as broken:  # told to the story, not to whoever commits
            self.broken = f"{type(broken).__name__}: {broken}"

    def _fold(self, event: Recorded) -> None:
        kind, id = ids.parts(event.stream)[1:]
        cls, fact = self._kinds[kind], decode(event.topic, event.data)
        state = self.of[kind].get(id)
        if state is None:
            state = self.of[kind][id] = cls()
        self.facts.append(fact)
        if event.position != len(self.facts) or event.version != state.version + 1:
            raise Broken(f"a gap before {event.event_id} at {event.position}")
        if event.command_id in self._written:
            raise Broken(f"the command {event.command_id} was carried out twice: {event.event_id}")
        if self._homes.setdefault(event.stream, event.home) != event.home:
            raise Broken(f"{event.stream} was written by {event.home}")
        if isinstance(fact, RefundPlanMade):
            self._check_nothing_comes(state)
        if isinstance(fact, RefundApproved) and fact.by == state.requested_by:
            raise Broken(f"{fact.by} approved the refund that he asked for: {id}")
        if isinstance(fact, PaymentScheduleItemClaimed) and fact.run_page:
            self._check_alone(state.account_id, fact)
        before = getattr(state, "status", "")
        EVOLVE[cls](state, fact)
        state.version = event.version
        self._touched[event.stream].append(fact)
        self.told.facts[event.topic] += 1
        self._count(state, kind, before)

    def _count(self, state: Any, kind: str, before: str) -> None:
        status = getattr(state, "status", "")
        if status != before:
            self.told.states[f"{kind} {status}"] += 1
        if isinstance(state, RefundOrchestration):
            for leg in state.legs.values():
                self.told.states[f"leg {leg.status}"] += 1
        elif isinstance(state, Invoice):
            self.told.states[f"invoice {state.settlement_status}"] += 1

    def _check_nothing_comes(self, ro: RefundOrchestration) -> None:
        """A plan counts the money that is there: it is not made while more is on its way."""
        for payment in self.of["payment"].values():
            aims = {intended.invoice_id for intended in payment.intended}
            if payment.status in IN_FLIGHT and ro.original_invoice_id in aims:
                raise Broken(f"planned {ro.orchestration_id} while {payment.payment_id} is on its way")

    def _check_alone(self, account_id: str, claimed: PaymentScheduleItemClaimed) -> None:
        """A run never has two items of an account at a gateway, nor one that somebody else has there."""
        for schedule in self.of["ps"].values():
            for item in schedule.items.values():
                busy = item.status == "PROCESSING" and not item.unknown
                if busy and schedule.account_id == account_id:
                    raise Broken(f"{claimed} while {item.plan.item_id} is being collected")

    # -- at the end of every command

    def _end_command(self, event: Recorded) -> None:
        touched = dict(self._touched)
        self._touched.clear()
        self._written.add(event.command_id)
        for stream, facts in touched.items():
            kind, id = ids.parts(stream)[1:]
            state = self.of[kind][id]
            if kind in ("payment", "cm", "invoice"):
                self._check_money(state)
                self._check_untouchable(stream, state, facts, touched.keys())
            elif isinstance(state, RefundOrchestration):
                self._check_orchestration(state)
            elif isinstance(state, Refund) and state.balance < 0:
                raise Broken(f"more was taken than was refunded: {state}")
            elif isinstance(state, PaymentSchedule):
                self._check_schedule(state)

    def _check_money(self, state: Any) -> None:
        match state:
            case Payment():
                parts = tuple(state.buckets.values())
                ok = min(parts) >= 0 and sum(parts) == state.received
                ok = ok and state.applied == sum(a.amount for a in state.applications.values())
                ok = ok and state.refund_reserved == sum(state.reservations.values())
                ok = ok and self._is_mirrored(state.applications)
            case CreditMemo():
                parts = (state.applied, state.refunded, state.refund_reserved, state.balance)
                lines = sum(line.balance for line in state.lines.values())
                ok = state.status != "POSTED" or (sum(parts) == state.total and lines == state.balance)
                ok = ok and min(parts) >= 0 and self._is_mirrored(state.applications)
            case Invoice():
                applied = sum(a.amount for a in state.applications.values())
                converted = sum(line.converted for line in state.lines.values())
                ok = state.balance == state.total - converted - applied
                ok = ok and all(
                    id in self.of[a.source_kind][a.source_id].applications
                    for id, a in state.applications.items()
                )
                ok = ok and (state.total < 0 or state.balance >= 0)
                ok = ok and (
                    state.level == "INVOICE" or state.balance == sum(x.balance for x in state.lines.values())
                )
            case _:
                raise AssertionError(state)
        if not ok:
            raise Broken(f"not conserved: {state}")

    def _check_schedule(self, schedule: PaymentSchedule) -> None:
        """No more is planned than was to be collected, and what is under way is one payment's."""
        going = [item for item in schedule.items.values() if item.status == "PROCESSING"]
        ok = schedule.planned <= schedule.total_requested and not any(
            item.processed > item.requested or item.applied > item.processed
            for item in schedule.items.values()
        )
        ok = ok and all(self.of["payment"][item.payment_id].in_flight for item in going)
        if not ok:
            raise Broken(f"not as planned: {schedule}")

    def _is_mirrored(self, applications: dict[str, Any]) -> bool:
        """What has left a source is what its invoice has got."""
        return all(
            id in self.of["invoice"][a.invoice_id].applications
            and self.of["invoice"][a.invoice_id].applications[id].amount == a.amount
            for id, a in applications.items()
        )

    def _check_untouchable(self, stream: str, state: Any, facts: list[Any], touched: Any) -> None:
        """What somebody holds is moved only by a decision that is recorded on his stream too."""
        tenant = stream.partition("/")[0]
        holder = self._locks.get(stream)
        moves = [
            fact for fact in facts if isinstance(fact, MOVES) and getattr(fact, "cause", "") not in BANKS
        ]
        if holder and moves:
            kind, _, id = holder.partition(":")
            own = f"{tenant}/{'ro' if kind == 'refunding' else kind}-{id}"
            if own not in touched and not self._is_of_sibling(state, touched):
                raise Broken(f"{stream} is held by {holder}, and others moved it: {moves}")
        if getattr(state, "locked_by", None):
            self._locks[stream] = state.locked_by
        else:
            self._locks.pop(stream, None)
        if isinstance(state, Payment | CreditMemo):
            self._check_reserved(stream, state, touched)

    def _is_of_sibling(self, state: Any, touched: Any) -> bool:
        """A refund that came back opens its orchestration again, whoever has its invoice or memo by then."""
        others = [self.of["ro"][ids.parts(stream)[2]] for stream in touched if "/ro-" in stream]
        if isinstance(state, CreditMemo):
            return any(ro.credit_memo_id == state.credit_memo_id for ro in others)
        return isinstance(state, Invoice) and any(ro.original_invoice_id == state.invoice_id for ro in others)

    def _check_reserved(self, stream: str, state: Payment | CreditMemo, touched: Any) -> None:
        """Reserved money of an orchestration grows and shrinks with its own facts only."""
        now = {refund_id: _minor(held) for refund_id, held in state.reservations.items()}
        before = self._reserved.get(stream, {})
        for refund_id in now.keys() | before.keys():
            refund: Refund | None = self.of["refund"].get(refund_id)
            if refund is None:
                raise Broken(f"{stream} holds money for the refund {refund_id}, which nobody knows")
            if not refund.orchestration_id or now.get(refund_id) == before.get(refund_id):
                continue
            if f"{stream.partition('/')[0]}/ro-{refund.orchestration_id}" not in touched:
                raise Broken(f"{stream}: the orchestrated refund {refund_id} was touched by others")
        self._reserved[stream] = now

    def _check_orchestration(self, ro: RefundOrchestration) -> None:
        """Its money: sent back, still to be placed by its legs, or kept; never more than its memo has.

        What it was asked for may have grown by then: a refund of the same memo may have come back.
        """
        memo: CreditMemo = self.of["cm"][ro.credit_memo_id]
        if ro.refunded > memo.total or min(ro.refunded, ro.open_credit) < 0:
            raise Broken(f"an orchestration sent back what it had not: {ro}")
        for leg in ro.legs.values():
            if leg.status in ("REQUESTED", "PENDING", "FAILED", "MANUAL"):
                source = self.of[leg.source_kind][leg.source_id]
                if _minor(source.reservations.get(leg.refund_id, 0)) != leg.amount:
                    raise Broken(f"leg {leg.no} of {ro.orchestration_id} does not hold its money: {leg}")


def _minor(held: Any) -> int:
    """A reservation: an amount, or amounts of lines."""
    return held if isinstance(held, int) else sum(line.amount.amount_minor for line in held)


class WatchedStore(MemoryStore):
    """The store in memory, with a witness of every commit."""

    def __init__(self, watch: Watch, **settings: Any) -> None:
        super().__init__(**settings)
        self._watch = watch

    async def commit(self, batch: Batch) -> Appended:
        appended = await super().commit(batch)
        if batch.events or batch.verdicts:
            self._check_what_was_read(batch, appended)
        for event in self._log[appended.first_position - 1 :]:
            self._watch.see(event)
        return appended

    def _check_what_was_read(self, batch: Batch, appended: Appended) -> None:
        """What a decision rests on is as it read it, up to the moment that it becomes a fact."""
        homes, streams = {home for home, _ in appended.moved}, {stream for _, stream in appended.moved}
        if stale := (streams & batch.read_streams) | (homes & batch.read_homes):
            raise Broken(f"decided on what is no longer so: {sorted(stale)}")
