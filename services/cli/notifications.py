"""`tender notifications`: what gateways have told of their own, and having it looked at again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from cyclopts import App, Parameter

from events import ids
from projections import answering
from projections.explain import told
from projections.queries import QUERIES
from projections.rows import PostgresRows
from services.calls.reports import REPORTS
from services.cli.listing import listed
from services.cli.output import Output, console, errors, show
from services.cli.session import DataDir, Tenant, Trouble, clock_of, reading, run
from services.commands import TYPES, Actor, encode
from services.door import Door, Reply
from services.notifications.heeding import HeedNotification
from services.notifications.notification import ReplayNotification
from services.store.postgres import PostgresStore

notifications = App(name="notifications", help="What gateways have told of their own.")

Gateway = Annotated[str | None, Parameter(help="Only of this gateway.")]
Status = Annotated[
    Literal["WAITING", "MATCHED", "UNMATCHED", "REJECTED"] | None, Parameter(help="Only what became this.")
]
Since = Annotated[str | None, Parameter(help="Received then or later: 2026-03-02T09:00:00Z.")]
Until = Annotated[str | None, Parameter(help="Received then or earlier.")]

WAIT_SECONDS = 10.0
SHOWN = (
    "received_at", "notification_id", "type", "result_code", "status", "operation", "target_id", "reason",
)  # fmt: skip


@notifications.command(name="list")
def list_notifications(
    *,
    tenant: Tenant = "acme",
    gateway: Gateway = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    limit: int = 50,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """The latest first."""

    async def ask() -> list[dict[str, Any]]:
        async with reading(data_dir) as (_, rows):
            asked = _asked(gateway, status, since, until) | {"limit": [str(limit)]}
            return await listed(rows, tenant, "notifications", asked, data_dir)

    show(run(ask()), output, SHOWN)


@notifications.command(name="show")
def show_notification(
    notification_id: str,
    *,
    tenant: Tenant = "acme",
    raw: Annotated[bool, Parameter(help="Also the bytes, as they came.")] = False,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """All that was recorded about one, and what became of the command that it led to."""

    async def ask() -> tuple[list[dict[str, Any]], bytes | None]:
        async with reading(data_dir) as (store, rows):
            found = await answering.one(
                rows, QUERIES["notifications"], tenant, notification_id, now=clock_of(data_dir).now()
            )
            events = await store.read_stream(ids.stream(tenant, "inbox", notification_id))
            if found is None or not events:
                raise Trouble(f"{tenant} has no notification {notification_id}")
            facts = [told(event) for event in events]
            kept = await store.raw_notification(tenant, found["raw_ref"]) if raw else None
            return [*facts, *await _led_to(store, tenant, found)], kept.body if kept else None

    facts, body = run(ask())
    text = "its bytes are no longer kept" if body is None else body.decode("utf-8", "replace")
    if output == "json":
        show([*facts, *([{"raw": text}] if raw else [])], output)
        return
    show(facts, output, ("at", "sentence", "event_id"))
    if raw:
        print(text)


@notifications.command
def replay(
    *notification_ids: str,
    tenant: Tenant = "acme",
    gateway: Gateway = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    actor: str = "operator",
    data_dir: DataDir = None,
) -> None:
    """Have some looked at again: those that are named, or all that fit; what took effect does not again."""
    if not notification_ids and not any((gateway, status, since, until)):
        errors.print("[red]name notifications, or say which: --gateway, --status, --since, --until[/red]")
        sys.exit(2)

    asked = _asked(gateway, status, since, until)

    async def ask() -> tuple[int, list[str]]:
        async with reading(data_dir) as (store, rows):
            now = clock_of(data_dir).now
            chosen = [row async for row in _chosen(rows, tenant, notification_ids, asked, now())]
            return await _replay(store, tenant, chosen, Actor("USER", actor, ("OPERATOR",)), now)

    done, refused = run(ask())
    console.print(f"{done} replayed, {len(refused)} refused")
    for why in refused:
        console.print(f"  {why}", markup=False)
    sys.exit(1 if refused else 0)


async def _replay(
    store: PostgresStore,
    tenant: str,
    chosen: Sequence[dict[str, Any]],
    actor: Actor,
    now: Callable[[], datetime],
) -> tuple[int, list[str]]:
    """How many were looked at again, and why the others were not."""
    door, refused = Door(store, now), list[str]()
    listening = asyncio.create_task(door.run(), name="verdicts")
    try:
        for row in chosen:
            named = ReplayNotification(row["gateway_id"], row["provider_event_id"])
            key = f"replay:{row['notification_id']}:{row['version']}"
            account_id = ids.notification_home(named.inbox_id)
            type, body = encode(named, tenant=tenant, account_id=account_id, actor=actor, idempotency_key=key)
            if why := _refusal(await door.send(type, body, WAIT_SECONDS)):
                refused.append(f"{row['notification_id']}: {why}")
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return len(chosen) - len(refused), refused


def _refusal(reply: Reply) -> str:
    if reply.verdict is None:
        return "on its way, without a verdict yet"
    return (
        "" if reply.verdict.status == "ACCEPTED" else f"{reply.outcome['code']}: {reply.outcome['message']}"
    )


async def _chosen(
    rows: PostgresRows, tenant: str, named: Sequence[str], asked: dict[str, list[str]], now: datetime
) -> AsyncIterator[dict[str, Any]]:
    for id in named:
        found = await answering.one(rows, QUERIES["notifications"], tenant, id, now=now)
        if found is None:
            raise Trouble(f"{tenant} has no notification {id}")
        yield found
    while not named:
        page = await answering.page(
            rows, QUERIES["notifications"], tenant, asked | {"limit": ["200"]}, now=now
        )
        for row in page["items"]:
            if row["status"] != "REJECTED":  # what was not believed is not looked at again
                yield row
        if not page["has_more"]:
            return
        asked |= {"cursor": [page["next_cursor"]]}


async def _led_to(store: PostgresStore, tenant: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The verdict of the latest command that it led to on its account."""
    if row["status"] != "MATCHED":
        return []
    key = f"notifying:{row['notification_id']}:record:{row['replays']}"
    commands = {REPORTS.get(row["operation"]), HeedNotification} - {None}
    asked = [ids.command_id(tenant, TYPES[command], key) for command in commands if command]
    return [
        {
            "at": verdict.recorded_at,
            "sentence": f"{verdict.type}: {verdict.status}",
            "event_id": str(verdict.command_id),
            "data": orjson.loads(verdict.outcome),
        }
        for verdict in (await store.verdicts(asked)).values()
    ]


def _asked(
    gateway: str | None, status: str | None, since: str | None, until: str | None
) -> dict[str, list[str]]:
    given = {"gateway_id": gateway, "status": status, "received_at_from": since, "received_at_to": until}
    return {"sort": ["-received_at"]} | {name: [value] for name, value in given.items() if value is not None}
