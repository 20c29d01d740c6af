"""Schedule policies: how what was posted is cut into payments.

Invariant: a treatment's percentages total 100 before it is used; a schedule names the version that cut it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from events.ids import tenant_home
from events.schedule_policy import (
    DefaultSchedulePolicyChanged,
    Detail,
    Distribution,
    DistributionDefined,
    SchedulePolicyActivated,
    SchedulePolicyCreated,
    SchedulePolicyDeactivated,
    SchedulePolicyEvent,
    TreatmentAdded,
    TreatmentDetailAdded,
)
from services.commands import Amount, Currency, Decimal6, FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found

DEFAULT_POLICY, DEFAULT_TREATMENT, DEFAULT_DETAIL = "default", "default", "default"
"""What is made as schedules are first switched on: all of it on the due date, with the account's method."""

Extended = Literal["FULL", "FIXED_AMOUNT", "EQUAL_INSTALLMENTS"]


@dataclass(slots=True)
class SchedulePolicy:
    KIND: ClassVar[str] = "pspolicy"

    version: int = 0
    name: str = ""
    status: str = ""
    """Empty, DRAFT, ACTIVE, INACTIVE."""
    default_treatment_id: str | None = None
    treatments: dict[str, TreatmentAdded] = field(default_factory=dict[str, TreatmentAdded])
    details: dict[str, tuple[Detail, ...]] = field(default_factory=dict[str, tuple[Detail, ...]])
    """Of each treatment, in the order in which they were added."""

    @property
    def open(self) -> bool:
        return False

    def treatment(self, currency: str) -> TreatmentAdded | None:
        """The treatment for invoices in a currency: one that is only for it, else the default."""
        for treatment in self.treatments.values():
            if treatment.currency == currency:
                return treatment
        default = self.treatments.get(self.default_treatment_id or "")
        return default if default and default.currency in (None, currency) else None


@dataclass(slots=True)
class SchedulePolicies:
    """Which of a tenant's policies is its default."""

    KIND: ClassVar[str] = "pspolicies"

    version: int = 0
    default_policy_id: str | None = None

    @property
    def open(self) -> bool:
        return False


def evolve(policy: SchedulePolicy, event: SchedulePolicyEvent) -> None:
    match event:
        case SchedulePolicyCreated():
            policy.name, policy.status = event.name, "DRAFT"
        case TreatmentAdded():
            policy.treatments[event.treatment_id] = event
            policy.details[event.treatment_id] = ()
        case TreatmentDetailAdded():
            policy.details[event.treatment_id] += (event.detail,)
        case DistributionDefined():
            policy.details[event.treatment_id] = tuple(
                replace(detail, distribution=event.distribution)
                if detail.detail_id == event.detail_id
                else detail
                for detail in policy.details[event.treatment_id]
            )
        case SchedulePolicyActivated():
            policy.status, policy.default_treatment_id = "ACTIVE", event.default_treatment_id
        case SchedulePolicyDeactivated():
            policy.status = "INACTIVE"


def evolve_default(policies: SchedulePolicies, event: DefaultSchedulePolicyChanged) -> None:
    policies.default_policy_id = event.policy_id


# -- commands


@dataclass(frozen=True)
class Cut:
    """How a detail's share is cut; the extensions of FULL are described at `events.schedule_policy`."""

    type: Extended = "FULL"
    """FULL: one item; FIXED_AMOUNT: as many items of `amount` as it takes; EQUAL_INSTALLMENTS: `count`
    items."""
    count: Annotated[int, Field(ge=1, le=120)] = 1
    """Of EQUAL_INSTALLMENTS: how many, 1 to 120."""
    amount: Amount | None = None
    """Of FIXED_AMOUNT: each item's, the last one's at most."""
    every: Annotated[int, Field(ge=1, le=365)] = 1
    unit: Literal["DAYS", "MONTHS"] = "MONTHS"
    anchor: Literal["DUE_DATE", "INVOICE_DATE", "MONTH_END"] = "DUE_DATE"
    """What the first item's date is counted from: the due date, the invoice's date, or the end of the month
    of that."""
    remainder: Literal["LAST", "FIRST", "LARGEST_FRACTION"] = "LAST"
    """Which items get the minor units that a split leaves over."""
    minimum: Amount | None = None
    """No instalment in its currency is smaller: there are fewer of them then."""


