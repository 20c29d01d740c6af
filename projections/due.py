"""What is due to be collected, in the order in which a run takes it: by date, the greatest first, by number.

It is put in order once, as it is then, and read page by page: however much is due, a page costs the same,
and takes no memory of ours.  The method is the one that would be used, as far as read models know it, by
the rule of `services.schedules.methods`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

from events.criteria import Due
from events.custom import CustomFields
from events.payment_method import BANK_DEBITS
from projections.accounts import accounts
from projections.folding import Rows
from projections.invoices import invoices
from projections.methods import payment_methods
from projections.rows import MemoryRows, PostgresRows
from projections.schedules import payment_schedules, schedule_items


class Cursor(NamedTuple):
    """Behind which item a page begins."""

    target_date: date
    minus_amount: int
    number: str

    @classmethod
    def of(cls, due: Due) -> Cursor:
        return cls(due.target_date, -due.amount, due.number)

    @classmethod
    def parsed(cls, text: str) -> Cursor:
        if not text:
            return BEGINNING
        day, minus_amount, number = text.split("|")
        return cls(date.fromisoformat(day), int(minus_amount), number)

    def __str__(self) -> str:
        return f"{self.target_date.isoformat()}|{self.minus_amount}|{self.number}"


_READY = "i.status = 'READY'"
_TO_BE_RETRIED = "i.status = 'FAILED' and i.next_retry_at <= $6"


class Wanted(NamedTuple):
    """What is asked for: what is ready on a day, or what failed and is to be tried again by an instant."""

    tenant: str
    run_date: date
    retried_by: datetime | None = None
    invoices: bool = False
    """With the ids of their invoices."""
    custom: bool = False
    """With their custom fields."""


BEGINNING = Cursor(date.min, -(2**62), "")

_DUE = """
select i.item_id, i.payment_schedule_id, i.account_id, i.number, i.target_processing_date, i.requested,
    i.currency, i.attempts, i.matching_value, m.method_id, m.type, m.gateway_id, {shares}, {custom}
from {s}.schedule_items i
join {s}.payment_schedules s
    on s.tenant_id = i.tenant_id and s.payment_schedule_id = i.payment_schedule_id and s.status = 'OPEN'
left join {s}.accounts a on a.tenant_id = i.tenant_id and a.account_id = i.account_id
left join lateral (
    select v.saved_payment_method_id, v.profile_id from {s}.invoices v
    where coalesce({planned}i.method_id, s.default_method_id) is null
        and v.tenant_id = i.tenant_id and v.invoice_id = i.shares -> 0 ->> 'invoice_id'
) v on true
{described}
left join {s}.payment_methods m on m.tenant_id = i.tenant_id and m.method_id = coalesce(
    {planned}i.method_id,
    s.default_method_id,
    v.saved_payment_method_id,
    {profile},
    case when s.origin = 'MANUAL' then (
        select n.method_id from {s}.payment_methods n
        where n.tenant_id = i.tenant_id and n.account_id = i.account_id and {newest}
        order by n.saved_at desc, n.method_id desc limit 1
    ) end,
    {default_profile},
    a.default_method_id
)
where i.tenant_id = $1 and {ready} and i.target_processing_date <= $2
    and (i.skipped_until is null or i.skipped_until <= $2)
    and i.target_processing_date >= $3
    and (i.target_processing_date, -i.requested, i.number) > ($3, $4, $5)
