"""After the storm: what is left over, what the gateway says, what was told, and what the read models show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

import orjson

from events import ids
from events.access import AccessDenied
from events.log import Recorded
from events.mapper import decode
from events.operations import ExceptionRaised
from events.run import PaymentBatchRunCreated, counters
from events.scheduler import (
    PaymentSchedulerActivated,
    PaymentSchedulerCreated,
    PaymentSchedulerFired,
    PaymentSchedulerUpdated,
    Timing,
)
from gateways.simulator.behaviour import REFUNDS
from gateways.simulator.core import DATA_MISMATCH
from projections.account_balances import account_balances
from projections.cash_flow import cash_flow
from projections.derived import net_balance
from projections.folding import Folder, Rows
from projections.ledger import BETWEEN, ledger_balances
from projections.models import TABLES
from services.access.denial import CODES as DENIALS
from services.authorizations.authorization import Authorization
from services.credits.credit_memo import CreditMemo
from services.disputes.dispute import Dispute
from services.invoices.invoice import Invoice
from services.orchestrations.orchestration import ENDED, RefundOrchestration
from services.payments.payment import Payment
from services.refunds.refund import Refund
from services.retries.whatif import REFERENCES, Replay
from services.runs.page import page_id
from services.runs.tally import RunTally, report
from services.schedulers.recurrence import firings
from services.schedulers.scheduler import PaymentScheduler
from services.schedules.schedule import PaymentSchedule
from services.store.memory import MemoryStore
from tests.simulation.bank import Bank, key_of
from tests.simulation.watch import Broken, Watch


def nothing_left_over(watch: Watch) -> None:
    """Everything has ended: outcomes are known, orchestrations over, and nothing is held for nobody."""
    for kind in ("payment", "refund", "auth", "cm", "invoice", "ro", "dispute", "ps", "scheduler"):
        for state in watch.of[kind].values():
            if not _has_ended(state):
                raise Broken(f"left over: {state}")


def schedulers_fired(log: Sequence[Recorded]) -> None:
    """Every instant that was planned while a scheduler was active was fired once; each firing is a run."""
    timings, active, runs = dict[str, Timing](), dict[str, datetime](), Counter[str]()
    fired: list[PaymentSchedulerFired] = []
    for event in log:
        id, fact = ids.parts(event.stream)[2], decode(event.topic, event.data)
        match fact:
            case PaymentSchedulerCreated() | PaymentSchedulerUpdated():
                timings[id] = fact.timing
            case PaymentSchedulerActivated():
                active[id] = event.occurred_at
            case PaymentSchedulerFired():
                fired.append(fact)
                if fact.cause == "PLANNED":
                    _check_firing(timings[id], active[id], fact)
                    active[id] = fact.planned_at
            case PaymentBatchRunCreated():
                runs[fact.run_id] += 1
            case _:
                pass
    if len({one.run_id for one in fired}) != len(fired):
        raise Broken("a planned instant was fired twice")
    if without := [one for one in fired if runs[one.run_id] != 1]:
        raise Broken(f"fired without a run of its own: {without}")


def _check_firing(timing: Timing, after: datetime, fired: PaymentSchedulerFired) -> None:
    planned = [one.at for one in takewhile(lambda one: one.at <= fired.planned_at, firings(timing, after))]
    if not planned or planned[-1] != fired.planned_at or len(planned) != 1 + fired.missed:
        raise Broken(f"planned {planned}, and fired {fired}")


def _has_ended(state: Any) -> bool:
    match state:
        case PaymentScheduler():
            return state.status != "ACTIVE"
        case Payment():
            going = any(transfer.phase != "SENT" for transfer in state.transfers.values())
            return not (state.in_flight or state.cancellation_key or state.reservations or going)
        case CreditMemo() | Invoice():
            return state.locked_by is None and not getattr(state, "reservations", ())
        case Refund():
            return not state.in_flight and not state.awaits_approval
        case Authorization():
            return not state.in_flight
        case Dispute():
            return not state.open
        case RefundOrchestration():
            return state.status in ENDED
        case PaymentSchedule():
            return all(item.status != "PROCESSING" for item in state.items.values())
        case _:
            raise AssertionError(state)


def runs_add_up(watch: Watch) -> None:
    """A run that nobody stopped is over, its counters add up, and say what became of each item."""
    for run_id, run in watch.of["run"].items():
        known = watch.of["runtally"].get(run_id) or RunTally()
        told = counters(report(known))
        parts = ("processed", "failed", "canceled", "skipped", "unknown", "unclaimed")
        adds_up = told["filtered"] == sum(told[name] for name in parts) and min(told.values()) >= 0
        paid = told["applied"] + told["apply_failed"] + told["awaiting_application"]
        ended = run.status in ("COMPLETED", "CANCELED", "STOPPED", "FAILED")
        if not adds_up or told["processed"] != paid or not ended or told["unknown"]:
            raise Broken(f"the run {run_id} is {run.status}, and does not add up: {told}")
        if run.status == "COMPLETED" and told["unclaimed"]:
            raise Broken(f"the run {run_id} is over, and left something: {told}")
        _as_items_are(watch, run_id, known, told)


def _as_items_are(watch: Watch, run_id: str, known: RunTally, told: Mapping[str, int]) -> None:
    """What a run knows of its items is what their schedules say, and each was frozen once."""
    frozen, collected = set[str](), Counter[str]()
    for number in range(1, known.pages + 1):
        page = watch.of["runpage"][page_id(run_id, number)]
        for item_id, item in page.items.items():
            if item_id in frozen:
                raise Broken(f"the run {run_id} has the item {item_id} twice")
            frozen.add(item_id)
            mine = watch.of["ps"][item.payment_schedule_id].items[item_id]
            outcome = page.of(item_id).outcome
            charged = [payment_id for payment_id, errand in mine.errands if errand.run_id == run_id]
            if len(charged) > 1:
                raise Broken(f"the run {run_id} has charged the item {item_id} twice: {charged}")
            taken_back = bool(charged) and outcome == mine.status == "CANCELED"
            if bool(charged) != (outcome in CHARGED or taken_back):
                raise Broken(f"the run {run_id} takes the item {item_id} for {outcome}: {mine}")
            if charged and charged[0] == mine.payment_id and outcome != mine.status:
                raise Broken(f"the run {run_id} takes the item {item_id} for {outcome}: {mine}")
            collected[item.amount.currency] += page.of(item_id).collected
    if len(frozen) != told["filtered"] or collected != Counter({c: m[1] for c, m in known.money.items()}):
        raise Broken(f"the run {run_id} counts other items than it has: {told}, {collected}")


CHARGED = ("PROCESSED", "APPLIED", "APPLY_FAILED", "FAILED")


def verdicts_are_true(memory: MemoryStore, sent: Iterable[UUID]) -> None:
    """Every command that was sent has a verdict; what a verdict says is in the log, under its command."""
    verdicts = memory._verdicts
    unanswered = set(sent) - verdicts.keys()
    if unanswered:
        raise Broken(f"no verdict: {list(unanswered)[:3]}")
    written: dict[UUID, dict[str, int]] = {}
    last: dict[UUID, int] = {}
    for event in memory._log:
        written.setdefault(event.command_id, {})[event.stream] = event.version
        last[event.command_id] = event.position
    for id, verdict in verdicts.items():
        claimed = orjson.loads(verdict.outcome).get("streams", {})
        if verdict.status == "PARKED":
            raise Broken(f"parked: {verdict.outcome!r}")
        if claimed != written.get(id, {}) or (id in last and verdict.position != last[id]):
            raise Broken(f"the verdict of {id} says {claimed}, {verdict.position}; the log {written.get(id)}")
    if written.keys() - verdicts.keys():
        raise Broken(f"events without a verdict: {written.keys() - verdicts.keys()}")


def gateway_agrees(watch: Watch, log: list[Recorded], bank: Bank) -> None:
    """The gateway's ledger and ours name the same movements, each once.

    A refund that was taken for failed and went out after all is not booked where its money has found
    another place since: it is shown to a person instead.
    """
    ours, shown = _ours(watch, log)
    theirs = Counter(
        (key_of(entry), entry.amount_minor)
        for entry in bank.simulator.entries.values()
        if entry.status == "EXECUTED" and entry.operation in REFUNDS | {"SALE", "CAPTURE"}
    )
    lacking = {movement: count for movement, count in (theirs - ours).items() if movement[0] not in shown}
    if ours - theirs or lacking:
        raise Broken(f"ours but not theirs {ours - theirs}, theirs but not ours {lacking}")
    _never_more_given_back_than_taken(bank)
    _what_was_told_adds_up(bank)


def _ours(watch: Watch, log: list[Recorded]) -> tuple[Counter[tuple[str, int]], set[str]]:
    moved: Counter[tuple[str, int]] = Counter()
    shown: set[str] = set()
    for event, fact in zip(log, watch.facts, strict=True):
        id = ids.parts(event.stream)[2]
        if event.topic == "payment.processed.v2":
            payment = watch.of["payment"][id]
            moved[_key(watch, payment, ("SALE", "CAPTURE")), fact.processed_amount.amount_minor] += 1
        elif event.topic == "refund.processed.v2":
            moved[watch.of["refund"][id].operation_key, fact.amount.amount_minor] += 1
        elif event.topic == "refund.reversed.v2":
            moved[watch.of["refund"][id].operation_key, fact.amount.amount_minor] -= 1
        elif (
            isinstance(fact, ExceptionRaised)
            and fact.type == "LATE_SUCCESS"
            and fact.subject_kind == "refund"
        ):
            shown.add(watch.of["refund"][fact.subject_id].operation_key)
    return +moved, shown


def _key(watch: Watch, payment: Payment, operations: tuple[str, ...]) -> str:
    """The key of the payment's own call by which its money came; its latest may be that of a void."""
    return next(
        key
        for key, call in watch.of["gwcall"].items()
        if call.planned.target_id == payment.payment_id
        and call.planned.operation in operations
        and call.status == "SUCCEEDED"
    )


