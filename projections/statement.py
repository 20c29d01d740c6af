"""An account's statement: what it owed before, what happened, what it owes after; for any period.

It is folded from the account's own events and their postings, so that it may end whenever it shall: what is
receivable less unapplied money less credit is the net balance of the account.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from events.account import AccountRegistered
from events.ids import parts
from events.log import Log, Recorded, opened, pages_of_home
from events.mapper import decode
from events.money import major
from projections.asking import Asked, BadQuery, one_of, value
from projections.derived import Rows
from projections.folding import Folder
from projections.ledger import CASH, CREDITS, RECEIVABLE, ledger_entries
from projections.models import TABLES
from projections.sight import EVERYTHING, Sight
from projections.words import sentence

LINES_MAX = 2_000
_CHUNK = 2_000
_KNOWN = frozenset({"from", "to", "currency", "documents", "sort", "min_position"})
DOCUMENTS = {
    "invoice": "invoice",
    "credit_memo": "cm",
    "debit_memo": "dm",
    "payment": "payment",
    "refund": "refund",
    "dispute": "dispute",
}
"""Kinds of documents whose lines can be asked for, to the kinds of their streams."""
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_OWED = {RECEIVABLE: "receivable", CASH: "unapplied", CREDITS: "credit"}


async def statement(
    log: Log, tenant: str, account_id: str, asked: Asked, now: datetime, sight: Sight = EVERYTHING
) -> dict[str, Any] | None:
    """`{account_id, name, from, to, currencies: […]}`; None where there is no such account.

    Raises `BadQuery`.
    """
    sight.check_account(account_id)
    begins, ends = _instant(asked, "from", _BEGINNING), _instant(asked, "to", now)
    only, kinds, newest_first = one_of(asked, "currency"), _kinds(asked), _newest_first(asked)
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
    for part in told:
        lines = [line for line in part["lines"] if kinds is None or parts(line["stream"])[1] in kinds]
        part["lines"] = lines[::-1] if newest_first else lines
    return {
        "account_id": account_id,
        "name": _name(events.values()),
        "from": None if begins == _BEGINNING else begins,
        "to": ends,
        "generated_at": now,
        "currencies": told,
    }


async def group(
    log: Log,
    tenant: str,
    account_ids: Sequence[str],
    asked: Asked,
    now: datetime,
    sight: Sight = EVERYTHING,
) -> dict[str, Any] | None:
    """The statement of an account with others', `accounts`, and what all of them come to, `currencies`.

    The first is the account itself; None where it, or another, is not there.
    """
    each = [await statement(log, tenant, id, asked, now, sight) for id in account_ids]
    told = [one for one in each if one is not None]
    if len(told) < len(each):
        return None
    names = sorted({part["currency"] for one in told for part in one["currencies"]})
    return {
        **told[0],
        "currencies": [_sum(name, [p for one in told for p in one["currencies"]]) for name in names],
        "accounts": [{name: one[name] for name in ("account_id", "name", "currencies")} for one in told],
    }


def _name(events: Iterable[Recorded]) -> str | None:
    """What the account is called."""
    for event in events:
        fact = decode(event.topic, event.data) if event.topic.startswith("account.registered.") else None
        if isinstance(fact, AccountRegistered):
            return fact.name
    return None


def _sum(currency: str, told: list[dict[str, Any]]) -> dict[str, Any]:
    own = [part for part in told if part["currency"] == currency]
    amounts = [name for name in own[0] if name.endswith("_minor")]
    return {"currency": currency, **{name: sum(part[name] for part in own) for name in amounts}}


CSV_COLUMNS = ("account_id", "currency", "at", "document", "id", "what", "change", "balance")


def as_csv(told: Mapping[str, Any]) -> str:
    """Its lines for a spreadsheet, in major units, each currency between its opening and closing balance."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for account in told.get("accounts", [told]):
        for part in account["currencies"]:
            for row in _csv_rows(part, told):
                writer.writerow([_plain(cell) for cell in (account["account_id"], part["currency"], *row)])
    return out.getvalue()


def _csv_rows(part: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    def amount(minor: int) -> Decimal:
        return major(minor, part["currency"])

    names = {kind: name for name, kind in DOCUMENTS.items()}
    yield told["from"] or "", "", "", "opening balance", "", amount(part["opening_balance_minor"])
    for line in part["lines"]:
        _, kind, id = parts(line["stream"])
        moved = amount(line["change_minor"]), amount(line["balance_minor"])
        yield line["at"], names.get(kind, kind), id, line["sentence"], *moved
    yield told["to"], "", "", "closing balance", "", amount(part["closing_balance_minor"])


def _plain(cell: object) -> object:
    """Text that a spreadsheet would take for a formula is told to be none."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _kinds(asked: Asked) -> frozenset[str] | None:
    """The kinds of streams whose lines are wanted; None: of all."""
    names = [name for given in asked.get("documents", ()) for name in given.split(",")]
    for name in names:
        if name not in DOCUMENTS:
            raise BadQuery("documents", f"{name[:80]} is none of {', '.join(DOCUMENTS)}")
    return frozenset(DOCUMENTS[name] for name in names) if names else None


def _newest_first(asked: Asked) -> bool:
    order = one_of(asked, "sort") or "at"
    if order not in ("at", "-at"):
        raise BadQuery("sort", "a statement is sorted by at, or -at")
    return order == "-at"


async def _until(log: Log, home: str, ends: datetime) -> tuple[dict[str, Recorded], Rows]:
    """The account's events up to an instant, by id, and all rows that follow from them."""
    folder, rows = Folder(TABLES), dict[Any, Any]()
    kept: dict[str, Recorded] = {}
    async for events in pages_of_home(log, home, _CHUNK):
        known = [event for event in events if event.recorded_at <= ends]
        if known:
            folder.from_zero(known, rows)
            kept |= {event.event_id: event for event in await opened(log, known)}
        if len(known) < len(events):
            break
    return kept, rows


def _booked(rows: Rows) -> list[Mapping[str, Any]]:
    return sorted(rows.get(ledger_entries, {}).values(), key=lambda row: row["position"])


def _of(
    currency: str, entries: list[Mapping[str, Any]], begins: datetime, events: Mapping[str, Recorded]
) -> dict[str, Any]:
    """One currency's part: amounts are what the account owes us, in minor units; less than 0: we owe it."""
    balance, lines, owed = 0, list[dict[str, Any]](), dict.fromkeys(_OWED.values(), 0)
    opening = 0
    for entry in entries:
        moved = _moved(entry)
        for name, amount in moved.items():
            owed[name] += amount
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
        "receivable_minor": owed["receivable"],
        "unapplied_minor": -owed["unapplied"],
        "credit_minor": -owed["credit"],
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
