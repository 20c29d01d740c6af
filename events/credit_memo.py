"""What can happen to a credit memo (stream `cm-{id}`): what the customer owes less, or holds open."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from events.catalog import fact, upcasts
from events.frozen import frozen
from events.invoice import Product, Tax
from events.money import Money
from events.shapes import Applied, Corporate


@frozen
class CreditMemoLine:
    line_id: str
    charge: Money
    line_total: Money
    """Charge and taxes, above 0."""
    taxes: tuple[Tax, ...] = ()
    product: Product | None = None
    reference_invoice_line_id: str | None = None
    """The line of the original invoice that it takes back."""
    source_line_id: str | None = None
    """The negative line that it was converted from."""


@frozen
class LineAmount:
    line_id: str
    amount: Money


@fact("credit_memo.drafted.v4")
class CreditMemoDrafted:
    """Credit that is prepared; it gives nothing until it is posted."""

    credit_memo_id: str
    number: str
    account_id: str
    currency: str
    category: str
    """STANDALONE, REFERENCED or INVOICE_WRITE_OFF."""
    source_action: str
    """STANDALONE, INVOICE, NEGATIVE_INVOICE_LINE_CONVERSION, VOID_POSTED_INVOICE,
    WRITE_OFF_POSTED_INVOICE."""
    lines: tuple[CreditMemoLine, ...]
    total: Money
    reason_code: str
    reference_invoice_id: str | None = None
    saved_payment_method_id: str | None = None
    """The saved payment method that its balance is paid out to."""
    billing_profile_id: str | None = None
    legal_entity_id: str | None = None
    tax_strategy: str | None = None
    effective_date: date | None = None
    """Without one, the day of its posting."""


@upcasts("credit_memo.drafted.v3", to="credit_memo.drafted.v4")
def effective_when_posted(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 3 took effect on the day of its posting."""
    return fact


@upcasts("credit_memo.drafted.v1", to="credit_memo.drafted.v2")
def drafts_had_no_method(fact: dict[str, object]) -> dict[str, object]:
    """Version 1 forgot the method that a draft's balance is paid out to."""
    return fact


@fact("credit_memo.posted.v3")
class CreditMemoPosted:
    """The customer is owed its total: it settles invoices, or is paid out."""

    credit_memo_id: str
    number: str
    account_id: str
    currency: str
    category: str
    """STANDALONE, REFERENCED or INVOICE_WRITE_OFF."""
    source_action: str
    """STANDALONE, INVOICE,
    NEGATIVE_INVOICE_LINE_CONVERSION, VOID_POSTED_INVOICE, WRITE_OFF_POSTED_INVOICE."""
    lines: tuple[CreditMemoLine, ...]
    total_charge: Money
    total_tax: Money
    total: Money
    reason_code: str
    posted_at: datetime
    effective_date: date
    """When it takes effect; what it settles is settled at once."""
    reference_invoice_id: str | None = None
    source_invoice_id: str | None = None
    """The negative invoice that it was converted from."""
    saved_payment_method_id: str | None = None
    """The saved payment method that its balance is paid out to."""
    billing_profile_id: str | None = None
    legal_entity_id: str | None = None
    """Whose books it is in."""
    tax_strategy: str | None = None
    corporate: Corporate | None = None


@upcasts("credit_memo.posted.v2", to="credit_memo.posted.v3")
def without_worth(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 2 did not say what it is worth in a reporting currency."""
    return fact


@upcasts("credit_memo.drafted.v2", to="credit_memo.drafted.v3")
@upcasts("credit_memo.posted.v1", to="credit_memo.posted.v2")
def without_entity(fact: dict[str, Any]) -> dict[str, Any]:
    """It was not known whose books it is in, whom it is sent to, nor where its tax comes from."""
    return fact


@fact("credit_memo.applied.v1")
class CreditMemoApplied:
    """Some of it settles an invoice; the invoice's own `InvoiceCreditApplied` says the same."""

    credit_memo_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    balance: Money
    """The memo's balance after it."""
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("credit_memo.unapplied.v1")
class CreditMemoUnapplied:
    """It no longer settles that invoice, and so much more of it is open."""

    credit_memo_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    balance: Money
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("credit_memo.refund_reserved.v1")
class CreditMemoRefundReserved:
    """So much of it will be paid out, and can be used for nothing else meanwhile."""

    refund_id: str
    amount: Money
    lines: tuple[LineAmount, ...]
    """Largest open line first."""
    orchestration_id: str | None = None
    leg_no: int | None = None


@fact("credit_memo.refund_released.v1")
class CreditMemoRefundReleased:
    """The refund came to nothing: what was reserved for it is open again."""

    refund_id: str
    amount: Money
    lines: tuple[LineAmount, ...]
    """How much of it on which line."""


@fact("credit_memo.refund_applied.v1")
class RefundAppliedToCreditMemo:
    """So much of it was paid out."""

    refund_id: str
    amount: Money
    lines: tuple[LineAmount, ...]
    """How much of it from which line."""
    reserved: bool = True
    """It was reserved before; else it came straight from what was open."""


@fact("credit_memo.refund_reversed.v1")
class RefundReversedOnCreditMemo:
    """What was paid out came back: so much of it is open again."""

    refund_id: str
    amount: Money
    lines: tuple[LineAmount, ...]
    """How much of it to which line."""


@fact("credit_memo.locked.v1")
class CreditMemoLocked:
    """Only whoever is named may use it."""

    by: str
    """The process, or the refund, that holds it: `refunding:{orchestration id}`."""


@fact("credit_memo.unlocked.v1")
class CreditMemoUnlocked:
    """Everybody may use it again."""

    by: str
    """The process, or the refund, that held it."""


@fact("credit_memo.voided.v2")
class CreditMemoVoided:
    """A debit memo of the same amount takes it back; it was never used."""

    debit_memo_id: str
    """The debit memo that offsets it."""
    amount: Money
    tax: Money
    """Of the amount."""
    reason: str | None = None


@upcasts("credit_memo.voided.v1", to="credit_memo.voided.v2")
def voided_without_tax(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not tell tax from charge: all of it was booked as revenue."""
    return {**fact, "tax": {**fact["amount"], "amount_minor": 0}}


@fact("credit_memo.canceled.v1")
class CreditMemoCanceled:
    """The draft will never be posted."""

    reason: str | None = None


CreditMemoEvent = (
    CreditMemoDrafted
    | CreditMemoPosted
    | CreditMemoApplied
    | CreditMemoUnapplied
    | CreditMemoRefundReserved
    | CreditMemoRefundReleased
    | RefundAppliedToCreditMemo
    | RefundReversedOnCreditMemo
    | CreditMemoLocked
    | CreditMemoUnlocked
    | CreditMemoVoided
    | CreditMemoCanceled
)
