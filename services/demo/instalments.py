"""Three months of a shop that sells on instalments: each invoice is three payments, a month apart.

A scheduler runs every night and collects what is due; some cards have no funds that day, some never will,
and retries follow the recommended rules, with the customer's other card at last.  Time is moved ahead, from
one due thing to the next.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx

from events import ids
from gateways.simulator.translation import CAPABILITIES
from projections.rows import PostgresRows
from services.accounts.account import RegisterAccount
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.demo import audit
from services.demo.run import DATA, READ_TIMEOUT_MS, Progress, send, unwatched
from services.forecasting import forecast
from services.importing import posting
from services.importing.retail import CURRENCY, TILL, RetailInvoice
from services.importing.sending import Planned, Sender
from services.invoices.posting import PostInvoice, Term
from services.schedulers.planning import CreatePaymentScheduler
from services.schedulers.scheduler import home_of
from services.schedules.policy import (
    ActivateSchedulePolicy,
    AddTreatment,
    AddTreatmentDetail,
    CreateSchedulePolicy,
    Cut,
    SetDefaultSchedulePolicy,
)
from services.tenants.tenant_settings import ApplySettingsPreset

TENANT = "instalments"
GATEWAY, MERCHANT = "instalment-cards", "instalments"
POLICY, SCHEDULER = "three-months", "nightly"
SALES_OF = date(2010, 12, 1)
"""Of the week, the day whose invoices are sold so."""
DAYS = 92
CAUGHT_UP_SECONDS = 60.0
LOOK_SECONDS = 0.1


@dataclass
class Outcome:
    """What was sent, what was foretold before time moved, and what was not accepted."""

    sold: audit.Sold
    foretold: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    """How long the three months took."""
    rejected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


async def run(
    sender: Sender,
    rows: PostgresRows,
    http_url: str,
    now: Callable[[], datetime],
    step: Callable[[str, int], Progress],
) -> Outcome:
    """Sell on instalments, and let three months pass; again, nothing is sold twice and no time passes."""
    with as_file(files("services.demo").joinpath(DATA)) as path:
        reading, sold = posting.read_retail(Path(path)), audit.sold_on(Path(path), SALES_OF)
    outcome = Outcome(sold)
    sales = [one for one in reading.invoices if one.total > 0 and one.account_id != TILL and _is_day(one)]
    accounts = sorted({invoice.account_id for invoice in sales})
    position = 0
    for planned in _setup():
        position = await send(sender, outcome.rejected, unwatched, "", [planned])
    for name, sent in (
        ("customers on instalments", [_registered(account) for account in accounts]),
        (
            "their cards",
            [card for place, account in enumerate(accounts) for card in _cards_of(place, account)],
        ),
        ("the card they pay with", [_default_of(account) for account in accounts]),
        ("invoices on three instalments", [_sold(place, invoice) for place, invoice in enumerate(sales)]),
    ):
        position = await send(sender, outcome.rejected, step, name, sent)
    await rows.wait_for(position, CAUGHT_UP_SECONDS)
    begun = await _begun(rows)
    outcome.foretold = await forecast(rows, TENANT, {"until": [str(_ends(begun).date())]}, now())
    outcome.seconds = await _pass(http_url, _ends(begun), now, step("days pass", DAYS))
    return outcome


def _is_day(invoice: RetailInvoice) -> bool:
    return invoice.posted_at.date() == SALES_OF


def _ends(begun: datetime) -> datetime:
    return begun + timedelta(days=DAYS)


async def _begun(rows: PostgresRows) -> datetime:
    """When the first invoice was posted: on a second time, in the months that passed already."""
    schema = await rows.active(fresh=True)
    return await rows.pool.fetchval(
        f"select min(posted_at) from {schema}.invoices where tenant_id = $1", TENANT
    )


def _setup() -> Iterable[Planned]:
    home = ids.tenant_home
    settings = home("settings", TENANT)
    yield Planned(ApplySettingsPreset("recommended"), settings, "instalments:preset")
    provider = RegisterGatewayProvider("simulator", "Simulator", "simulator", CAPABILITIES)
    yield Planned(provider, home("gateway_provider", "simulator"), "instalments:provider")
    gateway = RegisterGateway(
        GATEWAY, "Cards", "simulator", "env:NONE", MERCHANT, "TEST", read_timeout_ms=READ_TIMEOUT_MS
    )
    yield Planned(gateway, home("gateway", GATEWAY), "instalments:gateway")
    for name, command in (
        ("policy", CreateSchedulePolicy(POLICY, "Three instalments, a month apart")),
        ("treatment", AddTreatment(POLICY, "all", "All invoices")),
        ("detail", AddTreatmentDetail(POLICY, "all", "thirds", distribution=Cut("EQUAL_INSTALLMENTS", 3))),
        ("activate", ActivateSchedulePolicy(POLICY)),
        ("default", SetDefaultSchedulePolicy(POLICY)),
    ):
        yield Planned(command, settings, f"instalments:{name}")
    nightly = CreatePaymentScheduler(
        SCHEDULER, "Every night", "DAILY", SALES_OF, preferred_time="02:00", status="ACTIVE"
    )
    yield Planned(nightly, home_of(SCHEDULER), "instalments:scheduler")


def _registered(account_id: str) -> Planned:
    customer = RegisterAccount(f"Customer {account_id}", (CURRENCY,))
    return Planned(customer, account_id, f"instalments:register:{account_id}")


def _cards_of(place: int, account_id: str) -> Iterable[Planned]:
    """Most cards are as cards are; one in ten never has funds, and its owner another card; few are lost."""
    luck = hashlib.sha256(account_id.encode()).digest()[0] % 20
    if luck < 2:
        yield _card(account_id, "first", f"tok_soft_funds+late_{place}")
        yield _card(account_id, "other", f"tok_ok_{account_id}")
    elif luck == 2:
        yield _card(account_id, "first", f"tok_hard_lost+late_{place}")
    else:
        yield _card(account_id, "first", f"tok_mix_{account_id}")


def _card(account_id: str, name: str, token: str) -> Planned:
    last4 = account_id[-4:].zfill(4)
    card = SavePaymentMethod(GATEWAY, token, "card", f"{name}-{account_id}", last4=last4)
    return Planned(card, account_id, f"instalments:card:{name}:{account_id}")


def _default_of(account_id: str) -> Planned:
    first = ids.method_id(TENANT, account_id, MERCHANT, f"first-{account_id}")
    return Planned(SetDefaultPaymentMethod(first), account_id, f"instalments:default:{account_id}")


def _sold(place: int, invoice: RetailInvoice) -> Planned:
    """The same lines, sold today; due within a week, so that no night has them all."""
    said = posting.of_retail(invoice)
    term = Term("PERIOD_BASED", place % 7)
    sold = PostInvoice(said.external_id, said.currency, said.lines, payment_term=term)
    return Planned(sold, invoice.account_id, f"instalments:invoice:{invoice.invoice_no}")


async def _pass(http_url: str, until: datetime, now: Callable[[], datetime], tell: Progress) -> float:
    """Move time there, as `tender clock advance` does; how many seconds that took."""
    begun, loop = now(), asyncio.get_running_loop()
    since = loop.time()
    async with httpx.AsyncClient(base_url=http_url, timeout=30) as client:
        if begun < until:
            moved = await client.post("/v1/clock/advance", json={"to": until.isoformat()})
            moved.raise_for_status()
        while (told := (await client.get("/v1/clock")).json())["moving_to"]:
            tell((datetime.fromisoformat(told["now"]) - begun).days)
            await asyncio.sleep(LOOK_SECONDS)
    tell(DAYS)
    return loop.time() - since
