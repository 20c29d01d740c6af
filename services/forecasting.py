"""What will be collected, day by day: by the same reading, criteria and recurrences that runs go by.

Nothing is kept: it follows from the items that are due by then, the retries that are planned, and the
schedulers that are active.  What rests on no fact is said with it, as `assumptions`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from events.criteria import Criteria, Due
from projections.asking import Asked, BadQuery, one_of, value
from projections.due import BEGINNING, StoredDue, Wanted
from projections.rows import PostgresRows
from projections.sight import EVERYTHING, Sight
from services.runs.criteria import CUSTOM, asks_for, matching
from services.schedulers import preview
from services.store.queries import load

DAYS, DAYS_MAX = 90, 366
PAGE = 5_000
KNOWN = frozenset({"until", "currency", "account_id"})

ASSUMPTIONS = (
    "Every payment that is asked for succeeds: what declines would move is not in it.",
    "What is not posted, planned or cut into a schedule by now is not in it.",
    "Methods are those that would be used now, and are taken to work on their day.",
    "A planned retry is counted on its day, as the whole of its item; no further retry is.",
)
BY_SCHEDULERS = "An item comes with the first run, of the schedulers that take it, on its day or after it."
BY_DAYS = "No scheduler is active: each item is counted on the day from which it may be collected."

_SQL = load("services", "forecasting.sql")
_CRITERIA = TypeAdapter(Criteria)


class Part(NamedTuple):
    """What is collected together in the forecast."""

    day: date
    currency: str
    method_type: str
    kind: str
    """PLANNED, or RETRY."""


class Left(NamedTuple):
    """What is due by then, and will not be collected as things are."""

    why: str
    """NO_PAYMENT_METHOD, ACCOUNT_ON_HOLD, NO_SCHEDULER."""
    currency: str


class Runs(NamedTuple):
    """The runs of one scheduler, and which items it takes."""

    takes: Callable[[Due], bool]
    days: Sequence[date]
    """Of each run, in order."""
    custom: bool
    """Whether it asks for custom fields."""

    def first(self, due: Due, day: date) -> date | None:
        """The first run that takes an item which may be collected from a day on."""
        if not self.takes(due):
            return None
        place = bisect_left(self.days, day)
        return self.days[place] if place < len(self.days) else None


async def forecast(
    rows: PostgresRows, tenant: str, asked: Asked, now: datetime, sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """`{from, until, days, totals, left_out, assumptions}`.  Raises `BadQuery`, `Unseen`."""
    until, currency, account_id = _asked(asked, now, sight)
    schedulers = await _schedulers(rows, tenant, now, until)
    come, left = dict[Part, list[int]](), dict[Left, list[int]]()
    held, skipped = await _held(rows, tenant, now), await _skipped(rows, tenant, now)

    def wanted(account: str, of: str) -> bool:
        seen = sight.accounts is None or account in sight.accounts
        return seen and currency in (None, of) and account_id in (None, account)

    custom = any(runs.custom for runs in schedulers)
    async for due in _due(rows, tenant, until, custom):
        if wanted(due.account_id, due.currency):
            day = max(due.target_date, skipped.get(due.item_id, date.min), now.astimezone(UTC).date())
            what = _placed(due, day, schedulers, held, until)
            if what is not None:
                _count(come if isinstance(what, Part) else left, what, due.amount)
    for row in await _fetched(rows, "retries", tenant, _end(until)):
        if wanted(row["account_id"], row["currency"]):
            day = max(row["day"], now.astimezone(UTC).date())
            _count(come, Part(day, row["currency"], row["type"] or "unknown", "RETRY"), row["requested"])
    return {
        "from": now.astimezone(UTC).date(),
        "until": until,
        "generated_at": now,
        "days": [_told(part, counted) for part, counted in sorted(come.items())],
        "totals": list(_totals(come)),
        "left_out": [
            {"why": each.why, "items": counted[0], "amount": _money(counted[1], each.currency)}
            for each, counted in sorted(left.items())
        ],
        "assumptions": [*ASSUMPTIONS, BY_SCHEDULERS if schedulers else BY_DAYS],
    }


def _asked(asked: Asked, now: datetime, sight: Sight) -> tuple[date, str | None, str | None]:
    for name in asked:
        if name not in KNOWN:
            raise BadQuery(name, f"a forecast takes no {name[:80]}", "UNKNOWN_FIELD")
    today = now.astimezone(UTC).date()
    text = one_of(asked, "until")
    until: date = value("date", text, "until") if text else today + timedelta(days=DAYS)
    if not today <= until <= today + timedelta(days=DAYS_MAX):
        raise BadQuery("until", f"a forecast is for at most {DAYS_MAX} days from today")
    account_id = one_of(asked, "account_id")
    if account_id is not None:
        sight.check_account(account_id)
    return until, one_of(asked, "currency"), account_id


def _placed(
    due: Due, day: date, schedulers: Sequence[Runs], held: Mapping[str, datetime | None], until: date
) -> Part | Left | None:
    """When it comes; or why it does not.  None: after the forecast's end."""
    if due.method_id is None:
        return Left("NO_PAYMENT_METHOD", due.currency)
    if due.account_id in held:
        ends = held[due.account_id]
        if ends is None:
            return Left("ACCOUNT_ON_HOLD", due.currency)
        day = max(day, ends.astimezone(UTC).date())
    if schedulers:
        runs = [first for each in schedulers if (first := each.first(due, day))]
        if not runs:
            return Left("NO_SCHEDULER", due.currency)
        day = min(runs)
    return Part(day, due.currency, due.method_type or "unknown", "PLANNED") if day <= until else None