order by i.target_processing_date, -i.requested, i.number
"""


_PROFILE = """case when {id} is not null then (
        select p ->> 'saved_payment_method_id' from json_array_elements(a.billing_profiles) p
        where p ->> 'profile_id' = {id}
    ) end"""

_CUSTOM = (
    "("
    + " || ".join(f"coalesce({of}.custom_fields, '{{}}')::jsonb" for of in ("a", "d", "s", "i"))
    + ")::json"
)
"""The item's come before its schedule's, these before its invoice's, and these before its account's."""

_DESCRIBED = """left join {s}.invoices d
    on d.tenant_id = i.tenant_id and d.invoice_id = i.shares -> 0 ->> 'invoice_id'"""

_NEWEST = f"""n.status = 'ACTIVE' and n.usage <> 'ON_SESSION' and n.hard_blocked_reason is null
            and (n.owner_type = 'ACCOUNT' or n.shared_within_account)
            and (n.mandate_reference is not null or n.type not in {BANK_DEBITS})"""


class DueItems(Protocol):
    """Where items that are due are read from."""

    async def reaches(self, position: int, seconds: float) -> bool:
        """Whether what is read has reached a position of the log, in so much time at most."""
        ...

    def read(self, wanted: Wanted, after: Cursor, limit: int) -> AsyncGenerator[Sequence[Due], None]:
        """All behind an item, in order, so many at a time, as they are when the first are asked for."""
        ...


class StoredDue:
    def __init__(self, rows: PostgresRows) -> None:
        self._rows = rows

    async def reaches(self, position: int, seconds: float) -> bool:
        return await self._rows.wait_for(position, seconds)

    async def read(self, wanted: Wanted, after: Cursor, limit: int) -> AsyncGenerator[Sequence[Due], None]:
        sql, values = _asked(await self._rows.active(), wanted, after)
        async with self._rows.held(sql, *values) as fetch:
            while found := await fetch(limit):
                yield _read(found, wanted)


def _read(found: Sequence[Any], wanted: Wanted) -> Sequence[Due]:
    if wanted.invoices:
        return [Due._make((*row[:-2], _invoices(row[-2] or ()), row[-1])) for row in map(tuple, found)]
    return [Due._make(row) for row in map(tuple, found)]


def _asked(schema: str, wanted: Wanted, after: Cursor) -> tuple[str, list[Any]]:
    parts = {
        "{described}": _DESCRIBED if wanted.custom else "",
        "{custom}": _CUSTOM if wanted.custom else "null",
        "{s}": schema,
        "{shares}": "i.shares" if wanted.invoices else "null as shares",
        "{ready}": _TO_BE_RETRIED if wanted.retried_by else _READY,
        "{planned}": "i.retry_method_id, " if wanted.retried_by else "",
        "{profile}": _PROFILE.replace("{id}", "v.profile_id"),
        "{default_profile}": _PROFILE.replace("{id}", "a.default_profile_id"),
        "{newest}": _NEWEST,
    }
    sql = _DUE
    for name, part in parts.items():
        sql = sql.replace(name, part)
    values = [wanted.tenant, wanted.run_date, *after]
    return sql, [*values, wanted.retried_by] if wanted.retried_by else values


def _invoices(shares: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(share["invoice_id"] for share in shares)


class MemoryDue:
    """The same of read models in memory."""

    def __init__(self, rows: MemoryRows) -> None:
        self._rows = rows

    async def reaches(self, position: int, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while await self._rows.position("memory") < position:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return False
        return True

    async def read(self, wanted: Wanted, after: Cursor, limit: int) -> AsyncGenerator[Sequence[Due], None]:
        rows = self._rows.rows
        found = [
            _due(rows, wanted, item)
            for item in rows.get(schedule_items, {}).values()
            if item["tenant_id"] == wanted.tenant and _is_due(rows, item, wanted)
        ]
        behind = sorted((due for due in found if Cursor.of(due) > after), key=Cursor.of)
        for begin in range(0, len(behind), limit):
            yield behind[begin : begin + limit]


def _is_due(rows: Rows, item: Mapping[str, Any], wanted: Wanted) -> bool:
    schedule = rows[payment_schedules][item["tenant_id"], item["payment_schedule_id"]]
    if schedule["status"] != "OPEN" or not _is_ready(item, wanted):
        return False
    return max(item["target_processing_date"], item["skipped_until"] or date.min) <= wanted.run_date


def _is_ready(item: Mapping[str, Any], wanted: Wanted) -> bool:
    if wanted.retried_by is None:
        return item["status"] == "READY"
    at = item["next_retry_at"]
    return item["status"] == "FAILED" and at is not None and at <= wanted.retried_by


def _due(rows: Rows, wanted: Wanted, item: Mapping[str, Any]) -> Due:
    tenant = wanted.tenant
    schedule = rows[payment_schedules][tenant, item["payment_schedule_id"]]
    owner = rows.get(accounts, {}).get((tenant, item["account_id"]), {})
    planned = item["retry_method_id"] if wanted.retried_by else None
    named = planned or item["method_id"] or schedule["default_method_id"]
    method_id = named or _unnamed(rows, schedule, item, owner)
    method = rows.get(payment_methods, {}).get((tenant, method_id), {})
    names = "item_id payment_schedule_id account_id number target_processing_date requested currency attempts"
    known = (item[name] for name in (*names.split(), "matching_value"))
    used = (method.get(name) for name in ("method_id", "type", "gateway_id"))
    custom = _described(rows, schedule, item, owner) if wanted.custom else None
    return Due._make((*known, *used, _invoices(item["shares"] or ()), custom))


def _described(
    rows: Rows, schedule: Mapping[str, Any], item: Mapping[str, Any], owner: Mapping[str, Any]
) -> CustomFields:
    told = (owner, _invoice(rows, item), schedule, item)
    return {name: value for each in told for name, value in (each.get("custom_fields") or {}).items()}


def _invoice(rows: Rows, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first that it is for, if there is one."""
    key = (item["tenant_id"], item["shares"][0]["invoice_id"]) if item["shares"] else None
    return rows.get(invoices, {}).get(key, {}) if key else {}


def _unnamed(
    rows: Rows, schedule: Mapping[str, Any], item: Mapping[str, Any], owner: Mapping[str, Any]
) -> str | None:
    tenant, invoice = item["tenant_id"], _invoice(rows, item)
    meant = invoice.get("saved_payment_method_id") or _of_profile(owner, invoice.get("profile_id"))
    newest = _newest(rows, tenant, item["account_id"]) if schedule["origin"] == "MANUAL" else None
    by_default = _of_profile(owner, owner.get("default_profile_id")) or owner.get("default_method_id")
    return meant or newest or by_default


def _of_profile(owner: Mapping[str, Any], profile_id: str | None) -> str | None:
    profiles: Sequence[Mapping[str, Any]] = owner.get("billing_profiles") or ()
    named = (each["saved_payment_method_id"] for each in profiles if each["profile_id"] == profile_id)
    return next(named, None)


def _newest(rows: Rows, tenant: str, account_id: str) -> str | None:
    usable = [
        (method["saved_at"], method["method_id"])
        for method in rows.get(payment_methods, {}).values()
        if (method["tenant_id"], method["account_id"]) == (tenant, account_id) and _stands_in(method)
    ]
    return max(usable)[1] if usable else None


def _stands_in(method: Mapping[str, Any]) -> bool:
    return (
        method["status"] == "ACTIVE"
        and method["usage"] != "ON_SESSION"
        and (method["owner_type"] == "ACCOUNT" or method["shared_within_account"])
        and (method["mandate_reference"] is not None or method["type"] not in BANK_DEBITS)
        and method["hard_blocked_reason"] is None
    )
