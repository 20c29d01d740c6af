"""The demo: a week of a real shop's invoices, posted, paid, cancelled and refunded, to the last penny.

Everything goes through Kafka as commands.  The seeded gateway simulator declines some cards, loses
some answers and settles some payments late, as gateways do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

import orjson

from events import ids
from events.money import Money
from gateways.simulator.translation import CAPABILITIES
from projections.rows import PostgresRows
from services.accounts.account import RegisterAccount
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.commands import Actor
from services.demo import audit
from services.importing import posting
from services.importing.retail import CURRENCY, TILL, Reading, RetailInvoice
from services.importing.sending import Planned, Sender, Verdict
from services.invoices.posting import Line, Original, PostInvoice
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.tenants.tenant_settings import ApplySettingsPreset, ChangeTenantSettings

TENANT = "shop"
ACTOR = Actor("SYSTEM", "demo")
GATEWAY = "card-gateway"
REDUCTION_SHARE = 0.05
SETTLE_SECONDS_MAX = 60.0
READ_TIMEOUT_MS = 5_000
LEASE_SECONDS = 12.0
"""Longer than a call to this gateway can take: what a killed worker left is asked about soon after."""
DATA = "online-retail-2010-12-01--08.csv"

SETTINGS: dict[str, Any] = {
    "auto_apply_credits_to_posted_invoices": False,
    "create_payment_schedules": False,
    "unknown_outcome_poll": (1, 2, 4, 8, 16, 32),
}
"""This shop pays by hand and offsets nothing by itself; lost answers are asked about within seconds."""


class Progress(Protocol):
    """Told how much of a step is done, and of how much where that is learnt on the way."""

    def __call__(self, done: int, of: int | None = None) -> None: ...


def silent(done: int, of: int | None = None) -> None:
    """The progress of what nobody watches."""


def unwatched(name: str, of: int) -> Progress:
    """A step of which nothing is told."""
    return silent


@dataclass
class Outcome:
    """What the demo sent, and what was not accepted."""

    reading: Reading
    sums: audit.Sums
    reductions: int = 0
    reduced: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)


async def run(
    sender: Sender,
    rows: PostgresRows,
    seed: int,
    step: Callable[[str, int], Progress],
    now: Callable[[], datetime],
) -> Outcome:
    """Send everything, in the order of the file, and wait until all money is where it goes.

    `step(name, of)` announces a step and gives what its progress is told to.
    """
    with as_file(files("services.demo").joinpath(DATA)) as path:
        reading, sums = posting.read_retail(Path(path)), audit.read(Path(path))
    outcome = Outcome(reading, sums)
    for planned in _setup():  # each builds on the one before, and has a key of its own
        await send(sender, outcome.rejected, unwatched, "", [planned])
    sending = partial(send, sender, outcome.rejected, step)
    accounts = sorted({invoice.account_id for invoice in reading.invoices})
    await sending("accounts", [_registered(account) for account in accounts])
    customers = [account for account in accounts if account != TILL]
    await sending("cards on file", [_card_of(account) for account in customers])
    await sending("default cards", [_default_of(account) for account in customers])
    sales = [invoice for invoice in reading.invoices if invoice.total >= 0]
    cancellations = [invoice for invoice in reading.invoices if invoice.total < 0]
    await sending("invoices posted", [_posted(invoice) for invoice in sales])
    await sending("payments sent", [_paid(invoice) for invoice in sales if invoice.total > 0])
    await sending("cancellations posted", [_posted(invoice) for invoice in cancellations])
    await settled(rows, step("money settles", 0), now)
    reductions = await _reductions(rows, reading, seed)
    outcome.reductions, outcome.reduced = len(reductions), sum(total for _, total in reductions)
    await sending("quantity reductions", [planned for planned, _ in reductions])
    await settled(rows, step("refunds settle", 0), now)
    return outcome


def _setup() -> Iterable[Planned]:
    home = ids.tenant_home
    yield Planned(ApplySettingsPreset("recommended"), home("settings", TENANT), "demo:preset")
    yield Planned(ChangeTenantSettings(SETTINGS), home("settings", TENANT), "demo:settings")
    provider = RegisterGatewayProvider("simulator", "Simulator", "simulator", CAPABILITIES)
    yield Planned(provider, home("gateway_provider", "simulator"), "demo:provider")
    gateway = RegisterGateway(
        GATEWAY, "Cards", "simulator", "env:NONE", "shop", "TEST", read_timeout_ms=READ_TIMEOUT_MS
    )
    yield Planned(gateway, home("gateway", GATEWAY), "demo:gateway")


def _method_id(account_id: str) -> str:
    return ids.method_id(TENANT, account_id, "shop", f"card-of-{account_id}")


def _registered(account_id: str) -> Planned:
    name = "The till" if account_id == TILL else f"Customer {account_id}"
    return Planned(RegisterAccount(name, (CURRENCY,)), account_id, f"demo:register:{account_id}")


def _card_of(account_id: str) -> Planned:
    last4 = account_id[-4:].zfill(4)
    card = SavePaymentMethod(GATEWAY, f"tok_mix_{account_id}", "card", f"card-of-{account_id}", last4=last4)
    return Planned(card, account_id, f"demo:card:{account_id}")


def _default_of(account_id: str) -> Planned:
    default = SetDefaultPaymentMethod(_method_id(account_id))
    return Planned(default, account_id, f"demo:default:{account_id}")


def _posted(invoice: RetailInvoice) -> Planned:
    return Planned(posting.of_retail(invoice), invoice.account_id, f"import:{invoice.invoice_no}")


def _paid(invoice: RetailInvoice) -> Planned:
    """At the till in cash; else by the card on file."""
    amount, target = Money(invoice.total, CURRENCY), ids.invoice_id(TENANT, invoice.invoice_no)
    apply_to = (ApplyTo(target, amount),)
    if invoice.at_the_till:
        cash = RecordExternalPayment(
            amount,
            "CASH",
            f"till {invoice.invoice_no}",
            invoice.posted_at.date(),
            f"cash-{invoice.invoice_no}",
            apply_to,
        )
        return Planned(cash, TILL, f"demo:cash:{invoice.invoice_no}")
    payment = ProcessPayment(
        amount,
        payment_id=f"pay-{invoice.invoice_no}",
        method_id=_method_id(invoice.account_id),
        apply_to=apply_to,
    )
    return Planned(payment, invoice.account_id, f"demo:pay:{invoice.invoice_no}")


async def send(
    sender: Sender,
    rejected: list[tuple[str, str]],
    step: Callable[[str, int], Progress],
    name: str,
    planned: Sequence[Planned],
) -> int:
    """Send a step's commands, and note what was not accepted; the position behind the last of them."""
    verdicts = await sender.send_all(planned, step(name, len(planned)))
    for one, verdict in zip(planned, verdicts, strict=True):
        if verdict.status != "ACCEPTED":
            rejected.append((one.key, why(verdict)))
    return max((verdict.position for verdict in verdicts), default=0)