@command("payments.schedule_policy.create.v1")
class CreateSchedulePolicy:
    """Begin a policy, a draft until it is activated."""

    policy_id: Id
    """An id of the caller's own, unique in the tenant."""
    name: FreeText


@command("payments.schedule_policy.add_treatment.v1")
class AddTreatment:
    """Add one way to treat invoices to a draft policy."""

    policy_id: Id
    treatment_id: Id
    """An id of the caller's own, unique within the policy."""
    name: FreeText
    trigger: Literal["INVOICE_POSTED"] = "INVOICE_POSTED"
    grouping: Literal["INVOICE", "ACCOUNT"] = "INVOICE"
    due_date_window_days: Annotated[int, Field(ge=0, le=366)] = 0
    currency: Currency | None = None
    """Only for invoices in this currency, before the default treatment."""


@command("payments.schedule_policy.add_treatment_detail.v1")
class AddTreatmentDetail:
    """Say which part of the amount is collected how; the parts of a treatment make up all of it."""

    policy_id: Id
    treatment_id: Id
    detail_id: Id
    """An id of the caller's own, unique within the treatment."""
    percentage: Decimal6 = "100"
    date_offset_days: Annotated[int, Field(ge=-366, le=366)] = 0
    """Days after the due date, at most 0 unless `allow_late` says that later is meant."""
    allow_late: bool = False
    """True: the offset may be above 0, which is after the due date."""
    method_selection: Literal["MANUAL", "MOST_RECENT_AUTOPAY", "DEFAULT_SAVED_METHOD"] = "MOST_RECENT_AUTOPAY"
    matching_value: Id | None = None
    distribution: Cut = Cut()


@command("payments.schedule_policy.define_distribution.v1")
class DefineDistribution:
    """Say into which items a part is cut, and on which dates they fall."""

    policy_id: Id
    treatment_id: Id
    detail_id: Id
    distribution: Cut


@command("payments.schedule_policy.activate.v1")
class ActivateSchedulePolicy:
    """Without a `default_treatment_id`: its only treatment."""

    policy_id: Id
    default_treatment_id: Id | None = None
    """The treatment of invoices that no other is for; without it, the only one."""


@command("payments.schedule_policy.deactivate.v1")
class DeactivateSchedulePolicy:
    """Cut no further invoice by it; schedules that exist go on."""

    policy_id: Id
    reason: FreeText | None = None


@command("payments.schedule_policy.set_default.v1")
class SetDefaultSchedulePolicy:
    """Cut invoices by this policy where nothing names another."""

    policy_id: Id


Named = (
    CreateSchedulePolicy
    | AddTreatment
    | AddTreatmentDetail
    | DefineDistribution
    | ActivateSchedulePolicy
    | DeactivateSchedulePolicy
    | SetDefaultSchedulePolicy
)


def needed(states: States, context: Context) -> Needs:
    """The tenant's default policy, as the cutting of a schedule needs it."""
    yield Need(SchedulePolicies, context.tenant)
    policies = states.find(SchedulePolicies, context.tenant)
    if policies and policies.default_policy_id:
        yield Need(SchedulePolicy, policies.default_policy_id)


def default_of(states: States, context: Context) -> tuple[str, SchedulePolicy] | None:
    id = states.get(SchedulePolicies, context.tenant).default_policy_id
    return (id, states.get(SchedulePolicy, id)) if id else None


def first_needed(context: Context) -> Needs:
    yield Need(SchedulePolicies, context.tenant)
    yield Need(SchedulePolicy, DEFAULT_POLICY)


