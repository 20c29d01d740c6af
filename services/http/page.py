"""The page at `/`: what runs here, how it is, and where all else is.  Plain HTML, made on the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from projections.asking import Query
from projections.queries import QUERIES
from services.commands import COMMANDS
from services.watching.observing import Status

_STYLE = files("services.http").joinpath("page.css").read_text("utf-8")


def page(
    status: Status | None,
    cluster: str | None,
    tenants: Sequence[Mapping[str, Any]],
    clock: Mapping[str, Any],
) -> str:
    body = [
        "<h1>Tender</h1>",
        "<p class=soft>Payments and refunds: commands in, money moved, every cent explained.</p>",
        _state(status, cluster, clock),
        _tenants(tenants),
        _read_models(tenants[0]["tenant_id"] if tenants else "acme"),
        _why(tenants),
        _commands(),
        _more(),
    ]
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'><title>Tender</title>"
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{_STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>"
    )


def _state(status: Status | None, cluster: str | None, clock: Mapping[str, Any]) -> str:
    broker = _card("Kafka", "answers" if cluster else "away", cluster is not None) + _time(clock)
    if status is None:
        return f"<div class=cards>{_card('PostgreSQL', 'away', False)}{broker}</div>"
    behind = max(status.behind.values())
    exceptions = sum(status.exceptions.values())
    cards = [
        _card("PostgreSQL", "answers", True),
        broker,
        _card("events in the log", f"{status.events:,}"),
        _card("commands decided", f"{status.verdicts:,}"),
        _card("events that a follower is behind", f"{behind:,}", behind == 0 or None),
        _card("gateway calls without an answer", f"{sum(w.waiting for w in status.gateway_work.values()):,}"),
        _card("exceptions for a person", f"{exceptions:,}", exceptions == 0),
        _card("parked keys", f"{status.parked_keys:,}", status.parked_keys == 0),
        _card("dead letters", f"{status.dead_letters:,}", status.dead_letters == 0),
    ]
    return f"<div class=cards>{''.join(cards)}</div>"


def _time(clock: Mapping[str, Any]) -> str:
    """Told only where it is not the time of everybody else."""
    if not clock["ahead_seconds"]:
        return ""
    days = clock["ahead_seconds"] // 86_400
    moving = f", on its way to {clock['moving_to'][:10]}" if clock["moving_to"] else ""
    return _card(f"time here, {days:,} days ahead{moving}", clock["now"][:16].replace("T", " "))


def _card(what: str, value: str, good: bool | None = None) -> str:
    kind = {True: " good", False: " bad", None: ""}[good]
    return f"<div class='card{kind}'><b>{escape(value)}</b><small>{escape(what)}</small></div>"


def _tenants(tenants: Sequence[Mapping[str, Any]]) -> str:
    if not tenants:
        return (
            "<h2>Nobody is here yet</h2><p>Send a first command, or see a week of a real shop: "
            "<code>make demo ARGS=--serve</code></p><pre>tender send account.register "
            '\'{"name": "Ada Lovelace"}\' --account A-1</pre>'
        )
    rows = "".join(
        f"<tr><td><b>{escape(each['tenant_id'])}</b></td><td>{each['accounts']:,}</td>"
        f"<td>{_links(each)}</td></tr>"
        for each in tenants
    )
    return f"<h2>Tenants</h2><table><tr><th>Tenant<th>Accounts<th>Look at</tr>{rows}</table>"


def _links(tenant: Mapping[str, Any]) -> str:
    home, account = f"/v1/{quote(tenant['tenant_id'])}", quote(tenant["account_id"])
    return " · ".join(
        _link(f"{home}/{path}", name)
        for path, name in (
            ("account-balances?sort=-net_balance", "who owes"),
            ("invoices?balance_from=1&sort=due_date", "open invoices"),
            ("payments?status=FAILED", "declined"),
            ("payments?in_flight=true", "in doubt"),
            ("open-credits?sort=-balance", "open credits"),
            ("refund-orchestrations", "refunds"),
            ("exceptions?status=OPEN", "exceptions"),
            ("collections-forecast", "what will come"),
            (f"timeline?account_id={account}", "a timeline"),
        )
    )


def _link(url: str, text: str) -> str:
    return f"<a href='{escape(url)}'>{escape(text)}</a>"


def _read_models(tenant: str) -> str:
    rows = "".join(_read_model(tenant, query) for query in QUERIES.values())
    return (
        "<h2>Read models</h2><p class=soft>Filters are joined with AND, values with commas with OR; "
        "<code>sort=-field</code>, <code>limit</code>, <code>cursor</code>, <code>fields=a,b</code>, "
        "<code>min_position</code> on all; <code>as_of</code> where it says so.</p>" + rows
    )


def _read_model(tenant: str, query: Query) -> str:
    link = _link(f"/v1/{quote(tenant)}/{query.name}", query.name)
    about = f"{link} <span class=soft>{escape(query.about)}</span>"
    facts = {
        "filters": query.parameters,
        "sorts": query.sorts,
        "fields": query.fields,
        "also": ("as_of",) if query.timed_lists else (),
        "by its id also": ("as_of",) if query.timed and not query.timed_lists else (),
    }
    told = "".join(
        f"<p><small>{name}</small> <code>{escape(', '.join(names))}</code></p>"
        for name, names in facts.items()
        if names
    )
    return f"<details><summary>{about}</summary>{told}</details>"


def _why(tenants: Iterable[Mapping[str, Any]]) -> str:
    return (
        "<h2>Why</h2><p><code>/v1/{tenant}/invoices/{id}/why-balance</code></p>"
        "<p><code>/v1/{tenant}/refund-orchestrations/{id}/why-this-payment</code></p>"
        "<p><code>/v1/{tenant}/payment-schedulers/{id}/next-runs</code></p>"
        "<p><code>/v1/{tenant}/schedule-items/{id}/why-next-attempt</code></p>"
        "<p><code>/v1/{tenant}/explain/{id}</code> <span class=soft>whatever the id names; "
        "<code>?related=true</code> tells what it touched, too</span></p>"
    )


def _commands() -> str:
    by_aggregate: dict[str, list[str]] = {}
    for type in sorted(COMMANDS):
        by_aggregate.setdefault(type.split(".")[1], []).append(type)
    groups = "".join(
        f"<details><summary>{escape(aggregate.replace('_', ' '))} <span class=soft>{len(types)}</span>"
        f"</summary><div class=list>{''.join(map(_code, types))}</div></details>"
        for aggregate, types in by_aggregate.items()
    )
    return (
        "<h2>Commands</h2><p class=soft><code>POST /v1/commands/{type}</code> with "
        "<code>Idempotency-Key</code>; <code>Prefer: wait=10</code> waits for the gateway, "
        "<code>?dry_run=true</code> only tells.</p>" + groups
    )


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _more() -> str:
    return "<h2>For programs</h2><p>" + " · ".join(
        _link(url, name)
        for url, name in (
            ("/openapi.json", "OpenAPI 3.1"),
            ("/ready", "readiness"),
            ("/health", "health"),
            ("/metrics", "metrics"),
        )
    )