def _what_was_told_adds_up(bank: Bank) -> None:
    """Purchase detail is refused only by those who refuse any: it was added up before it was sent."""
    for entry in bank.simulator.entries.values():
        if entry.code == DATA_MISMATCH and not entry.token.startswith("tok_data_rejected"):
            raise Broken(f"its purchase detail is not its amount: {entry}")


def _never_more_given_back_than_taken(bank: Bank) -> None:
    """Whatever the gateway would have let us do."""
    given_back: Counter[str] = Counter()
    for entry in bank.simulator.entries.values():
        if entry.status == "EXECUTED" and entry.operation in ("REFUND", "VOID"):
            given_back[entry.of] += entry.amount_minor
    taken = {entry.ref: entry.amount_minor for entry in bank.simulator.entries.values()}
    for ref, amount in given_back.items():
        if amount > taken.get(ref, 0):
            raise Broken(f"{amount} given back of {ref}, which took {taken.get(ref, 0)}")


def payouts_add_up(watch: Watch) -> None:
    """What is counted of a payout is its lines; what is settled of a payment is what lines say of it."""
    lines: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for line in watch.of["payoutline"].values():
        lines[line.reported.payout_id] += line.reported.net.amount_minor
        if line.matched and line.reported.type == "PAYMENT":
            said[line.matched.target_id] += (line.reported.charged or line.reported.gross).amount_minor
    for id, payout in watch.of["payout"].items():
        if payout.total != lines[id]:
            raise Broken(f"{payout} has lines of {lines[id]}")
    for id, payment in watch.of["payment"].items():
        if not 0 <= payment.settled <= min(payment.amount, said[id]):
            raise Broken(f"{payment.settled} of {payment.amount} settled, {said[id]} reported: {id}")


