"""`tender retries`, `tender retry-policy`: failed collections, what becomes of them, and what might have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from cyclopts import App, Parameter

from projections import numbers
from projections.recovery import recovery
from projections.rows import PostgresRows
from services import hindsight
from services.cli import sending
from services.cli.listing import listed, named
from services.cli.output import Output, console, show, tell_json
from services.cli.session import DataDir, Tenant, Trouble, clock_of, fail, reading, run
from services.retries.drafting import Drafted, drafted
from services.retries.making import HardDeclinePolicy, StaggerBasis
from services.retries.precedence import About
from services.store.postgres import PostgresStore

retries = App(name="retries", help="Failed collections: what comes next for each, and why.")
retry_policy = App(name="retry-policy", help="Which rule is met, and what another rule set would have done.")

QUEUE = ("item", "account_id", "requested", "failed_with", "next_retry_at", "attempt", "rule_number", "caps")
GIVEN_UP = ("item", "account_id", "requested", "failed_with", "retry_ended", "attempts")
By = Literal["account_group", "category", "gateway_id", "rule_set_id", "rule_number", "attempt", "period"]

Item = Annotated[str, Parameter(help="The item: its number, as `tender retries queue` shows it, or its id.")]
Reason = Annotated[str, Parameter(help="Why; it is recorded.")]
Version = Annotated[int | None, Parameter(help="Of the rule set. [default: the latest]")]


@retries.command
def queue(
    *,
    account: Annotated[str | None, Parameter(help="Of this account only.")] = None,
    given_up: Annotated[bool, Parameter(help="Those that nothing more is done about.", negative="")] = False,
    tenant: Tenant = "acme",
    limit: int = 50,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Failed items that will be tried again, the next one first: when, with what, and by which rule.

    Examples:

        tender retries queue
        tender retries queue --given-up --account A-1
    """
    name, sort = ("failed-collections", "-requested") if given_up else ("retry-queue", "next_retry_at")
    asked = {"sort": [sort], "limit": [str(limit)], **({"account_id": [account]} if account else {})}

    async def ask(store: PostgresStore, rows: PostgresRows) -> Any:
        found = await listed(rows, tenant, name, asked, data_dir)
        if given_up:
            return found
        return await hindsight.queue_with_caps(store, tenant, found, clock_of(data_dir).now())

    told = _ask(ask, data_dir)
    if output == "json":
        tell_json(told)
    elif given_up:
        show([{**row, **_in_words(row)} for row in told], output, GIVEN_UP)
    else:
        show([{**row, **_in_words(row), **_next_in_words(row)} for row in told], output, QUEUE)


def _in_words(row: dict[str, Any]) -> dict[str, str]:
    failed_with = filter(None, (row["error_category"], row["error_code"]))
    return {"item": row["number"], "failed_with": ": ".join(failed_with)}


def _next_in_words(row: dict[str, Any]) -> dict[str, str]:
    """Which attempt comes next; and how much is used of what its card's network allows."""
    attempt = f"{row['retry']} of {row['retries_max']}"
    caps = (f"{cap['made']} made, {cap['words']}" for cap in row["network_caps"])
    waits = f", waits for {row['reason']}" if row["reason"] else ""
    return {"attempt": f"{attempt}{waits}", "caps": "; ".join(caps)}