def why(verdict: Verdict) -> str:
    said = orjson.loads(verdict.outcome)
    return f"{said.get('code')}: {said.get('message')}"


async def settled(rows: PostgresRows, tell: Progress, now: Callable[[], datetime]) -> None:
    """Wait until nothing is in flight and the read models have seen it; what is not by then is in doubt."""
    loop = asyncio.get_running_loop()
    deadline, quiet, most = loop.time() + SETTLE_SECONDS_MAX, 0, 0
    while loop.time() < deadline and quiet < 3:
        schema = await rows.active()
        row = await rows.pool.fetchrow(
            f"""select (select count(*) from {schema}.payments where tenant_id = $1 and in_flight)
                + (select count(*) from {schema}.refunds where tenant_id = $1
                   and status in ('REQUESTED', 'PENDING', 'INDETERMINATE'))
                + (select count(*) from {schema}.refund_orchestrations where tenant_id = $1
                   and status in ('REQUESTED', 'WAITING_FOR_PAYMENT', 'PLANNED', 'REFUNDING')) as unsettled,
                (select position from head) - (select position from read_progress where schema = '{schema}')
                + (select count(*) from outbox_commands where due_at <= $2) as behind""",
            TENANT,
            now(),
        )
        most = max(most, row["unsettled"])
        tell(most - row["unsettled"], most)
        quiet = 0 if row["unsettled"] or row["behind"] else quiet + 1
        await asyncio.sleep(0.1)


async def _reductions(rows: PostgresRows, reading: Reading, seed: int) -> list[tuple[Planned, int]]:
    """A seeded twentieth of the paid invoices loses one piece of one line."""
    schema = await rows.active()
    paid = {
        row["external_id"]
        for row in await rows.pool.fetch(
            f"select external_id from {schema}.invoices where tenant_id = $1 "
            "and settlement_status = 'SETTLED' and account_id <> $2 and net_credits = 0",
            TENANT,
            TILL,
        )
    }
    chosen = random.Random(seed)  # noqa: S311  a demo wants the same every time
    planned: list[tuple[Planned, int]] = []
    for invoice in reading.invoices:
        lines = [part for part in invoice.lines if part.quantity > 1 and part.amount > 0]
        if invoice.invoice_no in paid and lines and chosen.random() < REDUCTION_SHARE:
            part = chosen.choice(lines)
            amount = part.amount // part.quantity
            if amount:
                planned.append((_reduced(invoice, part, amount), amount))
    return planned


def _reduced(invoice: RetailInvoice, part: Any, amount: int) -> Planned:
    number = f"R-{invoice.invoice_no}"
    line = Line(
        "r1",
        Money(-amount, CURRENCY),
        quantity="-1",
        reference=Original(external_id=invoice.invoice_no, line_id=part.line_id),
    )
    command = PostInvoice(number, CURRENCY, (line,), original_external_id=invoice.invoice_no)
    return Planned(command, invoice.account_id, f"import:{number}")
