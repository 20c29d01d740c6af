"""An account's statement: what it owed before, what happened, what it owes after; for any period.

It is folded from the account's own events and their postings, so that it may end whenever it shall: what is
receivable less unapplied money less credit is the net balance of the account (domain 3.11, 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from events.log import Log, Recorded, opened
from events.mapper import decode
from projections.asking import Asked, BadQuery, one_of, value
from projections.derived import Rows
from projections.folding import Folder
from projections.ledger import CASH, CREDITS, RECEIVABLE, ledger_entries
from projections.models import TABLES
from projections.sight import EVERYTHING, Sight
from projections.words import sentence

LINES_MAX = 2_000
_CHUNK = 2_000
_KNOWN = frozenset({"from", "to", "currency", "min_position"})
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_OWED = {RECEIVABLE: "receivable", CASH: "unapplied", CREDITS: "credit"}


async def statement(
    log: Log, tenant: str, account_id: str, asked: Asked, now: datetime, sight: Sight = EVERYTHING
) -> dict[str, Any] | None:
    """`{account_id, from, to, currencies: […]}`; None where there is no such account.  Raises `BadQuery`."""
    sight.check_account(account_id)
    begins, ends = _instant(asked, "from", _BEGINNING), _instant(asked, "to", now)
    only = one_of(asked, "currency")
    for name in asked:
        if name not in _KNOWN:
            raise BadQuery(name, f"a statement takes no {name[:80]}", "UNKNOWN_FIELD")
    if begins > ends:
        raise BadQuery("from", "a statement ends after it begins")
    events, rows = await _until(log, f"{tenant}/{account_id}", ends)
    if not events:
        return None
    entries = [row for row in _booked(rows) if only in (None, row["currency"])]
    currencies = sorted({row["currency"] for row in entries})
    told = [
        _of(each, [row for row in entries if row["currency"] == each], begins, events) for each in currencies
    ]
    return {
        "account_id": account_id,
        "from": None if begins == _BEGINNING else begins,
        "to": ends,
        "generated_at": now,
        "currencies": told,
    }


async def _until(log: Log, home: str, ends: datetime) -> tuple[dict[str, Recorded], Rows]:
    """The account's events up to an instant, by id, and all rows that follow from them."""
    folder, rows, place = Folder(TABLES), dict[Any, Any](), None
    kept: dict[str, Recorded] = {}
    while events := await log.read_home(home, place, _CHUNK):
        known = [event for event in events if event.recorded_at <= ends]
        if known:
            folder.from_zero(known, rows)
            kept |= {event.event_id: event for event in await opened(log, known)}
        if len(known) < len(events):
            break
        place = events[-1].position
    return kept, rows


def _booked(rows: Rows) -> list[Mapping[str, Any]]:
    return sorted(rows.get(ledger_entries, {}).values(), key=lambda row: row["position"])


def _of(
    currency: str, entries: list[Mapping[str, Any]], begins: datetime, events: Mapping[str, Recorded]
) -> dict[str, Any]:
    """One currency's part: amounts are what the account owes us, in minor units; less than 0: we owe it."""
    balance, lines, parts = 0, list[dict[str, Any]](), dict.fromkeys(_OWED.values(), 0)
    opening = 0
    for entry in entries:
        moved = _moved(entry)
        for name, amount in moved.items():
            parts[name] += amount
        change = sum(moved.values())
        balance += change
        if entry["at"] < begins:
            opening = balance
        elif change:
            lines.append(_line(entry, change, balance, events))
    if len(lines) > LINES_MAX:
        raise BadQuery("from", f"a statement has at most {LINES_MAX} lines: ask for a shorter period")
    charged = sum(line["change_minor"] for line in lines if line["change_minor"] > 0)
    return {
        "currency": currency,
        "opening_balance_minor": opening,
        "charged_minor": charged,
        "settled_minor": balance - opening - charged,
        "closing_balance_minor": balance,
        "receivable_minor": parts["receivable"],
        "unapplied_minor": -parts["unapplied"],
        "credit_minor": -parts["credit"],
        "lines": lines,
    }


def _moved(entry: Mapping[str, Any]) -> dict[str, int]:
    """What an entry does to what the account owes, by where it stands."""
    moved = dict.fromkeys(_OWED.values(), 0)
    for posting in entry["postings"]:
        if (name := _OWED.get(posting["ledger_account"])) is not None:
            moved[name] += posting["debit_minor"] - posting["credit_minor"]
    return moved


def _line(
    entry: Mapping[str, Any], change: int, balance: int, events: Mapping[str, Recorded]
) -> dict[str, Any]:
    id: str = entry["event_id"]  # of an event in two currencies, the second has its own after it
    event = events[id] if id in events else events[id.removesuffix(f"/{entry['currency']}")]
    return {
        "at": entry["at"],
        "position": event.position,
        "event_id": event.event_id,
        "type": event.topic,
        "stream": event.stream,
        "sentence": sentence(decode(event.topic, event.data)),
        "change_minor": change,
        "balance_minor": balance,
    }


def _instant(asked: Asked, name: str, otherwise: datetime) -> datetime:
    text = one_of(asked, name)
    return value("timestamptz", text, name) if text else otherwise