def projections_agree(log: list[Recorded], kept: Rows) -> None:
    """The read models equal a fold from zero; and the ledger agrees with the balances."""
    measure = Folder(TABLES).from_zero(log)
    for table, rows in measure.items():
        held: Mapping[Any, Any] = kept.get(table, {})
        if rows != held:
            differing = [key for key in rows.keys() | held.keys() if rows.get(key) != held.get(key)]
            raise Broken(f"{table.name} differs from a fold from zero: {differing[:3]}")
    net: Counter[tuple[Any, ...]] = Counter()
    between: Counter[str] = Counter()
    for key, row in measure[ledger_balances].items():
        if row["ledger_account"] == BETWEEN:
            between[row["currency"]] += row["debit"] - row["credit"]
        if row["ledger_account"] in ("Accounts receivable", "Unapplied cash", "Customer credits"):
            net[key[:3]] += row["debit"] - row["credit"]
    _flows_as_booked(measure)
    for key, row in measure[account_balances].items():
        if net[key] != net_balance(row):
            raise Broken(f"the ledger says {net[key]} for {key}, the balances {net_balance(row)}")
    if any(between.values()):
        raise Broken(f"lost between accounts: {between}")


def _flows_as_booked(measure: Rows) -> None:
    """The cash flow ties to the ledger: what is unapplied, what fees cost, and what is at the bank."""
    named = {"Unapplied cash": "unapplied", "Gateway fees": "fees", "Dispute fees": "fees", "Bank": "bank"}
    booked: Counter[tuple[str, str]] = Counter()
    for (_, _, currency, account), row in measure[ledger_balances].items():
        if account in named:
            debit = row["debit"] - row["credit"]
            booked[currency, named[account]] += -debit if account == "Unapplied cash" else debit
    flowed: Counter[tuple[str, str]] = Counter()
    for (_, _, currency, gateway_id, method), row in measure.get(cash_flow, {}).items():
        for name in ("unapplied", "fees"):
            flowed[currency, name] += row[name]
        left = row["refunded_outside"]
        if method and not gateway_id:
            left += row["canceled"] + row["returned"]
        flowed[currency, "bank"] += row["settled"] + row["received_outside"] - left
    differ = {key for key in booked | flowed if booked[key] != flowed[key]}
    if differ:
        raise Broken(f"the ledger says {booked}, the cash flow {flowed}")


