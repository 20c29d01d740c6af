"""`tender keys`: API keys, given and taken back by who has Tender's database and its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from cyclopts import App, Parameter

from services import bootstrap
from services.access import api_key
from services.access.api_key import CreateApiKey, RevokeApiKey
from services.access.permissions import GIVEN
from services.cli.listing import listed
from services.cli.output import Output, console, errors, show, tell_json
from services.cli.session import DataDir, Tenant, Trouble, attached_store, clock_of, reading, run
from services.commands import Actor, encode
from services.door import Door
from services.signing_in import api_keys, joining
from services.store.postgres import PostgresStore

keys = App(name="keys", help="API keys: who may sign in by one, as whom, and for what.")

OPERATOR = Actor("USER", "operator", ("OPERATOR",))
WAIT_SECONDS = 30.0

Days = Annotated[int | None, Parameter(help="It opens nothing after so many days. [default: never]")]


@keys.command
def create(
    name: Annotated[str, Parameter(help="What it is for: told in lists.")],
    *,
    role: Annotated[
        tuple[str, ...], Parameter(help="PAYMENT_OPERATIONS, READ_ONLY, …; several are all his.")
    ],
    tenant: Tenant = "acme",
    actor: Annotated[
        str | None,
        Parameter(help="As whom it acts: a person's id is that of his tokens. [default: the name]"),
    ] = None,
    account: Annotated[tuple[str, ...], Parameter(help="Only these accounts.")] = (),
    command: Annotated[tuple[str, ...], Parameter(help="Only these commands: invoice.post, refund.*")] = (),
    expires_in_days: Days = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Make a key, and show it: this once, for only a digest of it is kept.

    Examples:

        tender keys create billing --role BILLING_OPERATIONS --command invoice.post
        tender keys create "ada's terminal" --role PAYMENT_ADMIN --actor ada@example.com --expires-in-days 90
    """
    roles = tuple(each.upper() for each in role)
    if strange := set(roles) - GIVEN:
        raise SystemExit(_no_roles(strange))

    async def make() -> tuple[str, datetime | None]:
        days = None if expires_in_days is None else timedelta(days=expires_in_days)
        ends = None if days is None else clock_of(data_dir).now() + days
        async with attached_store(data_dir) as (settings, store):
            pepper = joining.peppers(bootstrap.key_encryption(settings))[0]
            made = api_keys.make(tenant, pepper)
            asked = CreateApiKey(
                made.shown.key_id,
                name,
                actor or name,
                roles,
                made.salt,
                made.digest,
                "USER" if actor else "SERVICE",
                account or None,
                command or None,
                ends,
            )
            now = clock_of(data_dir).now
            await _send(store, tenant, asked, f"keys:create:{made.shown.key_id}", now)
            return str(made.shown), ends

    shown, ends = run(make())
    if output == "json":
        tell_json({"key": shown, "roles": roles, "tenant": tenant, "expires_at": ends})
    else:
        print(shown)
        errors.print("shown this once: TENDER_API_KEY, or a file named by TENDER_API_KEY_FILE", style="dim")


def _no_roles(strange: set[str]) -> int:
    errors.print(f"there is no role {', '.join(sorted(strange))}; there are: {', '.join(sorted(GIVEN))}")
    return 2


@keys.command(name="list")
def list_keys(*, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table") -> None:
    """The keys of a tenant: as whom and for what, when last used, and whether they open anything."""

    async def ask() -> list[dict[str, Any]]:
        async with reading(data_dir) as (store, rows):
            await rows.wait_for((await store.head())[0], WAIT_SECONDS)
            asked = {"limit": ["200"], "sort": ["-created_at"]}
            return await listed(rows, tenant, "api-keys", asked, data_dir)

    columns = ("key_id", "name", "actor_id", "roles", "status", "created_at", "expires_at", "last_used_at")
    show(run(ask()), output, columns)


@keys.command
def revoke(
    key_id: Annotated[str, Parameter(help="As `tender keys list` shows it, or the whole key.")],
    *,
    tenant: Tenant = "acme",
    reason: str | None = None,
    data_dir: DataDir = None,
) -> None:
    """Take a key back: it opens nothing any more, within seconds."""
    shown = api_keys.parsed(key_id)
    id, owner = (shown.key_id, shown.tenant) if shown else (key_id, tenant)

    async def take() -> None:
        async with attached_store(data_dir) as (_, store):
            asked = RevokeApiKey(id, reason)
            await _send(store, owner, asked, f"keys:revoke:{id}", clock_of(data_dir).now)

    run(take())
    console.print(f"revoked {id}", highlight=False)


async def _send(
    store: PostgresStore,
    tenant: str,
    asked: CreateApiKey | RevokeApiKey,
    key: str,
    now: Callable[[], datetime],
) -> None:
    """Raises `Trouble` where it was not accepted."""
    door = Door(store, now)
    listening = asyncio.create_task(door.run(), name="verdicts")
    try:
        home = api_key.home(asked, tenant)
        type, body = encode(asked, tenant=tenant, account_id=home, actor=OPERATOR, idempotency_key=key)
        reply = await door.send(type, body, WAIT_SECONDS)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    if reply.verdict is None:
        raise Trouble("no verdict yet: does Tender run? (`tender up`)")
    if reply.verdict.status != "ACCEPTED":
        raise Trouble(f"{reply.outcome['code']}: {reply.outcome['message']}")
