"""Gateways: registered once under one name, and asked only for what they can do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from events.gateway import (
    Capabilities,
    GatewayActivated,
    GatewayCircuitClosed,
    GatewayCircuitOpened,
    GatewayCredentialRotated,
    GatewayDeactivated,
    GatewayProviderRegistered,
    GatewayRegistered,
    GatewayRestricted,
    GatewaySwitched,
    MethodTypesMapped,
    RawCodeMapPublished,
)
from events.money import Money
from projections.folding import Folder
from projections.models import TABLES
from projections.operations import gateways
from services.calls.gateway import (
    ActivateGateway,
    CloseCircuit,
    DeactivateGateway,
    Gateway,
    OpenCircuit,
    RegisterGateway,
    RestrictGateway,
    RotateGatewayCredential,
    SwitchGateway,
    check_accepts,
    evolve,
)
from services.calls.provider import (
    GatewayProvider,
    MapMethodTypes,
    PublishRawCodeMap,
    RegisterGatewayProvider,
)
from services.errors import STATUS, Rejected
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import money
from tests.spec import NOW, Spec

CAN = Capabilities(("AUTHORIZE", "CAPTURE", "SALE", "REFUND"), method_types=("card",))
CAN_ALL = replace(
    CAN,
    operations=(
        *("AUTHORIZE", "CAPTURE", "SALE", "REVERSE", "VOID", "REFUND", "UNREFERENCED_REFUND", "TOKENIZE"),
    ),
)
REGISTER = RegisterGateway("g1", "Main", "sim", "env:KEY", "m1", "TEST", external_reference="acct_1")
REGISTERED = GatewayRegistered(
    "g1", "Main", "sim", "env:KEY", "m1", "TEST", "simulator", CAN, external_reference="acct_1"
)


def with_provider() -> Spec:
    return Spec().when(RegisterGatewayProvider("sim", "Simulator", "simulator", CAN)).then_accepted()


def with_gateway() -> Spec:
    return with_provider().when(REGISTER).then_accepted()


# -- providers


def test_a_provider_is_registered_with_what_it_can_do() -> None:
    fact = GatewayProviderRegistered("sim", "Simulator", "simulator", CAN)
    with_provider().then((GatewayProvider, "sim", fact))


def test_a_provider_is_registered_once() -> None:
    with_provider().when(RegisterGatewayProvider("sim", "Other", "other", CAN)).then_rejected(
        "GATEWAY_EXISTS"
    )


def test_raw_code_maps_follow_the_one_that_is_built_in() -> None:
    spec = with_provider().when(PublishRawCodeMap("sim", {" Do_Not_Honor ": ("PaymentProcessing", "S")}))
    published = RawCodeMapPublished(2, {"do_not_honor": ("PaymentProcessing", "S")})
    spec.then((GatewayProvider, "sim", published))
    spec.when(PublishRawCodeMap("sim", {})).then((GatewayProvider, "sim", RawCodeMapPublished(3, {})))
    assert spec.state(GatewayProvider, "sim").map_version == 3


def test_no_map_without_a_provider() -> None:
    Spec().when(PublishRawCodeMap("sim", {})).then_rejected("GATEWAY_NOT_FOUND")


# -- registration


def test_a_gateway_takes_over_what_its_provider_can_do() -> None:
    with_provider().when(REGISTER).then((Gateway, "g1", REGISTERED))


def test_a_gateway_is_registered_once_and_needs_its_provider() -> None:
    with_gateway().when(REGISTER).then_rejected("GATEWAY_EXISTS")
    Spec().when(REGISTER).then_rejected("GATEWAY_NOT_FOUND")


@pytest.mark.parametrize("other", [{"external_reference": "acct_2"}, {"name": "Other"}])
def test_its_name_and_its_reference_are_its_own(other: dict[str, Any]) -> None:
    with_gateway().when(replace(REGISTER, gateway_id="g2", **other)).then_rejected("GATEWAY_EXISTS")


def test_another_name_and_reference_are_free() -> None:
    another = replace(REGISTER, gateway_id="g2", name="Other", external_reference="acct_2")
    with_gateway().when(another).then_types(GatewayRegistered)


def test_a_production_tenant_takes_no_test_gateway() -> None:
    spec = with_provider().when(ChangeTenantSettings({"production": True})).then_accepted()
    spec.when(REGISTER).then_rejected("GATEWAY_MODE_FORBIDDEN")
    spec.when(replace(REGISTER, mode="LIVE")).then_types(GatewayRegistered)


@pytest.mark.parametrize("read_timeout_ms", [99, 120_001])
def test_a_call_is_given_up_after_two_minutes_at_most(read_timeout_ms: int) -> None:
    refused = with_provider().when(replace(REGISTER, read_timeout_ms=read_timeout_ms))
    assert refused.then_rejected("MALFORMED_REQUEST").outcome["field"] == "data.read_timeout_ms"


# -- states


def test_a_gateway_is_deactivated_restricted_and_activated_again() -> None:
    spec = with_gateway()
    spec.when(ActivateGateway("g1")).then_nothing()
    spec.when(DeactivateGateway("g1", "moving")).then((Gateway, "g1", GatewayDeactivated("moving")))
    spec.when(DeactivateGateway("g1")).then_nothing()
    spec.when(ActivateGateway("g1")).then((Gateway, "g1", GatewayActivated()))
    spec.when(RestrictGateway("g1", "RESTRICTED")).then((Gateway, "g1", GatewayRestricted("RESTRICTED")))
    spec.when(RestrictGateway("g1", "RESTRICTED")).then_nothing()
    spec.when(ActivateGateway("g1")).then_types(GatewayActivated)


def test_a_rejected_gateway_stays_rejected() -> None:
    spec = with_gateway().when(RestrictGateway("g1", "REJECTED")).then_accepted()
    spec.when(ActivateGateway("g1")).then_rejected("INVALID_STATE", state="REJECTED")


def test_a_test_gateway_is_not_activated_once_its_tenant_is_productive() -> None:
    spec = with_gateway().when(DeactivateGateway("g1")).then_accepted()
    spec.when(ChangeTenantSettings({"production": True})).then_accepted()
    spec.when(ActivateGateway("g1")).then_rejected("GATEWAY_MODE_FORBIDDEN")


def test_a_circuit_is_opened_for_a_while_for_longer_and_closed() -> None:
    spec = with_gateway()
    spec.when(CloseCircuit("g1")).then_nothing()
    spec.when(OpenCircuit("g1", "no answers")).then(
        (Gateway, "g1", GatewayCircuitOpened("no answers", NOW + timedelta(seconds=30)))
    )
    spec.when(OpenCircuit("g1", "no answers", 10)).then_nothing()
    spec.when(OpenCircuit("g1", "still none", 60)).then(
        (Gateway, "g1", GatewayCircuitOpened("still none", NOW + timedelta(seconds=60)))
    )
    spec.when(CloseCircuit("g1", "it answers")).then((Gateway, "g1", GatewayCircuitClosed("it answers")))
    assert spec.state(Gateway, "g1").circuit_open_until is None


def test_while_its_circuit_is_open_nothing_is_begun_and_what_was_begun_is_finished() -> None:
    until = NOW + timedelta(seconds=30)
    open = gateway(GatewayCircuitOpened("no answers", until), capabilities=CAN_ALL)
    for operation in ("AUTHORIZE", "SALE", "TOKENIZE"):
        assert refusal(open, operation, now=NOW) == "GATEWAY_CIRCUIT_OPEN"
        assert refusal(open, operation, now=until) is None, "then it is tried out"
    for operation in ("CAPTURE", "REVERSE", "VOID", "REFUND", "UNREFERENCED_REFUND"):
        assert refusal(open, operation, now=NOW) is None
    assert STATUS["GATEWAY_CIRCUIT_OPEN"] == 503


def test_a_credential_is_rotated_by_its_reference() -> None:
    spec = with_gateway().when(RotateGatewayCredential("g1", "env:KEY_2"))
    spec.then((Gateway, "g1", GatewayCredentialRotated("env:KEY_2")))


@pytest.mark.parametrize(
    "command",
    [
        ActivateGateway("g9"),
        DeactivateGateway("g9"),
        RestrictGateway("g9", "RESTRICTED"),
        RotateGatewayCredential("g9", "env:KEY"),
        OpenCircuit("g9", "no answers"),
        CloseCircuit("g9"),
    ],
)
def test_an_unknown_gateway_is_not_found(command: object) -> None:
    with_gateway().when(command).then_rejected("GATEWAY_NOT_FOUND")


def test_a_gateway_is_no_business_of_an_account() -> None:
    with_provider().when(REGISTER, account="A").then_rejected("PARTITION_KEY_MISMATCH")


# -- what may be asked of it


def gateway(*then: Any, **more: Any) -> Gateway:
    state = Gateway()
    for fact in (replace(REGISTERED, **more), *then):
        evolve(state, fact)
    return state


def refusal(
    state: Gateway,
    operation: str,
    amount: Money | None = None,
    type: str | None = "card",
    now: datetime | None = None,
) -> str | None:
    try:
        check_accepts(state, "g1", operation, amount or money("10.00"), type, now)
    except Rejected as rejected:
        return rejected.code
    return None


def test_an_unregistered_gateway_takes_nothing() -> None:
    assert refusal(Gateway(), "SALE") == "GATEWAY_NOT_FOUND"


@pytest.mark.parametrize("state", ["INACTIVE", "RESTRICTED", "REJECTED"])
def test_what_is_begun_is_finished_at_a_gateway_that_takes_nothing_new(state: str) -> None:
    event = GatewayDeactivated() if state == "INACTIVE" else GatewayRestricted(state)
    closed = gateway(event)
    assert [refusal(closed, operation) for operation in ("AUTHORIZE", "SALE")] == ["GATEWAY_INACTIVE"] * 2
    assert [refusal(closed, operation) for operation in ("CAPTURE", "REFUND")] == [None] * 2


def test_a_gateway_that_will_be_restricted_still_takes_all() -> None:
    assert refusal(gateway(GatewayRestricted("RESTRICTED_SOON")), "SALE") is None


def test_what_it_cannot_do_is_refused_before_any_call() -> None:
    assert refusal(gateway(), "VOID") == "GATEWAY_CAPABILITY_MISSING"


def test_it_takes_only_its_method_types() -> None:
    assert refusal(gateway(), "SALE", type="sepa_debit") == "METHOD_TYPE_UNSUPPORTED"
    everything = gateway(capabilities=replace(CAN, method_types=()))
    assert refusal(everything, "SALE", type="sepa_debit") is None
    assert refusal(gateway(), "SALE", type=None) is None


def test_it_takes_only_its_currencies() -> None:
    only_euros = gateway(capabilities=replace(CAN, currencies=("EUR",)))
    assert refusal(only_euros, "SALE") == "GATEWAY_CURRENCY_UNSUPPORTED"
    assert refusal(only_euros, "SALE", money("10.00", "EUR")) is None


# -- what the provider lets the merchant account do


def test_a_gateway_is_switched_by_what_is_said_of_it() -> None:
    spec = with_gateway()
    spec.when(SwitchGateway("g1")).then_nothing()
    spec.when(SwitchGateway("g1", payments_enabled=False, reason="papers")).then(
        (Gateway, "g1", GatewaySwitched(False, True, "papers"))
    )
    spec.when(SwitchGateway("g1", payouts_enabled=False)).then((Gateway, "g1", GatewaySwitched(False, False)))
    spec.when(SwitchGateway("g1", False, False)).then_nothing()
    (row,) = Folder(TABLES).from_zero(spec.events())[gateways].values()
    assert (row["payments_enabled"], row["payouts_enabled"], row["status"]) == (False, False, "ACTIVE")
    Spec().when(SwitchGateway("g1", False)).then_rejected("GATEWAY_NOT_FOUND")


def test_without_payments_nothing_is_begun_and_what_was_begun_ends() -> None:
    off = gateway(GatewaySwitched(False, True), capabilities=CAN_ALL)
    for operation in ("AUTHORIZE", "SALE", "TOKENIZE"):
        assert refusal(off, operation) == "GATEWAY_INACTIVE"
    for operation in ("CAPTURE", "REVERSE", "VOID", "REFUND", "UNREFERENCED_REFUND"):
        assert refusal(off, operation) is None
    off = gateway(GatewaySwitched(True, False), capabilities=CAN_ALL)
    assert refusal(off, "UNREFERENCED_REFUND") == "GATEWAY_INACTIVE"
    assert refusal(off, "SALE") is refusal(off, "REFUND") is None


# -- its own names of methods


def test_what_a_provider_calls_methods_is_told_by_our_types() -> None:
    spec = with_provider()
    mapping = MapMethodTypes("sim", {" Visa Credit ": "card", "ACH": "us_bank_account"})
    mapped = MethodTypesMapped({"visa credit": "card", "ach": "us_bank_account"})
    spec.when(mapping).then((GatewayProvider, "sim", mapped))
    spec.when(mapping).then_nothing()
    spec.when(MapMethodTypes("none", {})).then_rejected("GATEWAY_NOT_FOUND")