def retries_decide_again_the_same(log: Sequence[Recorded]) -> None:
    """What followed each failure follows from the log alone: decided anew, it is what was recorded."""
    references = [event for event in log if ids.parts(event.stream)[1] in REFERENCES]
    of_accounts = dict[str, list[Recorded]]()
    for event in log:
        of_accounts.setdefault(event.home, []).append(event)
    for home, events in of_accounts.items():
        if any(event.topic == "payment_schedule.item_payment_failed.v2" for event in events):
            tenant, _, account_id = home.partition("/")
            told = Replay(tenant, account_id, references, None).run(events)
            if told.unlike or told.history.told() != told.simulated.told():
                raise Broken(f"decided otherwise the second time: {home}: {told.unlike}")


def denials_are_kept(memory: MemoryStore, log: Sequence[Recorded]) -> None:
    """Each command that was denied is told as an event; and none of Tender's own ever was."""
    facts = (decode(event.topic, event.data) for event in log)
    kept = {fact.command_id: fact for fact in facts if isinstance(fact, AccessDenied)}
    for verdict in memory._verdicts.values():
        code = orjson.loads(verdict.outcome).get("code")
        if code in DENIALS and str(verdict.command_id) not in kept:
            raise Broken(f"{code} for {verdict.type} is told nowhere")
    for fact in kept.values():
        if fact.actor_type == "SYSTEM":
            raise Broken(f"Tender itself was denied {fact.action}: {fact.message}")