def first_enabled(states: States, context: Context) -> list[Change]:
    """The default records that are made as schedules are first switched on, Salesforce's own: the
    whole balance on its due date."""
    chosen = states.get(SchedulePolicies, context.tenant).default_policy_id
    if chosen or states.get(SchedulePolicy, DEFAULT_POLICY).status:
        return []
    facts = (
        SchedulePolicyCreated(DEFAULT_POLICY, "Default"),
        TreatmentAdded(DEFAULT_TREATMENT, "On the due date"),
        TreatmentDetailAdded(DEFAULT_TREATMENT, Detail(DEFAULT_DETAIL, "100")),
        SchedulePolicyActivated(DEFAULT_TREATMENT),
    )
    default = DefaultSchedulePolicyChanged(DEFAULT_POLICY)
    return [
        *[Change(SchedulePolicy, DEFAULT_POLICY, fact) for fact in facts],
        Change(SchedulePolicies, context.tenant, default),
    ]


def _needs(states: States, command: Named, context: Context) -> Needs:
    yield Need(SchedulePolicy, command.policy_id)
    yield Need(SchedulePolicies, context.tenant)


def create(states: States, command: CreateSchedulePolicy, context: Context) -> Changes:
    if states.get(SchedulePolicy, command.policy_id).status:
        raise Rejected("SCHEDULE_POLICY_EXISTS", f"the policy {command.policy_id} exists already")
    return [Change(SchedulePolicy, command.policy_id, SchedulePolicyCreated(command.policy_id, command.name))]


def add_treatment(states: States, command: AddTreatment, context: Context) -> Changes:
    policy = _draft(states, command)
    if command.treatment_id in policy.treatments:
        raise Rejected("SCHEDULE_POLICY_EXISTS", f"the treatment {command.treatment_id} exists already")
    added = TreatmentAdded(
        command.treatment_id,
        command.name,
        command.trigger,
        command.grouping,
        command.due_date_window_days,
        command.currency,
    )
    return [Change(SchedulePolicy, command.policy_id, added)]


def add_detail(states: States, command: AddTreatmentDetail, context: Context) -> Changes:
    policy = _draft(states, command)
    details = _details(policy, command.treatment_id)
    if any(detail.detail_id == command.detail_id for detail in details):
        raise Rejected("SCHEDULE_POLICY_EXISTS", f"the detail {command.detail_id} exists already")
    if command.date_offset_days > 0 and not command.allow_late:
        raise Rejected(
            "OFFSET_POSITIVE_FORBIDDEN",
            "an offset pulls the date before the due date; say allow_late where later is meant",
            field="data.date_offset_days",
        )
    if not 0 < Decimal(command.percentage) <= 100:
        raise Rejected(
            "PERCENTAGES_NOT_100", "a percentage is above 0, and at most 100", field="data.percentage"
        )
    detail = Detail(
        command.detail_id,
        command.percentage,
        date_offset_days=command.date_offset_days,
        method_selection=command.method_selection,
        matching_value=command.matching_value,
        distribution=_distribution(command.distribution),
    )
    return [Change(SchedulePolicy, command.policy_id, TreatmentDetailAdded(command.treatment_id, detail))]


def define_distribution(states: States, command: DefineDistribution, context: Context) -> Changes:
    details = _details(_draft(states, command), command.treatment_id)
    if all(detail.detail_id != command.detail_id for detail in details):
        raise not_found("SCHEDULE_POLICY", command.detail_id)
    defined = DistributionDefined(
        command.treatment_id, command.detail_id, _distribution(command.distribution)
    )
    return [Change(SchedulePolicy, command.policy_id, defined)]


def _distribution(cut: Cut) -> Distribution:
    if (cut.type == "FIXED_AMOUNT") != (cut.amount is not None):
        raise Rejected(
            "MALFORMED_REQUEST", "FIXED_AMOUNT, and only it, has an amount", field="data.distribution.amount"
        )
    for money in (cut.amount, cut.minimum):
        if money is not None and money.amount_minor <= 0:
            raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.distribution")
    return Distribution(**vars(cut))


