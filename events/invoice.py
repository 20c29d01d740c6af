"""What can happen to an invoice (stream `invoice-{id}`, id = uuid5 of tenant and external id)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from events.catalog import fact, upcasts
from events.custom import CustomFields
from events.frozen import frozen
from events.money import Money
from events.shapes import Applied, Corporate


@frozen
class Tax:
    amount: Money
    name: str = ""
    """What the tax is called."""
    code: str | None = None
    """Its code where it was calculated."""
    rate: str | None = None


@frozen
class Product:
    id: str | None = None
    """What the caller calls it."""
    sku: str | None = None
    """Its stock number."""
    name: str | None = None
    """What customers read."""
    commodity_code: str | None = None


@frozen
class LineReference:
    """The original invoice line that a negative line takes back."""

    invoice_id: str
    line_id: str | None = None


@frozen
class InvoiceLine:
    line_id: str
    charge: Money
    """Without tax; negative on a negative line."""
    line_total: Money
    """Charge and taxes."""
    type: str = "CHARGE"
    """CHARGE or ADJUSTMENT."""
    taxes: tuple[Tax, ...] = ()
    product: Product | None = None
    quantity: str | None = None
    """A decimal string."""
    uom: str | None = None
    unit_price: str | None = None
    """A decimal string in major units; informational: `charge` is what counts."""
    reference: LineReference | None = None
    """Of a negative line: the line that it takes back."""
    service_start: date | None = None
    """The first day of the service that it charges for."""
    service_end: date | None = None
    """The last one."""
    reference_item: str | None = None
    """The item of the order, or of the subscription, that it is about, by its owner's id."""


@frozen
class ConvertedLine:
    line_id: str
    amount: Money
    """The line's total, at most 0: what the conversion closed."""


@frozen
class DraftContent:
    """What a draft says: all of an invoice but when it is posted, and due."""

    number: str
    currency: str
    payment_term: str
    """`PERIOD_BASED+{days}` or `EOM_PLUS_X+{days}`."""
    lines: tuple[InvoiceLine, ...]
    total_charge: Money
    total_tax: Money
    total: Money
    profile_id: str | None = None
    """The billing profile that it goes to."""
    legal_entity_id: str | None = None
    original_invoice_id: str | None = None
    reference_type: str | None = None
    """ORDER, CREDIT_MEMO, DEBIT_MEMO or SUBSCRIPTION."""
    reference_id: str | None = None
    saved_payment_method_id: str | None = None
    exclude_from_payments: bool = False
    payment_exclusion_reason: str | None = None


@fact("invoice.drafted.v2")
class InvoiceDrafted:
    """Written down, and nothing is owed yet: it is revised, given up, or posted."""

    invoice_id: str
    external_id: str
    account_id: str
    content: DraftContent
    invoice_date: date | None = None
    """Without one, the day of its posting."""


@fact("invoice.revised.v2")
class InvoiceRevised:
    """A draft says something else from now on: all of it is said anew."""

    content: DraftContent
    invoice_date: date | None = None


@fact("invoice.draft_canceled.v1")
class InvoiceDraftCanceled:
    """The draft will never be posted; its number is not used again."""

    reason: str | None = None


@fact("invoice.posted.v3")
class InvoicePosted:
    """The customer owes it; or, where its total is negative, is owed it. From here on it is immutable."""

    invoice_id: str
    external_id: str
    number: str
    account_id: str
    currency: str
    invoice_date: date
    posted_date: date
    """The day of its posting."""
    due_date: date
    payment_term: str
    """`PERIOD_BASED+{days}` or `EOM_PLUS_X+{days}`."""
    lines: tuple[InvoiceLine, ...]
    total_charge: Money
    total_tax: Money
    total: Money
    is_negative: bool
    """Its total is below 0: the customer is owed it."""
    has_negative_lines: bool
    """At least one of its lines is below 0."""
    posted_at: datetime
    """The instant, for orderings finer than a day."""
    profile_id: str | None = None
    """The billing profile that it goes to."""
    legal_entity_id: str | None = None
    original_invoice_id: str | None = None
    reference_type: str | None = None
    """ORDER, CREDIT_MEMO, DEBIT_MEMO or SUBSCRIPTION."""
    reference_id: str | None = None
    saved_payment_method_id: str | None = None
    exclude_from_payments: bool = False
    payment_exclusion_reason: str | None = None
    corporate: Corporate | None = None
    """Its total in the tenant's reporting currency."""


