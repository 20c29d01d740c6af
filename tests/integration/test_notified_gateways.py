"""Gateways' news on a whole Tender: lost altogether, or told ten times; the money ends where it must.

Two tenants do the same at one simulator.  Of the silent one's operations it tells nothing, of the loud
one's everything ten times, within some seconds and in no order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from events import ids
from gateways.simulator.translation import CAPABILITIES
from projections.models import TABLES
from projections.rows import PostgresRows
from projections.verify import verify
from services import bootstrap
from services.accounts.account import RegisterAccount
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.commands import Actor
from services.importing.sending import Planned, Sender, sender
from services.invoices.posting import Line, PostInvoice
from services.notifications.notification import ReplayNotification
from services.payments.paying import ApplyTo, ProcessPayment
from services.refunds.refunding import IssueRefund
from services.running import stack
from services.settings import Settings
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import money

TENANTS = {"silent": "+lost", "loud": "+repeat_10"}
DECLINED = ("FAILED", 0, 0, 0)

PAYMENTS = {
    "tok_ok": ("PROCESSED", 10_000, 0, 0),
    "tok_async_ok": ("PROCESSED", 10_000, 0, 0),
    "tok_async_fail": DECLINED,
    "tok_soft_funds": DECLINED,
    "tok_hard_lost": DECLINED,
    "tok_timeout_after": ("PROCESSED", 10_000, 0, 0),
    "tok_timeout_before": ("PROCESSED", 10_000, 0, 0),
    "tok_system_error_1": ("PROCESSED", 10_000, 0, 0),
    "tok_short": ("PROCESSED", 0, 9_999, 0),
    "tok_refund_async": ("PROCESSED", 6_000, 0, 4_000),
    "tok_refund_async_fail": ("PROCESSED", 6_000, 4_000, 0),
    "tok_refund_timeout_after": ("PROCESSED", 6_000, 0, 4_000),
}
"""Of each card: the status of its payment of 100.00; what is applied, unapplied and refunded, in cents."""

CASES = Counter({"AMOUNT_MISMATCH": 1})
LEDGER = {"USD": {"taken": 2 * 89_999, "given_back": 2 * 8_000}}


class World:
    """A running Tender, and those who watch it."""

    def __init__(self, running: stack.Stack, rows: PostgresRows, senders: dict[str, Sender]) -> None:
        self.running, self._rows, self._senders = running, rows, senders

    async def send(self, what: Callable[[str], Iterable[Planned]]) -> None:
        """The same to both tenants; all must be accepted."""
        await asyncio.gather(*(self.send_to(tenant, what(tenant)) for tenant in self._senders))

    async def send_to(self, tenant: str, planned: Iterable[Planned]) -> None:
        for verdict in await self._senders[tenant].send_all(planned):
            assert verdict.status == "ACCEPTED", verdict.outcome

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        """Rows of the read models, in `{s}`, or of the store."""
        return await self._rows.pool.fetch(query.format(s=await self._rows.active()), *arguments)

    async def until(self, query: str, seconds: float = 90.0) -> None:
        async with asyncio.timeout(seconds):
            while not (await self.fetch(f"select {query}"))[0][0]:
                await asyncio.sleep(0.1)

    async def settled(self) -> None:
        await self.until(
            "not exists (select 1 from outbox_commands where due_at < now() + interval '4 seconds')"
            " and not exists (select 1 from gateway_work)"
            " and not exists (select 1 from {s}.payments where in_flight)"
            " and (select position from head) = (select position from read_progress where schema = '{s}')"
        )

    async def check(self) -> None:
        """Both tenants stand where they must, the books are whole, and the gateway agrees."""
        for tenant in TENANTS:
            assert await self._payments(tenant) == PAYMENTS, tenant
            raised = "select type, count(*) from {s}.exceptions where tenant_id = $1 group by 1"
            assert Counter(dict(map(tuple, await self.fetch(raised, tenant)))) == CASES, tenant
        assert [check for check in await verify(self._rows) if check.violations] == []
        async with httpx.AsyncClient(base_url=self.running.settings.simulator_url or "") as client:
            assert (await client.get("/v1/totals")).json() == LEDGER

    async def _payments(self, tenant: str) -> dict[str, tuple[Any, ...]]:
        found = await self.fetch(
            "select payment_id, status, applied, unapplied, refunded from {s}.payments where tenant_id = $1",
            tenant,
        )
        return {row[0]: tuple(row)[1:] for row in found}

    async def moved(self) -> list[str]:
        """Every fact of what the money did."""
        kinds = "stream like '%/payment-%' or stream like '%/refund-%' or stream like '%/invoice-%'"
        return [row[0] for row in await self.fetch(f"select topic from log where {kinds} order by position")]


async def set_up(made: World, tenant: str) -> None:
    polls = {"unknown_outcome_poll": (1, 2, 3, 4, 5, 6)}
    provider = RegisterGatewayProvider("sim", "Simulator", "simulator", CAPABILITIES)
    gateway = RegisterGateway("gw", tenant, "sim", "env:NONE", "m1", "TEST", read_timeout_ms=5_000)
    for command, home in (
        (ChangeTenantSettings(polls), ids.tenant_home("settings", tenant)),
        (provider, ids.tenant_home("gateway_provider", "sim")),
        (gateway, ids.tenant_home("gateway", "gw")),
    ):
        await made.send_to(tenant, [Planned(command, home, home)])


def cards(tenant: str) -> Iterable[Planned]:
    for token in PAYMENTS:
        yield Planned(RegisterAccount(token), token, f"register {token}")
        card = SavePaymentMethod("gw", f"{token}{TENANTS[tenant]}", "card", token)
        yield Planned(card, token, f"card {token}")
        line = Line("1", money(100))
        yield Planned(PostInvoice(f"INV-{token}", "USD", (line,)), token, f"post {token}")


def sales(tenant: str) -> Iterable[Planned]:
    for token in PAYMENTS:
        invoice, method = ids.invoice_id(tenant, f"INV-{token}"), ids.method_id(tenant, token, "m1", token)
        apply_to = (ApplyTo(invoice, money(100)),)
        sale = ProcessPayment(money(100), payment_id=token, method_id=method, apply_to=apply_to)
        yield Planned(sale, token, f"pay {token}")


def refunds(tenant: str) -> Iterable[Planned]:
    for token in PAYMENTS:
        if "refund" in token:
            refund = IssueRefund(token, money(40), "CUSTOMER_REQUEST", "REOPEN_INVOICES")
            yield Planned(refund, token, f"refund {token}")


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Two tenants' cards that behave in every way, all charged, some refunded, and all of it settled."""
    settings = Settings(data_dir=folder / "tender", http_port=0, simulator_mood="lost")
    async with AsyncExitStack() as opened:
        running = await opened.enter_async_context(stack.running(settings))
        store = await opened.enter_async_context(bootstrap.store(running.settings))
        url, kafka = running.settings.database_url or "", running.settings.kafka_bootstrap_servers or ""
        rows = await opened.enter_async_context(PostgresRows.connected(url, TABLES))
        topics, actor = bootstrap.topics(running.settings), Actor("USER", "test")
        senders = {
            tenant: await opened.enter_async_context(sender(store, kafka, topics, tenant, actor))
            for tenant in TENANTS
        }
        made = World(running, rows, senders)
        for tenant in TENANTS:
            await set_up(made, tenant)
        for step in (cards, sales, refunds):
            await made.send(step)
            await made.settled()
        yield made


