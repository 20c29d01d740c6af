"""Spreading an amount over lines: a payment's, and a credit memo's.

Invariant (domain 2.4, 2.8): the shares sum to the amount, and no line gets or gives more than its balance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.credits.credit_memo import CreditMemo, MemoLine
from services.invoices.invoice import Invoice, LineState


class Share(NamedTuple):
    """A part of an amount: from a line of the memo, if it is one, to a line of the invoice, if at lines."""

    amount: int
    line_id: str | None = None
    source_line_id: str | None = None


def spread_payment(invoice: Invoice, amount: int, level: str, line_id: str | None = None) -> list[Share]:
    """Highest line balance first, ties by position (domain 2.4); one line if it is named."""
    if level == "INVOICE":
        return [Share(amount)]
    if line_id is not None:
        return [Share(amount, line_id)]
    return [Share(taken, line.line.line_id) for line, taken in _fill(_payable(invoice), amount)]


def spread_memo(
    memo: CreditMemo, invoice: Invoice, amount: int, level: str, memo_line_id: str | None = None
) -> list[Share]:
    """Memo lines to the lines they take back first; then highest balance first on both sides (2.8)."""
    sources = {line.line.line_id: line.balance for line in memo.lines.values() if line.balance > 0}
    if memo_line_id is not None:
        sources = {memo_line_id: sources.get(memo_line_id, 0)}
    if level == "INVOICE":
        return [Share(taken, None, id) for id, taken in _take(sources, amount)]
    targets = {line.line.line_id: line.balance for line in _payable(invoice)}
    paired = _paired(memo.lines.values(), sources, targets, amount)
    left = amount - sum(share.amount for share in paired)
    return _merged([*paired, *_greedy(sources, targets, left)])


def _payable(invoice: Invoice) -> list[LineState]:
    lines = [line for line in invoice.lines.values() if line.balance > 0]
    return sorted(lines, key=lambda line: (-line.balance, line.position))


def _fill(lines: Iterable[LineState], amount: int) -> Iterable[tuple[LineState, int]]:
    for line in lines:
        if amount <= 0:
            return
        taken = min(line.balance, amount)
        amount -= taken
        yield line, taken


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
    sums: dict[tuple[str | None, str | None], int] = {}
    for share in shares:
        sums[share.line_id, share.source_line_id] = (
            sums.get((share.line_id, share.source_line_id), 0) + share.amount
        )
    return [Share(amount, line_id, source) for (line_id, source), amount in sums.items()]
