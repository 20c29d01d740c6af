"""What can happen to a schedule policy (stream `pspolicy-{id}`), and which one is the tenant's default."""

from __future__ import annotations

from events.catalog import fact
from events.frozen import frozen
from events.money import Money


@frozen
class Distribution:
    """How one detail's share is cut into items."""

    type: str = "FULL"
    """FULL, FIXED_AMOUNT or EQUAL_INSTALLMENTS."""
    count: int = 1
    """Of EQUAL_INSTALLMENTS."""
    amount: Money | None = None
    """Of FIXED_AMOUNT: each item's, the last one's at most."""
    every: int = 1
    unit: str = "MONTHS"
    anchor: str = "DUE_DATE"
    """DUE_DATE, INVOICE_DATE or MONTH_END: what the first item's date is counted from."""
    remainder: str = "LAST"
    """LAST, FIRST or LARGEST_FRACTION: who gets the minor units that a split leaves over."""
    minimum: Money | None = None
    """No instalment in its currency is smaller: there are fewer of them then."""


@frozen
class Detail:
    """A share of what is to be collected, when, and with which method."""

    detail_id: str
    percentage: str
    """A decimal string; the details of a treatment total 100."""
    date_reference: str = "INVOICE_DUE_DATE"
    """What the offset counts from: INVOICE_DUE_DATE."""
    date_offset_days: int = 0
    """Days after that date; below 0, before it."""
    method_selection: str = "MOST_RECENT_AUTOPAY"
    """MANUAL, MOST_RECENT_AUTOPAY or DEFAULT_SAVED_METHOD."""
    matching_value: str | None = None
    distribution: Distribution = Distribution()


@fact("schedule_policy.created.v1")
class SchedulePolicyCreated:
    """A draft of rules by which posted invoices get payment schedules."""

    policy_id: str
    name: str


@fact("schedule_policy.treatment_added.v1")
class TreatmentAdded:
    """One way to treat invoices: what makes a schedule, and which invoices share one."""

    treatment_id: str
    name: str
    trigger: str = "INVOICE_POSTED"
    grouping: str = "INVOICE"
    due_date_window_days: int = 0
    currency: str | None = None
    """Where it is set, the treatment is only for invoices in this currency."""


@fact("schedule_policy.treatment_detail_added.v1")
class TreatmentDetailAdded:
    """Which part of the amount is collected how, within a treatment."""

    treatment_id: str
    detail: Detail
    """What it says."""


@fact("schedule_policy.distribution_defined.v1")
class DistributionDefined:
    """Into how many items, of which amounts, on which dates a part is cut."""

    treatment_id: str
    detail_id: str
    distribution: Distribution


@fact("schedule_policy.activated.v1")
class SchedulePolicyActivated:
    """Invoices may be cut by it."""

    default_treatment_id: str


@fact("schedule_policy.deactivated.v1")
class SchedulePolicyDeactivated:
    """No further invoice is cut by it."""

    reason: str | None = None


@fact("schedule_policies.default_changed.v1")
class DefaultSchedulePolicyChanged:
    """Stream `pspolicies-{tenant}`: at most one policy of a tenant is its default."""

    policy_id: str
    """The default from now on."""
    previous: str | None = None


SchedulePolicyEvent = (
    SchedulePolicyCreated
    | TreatmentAdded
    | TreatmentDetailAdded
    | DistributionDefined
    | SchedulePolicyActivated
    | SchedulePolicyDeactivated
)
