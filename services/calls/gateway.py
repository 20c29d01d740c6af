"""Gateways: what may be asked of each, in which currency, and of how much.

Invariant: what a gateway cannot do is refused before anything is decided about money.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from events.gateway import (
    Capabilities,
    GatewayActivated,
    GatewayCircuitClosed,
    GatewayCircuitOpened,
    GatewayCredentialRotated,
    GatewayDeactivated,
    GatewayEvent,
    GatewayRegistered,
    GatewayRestricted,
    GatewaySwitched,
)
from events.ids import tenant_home
from events.money import Money
from services.calls.provider import GatewayProvider, no_provider
from services.commands import Currency, FreeText, Id, Text, command
from services.decision import Change, Changes, Claiming, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found
from services.tenants import tenant_settings

NEW_MONEY = frozenset({"AUTHORIZE", "SALE", "TOKENIZE"})
"""Operations that only an active gateway takes, whose circuit is closed; the others still finish what was
begun."""


@dataclass(slots=True)
class Gateway:
    """A gateway: what may be asked of it, in which currency, and of how much."""

    KIND: ClassVar[str] = "gw"

    version: int = 0
    status: str = ""
    """Empty, ACTIVE, RESTRICTED_SOON, RESTRICTED, REJECTED, INACTIVE."""
    payments_enabled: bool = True
    payouts_enabled: bool = True
    merchant_account_id: str = ""
    provider_id: str = ""
    adapter_key: str = ""
    mode: str = ""
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(()))
    minor_unit_overrides: dict[str, int] = field(default_factory=dict[str, int])
    settings: dict[str, str] = field(default_factory=dict[str, str])
    circuit_open_until: datetime | None = None
    """It does not answer; from then on, new payments try it out."""

    @property
    def open(self) -> bool:
        return False

    def takes(self, method_type: str) -> bool:
        return not self.capabilities.method_types or method_type in self.capabilities.method_types


def evolve(gateway: Gateway, event: GatewayEvent) -> None:
    match event:
        case GatewayRegistered():
            gateway.status, gateway.merchant_account_id = "ACTIVE", event.merchant_account_id
            gateway.adapter_key, gateway.mode, gateway.capabilities = (
                event.adapter_key,
                event.mode,
                event.capabilities,
            )
            gateway.provider_id = event.provider_id
            gateway.minor_unit_overrides = event.minor_unit_overrides or {}
            gateway.settings = event.settings or {}
        case GatewayActivated():
            gateway.status = "ACTIVE"
        case GatewayDeactivated():
            gateway.status = "INACTIVE"
        case GatewayRestricted():
            gateway.status = event.status
        case GatewaySwitched():
            gateway.payments_enabled, gateway.payouts_enabled = event.payments_enabled, event.payouts_enabled
        case GatewayCredentialRotated():
            pass
        case GatewayCircuitOpened():
            gateway.circuit_open_until = event.until
        case GatewayCircuitClosed():
            gateway.circuit_open_until = None
        case _:
            raise AssertionError(event)


@command("payments.gateway.register.v1")
class RegisterGateway:
    """Make a contract with a provider known; its credential is named (`env:NAME`, `file:NAME`), never
    sent.
    """

    gateway_id: Id
    """An id of the caller's own, such as `stripe-eu`. `tender gateways add` registers a gateway, and its
    provider where it is the first."""
    name: FreeText
    """What people call it; no two gateways of a tenant have the same."""
    provider_id: Id
    """The provider that it is a gateway of; it is registered first."""
    credential_ref: Text
    """Where the credential is kept: `env:STRIPE_KEY`, never the credential."""
    merchant_account_id: Id
    mode: Literal["TEST", "CONNECTED", "LIVE"]
    """TEST: no money moves, and a tenant in production takes no such gateway; CONNECTED, LIVE: money
    moves."""
    external_reference: Text | None = None
    connect_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    read_timeout_ms: Annotated[int, Field(ge=100, le=120_000)] = 120_000
    rate_limit_per_second: Annotated[int, Field(ge=1)] | None = None
    minor_unit_overrides: dict[Currency, Annotated[int, Field(ge=1)]] | None = None
    """Currency to the granularity of its minor units: `{"KWD": 10}` takes only tens of fils."""
    settings: dict[Id, Text] | None = None
    """What its adapter needs besides, such as `base_url` or `concurrency` (calls at a time); never a
    secret."""


@command("payments.gateway.activate.v1")
class ActivateGateway:
    """Let a gateway be asked for new payments."""

    gateway_id: Id
    reason: FreeText | None = None


@command("payments.gateway.deactivate.v1")
class DeactivateGateway:
    """Ask a gateway for nothing new; what it has begun it ends."""

    gateway_id: Id
    reason: FreeText | None = None


@command("payments.gateway.restrict.v1")
class RestrictGateway:
    """Note that the provider limits what a gateway does."""

    gateway_id: Id
    status: Literal["RESTRICTED_SOON", "RESTRICTED", "REJECTED"]
    """RESTRICTED_SOON: nothing changes yet; RESTRICTED, REJECTED: it takes no new payments, and ends what it
    has begun."""
    reason: FreeText | None = None


@command("payments.gateway.switch.v1")
class SwitchGateway:
    """Note what the provider lets the merchant account do: what is left out stays as it is.

    Without payments nothing is charged, authorized or tokenized there; without payouts no credit is paid out.
    What was begun ends: captures, reversals, voids and refunds of payments go on.
    """

    gateway_id: Id
    payments_enabled: bool | None = None
    """Whether it may take new payments; without it, as before."""
    payouts_enabled: bool | None = None
    """Whether money may be paid out to whom it did not come from; without it, as before."""
    reason: FreeText | None = None


@command("payments.gateway.rotate_credential.v1")
class RotateGatewayCredential:
    """Use another credential from now on, by its name."""

    gateway_id: Id
    credential_ref: Text


@command("payments.gateway.open_circuit.v1")
class OpenCircuit:
    """No new money at this gateway for so many seconds; the health of its calls says so, or a person."""

    gateway_id: Id
    reason: FreeText
    seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    """How long, from now."""


@command("payments.gateway.close_circuit.v1")
class CloseCircuit:
    """Send to a gateway again that was left alone because it gave no answers."""

    gateway_id: Id
    reason: FreeText | None = None


def check_accepts(
    gateway: Gateway,
    gateway_id: str,
    operation: str,
    amount: Money,
    method_type: str | None,
    now: datetime | None = None,
) -> None:
    """Raises `GATEWAY_NOT_FOUND`, `GATEWAY_INACTIVE`, `GATEWAY_CAPABILITY_MISSING`,
    `METHOD_TYPE_UNSUPPORTED`, `GATEWAY_CURRENCY_UNSUPPORTED`, `GATEWAY_AMOUNT_GRANULARITY`,
    `GATEWAY_CIRCUIT_OPEN`."""
    can = gateway.capabilities
    if not gateway.status:
        raise not_found("GATEWAY", gateway_id)
    if operation in NEW_MONEY and gateway.status not in ("ACTIVE", "RESTRICTED_SOON"):
        raise Rejected("GATEWAY_INACTIVE", f"the gateway {gateway_id} is {gateway.status}")
    if operation in NEW_MONEY and not gateway.payments_enabled:
        raise Rejected("GATEWAY_INACTIVE", f"the gateway {gateway_id} may take no payments")
    if operation == "UNREFERENCED_REFUND" and not gateway.payouts_enabled:
        raise Rejected("GATEWAY_INACTIVE", f"the gateway {gateway_id} may pay nothing out")
    until = gateway.circuit_open_until
    if operation in NEW_MONEY and until and (now is None or now < until):
        raise Rejected(
            "GATEWAY_CIRCUIT_OPEN", f"the gateway {gateway_id} does not answer", until=until.isoformat()
        )
    if operation not in can.operations:
        raise Rejected(
            "GATEWAY_CAPABILITY_MISSING", f"the gateway {gateway_id} cannot {operation}", operation=operation
        )
    if method_type is not None and not gateway.takes(method_type):
        raise Rejected("METHOD_TYPE_UNSUPPORTED", f"the gateway {gateway_id} takes no {method_type}")
    if can.currencies and amount.currency not in can.currencies:
        raise Rejected("GATEWAY_CURRENCY_UNSUPPORTED", f"the gateway {gateway_id} takes no {amount.currency}")
    step = gateway.minor_unit_overrides.get(amount.currency, 1)
    if amount.amount_minor % step:
        below = amount.amount_minor - amount.amount_minor % step
        raise Rejected(
            "GATEWAY_AMOUNT_GRANULARITY",
            f"the gateway {gateway_id} takes only multiples of {step} minor units of {amount.currency}",
            nearest=[minor for minor in (below, below + step) if minor > 0],
        )


def _register_needs(states: States, command: RegisterGateway, context: Context) -> Needs:
    yield Need(Gateway, command.gateway_id)
    yield Need(GatewayProvider, command.provider_id)
    yield tenant_settings.needed(context)


def register(states: States, command: RegisterGateway, context: Context) -> Changes:
    provider = states.get(GatewayProvider, command.provider_id)
    if states.get(Gateway, command.gateway_id).status:
        raise Rejected("GATEWAY_EXISTS", f"the gateway {command.gateway_id} is registered already")
    if provider.capabilities is None:
        raise no_provider(command.provider_id)
    _check_mode(states, command.mode, context)
    fact = GatewayRegistered(
        **vars(command), adapter_key=provider.adapter_key, capabilities=provider.capabilities
    )
    claims = [Claiming("gateway_name", command.name, command.gateway_id, "GATEWAY_EXISTS")]
    if command.external_reference:
        claims.append(
            Claiming("gateway_reference", command.external_reference, command.gateway_id, "GATEWAY_EXISTS")
        )
    return [*claims, Change(Gateway, command.gateway_id, fact)]


def _needs(
    states: States,
    command: ActivateGateway
    | DeactivateGateway
    | RestrictGateway
    | SwitchGateway
    | RotateGatewayCredential
    | OpenCircuit
    | CloseCircuit,
    context: Context,
) -> Needs:
    yield Need(Gateway, command.gateway_id)
    yield tenant_settings.needed(context)


def _known(states: States, gateway_id: str) -> Gateway:
    gateway = states.get(Gateway, gateway_id)
    if not gateway.status:
        raise not_found("GATEWAY", gateway_id)
    return gateway


def activate(states: States, command: ActivateGateway, context: Context) -> Changes:
    gateway = _known(states, command.gateway_id)
    if gateway.status == "REJECTED":
        raise invalid_state("gateway", gateway.status, ["INACTIVE", "RESTRICTED", "RESTRICTED_SOON"])
    _check_mode(states, gateway.mode, context)
    if gateway.status == "ACTIVE":
        return []
    return [Change(Gateway, command.gateway_id, GatewayActivated(command.reason))]


def deactivate(states: States, command: DeactivateGateway, context: Context) -> Changes:
    if _known(states, command.gateway_id).status == "INACTIVE":
        return []
    return [Change(Gateway, command.gateway_id, GatewayDeactivated(command.reason))]


def restrict(states: States, command: RestrictGateway, context: Context) -> Changes:
    if _known(states, command.gateway_id).status == command.status:
        return []
    return [Change(Gateway, command.gateway_id, GatewayRestricted(command.status, command.reason))]


def switch(states: States, command: SwitchGateway, context: Context) -> Changes:
    gateway = _known(states, command.gateway_id)
    before = (gateway.payments_enabled, gateway.payouts_enabled)
    wanted = (command.payments_enabled, command.payouts_enabled)
    payments, payouts = (was if now is None else now for was, now in zip(before, wanted, strict=True))
    if (payments, payouts) == before:
        return []
    return [Change(Gateway, command.gateway_id, GatewaySwitched(payments, payouts, command.reason))]


def rotate(states: States, command: RotateGatewayCredential, context: Context) -> Changes:
    _known(states, command.gateway_id)
    return [Change(Gateway, command.gateway_id, GatewayCredentialRotated(command.credential_ref))]


def open_circuit(states: States, command: OpenCircuit, context: Context) -> Changes:
    """One that is open stays open for longer, never for less."""
    gateway = _known(states, command.gateway_id)
    until = context.now + timedelta(seconds=command.seconds)
    if gateway.circuit_open_until and gateway.circuit_open_until >= until:
        return []
    return [Change(Gateway, command.gateway_id, GatewayCircuitOpened(command.reason, until))]


def close_circuit(states: States, command: CloseCircuit, context: Context) -> Changes:
    if _known(states, command.gateway_id).circuit_open_until is None:
        return []
    return [Change(Gateway, command.gateway_id, GatewayCircuitClosed(command.reason))]


def _check_mode(states: States, mode: str, context: Context) -> None:
    if mode == "TEST" and tenant_settings.of(states, context)["production"]:
        raise Rejected("GATEWAY_MODE_FORBIDDEN", "a production tenant takes no test gateway")


def _gateway_home(command: RegisterGateway | ActivateGateway, tenant: str) -> str:
    return tenant_home("gateway", command.gateway_id)


SUBJECT = Subject(
    Gateway,
    evolve,
    (
        Rule(RegisterGateway, _register_needs, register, _gateway_home),
        Rule(ActivateGateway, _needs, activate, _gateway_home),
        Rule(DeactivateGateway, _needs, deactivate, _gateway_home),
        Rule(RestrictGateway, _needs, restrict, _gateway_home),
        Rule(SwitchGateway, _needs, switch, _gateway_home),
        Rule(RotateGatewayCredential, _needs, rotate, _gateway_home),
        Rule(OpenCircuit, _needs, open_circuit, _gateway_home),
        Rule(CloseCircuit, _needs, close_circuit, _gateway_home),
    ),
)
