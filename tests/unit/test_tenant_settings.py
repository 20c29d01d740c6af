"""Settings: a bare tenant, what can be changed, and the presets."""

from __future__ import annotations

import pytest

from events.settings import TenantSettingsChanged
from services.tenant_settings import (
    DEFAULTS,
    PRESETS,
    ApplySettingsPreset,
    ChangeTenantSettings,
    TenantSettings,
)
from tests.spec import Spec

bare = Spec()


def change(**changes: bool | int | str | tuple[str, ...] | tuple[int, ...]) -> ChangeTenantSettings:
    return ChangeTenantSettings(changes)


def changed(**changes: bool | int | str | tuple[str, ...] | tuple[int, ...]) -> TenantSettingsChanged:
    return TenantSettingsChanged(dict(changes))


def test_a_bare_tenant_has_the_documented_defaults() -> None:
    assert bare.state(TenantSettings, "t").values == {
        "application_level": "INVOICE_LINE",
        "convert_negative_lines": False,
        "apply_converted_credit_to_source_invoice": False,
        "issue_refunds_and_settle_balances": False,
        "auto_apply_credits_to_posted_invoices": False,
        "refund_failure_fallback": ("RETRY", "OTHER_PAYMENT", "OPEN_CREDIT"),
        "unknown_outcome_poll": (30, 120, 600, 3600, 21600, 86400),
        "auto_promote_backup": False,
        "production": False,
    }


def test_only_what_differs_is_a_change() -> None:
    command = change(convert_negative_lines=True, application_level="INVOICE_LINE")
    bare.when(command).then((TenantSettings, "t", changed(convert_negative_lines=True)))


def test_the_same_change_twice_changes_nothing() -> None:
    given = bare.given((TenantSettings, "t", changed(convert_negative_lines=True)))
    given.when(change(convert_negative_lines=True)).then_nothing()


def test_lists_are_kept_in_order() -> None:
    given = bare.when(change(unknown_outcome_poll=(5, 10), refund_failure_fallback=("MANUAL",)))
    assert given.state(TenantSettings, "t")["unknown_outcome_poll"] == (5, 10)
    assert given.state(TenantSettings, "t")["refund_failure_fallback"] == ("MANUAL",)


def test_an_unknown_setting_is_an_unknown_field() -> None:
    bare.when(change(teleport_money=True)).then_rejected("UNKNOWN_FIELD", field="changes.teleport_money")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("convert_negative_lines", 1),
        ("convert_negative_lines", "true"),
        ("application_level", "LINE"),
        ("unknown_outcome_poll", ()),
        ("unknown_outcome_poll", (30, 0)),
        ("unknown_outcome_poll", (120, 30)),
        ("unknown_outcome_poll", "30"),
        ("refund_failure_fallback", ("PRAYER",)),
        ("refund_failure_fallback", ("RETRY", "RETRY")),
    ],
)
def test_a_value_of_the_wrong_kind_is_malformed(name: str, value: bool | int | str | tuple[str, ...]) -> None:
    bare.when(change(**{name: value})).then_rejected("MALFORMED_REQUEST", field=f"changes.{name}")


def test_one_wrong_value_refuses_all() -> None:
    refused = bare.when(change(convert_negative_lines=True, application_level="LINE"))
    assert not refused.state(TenantSettings, "t")["convert_negative_lines"]


def test_the_recommended_preset_switches_on_what_most_tenants_want() -> None:
    given = bare.when(ApplySettingsPreset("recommended")).accepted()
    settings = given.state(TenantSettings, "t")
    assert settings["convert_negative_lines"]
    assert settings["issue_refunds_and_settle_balances"]
    assert settings["auto_apply_credits_to_posted_invoices"]
    assert given.fact(TenantSettingsChanged).preset == "recommended"
    given.when(ApplySettingsPreset("recommended")).then_nothing()


def test_the_bare_preset_takes_everything_back() -> None:
    given = bare.when(change(production=True, application_level="INVOICE"))
    given = given.also_when(ApplySettingsPreset("bare"))
    assert given.state(TenantSettings, "t").values == DEFAULTS == PRESETS["bare"]
