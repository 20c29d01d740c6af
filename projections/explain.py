"""Why something is as it is: the chain of facts that made it so, in order, with their event ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from events import ids
from events.invoice import InvoicePosted
from events.log import Log, Recorded, opened
from events.mapper import decode
from events.money import Money
from projections import numbers
from projections.rows import PostgresRows
from projections.sight import EVERYTHING, Sight
from projections.words import sentence

KINDS = (
    "invoice", "payment", "cm", "refund", "ro", "auth", "account", "spm", "gw", "gwcall",
    "exception", "inbox", "settings", "dispute", "payout", "payoutline", "bankline", "settlereport",
    "ps", "promise", "paylink", "pspolicy", "scheduler", "run", "dm", "period", "retryset", "retrysets",
)  # fmt: skip

_RELATED = {
    "invoice_id": "invoice",
    "payment_id": "payment",
    "credit_memo_id": "cm",
    "refund_id": "refund",
    "orchestration_id": "ro",
    "authorization_id": "auth",
    "payout_id": "payout",
    "line_id": "payoutline",
    "bank_line_id": "bankline",
    "payment_schedule_id": "ps",
    "payment_link_id": "paylink",
    "debit_memo_id": "dm",
    "scheduler_id": "scheduler",
    "run_id": "run",
}
"""Fields of facts that name other aggregates, with the kind of stream."""


async def streams_of(log: Log, tenant: str, id: str) -> list[str]:
    """The streams that an id may name: a whole stream, `{kind}-{id}`, an id of any kind, or an
    invoice by the id that its sender gave it."""
    given = id.removeprefix(f"{tenant}/")
    kind = given.partition("-")[0]
    names = [given] if kind in KINDS else []
    names += [f"{kind}-{given}" for kind in KINDS]
    names.append(f"invoice-{ids.invoice_id(tenant, given)}")
    found = [f"{tenant}/{name}" for name in names]
    return [stream for stream in found if await log.read_stream(stream)]


async def explain(
    log: Log,
    tenant: str,
    id: str,
    *,
    related: bool = False,
    sight: Sight = EVERYTHING,
    rows: PostgresRows | None = None,
) -> list[dict[str, Any]]:
    """Every fact of what the id names: what it says, who caused it, and by which command.

    What it asked of a gateway is told with it: the request, with its Level 2 and 3 data, and the answers.
    `related` tells the facts of the payments, memos, refunds and invoices that they name too.
    With `rows`, a document's number does, too, and what names an item of a schedule; and sentences call
    documents by their numbers.
    """
    events = await _events(log, await streams_of(log, tenant, id))
    if not events and rows is not None:
        events = await _numbered(log, tenant, id, rows)
    streams = {event.stream for event in events}
    if events and not any(sight.sees(event) for event in events):
        sight.check(events[0])
    if related:
        named = {stream for event in events for stream in _named(tenant, event)} - streams
        events += await _events(log, sorted(named))
    asked = {orjson.loads(event.data).get("gateway_idempotency_key") for event in events}
    events += await _events(log, [f"{tenant}/gwcall-{key}" for key in sorted(asked - {None})])
    once = {event.position: event for event in events}
    in_order = [event for position in sorted(once) if sight.sees(event := once[position])]
    facts = [told(event, sight) for event in await opened(log, in_order)]
    if rows is not None:
        await numbers.told(rows, tenant, facts)
    return facts


async def _numbered(log: Log, tenant: str, called: str, rows: PostgresRows) -> list[Recorded]:
    found = await numbers.found(rows, tenant, called)
    if found is None:
        return []
    events = await _events(log, [f"{tenant}/{found.stream}"])
    item = (found.item_id or "").encode()
    return [event for event in events if item in event.data]


async def _events(log: Log, streams: Sequence[str]) -> list[Recorded]:
    return [event for stream in streams for event in await log.read_stream(stream)]


def _named(tenant: str, event: Recorded) -> list[str]:
    fields = orjson.loads(event.data)
    return [f"{tenant}/{kind}-{fields[name]}" for name, kind in _RELATED.items() if fields.get(name)]


def told(event: Recorded, sight: Sight = EVERYTHING) -> dict[str, Any]:
    meta, fact = orjson.loads(event.meta), decode(event.topic, event.data)
    return {
        "event_id": event.event_id,
        "position": event.position,
        "type": f"payments.{event.topic}",
        "at": event.occurred_at,
        "sentence": sentence(sight.told(fact)),
        "left": _left(fact),
        "command_id": event.command_id,
        "actor": meta.get("actor"),
        "correlation_id": meta.get("correlation_id"),
        "causation_id": meta.get("causation_id"),
        "references": meta.get("references"),
        "data": sight.shown(orjson.loads(event.data)),
    }


def _left(fact: Any) -> dict[str, Any] | None:
    """What is open or unspent after the fact: an invoice's balance, what is left of a payment or a memo."""
    names = ("balance", "unapplied", "processed_amount", "total" if hasattr(fact, "posted_at") else "")
    for name in filter(None, names):
        if isinstance(amount := getattr(fact, name, None), Money):
            return {"amount_minor": amount.amount_minor, "currency": amount.currency}
    return None


async def why_balance(
    log: Log, tenant: str, invoice_id: str, sight: Sight = EVERYTHING, rows: PostgresRows | None = None
) -> dict[str, Any] | None:
    """An invoice's balance as a sum: what was posted, and each thing that changed it."""
    events = await log.read_stream(f"{tenant}/invoice-{invoice_id}")
    steps: list[dict[str, Any]] = []
    balance = 0
    if events:
        sight.check(events[0])
    for event in events:
        fact = decode(event.topic, event.data)
        after = _balance_after(fact, balance)
        if after != balance or not steps:
            steps.append({**told(event, sight), "change_minor": after - balance, "balance_minor": after})
        balance = after
    if not steps:
        return None
    if rows is not None:
        await numbers.told(rows, tenant, steps)
    return {"invoice_id": invoice_id, "balance_minor": balance, "steps": steps}


def _balance_after(fact: Any, balance: int) -> int:
    if isinstance(fact, InvoicePosted):
        return fact.total.amount_minor
    moved = getattr(fact, "balance", None)
    return moved.amount_minor if moved is not None else balance


async def why_this_payment(
    log: Log, tenant: str, orchestration_id: str, sight: Sight = EVERYTHING
) -> dict[str, Any] | None:
    """The rule and the candidates that a refund's payments were chosen by, and all that came of it."""
    events: Sequence[Recorded] = await log.read_stream(f"{tenant}/ro-{orchestration_id}")
    if not events:
        return None
    sight.check(events[0])
    plans = [
        orjson.loads(event.data) for event in events if event.topic == "refund_orchestration.plan_made.v1"
    ]
    return {
        "orchestration_id": orchestration_id,
        "rule": "the fewest payments whose applied money reaches the target: "
        "largest eligible first, then the latest applied, then by id",
        "plans": plans,
        "facts": [told(event, sight) for event in events],
    }