async def _schedulers(rows: PostgresRows, tenant: str, now: datetime, until: date) -> list[Runs]:
    found = await _fetched(rows, "schedulers", tenant)
    known = [(row, _criteria(row["criteria"])) for row in found]
    return [Runs(matching(said), _days(row, now, until), asks_for(said, CUSTOM)) for row, said in known]


def _criteria(kept: Any) -> Criteria:
    return _CRITERIA.validate_python(kept) if kept else Criteria()


def _days(row: Mapping[str, Any], now: datetime, until: date) -> list[date]:
    """The local days of its runs, each once; one run beyond the end says that it goes on."""
    zone, last = ZoneInfo(row["time_zone"]), until + timedelta(days=1)
    local = (firing.at.astimezone(zone).date() for firing in preview.upcoming(row, now))
    return sorted(set(takewhile(lambda day: day <= last, local)))


async def _due(rows: PostgresRows, tenant: str, until: date, custom: bool) -> AsyncIterator[Due]:
    wanted = Wanted(tenant, until, invoices=True, custom=custom)
    async with aclosing(StoredDue(rows).read(wanted, BEGINNING, PAGE)) as reading:
        async for page in reading:
            for due in page:
                yield due


async def _held(rows: PostgresRows, tenant: str, now: datetime) -> dict[str, datetime | None]:
    """Accounts from which nothing is collected unasked, and until when."""
    return {row["account_id"]: row["hold_until"] for row in await _fetched(rows, "held", tenant, now)}


async def _skipped(rows: PostgresRows, tenant: str, now: datetime) -> dict[str, date]:
    today = now.astimezone(UTC).date()
    return {row["item_id"]: row["skipped_until"] for row in await _fetched(rows, "skipped", tenant, today)}


async def _fetched(rows: PostgresRows, name: str, *given: Any) -> Sequence[Any]:
    return await rows.pool.fetch(_SQL[name].replace("{s}", await rows.active()), *given)


def _end(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _count(counted: dict[Any, list[int]], what: Part | Left, amount: int) -> None:
    of = counted.setdefault(what, [0, 0])
    of[0] += 1
    of[1] += amount


def _told(part: Part, counted: Sequence[int]) -> dict[str, Any]:
    told = {"day": part.day, "currency": part.currency, "method_type": part.method_type, "kind": part.kind}
    return {**told, "items": counted[0], "amount": _money(counted[1], part.currency)}


def _totals(come: Mapping[Part, Sequence[int]]) -> Iterable[dict[str, Any]]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for part, (items, amount) in come.items():
        of = sums[part.currency, part.kind]
        of[0], of[1] = of[0] + items, of[1] + amount
    for (currency, kind), (items, amount) in sorted(sums.items()):
        yield {"currency": currency, "kind": kind, "items": items, "amount": _money(amount, currency)}


def _money(amount: int, currency: str) -> dict[str, Any]:
    return {"amount_minor": amount, "currency": currency}