@retries.command
def why(item: Item, *, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table") -> None:
    """When and why an item is tried again, or is not: the rule, level by level, the caps, what led there."""

    async def ask(store: PostgresStore, rows: PostgresRows) -> Any:
        id = await _item_id(rows, tenant, item)
        return await hindsight.why_next_attempt(store, rows, tenant, id, clock_of(data_dir).now())

    told = _ask(ask, data_dir)
    if output == "json":
        tell_json(told)
        return
    show([told], output, ("status", "attempts", "retries", "first_failed_at", "ended"))
    if told["next"]:
        show([told["next"]], output)
    for table in filter(None, ((told["precedence"] or {}).get("levels"), told["network_caps"])):
        show(table, output)
    show(told["steps"], output, ("at", "sentence"))


@retries.command
def now(
    item: Item,
    *,
    reason: Reason,
    method: Annotated[str | None, Parameter(help="With this method. [default: as the item is paid]")] = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Try an item at once; no automatic attempt is used up by it."""
    _send("retry_item_now", item, {"reason": reason, "method_id": method}, tenant, data_dir, output)


@retries.command
def skip(
    item: Item, *, reason: Reason, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table"
) -> None:
    """Leave out the attempt that is planned, as if it had been made and failed."""
    _send("skip_item_retry", item, {"reason": reason}, tenant, data_dir, output)


@retries.command
def stop(
    item: Item, *, reason: Reason, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table"
) -> None:
    """Give an item up."""
    _send("stop_item_retries", item, {"reason": reason}, tenant, data_dir, output)


@retries.command
def extend(
    item: Item,
    attempts: Annotated[int, Parameter(help="How many more, 1 to 10.")],
    *,
    reason: Reason,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Allow more attempts than the rules do; what was given up goes on."""
    given = {"attempts": attempts, "reason": reason}
    _send("extend_item_retries", item, given, tenant, data_dir, output)


async def _item_id(rows: PostgresRows, tenant: str, item: str) -> str:
    """By its number, or its id."""
    found = await numbers.found(rows, tenant, item)
    return found.item_id or item if found else item


def _send(
    verb: str, item: str, given: dict[str, Any], tenant: str, data_dir: Path | None, output: Output
) -> None:
    async def find(store: PostgresStore, rows: PostgresRows) -> Any:
        id = await _item_id(rows, tenant, item)
        return await named(rows, tenant, "schedule-items", id, data_dir, what="item")

    row = _ask(find, data_dir)
    known = {name: row[name] for name in ("payment_schedule_id", "item_id")}
    data = known | {name: value for name, value in given.items() if value is not None}
    sending.send(
        f"payment_schedule.{verb}",
        orjson.dumps(data).decode(),
        account=row["account_id"],
        tenant=tenant,
        data_dir=data_dir,
        output=output,
    )


@retries.command
def performance(
    *,
    by: Annotated[By, Parameter(help="What the figures are summed by.")] = "attempt",
    period: Annotated[str | None, Parameter(help="Of this month only: 2026-03.")] = None,
    group: Annotated[str | None, Parameter(help="Of this account group only.")] = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """What was tried and what was recovered, by currency, and by account group, category, gateway, rule, …

    Attempt 0 is the first one, attempt n the n-th automatic retry. By anything else, retries are summed.

    Examples:

        tender retries performance
        tender retries performance --by account_group --period 2026-03
    """
    given = {"period": period, "account_group": group}
    kept = {name: value for name, value in given.items() if value is not None}

    async def ask(store: PostgresStore, rows: PostgresRows) -> Any:
        return await recovery(rows, tenant, by, kept)

    show(_ask(ask, data_dir), output)


# -- policies


@retry_policy.command
def match(
    rule_set: Annotated[str, Parameter(help="The rule set.")],
    category: Annotated[str, Parameter(help="CardLimit, PaymentProcessing, Security, …")],
    *,
    gateway: Annotated[str | None, Parameter(help="Where it fails.")] = None,
    code: Annotated[str | None, Parameter(help="What the gateway calls it.")] = None,
    version: Version = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Which rule such a failure meets, and why: the five levels, in the order that they are asked in.

    Examples:

        tender retry-policy match std CardLimit --gateway stripe-eu --code insufficient_funds
    """

    async def ask(store: PostgresStore, rows: PostgresRows) -> Any:
        return await hindsight.match(store, tenant, rule_set, About(category, gateway, code), version)

    told = _ask(ask, data_dir)
    if output == "json":
        tell_json(told)
        return
    show(told["levels"], output)
    show([{"why": told["why"], **told["intervals"]}], output)


@retry_policy.command
def caps(*, tenant: Tenant = "acme", data_dir: DataDir = None, output: Output = "table") -> None:
    """How often card networks let one amount be tried with one card, as it is in effect."""

    async def ask(store: PostgresStore, rows: PostgresRows) -> Any:
        return await hindsight.network_caps(store, tenant)

    show(_ask(ask, data_dir)["caps"], output)


@retry_policy.command
def simulate(
    rule_set: Annotated[
        str | None, Parameter(help="The rule set, a draft too. [default: what was in force, as a check]")
    ] = None,
    *,
    file: Annotated[
        Path | None,
        Parameter(help="A rule set that is kept nowhere: JSON, as the command retry_rule_set.create has it."),
    ] = None,
    version: Version = None,
    stagger_basis: StaggerBasis | None = None,
    hard_decline_policy: HardDeclinePolicy | None = None,
    ignore_caps: Annotated[bool, Parameter(help="Count what breaks networks' caps.", negative="")] = False,
    account: Annotated[str | None, Parameter(help="Of this account only.")] = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """The recorded declines under another rule set: attempts, breaches of caps, timing, money recovered.

    What was recorded is followed for as long as both plan the same; the rest rests on assumptions, which are
    told. Without a rule set the policy that was in force decides again: it differs in nothing.

    Examples:

        tender retry-policy simulate patient
        tender retry-policy simulate --file patient.json
        tender retry-policy simulate patient --hard-decline-policy FOLLOW_RULES --ignore-caps --output json
    """

    if file and (rule_set or version):
        fail("a rule set of a file, or one that is kept: not both")
    instead = {"stagger_basis": stagger_basis, "hard_decline_policy": hard_decline_policy}
    if not file and not rule_set and (version or ignore_caps or any(instead.values())):
        fail("what was in force decides again as it was: this belongs to a rule set")

    async def ask(store: PostgresStore, rows: PostgresRows) -> Any:
        policy = None
        if file:
            asked = drafted_file(file, instead, ignore_caps)
            policy = await hindsight.policy_drafted(store, tenant, asked)
        elif rule_set:
            keeps = not ignore_caps
            policy = await hindsight.policy_of(store, tenant, rule_set, version, keeps_caps=keeps, **instead)
        accounts = {account} if account else None
        return await hindsight.simulate(store, rows, tenant, policy, accounts=accounts)

    told = _ask(ask, data_dir)
    if output == "json":
        tell_json(told)
        return
    show([{name: told[name] for name in _SIMULATED}], output)
    show([line for which in ("history", "simulated") for line in _lines(which, told[which])], output)
    for assumption in told["assumptions"]:
        console.print(f"- {assumption}", markup=False)


def drafted_file(file: Path, instead: dict[str, Any], ignore_caps: bool) -> Drafted:
    """Raises `Rejected`, which names the field, and `Trouble`."""
    try:
        rule_set = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise Trouble(f"{file}: this is no JSON: {error}") from error
    network_caps = "IGNORE" if ignore_caps else "KEEP"
    return drafted(orjson.dumps({"rule_set": rule_set, "network_caps": network_caps, **instead}))


_SIMULATED = ("accounts", "decisions", "items_that_fare_differently")
_SUMS = ("failed", "recovered", "by_hand", "given_up", "undecided")


def _lines(which: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "policy": which,
            "attempts": figures["attempts"],
            **{name: {"amount_minor": figures[name]["amount_minor"], "currency": currency} for name in _SUMS},
            "rate_basis_points": figures["recovery_rate_basis_points"],
            "median_seconds": figures["seconds_to_recovery"]["median"],
            "cap_breaches": told["cap_breaches"],
        }
        for currency, figures in told["by_currency"].items()
    ]


def _ask(ask: Callable[[PostgresStore, PostgresRows], Awaitable[Any]], data_dir: Path | None) -> Any:
    async def asked() -> Any:
        async with reading(data_dir) as (store, rows):
            return await ask(store, rows)

    return run(asked())