@upcasts("invoice.posted.v2", to="invoice.posted.v3")
def in_its_own_currency(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 2 knew no reporting currency."""
    return fact


@upcasts("invoice.posted.v1", to="invoice.posted.v2")
@upcasts("invoice.drafted.v1", to="invoice.drafted.v2")
@upcasts("invoice.revised.v1", to="invoice.revised.v2")
def without_service_dates(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew neither when a line's service was, nor of which item, nor why nobody collects it."""
    return fact


@fact("invoice.excluded_from_payments.v1")
class InvoiceExcludedFromPayments:
    """Nothing is collected for it by itself."""

    reason: str


@fact("invoice.payment_applied.v1")
class InvoicePaymentApplied:
    """Money of a payment settles some of it; the payment's own `PaymentApplied` says the same."""

    payment_id: str
    invoice_id: str
    level: str
    """INVOICE or INVOICE_LINE."""
    applications: tuple[Applied, ...]
    total: Money
    balance: Money
    """The invoice's balance after it."""
    effective_at: datetime
    cause: str
    """MANUAL, PAYMENT (intended with the payment), RULE or ORCHESTRATION."""
    comments: str | None = None


@fact("invoice.payment_unapplied.v1")
class InvoicePaymentUnapplied:
    """Money of a payment no longer settles it, and it owes so much more."""

    payment_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    balance: Money
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("invoice.credit_applied.v1")
class InvoiceCreditApplied:
    """A credit memo settles some of it; the memo's own `CreditMemoApplied` says the same."""

    credit_memo_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    balance: Money
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("invoice.credit_unapplied.v1")
class InvoiceCreditUnapplied:
    """A credit memo no longer settles it, and it owes so much more."""

    credit_memo_id: str
    invoice_id: str
    level: str
    applications: tuple[Applied, ...]
    total: Money
    balance: Money
    effective_at: datetime
    cause: str
    comments: str | None = None


@fact("invoice.settlement_status_changed.v1")
class InvoiceSettlementStatusChanged:
    """How much of it is settled: nothing, a part, all; or nothing needs to be."""

    previous: str
    status: str
    """NOT_APPLICABLE, NOT_SETTLED, PARTIALLY_SETTLED or SETTLED; derived from the balance."""


@fact("invoice.settled.v1")
class InvoiceSettled:
    """Nothing of it is owed any more."""

    full_settlement_date: date
    """The day on which the last of it was settled."""


@fact("invoice.reopened.v1")
class InvoiceReopened:
    """It was settled, and owes again."""

    balance: Money


@fact("invoice.negative_lines_converted.v1")
class NegativeInvoiceLinesConverted:
    """Its negative lines became a credit memo, and count no more in what it owes."""

    credit_memo_id: str
    lines: tuple[ConvertedLine, ...]
    """The lines that were converted."""
    total: Money
    """At most 0."""
    balance: Money
    """The invoice's balance after it."""


@fact("invoice.locked.v1")
class InvoiceLocked:
    """Only whoever is named may change how it is settled."""

    by: str
    """The process that holds it: `refunding:{orchestration id}`."""


@fact("invoice.unlocked.v1")
class InvoiceUnlocked:
    """Everybody may change how it is settled again."""

    by: str
    """The process that held it."""


@fact("invoice.due_date_extended.v1")
class InvoiceDueDateExtended:
    """It is due later; what was planned to collect it follows."""

    previous: date
    due_date: date
    reason: str | None = None


@fact("invoice.written_off.v1")
class InvoiceWrittenOff:
    """Nobody will pay what is open: a credit memo of category INVOICE_WRITE_OFF settles it."""

    credit_memo_id: str
    amount: Money
    reason_code: str
    cause: str
    """MANUAL, or SMALL_BALANCE: by the tenant's policy."""


@fact("invoice.write_off_reversed.v1")
class InvoiceWriteOffReversed:
    """What was written off is owed again."""

    credit_memo_id: str
    amount: Money
    reason: str | None = None


@fact("invoice.voided.v1")
class InvoiceVoided:
    """It should never have been posted: credit memos, and debit memos for negative lines, mirror it."""

    credit_memo_id: str | None
    """The memo that settles it; none where nothing was owed."""
    reason: str | None = None


@fact("invoice.disputed.v1")
class InvoiceDisputed:
    """A payment on it is disputed: what that settled is open again, and nobody shall collect it yet."""

    dispute_id: str
    payment_id: str
    amount: Money
    """How much of it is open again."""


@fact("invoice.dispute_ended.v1")
class InvoiceDisputeEnded:
    """The dispute of a payment that settles it is over."""

    dispute_id: str
    amount: Money
    """How much of it the payment had settled."""
    outcome: str
    """WON, LOST or ACCEPTED."""


@fact("invoice.scheduled.v1")
class InvoiceScheduled:
    """A payment schedule collects it."""

    payment_schedule_id: str


@fact("invoice.unscheduled.v1")
class InvoiceUnscheduled:
    """The schedule has ended: completed or canceled."""

    payment_schedule_id: str


@fact("invoice.schedule_deferred.v1")
class InvoiceScheduleDeferred:
    """It is collected together with the account's other invoices: cut with them, at the end of the day."""

    cut_at: datetime
    """When that is."""


@fact("invoice.schedule_creation_skipped.v1")
class ScheduleCreationSkipped:
    """It was posted, and got no payment schedule, for the reason that is named."""

    reason: str
    """EXCLUDED_FROM_PAYMENTS, AUTOMATIC_PAYMENTS_SKIPPED or NOTHING_TO_COLLECT."""


@fact("invoice.schedule_creation_failed.v1")
class ScheduleCreationFailed:
    """No payment schedule could be cut for it: a person must look, or policies must change."""

    code: str
    """NO_ACTIVE_TREATMENT."""


@fact("invoice.scheduled_balance_changed.v1")
class InvoiceScheduledBalanceChanged:
    """It owes another amount than its schedules were planned for: they follow."""

    payment_schedule_ids: tuple[str, ...]
    balance: Money


@fact("invoice.custom_fields_set.v1")
class InvoiceCustomFieldsSet:
    """What the tenant keeps of its own about an invoice; its items are filtered by it."""

    custom_fields: CustomFields
    """All of them, from now on."""


InvoiceEvent = (
    InvoiceDrafted
    | InvoiceCustomFieldsSet
    | InvoiceRevised
    | InvoiceDraftCanceled
    | InvoicePosted
    | InvoiceDueDateExtended
    | InvoiceWrittenOff
    | InvoiceWriteOffReversed
    | InvoiceVoided
    | InvoiceExcludedFromPayments
    | InvoicePaymentApplied
    | InvoicePaymentUnapplied
    | InvoiceCreditApplied
    | InvoiceCreditUnapplied
    | InvoiceSettlementStatusChanged
    | InvoiceSettled
    | InvoiceReopened
    | NegativeInvoiceLinesConverted
    | InvoiceLocked
    | InvoiceUnlocked
    | InvoiceDisputed
    | InvoiceDisputeEnded
    | InvoiceScheduled
    | InvoiceUnscheduled
    | InvoiceScheduleDeferred
    | ScheduleCreationSkipped
    | ScheduleCreationFailed
    | InvoiceScheduledBalanceChanged
)
