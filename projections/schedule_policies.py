"""How posted invoices are cut into payments: each policy with its treatments, and which is the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.schedule_policy import (
    DefaultSchedulePolicyChanged,
    Detail,
    DistributionDefined,
    SchedulePolicyActivated,
    SchedulePolicyCreated,
    SchedulePolicyDeactivated,
    TreatmentAdded,
    TreatmentDetailAdded,
)
from projections.table import FLAG, JSON, TENANT, TEXT, Column, Place, Row, Table, text

Own = Mapping[str, Any]

schedule_policies = Table(
    "schedule_policies",
    key=(TENANT, Column("policy_id", TEXT)),
    columns=(
        *text("name", "status", "default_treatment_id"),
        Column("is_default", FLAG, False),
        Column("treatments", JSON),
        Column("version", "int", 0),
    ),
    kind="pspolicy",
)


@schedule_policies.on(SchedulePolicyCreated)
def policy_created(fact: SchedulePolicyCreated, at: Place, own: Own) -> Iterable[Row]:
    none: list[dict[str, Any]] = []
    changes = {"name": fact.name, "status": "DRAFT", "treatments": none}
    yield Row((at.tenant, at.id), changes)


@schedule_policies.on(TreatmentAdded)
def treatment_added(fact: TreatmentAdded, at: Place, own: Own) -> Iterable[Row]:
    treatment: dict[str, Any] = {
        "treatment_id": fact.treatment_id,
        "name": fact.name,
        "grouping": fact.grouping,
        "due_date_window_days": fact.due_date_window_days,
        "currency": fact.currency,
        "details": [],
    }
    yield _treatments(at, [*own["treatments"], treatment])


@schedule_policies.on(TreatmentDetailAdded)
def detail_added(fact: TreatmentDetailAdded, at: Place, own: Own) -> Iterable[Row]:
    def added(details: list[Any]) -> list[Any]:
        return [*details, _detail(fact.detail)]

    yield _treatments(at, _with_details(own["treatments"], fact.treatment_id, added))


@schedule_policies.on(DistributionDefined)
def distribution_defined(fact: DistributionDefined, at: Place, own: Own) -> Iterable[Row]:
    def defined(details: list[Any]) -> list[Any]:
        return [
            {**detail, "distribution": fact.distribution.type}
            if detail["detail_id"] == fact.detail_id
            else detail
            for detail in details
        ]

    yield _treatments(at, _with_details(own["treatments"], fact.treatment_id, defined))


def _with_details(treatments: list[Any], treatment_id: str, change: Any) -> list[Any]:
    return [
        {**each, "details": change(each["details"])} if each["treatment_id"] == treatment_id else each
        for each in treatments
    ]


def _detail(detail: Detail) -> dict[str, Any]:
    return {
        "detail_id": detail.detail_id,
        "percentage": detail.percentage,
        "date_offset_days": detail.date_offset_days,
        "method_selection": detail.method_selection,
        "matching_value": detail.matching_value,
        "distribution": detail.distribution.type,
    }


def _treatments(at: Place, treatments: list[Any]) -> Row:
    return Row((at.tenant, at.id), {"treatments": treatments})


@schedule_policies.on(SchedulePolicyActivated)
def policy_activated(fact: SchedulePolicyActivated, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "ACTIVE", "default_treatment_id": fact.default_treatment_id}
    yield Row((at.tenant, at.id), changes)


@schedule_policies.on(SchedulePolicyDeactivated)
def policy_deactivated(fact: SchedulePolicyDeactivated, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "INACTIVE"})


@schedule_policies.on(DefaultSchedulePolicyChanged)
def default_changed(fact: DefaultSchedulePolicyChanged, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.policy_id), {"is_default": True})
    if fact.previous:
        yield Row((at.tenant, fact.previous), {"is_default": False})


TABLES = (schedule_policies,)
