"""Spreading an amount over lines: a payment's, and a credit memo's.

Invariant: the shares sum to the amount, and no line gets or gives more than its balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from services.credits.credit_memo import CreditMemo, MemoLine
from services.invoices.invoice import Invoice, LineState
from services.payments.payment import Payment

LineOrder = Literal["HIGHEST_BALANCE_FIRST", "OLDEST_FIRST", "TAX_FIRST"]
"""Which lines of an invoice are settled first: those that owe most; as they stand on it; or the tax of all
lines before any charge."""
HIGHEST_FIRST: LineOrder = "HIGHEST_BALANCE_FIRST"


class Share(NamedTuple):
    """A part of an amount: from a line of the memo, if it is one, to a line of the invoice, if at lines."""

    amount: int
    line_id: str | None = None
    source_line_id: str | None = None
    tax: int | None = None
    """How much of it covers tax; None: as much as the tax has in what is open."""


class _Room(NamedTuple):
    """What a line takes next; of it is tax all, nothing, or (None) what falls to it."""

    line_id: str | None
    amount: int
    is_tax: bool | None = None


def spread(
    source: Payment | CreditMemo,
    invoice: Invoice,
    amount: int,
    level: str,
    line_id: str | None = None,
    order: LineOrder = HIGHEST_FIRST,
) -> list[Share]:
    """Over the invoice, or one line of it: in the order asked for; a payment's highest line balance first,
    a memo's lines to those that they take back, then the highest balance first on both sides."""
    if isinstance(source, CreditMemo):
        return spread_memo(source, invoice, amount, level, line_id, order)
    return spread_payment(invoice, amount, level, line_id, order)


def spread_payment(
    invoice: Invoice,
    amount: int,
    level: str,
    line_id: str | None = None,
    order: LineOrder = HIGHEST_FIRST,
) -> list[Share]:
    """Ties by position."""
    return _whole(amount, _merged(_filled([(None, amount)], _rooms(invoice, level, line_id, order))))


def spread_memo(
    memo: CreditMemo,
    invoice: Invoice,
    amount: int,
    level: str,
    line_id: str | None = None,
    order: LineOrder = HIGHEST_FIRST,
) -> list[Share]:
    """Memo lines to the lines they take back first, unless tax goes first."""
    sources = {line.line.line_id: line.balance for line in memo.lines.values() if line.balance > 0}
    if level == "INVOICE" or line_id is not None or order == "TAX_FIRST":
        filled = _filled(_take(sources, amount), _rooms(invoice, level, line_id, order))
        return _whole(amount, _merged(filled))
    rooms = _rooms(invoice, level, None, order)
    targets = {room.line_id: room.amount for room in rooms if room.line_id is not None}
    paired = _paired(memo.lines.values(), sources, targets, amount)
    left = amount - sum(share.amount for share in paired)
    if order == HIGHEST_FIRST:
        return _whole(amount, _merged([*paired, *_greedy(sources, targets, left)]))
    rest = [_Room(id, open) for id, open in targets.items() if open > 0]
    return _whole(amount, _merged([*paired, *_filled(_take(sources, left), rest)]))


def _whole(amount: int, shares: list[Share]) -> list[Share]:
    assert sum([share.amount for share in shares]) == amount, "the caller has looked at both balances"
    return shares


def _rooms(invoice: Invoice, level: str, line_id: str | None, order: LineOrder) -> list[_Room]:
    """What can take something, in the order in which it does; a payer decides how much in all."""
    if level == "INVOICE":
        return _taxes_first([(None, invoice.balance, invoice.tax_left)], order)
    lines = [invoice.lines[line_id]] if line_id is not None else _payable(invoice, order)
    return _taxes_first([(line.line.line_id, line.balance, line.tax_left) for line in lines], order)


def _payable(invoice: Invoice, order: LineOrder) -> Iterable[LineState]:
    lines = [line for line in invoice.lines.values() if line.balance > 0]
    if order == "OLDEST_FIRST":
        return lines
    return sorted(lines, key=lambda line: (-line.balance, line.position))


def _taxes_first(owed: Iterable[tuple[str | None, int, int]], order: LineOrder) -> list[_Room]:
    if order != "TAX_FIRST":
        return [_Room(id, balance) for id, balance, _ in owed]
    split = [(id, balance, min(max(tax, 0), balance)) for id, balance, tax in owed]
    taxes = sorted((_Room(id, tax, True) for id, _, tax in split), key=lambda room: -room.amount)
    charges = sorted((_Room(id, open - tax, False) for id, open, tax in split), key=lambda room: -room.amount)
    return [room for room in (*taxes, *charges) if room.amount > 0]


def _filled(sources: Iterable[tuple[str | None, int]], rooms: Sequence[_Room]) -> Iterable[Share]:
    """One source after the other into one room after the other, until either is used up."""
    waiting, open = iter(rooms), 0
    room = _Room(None, 0)
    for source_id, amount in sources:
        while amount > 0:
            while open <= 0:
                following = next(waiting, None)
                if following is None:
                    return
                room, open = following, following.amount
            taken = min(amount, open)
            amount, open = amount - taken, open - taken
            tax = None if room.is_tax is None else taken if room.is_tax else 0
            yield Share(taken, room.line_id, source_id, tax)


def _take(balances: dict[str, int], amount: int) -> Iterable[tuple[str, int]]:
    """Take an amount from the largest balance first, in place."""
    for id in sorted(balances, key=lambda id: -balances[id]):
        taken = min(balances[id], amount)
        if taken > 0:
            amount -= taken
            balances[id] -= taken
            yield id, taken


def _paired(
    lines: Iterable[MemoLine], sources: dict[str, int], targets: dict[str, int], amount: int
) -> list[Share]:
    shares: list[Share] = []
    for line in lines:
        source, target = line.line.line_id, line.line.reference_invoice_line_id
        taken = min(sources.get(source, 0), targets.get(target or "", 0), amount)
        if target is not None and taken > 0:
            shares.append(Share(taken, target, source))
            sources[source] -= taken
            targets[target] -= taken
            amount -= taken
    return shares


def _greedy(sources: dict[str, int], targets: dict[str, int], amount: int) -> Iterable[Share]:
    while amount > 0 and any(sources.values()) and any(targets.values()):
        source = max(sources, key=lambda id: sources[id])
        target = max(targets, key=lambda id: targets[id])
        taken = min(sources[source], targets[target], amount)
        sources[source] -= taken
        targets[target] -= taken
        amount -= taken
        yield Share(taken, target, source)


def _merged(shares: Iterable[Share]) -> list[Share]:
    """One share for each pair of lines."""
    sums: dict[tuple[str | None, str | None], Share] = {}
    for share in shares:
        pair = share.line_id, share.source_line_id
        was = sums.get(pair)
        if was is not None:
            tax = None if was.tax is None or share.tax is None else was.tax + share.tax
            share = Share(was.amount + share.amount, *pair, tax)
        sums[pair] = share
    return list(sums.values())
