"""What can happen to a debit memo (stream `dm-{id}`): what the customer owes more, or an offset."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.catalog import fact, upcasts
from events.credit_memo import CreditMemoLine
from events.money import Money
from events.shapes import Corporate


@fact("debit_memo.posted.v3")
class DebitMemoPosted:
    """Either it raises what is owed, and an invoice carries it; or it offsets a voided credit memo."""

    debit_memo_id: str
    number: str
    account_id: str
    currency: str
    total: Money
    posted_at: datetime
    kind: str
    """STANDALONE, or OFFSET: never invoiced, and nothing is owed by it."""
    lines: tuple[CreditMemoLine, ...] = ()
    reason_code: str | None = None
    credit_memo_id: str | None = None
    """The voided memo that it offsets."""
    corporate: Corporate | None = None


@upcasts("debit_memo.posted.v2", to="debit_memo.posted.v3")
def without_worth(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 2 did not say what it is worth in a reporting currency."""
    return fact


@upcasts("debit_memo.posted.v1", to="debit_memo.posted.v2")
def only_offsets_were_posted(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no debit memo but those that offset a voided credit memo."""
    return {**fact, "kind": "OFFSET"}


@fact("debit_memo.invoiced.v1")
class DebitMemoInvoiced:
    """An invoice carries it: from now on that is what is owed, paid and credited."""

    invoice_id: str


@fact("debit_memo.voided.v1")
class DebitMemoVoided:
    """It takes back nothing any more."""

    reason: str | None = None


DebitMemoEvent = DebitMemoPosted | DebitMemoInvoiced | DebitMemoVoided
