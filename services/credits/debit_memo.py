"""A debit memo: what the customer owes more, once an invoice carries it; or a voided credit memo's offset.

Invariant: by itself it changes no open balance; at most one live invoice carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from events.debit_memo import DebitMemoEvent, DebitMemoInvoiced, DebitMemoPosted, DebitMemoVoided
from events.invoice import InvoicePosted
from services.decision import Change, Context
from services.errors import Rejected


@dataclass(slots=True)
class DebitMemo:
    KIND: ClassVar[str] = "dm"

    version: int = 0
    debit_memo_id: str = ""
    number: str = ""
    account_id: str = ""
    currency: str = ""
    kind: str = ""
    """STANDALONE or OFFSET."""
    status: str = ""
    """Empty, POSTED, VOIDED."""
    total: int = 0
    invoice_id: str | None = None
    """The invoice that carries it."""

    @property
    def open(self) -> bool:
        """Whether it is still to be owed: an account that has one is not closed."""
        return self.status == "POSTED" and self.kind == "STANDALONE" and self.invoice_id is None


def evolve(memo: DebitMemo, event: DebitMemoEvent) -> None:
    match event:
        case DebitMemoPosted():
            memo.debit_memo_id, memo.number, memo.account_id = (
                event.debit_memo_id,
                event.number,
                event.account_id,
            )
            memo.currency, memo.kind, memo.status = event.currency, event.kind, "POSTED"
            memo.total = event.total.amount_minor
        case DebitMemoInvoiced():
            memo.invoice_id = event.invoice_id
        case DebitMemoVoided():
            memo.status = "VOIDED"


def carried(memo: DebitMemo, posted: InvoicePosted, context: Context) -> list[Change]:
    """What an invoice means for the debit memo that it names; one that nobody here knows is its issuer's."""
    if not memo.status:
        return []
    if memo.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the debit memo {memo.number} belongs to another account")
    if memo.kind != "STANDALONE" or memo.status != "POSTED" or memo.invoice_id is not None:
        raise Rejected(
            "REFERENCE_MISMATCH",
            f"the debit memo {memo.number} is not to be invoiced",
            state=memo.status,
            invoice_id=memo.invoice_id,
        )
    if posted.currency != memo.currency or posted.total.amount_minor < memo.total:
        raise Rejected("REFERENCE_MISMATCH", f"the invoice is less than the debit memo {memo.number}")
    return [Change(DebitMemo, memo.debit_memo_id, DebitMemoInvoiced(posted.invoice_id))]