async def test_whether_a_gateway_is_silent_or_says_all_ten_times_the_money_ends_the_same(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        await made.until("min(deliveries) >= 10 from raw_notifications")
        await made.settled()
        await made.check()
        heard = await made.fetch("select tenant_id, status, count(*) from {s}.notifications group by 1, 2")
        (kept,) = await made.fetch("select count(*) from raw_notifications")
        assert list(map(tuple, heard)) == [("loud", "MATCHED", kept[0])]
        assert kept[0] > len(PAYMENTS)
        assert await made.fetch("select count(*) from {s}.gateway_log where is_notification") == [kept]
        await _replayed(made)
        await _forged(made)


async def _replayed(made: World) -> None:
    """Every one of them looked at again: the log says so, and nothing moves."""
    before = await made.moved()
    known = await made.fetch("select gateway_id, provider_event_id, notification_id from {s}.notifications")
    await made.send_to(
        "loud",
        [
            Planned(ReplayNotification(row[0], row[1]), ids.notification_home(row[2]), f"replay {row[2]}")
            for row in known
        ],
    )
    await made.settled()
    assert await made.moved() == before
    await made.check()


async def _forged(made: World) -> None:
    """What the simulator did not sign is refused, recorded once, and believed by nobody."""
    url = f"{made.running.http_url}/v1/loud/gateways/gw/notifications"
    answer = {"result": "Success", "ref": "sim_x", "amount_minor": 10_000, "currency": "USD"}
    body = orjson.dumps({"event_id": "evt_x", "operation": "SALE", "key": "k", "answer": answer})
    async with httpx.AsyncClient() as client:
        for _ in range(3):
            refused = await client.post(url, content=body, headers={"x-simulator-signature": "t=1,v1=forged"})
            assert (refused.status_code, refused.json()["code"]) == (401, "SIGNATURE_INVALID")
        unknown = await client.post(url.replace("/gw/", "/nobody/"), content=body)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "GATEWAY_NOT_FOUND")
        await made.until("exists (select 1 from {s}.notifications where status = 'REJECTED')")
        page = f"{made.running.http_url}/v1/loud/notifications?status=REJECTED&gateway_id=gw"
        listed = await client.get(page)
        (rejected,) = listed.json()["items"]
        assert rejected["reason"] == "SIGNATURE: the signature is not the simulator's"
        metrics = (await client.get(f"{made.running.http_url}/metrics")).text
    assert 'tender_notifications_total{gateway="gw",standing="SIGNATURE"} 3.0' in metrics
    assert 'tender_notifications_total{gateway="",standing="UNKNOWN_GATEWAY"} 1.0' in metrics
    assert 'tender_notifications_kept{status="REJECTED"} 1.0' in metrics
