"""Settings: a bare tenant, what can be changed, and the presets."""

from __future__ import annotations

import pytest

from events.retry import DefaultRetryRuleSetChanged, RetryRuleSetActivated, RetryRuleSetCreated
from events.schedule_policy import (
    DefaultSchedulePolicyChanged,
    SchedulePolicyActivated,
    SchedulePolicyCreated,
    TreatmentAdded,
    TreatmentDetailAdded,
)
from events.settings import TenantSettingsChanged
from services.tenants.tenant_settings import (
    DEFAULTS,
    PRESETS,
    ApplySettingsPreset,
    ChangeTenantSettings,
    TenantSettings,
)
from tests.spec import Spec

Value = bool | int | str | tuple[str, ...] | tuple[int, ...]


def change(**changes: Value) -> ChangeTenantSettings:
    return ChangeTenantSettings(changes)


def changed(**changes: Value) -> TenantSettingsChanged:
    return TenantSettingsChanged(dict(changes))


def test_a_bare_tenant_has_the_documented_defaults() -> None:
    assert Spec().state(TenantSettings, "t").values == {
        "application_level": "INVOICE_LINE",
        "convert_negative_lines": False,
        "apply_converted_credit_to_source_invoice": False,
        "issue_refunds_and_settle_balances": False,
        "auto_apply_credits_to_posted_invoices": False,
        "auto_apply_payments_to_posted_invoices": False,
        "rule_based_application": False,
        "application_order": "PAYMENTS_FIRST",
        "application_rules": (),
        "small_balance_write_off": (),
        "offset_before_refund": "NONE",
        "refund_unapply_strategy": "FULL_THEN_REAPPLY",
        "refund_failure_fallback": ("RETRY", "OTHER_PAYMENT", "OPEN_CREDIT"),
        "refund_approval_threshold": None,
        "unreferenced_refund_approval": False,
        "unreferenced_refund_count_max": None,
        "unreferenced_refund_amount_max": (),
        "unreferenced_refund_days": 30,
        "refund_duplicate_charges": False,
        "unknown_outcome_poll": (30, 120, 600, 3600, 21600, 86400),
        "create_payment_schedules": False,
        "reduced_balance_policy": "CANCEL_ITEM",
        "schedule_cut_time": "23:00",
        "time_zone": "UTC",
        "active_schedulers_max": 30,
        "auto_promote_backup": False,
        "allow_cross_account": False,
        "level2_level3_data": False,
        "ship_from_postal_codes": (),
        "payment_terms": (),
        "share_payment_data_by_account": False,
        "retry_failed_payments": False,
        "stagger_basis": "FIRST_FAILURE",
        "hard_decline_policy": "SKIP_TO_ALTERNATE",
        "never_retry_override": None,
        "card_network_caps": ("visa 15/30d", "mastercard 10/24h", "mastercard 35/30d"),
        "corporate_currency": None,
        "rate_source": None,
        "production": False,
    }


def test_only_what_differs_is_a_change() -> None:
    command = change(convert_negative_lines=True, application_level="INVOICE_LINE")
    Spec().when(command).then((TenantSettings, "t", changed(convert_negative_lines=True)))


def test_the_same_change_twice_changes_nothing() -> None:
    spec = Spec().given((TenantSettings, "t", changed(convert_negative_lines=True)), account="~settings/t")
    spec.when(change(convert_negative_lines=True)).then_nothing()


def test_lists_are_kept_in_order() -> None:
    spec = Spec().when(change(unknown_outcome_poll=(5, 10), refund_failure_fallback=("MANUAL", "RETRY")))
    settings = spec.then_accepted().state(TenantSettings, "t")
    assert settings["unknown_outcome_poll"] == (5, 10)
    assert settings["refund_failure_fallback"] == ("MANUAL", "RETRY")


def test_an_unknown_setting_is_an_unknown_field() -> None:
    spec = Spec().when(change(teleport_money=True)).then_rejected("UNKNOWN_FIELD")
    assert spec.outcome["field"] == "data.changes.teleport_money"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("convert_negative_lines", 1),
        ("convert_negative_lines", "true"),
        ("application_level", "LINE"),
        ("payment_terms", "net14=PERIOD_BASED+14"),
        ("payment_terms", ("net14",)),
        ("payment_terms", ("net14=PERIOD_BASED",)),
        ("payment_terms", ("net14=SOMEDAY+14",)),
        ("payment_terms", ("a b=PERIOD_BASED+14",)),
        ("payment_terms", ("net14=PERIOD_BASED+3651",)),
        ("payment_terms", ("net=PERIOD_BASED+14", "net=PERIOD_BASED+15")),
        ("application_level", True),
        ("application_order", "OLDEST_FIRST"),
        ("offset_before_refund", True),
        ("refund_unapply_strategy", "NONE"),
        ("unknown_outcome_poll", ()),
        ("unknown_outcome_poll", (30, 0)),
        ("unknown_outcome_poll", (120, 30)),
        ("unknown_outcome_poll", (30, 30)),
        ("unknown_outcome_poll", "30"),
        ("refund_failure_fallback", ("PRAYER",)),
        ("refund_failure_fallback", ("RETRY", "RETRY")),
        ("stagger_basis", "LAST_FAILURE"),
        ("hard_decline_policy", "PRAY"),
        ("never_retry_override", True),
        ("never_retry_override", "yes"),
        ("card_network_caps", ("visa 15 in 30 days",)),
        ("card_network_caps", "visa 15/30d"),
        ("ship_from_postal_codes", ("94107",)),
        ("ship_from_postal_codes", ("default=",)),
        ("ship_from_postal_codes", ("a=1", "a=2")),
        ("ship_from_postal_codes", "default=94107"),
    ],
)
def test_a_value_of_the_wrong_kind_is_malformed(name: str, value: Value) -> None:
    spec = Spec().when(change(**{name: value})).then_rejected("MALFORMED_REQUEST")
    assert spec.outcome["field"] == f"data.changes.{name}"


def test_one_wrong_value_refuses_all() -> None:
    spec = Spec().when(change(convert_negative_lines=True, application_level="LINE"))
    assert not spec.then_rejected("MALFORMED_REQUEST").state(TenantSettings, "t")["convert_negative_lines"]


def test_the_recommended_preset_switches_on_what_most_tenants_want() -> None:
    spec = (
        Spec()
        .when(ApplySettingsPreset("recommended"))
        .then_types(
            RetryRuleSetCreated,
            RetryRuleSetActivated,
            DefaultRetryRuleSetChanged,
            SchedulePolicyCreated,
            TreatmentAdded,
            TreatmentDetailAdded,
            SchedulePolicyActivated,
            DefaultSchedulePolicyChanged,
            TenantSettingsChanged,
        )
    )
    settings = spec.state(TenantSettings, "t")
    assert settings["convert_negative_lines"]
    assert settings["issue_refunds_and_settle_balances"]
    assert settings["auto_apply_credits_to_posted_invoices"]
    assert settings["create_payment_schedules"]
    assert spec.facts()[-1][2].preset == "recommended"
    spec.when(ApplySettingsPreset("recommended")).then_nothing()


def test_the_bare_preset_takes_everything_back() -> None:
    spec = Spec().when(change(production=True, application_level="INVOICE")).then_accepted()
    spec.when(ApplySettingsPreset("bare")).then_accepted()
    assert spec.state(TenantSettings, "t").values == DEFAULTS == PRESETS["bare"]