def activate(states: States, command: ActivateSchedulePolicy, context: Context) -> Changes:
    policy = _known(states, command)
    if policy.status == "ACTIVE":
        raise invalid_state("schedule policy", policy.status, ["DRAFT", "INACTIVE"])
    chosen = command.default_treatment_id or next(iter(policy.treatments), None)
    if chosen is None or (command.default_treatment_id is None and len(policy.treatments) > 1):
        raise Rejected("POLICY_NOT_ACTIVATABLE", "name the treatment that is its default")
    if chosen not in policy.treatments:
        raise not_found("SCHEDULE_POLICY", chosen)
    for treatment_id, details in policy.details.items():
        if sum(Decimal(detail.percentage) for detail in details) != 100:
            raise Rejected(
                "PERCENTAGES_NOT_100",
                f"the details of the treatment {treatment_id} do not total 100 percent",
                treatment_id=treatment_id,
            )
    return [Change(SchedulePolicy, command.policy_id, SchedulePolicyActivated(chosen))]


def deactivate(states: States, command: DeactivateSchedulePolicy, context: Context) -> Changes:
    policy = _known(states, command)
    if policy.status != "ACTIVE":
        raise invalid_state("schedule policy", policy.status, ["ACTIVE"])
    if states.get(SchedulePolicies, context.tenant).default_policy_id == command.policy_id:
        raise Rejected("INVALID_STATE", "it is the default: choose another one first")
    return [Change(SchedulePolicy, command.policy_id, SchedulePolicyDeactivated(command.reason))]


def set_default(states: States, command: SetDefaultSchedulePolicy, context: Context) -> Changes:
    policy = _known(states, command)
    if policy.status != "ACTIVE":
        raise invalid_state("schedule policy", policy.status, ["ACTIVE"])
    policies = states.get(SchedulePolicies, context.tenant)
    if policies.default_policy_id == command.policy_id:
        return []
    changed = DefaultSchedulePolicyChanged(command.policy_id, policies.default_policy_id)
    return [Change(SchedulePolicies, context.tenant, changed)]


def _known(states: States, command: Named) -> SchedulePolicy:
    policy = states.get(SchedulePolicy, command.policy_id)
    if not policy.status:
        raise not_found("SCHEDULE_POLICY", command.policy_id)
    return policy


def _draft(states: States, command: Named) -> SchedulePolicy:
    """A policy in use is never changed under what it has cut: it is deactivated first."""
    policy = _known(states, command)
    if policy.status == "ACTIVE":
        raise invalid_state("schedule policy", policy.status, ["DRAFT", "INACTIVE"])
    return policy


def _details(policy: SchedulePolicy, treatment_id: str) -> tuple[Detail, ...]:
    if treatment_id not in policy.treatments:
        raise not_found("SCHEDULE_POLICY", treatment_id)
    return policy.details[treatment_id]


def _home(command: Any, tenant: str) -> str:
    """The settings' own: switching schedules on makes the first policy, and one default replaces another."""
    return tenant_home("settings", tenant)


DEFAULT = Subject(SchedulePolicies, evolve_default)
SUBJECT = Subject(
    SchedulePolicy,
    evolve,
    (
        Rule(CreateSchedulePolicy, _needs, create, _home),
        Rule(AddTreatment, _needs, add_treatment, _home),
        Rule(AddTreatmentDetail, _needs, add_detail, _home),
        Rule(DefineDistribution, _needs, define_distribution, _home),
        Rule(ActivateSchedulePolicy, _needs, activate, _home),
        Rule(DeactivateSchedulePolicy, _needs, deactivate, _home),
        Rule(SetDefaultSchedulePolicy, _needs, set_default, _home),
    ),
)
